//! What the store keeps of a job, without its map.

use offmap_model::{Failure, JobSnapshot, JobState, LayerSnapshot, RetryPolicy, WaitReason};
use rusqlite::types::Type;
use rusqlite::{Row, ToSql, params};
use serde::{Deserialize, Serialize};
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
    /// Before this time it does not begin, whatever is done with it.
    pub(crate) not_before: Option<i64>,
    pub(crate) wishes: Wishes,
    pub(crate) submitted: i64,
}

impl OrderFacts {
    /// Its unique key, which is its tenant's own.
    pub(crate) fn key(&self) -> Option<(Arc<str>, String)> {
        self.unique_key.clone().map(|key| (Arc::clone(&self.tenant), key))
    }
}

/// What was said to the handle of a job before its start, so that it holds after the end of the process as well.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Wishes {
    /// A package at the destination is replaced.
    pub(crate) overwrites: bool,
    /// The work stays where the job makes no package.
    pub(crate) keeps: bool,
    /// The time limit counts from the submission on, waits counted in.
    pub(crate) counts_waits: bool,
    /// What of the time limit was spent before, in milliseconds.
    pub(crate) spent_before: u64,
    /// It asks the services in a session of its own, which is in no file.
    pub(crate) has_session: bool,
}

/// How a living job is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stop {
    /// It keeps what it has and can be resumed.
    Suspend,
    /// Nothing of it stays, and the services are rolled back.
    Cancel,
    /// The same, where something kept it before as well.
    Discard,
}

impl Stop {
    fn name(self) -> &'static str {
        match self {
            Self::Suspend => "suspend",
            Self::Cancel => "cancel",
            Self::Discard => "discard",
        }
    }

    fn from_name(name: &str) -> Option<Self> {
        [Self::Suspend, Self::Cancel, Self::Discard].into_iter().find(|stop| stop.name() == name)
    }
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
    pub(crate) due: Option<i64>,
    pub(crate) started: Option<i64>,
    pub(crate) ended: Option<i64>,
    pub(crate) updated: i64,
    /// Rises where the job completes a package of its own: each run of a job that may make a package has a number.
    pub(crate) run: u32,
    /// How often it was begun.
    pub(crate) attempts: u32,
    /// How long it ran before its last start, in milliseconds.
    pub(crate) spent: u64,
    /// Whether work of it lies beside the destination.
    pub(crate) is_kept: bool,
    pub(crate) bytes: Option<u64>,
    pub(crate) failure: Option<Box<Failure>>,
    /// Rises with each log that is begun for the job: the numbers of its messages begin there, so that none is given twice.
    pub(crate) log: u32,
    /// How it is to end, where that was said and has not followed yet.
    pub(crate) stop: Option<Stop>,
    /// How often in a row the process ended while it ran.
    pub(crate) crashes: u32,
}

/// The columns of a record, in the order in which it is read.
pub(super) const COLUMNS: &str =
    "seq, id, tenant, title, labels, unique_key, destination, is_owned, completes, retry, time_limit,
    submitted, priority, state, waits_for, due, started, ended, updated, attempts, spent, is_kept, bytes, failure, not_before,
    wishes, run, log, stop, crashes";

/// The names of the states in which a job lives, or has ended, for a query.
pub(super) fn names_of_states(is_terminal: bool) -> String {
    let states = JobState::ALL.iter().filter(|s| s.is_terminal() == is_terminal);
    states.map(|s| format!("'{}'", s.name())).collect::<Vec<_>>().join(", ")
}

fn no_value(column: usize, words: String) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, words.into())
}

fn no_text(words: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(words.into())
}

