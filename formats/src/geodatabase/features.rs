//! The features of a mobile geodatabase.

use super::catalog::read_catalog;
use super::layer_table::{LayerTable, current_of, layer_table, of_table, service_relationships};
use super::shape_blob::read_shape;
use crate::features::{
    Attachment, Feature, FeatureReader, Field, FieldType, LayerSchema, Relationship, TakeAttachment, TakeFeature, Value,
    read_date,
};
use crate::foreign_sqlite::{ForeignSqlite, quoted};
use offmap_model::Failure;
use rusqlite::types::ValueRef;
use rusqlite::{MAIN_DB, Row};
use std::path::Path;
use tokio_util::sync::CancellationToken;

/// The Julian day of 1970-01-01, and milliseconds of a day.
const EPOCH: f64 = 2_440_587.5;
const DAY: f64 = 86_400_000.0;
/// Milliseconds that a date may be away from 1970: some 280,000 years.
const FURTHEST: f64 = 9.0e15;

/// A layer of a file that offmap cannot read, and why; its other layers can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedLayer {
    /// Its table.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// A mobile geodatabase, opened to read its features.
///
/// Units and axis order are those of each layer's spatial reference, x first. Dates are UTC. Of tables that keep their history the
/// current rows are read. Object ids keep their numbers.
///
/// ```no_run
/// use offmap_formats::features::FeatureReader;
/// use offmap_formats::geodatabase::Geodatabase;
/// use tokio_util::sync::CancellationToken;
///
/// let file = Geodatabase::open("trails.geodatabase".as_ref(), &CancellationToken::new())?;
/// for (place, layer) in file.layers().iter().enumerate() {
///     let rows = file.read_features(place, None, &mut |feature| {
///         println!("{:?} {:?}", feature.object_id, feature.geometry().and_then(|g| g.extent()));
///         Ok(())
///     })?;
///     println!("{}: {rows} rows", layer.title);
/// }
/// # Ok::<(), offmap_model::Failure>(())
/// ```
///
/// Source: mobile map package reference B.
pub struct Geodatabase {
    file: ForeignSqlite,
    layers: Vec<LayerSchema>,
    tables: Vec<LayerTable>,
    relationships: Vec<Relationship>,
    refused: Vec<RefusedLayer>,
}

impl std::fmt::Debug for Geodatabase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Geodatabase").field("layers", &self.layers).field("refused", &self.refused).finish_non_exhaustive()
    }
}

impl Geodatabase {
    /// Opens a file and reads what its layers are. Blocks; whatever is done with it ends once `cancel` is cancelled.
    ///
    /// # Errors
    /// If it is no SQLite file, damaged, or runs code of its author's when it is read.
    pub fn open(path: &Path, cancel: &CancellationToken) -> Result<Self, Failure> {
        Self::of_file(ForeignSqlite::open(path, cancel)?)
    }

    pub(crate) fn of_file(file: ForeignSqlite) -> Result<Self, Failure> {
        let catalog = read_catalog(&file)?;
        let (mut tables, mut refused) = (Vec::new(), Vec::new());
        for listed in &catalog.layers {
            match layer_table(&file, &catalog, listed)? {
                Ok(table) => tables.push(table),
                Err(reason) => refused.push(RefusedLayer { name: listed.table.clone(), reason }),
            }
        }
        let mut relationships = service_relationships(&catalog);
        let is_same = |a: &Relationship, b: &Relationship| (&a.origin, &a.destination) == (&b.origin, &b.destination);
        // What the definitions tell goes first; of the services' words only what they do not tell.
        relationships.retain(|r| !catalog.relationships.iter().any(|known| is_same(known, r)));
        relationships.splice(0..0, catalog.relationships);
        relationships
            .retain(|r| [&r.origin, &r.destination].iter().all(|name| tables.iter().any(|t| t.schema.name == **name)));
        let layers = tables.iter().map(|t| t.schema.clone()).collect();
        Ok(Self { file, layers, tables, relationships, refused })
    }

    /// Layers that cannot be read, each with the reason.
    #[must_use]
    pub fn refused_layers(&self) -> &[RefusedLayer] {
        &self.refused
    }

