//! Values of statements.

use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};

/// A value that is bound without being copied first.
pub(crate) struct Bound<'a>(pub(crate) ValueRef<'a>);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(self.0))
    }
}
