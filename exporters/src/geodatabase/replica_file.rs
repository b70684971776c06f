//! A mobile geodatabase that came home: checked as SQLite, its rows counted.
//!
//! Plain SQLite cannot do everything with such a file: virtual tables and a collation of Esri's are missing. Reading tables and
//! `GDB_ServiceItems` works. Source: mobile map package reference B.1, B.4, B.5.

use offmap_engine::{Failure, FailureKind, FailureOwner, FailureStage};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};
use std::io::Read as _;
use std::path::Path;

/// First bytes of every SQLite file.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Julian days above this mark the current version of a row (`gdb_to_date` = 9999-12-31 23:59:59).
const CURRENT: f64 = 5_373_484.0;

/// A layer or table in the geodatabase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReplicaLayer {
    /// `GDB_ServiceItems.ItemId`: the service's layer id in a replica.
    pub(super) item_id: i64,
    pub(super) table: String,
    pub(super) rows: u64,
    /// Rows of its attachment table, where it has one.
    pub(super) attachments: Option<u64>,
}

fn corrupt(path: &Path, words: impl std::fmt::Display) -> Failure {
    let message = format!("the replica {} is damaged: {words}", path.file_name().unwrap_or_default().display());
    Failure::new(FailureOwner::Source, FailureKind::Corrupt, FailureStage::Check, message)
}

/// A name as an SQL identifier.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn connect(path: &Path) -> Result<Connection, Failure> {
    let mut head = [0; 16];
    let cannot_open = |e| Failure::io(FailureStage::Check, format!("cannot open {}", path.display()), &e);
    let mut file = std::fs::File::open(path).map_err(cannot_open)?;
    if file.read_exact(&mut head).is_err() || head != *MAGIC {
        return Err(corrupt(path, "its first bytes are not the expected `SQLite format 3`"));
    }
    // Immutable, since a file straight from a server may have the WAL flag set without its WAL beside it.
    let absolute = std::path::absolute(path).map_err(cannot_open)?;
    let mut address = url::Url::from_file_path(absolute).map_err(|()| corrupt(path, "its path is no file address"))?;
    address.set_query(Some("immutable=1"));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(address.as_str(), flags).map_err(|e| corrupt(path, e))?;
    connection
        .create_collation("ICUFOLDCASE", |a: &str, b: &str| a.to_lowercase().cmp(&b.to_lowercase()))
        .map_err(|e| corrupt(path, e))?;
    Ok(connection)
}

/// Checks the file and counts the current rows of every layer and table. Blocks.
pub(super) fn examine(path: &Path) -> Result<Vec<ReplicaLayer>, Failure> {
    let connection = connect(path)?;
    let failed = |e: rusqlite::Error| corrupt(path, e);
    quick_check(&connection, path)?;
    let has_items: Option<i64> = connection
        .query_row("SELECT 1 FROM sqlite_master WHERE name = 'GDB_ServiceItems'", [], |r| r.get(0))
        .optional()
        .map_err(failed)?;
    if has_items.is_none() {
        return Err(corrupt(path, "it has no table GDB_ServiceItems, so its layers cannot be told"));
    }
    let mut statement = connection
        .prepare("SELECT ItemId, DatasetName FROM GDB_ServiceItems WHERE ItemType = 1 ORDER BY ItemId")
        .map_err(failed)?;
    let items: Vec<(i64, String)> =
        statement.query_map([], |r| Ok((r.get(0)?, r.get(1)?))).and_then(Iterator::collect).map_err(failed)?;
    let mut layers = Vec::new();
    for (item_id, name) in items {
        let table = name.strip_prefix("main.").unwrap_or(&name).to_owned();
        let rows = count_rows(&connection, &table).map_err(|e| corrupt(path, format!("table `{table}`: {e}")))?;
        let attached = format!("{table}__ATTACH");
        let sql = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND lower(name) = lower(?1)";
        let there: i64 = connection.query_row(sql, [&attached], |r| r.get(0)).map_err(failed)?;
        let attachments = match there {
            0 => None,
            _ => Some(count_rows(&connection, &attached).map_err(|e| corrupt(path, format!("table `{attached}`: {e}")))?),
        };
        layers.push(ReplicaLayer { item_id, table, rows, attachments });
    }
    Ok(layers)
}

