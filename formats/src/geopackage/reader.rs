//! Reads the features of GeoPackages.

use super::attachments::read_attachments;
use super::binary;
use super::columns::{kind_of, type_of};
use super::relations::{self, Relations};
use super::{contents_of_columns, global_ids};
use crate::features::{
    Domain, DomainCode, DomainRule, Feature, FeatureReader, Field, FieldType, GeometryField, LayerSchema, Relationship,
    TakeAttachment, TakeFeature, Value, read_date,
};
use crate::foreign_sqlite::{ForeignSqlite, quoted};
use crate::geometry::GeometryKind;
use offmap_model::{Failure, SpatialReference};
use rusqlite::types::ValueRef;
use rusqlite::{OptionalExtension as _, Row};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Layers and constraints that are read.
const MOST_LAYERS: usize = 10_000;
const MOST_CONSTRAINTS: usize = 200_000;

/// A GeoPackage, opened to read its features: every table of features or attributes that its contents list, with attachments and
/// relationships as the related tables extension has them. A table of media is no layer but holds the attachments of one; pairs of rows
/// become a relationship of the fields that make them.
///
/// ```no_run
/// use offmap_formats::features::FeatureReader;
/// use offmap_formats::geopackage::GeoPackage;
/// use tokio_util::sync::CancellationToken;
///
/// let file = GeoPackage::open("peaks.gpkg".as_ref(), &CancellationToken::new())?;
/// let rows = file.read_features(0, None, &mut |feature| {
///     println!("{:?}", feature.geometry());
///     Ok(())
/// })?;
/// # Ok::<(), offmap_model::Failure>(())
/// ```
pub struct GeoPackage {
    file: ForeignSqlite,
    layers: Vec<LayerSchema>,
    relations: Relations,
}

impl std::fmt::Debug for GeoPackage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GeoPackage").field("layers", &self.layers).finish_non_exhaustive()
    }
}

/// What `gpkg_contents` says of a layer.
struct Listed {
    table: String,
    title: String,
    description: String,
}

impl GeoPackage {
    /// Opens a file and reads what its layers are. Blocks; whatever is done with it ends once `cancel` is cancelled.
    ///
    /// # Errors
    /// If it is no GeoPackage, damaged, or open in a program that has not written all of it yet.
    pub fn open(path: &Path, cancel: &CancellationToken) -> Result<Self, Failure> {
        let file = ForeignSqlite::open(path, cancel)?;
        let mut log = path.file_name().unwrap_or_default().to_owned();
        log.push("-wal");
        if std::fs::metadata(path.with_file_name(log)).is_ok_and(|m| m.len() > 0) {
            return Err(Failure::invalid_parameter(format!(
                "{} has changes in a file `-wal` beside it: close the program that has it open",
                path.display()
            )));
        }
        Self::of_file(file)
    }

    pub(crate) fn of_file(file: ForeignSqlite) -> Result<Self, Failure> {
        let tables = file.tables()?;
        if !tables.contains_key("gpkg_contents") || !tables.contains_key("gpkg_spatial_ref_sys") {
            return Err(
                file.corrupt("it has no tables `gpkg_contents` and `gpkg_spatial_ref_sys`, which every GeoPackage has")
            );
        }
        let constraints =
            if tables.contains_key("gpkg_data_column_constraints") { read_constraints(&file)? } else { HashMap::new() };
        let mut layers = Vec::new();
        for listed in contents(&file)? {
            let Some(table) = tables.get(&listed.table.to_lowercase()) else {
                let shown = listed.table.escape_debug();
                return Err(file.corrupt(format!("`{shown}`, which its contents list, is no ordinary table")));
            };
            let described = tables.contains_key("gpkg_data_columns");
            let has_shapes = tables.contains_key("gpkg_geometry_columns");
            let geometry = if has_shapes { geometry_field(&file, table)? } else { None };
            let (key, mut fields) = fields(&file, table, geometry.as_ref(), described.then_some(&constraints))?;
            global_ids::recognise(&file, table, &mut fields)?;
            contents_of_columns::widen(&file, table, &mut fields)?;
            let mut layer = LayerSchema::new(table, geometry);
            (layer.title, layer.description) = (listed.title, listed.description);
            (layer.object_id_field, layer.fields) = (key, fields);
            layers.push(layer);
        }
        let relations = relations::read(&file, &tables, &layers)?;
        layers.retain(|layer| !relations.media.values().any(|media| media.table == layer.name));
        for layer in &mut layers {
            layer.has_attachments = relations.media.contains_key(&layer.name);
        }
        Ok(Self { file, layers, relations })
    }

