//! The ledger of one job: a SQLite file that knows the plan, every unit of work, and how far each is.
//!
//! Written before an action is relied on: a server job's address stands here before it is polled, a unit is finished here
//! before the task that needs it ends. One thread owns the file (WAL, commits in batches); everybody else sends to it through
//! a bounded channel. No token is ever written.

use crate::ledger_file::{self, Deadline, LARGEST_VALUE, LONGEST_READ, judged, refused};
use offmap_disk::safe_path;
use offmap_model::{ExportTask, Failure, FailureKind, FailureOwner, FailureStage, OfflineMapPlan, SecretRegistry};
use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Messages that may wait for the ledger's thread.
const QUEUE: usize = 256;

/// State of a unit of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitRecord {
    /// Its id in the task.
    pub id: String,
    /// `planned`, `started`, `finished` or `failed`.
    pub state: String,
    /// How often it was begun.
    pub attempts: u32,
    /// Bytes that it brought.
    pub bytes: Option<u64>,
    /// SHA-256 of what it brought, in hexadecimal.
    pub sha256: Option<String>,
}

/// Most tasks of a job.
const MOST_TASKS: u32 = 10_000;
/// Most units of a job.
const MOST_UNITS: u32 = 1_000_000;
/// Longest id of a unit, in bytes. It is no file name.
const LONGEST_UNIT: usize = 4096;

/// Checks what a ledger says of tasks: ids become names of directories.
fn check_tasks(tasks: &[ExportTask]) -> Result<(), Failure> {
    let units: usize = tasks.iter().map(|t| t.units.len()).sum();
    if tasks.len() > MOST_TASKS as usize || units > MOST_UNITS as usize {
        return Err(refused(format!(
            "it has {} tasks with {units} units, expected at most {MOST_TASKS} with {MOST_UNITS}",
            tasks.len()
        )));
    }
    let mut known = HashSet::new();
    for task in tasks {
        safe_path::check_name(&task.id).map_err(|e| refused(format!("a task's id: {e}")))?;
        if !known.insert(&task.id) {
            return Err(refused(format!("it has the task `{}` twice", task.id)));
        }
        if task.units.iter().any(|u| u.id.is_empty() || u.id.len() > LONGEST_UNIT || u.id.contains('\0')) {
            return Err(refused(format!("the task `{}` has a unit whose id is not plain", task.id)));
        }
    }
    Ok(())
}

type Work = Box<dyn FnOnce(&Connection) -> rusqlite::Result<()> + Send>;

struct Command {
    work: Work,
    /// Whether it only reads: then its time is limited.
    reads: bool,
    done: oneshot::Sender<Result<(), Failure>>,
}

/// A handle to a job's ledger; cheap to clone.
#[derive(Debug, Clone)]
pub struct Ledger {
    sender: mpsc::Sender<Command>,
    secrets: SecretRegistry,
}

fn broken(error: impl std::fmt::Display) -> Failure {
    Failure::internal(format!("the job's ledger cannot be used: {error}"))
}

/// What a ledger says of the packages that its job deals with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Lineage {
    /// Id of the job.
    pub(crate) job: String,
    /// Id of the job that made the package whose place the new one takes.
    pub(crate) replaces: Option<String>,
}

impl Lineage {
    /// Out of the values `document` and `replaces`.
    fn of(document: Option<String>, replaces: Option<String>) -> Result<Self, Failure> {
        #[derive(Deserialize)]
        struct Id {
            id: String,
        }
        let job = match document.map(|text| serde_json::from_str::<String>(&text)).transpose() {
            Ok(Some(document)) => serde_json::from_str::<Id>(&document).map_err(refused)?.id,
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
        let (connection, deadline) = ledger_file::open(path)?;
        deadline.set(LONGEST_READ);
        let value = |key: &str| value_of(&connection, key).map_err(|e| judged(&e));
        Self::of(value("document")?, value("replaces")?)
    }
}

fn value_of(connection: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    connection.query_row("SELECT value FROM job WHERE key = ?1", [key], |r| r.get(0)).optional()
}

/// Takes whatever waits, commits it at once, then tells everybody.
fn serve(connection: &Connection, deadline: &Deadline, mut receiver: mpsc::Receiver<Command>) {
    while let Some(first) = receiver.blocking_recv() {
        let mut batch = vec![first];
        while let Ok(next) = receiver.try_recv() {
            batch.push(next);
        }
        let mut told = Vec::with_capacity(batch.len());
        let mut begun = connection.execute_batch("BEGIN").map_err(|e| judged(&e));
        for command in batch {
            if command.reads {
                deadline.set(LONGEST_READ);
            }
            let result = begun.clone().and_then(|()| (command.work)(connection).map_err(|e| judged(&e)));
            deadline.clear();
            told.push((command.done, result));
        }
        if begun.is_ok() {
            begun = connection.execute_batch("COMMIT").map_err(|e| {
                // A commit that failed leaves its transaction open.
                let _ = connection.execute_batch("ROLLBACK");
                judged(&e)
            });
        }
        for (done, result) in told {
            // Nobody waits any more if the job was dropped.
            let _ = done.send(begun.clone().and(result));
        }
    }
}

impl Ledger {
    /// Opens or makes the ledger at `path` and starts its thread, which ends when the last handle is dropped.
    ///
    /// # Errors
    /// If the file cannot be made or is not a ledger.
    pub async fn open(path: &Path) -> Result<Self, Failure> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let (opened, is_open) = oneshot::channel();
        let path = path.to_owned();
        std::thread::Builder::new()
            .name("offmap-ledger".to_owned())
            .spawn(move || match ledger_file::open(&path) {
                Ok((connection, deadline)) => {
                    let _ = opened.send(Ok(()));
                    serve(&connection, &deadline, receiver);
                }
                Err(failure) => {
                    let _ = opened.send(Err(failure));
                }
            })
            .map_err(broken)?;
        is_open.await.map_err(broken)??;
        Ok(Self { sender, secrets: SecretRegistry::default() })
    }

