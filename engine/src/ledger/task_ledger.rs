//! The part of a ledger that concerns one task: its state, its units and what is noted of them.

use super::job_ledger::{Ledger, MOST_UNITS};
use super::state::{TaskState, UnitRecord, UnitState};
use super::worker::broken;
use offmap_disk::safe_path;
use offmap_model::{Artifact, Failure};
use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, OptionalExtension as _, Row, ToSql, params};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

impl Ledger {
    /// The part of the ledger that concerns one task.
    #[must_use]
    pub fn task(&self, id: &str) -> TaskLedger {
        TaskLedger { ledger: self.clone(), task: id.into(), hidden: Arc::default() }
    }
}

/// The part of a ledger that concerns one task.
#[derive(Debug, Clone)]
pub struct TaskLedger {
    ledger: Ledger,
    task: Arc<str>,
    /// Units of which nothing is known here.
    hidden: Arc<HashSet<String>>,
}

/// With whatever is first noted of one of its units, so that a task is begun as soon as something was done for it, and not before.
const START: &str = "UPDATE task SET state = 'started' WHERE id = ?1 AND state = 'planned'";
const SET_STATE: &str = "UPDATE task SET state = ?2, outcome = ?3 WHERE id = ?1";

const NOTE: &str = "INSERT OR REPLACE INTO note(task, unit, key, value) VALUES(?1, ?2, ?3, ?4)";
const BEGIN: &str = "UPDATE unit SET state = 'started', attempts = attempts + 1, updated = ?3 WHERE task = ?1 AND id = ?2";
const FINISH: &str = "UPDATE unit SET state = 'finished', bytes = ?4, sha256 = ?5, failure = NULL, updated = ?3
    WHERE task = ?1 AND id = ?2";
const DID: &str = "UPDATE unit SET state = 'finished', attempts = attempts + 1, bytes = ?4, sha256 = ?5, failure = NULL,
    updated = ?3 WHERE task = ?1 AND id = ?2";
const FAIL: &str = "UPDATE unit SET state = 'failed', failure = ?4, updated = ?3 WHERE task = ?1 AND id = ?2";

/// What becomes of a unit.
struct Step {
    /// `?1` is the task, `?2` the unit, `?3` the time, the values follow.
    sql: &'static str,
    now: i64,
    values: Vec<SqlValue>,
    notes: Vec<(&'static str, String)>,
}

impl Step {
    fn of(sql: &'static str, values: Vec<SqlValue>, now: i64) -> Self {
        Self { sql, now, values, notes: Vec::new() }
    }

    fn begin(now: i64) -> Self {
        Self::of(BEGIN, Vec::new(), now)
    }

    fn finish(bytes: u64, sha256: Option<&str>, now: i64) -> Self {
        // SQLite knows no larger number.
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        Self::of(FINISH, vec![bytes.into(), sha256.map(str::to_owned).into()], now)
    }
}

/// Notes where the result of a finished unit is, below the work directory.
const RESULT: &str = "result";
/// Notes the unit that a result came out of, such as a server's job.
const RESULT_OF: &str = "resultOf";

/// Where the result of a unit is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnitResult {
    pub(crate) unit: UnitRecord,
    /// A file or folder below the task's work directory.
    pub(crate) path: PathBuf,
    /// The unit that it came out of.
    pub(crate) of: Option<String>,
}

fn record_of(row: &Row<'_>) -> rusqlite::Result<UnitRecord> {
    Ok(UnitRecord {
        id: row.get(0)?,
        state: row.get(1)?,
        attempts: row.get(2)?,
        bytes: row.get::<_, Option<i64>>(3)?.and_then(|b| u64::try_from(b).ok()),
        sha256: row.get(4)?,
    })
}

impl TaskLedger {
    /// The same without what it knows of some units.
    #[must_use]
    pub(crate) fn hiding(mut self, units: HashSet<String>) -> Self {
        self.hidden = Arc::new(units);
        self
    }

