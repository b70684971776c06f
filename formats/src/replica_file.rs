//! A mobile geodatabase that came home: checked as SQLite, its rows counted.
//!
//! Plain SQLite cannot do everything with such a file: virtual tables and a collation of Esri's are missing. Reading tables and
//! `GDB_ServiceItems` works. Source: mobile map package reference B.1, B.4, B.5.

use crate::containers::Damages;
use crate::foreign_sqlite::{ForeignSqlite, quoted};
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use std::collections::HashMap;
use std::path::Path;
use tokio_util::sync::CancellationToken;

/// Julian days above this mark the current version of a row (`gdb_to_date` = 9999-12-31 23:59:59).
const CURRENT: f64 = 5_373_484.0;
/// Layers and tables that a replica may list.
const MOST_ITEMS: usize = 10_000;
/// Bytes of the longest key, and of all keys of a table together, that are handed on.
const LONGEST_KEY: usize = 1_000;
const MOST_KEY_BYTES: usize = 64 << 20;
/// Declared type of a GUID or global id (mobile map package reference B.4).
const GUID_TYPE: &str = "uuidtext";

/// A layer or table in the geodatabase.
#[derive(Debug, Clone, PartialEq, Eq)]
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
        if items.len() >= MOST_ITEMS || name.len() > LONGEST_KEY {
            return Err(file.corrupt(format!("its list of items has more than {MOST_ITEMS} entries or very long names")));
        }
        items.push((row.get(0).map_err(failed)?, name));
    }
    Ok(items)
}

/// A tracked table keeps old versions of rows; only the current ones count.
fn current_rows(file: &ForeignSqlite, table: &str) -> Result<String, Failure> {
    let tracked = file.columns(table)?.iter().any(|name| name == "gdb_to_date");
    let filter = if tracked { format!(" WHERE gdb_to_date > {CURRENT}") } else { String::new() };
    Ok(format!("{}{filter}", quoted(table)))
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

/// Hands on the distinct values of a key column as SQL literals, `size` at a time, until `take` says that it is enough. Blocks as
/// [`examine`] does.
///
/// A GUID is written in upper case with braces, however the replica spells it: ArcGIS Online takes any spelling, ArcGIS Enterprise
/// only this one. Source: feature service reference §2.2.
pub fn key_literals(
    path: &Path,
    (table, column): (&str, &str),
    size: usize,
    cancel: &CancellationToken,
    mut take: impl FnMut(String) -> bool,
) -> Result<(), Failure> {
    let file = ForeignSqlite::open(path, cancel)?;
    let failed = |e| file.failure(e);
    if !file.tables()?.contains_key(&table.to_lowercase()) {
        return Err(file.corrupt(format!("it has no table `{}`", table.escape_debug())));
    }
    let is_guid = file.column_type(table, column)?.is_some_and(|t| t.eq_ignore_ascii_case(GUID_TYPE));
    let key = if is_guid { format!("upper(trim({}, '{{}}'))", quoted(column)) } else { quoted(column) };
    let sql = format!("SELECT DISTINCT {key} FROM {}", current_rows(&file, table)?);
    let mut statement = file.connection.prepare(&sql).map_err(failed)?;
    let mut found = statement.query([]).map_err(failed)?;
    let mut literals: Vec<String> = Vec::with_capacity(size);
    // SQLite keeps the distinct keys in memory meanwhile.
    let mut bytes = 0;
    while let Some(row) = found.next().map_err(failed)? {
        literals.push(match row.get_ref(0).map_err(failed)? {
            rusqlite::types::ValueRef::Integer(n) => n.to_string(),
            rusqlite::types::ValueRef::Real(n) => n.to_string(),
            rusqlite::types::ValueRef::Text(t) if t.len() > LONGEST_KEY => {
                return Err(
                    file.corrupt(format!("table `{}` has a key longer than {LONGEST_KEY} bytes", table.escape_debug()))
                );
            }
            // What is no GUID equals none, and some databases refuse a whole clause for it.
            rusqlite::types::ValueRef::Text(t) if is_guid => match uuid::Uuid::try_parse_ascii(t) {
                Ok(guid) => format!("'{:X}'", guid.braced()),
                Err(_) => continue,
            },
            rusqlite::types::ValueRef::Text(t) => format!("'{}'", String::from_utf8_lossy(t).replace('\'', "''")),
            _ => continue,
        });
        bytes += literals.last().map_or(0, String::len);
        if bytes > MOST_KEY_BYTES {
            let message = format!(
                "the keys of table `{}` have more than {} MiB, so its related rows cannot be counted; take a smaller area",
                table.escape_debug(),
                MOST_KEY_BYTES >> 20
            );
            return Err(Failure::new(FailureOwner::Limit, FailureKind::LimitExceeded, FailureStage::Check, message));
        }
        if literals.len() >= size {
            let piece = literals.join(",");
            literals.clear();
            if !take(piece) {
                return Ok(());
            }
        }
    }
    if !literals.is_empty() {
        take(literals.join(","));
    }
    Ok(())
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
        let mut pieces = Vec::new();
        let mut take = |piece: String, most: usize| {
            pieces.push(piece.split(',').count());
            pieces.len() < most
        };
        key_literals(&path, ("Trailheads", "OBJECTID_1"), 100, &cancel, |piece| take(piece, 9)).expect("reads");
        assert_eq!(pieces, [100, 100, 100, 100, 75]);
        pieces.clear();
        let mut take = |piece: String| {
            pieces.push(piece.len());
            pieces.len() < 2
        };
        key_literals(&path, ("Trailheads", "OBJECTID_1"), 100, &cancel, &mut take).expect("reads");
        assert_eq!(pieces.len(), 2, "nobody wants the third");
    }

    #[test]
    fn a_guid_is_a_literal_in_upper_case_with_braces_and_other_text_stays() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("x.geodatabase");
        let file = rusqlite::Connection::open(&path).expect("opens");
        file.execute_batch(
            "CREATE TABLE Sites(GlobalID UUIDTEXT, Name text(40));
             INSERT INTO Sites VALUES('0ff0a900-0000-4000-8000-00000000000a', '{o''hara}'), ('{0FF0A900-0000-4000-8000-00000000000A}', 'b'),
             ('0FF0A900-0000-4000-8000-00000000000B', '0ff0a900-0000-4000-8000-00000000000a'), ('{0ff0a900-0000-4000-8000-00000000000c}', NULL),
             (NULL, 'b'), ('no GUID', 'b');",
        )
        .expect("a table");
        drop(file);
        let literals = |column: &str| {
            let mut all = Vec::new();
            let take = |piece: String| {
                all.extend(piece.split(',').map(str::to_owned));
                true
            };
            key_literals(&path, ("Sites", column), 2, &CancellationToken::new(), take).expect("reads");
            all.sort();
            all
        };
        let guid = |last: char| format!("'{{0FF0A900-0000-4000-8000-00000000000{last}}}'");
        assert_eq!(
            literals("globalid"),
            [guid('A'), guid('B'), guid('C')],
            "one GUID is one key, however often it is spelt"
        );
        assert_eq!(literals("Name"), ["'0ff0a900-0000-4000-8000-00000000000a'", "'b'", "'{o''hara}'"]);
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