    /// Takes the secrets of a registry out of whatever is written from now on.
    #[must_use]
    pub fn without(mut self, secrets: SecretRegistry) -> Self {
        self.secrets = secrets;
        self
    }

    async fn run(&self, work: Work) -> Result<(), Failure> {
        self.send(work, false).await
    }

    async fn send(&self, work: Work, reads: bool) -> Result<(), Failure> {
        let (done, is_done) = oneshot::channel();
        self.sender.send(Command { work, reads, done }).await.map_err(|_| broken("its thread has ended"))?;
        is_done.await.map_err(broken)?
    }

    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let (answer, is_answered) = oneshot::channel();
        let work: Work = Box::new(move |connection| {
            let _ = answer.send(query(connection)?);
            Ok(())
        });
        self.send(work, true).await?;
        is_answered.await.map_err(broken)
    }

    /// Text for a value, or a row; one that is too large is the source's, who sent that much.
    fn text_of(&self, what: &str, value: &impl Serialize) -> Result<String, Failure> {
        let text = self.secrets.json_of(value).map_err(broken)?;
        if text.len() > LARGEST_VALUE {
            let message = format!("the job's {what} has {} bytes, expected at most {LARGEST_VALUE}", text.len());
            return Err(Failure::new(FailureOwner::Source, FailureKind::LimitExceeded, FailureStage::Plan, message));
        }
        Ok(text)
    }

    /// Keeps a value of the job, such as its plan.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn put(&self, key: &str, value: &impl Serialize) -> Result<(), Failure> {
        let text = self.text_of(key, value)?;
        let key = key.to_owned();
        self.run(Box::new(move |c| {
            c.prepare_cached("INSERT OR REPLACE INTO job(key, value) VALUES(?1, ?2)")?.execute([key, text]).map(drop)
        }))
        .await
    }

    /// Reads a value of the job.
    ///
    /// # Errors
    /// If it cannot be read or is of another shape.
    pub async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Failure> {
        let key = key.to_owned();
        let text: Option<String> = self.read(move |c| value_of(c, &key)).await?;
        text.map(|t| serde_json::from_str(&t).map_err(refused)).transpose()
    }

    /// The plan, if it was written; its names are checked.
    pub(crate) async fn plan(&self) -> Result<Option<OfflineMapPlan>, Failure> {
        let plan: Option<OfflineMapPlan> = self.get("plan").await?;
        plan.iter().try_for_each(|plan| check_tasks(&plan.tasks))?;
        Ok(plan)
    }

    /// What it says of the packages that its job deals with.
    pub(crate) async fn lineage(&self) -> Result<Lineage, Failure> {
        let (document, replaces) = self.read(|c| Ok((value_of(c, "document")?, value_of(c, "replaces")?))).await?;
        Lineage::of(document, replaces)
    }

    /// Writes the plan, its tasks and their units. What is known of a unit already stays.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn put_plan(&self, plan: &OfflineMapPlan, now: i64) -> Result<(), Failure> {
        self.put("plan", plan).await?;
        let tasks = plan.tasks.clone();
        check_tasks(&tasks).map_err(|f| Failure::internal(f.message))?;
        let definitions: Vec<String> = tasks.iter().map(|t| self.text_of("task", t)).collect::<Result<_, _>>()?;
        self.run(Box::new(move |c| {
            let mut task_sql = c.prepare_cached(
                "INSERT INTO task(id, exporter, service_url, definition, state) VALUES(?1, ?2, ?3, ?4, 'planned')
                 ON CONFLICT(id) DO NOTHING",
            )?;
            let mut unit_sql = c.prepare_cached(
                "INSERT INTO unit(task, id, kind, title, state, updated) VALUES(?1, ?2, ?3, ?4, 'planned', ?5)
                 ON CONFLICT(task, id) DO NOTHING",
            )?;
            for (task, definition) in tasks.iter().zip(&definitions) {
                task_sql.execute(params![task.id, task.exporter, task.key.service_url, definition])?;
                for unit in &task.units {
                    unit_sql.execute(params![task.id, unit.id, unit.kind, unit.title, now])?;
                }
            }
            Ok(())
        }))
        .await
    }

    /// Makes one task begin anew as it is planned now: plan, task, units and notes change in one step. Units that are no longer
    /// planned go.
    pub(crate) async fn replace_task(&self, plan: &OfflineMapPlan, task: &ExportTask, now: i64) -> Result<(), Failure> {
        let whole = self.text_of("plan", plan)?;
        check_tasks(&plan.tasks).map_err(|f| Failure::internal(f.message))?;
        let definition = self.text_of("task", task)?;
        let task = task.clone();
        self.run(Box::new(move |c| {
            let replaced = || {
                c.execute("INSERT OR REPLACE INTO job(key, value) VALUES('plan', ?1)", [whole])?;
                c.execute(
                    "UPDATE task SET exporter = ?2, service_url = ?3, definition = ?4, state = 'planned', outcome = NULL
                     WHERE id = ?1",
                    params![task.id, task.exporter, task.key.service_url, definition],
                )?;
                c.execute("DELETE FROM note WHERE task = ?1", [&task.id])?;
                c.execute("DELETE FROM unit WHERE task = ?1", [&task.id])?;
                let mut insert = c.prepare_cached(
                    "INSERT INTO unit(task, id, kind, title, state, updated) VALUES(?1, ?2, ?3, ?4, 'planned', ?5)",
                )?;
                for unit in &task.units {
                    insert.execute(params![task.id, unit.id, unit.kind, unit.title, now])?;
                }
                Ok(())
            };
            // Other writes may share the transaction, and it is committed for them even if this one fails.
            c.execute_batch("SAVEPOINT replace_task")?;
            match replaced() {
                Ok(()) => c.execute_batch("RELEASE replace_task"),
                Err(error) => c.execute_batch("ROLLBACK TO replace_task; RELEASE replace_task").and(Err(error)),
            }
        }))
        .await
    }

    /// Whether any task of the plan was begun.
    pub(crate) async fn is_begun(&self) -> Result<bool, Failure> {
        self.read(|c| c.query_row("SELECT EXISTS(SELECT 1 FROM task WHERE state <> 'planned')", [], |r| r.get(0))).await
    }

    /// Forgets tasks and units of a plan of which nothing was begun.
    pub(crate) async fn forget_plan(&self) -> Result<(), Failure> {
        self.run(Box::new(|c| {
            c.execute("DELETE FROM note", [])?;
            c.execute("DELETE FROM unit", [])?;
            c.execute("DELETE FROM task", []).map(drop)
        }))
        .await
    }

    /// The tasks as they were planned.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn tasks(&self) -> Result<Vec<ExportTask>, Failure> {
        let texts: Vec<String> = self
            .read(|c| {
                c.prepare("SELECT definition FROM task ORDER BY id LIMIT ?1")?
                    .query_map([MOST_TASKS + 1], |r| r.get(0))?
                    .collect()
            })
            .await?;
        let tasks: Vec<ExportTask> =
            texts.iter().map(|t| serde_json::from_str(t).map_err(refused)).collect::<Result<_, _>>()?;
        check_tasks(&tasks)?;
        Ok(tasks)
    }

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
    /// Units of which nothing is told.
    hidden: Arc<HashSet<String>>,
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

