//! One layer or table of a geodatabase that is being written.

use super::new_fields::{NewColumn, Stored, bind, shape_declaration, stored_guid};
use super::new_names::{ATTACHMENTS, Names, guid};
use super::new_reference::NewReference;
use super::shape_blob_writer::ShapeBlobWriter;
use crate::feature_writing::progress::Progress;
use crate::feature_writing::{Bound, Envelopes};
use crate::features::{Feature, FieldType, LayerSchema, Resume};
use crate::foreign_sqlite::quoted;
use crate::geometry::{Geometry, GridAxis, PrecisionGrid};
use rusqlite::types::{Null, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, params};

/// Lines of a grid: those that a double tells apart.
const MOST_LINES: i64 = 1 << 53;

/// The column of shapes.
#[derive(Debug)]
pub(super) struct ShapeColumn {
    pub(super) name: String,
    pub(super) reference: NewReference,
    pub(super) srid: u32,
}

/// A layer with how it is written, and how far.
pub(super) struct NewLayer {
    pub(super) schema: LayerSchema,
    pub(super) table: String,
    /// The column of object ids.
    pub(super) key: String,
    pub(super) columns: Vec<NewColumn>,
    pub(super) shape: Option<ShapeColumn>,
    /// The column of global ids, and whether it is made up here.
    pub(super) global_id: Option<(String, bool)>,
    /// The statement that makes its table.
    pub(super) definition: String,
    insert: String,
    pub(super) progress: Progress,
    pub(super) envelopes: Envelopes,
    /// Whether some of its points have no height or measure though others have.
    pub(super) has_unknown: bool,
}

/// Memory that is used again for each row.
#[derive(Default)]
pub(super) struct Buffers {
    writer: ShapeBlobWriter,
    shape: Geometry,
    blob: Vec<u8>,
    text: String,
}

impl NewLayer {
    /// `tables` are the names of those that are there, `references` the spatial references.
    pub(super) fn new(schema: &LayerSchema, tables: &mut Names, references: &mut Vec<NewReference>) -> Self {
        let table = tables.free(&schema.name);
        let mut names = Names::default();
        let mut named = |name: &str| {
            let name = names.free(name);
            names.take(&name);
            name
        };
        let key = named(schema.object_id_field.as_deref().unwrap_or("OBJECTID"));
        let shape = schema.geometry.as_ref().map(|geometry| {
            let reference = NewReference::of(&geometry.spatial_reference, schema.grid);
            ShapeColumn { name: named(&geometry.name), srid: reference.number_in(references), reference }
        });
        let mut columns: Vec<NewColumn> = Vec::new();
        for field in &schema.fields {
            let alias = field.alias.clone().unwrap_or_else(|| field.name.clone());
            let domain = field.domain.as_ref().map(|domain| domain.name.clone());
            let (stored, is_nullable) = (Stored::of(field), field.is_nullable);
            // One column names the row.
            let is_second = stored == Stored::GlobalId && columns.iter().any(|c| c.stored == Stored::GlobalId);
            let stored = if is_second { Stored::Guid } else { stored };
            columns.push(NewColumn { name: named(&field.name), alias, stored, is_nullable, domain });
        }
        let own = columns.iter().find(|c| c.stored == Stored::GlobalId).map(|c| (c.name.clone(), false));
        let global_id = own.or_else(|| schema.has_attachments.then(|| (named("GlobalID"), true)));
        let mut layer = Self {
            schema: schema.clone(),
            table,
            key,
            columns,
            shape,
            global_id,
            definition: String::new(),
            insert: String::new(),
            progress: Progress::default(),
            envelopes: Envelopes::default(),
            has_unknown: false,
        };
        (layer.definition, layer.insert) = layer.statements();
        layer
    }

