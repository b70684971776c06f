//! What a geodatabase says of its layers and tables, as its system tables hold it.
//!
//! Source: mobile map package reference B.2, B.3, B.5.

use super::definition::{Element, read_definition};
use super::domains::{bare, domain_of_xml, relationship_of_xml};
use crate::features::{Domain, Relationship};
use crate::foreign_sqlite::ForeignSqlite;
use crate::geometry::{GridAxis, PrecisionGrid};
use offmap_model::Failure;
use rusqlite::Row;
use serde_json::Value as Json;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Types of items.
const FEATURE_CLASS: &str = "{70737809-852C-4A03-9E22-2CECEA5B9BFA}";
const TABLE: &str = "{CD06BC3B-789D-4C51-AAFA-A467912B8965}";
const RELATIONSHIP_CLASS: &str = "{B606A7E1-FA5B-439C-849C-6E9C2481537B}";
const CODED_DOMAIN: &str = "{8C368B12-A12E-4C7E-9638-C9C64E69E98F}";
const RANGE_DOMAIN: &str = "{C29DA988-8C3E-45F7-8B5C-18E51EE7BEB4}";
/// Items, spatial references and geometry columns that are read, and bytes of the longest text of one.
const MOST_ROWS: usize = 20_000;
const LONGEST: usize = 8 << 20;
/// Bytes of all definitions, and of all descriptions, together; what comes behind is not read.
const MOST_BYTES: usize = 128 << 20;
/// Tables that a desktop program keeps its own books in.
const NO_LAYERS: [&str; 1] = ["consolidationmapping_gdb"];
/// How the tables of attachments end.
pub(super) const ATTACHMENTS: &str = "__attach";

/// A geometry column.
#[derive(Debug, Clone)]
pub(super) struct GeometryColumn {
    pub(super) column: String,
    pub(super) geometry_type: i64,
    pub(super) srid: i64,
}

/// A spatial reference that is listed in the file.
#[derive(Debug, Clone)]
pub(super) struct ListedReference {
    pub(super) wkid: Option<u32>,
    pub(super) wkt: Option<String>,
    pub(super) grid: PrecisionGrid,
}

/// A layer or table as the file lists it.
#[derive(Debug, Clone, Default)]
pub(super) struct Listed {
    pub(super) table: String,
    pub(super) item_id: Option<i64>,
    pub(super) definition: Option<Element>,
    /// As its service describes it.
    pub(super) service: Option<Json>,
}

/// Everything that the system tables say.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    pub(super) layers: Vec<Listed>,
    pub(super) geometry_columns: HashMap<String, GeometryColumn>,
    pub(super) references: HashMap<i64, ListedReference>,
    pub(super) domains: BTreeMap<String, Arc<Domain>>,
    pub(super) relationships: Vec<Relationship>,
    /// All ordinary tables, by their names in lower case.
    pub(super) tables: BTreeMap<String, String>,
    /// Columns of object ids.
    pub(super) id_columns: HashMap<String, String>,
}

/// Bytes that may still be read.
pub(super) struct Budget(pub(super) usize);

impl Budget {
    pub(super) fn take(&mut self, text: &str) -> bool {
        let rest = self.0.checked_sub(text.len());
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }
}

/// Hands on the rows of a system table; none where there is no such table, or one without these columns.
pub(super) fn each_row(
    file: &ForeignSqlite,
    tables: &BTreeMap<String, String>,
    (table, columns): (&str, &[&str]),
    mut take: impl FnMut(&Row<'_>) -> rusqlite::Result<()>,
) -> Result<(), Failure> {
    file.go_on()?;
    let Some(name) = tables.get(&table.to_lowercase()) else { return Ok(()) };
    let there = file.columns(name)?;
    if !columns.iter().all(|c| there.contains(&c.to_lowercase())) {
        return Ok(());
    }
    let failed = |e| file.failure(e);
    let sql = format!("SELECT {} FROM {name} LIMIT {MOST_ROWS}", columns.join(", "));
    let mut statement = file.connection.prepare(&sql).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        take(row).map_err(failed)?;
    }
    Ok(())
}

