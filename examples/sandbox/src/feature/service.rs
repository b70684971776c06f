//! A feature service: its layers, their rows as SQL, and what was edited.

use super::abilities::Abilities;
use super::layer::Layer;
use crate::answer::{Rest, RestError};
use crate::data::{Attachment, Data};
use crate::lock::lock;
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, params_from_iter};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// A feature service.
#[derive(Debug)]
pub(crate) struct FeatureService {
    pub(crate) name: &'static str,
    pub(crate) capabilities: &'static str,
    pub(crate) sync_enabled: bool,
    pub(crate) layers: Vec<Layer>,
    /// Members that replace those of its description.
    pub(crate) extra: Value,
    /// How its rows may be asked for.
    pub(crate) abilities: Abilities,
    pub(crate) data: Arc<Data>,
    /// The rows' attributes as tables, so that a where clause is plain SQL; made for the first that asks.
    sql: Mutex<Option<Connection>>,
    edits: Mutex<Edits>,
}

/// What colleagues edited.
#[derive(Debug, Default)]
struct Edits {
    /// Rows that are not there, by layer.
    absent: BTreeMap<u32, BTreeSet<i64>>,
    /// Those that were not there before anybody edited.
    absent_at_first: BTreeMap<u32, BTreeSet<i64>>,
    count: i64,
}

/// What a GUID stands for, whatever its case and braces.
fn bare_guid(text: &str) -> String {
    text.trim_matches(['{', '}']).to_ascii_lowercase()
}

fn to_sql(value: Option<&Value>) -> Sql {
    match value {
        Some(Value::Number(n)) => n.as_i64().map_or_else(|| Sql::Real(n.as_f64().unwrap_or(0.0)), Sql::Integer),
        Some(Value::String(text)) => Sql::Text(text.clone()),
        _ => Sql::Null,
    }
}

/// The rows of layers as tables.
fn tables(layers: &[Layer]) -> rusqlite::Result<Connection> {
    let sql = Connection::open_in_memory()?;
    sql.create_collation("GUID", |a, b| bare_guid(a).cmp(&bare_guid(b)))?;
    for layer in layers {
        let names = layer.field_names();
        let columns: Vec<String> = names.iter().map(|n| format!("\"{n}\"")).collect();
        let table = format!("layer{}", layer.id);
        sql.execute_batch(&format!("CREATE TABLE {table}({})", columns.join(",")))?;
        // ArcGIS Server compares GUIDs as text, ArcGIS Online by what they stand for.
        let collated = |name: &&str| format!("\"{name}\"{}", if layer.is_guid(name) { " COLLATE GUID" } else { "" });
        let collated: Vec<String> = names.iter().map(collated).collect();
        sql.execute_batch(&format!("CREATE TABLE hosted_{table}({})", collated.join(",")))?;
        let marks = vec!["?"; names.len()].join(",");
        let mut insert = sql.prepare(&format!("INSERT INTO {table} VALUES({marks})"))?;
        for row in layer.rows.iter() {
            insert.execute(params_from_iter(names.iter().map(|n| to_sql(row.attributes.get(*n)))))?;
        }
        sql.execute_batch(&format!("INSERT INTO hosted_{table} SELECT * FROM {table}"))?;
    }
    sql.pragma_update(None, "query_only", true)?;
    Ok(sql)
}

impl FeatureService {
    pub(crate) fn new(
        name: &'static str,
        capabilities: &'static str,
        sync_enabled: bool,
        layers: Vec<Layer>,
        data: &Arc<Data>,
    ) -> Self {
        Self {
            name,
            capabilities,
            sync_enabled,
            layers,
            extra: Value::Null,
            abilities: Abilities::default(),
            data: Arc::clone(data),
            sql: Mutex::default(),
            edits: Mutex::default(),
        }
    }

    pub(crate) fn layer(&self, id: u32) -> Rest<&Layer> {
        self.layers.iter().find(|l| l.id == id).ok_or_else(|| RestError::new(404, "Layer not found."))
    }

    /// Deletes and adds rows of a layer.
    pub(crate) fn edit(&self, layer: u32, deleted: &[i64], added: &[i64]) {
        let mut edits = lock(&self.edits);
        let absent = edits.absent.entry(layer).or_default();
        absent.extend(deleted);
        absent.retain(|id| !added.contains(id));
        edits.count += 1;
    }

    /// Keeps rows out before anybody edits.
    pub(crate) fn withhold(&self, layer: u32, ids: &[i64]) {
        self.edit(layer, ids, &[]);
        lock(&self.edits).absent_at_first.entry(layer).or_default().extend(ids);
    }

    fn had_row(&self, layer: u32, id: i64) -> bool {
        lock(&self.edits).absent_at_first.get(&layer).is_none_or(|absent| !absent.contains(&id))
    }

    /// Whether a row is there now.
    pub(crate) fn has_row(&self, layer: u32, id: i64) -> bool {
        lock(&self.edits).absent.get(&layer).is_none_or(|absent| !absent.contains(&id))
    }

    /// When a layer was edited last, in milliseconds since 1970.
    pub(crate) fn last_edit_date(&self) -> i64 {
        1_704_153_600_000_i64 + lock(&self.edits).count * 1000
    }

    pub(crate) fn is_editable(&self) -> bool {
        self.capabilities.contains("Editing")
    }

    /// Ids of the rows that meet a where clause, in ascending order or as asked; a hosted service accepts any spelling of a GUID,
    /// ArcGIS Server its own only (upper case in braces).
    pub(crate) fn ids_where(&self, layer: &Layer, clause: &str, order: &str, online: bool) -> Rest<Vec<i64>> {
        self.ids_where_at(layer, clause, order, (online, false))
    }

    /// The same, now or before anybody edited.
    pub(crate) fn ids_where_at(
        &self,
        layer: &Layer,
        clause: &str,
        order: &str,
        (online, at_first): (bool, bool),
    ) -> Rest<Vec<i64>> {
        let bad = |_| {
            let message = "Cannot perform query. Invalid query parameters.";
            RestError::with_detail(400, message, "'where' parameter is invalid")
        };
        let mut sql = lock(&self.sql);
        let sql = match &mut *sql {
            Some(sql) => sql,
            sql => sql.insert(tables(&self.layers).map_err(|e| RestError::new(500, &e.to_string()))?),
        };
        let table = if online { "hosted_layer" } else { "layer" };
        let text = format!("SELECT OBJECTID FROM {table}{} WHERE ({clause}) ORDER BY {order}", layer.id);
        let mut statement = sql.prepare(&text).map_err(bad)?;
        let ids: Vec<i64> = statement.query_map([], |r| r.get(0)).and_then(Iterator::collect).map_err(bad)?;
        let is_there = |id: &i64| if at_first { self.had_row(layer.id, *id) } else { self.has_row(layer.id, *id) };
        Ok(ids.into_iter().filter(is_there).collect())
    }

    /// The photos of a row.
    pub(crate) fn photos_of(&self, layer: &Layer, parent: i64) -> impl Iterator<Item = &Attachment> {
        let has = layer.has_attachments;
        self.data.photos.iter().filter(move |a| has && a.parent == parent)
    }
}