    /// Notes that the task is being worked on, if nothing was done for it yet; answers whether that is so. Blocks.
    pub(crate) fn start_planned(&self) -> Result<bool, Failure> {
        let task = Arc::clone(&self.task);
        let changed = self.ask_here(move |c| c.prepare_cached(START)?.execute([task]));
        Ok(changed? == 1)
    }

    /// Notes that the task is being worked on.
    pub(crate) async fn start(&self) -> Result<(), Failure> {
        self.set_state(UnitState::Started, None).await
    }

    /// Notes that the task ended with what was downloaded, if each of its units is finished; else answers one that is not. Blocks.
    pub(crate) fn end_finished(&self, artifact: &Artifact) -> Result<Option<UnitRecord>, Failure> {
        let (task, outcome) = (Arc::clone(&self.task), serde_json::to_string(artifact).map_err(broken)?);
        self.ask_here(move |c| {
            let sql = "SELECT id, state, attempts, bytes, sha256 FROM unit WHERE task = ?1 AND state <> 'finished' LIMIT 1";
            let open = c.prepare_cached(sql)?.query_row([&task], record_of).optional()?;
            if open.is_none() {
                c.prepare_cached(SET_STATE)?.execute(params![task, UnitState::Finished, outcome])?;
            }
            Ok(open)
        })
    }

    /// Notes how the task ended: with what was downloaded, or why it failed.
    pub(crate) async fn end(&self, outcome: Result<&Artifact, &Failure>) -> Result<(), Failure> {
        let (state, text) = match outcome {
            Ok(artifact) => (UnitState::Finished, serde_json::to_string(artifact)),
            Err(failure) => (UnitState::Failed, serde_json::to_string(failure)),
        };
        self.set_state(state, Some(text.map_err(broken)?)).await
    }