impl TaskLedger {
    /// The same without what it knows of some units.
    #[must_use]
    pub(crate) fn hiding(mut self, units: HashSet<String>) -> Self {
        self.hidden = Arc::new(units);
        self
    }

    /// Sets the task's state and, at its end, what it brought home or why it failed.
    pub(crate) async fn set_state(&self, state: &'static str, outcome: Option<String>) -> Result<(), Failure> {
        let task = self.task.clone();
        self.ledger
            .run(Box::new(move |c| {
                c.prepare_cached("UPDATE task SET state = ?2, outcome = ?3 WHERE id = ?1")?
                    .execute(params![task, state, outcome])
                    .map(drop)
            }))
            .await
    }

    /// The task's state and what goes with it: what it brought home, or why it failed.
    pub(crate) async fn state(&self) -> Result<(String, Option<String>), Failure> {
        let task = self.task.clone();
        self.ledger
            .read(move |c| {
                c.prepare_cached("SELECT state, outcome FROM task WHERE id = ?1")?
                    .query_row([task], |r| Ok((r.get(0)?, r.get(1)?)))
            })
            .await
    }

    /// Forgets what was done for the task but for some units, so that it begins anew.
    pub(crate) async fn reset(&self, but: &HashSet<String>) -> Result<(), Failure> {
        let (task, but) = (self.task.clone(), serde_json::to_string(but).map_err(broken)?);
        self.ledger
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
        let (answer, is_answered) = oneshot::channel();
        let work: Work = Box::new(move |c| {
            let _ = answer.send(c.prepare_cached(sql)?.execute(params_from_iter(all))?);
            Ok(())
        });
        self.ledger.run(work).await?;
        let changed = is_answered.await.map_err(broken)?;
        if changed == 1 {
            return Ok(());
        }
        Err(Failure::internal(format!("{name} was not planned")))
    }