/// A text of a row; nothing for what is no text, or longer than any that is needed.
pub(super) fn text(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<String>> {
    let text = row.get_ref(at)?.as_str_or_null().ok().flatten().filter(|text| text.len() <= LONGEST);
    Ok(text.map(str::to_owned))
}

pub(super) fn whole(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<i64>> {
    Ok(row.get_ref(at)?.as_i64_or_null().ok().flatten())
}

fn real(row: &Row<'_>, at: usize) -> rusqlite::Result<f64> {
    Ok(match row.get_ref(at)? {
        rusqlite::types::ValueRef::Real(n) => n,
        // Grids of whole numbers; the cast is exact for any that a grid has.
        rusqlite::types::ValueRef::Integer(n) => n as f64,
        _ => f64::NAN,
    })
}

/// Reads the system tables.
pub(super) fn read_catalog(file: &ForeignSqlite) -> Result<Catalog, Failure> {
    let mut catalog = Catalog { tables: file.tables()?, ..Catalog::default() };
    read_geometry_columns(file, &mut catalog)?;
    read_references(file, &mut catalog)?;
    let columns = ["table_name", "rowid_column"];
    each_row(file, &catalog.tables, ("GDB_TableRegistry", &columns), |row| {
        if let (Some(table), Some(column)) = (text(row, 0)?, text(row, 1)?) {
            catalog.id_columns.insert(table.to_lowercase(), column);
        }
        Ok(())
    })?;
    read_service_items(file, &mut catalog)?;
    read_items(file, &mut catalog)?;
    Ok(catalog)
}

fn read_geometry_columns(file: &ForeignSqlite, catalog: &mut Catalog) -> Result<(), Failure> {
    let columns = ["f_table_name", "f_geometry_column", "geometry_type", "srid"];
    each_row(file, &catalog.tables, ("st_geometry_columns", &columns), |row| {
        if let (Some(table), Some(column), Some(geometry_type), Some(srid)) =
            (text(row, 0)?, text(row, 1)?, whole(row, 2)?, whole(row, 3)?)
        {
            catalog.geometry_columns.insert(table.to_lowercase(), GeometryColumn { column, geometry_type, srid });
        }
        Ok(())
    })
}

fn read_references(file: &ForeignSqlite, catalog: &mut Catalog) -> Result<(), Failure> {
    let columns = ["srid", "auth_srid", "srtext", "falsex", "falsey", "xyunits", "falsez", "zunits", "falsem", "munits"];
    each_row(file, &catalog.tables, ("st_aux_spatial_reference_systems", &columns), |row| {
        let Some(srid) = whole(row, 0)? else { return Ok(()) };
        let axis = |origin, scale| Ok::<_, rusqlite::Error>(GridAxis::new(real(row, origin)?, real(row, scale)?));
        let grid = PrecisionGrid { x: axis(3, 5)?, y: axis(4, 5)?, z: axis(6, 7)?, m: axis(8, 9)? };
        let wkid = whole(row, 1)?.and_then(|id| u32::try_from(id).ok());
        // Those that the file makes up itself have its own id and no definition.
        let wkid = wkid.filter(|id| i64::from(*id) != srid);
        let wkt = text(row, 2)?.filter(|wkt| wkt.contains('['));
        catalog.references.insert(srid, ListedReference { wkid, wkt, grid });
        Ok(())
    })
}

/// Layers and tables of the service, in the order of their ids.
fn read_service_items(file: &ForeignSqlite, catalog: &mut Catalog) -> Result<(), Failure> {
    let columns = ["DatasetName", "ItemType", "ItemId", "ItemInfo"];
    let mut found: Vec<(i64, String, Option<Json>)> = Vec::new();
    let mut budget = Budget(MOST_BYTES);
    each_row(file, &catalog.tables, ("GDB_ServiceItems", &columns), |row| {
        if let (Some(name), Some(1), Some(id)) = (text(row, 0)?, whole(row, 1)?, whole(row, 2)?) {
            let json = text(row, 3)?.filter(|json| budget.take(json));
            found.push((id, name, json.and_then(|json| serde_json::from_str(&json).ok())));
        }
        Ok(())
    })?;
    found.sort_by_key(|(id, ..)| *id);
    for (id, name, service) in found {
        let Some(table) = catalog.tables.get(&bare(&name).to_lowercase()).cloned() else {
            let shown = name.escape_debug();
            return Err(file.corrupt(format!("it has no table `{shown}`, which its list of items names")));
        };
        // Where two layers of a service lie in one table, it is read once.
        if !catalog.layers.iter().any(|l| l.table == table) {
            catalog.layers.push(Listed { table, item_id: Some(id), service, definition: None });
        }
    }
    Ok(())
}

/// Definitions, domains and relationships; layers that no service lists come last.
fn read_items(file: &ForeignSqlite, catalog: &mut Catalog) -> Result<(), Failure> {
    let mut items = Vec::new();
    let mut budget = Budget(MOST_BYTES);
    each_row(file, &catalog.tables, ("GDB_Items", &["Name", "Type", "Definition"]), |row| {
        let definition = text(row, 2)?.filter(|definition| budget.take(definition));
        items.extend(text(row, 0)?.zip(text(row, 1)?).zip(definition));
        Ok(())
    })?;
    for ((name, kind), definition) in items {
        let is = |kinds: &[&str]| kinds.iter().any(|k| kind.eq_ignore_ascii_case(k));
        if !is(&[FEATURE_CLASS, TABLE, RELATIONSHIP_CLASS, CODED_DOMAIN, RANGE_DOMAIN]) {
            continue;
        }
        let Some(root) = read_definition(&definition) else { continue };
        if is(&[CODED_DOMAIN, RANGE_DOMAIN]) {
            if let Some(domain) = domain_of_xml(&root) {
                catalog.domains.insert(domain.name.clone(), Arc::new(domain));
            }
        } else if is(&[RELATIONSHIP_CLASS]) {
            catalog.relationships.extend(relationship_of_xml(&root, &name));
        } else if let Some(table) = catalog.tables.get(&bare(&name).to_lowercase()).cloned() {
            let lower = table.to_lowercase();
            match catalog.layers.iter_mut().find(|l| l.table == table) {
                Some(listed) => listed.definition = Some(root),
                None if NO_LAYERS.contains(&&*lower) || lower.ends_with(ATTACHMENTS) => {}
                None => catalog.layers.push(Listed { table, definition: Some(root), ..Listed::default() }),
            }
        }
    }
    Ok(())
}