    fn read_row(&self, layer: &LayerSchema, row: &Row<'_>, feature: &mut Feature) -> Result<(), Failure> {
        let failed = |e| self.file.failure(e);
        feature.row_id = row.get(0).map_err(failed)?;
        feature.object_id = Some(feature.row_id).filter(|_| layer.object_id_field.is_some());
        for (at, field) in layer.fields.iter().enumerate() {
            read_value(row.get_ref(at + 1).map_err(failed)?, field, &mut feature.values[at]);
        }
        let Some(geometry) = &layer.geometry else { return Ok(()) };
        let bad = |what: String| {
            let name = layer.name.escape_debug();
            self.file.corrupt(format!(
                "layer `{name}`, row {}: its shape cannot be read: {what}",
                row.get_ref(0).map_or(0, |v| v.as_i64().unwrap_or(0))
            ))
        };
        match row.get_ref(layer.fields.len() + 1).map_err(failed)? {
            ValueRef::Null => feature.drop_geometry(),
            ValueRef::Blob(bytes) => {
                let shape = feature.new_geometry(geometry.kind, geometry.has_z, geometry.has_m);
                binary::read(bytes, shape).map_err(|e| bad(e.to_string()))?;
                shape.fit(geometry.kind, geometry.has_z, geometry.has_m).map_err(|e| bad(e.to_string()))?;
            }
            other => return Err(bad(format!("it is {}, expected a blob", other.data_type()))),
        }
        Ok(())
    }
}

fn read_value(found: ValueRef<'_>, field: &Field, value: &mut Value) {
    match found {
        ValueRef::Null => *value = Value::Null,
        ValueRef::Integer(n) if matches!(field.field_type, FieldType::Double | FieldType::Single) => {
            value.set_real(n as f64)
        }
        ValueRef::Integer(n) => *value = Value::Integer(n),
        ValueRef::Real(n) => value.set_real(n),
        ValueRef::Blob(bytes) => value.set_blob(bytes),
        ValueRef::Text(bytes) => {
            let text = String::from_utf8_lossy(bytes);
            let is_date = matches!(field.field_type, FieldType::Date | FieldType::DateOnly);
            match read_date(&text).filter(|_| is_date) {
                Some(ms) => *value = Value::Date(ms),
                None => value.set_text(&text),
            }
        }
    }
}

fn contents(file: &ForeignSqlite) -> Result<Vec<Listed>, Failure> {
    let failed = |e| file.failure(e);
    file.columns("gpkg_contents")?;
    let sql = format!(
        "SELECT table_name, coalesce(identifier, table_name), coalesce(description, '') FROM gpkg_contents
         WHERE data_type IN ('features', 'attributes') ORDER BY rowid LIMIT {MOST_LAYERS}"
    );
    let mut statement = file.connection.prepare(&sql).map_err(failed)?;
    let rows = statement.query_map([], |r| Ok(Listed { table: r.get(0)?, title: r.get(1)?, description: r.get(2)? }));
    rows.and_then(Iterator::collect).map_err(failed)
}