fn json_of(value: &impl Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value).map_err(no_text)
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
            not_before: row.get(24)?,
            wishes: json(row, 25)?,
        };
        Ok(Self {
            seq: row.get(0)?,
            order: Arc::new(order),
            priority: row.get(12)?,
            state: word(row, 13, JobState::from_name)?,
            waits_for: if has(14)? { Some(word(row, 14, WaitReason::from_name)?) } else { None },
            due: row.get(15)?,
            started: row.get(16)?,
            ended: row.get(17)?,
            updated: row.get(18)?,
            attempts: row.get(19)?,
            spent: unsigned(row, 20)?.unwrap_or(0),
            is_kept: row.get(21)?,
            bytes: unsigned(row, 22)?,
            failure: if has(23)? { Some(Box::new(json(row, 23)?)) } else { None },
            run: row.get(26)?,
            log: row.get(27)?,
            stop: if has(28)? { Some(word(row, 28, Stop::from_name)?) } else { None },
            crashes: row.get(29)?,
        })
    }

    /// The id of its present run, which its work and its package name: the job's own, with a number behind it from the second on.
    pub(crate) fn run_id(&self) -> String {
        match self.run {
            0 | 1 => self.order.id.clone(),
            run => format!("{}.{run}", self.order.id),
        }
    }

    /// Begins another log: it is written before anybody sees a message of it.
    pub(crate) fn begin_log(&mut self) {
        self.log = self.log.saturating_add(1);
    }

    /// The number after which the messages of its present log begin.
    pub(crate) fn log_base(&self) -> u64 {
        u64::from(self.log) << 32
    }

    /// Adds the record with the job's document.
    pub(super) fn insert(&self, connection: &rusqlite::Connection, document: &str) -> rusqlite::Result<()> {
        let o = &self.order;
        let limit = o.time_limit.map(|t| i64::try_from(t.as_millis()).unwrap_or(i64::MAX));
        let destination = o.destination.to_str().ok_or_else(|| no_text("a destination that is not UTF-8"))?;
        let (labels, retry, wishes) = (json_of(&o.labels)?, json_of(&o.retry)?, json_of(&o.wishes)?);
        let (waits_for, failure, stop) =
            (self.waits_for.map(WaitReason::name), self.failure_text()?, self.stop.map(Stop::name));
        let (state, spent, bytes) = (self.state.name(), signed(self.spent), self.bytes.map(signed));
        let values: [&dyn ToSql; 31] = [
            &self.seq,
            &o.id,
            &&*o.tenant,
            &o.title,
            &labels,
            &o.unique_key,
            &destination,
            &o.is_owned,
            &o.completes,
            &retry,
            &limit,
            &o.submitted,
            &self.priority,
            &state,
            &waits_for,
            &self.due,
            &self.started,
            &self.ended,
            &self.updated,
            &self.attempts,
            &spent,
            &self.is_kept,
            &bytes,
            &failure,
            &o.not_before,
            &wishes,
            &self.run,
            &self.log,
            &stop,
            &self.crashes,
            &document,
        ];
        // A job whose handle runs it again after its end begins its log anew.
        let replaced = format!("DELETE FROM job WHERE id = ?1 AND state IN ({})", names_of_states(true));
        connection.prepare_cached(&replaced)?.execute([&o.id])?;
        let places: Vec<String> = (1..=values.len()).map(|n| format!("?{n}")).collect();
        let sql = format!("INSERT INTO job({COLUMNS}, document) VALUES({})", places.join(", "));
        connection.prepare_cached(&sql)?.execute(values.as_slice()).map(drop)
    }

    /// Writes what changed; an outcome stays where there is no new one.
    pub(super) fn update(&self, connection: &rusqlite::Connection, outcome: Option<&str>) -> rusqlite::Result<()> {
        const SQL: &str = "UPDATE job SET priority = ?2, state = ?3, waits_for = ?4, due = ?5, started = ?6, ended = ?7, updated = ?8,
            attempts = ?9, spent = ?10, is_kept = ?11, bytes = ?12, failure = ?13, outcome = coalesce(?14, outcome), is_owned = ?15,
            completes = ?16, wishes = ?17, run = ?18, log = ?19, stop = ?20, crashes = ?21 WHERE seq = ?1";
        let values = params![
            self.seq,
            self.priority,
            self.state.name(),
            self.waits_for.map(WaitReason::name),
            self.due,
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
            json_of(&self.order.wishes)?,
            self.run,
            self.log,
            self.stop.map(Stop::name),
            self.crashes,
        ];
        connection.prepare_cached(SQL)?.execute(values).map(drop)
    }

    fn failure_text(&self) -> rusqlite::Result<Option<String>> {
        self.failure.as_ref().map(json_of).transpose()
    }

    /// The job as its host sees it, with layers that are known of it.
    pub(crate) fn snapshot(&self, layers: Vec<LayerSnapshot>) -> JobSnapshot {
        let o = &self.order;
        let mut snapshot = JobSnapshot::new(&o.id, &o.tenant, &o.title, self.state, o.destination.clone(), o.submitted);
        snapshot.priority = self.priority;
        snapshot.labels.clone_from(&o.labels);
        snapshot.waits_for = self.waits_for;
        snapshot.not_before = self.due;
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