    /// Says that a unit is begun; counts attempts.
    ///
    /// # Errors
    /// If the unit was not planned, or the ledger cannot be written.
    pub async fn begin(&self, unit: &str, now: i64) -> Result<(), Failure> {
        const SQL: &str = "UPDATE unit SET state = 'started', attempts = attempts + 1, updated = ?3
            WHERE task = ?1 AND id = ?2";
        self.update(unit, SQL, Vec::new(), now).await
    }

    /// Says that a unit is done, with the size and SHA-256 of what it brought.
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

    /// Says that a unit is done, and where below the work directory its result is: it stays as long as its bytes do.
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
        let mut results = Vec::new();
        for unit in self.units().await?.into_iter().filter(|u| u.state == "finished" && u.sha256.is_some()) {
            if let Some(path) = self.noted(&unit.id, RESULT).await? {
                let of = self.noted(&unit.id, RESULT_OF).await?.filter(|of| !of.is_empty());
                results.push(UnitResult { unit, path: PathBuf::from(path), of });
            }
        }
        Ok(results)
    }

    /// Says why a unit failed.
    ///
    /// # Errors
    /// As [`TaskLedger::begin`].
    pub async fn fail(&self, unit: &str, failure: &Failure, now: i64) -> Result<(), Failure> {
        const SQL: &str = "UPDATE unit SET state = 'failed', failure = ?4, updated = ?3
            WHERE task = ?1 AND id = ?2";
        let text = self.ledger.text_of("failure", &self.ledger.secrets.failure(failure.clone()))?;
        self.update(unit, SQL, vec![text.into()], now).await
    }

    /// All units of the task.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn units(&self) -> Result<Vec<UnitRecord>, Failure> {
        let task = self.task.clone();
        self.ledger
            .read(move |c| {
                c.prepare_cached("SELECT id, state, attempts, bytes, sha256 FROM unit WHERE task = ?1 ORDER BY id LIMIT ?2")?
                    .query_map(params![task, MOST_UNITS], |r| {
                        Ok(UnitRecord {
                            id: r.get(0)?,
                            state: r.get(1)?,
                            attempts: r.get(2)?,
                            bytes: r.get::<_, Option<i64>>(3)?.and_then(|b| u64::try_from(b).ok()),
                            sha256: r.get(4)?,
                        })
                    })?
                    .collect()
            })
            .await
    }

    /// Keeps a word about a unit, such as a server job's address without token.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn note(&self, unit: &str, key: &str, value: &str) -> Result<(), Failure> {
        let value = self.ledger.secrets.scrub_word(value).into_owned();
        let row = [self.task.clone(), unit.to_owned(), key.to_owned(), value];
        self.ledger
            .run(Box::new(move |c| {
                c.prepare_cached("INSERT OR REPLACE INTO note(task, unit, key, value) VALUES(?1, ?2, ?3, ?4)")?
                    .execute(row)
                    .map(drop)
            }))
            .await
    }

    /// Reads a word about a unit.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn noted(&self, unit: &str, key: &str) -> Result<Option<String>, Failure> {
        if self.hidden.contains(unit) {
            return Ok(None);
        }
        let row = [self.task.clone(), unit.to_owned(), key.to_owned()];
        self.ledger
            .read(move |c| {
                c.prepare_cached("SELECT value FROM note WHERE task = ?1 AND unit = ?2 AND key = ?3")?
                    .query_row(row, |r| r.get(0))
                    .optional()
            })
            .await
    }
}
