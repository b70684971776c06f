//! How far a unit of work or a task is, in the words that a ledger stores.

use offmap_model::{Artifact, Failure};
use rusqlite::ToSql;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, ValueRef};
use std::fmt;

/// How far a unit of work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnitState {
    /// Nothing was done for it yet.
    Planned,
    /// It was begun, and may have been interrupted.
    Started,
    /// What it was to download is there.
    Finished,
    /// It failed.
    Failed,
}

impl UnitState {
    const ALL: [Self; 4] = [Self::Planned, Self::Started, Self::Finished, Self::Failed];

    /// The word for it in a ledger.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Started => "started",
            Self::Finished => "finished",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for UnitState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl ToSql for UnitState {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(self.as_str().into())
    }
}

impl FromSql for UnitState {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let word = value.as_str()?;
        let known = Self::ALL.into_iter().find(|state| state.as_str() == word);
        known.ok_or_else(|| FromSqlError::Other(format!("`{}` is no state", word.escape_debug()).into()))
    }
}

/// A unit of work in a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnitRecord {
    /// Its id in the task.
    pub id: String,
    /// How far it is.
    pub state: UnitState,
    /// How often it was begun.
    pub attempts: u32,
    /// Bytes that it downloaded.
    pub bytes: Option<u64>,
    /// SHA-256 of what it downloaded, in hexadecimal.
    pub sha256: Option<String>,
}

/// How far a task is, with what it downloaded or why it failed, where that can be read.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TaskState {
    Planned,
    Started,
    Finished(Option<Artifact>),
    Failed(Option<Failure>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_one_word_and_other_words_are_refused() {
        for state in UnitState::ALL {
            assert_eq!(UnitState::column_result(ValueRef::Text(state.as_str().as_bytes())), Ok(state));
        }
        assert!(UnitState::column_result(ValueRef::Text(b"done")).is_err());
        assert!(UnitState::column_result(ValueRef::Integer(1)).is_err());
    }
}