    fn statements(&self) -> (String, String) {
        let mut columns = vec![format!("{} integer primary key not null", quoted(&self.key))];
        let mut names = vec![quoted(&self.key)];
        for column in &self.columns {
            columns.push(column.declaration());
            names.push(quoted(&column.name));
        }
        if let Some(column) = self.own_global_id() {
            columns.push(column.declaration());
            names.push(quoted(&column.name));
        }
        if let Some(shape) = &self.shape {
            columns.push(shape_declaration(&shape.name));
            names.push(quoted(&shape.name));
        }
        let (table, marks) = (quoted(&self.table), vec!["?"; names.len()].join(","));
        let definition = format!("CREATE TABLE {table} ({})", columns.join(", "));
        (definition, format!("INSERT INTO {table} ({}) VALUES ({marks})", names.join(", ")))
    }

    /// The column of global ids that is made up here.
    pub(super) fn own_global_id(&self) -> Option<NewColumn> {
        let (name, _) = self.global_id.as_ref().filter(|(_, is_own)| *is_own)?;
        let (alias, stored) = (name.clone(), Stored::GlobalId);
        Some(NewColumn { name: name.clone(), alias, stored, is_nullable: false, domain: None })
    }

    /// The column of a field.
    pub(super) fn column_of(&self, field: &str) -> Option<&str> {
        if self.schema.object_id_field.as_deref().is_some_and(|key| key.eq_ignore_ascii_case(field)) {
            return Some(&self.key);
        }
        let place = self.schema.fields.iter().position(|f| f.name.eq_ignore_ascii_case(field))?;
        self.columns.get(place).map(|c| c.name.as_str())
    }

    /// The table of its attachments.
    pub(super) fn attachment_table(&self) -> Option<String> {
        self.schema.has_attachments.then(|| format!("{}{ATTACHMENTS}", self.table))
    }

    /// What an earlier process has written of it.
    pub(super) fn go_on(&mut self, progress: Progress) {
        if progress.features.rows > 0 {
            self.envelopes = Envelopes::incomplete();
        }
        self.progress = progress;
    }

    /// Fields whose type is another one here, in words.
    pub(super) fn changed_fields(&self) -> impl Iterator<Item = String> + '_ {
        self.schema.fields.iter().filter_map(|field| {
            let becomes = match field.field_type {
                FieldType::DateOnly => "dates",
                FieldType::TimeOnly | FieldType::TimestampOffset => "texts",
                _ => return None,
            };
            Some(format!("field `{}` of layer `{}`: its values are written as {becomes}", field.name, self.schema.name))
        })
    }

    /// Adds a row; the inner error is why the geodatabase cannot hold it.
    pub(super) fn put_row(
        &mut self,
        connection: &Connection,
        feature: &Feature,
        buffers: &mut Buffers,
    ) -> rusqlite::Result<Result<(), String>> {
        let mut statement = connection.prepare_cached(&self.insert)?;
        let id = match (&self.schema.object_id_field, feature.object_id) {
            (Some(_), Some(id)) => id,
            (Some(name), None) => return Ok(Err(format!("it has no object id in `{name}`"))),
            // Numbered in the order in which they come.
            (None, _) => i64::try_from(self.progress.features.rows).unwrap_or(i64::MAX).saturating_add(1),
        };
        statement.raw_bind_parameter(1, id)?;
        let mut place = 2;
        for (column, value) in self.columns.iter().zip(&feature.values) {
            if let Err(why) = bind(&mut statement, place, (value, column.stored), &mut buffers.text)? {
                return Ok(Err(format!("its value of `{}` {why}", column.name)));
            }
            place += 1;
        }
        if self.own_global_id().is_some() {
            statement.raw_bind_parameter(place, self.made_up_guid(id))?;
            place += 1;
        }
        let mut envelope = None;
        if let Some(column) = &self.shape {
            match feature.geometry() {
                None => statement.raw_bind_parameter(place, Null)?,
                Some(shape) => {
                    self.has_unknown |= match encode(shape, column, buffers) {
                        Ok(has_unknown) => has_unknown,
                        Err(why) => return Ok(Err(why)),
                    };
                    envelope = on_grid(shape.extent(), &column.reference.grid);
                    statement.raw_bind_parameter(place, Bound(ValueRef::Blob(&buffers.blob)))?;
                }
            }
        }
        statement.raw_execute()?;
        if let Some(envelope) = envelope {
            self.progress.widen(envelope);
            self.envelopes.note(id, envelope);
        }
        self.progress.features = Resume { after: Some(feature.row_id), rows: self.progress.features.rows + 1 };
        Ok(Ok(()))
    }

    /// Why the shape of a feature cannot be held.
    pub(super) fn cannot_hold_shape(&self, feature: &Feature) -> Option<String> {
        beyond(feature.geometry()?, &self.shape.as_ref()?.reference.grid)
    }

    fn made_up_guid(&self, id: i64) -> String {
        guid(&["row", &self.table, &id.to_string()])
    }

    /// The global id of the row that an attachment belongs to.
    pub(super) fn global_id_of(&self, connection: &Connection, object_id: i64) -> rusqlite::Result<Option<String>> {
        let Some((column, is_own)) = &self.global_id else { return Ok(None) };
        if *is_own {
            return Ok(Some(self.made_up_guid(object_id)));
        }
        let sql = format!("SELECT {} FROM {} WHERE {} = ?1", quoted(column), quoted(&self.table), quoted(&self.key));
        let found: Option<Option<String>> =
            connection.prepare_cached(&sql)?.query_row(params![object_id], |row| row.get(0)).optional()?;
        Ok(found.flatten().and_then(|text| stored_guid(&text)))
    }
}

