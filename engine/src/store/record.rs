//! What the store keeps of a job, without its map.

use offmap_model::{Failure, JobSnapshot, JobState, LayerSnapshot, RetryPolicy, WaitReason};
use rusqlite::types::Type;
use rusqlite::{Row, ToSql, params};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What of an order never changes.
#[derive(Debug, Clone)]
pub(crate) struct OrderFacts {
    pub(crate) id: String,
    pub(crate) tenant: Arc<str>,
    pub(crate) title: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) unique_key: Option<String>,
    pub(crate) destination: PathBuf,
    /// Whether the package lies in the data directory, by the engine's own choice.
    pub(crate) is_owned: bool,
    /// Whether the job completes a package that is there.
    pub(crate) completes: bool,
    pub(crate) retry: RetryPolicy,
    pub(crate) time_limit: Option<Duration>,
    pub(crate) submitted: i64,
}

/// A line of the store.
#[derive(Debug, Clone)]
pub(crate) struct JobRecord {
    /// Its place in the order of submission.
    pub(crate) seq: i64,
    pub(crate) order: Arc<OrderFacts>,
    pub(crate) priority: i32,
    pub(crate) state: JobState,
    pub(crate) waits_for: Option<WaitReason>,
    /// When it may run, or goes on by itself.
    pub(crate) not_before: Option<i64>,
    pub(crate) started: Option<i64>,
    pub(crate) ended: Option<i64>,
    pub(crate) updated: i64,
    /// How often it was begun.
    pub(crate) attempts: u32,
    /// How long it ran before its last start, in milliseconds.
    pub(crate) spent: u64,
    /// Whether work of it lies beside the destination.
    pub(crate) is_kept: bool,
    pub(crate) bytes: Option<u64>,
    pub(crate) failure: Option<Box<Failure>>,
}

/// The columns of a record, in the order in which it is read.
pub(super) const COLUMNS: &str =
    "seq, id, tenant, title, labels, unique_key, destination, is_owned, completes, retry, time_limit,
    submitted, priority, state, waits_for, not_before, started, ended, updated, attempts, spent, is_kept, bytes, failure";

/// The names of the states in which a job lives, or has ended, for a query.
pub(super) fn names_of_states(is_terminal: bool) -> String {
    let states = JobState::ALL.iter().filter(|s| s.is_terminal() == is_terminal);
    states.map(|s| format!("'{}'", s.name())).collect::<Vec<_>>().join(", ")
}

fn no_value(column: usize, words: String) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, words.into())
}

fn json<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|e| no_value(column, e.to_string()))
}

fn word<T>(row: &Row<'_>, column: usize, of: impl Fn(&str) -> Option<T>) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    of(&text).ok_or_else(|| no_value(column, format!("`{}` is not known", text.escape_debug())))
}

fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<u64>> {
    Ok(row.get::<_, Option<i64>>(column)?.and_then(|n| u64::try_from(n).ok()))
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

impl JobRecord {
    pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let has = |column: usize| row.get_ref(column).map(|v| v.data_type() != Type::Null);
        let order = OrderFacts {
            id: row.get(1)?,
            tenant: row.get::<_, String>(2)?.into(),
            title: row.get(3)?,
            labels: json(row, 4)?,
            unique_key: row.get(5)?,
            destination: PathBuf::from(row.get::<_, String>(6)?),
            is_owned: row.get(7)?,
            completes: row.get(8)?,
            retry: json(row, 9)?,
            time_limit: unsigned(row, 10)?.map(Duration::from_millis),
            submitted: row.get(11)?,
        };
        Ok(Self {
            seq: row.get(0)?,
            order: Arc::new(order),
            priority: row.get(12)?,
            state: word(row, 13, JobState::from_name)?,
            waits_for: if has(14)? { Some(word(row, 14, WaitReason::from_name)?) } else { None },
            not_before: row.get(15)?,
            started: row.get(16)?,
            ended: row.get(17)?,
            updated: row.get(18)?,
            attempts: row.get(19)?,
            spent: unsigned(row, 20)?.unwrap_or(0),
            is_kept: row.get(21)?,
            bytes: unsigned(row, 22)?,
            failure: if has(23)? { Some(Box::new(json(row, 23)?)) } else { None },
        })
    }

    /// Adds the record with the job's document.
    pub(super) fn insert(&self, connection: &rusqlite::Connection, document: &str) -> rusqlite::Result<()> {
        let o = &self.order;
        let to_json = |e: serde_json::Error| rusqlite::Error::ToSqlConversionFailure(e.into());
        let sql = format!(
            "INSERT INTO job({COLUMNS}, document) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14,
            ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25)"
        );
        let (labels, retry) =
            (serde_json::to_string(&o.labels).map_err(to_json)?, serde_json::to_string(&o.retry).map_err(to_json)?);
        let limit = o.time_limit.map(|t| i64::try_from(t.as_millis()).unwrap_or(i64::MAX));
        let head: [&dyn ToSql; 12] = [
            &self.seq,
            &o.id,
            &&*o.tenant,
            &o.title,
            &labels,
            &o.unique_key,
            &o.destination.to_string_lossy(),
            &o.is_owned,
            &o.completes,
            &retry,
            &limit,
            &o.submitted,
        ];
        let (waits_for, failure) = (self.waits_for.map(WaitReason::name), self.failure_text()?);
        let (state, spent, bytes) = (self.state.name(), signed(self.spent), self.bytes.map(signed));
        let tail: [&dyn ToSql; 13] = [
            &self.priority,
            &state,
            &waits_for,
            &self.not_before,
            &self.started,
            &self.ended,
            &self.updated,
            &self.attempts,
            &spent,
            &self.is_kept,
            &bytes,
            &failure,
            &document,
        ];
        // A job whose handle runs it again after its end begins its log anew.
        let replaced = format!("DELETE FROM job WHERE id = ?1 AND state IN ({})", names_of_states(true));
        connection.prepare_cached(&replaced)?.execute([&o.id])?;
        let all: Vec<&dyn ToSql> = head.into_iter().chain(tail).collect();
        connection.prepare_cached(&sql)?.execute(all.as_slice()).map(drop)
    }

    /// Writes what changed; an outcome stays where there is no new one.
    pub(super) fn update(&self, connection: &rusqlite::Connection, outcome: Option<&str>) -> rusqlite::Result<()> {
        const SQL: &str = "UPDATE job SET priority = ?2, state = ?3, waits_for = ?4, not_before = ?5, started = ?6, ended = ?7, updated = ?8,
            attempts = ?9, spent = ?10, is_kept = ?11, bytes = ?12, failure = ?13, outcome = coalesce(?14, outcome), is_owned = ?15, completes = ?16
            WHERE seq = ?1";
        let values = params![
            self.seq,
            self.priority,
            self.state.name(),
            self.waits_for.map(WaitReason::name),
            self.not_before,
            self.started,
            self.ended,
            self.updated,
            self.attempts,
            signed(self.spent),
            self.is_kept,
            self.bytes.map(signed),
            self.failure_text()?,
            outcome,
            self.order.is_owned,
            self.order.completes,
        ];
        connection.prepare_cached(SQL)?.execute(values).map(drop)
    }

    fn failure_text(&self) -> rusqlite::Result<Option<String>> {
        let text = self.failure.as_ref().map(serde_json::to_string).transpose();
        text.map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))
    }

    /// The job as its host sees it, with layers that are known of it.
    pub(crate) fn snapshot(&self, layers: Vec<LayerSnapshot>) -> JobSnapshot {
        let o = &self.order;
        let mut snapshot = JobSnapshot::new(&o.id, &o.tenant, &o.title, self.state, o.destination.clone(), o.submitted);
        snapshot.priority = self.priority;
        snapshot.labels.clone_from(&o.labels);
        snapshot.waits_for = self.waits_for;
        snapshot.not_before = self.not_before;
        snapshot.started = self.started;
        snapshot.ended = self.ended;
        snapshot.updated = self.updated;
        snapshot.attempts = self.attempts;
        snapshot.is_kept = self.is_kept;
        snapshot.bytes = self.bytes;
        snapshot.failure = self.failure.as_deref().cloned();
        snapshot.layers = layers;
        snapshot
    }
}
