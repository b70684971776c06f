//! Keys of a table, as literals for the where clauses of a service.

use super::current_rows::current_rows;
use crate::foreign_sqlite::{ForeignSqlite, quoted};
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use rusqlite::types::ValueRef;
use std::path::Path;
use tokio_util::sync::CancellationToken;

/// Bytes of the longest key, and of all keys of a table together, that are handed on.
const LONGEST_KEY: usize = 1_000;
const MOST_KEY_BYTES: usize = 64 << 20;
/// Declared type of a GUID or global id (mobile map package reference B.4).
const GUID_TYPE: &str = "uuidtext";

/// Hands on the distinct values of a key column as SQL literals, `size` at a time, until `take` says that it is enough. Blocks as
/// [`describe`](super::describe) does.
///
/// A GUID is written in upper case with braces, however the replica spells it: ArcGIS Online accepts any spelling, ArcGIS Enterprise
/// only this one. Source: feature service reference §2.2.
///
/// # Errors
/// If the file is damaged, has no such table, or its keys are longer or more than can be kept in memory.
pub fn key_literals(
    path: &Path,
    table: &str,
    column: &str,
    size: usize,
    cancel: &CancellationToken,
    mut take: impl FnMut(String) -> bool,
) -> Result<(), Failure> {
    let file = ForeignSqlite::open(path, cancel)?;
    let failed = |e| file.failure(e);
    let shown = table.escape_debug();
    if !file.tables()?.contains_key(&table.to_lowercase()) {
        return Err(file.corrupt(format!("it has no table `{shown}`")));
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
        let value = row.get_ref(0).map_err(failed)?;
        if matches!(value, ValueRef::Text(text) if text.len() > LONGEST_KEY) {
            return Err(file.corrupt(format!("table `{shown}` has a key longer than {LONGEST_KEY} bytes")));
        }
        let Some(literal) = literal(value, is_guid) else { continue };
        bytes += literal.len();
        literals.push(literal);
        if bytes > MOST_KEY_BYTES {
            let message = format!(
                "the keys of table `{shown}` have more than {} MiB, so its related rows cannot be counted; take a smaller area",
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

/// A key as an SQL literal; `None` for what is no key.
fn literal(value: ValueRef<'_>, is_guid: bool) -> Option<String> {
    match value {
        ValueRef::Integer(n) => Some(n.to_string()),
        ValueRef::Real(n) => Some(n.to_string()),
        // What is no GUID equals none, and some databases refuse a whole clause for it.
        ValueRef::Text(text) if is_guid => {
            uuid::Uuid::try_parse_ascii(text).ok().map(|guid| format!("'{:X}'", guid.braced()))
        }
        ValueRef::Text(text) => Some(format!("'{}'", String::from_utf8_lossy(text).replace('\'', "''"))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_handed_on_in_pieces_until_nobody_wants_more() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/samples/webmaps/la-trails.geodatabase");
        let Ok(path) = path.canonicalize() else {
            eprintln!("skipped: {} is not there", path.display());
            return;
        };
        let cancel = CancellationToken::new();
        let mut pieces = Vec::new();
        let mut take = |piece: String, most: usize| {
            pieces.push(piece.split(',').count());
            pieces.len() < most
        };
        key_literals(&path, "Trailheads", "OBJECTID_1", 100, &cancel, |piece| take(piece, 9)).expect("reads");
        assert_eq!(pieces, [100, 100, 100, 100, 75]);
        pieces.clear();
        let mut take = |piece: String| {
            pieces.push(piece.len());
            pieces.len() < 2
        };
        key_literals(&path, "Trailheads", "OBJECTID_1", 100, &cancel, &mut take).expect("reads");
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
            key_literals(&path, "Sites", column, 2, &CancellationToken::new(), take).expect("reads");
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
}
