//! What an earlier process left of a file: nothing, a half, or all of it without its name.

use super::progress;
use crate::features::Resume;
use crate::foreign_sqlite::quoted;
use rusqlite::{Connection, OptionalExtension as _};

/// How far the file beside a destination has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It has nothing yet. So is a file that another program wrote, in which the first tables cannot be made.
    New,
    /// It is being written, and says how far it is.
    Half,
    /// It is complete, and was not renamed.
    Complete,
}

impl Stage {
    /// That of a file of a format, which is told by its application id.
    pub(crate) fn of(connection: &Connection, application_id: i32) -> rusqlite::Result<Self> {
        if progress::is_there(connection)? {
            return Ok(Self::Half);
        }
        let found: i32 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
        let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))?;
        // Tables and the end of the half are written in one transaction each, so that there are all of them or none.
        Ok(if found == application_id && tables > 0 { Self::Complete } else { Self::New })
    }
}

/// How many rows a layer has in a file that is complete: all, behind whatever row. `None` where its table is another one.
pub(crate) fn all_rows(connection: &Connection, table: &str, definition: &str) -> rusqlite::Result<Option<Resume>> {
    let sql = "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?1";
    let found: Option<String> = connection.query_row(sql, [table], |row| row.get(0)).optional()?;
    if found.as_deref() != Some(definition) {
        return Ok(None);
    }
    count_rows(connection, table).map(Some)
}

/// The rows of a table that is complete.
pub(crate) fn count_rows(connection: &Connection, table: &str) -> rusqlite::Result<Resume> {
    let rows: i64 = connection.query_row(&format!("SELECT count(*) FROM {}", quoted(table)), [], |row| row.get(0))?;
    Ok(Resume { after: Some(i64::MAX), rows: u64::try_from(rows).unwrap_or(0) })
}
