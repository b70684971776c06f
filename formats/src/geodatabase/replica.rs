//! A mobile geodatabase that was downloaded: checked as SQLite, its rows counted.
//!
//! Plain SQLite cannot do everything with such a file: virtual tables and a collation of Esri's are missing. Reading tables and
//! `GDB_ServiceItems` works. Source: mobile map package reference B.1, B.4, B.5.

use super::current_rows::{CURRENT, current_rows};
use crate::containers::Damages;
use crate::foreign_sqlite::{ForeignSqlite, quoted};
use offmap_model::Failure;
use std::collections::HashMap;
use std::path::Path;
use tokio_util::sync::CancellationToken;

/// Layers and tables that a replica may list.
const MOST_ITEMS: usize = 10_000;
/// Bytes of the longest name in that list.
const LONGEST_NAME: usize = 1_000;

/// A layer or table in the geodatabase.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplicaLayer {
    /// `GDB_ServiceItems.ItemId`: the service's layer id in a replica.
    pub item_id: i64,
    /// Its table.
    pub table: String,
    /// Rows in it.
    pub rows: u64,
    /// Rows of its attachment table, where it has one.
    pub attachments: Option<u64>,
    /// What is wrong with its attachments.
    pub damages: Damages,
}

/// Checks the file and counts the current rows of every layer and table. Blocks until it is done, cancelled, or took longer
/// than its size explains.
///
/// # Errors
/// If it is no SQLite file, damaged, runs code of its author's when it is read, or does not list its layers.
pub fn describe(path: &Path, cancel: &CancellationToken) -> Result<Vec<ReplicaLayer>, Failure> {
    let file = ForeignSqlite::open(path, cancel)?;
    let tables = file.tables()?;
    // Table by table, since a check of the whole file wants Esri's modules for its virtual tables.
    for table in tables.values() {
        file.go_on()?;
        file.columns(table)?;
        let sql = format!("PRAGMA quick_check({})", quoted(table));
        let word: String = file.connection.query_row(&sql, [], |r| r.get(0)).map_err(|e| file.failure(e))?;
        if word != "ok" {
            return Err(file.corrupt(format!("table `{}`: {}", table.escape_debug(), word.escape_debug())));
        }
    }
    if !tables.contains_key("gdb_serviceitems") {
        return Err(file.corrupt("it has no table GDB_ServiceItems, so its layers cannot be told"));
    }
    let mut counted: HashMap<String, u64> = HashMap::new();
    let mut count = |table: &str| -> Result<u64, Failure> {
        // A table that many items name is counted once.
        if let Some(rows) = counted.get(table) {
            return Ok(*rows);
        }
        let rows = count_rows(&file, table)?;
        counted.insert(table.to_owned(), rows);
        Ok(rows)
    };
    let mut layers = Vec::new();
    for (item_id, name) in items(&file)? {
        let wanted = name.strip_prefix("main.").unwrap_or(&name).to_lowercase();
        let Some(table) = tables.get(&wanted) else {
            let shown: String = name.strip_prefix("main.").unwrap_or(&name).chars().take(200).collect();
            return Err(file.corrupt(format!("it has no table `{}`, which its list of items names", shown.escape_debug())));
        };
        let rows = count(table)?;
        let attached = format!("{wanted}__attach");
        let (attachments, damages) = match tables.get(&attached) {
            Some(attached) => (Some(count(attached)?), cut_attachments(&file, attached)?),
            None if file.has_object(&attached)? => {
                let shown = attached.escape_debug();
                return Err(file.corrupt(format!("`{shown}` is no ordinary table, expected one for attachments")));
            }
            None => (None, Damages::default()),
        };
        layers.push(ReplicaLayer { item_id, table: table.clone(), rows, attachments, damages });
    }
    Ok(layers)
}

/// The layers and tables that the file lists, by item id.
fn items(file: &ForeignSqlite) -> Result<Vec<(i64, String)>, Failure> {
    let failed = |e| file.failure(e);
    let sql = format!(
        "SELECT ItemId, DatasetName FROM GDB_ServiceItems WHERE ItemType = 1 ORDER BY ItemId LIMIT {}",
        MOST_ITEMS + 1
    );
    let mut statement = file.connection.prepare(&sql).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let mut items = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        let name: String = row.get(1).map_err(failed)?;
        if items.len() >= MOST_ITEMS || name.len() > LONGEST_NAME {
            return Err(file.corrupt(format!("its list of items has more than {MOST_ITEMS} entries or very long names")));
        }
        items.push((row.get(0).map_err(failed)?, name));
    }
    Ok(items)
}

fn count_rows(file: &ForeignSqlite, table: &str) -> Result<u64, Failure> {
    let sql = format!("SELECT count(*) FROM {}", current_rows(file, table)?);
    let rows: i64 = file.connection.query_row(&sql, [], |r| r.get(0)).map_err(|e| file.failure(e))?;
    Ok(u64::try_from(rows).unwrap_or(0))
}

/// Attachments whose bytes are not as many as their table says. Where the table does not state sizes nothing can be compared.
///
/// Source: mobile map package reference B.4 (`DATA_SIZE`, `DATA`).
fn cut_attachments(file: &ForeignSqlite, table: &str) -> Result<Damages, Failure> {
    let columns = file.columns(table)?;
    let has = |name: &str| columns.iter().any(|c| c == name);
    let mut damages = Damages::default();
    if !has("data") || !has("data_size") {
        return Ok(damages);
    }
    let id = if has("attachmentid") { "ATTACHMENTID" } else { "rowid" };
    let current = if has("gdb_to_date") { format!("gdb_to_date > {CURRENT} AND ") } else { String::new() };
    // The length of a blob is read without its bytes.
    let sql = format!(
        "SELECT CAST({id} AS TEXT), coalesce(length(DATA), 0), CAST(DATA_SIZE AS INTEGER) FROM {} WHERE {current}
         DATA_SIZE IS NOT NULL AND (coalesce(length(DATA), 0) <> DATA_SIZE OR typeof(DATA) NOT IN ('blob', 'null'))",
        quoted(table)
    );
    let failed = |e| file.failure(e);
    let mut statement = file.connection.prepare(&sql).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let id: Option<String> = row.get(0).map_err(failed)?;
        let (bytes, size): (i64, i64) = (row.get(1).map_err(failed)?, row.get(2).map_err(failed)?);
        let id: String = id.unwrap_or_default().chars().take(40).collect();
        damages.add(format!("attachment {} has {bytes} bytes, its table says {size}", id.escape_debug()));
    }
    Ok(damages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_geodatabase_is_read() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/samples/webmaps/la-trails.geodatabase");
        let Ok(path) = path.canonicalize() else {
            eprintln!("skipped: {} is not there", path.display());
            return;
        };
        let cancel = CancellationToken::new();
        let layers = describe(&path, &cancel).expect("reads");
        assert_eq!((layers.len(), layers[0].item_id, layers[0].rows), (1, 0, 475));
        assert_eq!(layers[0].table, "Trailheads");
    }

    #[test]
    fn what_is_not_sqlite_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("x.geodatabase");
        std::fs::write(&path, b"{\"error\":{\"code\":500}}").expect("writes");
        let failure = describe(&path, &CancellationToken::new()).expect_err("refused");
        assert!(failure.message.contains("expected `SQLite format 3`"), "{failure}");
    }
}
