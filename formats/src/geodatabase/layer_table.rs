//! A layer or table of a geodatabase: its schema, and how its rows are read.
//!
//! Source: mobile map package reference B.2 to B.6.

use super::catalog::{ATTACHMENTS, Catalog, Listed};
use super::current_rows::CURRENT;
use super::definition::Element;
use super::domains::{domain_of_json, subtypes_of_json, subtypes_of_xml};
use super::service_schema::type_by_word;
use crate::features::{Domain, Field, FieldType, GeometryField, LayerSchema};
use crate::foreign_sqlite::{ForeignSqlite, quoted};
use crate::geometry::GeometryKind;
use crate::geometry::{GridAxis, PrecisionGrid};
use offmap_model::{Failure, SpatialReference};
use serde_json::Value as Json;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Columns of tables that keep their history.
const HISTORY: [&str; 3] = ["gdb_archive_oid", "gdb_from_date", "gdb_to_date"];
/// Names by which SQLite calls the row's own number, unless a column has that name.
const ROW_NAMES: [&str; 3] = ["rowid", "_rowid_", "oid"];

/// A layer or table, ready to be read.
#[derive(Debug, Clone)]
pub(super) struct LayerTable {
    pub(super) schema: LayerSchema,
    /// By which name its rows are numbered.
    pub(super) row_name: &'static str,
    /// ` AND …` where only some of its rows are current.
    pub(super) is_current: String,
    /// Table of attachments.
    pub(super) attachments: Option<String>,
    pub(super) global_id: Option<String>,
}

struct Column {
    name: String,
    declared: String,
    is_nullable: bool,
}

/// What is said of a field besides its column.
#[derive(Default)]
struct FieldWords<'a> {
    esri_type: Option<&'a str>,
    alias: Option<&'a str>,
    domain: Option<Arc<Domain>>,
    length: Option<u32>,
}

/// Its schema; the inner error is why offmap cannot read its shapes.
pub(super) fn layer_table(
    file: &ForeignSqlite,
    catalog: &Catalog,
    listed: &Listed,
) -> Result<Result<LayerTable, String>, Failure> {
    let lower = listed.table.to_lowercase();
    let columns = columns(file, &listed.table)?;
    let named = |wanted: &str| columns.iter().find(|c| c.name.eq_ignore_ascii_case(wanted)).map(|c| c.name.clone());
    let said = |xml: &str, json: &str| word(listed, xml, json);
    let registered = catalog.id_columns.get(&lower).map(String::as_str);
    let object_id_field = said("OIDFieldName", "objectIdField").or(registered).and_then(named);
    let global_id = said("GlobalIDFieldName", "globalIdField").and_then(named).or_else(|| named("GlobalID"));
    let (geometry, grid) = match catalog.geometry_columns.get(&lower).map(|g| (g, named(&g.column))) {
        None => (None, None),
        Some((column, None)) => {
            return Err(file.corrupt(format!("table `{}` has no column `{}`", shown(&lower), shown(&column.column))));
        }
        Some((column, Some(name))) => match shapes(catalog, listed, column.geometry_type, column.srid, name) {
            Ok((field, grid)) => (Some(field), Some(grid)),
            Err(why) => return Ok(Err(why)),
        },
    };
    let own = |name: &str| {
        HISTORY.iter().any(|h| name.eq_ignore_ascii_case(h))
            || Some(name) == object_id_field.as_deref()
            || geometry.as_ref().is_some_and(|g| g.name == name)
    };
    let fields = columns.iter().filter(|c| !own(&c.name)).map(|c| field(catalog, listed, c)).collect();
    let attachments = catalog.tables.get(&format!("{lower}{ATTACHMENTS}")).cloned();
    let title = listed.service.as_ref().and_then(|s| s.get("name")?.as_str()).unwrap_or(&listed.table);
    let row_name = ROW_NAMES.iter().find(|name| named(name).is_none());
    let Some(row_name) = row_name else {
        return Err(file.corrupt(format!("table `{}` has columns `rowid`, `oid` and `_rowid_`", shown(&lower))));
    };
    let schema = LayerSchema {
        name: listed.table.clone(),
        title: title.to_owned(),
        description: word(listed, "", "description").unwrap_or_default().to_owned(),
        item_id: listed.item_id,
        object_id_field,
        fields,
        geometry,
        grid,
        subtypes: listed
            .definition
            .as_ref()
            .and_then(subtypes_of_xml)
            .or_else(|| subtypes_of_json(listed.service.as_ref()?)),
        has_attachments: attachments.is_some(),
    };
    let is_current = current(&columns);
    Ok(Ok(LayerTable { schema, row_name, is_current, attachments, global_id }))
}

/// The condition under which rows are current. The sign keeps SQLite from an index, by which rows would have to be sorted.
fn current(columns: &[Column]) -> String {
    let tracked = columns.iter().any(|c| c.name.eq_ignore_ascii_case("gdb_to_date"));
    if tracked { format!(" AND +gdb_to_date > {CURRENT}") } else { String::new() }
}