    fn table(&self, layer: usize) -> Result<&LayerTable, Failure> {
        self.tables.get(layer).ok_or_else(|| Failure::internal(format!("there is no layer {layer}")))
    }

    fn read_row(&self, table: &LayerTable, row: &Row<'_>, feature: &mut Feature) -> Result<(), Failure> {
        let failed = |e| self.file.failure(e);
        feature.row_id = row.get(0).map_err(failed)?;
        feature.object_id = row.get_ref(1).map_err(failed)?.as_i64_or_null().ok().flatten();
        for (at, field) in table.schema.fields.iter().enumerate() {
            let found = row.get_ref(at + 2).map_err(failed)?;
            read_value(found, field, &mut feature.values[at]);
        }
        let (Some(geometry), Some(grid)) = (&table.schema.geometry, &table.schema.grid) else { return Ok(()) };
        let bytes = match row.get_ref(table.schema.fields.len() + 2).map_err(failed)? {
            ValueRef::Null => {
                feature.drop_geometry();
                return Ok(());
            }
            ValueRef::Blob(bytes) => bytes,
            other => {
                return Err(self.bad_row(table, feature, &format!("its shape is {}, expected a blob", other.data_type())));
            }
        };
        let shape = feature.new_geometry(geometry.kind, geometry.has_z, geometry.has_m);
        let read = read_shape(bytes, grid, shape).and_then(|()| shape.fit(geometry.kind, geometry.has_z, geometry.has_m));
        read.map_err(|e| self.bad_row(table, feature, &format!("its shape cannot be read: {e}")))
    }

    fn bad_row(&self, table: &LayerTable, feature: &Feature, what: &str) -> Failure {
        let id = feature.object_id.map_or_else(|| format!("row {}", feature.row_id), |id| format!("feature {id}"));
        self.file.corrupt(format!("layer `{}`, {id}: {what}", table.schema.name.escape_debug()))
    }
}

/// Reads a value by the type of its field; what is stored otherwise than the type says is read as it is stored.
fn read_value(found: ValueRef<'_>, field: &Field, value: &mut Value) {
    let is_date = matches!(field.field_type, FieldType::Date | FieldType::DateOnly);
    match found {
        ValueRef::Null => *value = Value::Null,
        ValueRef::Integer(n) if field.field_type == FieldType::Double || is_date => read_real(n as f64, is_date, value),
        ValueRef::Integer(n) => *value = Value::Integer(n),
        ValueRef::Real(n) => read_real(n, is_date, value),
        ValueRef::Blob(bytes) => value.set_blob(bytes),
        ValueRef::Text(bytes) => {
            let text = String::from_utf8_lossy(bytes);
            match read_date(&text).filter(|_| is_date) {
                Some(ms) => *value = Value::Date(ms),
                None => value.set_text(&text),
            }
        }
    }
}

fn read_real(number: f64, is_date: bool, value: &mut Value) {
    let ms = (number - EPOCH) * DAY;
    match is_date {
        // Julian days have some 40 microseconds between them, so the millisecond is certain.
        true if ms.abs() < FURTHEST => *value = Value::Date(ms.round() as i64),
        true => *value = Value::Null,
        false => value.set_real(number),
    }
}

impl FeatureReader for Geodatabase {
    fn layers(&self) -> &[LayerSchema] {
        &self.layers
    }

    fn relationships(&self) -> &[Relationship] {
        &self.relationships
    }

    fn read_features(&self, layer: usize, after: Option<i64>, take: &mut TakeFeature<'_>) -> Result<u64, Failure> {
        let table = self.table(layer)?;
        let schema = &table.schema;
        let mut columns = vec![table.row_name.to_owned()];
        columns.push(schema.object_id_field.as_deref().map_or_else(|| "NULL".to_owned(), quoted));
        columns.extend(schema.fields.iter().map(|f| quoted(&f.name)));
        columns.extend(schema.geometry.as_ref().map(|g| quoted(&g.name)));
        let (row_name, current) = (table.row_name, &table.is_current);
        let from = if after.is_some() { format!("{row_name} > ?1") } else { "?1 IS NULL".to_owned() };
        let sql =
            format!("SELECT {} FROM {} WHERE {from}{current} ORDER BY {row_name}", columns.join(", "), quoted(&schema.name));
        let failed = |e| self.file.failure(e);
        self.file.begin_reading()?;
        let mut statement = self.file.connection.prepare(&sql).map_err(failed)?;
        let mut rows = statement.query([after]).map_err(failed)?;
        let mut feature = Feature::with_fields(schema.fields.len());
        let (mut count, mut last) = (0, None);
        while let Some(row) = rows.next().map_err(failed)? {
            self.read_row(table, row, &mut feature)?;
            self.file.check_order(&mut last, feature.row_id)?;
            self.file.hand_on(|| take(&feature))?;
            count += 1;
        }
        Ok(count)
    }