/// The shapes of a table; `None` for one of attributes.
fn geometry_field(file: &ForeignSqlite, table: &str) -> Result<Option<GeometryField>, Failure> {
    let failed = |e| file.failure(e);
    let sql = "SELECT g.column_name, g.geometry_type_name, g.z, g.m, g.srs_id, s.organization, s.organization_coordsys_id, s.definition
         FROM gpkg_geometry_columns g LEFT JOIN gpkg_spatial_ref_sys s ON s.srs_id = g.srs_id WHERE lower(g.table_name) = lower(?1)";
    let found = file.connection.query_row(sql, [table], |row| {
        let flag = |at: usize| row.get::<_, Option<i64>>(at).map(|n| n.unwrap_or(0) != 0);
        let organization: Option<String> = row.get(5)?;
        let number: Option<i64> = row.get(6)?;
        let known = organization.filter(|o| ["EPSG", "ESRI"].iter().any(|known| o.eq_ignore_ascii_case(known)));
        let wkid = known.and(number).and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
        let wkt = row.get::<_, Option<String>>(7)?.filter(|wkt| wkt.contains('['));
        let spatial_reference = SpatialReference { wkt, ..wkid.map(SpatialReference::from_wkid).unwrap_or_default() };
        let field = GeometryField {
            name: row.get(0)?,
            kind: GeometryKind::Point,
            has_z: flag(2)?,
            has_m: flag(3)?,
            spatial_reference,
        };
        Ok((field, row.get::<_, String>(1)?))
    });
    let Some((mut field, kind)) = found.optional().map_err(failed)? else { return Ok(None) };
    let Some(known) = kind_of(&kind) else {
        let (table, kind) = (table.escape_debug(), kind.escape_debug());
        return Err(Failure::not_supported(format!(
            "layer `{table}` has shapes of type {kind}, expected points, lines or polygons of one kind without curves"
        )));
    };
    field.kind = known;
    Ok(Some(field))
}

/// Key and other fields of a table.
fn fields(
    file: &ForeignSqlite,
    table: &str,
    geometry: Option<&GeometryField>,
    constraints: Option<&HashMap<String, Arc<Domain>>>,
) -> Result<(Option<String>, Vec<Field>), Failure> {
    let failed = |e| file.failure(e);
    // Refuses computed columns.
    file.columns(table)?;
    let mut words: BTreeMap<String, (Option<String>, Option<String>)> = BTreeMap::new();
    if constraints.is_some() {
        let sql = "SELECT lower(column_name), coalesce(title, name), constraint_name FROM gpkg_data_columns
             WHERE lower(table_name) = lower(?1)";
        let mut statement = file.connection.prepare(sql).map_err(failed)?;
        let mut rows = statement.query([table]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            words.insert(row.get(0).map_err(failed)?, (row.get(1).map_err(failed)?, row.get(2).map_err(failed)?));
        }
    }
    let sql = "SELECT name, type, \"notnull\", pk FROM pragma_table_xinfo(?1)";
    let mut statement = file.connection.prepare(sql).map_err(failed)?;
    let mut rows = statement.query([table]).map_err(failed)?;
    let (mut key, mut fields) = (None, Vec::new());
    while let Some(row) = rows.next().map_err(failed)? {
        let (name, declared): (String, String) = (row.get(0).map_err(failed)?, row.get(1).map_err(failed)?);
        let (not_null, pk): (bool, i64) = (row.get(2).map_err(failed)?, row.get(3).map_err(failed)?);
        if pk == 1 && key.is_none() && declared.eq_ignore_ascii_case("INTEGER") {
            key = Some(name);
        } else if geometry.is_none_or(|g| !g.name.eq_ignore_ascii_case(&name)) {
            let (field_type, length) = type_of(&declared).unwrap_or((FieldType::Text, None));
            let (alias, constraint) = words.remove(&name.to_lowercase()).unwrap_or_default();
            let domain = constraint.and_then(|c| constraints?.get(&c).cloned());
            let alias = alias.filter(|alias| *alias != name);
            fields.push(Field { name, alias, field_type, length, is_nullable: !not_null, domain });
        }
    }
    Ok((key, fields))
}

