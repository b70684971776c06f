//! The part of a ledger that concerns one task: its state, its units and what is noted of them.

use super::job_ledger::{Ledger, MOST_UNITS};
use super::state::{TaskState, UnitRecord, UnitState};
use super::worker::{Work, broken};
use offmap_disk::safe_path;
use offmap_model::{Artifact, Failure};
use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, OptionalExtension as _, Row, params, params_from_iter};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::oneshot;

impl Ledger {
    /// The part of the ledger that concerns one task.
    #[must_use]
    pub fn task(&self, id: &str) -> TaskLedger {
        TaskLedger { ledger: self.clone(), task: id.to_owned(), hidden: Arc::default() }
    }
}

/// The part of a ledger that concerns one task.
#[derive(Debug, Clone)]
pub struct TaskLedger {
    ledger: Ledger,
    task: String,
    /// Units of which nothing is known here.
    hidden: Arc<HashSet<String>>,
}

const SET_STATE: &str = "UPDATE task SET state = ?2, outcome = ?3 WHERE id = ?1";

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

/// Work, and what it answers when it was done.
fn answering<T: Send + 'static>(
    work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
) -> (Work, oneshot::Receiver<T>) {
    let (answer, is_answered) = oneshot::channel();
    let work: Work = Box::new(move |c| {
        // Nobody waits any more if the job was dropped.
        let _ = answer.send(work(c)?);
        Ok(())
    });
    (work, is_answered)
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
        let task = self.task.clone();
        let changed = self.ask_here(move |c| {
            c.prepare_cached("UPDATE task SET state = 'started' WHERE id = ?1 AND state = 'planned'")?.execute([task])
        });
        Ok(changed? == 1)
    }

    /// Notes that the task is being worked on.
    pub(crate) async fn start(&self) -> Result<(), Failure> {
        self.set_state(UnitState::Started, None).await
    }

    /// Notes that the task ended with what was downloaded, if each of its units is finished; else answers one that is not. Blocks.
    pub(crate) fn end_finished(&self, artifact: &Artifact) -> Result<Option<UnitRecord>, Failure> {
        let (task, outcome) = (self.task.clone(), serde_json::to_string(artifact).map_err(broken)?);
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
        let (work, is_answered) = answering(work);
        self.ledger.worker.run(work).await?;
        is_answered.await.map_err(broken)
    }

    /// The same on this thread. Blocks.
    fn ask_here<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let (work, mut is_answered) = answering(work);
        self.ledger.worker.run_here(work)?;
        is_answered.try_recv().map_err(broken)
    }

    async fn set_state(&self, state: UnitState, outcome: Option<String>) -> Result<(), Failure> {
        let task = self.task.clone();
        self.ledger
            .worker
            .run(Box::new(move |c| c.prepare_cached(SET_STATE)?.execute(params![task, state, outcome]).map(drop)))
            .await
    }

    /// How far the task is.
    pub(crate) async fn state(&self) -> Result<TaskState, Failure> {
        let task = self.task.clone();
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
        let (task, but) = (self.task.clone(), serde_json::to_string(but).map_err(broken)?);
        self.ledger
            .worker
            .run(Box::new(move |c| {
                c.execute("UPDATE task SET state = 'planned', outcome = NULL WHERE id = ?1", [&task])?;
                c.execute(
                    "UPDATE unit SET state = 'planned', bytes = NULL, sha256 = NULL, failure = NULL
                     WHERE task = ?1 AND id NOT IN (SELECT value FROM json_each(?2))",
                    [&task, &but],
                )?;
                let others = "DELETE FROM note WHERE task = ?1 AND unit NOT IN (SELECT value FROM json_each(?2))";
                c.execute(others, [&task, &but]).map(drop)
            }))
            .await
    }

    /// Runs an update of one unit: `?1` is the task, `?2` the unit, `?3` the time, the values follow.
    async fn update(&self, unit: &str, sql: &'static str, values: Vec<SqlValue>, now: i64) -> Result<(), Failure> {
        let mut all: Vec<SqlValue> = vec![self.task.clone().into(), unit.to_owned().into(), now.into()];
        all.extend(values);
        let name = format!("unit `{unit}` of task `{}`", self.task);
        let changed = self.ask(move |c| c.prepare_cached(sql)?.execute(params_from_iter(all))).await?;
        if changed == 1 {
            return Ok(());
        }
        Err(Failure::internal(format!("{name} was not planned")))
    }

    /// Notes that a unit is begun; counts attempts.
    ///
    /// # Errors
    /// If the unit was not planned, or the ledger cannot be written.
    pub async fn begin(&self, unit: &str, now: i64) -> Result<(), Failure> {
        const SQL: &str = "UPDATE unit SET state = 'started', attempts = attempts + 1, updated = ?3
            WHERE task = ?1 AND id = ?2";
        self.update(unit, SQL, Vec::new(), now).await
    }

    /// Notes that a unit is done, with the size and SHA-256 of what it downloaded.
    ///
    /// # Errors
    /// As [`TaskLedger::begin`].
    pub async fn finish(&self, unit: &str, bytes: u64, sha256: Option<&str>, now: i64) -> Result<(), Failure> {
        const SQL: &str = "UPDATE unit SET state = 'finished', bytes = ?4, sha256 = ?5, failure = NULL, updated = ?3
            WHERE task = ?1 AND id = ?2";
        // SQLite knows no larger number.
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.update(unit, SQL, vec![bytes.into(), sha256.map(str::to_owned).into()], now).await
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
        // Known before it is relied on: a path of a unit that is not finished says nothing.
        self.note(unit, RESULT, path).await?;
        self.note(unit, RESULT_OF, of.unwrap_or_default()).await?;
        self.finish(unit, bytes, Some(sha256), now).await
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
        let task = self.task.clone();
        let query = move |c: &Connection| {
            c.prepare_cached("SELECT unit, value FROM note WHERE task = ?1 AND key = ?2 LIMIT ?3")?
                .query_map(params![task, key, MOST_UNITS], |r| Ok((r.get(0)?, r.get(1)?)))?
                .collect()
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
        const SQL: &str = "UPDATE unit SET state = 'failed', failure = ?4, updated = ?3
            WHERE task = ?1 AND id = ?2";
        let text = self.ledger.text_of("failure", &self.ledger.secrets.failure(failure.clone()))?;
        self.update(unit, SQL, vec![text.into()], now).await
    }

    /// One unit of the task; `None` where it was not planned.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn unit(&self, id: &str) -> Result<Option<UnitRecord>, Failure> {
        let row = [self.task.clone(), id.to_owned()];
        self.ledger
            .worker
            .read(move |c| {
                c.prepare_cached("SELECT id, state, attempts, bytes, sha256 FROM unit WHERE task = ?1 AND id = ?2")?
                    .query_row(row, record_of)
                    .optional()
            })
            .await
    }

    /// All units of the task.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn units(&self) -> Result<Vec<UnitRecord>, Failure> {
        let task = self.task.clone();
        self.ledger
            .worker
            .read(move |c| {
                c.prepare_cached("SELECT id, state, attempts, bytes, sha256 FROM unit WHERE task = ?1 ORDER BY id LIMIT ?2")?
                    .query_map(params![task, MOST_UNITS], record_of)?
                    .collect()
            })
            .await
    }

    /// Keeps a value of a unit, such as the url of a server's job without token.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn note(&self, unit: &str, key: &str, value: &str) -> Result<(), Failure> {
        let value = self.ledger.secrets.scrub_word(value).into_owned();
        let row = [self.task.clone(), unit.to_owned(), key.to_owned(), value];
        self.ledger
            .worker
            .run(Box::new(move |c| {
                c.prepare_cached("INSERT OR REPLACE INTO note(task, unit, key, value) VALUES(?1, ?2, ?3, ?4)")?
                    .execute(row)
                    .map(drop)
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
        let row = [self.task.clone(), unit.to_owned(), key.to_owned()];
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
