//! Which packages a job deals with, as its ledger says.

use super::file::{self, LONGEST_READ, judged, refused};
use offmap_model::Failure;
use rusqlite::{Connection, OptionalExtension as _};
use serde::Deserialize;
use serde_json::Value;
use std::path::Path;

/// The packages that a job deals with, by its ledger.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Lineage {
    /// Id of the job.
    pub(crate) job: String,
    /// Id of the job that made the package whose place the new one takes.
    pub(crate) replaces: Option<String>,
}

impl Lineage {
    /// Out of the values `document` and `replaces`.
    pub(super) fn of(document: Option<String>, replaces: Option<String>) -> Result<Self, Failure> {
        let job = match document.map(|text| serde_json::from_str::<String>(&text)).transpose() {
            Ok(Some(document)) => id_of(&document)?,
            Ok(None) => String::new(),
            Err(e) => return Err(refused(e)),
        };
        let replaces = match replaces.map(|text| serde_json::from_str::<Value>(&text)).transpose().map_err(refused)? {
            None | Some(Value::Null | Value::Bool(false)) => None,
            Some(Value::String(job)) => Some(job),
            // Earlier versions did not say which.
            Some(_) => Some(String::new()),
        };
        Ok(Self { job, replaces })
    }

    /// Reads it from a ledger of which no job is running. Blocks.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let (connection, deadline) = file::open(path)?;
        deadline.set(LONGEST_READ);
        let value = |key: &str| value_of(&connection, key).map_err(|e| judged(&e));
        Self::of(value("document")?, value("replaces")?)
    }
}

/// The id in a job's JSON.
pub(crate) fn id_of(document: &str) -> Result<String, Failure> {
    #[derive(Deserialize)]
    struct Id {
        id: String,
    }
    Ok(serde_json::from_str::<Id>(document).map_err(refused)?.id)
}

/// A value of the job, as JSON.
pub(super) fn value_of(connection: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    connection.query_row("SELECT value FROM job WHERE key = ?1", [key], |r| r.get(0)).optional()
}