/// The extent of what is stored.
pub(super) fn on_grid(extent: Option<[f64; 4]>, grid: &PrecisionGrid) -> Option<[f64; 4]> {
    let at = |axis: &GridAxis, n: f64| axis.coordinate(axis.line(n));
    extent.map(|[a, b, c, d]| [at(&grid.x, a), at(&grid.y, b), at(&grid.x, c), at(&grid.y, d)])
}

/// Why a layer cannot hold a shape: a coordinate, height or measure that lies beyond its grid, or is no number.
fn beyond(shape: &Geometry, grid: &PrecisionGrid) -> Option<String> {
    let is_beyond = |axis: &GridAxis, n: f64| !n.is_finite() || !(0..=MOST_LINES).contains(&axis.line(n));
    let of_xy = |[x, y]: &[f64; 2]| {
        let both = [("x", &grid.x, *x), ("y", &grid.y, *y)];
        both.into_iter().find_map(|(name, axis, n)| is_beyond(axis, n).then_some((name, n)))
    };
    // One that is not known is no number; their grids may begin above them.
    let is_far = |axis: &GridAxis, n: f64| n.is_infinite() || axis.line(n).unsigned_abs() > MOST_LINES.unsigned_abs();
    let far = |name, axis, values: &[f64]| {
        let found = values.iter().find(|n| !n.is_nan() && is_far(axis, **n));
        found.map(|n| (name, *n))
    };
    let found = shape.xy().iter().find_map(of_xy);
    let found = found.or_else(|| far("z", &grid.z, shape.z())).or_else(|| far("m", &grid.m, shape.m()));
    found.map(|(name, n)| format!("its shape has the {name} {n}, which lies beyond the grid of its layer ({grid})"))
}

/// Writes the blob of a shape; answers whether some of its heights or measures are not known though others are.
fn encode(shape: &Geometry, column: &ShapeColumn, buffers: &mut Buffers) -> Result<bool, String> {
    let grid = &column.reference.grid;
    if let Some(why) = beyond(shape, grid) {
        return Err(why);
    }
    let unknown = |values: &[f64]| values.iter().filter(|n| n.is_nan()).count();
    let (z, m) = (unknown(shape.z()), unknown(shape.m()));
    // Where none is known, the shape has none.
    let (drop_z, drop_m) = (z > 0 && z == shape.z().len(), m > 0 && m == shape.m().len());
    let written = match drop_z || drop_m {
        false => shape,
        true => {
            buffers.shape.copy_from(shape);
            buffers.shape.forget(drop_z, drop_m);
            &buffers.shape
        }
    };
    buffers
        .writer
        .write(written, column.srid, grid, &mut buffers.blob)
        .map_err(|e| format!("its shape cannot be written: {e}"))?;
    Ok((z > 0 && !drop_z) || (m > 0 && !drop_m))
}
