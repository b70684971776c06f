//! Reads and writes the store.

use super::record::{COLUMNS, JobRecord, names_of_states};
use super::schema::STORE;
use crate::ledger::{Worker, open_kind, open_memory};
use offmap_model::{Failure, GenerateOfflineMapResult, JobError, JobFilter, StatusMessage};
use rusqlite::{Connection, OptionalExtension as _, ToSql, params};
use serde::{Deserialize, Serialize};
use std::path::Path;
use tokio::runtime::Handle;

/// Events that are read at a time.
const EVENTS: u32 = 256;

/// How a job ended, as the store keeps it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Outcome {
    Result(GenerateOfflineMapResult),
    Error(JobError),
}

/// What is written of a job in one step.
#[derive(Debug)]
pub(crate) struct Write {
    pub(crate) record: JobRecord,
    /// How it ended, as JSON.
    pub(crate) outcome: Option<String>,
    pub(crate) events: Vec<StatusMessage>,
}

/// A handle to the store; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct JobStore {
    worker: Worker,
}

/// What an engine finds when it starts.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The jobs that have not ended, in the order of submission.
    pub(crate) living: Vec<JobRecord>,
    /// The number of the last job.
    pub(crate) last: i64,
}

fn living(connection: &Connection) -> rusqlite::Result<Found> {
    let sql = format!("SELECT {COLUMNS} FROM job WHERE state IN ({}) ORDER BY seq", names_of_states(false));
    let living = connection.prepare(&sql)?.query_map([], JobRecord::read)?.collect::<rusqlite::Result<_>>()?;
    let last = connection.query_row("SELECT coalesce(max(seq), 0) FROM job", [], |r| r.get(0))?;
    Ok(Found { living, last })
}

fn add_events(connection: &Connection, job: i64, events: &[StatusMessage]) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached("INSERT OR IGNORE INTO event(job, seq, body) VALUES(?1, ?2, ?3)")?;
    for event in events {
        let body = serde_json::to_string(event).map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))?;
        insert.execute(params![job, i64::try_from(event.seq).unwrap_or(i64::MAX), body])?;
    }
    Ok(())
}

impl JobStore {
    /// Opens or makes the store at a path, or one in memory, and reads what lives in it. Blocks.
    pub(crate) fn open(path: Option<&Path>, runtime: Handle) -> Result<(Self, Found), Failure> {
        let (connection, deadline) = path.map_or_else(|| open_memory(&STORE), |path| open_kind(&STORE, path))?;
        let found = living(&connection).map_err(|e| STORE.judged(&e))?;
        Ok((Self { worker: Worker::of(&STORE, connection, deadline, runtime) }, found))
    }

    /// Adds an order.
    pub(crate) async fn insert(
        &self,
        record: JobRecord,
        document: String,
        events: Vec<StatusMessage>,
    ) -> Result<(), Failure> {
        let work = move |c: &Connection| {
            record.insert(c, &document)?;
            add_events(c, record.seq, &events)
        };
        self.worker.run(Box::new(work)).await
    }

    /// Sends the change of a job: what is sent later is written later. The answer comes when it is written.
    pub(crate) fn begin_write(&self, write: Write) -> Result<impl Future<Output = Result<(), Failure>> + use<>, Failure> {
        let work = move |c: &Connection| {
            write.record.update(c, write.outcome.as_deref())?;
            add_events(c, write.record.seq, &write.events)
        };
        self.worker.begin_run(Box::new(work))
    }

    /// Adds events of a job.
    pub(crate) async fn add_events(&self, job: i64, events: Vec<StatusMessage>) -> Result<(), Failure> {
        self.worker.run(Box::new(move |c| add_events(c, job, &events))).await
    }

    /// The record of a job.
    pub(crate) async fn record(&self, id: &str) -> Result<Option<JobRecord>, Failure> {
        let (sql, id) = (format!("SELECT {COLUMNS} FROM job WHERE id = ?1"), id.to_owned());
        self.worker.read(move |c| c.prepare_cached(&sql)?.query_row([id], JobRecord::read).optional()).await
    }

    /// The document that a job is made of.
    pub(crate) async fn document(&self, seq: i64) -> Result<String, Failure> {
        self.worker.read(move |c| c.query_row("SELECT document FROM job WHERE seq = ?1", [seq], |r| r.get(0))).await
    }