    /// Writes, and answers what came of it.
    async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        self.ledger.worker.ask(work).await
    }

    /// The same on this thread. Blocks.
    fn ask_here<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        self.ledger.worker.ask_here(work)
    }

    async fn set_state(&self, state: UnitState, outcome: Option<String>) -> Result<(), Failure> {
        let task = Arc::clone(&self.task);
        self.ledger
            .worker
            .run(Box::new(move |c| c.prepare_cached(SET_STATE)?.execute(params![task, state, outcome]).map(drop)))
            .await
    }

    /// How far the task is.
    pub(crate) async fn state(&self) -> Result<TaskState, Failure> {
        let task = Arc::clone(&self.task);
        let read = move |c: &Connection| -> rusqlite::Result<(UnitState, Option<String>)> {
            c.prepare_cached("SELECT state, outcome FROM task WHERE id = ?1")?
                .query_row([task], |r| Ok((r.get(0)?, r.get(1)?)))
        };
        let (state, outcome) = self.ledger.worker.read(read).await?;
        let text = outcome.as_deref().unwrap_or_default();
        // An outcome that cannot be read is none: the task is worked on again.
        Ok(match state {
            UnitState::Planned => TaskState::Planned,
            UnitState::Started => TaskState::Started,
            UnitState::Finished => TaskState::Finished(serde_json::from_str(text).ok()),
            UnitState::Failed => TaskState::Failed(serde_json::from_str(text).ok()),
        })
    }

    /// Forgets what was done for the task but for some units, so that it begins anew.
    pub(crate) async fn reset(&self, but: &HashSet<String>) -> Result<(), Failure> {
        let (task, but) = (Arc::clone(&self.task), serde_json::to_string(but).map_err(broken)?);
        self.ledger
            .worker
            .run(Box::new(move |c| {
                c.execute("UPDATE task SET state = 'planned', outcome = NULL WHERE id = ?1", [&task])?;
                c.execute(
                    "UPDATE unit SET state = 'planned', bytes = NULL, sha256 = NULL, failure = NULL
                     WHERE task = ?1 AND id NOT IN (SELECT value FROM json_each(?2))",
                    params![task, but],
                )?;
                let others = "DELETE FROM note WHERE task = ?1 AND unit NOT IN (SELECT value FROM json_each(?2))";
                c.execute(others, params![task, but]).map(drop)
            }))
            .await
    }

    /// An update of one unit, and what is noted of it with that. Answers whether the unit was planned.
    fn update(&self, unit: &str, step: Step) -> impl FnOnce(&Connection) -> rusqlite::Result<bool> + Send + use<> {
        let (task, unit) = (Arc::clone(&self.task), unit.to_owned());
        move |c| {
            let Step { sql, now, values, notes } = step;
            let mut all: Vec<&dyn ToSql> = vec![&task, &unit, &now];
            all.extend(values.iter().map(|value| value as &dyn ToSql));
            if c.prepare_cached(sql)?.execute(all.as_slice())? != 1 {
                return Ok(false);
            }
            c.prepare_cached(START)?.execute([&task])?;
            for (key, value) in notes {
                c.prepare_cached(NOTE)?.execute(params![task, unit, key, value])?;
            }
            Ok(true)
        }
    }

    fn was_planned(&self, unit: &str, was_planned: bool) -> Result<(), Failure> {
        match was_planned {
            true => Ok(()),
            false => Err(Failure::internal(format!("unit `{unit}` of task `{}` was not planned", self.task))),
        }
    }

    async fn take(&self, unit: &str, step: Step) -> Result<(), Failure> {
        let was_planned = self.ask(self.update(unit, step)).await?;
        self.was_planned(unit, was_planned)
    }

    /// Notes that a unit is begun; counts attempts.
    ///
    /// # Errors
    /// If the unit was not planned, or the ledger cannot be written.
    pub async fn begin(&self, unit: &str, now: i64) -> Result<(), Failure> {
        self.take(unit, Step::begin(now)).await
    }

    /// Notes that a unit is done, with the size and SHA-256 of what it downloaded.
    ///
    /// # Errors
    /// As [`TaskLedger::begin`].
    pub async fn finish(&self, unit: &str, bytes: u64, sha256: Option<&str>, now: i64) -> Result<(), Failure> {
        self.take(unit, Step::finish(bytes, sha256, now)).await
    }

    /// Notes that the only unit of the task was begun and is done, together with what is noted next: that is the task's end, as a rule.
    pub(crate) fn did_all(&self, unit: &str, (bytes, sha256): (u64, Option<&str>), now: i64) -> Result<(), Failure> {
        let update = self.update(unit, Step { sql: DID, ..Step::finish(bytes, sha256, now) });
        self.ledger.worker.add_to_next(Box::new(move |c| update(c).map(drop)))
    }

    /// Notes in one step that a unit was begun, and that it is done where its work answered size and SHA-256. Blocks.
    pub(crate) fn did_here(&self, unit: &str, done: Option<&(u64, Option<String>)>, now: i64) -> Result<(), Failure> {
        let step = match done {
            Some((bytes, sha256)) => Step { sql: DID, ..Step::finish(*bytes, sha256.as_deref(), now) },
            None => Step::begin(now),
        };
        let was_planned = self.ask_here(self.update(unit, step))?;
        self.was_planned(unit, was_planned)
    }

    /// Notes that a unit is done, and where below the work directory its result is: it stays as long as its bytes do.
    ///
    /// # Errors
    /// As [`TaskLedger::begin`]; also if the path is not a plain relative one.
    pub(crate) async fn finish_with(
        &self,
        unit: &str,
        of: Option<&str>,
        path: &Path,
        (bytes, sha256): (u64, &str),
        now: i64,
    ) -> Result<(), Failure> {
        let plain = safe_path::check_relative(path).map(|()| path.to_str().unwrap_or_default());
        let path = plain.map_err(|e| Failure::internal(format!("the result of unit `{unit}`: {e}")))?;
        let scrubbed = |word: &str| self.ledger.secrets.scrub_word(word).into_owned();
        let notes = vec![(RESULT, scrubbed(path)), (RESULT_OF, scrubbed(of.unwrap_or_default()))];
        self.take(unit, Step { notes, ..Step::finish(bytes, Some(sha256), now) }).await
    }

    /// The finished units whose results are known.
    pub(crate) async fn results(&self) -> Result<Vec<UnitResult>, Failure> {
        let mut paths = self.all_noted(RESULT).await?;
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        let mut sources = self.all_noted(RESULT_OF).await?;
        let is_finished = |u: &UnitRecord| u.state == UnitState::Finished && u.sha256.is_some();
        let finished = self.units().await?.into_iter().filter(is_finished);
        let with_path = finished.filter_map(|unit| {
            let path = PathBuf::from(paths.remove(&unit.id)?);
            let of = sources.remove(&unit.id).filter(|of| !of.is_empty());
            Some(UnitResult { unit, path, of })
        });
        Ok(with_path.collect())
    }

    /// A value of all units that have it, by their ids.
    async fn all_noted(&self, key: &'static str) -> Result<HashMap<String, String>, Failure> {
        let task = Arc::clone(&self.task);
        let query = move |c: &Connection| {
            // A bound limit would make SQLite prepare the statement anew each time.
            let sql = format!("SELECT unit, value FROM note WHERE task = ?1 AND key = ?2 LIMIT {MOST_UNITS}");
            c.prepare_cached(&sql)?.query_map(params![task, key], |r| Ok((r.get(0)?, r.get(1)?)))?.collect()
        };
        let mut all: HashMap<String, String> = self.ledger.worker.read(query).await?;
        all.retain(|unit, _| !self.hidden.contains(unit));
        Ok(all)
    }

    /// Notes why a unit failed.
    ///
    /// # Errors
    /// As [`TaskLedger::begin`].
    pub async fn fail(&self, unit: &str, failure: &Failure, now: i64) -> Result<(), Failure> {
        let text = self.ledger.text_of("failure", &self.ledger.secrets.failure(failure.clone()))?;
        self.take(unit, Step::of(FAIL, vec![text.into()], now)).await
    }

    /// One unit of the task; `None` where it was not planned.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn unit(&self, id: &str) -> Result<Option<UnitRecord>, Failure> {
        self.ledger.worker.read(self.record(id)).await
    }

    /// The same on this thread. Blocks.
    pub(crate) fn unit_here(&self, id: &str) -> Result<Option<UnitRecord>, Failure> {
        self.ledger.worker.read_here(self.record(id))
    }

    fn record(&self, id: &str) -> impl FnOnce(&Connection) -> rusqlite::Result<Option<UnitRecord>> + Send + use<> {
        let (task, id) = (Arc::clone(&self.task), id.to_owned());
        move |c| {
            c.prepare_cached("SELECT id, state, attempts, bytes, sha256 FROM unit WHERE task = ?1 AND id = ?2")?
                .query_row(params![task, id], record_of)
                .optional()
        }
    }

    /// All units of the task.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn units(&self) -> Result<Vec<UnitRecord>, Failure> {
        let task = Arc::clone(&self.task);
        self.ledger
            .worker
            .read(move |c| {
                let all = "SELECT id, state, attempts, bytes, sha256 FROM unit WHERE task = ?1 ORDER BY id LIMIT";
                c.prepare_cached(&format!("{all} {MOST_UNITS}"))?.query_map(params![task], record_of)?.collect()
            })
            .await
    }

    /// Keeps a value of a unit, such as the url of a server's job without token.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn note(&self, unit: &str, key: &str, value: &str) -> Result<(), Failure> {
        let value = self.ledger.secrets.scrub_word(value).into_owned();
        let (task, unit, key) = (Arc::clone(&self.task), unit.to_owned(), key.to_owned());
        self.ledger
            .worker
            .run(Box::new(move |c| {
                c.prepare_cached(NOTE)?.execute(params![task, unit, key, value])?;
                c.prepare_cached(START)?.execute([task]).map(drop)
            }))
            .await
    }

    /// Reads a value of a unit.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn noted(&self, unit: &str, key: &str) -> Result<Option<String>, Failure> {
        if self.hidden.contains(unit) {
            return Ok(None);
        }
        let row = [self.task.to_string(), unit.to_owned(), key.to_owned()];
        self.ledger
            .worker
            .read(move |c| {
                c.prepare_cached("SELECT value FROM note WHERE task = ?1 AND unit = ?2 AND key = ?3")?
                    .query_row(row, |r| r.get(0))
                    .optional()
            })
            .await
    }
}