/// Checks table by table, since a check of the whole file wants Esri's modules for its virtual tables.
fn quick_check(connection: &Connection, path: &Path) -> Result<(), Failure> {
    let failed = |e: rusqlite::Error| corrupt(path, e);
    let mut statement =
        connection.prepare("SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage > 0").map_err(failed)?;
    let tables: Vec<String> = statement.query_map([], |r| r.get(0)).and_then(Iterator::collect).map_err(failed)?;
    for table in tables {
        let sql = format!("PRAGMA quick_check({})", quoted(&table));
        let word: String = connection.query_row(&sql, [], |r| r.get(0)).map_err(failed)?;
        if word != "ok" {
            return Err(corrupt(path, format!("table `{table}`: {word}")));
        }
    }
    Ok(())
}

/// A tracked table keeps old versions of rows; only the current ones count.
fn current_rows(connection: &Connection, table: &str) -> rusqlite::Result<String> {
    let sql = "SELECT count(*) FROM pragma_table_info(?1) WHERE lower(name) = 'gdb_to_date'";
    let tracked: i64 = connection.query_row(sql, [table], |r| r.get(0))?;
    let filter = if tracked > 0 { format!(" WHERE gdb_to_date > {CURRENT}") } else { String::new() };
    Ok(format!("{}{filter}", quoted(table)))
}

fn count_rows(connection: &Connection, table: &str) -> rusqlite::Result<u64> {
    let sql = format!("SELECT count(*) FROM {}", current_rows(connection, table)?);
    let rows: i64 = connection.query_row(&sql, [], |r| r.get(0))?;
    Ok(u64::try_from(rows).unwrap_or(0))
}

/// Hands on the distinct values of a key column as SQL literals, `size` at a time, until `take` says that it is enough. Blocks.
pub(super) fn key_literals(
    path: &Path,
    table: &str,
    column: &str,
    size: usize,
    mut take: impl FnMut(String) -> bool,
) -> Result<(), Failure> {
    let connection = connect(path)?;
    let failed = |e: rusqlite::Error| corrupt(path, e);
    let rows = current_rows(&connection, table).map_err(failed)?;
    let sql = format!("SELECT DISTINCT {0} FROM {rows}", quoted(column));
    let mut statement = connection.prepare(&sql).map_err(failed)?;
    let mut found = statement.query([]).map_err(failed)?;
    let mut literals: Vec<String> = Vec::with_capacity(size);
    while let Some(row) = found.next().map_err(failed)? {
        literals.push(match row.get_ref(0).map_err(failed)? {
            rusqlite::types::ValueRef::Integer(n) => n.to_string(),
            rusqlite::types::ValueRef::Real(n) => n.to_string(),
            rusqlite::types::ValueRef::Text(t) => format!("'{}'", String::from_utf8_lossy(t).replace('\'', "''")),
            _ => continue,
        });
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
        let layers = examine(&path).expect("reads");
        assert_eq!((layers.len(), layers[0].item_id, layers[0].rows), (1, 0, 475));
        assert_eq!(layers[0].table, "Trailheads");
        let mut pieces = Vec::new();
        let mut take = |piece: String, most: usize| {
            pieces.push(piece.split(',').count());
            pieces.len() < most
        };
        key_literals(&path, "Trailheads", "OBJECTID_1", 100, |piece| take(piece, 9)).expect("reads");
        assert_eq!(pieces, [100, 100, 100, 100, 75]);
        pieces.clear();
        let mut take = |piece: String| {
            pieces.push(piece.len());
            pieces.len() < 2
        };
        key_literals(&path, "Trailheads", "OBJECTID_1", 100, &mut take).expect("reads");
        assert_eq!(pieces.len(), 2, "nobody wants the third");
    }

    #[test]
    fn what_is_not_sqlite_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("x.geodatabase");
        std::fs::write(&path, b"{\"error\":{\"code\":500}}").expect("writes");
        let failure = examine(&path).expect_err("refused");
        assert!(failure.message.contains("expected `SQLite format 3`"), "{failure}");
    }
}