    /// How a job ended, where it did.
    pub(crate) async fn outcome(&self, seq: i64) -> Result<Option<Result<GenerateOfflineMapResult, JobError>>, Failure> {
        let read =
            move |c: &Connection| c.query_row("SELECT outcome FROM job WHERE seq = ?1", [seq], |r| r.get(0)).optional();
        let text: Option<Option<String>> = self.worker.read(read).await?;
        let Some(text) = text.flatten() else { return Ok(None) };
        match serde_json::from_str(&text).map_err(|e| STORE.refused(e))? {
            Outcome::Result(result) => Ok(Some(Ok(result))),
            Outcome::Error(error) => Ok(Some(Err(error))),
        }
    }

    /// Jobs before a number, the latest first.
    pub(crate) async fn list(&self, filter: JobFilter, before: i64, most: u32) -> Result<Vec<JobRecord>, Failure> {
        let read = move |c: &Connection| {
            let mut sql = format!("SELECT {COLUMNS} FROM job WHERE seq < ?1");
            let mut values: Vec<Box<dyn ToSql>> = vec![Box::new(before)];
            let mut value = |value: String| {
                values.push(Box::new(value));
                values.len()
            };
            if let Some(tenant) = filter.tenant {
                sql.push_str(&format!(" AND tenant = ?{}", value(tenant)));
            }
            if !filter.states.is_empty() {
                let names: Vec<String> = filter.states.iter().map(|s| format!("'{}'", s.name())).collect();
                sql.push_str(&format!(" AND state IN ({})", names.join(", ")));
            }
            for (key, label) in filter.labels {
                let (key, label) = (value(key), value(label));
                sql.push_str(&format!(
                    " AND EXISTS(SELECT 1 FROM json_each(labels) l WHERE l.key = ?{key} AND l.value = ?{label})"
                ));
            }
            sql.push_str(&format!(" ORDER BY seq DESC LIMIT {most}"));
            c.prepare(&sql)?.query_map(rusqlite::params_from_iter(values), JobRecord::read)?.collect()
        };
        self.worker.read(read).await
    }

    /// Kept messages of a job after a number, a part of them.
    pub(crate) async fn events(&self, seq: i64, after: u64) -> Result<Vec<StatusMessage>, Failure> {
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        // A bound limit would make SQLite prepare the statement anew each time.
        let sql = format!("SELECT body FROM event WHERE job = ?1 AND seq > ?2 ORDER BY seq LIMIT {EVENTS}");
        let read = move |c: &Connection| -> rusqlite::Result<Vec<String>> {
            c.prepare_cached(&sql)?.query_map(params![seq, after], |r| r.get(0))?.collect()
        };
        let texts = self.worker.read(read).await?;
        texts.iter().map(|t| serde_json::from_str(t).map_err(|e| STORE.refused(e))).collect()
    }

    /// The number of the last kept message of a job; 0 where it has none.
    pub(crate) async fn last_event(&self, seq: i64) -> Result<u64, Failure> {
        let read = move |c: &Connection| -> rusqlite::Result<i64> {
            c.query_row("SELECT coalesce(max(seq), 0) FROM event WHERE job = ?1", [seq], |r| r.get(0))
        };
        Ok(u64::try_from(self.worker.read(read).await?).unwrap_or(0))
    }

    /// The ended jobs that a retention lets go: those that ended before a time, and the oldest of more than so many.
    pub(crate) async fn outlived(&self, before: Option<i64>, most: Option<u64>) -> Result<Vec<JobRecord>, Failure> {
        let ended = format!("state IN ({})", names_of_states(true));
        let (before, most) = (before.unwrap_or(i64::MIN), most.map_or(-1, |m| i64::try_from(m).unwrap_or(i64::MAX)));
        let sql = format!(
            "SELECT {COLUMNS} FROM job WHERE {ended} AND (ended < ?1 OR (?2 >= 0 AND seq NOT IN (SELECT seq FROM job WHERE {ended}
                ORDER BY ended DESC, seq DESC LIMIT ?2))) ORDER BY seq LIMIT 1000"
        );
        self.worker.read(move |c| c.prepare(&sql)?.query_map(params![before, most], JobRecord::read)?.collect()).await
    }

    /// Forgets a job with its messages.
    pub(crate) async fn remove(&self, seq: i64) -> Result<(), Failure> {
        self.worker.run(Box::new(move |c| c.execute("DELETE FROM job WHERE seq = ?1", [seq]).map(drop))).await
    }
}
