//! Which rows of a table count: a table that keeps its history has old versions of rows as well.
//!
//! Source: mobile map package reference B.4.

use crate::foreign_sqlite::{ForeignSqlite, quoted};
use offmap_model::Failure;

/// Julian days above this mark the current version of a row (`gdb_to_date` = 9999-12-31 23:59:59).
pub(super) const CURRENT: f64 = 5_373_484.0;

/// A table and the condition under which its rows are current, as they stand behind `FROM`.
pub(super) fn current_rows(file: &ForeignSqlite, table: &str) -> Result<String, Failure> {
    let tracked = file.columns(table)?.iter().any(|name| name == "gdb_to_date");
    let filter = if tracked { format!(" WHERE gdb_to_date > {CURRENT}") } else { String::new() };
    Ok(format!("{}{filter}", quoted(table)))
}