/// Enums and ranges, by name.
fn read_constraints(file: &ForeignSqlite) -> Result<HashMap<String, Arc<Domain>>, Failure> {
    let failed = |e| file.failure(e);
    file.columns("gpkg_data_column_constraints")?;
    let sql = format!(
        "SELECT constraint_name, constraint_type, value, min, max, description FROM gpkg_data_column_constraints
         ORDER BY rowid LIMIT {MOST_CONSTRAINTS}"
    );
    let mut statement = file.connection.prepare(&sql).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let mut domains: BTreeMap<String, Domain> = BTreeMap::new();
    while let Some(row) = rows.next().map_err(failed)? {
        let (name, kind): (String, String) = (row.get(0).map_err(failed)?, row.get(1).map_err(failed)?);
        let words: Option<String> = row.get(5).map_err(failed)?;
        let empty = || Domain { name: name.clone(), description: String::new(), rule: DomainRule::Coded(Vec::new()) };
        match kind.as_str() {
            "enum" => {
                let code: String = row.get(2).map_err(failed)?;
                if let DomainRule::Coded(codes) = &mut domains.entry(name.clone()).or_insert_with(empty).rule {
                    let meaning = words.unwrap_or_else(|| code.clone());
                    codes.push((code.parse().map_or(DomainCode::Text(code), DomainCode::Integer), meaning));
                }
            }
            "range" => {
                let rule = DomainRule::Range { min: row.get(3).map_err(failed)?, max: row.get(4).map_err(failed)? };
                domains.insert(name.clone(), Domain { description: words.unwrap_or_default(), rule, name });
            }
            // A pattern is no domain.
            _ => {}
        }
    }
    Ok(domains.into_iter().map(|(name, domain)| (name, Arc::new(domain))).collect())
}

impl FeatureReader for GeoPackage {
    fn layers(&self) -> &[LayerSchema] {
        &self.layers
    }

    fn relationships(&self) -> &[Relationship] {
        &self.relations.relationships
    }

    fn read_features(&self, layer: usize, after: Option<i64>, take: &mut TakeFeature<'_>) -> Result<u64, Failure> {
        let layer = self.layers.get(layer).ok_or_else(|| Failure::internal(format!("there is no layer {layer}")))?;
        // A key is the row's number; a table without one has no column of that name, as its columns are all fields then.
        let key = layer.object_id_field.as_deref().map_or_else(|| "rowid".to_owned(), quoted);
        let mut columns = vec![key.clone()];
        columns.extend(layer.fields.iter().map(|f| quoted(&f.name)));
        columns.extend(layer.geometry.as_ref().map(|g| quoted(&g.name)));
        let from = if after.is_some() { format!("{key} > ?1") } else { "?1 IS NULL".to_owned() };
        let sql = format!("SELECT {} FROM {} WHERE {from} ORDER BY {key}", columns.join(", "), quoted(&layer.name));
        let failed = |e| self.file.failure(e);
        self.file.begin_reading()?;
        let mut statement = self.file.connection.prepare(&sql).map_err(failed)?;
        let mut rows = statement.query([after]).map_err(failed)?;
        let mut feature = Feature::with_fields(layer.fields.len());
        let (mut count, mut last) = (0, None);
        while let Some(row) = rows.next().map_err(failed)? {
            self.read_row(layer, row, &mut feature)?;
            self.file.check_order(&mut last, feature.row_id)?;
            self.file.hand_on(|| take(&feature))?;
            count += 1;
        }
        Ok(count)
    }

    fn read_attachments(&self, layer: usize, after: Option<i64>, take: &mut TakeAttachment<'_>) -> Result<u64, Failure> {
        let media = self.layers.get(layer).and_then(|l| self.relations.media.get(&l.name));
        media.map_or(Ok(0), |media| read_attachments(&self.file, media, after, take))
    }
}