    fn read_attachments(&self, layer: usize, after: Option<i64>, take: &mut TakeAttachment<'_>) -> Result<u64, Failure> {
        let table = self.table(layer)?;
        let Some(attached) = &table.attachments else { return Ok(0) };
        self.file.begin_reading()?;
        let sql = self.attachments_sql(table, attached)?;
        let failed = |e| self.file.failure(e);
        let mut statement = self.file.connection.prepare(&sql).map_err(failed)?;
        let mut rows = statement.query([after.unwrap_or(i64::MIN)]).map_err(failed)?;
        let (mut count, mut last) = (0, None);
        while let Some(row) = rows.next().map_err(failed)? {
            let text = |at: usize| {
                Ok::<_, Failure>(row.get_ref(at).map_err(failed)?.as_str_or_null().ok().flatten().map(str::to_owned))
            };
            let row_id: i64 = row.get(0).map_err(failed)?;
            // Two features with one id between them do not double a file.
            if last == Some(row_id) {
                continue;
            }
            self.file.check_order(&mut last, row_id)?;
            let attachment = Attachment {
                row_id,
                id: row.get_ref(1).map_err(failed)?.as_i64_or_null().ok().flatten().unwrap_or(row_id),
                object_id: row.get_ref(2).map_err(failed)?.as_i64_or_null().ok().flatten(),
                name: text(3)?.unwrap_or_default(),
                content_type: text(4)?.unwrap_or_default(),
                size: row.get::<_, Option<i64>>(5).map_err(failed)?.and_then(|n| u64::try_from(n).ok()).unwrap_or(0),
            };
            if row.get(6).map_err(failed)? {
                let mut blob =
                    self.file.connection.blob_open(MAIN_DB, attached.as_str(), "DATA", row_id, true).map_err(failed)?;
                self.file.hand_on(|| take(&attachment, &mut blob))?;
            } else {
                self.file.hand_on(|| take(&attachment, &mut std::io::empty()))?;
            }
            count += 1;
        }
        Ok(count)
    }
}

impl Geodatabase {
    /// Row, id, feature, name, media type, size, and whether there are bytes.
    fn attachments_sql(&self, table: &LayerTable, attached: &str) -> Result<String, Failure> {
        let columns = self.file.columns(attached)?;
        let has = |name: &str| columns.iter().any(|c| c == name);
        let optional = |name: &str| if has(&name.to_lowercase()) { format!("a.{name}") } else { "NULL".to_owned() };
        if !has("data") {
            return Err(self.file.corrupt(format!("table `{}` has no column DATA", attached.escape_debug())));
        }
        let object_id = table.schema.object_id_field.as_deref();
        let (feature, join) = match (object_id, &table.global_id) {
            (Some(id), Some(global_id)) if has("rel_globalid") => {
                let current = table.is_current.replace("+gdb_to_date", "+f.gdb_to_date");
                let on = format!("{} = a.REL_GLOBALID{current}", of_table("f", global_id));
                (of_table("f", id), format!(" LEFT JOIN {} f ON {on}", quoted(&table.schema.name)))
            }
            _ => (optional("REL_OBJECTID"), String::new()),
        };
        let current = current_of(&self.file, attached)?.replace("+gdb_to_date", "+a.gdb_to_date");
        Ok(format!(
            "SELECT a.rowid, {}, {feature}, {}, {}, length(CAST(a.DATA AS BLOB)), typeof(a.DATA) <> 'null'
             FROM {} a{join} WHERE a.rowid > ?1{current} ORDER BY a.rowid",
            optional("ATTACHMENTID"),
            optional("ATT_NAME"),
            optional("CONTENT_TYPE"),
            quoted(attached)
        ))
    }
}