/// The same of another table.
pub(super) fn current_of(file: &ForeignSqlite, table: &str) -> Result<String, Failure> {
    Ok(current(&columns(file, table)?))
}

fn shown(name: &str) -> String {
    name.chars().take(200).collect::<String>().escape_debug().to_string()
}

fn columns(file: &ForeignSqlite, table: &str) -> Result<Vec<Column>, Failure> {
    // Refuses computed columns.
    file.columns(table)?;
    let failed = |e| file.failure(e);
    let sql = "SELECT name, lower(type), \"notnull\" FROM pragma_table_xinfo(?1)";
    let mut statement = file.connection.prepare_cached(sql).map_err(failed)?;
    let rows = statement
        .query_map([table], |row| {
            Ok(Column { name: row.get(0)?, declared: row.get(1)?, is_nullable: !row.get::<_, bool>(2)? })
        })
        .map_err(failed)?;
    rows.collect::<rusqlite::Result<_>>().map_err(failed)
}

/// A word of the definition, else of the service's description.
fn word<'a>(listed: &'a Listed, xml: &str, json: &str) -> Option<&'a str> {
    let defined = listed.definition.as_ref().and_then(|root| root.child_text(xml));
    defined.or_else(|| listed.service.as_ref()?.get(json)?.as_str().filter(|word| !word.is_empty()))
}

fn field(catalog: &Catalog, listed: &Listed, column: &Column) -> Field {
    let name = &column.name;
    let words = field_words(catalog, listed, name);
    let (base, size) = column.declared.split_once('(').unwrap_or((&column.declared, ""));
    let length = size.trim_end_matches(')').trim().parse().ok().or(words.length);
    let field_type = words.esri_type.and_then(type_by_word).unwrap_or_else(|| type_by_declaration(base.trim()));
    let is_text = field_type == FieldType::Text;
    Field {
        alias: words.alias.filter(|alias| alias != name).map(str::to_owned),
        field_type,
        length: length.filter(|n| is_text && *n > 0),
        is_nullable: column.is_nullable,
        domain: words.domain,
        name: name.clone(),
    }
}

fn field_words<'a>(catalog: &Catalog, listed: &'a Listed, name: &str) -> FieldWords<'a> {
    let mut words = FieldWords::default();
    // Names may have database and table before them.
    let is_it = |found: &str| found.rsplit('.').next().is_some_and(|last| last.eq_ignore_ascii_case(name));
    if let Some(fields) = listed.definition.as_ref().and_then(|root| root.child("GPFieldInfoExs")) {
        let mut infos = fields.children_named("GPFieldInfoEx");
        if let Some(info) = infos.find(|info: &&Element| info.child_text("Name").is_some_and(is_it)) {
            words.esri_type = info.child_text("FieldType");
            words.alias = info.child_text("AliasName");
            words.domain = info.child_text("DomainName").and_then(|domain| catalog.domains.get(domain).cloned());
        }
    }
    let fields = listed.service.as_ref().and_then(|s| s.get("fields")?.as_array());
    let info = fields.into_iter().flatten().find(|f| f.get("name").and_then(Json::as_str).is_some_and(is_it));
    if let Some(info) = info {
        let text = |key: &str| info.get(key).and_then(Json::as_str).filter(|word| !word.is_empty());
        words.esri_type = words.esri_type.or(text("type"));
        words.alias = words.alias.or(text("alias"));
        words.length = info.get("length").and_then(Json::as_u64).and_then(|n| u32::try_from(n).ok());
        let own = || info.get("domain").and_then(domain_of_json).map(Arc::new);
        words.domain = words.domain.or_else(own);
    }
    words
}

fn type_by_declaration(word: &str) -> FieldType {
    match word {
        "int16" => FieldType::SmallInteger,
        "int32" => FieldType::Integer,
        "int64" | "bigint" | "integer" => FieldType::BigInteger,
        "float32" => FieldType::Single,
        "float64" | "real" | "double" => FieldType::Double,
        "realdate" => FieldType::Date,
        "uuidtext" => FieldType::Guid,
        "blob" | "geometryblob" => FieldType::Blob,
        "xmltext" => FieldType::Xml,
        _ => FieldType::Text,
    }
}

/// Shapes and grid of a layer; the error is why they cannot be read.
fn shapes(
    catalog: &Catalog,
    listed: &Listed,
    geometry_type: i64,
    srid: i64,
    name: String,
) -> Result<(GeometryField, PrecisionGrid), String> {
    let table = shown(&listed.table);
    let shape_type = word(listed, "ShapeType", "geometryType").unwrap_or_default();
    let kind = match geometry_type % 1_000 {
        _ if shape_type == "esriGeometryMultiPatch" => Err("multipatches".to_owned()),
        1 => Ok(GeometryKind::Point),
        4 => Ok(GeometryKind::Multipoint),
        5 => Ok(GeometryKind::Line),
        6 => Ok(GeometryKind::Polygon),
        other => Err(format!("shapes of the unknown type {other}")),
    };
    let kind =
        kind.map_err(|found| format!("layer `{table}` has {found}, expected points, multipoints, lines or polygons"))?;
    let says = |xml: &str, json: &str| {
        let service = listed.service.as_ref().and_then(|s| s.get(json)?.as_bool());
        listed.definition.as_ref().is_some_and(|root| root.says(xml)) || service == Some(true)
    };
    let (has_z, has_m) =
        (geometry_type / 1_000 % 2 == 1 || says("HasZ", "hasZ"), geometry_type >= 2_000 || says("HasM", "hasM"));
    let reference = listed.definition.as_ref().and_then(spatial_reference_element);
    let aux = catalog.references.get(&srid);
    let grid = aux.map(|aux| aux.grid).filter(|grid| grid.is_usable(has_z, has_m));
    let grid = grid.or_else(|| reference.and_then(grid_of).filter(|grid| grid.is_usable(has_z, has_m)));
    let Some(grid) = grid else {
        return Err(format!("layer `{table}` has no usable precision grid for its spatial reference {srid}"));
    };
    let number = |name: &str| reference?.child_text(name)?.parse::<u32>().ok();
    let wkid =
        number("WKID").or_else(|| aux?.wkid).or_else(|| u32::try_from(srid).ok().filter(|id| *id > 0 && *id < 300_000));
    let wkt = reference.and_then(|r| r.child_text("WKT")).map(str::to_owned).or_else(|| aux?.wkt.clone());
    let known = wkid.map(SpatialReference::from_wkid).unwrap_or_default();
    let latest_wkid = number("LatestWKID").or(known.latest_wkid);
    let spatial_reference = SpatialReference { wkid, latest_wkid, wkt, ..known };
    Ok((GeometryField { name, kind, has_z, has_m, spatial_reference }, grid))
}

/// The layer's own spatial reference, not that of its extent.
fn spatial_reference_element(root: &Element) -> Option<&Element> {
    root.child("SpatialReference").or_else(|| root.child("Extent")?.child("SpatialReference"))
}

fn grid_of(reference: &Element) -> Option<PrecisionGrid> {
    let axis =
        |origin: &str, scale: &str| Some(GridAxis::new(reference.child_number(origin)?, reference.child_number(scale)?));
    let unknown = GridAxis::new(f64::NAN, f64::NAN);
    Some(PrecisionGrid {
        x: axis("XOrigin", "XYScale")?,
        y: axis("YOrigin", "XYScale")?,
        z: axis("ZOrigin", "ZScale").unwrap_or(unknown),
        m: axis("MOrigin", "MScale").unwrap_or(unknown),
    })
}

fn entries(listed: &Listed) -> impl Iterator<Item = &Json> {
    listed.service.as_ref().and_then(|s| s.get("relationships")?.as_array()).into_iter().flatten()
}

/// Relationships that the descriptions of the service tell: each side names its own key.
pub(super) fn service_relationships(catalog: &Catalog) -> Vec<crate::features::Relationship> {
    use crate::features::{Cardinality, Relationship};
    let mut items: HashMap<i64, &Listed> = HashMap::new();
    let mut backs: HashMap<(i64, i64), &Json> = HashMap::new();
    for listed in &catalog.layers {
        let Some(item) = listed.item_id.filter(|item| !items.contains_key(item)) else { continue };
        items.insert(item, listed);
        for entry in entries(listed) {
            let id = entry.get("id").and_then(Json::as_i64);
            id.into_iter().for_each(|id| _ = backs.entry((item, id)).or_insert(entry));
        }
    }
    let mut by_id: BTreeMap<i64, Relationship> = BTreeMap::new();
    for listed in &catalog.layers {
        for entry in entries(listed) {
            let text = |key: &str| entry.get(key).and_then(Json::as_str);
            let (Some(id), Some("esriRelRoleOrigin"), Some(origin_key), Some(related)) = (
                entry.get("id").and_then(Json::as_i64),
                text("role"),
                text("keyField"),
                entry.get("relatedTableId").and_then(Json::as_i64),
            ) else {
                continue;
            };
            let Some(other) = items.get(&related) else { continue };
            let back = backs.get(&(related, id));
            let Some(destination_key) = back.and_then(|back| back.get("keyField")?.as_str()) else { continue };
            let cardinality = match text("cardinality") {
                Some("esriRelCardinalityOneToOne") => Cardinality::OneToOne,
                Some("esriRelCardinalityManyToMany") => Cardinality::ManyToMany,
                _ => Cardinality::OneToMany,
            };
            let name = text("name").map_or_else(|| format!("{}_{}", listed.table, other.table), str::to_owned);
            let relationship = Relationship {
                name,
                origin: listed.table.clone(),
                origin_key: origin_key.to_owned(),
                destination: other.table.clone(),
                destination_key: destination_key.to_owned(),
                cardinality,
                is_composite: entry.get("composite").and_then(Json::as_bool).unwrap_or(false),
            };
            by_id.entry(id).or_insert(relationship);
        }
    }
    by_id.into_values().collect()
}

/// A name quoted for SQL, of its table.
pub(super) fn of_table(alias: &str, name: &str) -> String {
    format!("{alias}.{}", quoted(name))
}
