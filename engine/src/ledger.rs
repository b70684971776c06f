//! The ledger of one job: a SQLite file that knows the plan, every unit of work, and how far each is.
//!
//! Written before an action is relied on: a server job's address stands here before it is polled, a unit is finished here
//! before the task that needs it ends. One thread owns the file (WAL, commits in batches); everybody else sends to it through
//! a bounded channel. No token is ever written.

use crate::model::failure::{Failure, FailureKind, FailureOwner, FailureStage};
use crate::model::plan::{ExportTask, OfflineMapPlan};
use crate::model::secrets::SecretRegistry;
use rusqlite::types::Value as SqlValue;
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::Path;
use tokio::sync::{mpsc, oneshot};

/// SQL that brings a ledger from version `n` to `n + 1`; its version is SQLite's `user_version`.
const MIGRATIONS: [&str; 1] = ["
    CREATE TABLE job(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE task(id TEXT PRIMARY KEY, exporter TEXT NOT NULL, service_url TEXT NOT NULL, definition TEXT NOT NULL,
        state TEXT NOT NULL, outcome TEXT) WITHOUT ROWID;
    CREATE TABLE unit(task TEXT NOT NULL REFERENCES task(id), id TEXT NOT NULL, kind TEXT NOT NULL, title TEXT NOT NULL,
        state TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, bytes INTEGER, sha256 TEXT, failure TEXT,
        updated INTEGER NOT NULL, PRIMARY KEY(task, id)) WITHOUT ROWID;
    CREATE TABLE note(task TEXT NOT NULL, unit TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
        PRIMARY KEY(task, unit, key)) WITHOUT ROWID;
"];

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

type Work = Box<dyn FnOnce(&Connection) -> rusqlite::Result<()> + Send>;

struct Command {
    work: Work,
    done: oneshot::Sender<Result<(), String>>,
}

/// A handle to a job's ledger; cheap to clone.
#[derive(Debug, Clone)]
pub struct Ledger {
    sender: mpsc::Sender<Command>,
    secrets: SecretRegistry,
}

fn broken(error: impl std::fmt::Display) -> Failure {
    let message = format!("the job's ledger cannot be used: {error}");
    Failure::new(FailureOwner::Storage, FailureKind::Io, FailureStage::Run, message)
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let mut connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    let version: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for (next, sql) in (1_u32..).zip(MIGRATIONS).skip(version as usize) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(sql)?;
        transaction.pragma_update(None, "user_version", next)?;
        transaction.commit()?;
    }
    Ok(connection)
}

/// Takes whatever waits, commits it at once, then tells everybody.
fn serve(connection: &Connection, mut receiver: mpsc::Receiver<Command>) {
    while let Some(first) = receiver.blocking_recv() {
        let mut batch = vec![first];
        while let Ok(next) = receiver.try_recv() {
            batch.push(next);
        }
        let mut told = Vec::with_capacity(batch.len());
        let mut begun = connection.execute_batch("BEGIN").map_err(|e| e.to_string());
        for command in batch {
            let result = begun.clone().and_then(|()| (command.work)(connection).map_err(|e| e.to_string()));
            told.push((command.done, result));
        }
        if begun.is_ok() {
            begun = connection.execute_batch("COMMIT").map_err(|e| {
                // A commit that failed leaves its transaction open.
                let _ = connection.execute_batch("ROLLBACK");
                e.to_string()
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
            .spawn(move || match open(&path) {
                Ok(connection) => {
                    let _ = opened.send(Ok(()));
                    serve(&connection, receiver);
                }
                Err(e) => {
                    let _ = opened.send(Err(e.to_string()));
                }
            })
            .map_err(broken)?;
        is_open.await.map_err(broken)?.map_err(broken)?;
        Ok(Self { sender, secrets: SecretRegistry::default() })
    }

    /// Takes the secrets of a registry out of whatever is written from now on.
    #[must_use]
    pub fn without(mut self, secrets: SecretRegistry) -> Self {
        self.secrets = secrets;
        self
    }

    async fn run(&self, work: Work) -> Result<(), Failure> {
        let (done, is_done) = oneshot::channel();
        self.sender.send(Command { work, done }).await.map_err(|_| broken("its thread has ended"))?;
        is_done.await.map_err(broken)?.map_err(broken)
    }

    async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let (answer, is_answered) = oneshot::channel();
        self.run(Box::new(move |connection| {
            let _ = answer.send(query(connection)?);
            Ok(())
        }))
        .await?;
        is_answered.await.map_err(broken)
    }

    /// Keeps a value of the job, such as its plan.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn put(&self, key: &str, value: &impl Serialize) -> Result<(), Failure> {
        let key = key.to_owned();
        let text = self.secrets.json_of(value).map_err(broken)?;
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
        let text: Option<String> =
            self.read(move |c| c.query_row("SELECT value FROM job WHERE key = ?1", [key], |r| r.get(0)).optional()).await?;
        text.map(|t| serde_json::from_str(&t).map_err(broken)).transpose()
    }

    /// Writes the plan, its tasks and their units. What is known of a unit already stays.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn put_plan(&self, plan: &OfflineMapPlan, now: i64) -> Result<(), Failure> {
        self.put("plan", plan).await?;
        let tasks = plan.tasks.clone();
        let definition = |task: &ExportTask| self.secrets.json_of(task);
        let definitions: Vec<String> = tasks.iter().map(definition).collect::<Result<_, _>>().map_err(broken)?;
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

    /// The tasks as they were planned.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn tasks(&self) -> Result<Vec<ExportTask>, Failure> {
        let texts: Vec<String> = self
            .read(|c| c.prepare("SELECT definition FROM task ORDER BY id")?.query_map([], |r| r.get(0))?.collect())
            .await?;
        texts.iter().map(|t| serde_json::from_str(t).map_err(broken)).collect()
    }

    /// The part of the ledger that concerns one task.
    #[must_use]
    pub fn task(&self, id: &str) -> TaskLedger {
        TaskLedger { ledger: self.clone(), task: id.to_owned() }
    }
}

/// The part of a ledger that concerns one task.
#[derive(Debug, Clone)]
pub struct TaskLedger {
    ledger: Ledger,
    task: String,
}

impl TaskLedger {
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

    /// Forgets all that was done for the task, so that it begins anew.
    pub(crate) async fn reset(&self) -> Result<(), Failure> {
        let task = self.task.clone();
        self.ledger
            .run(Box::new(move |c| {
                c.execute("UPDATE task SET state = 'planned', outcome = NULL WHERE id = ?1", [&task])?;
                c.execute(
                    "UPDATE unit SET state = 'planned', bytes = NULL, sha256 = NULL, failure = NULL WHERE task = ?1",
                    [&task],
                )?;
                c.execute("DELETE FROM note WHERE task = ?1", [&task]).map(drop)
            }))
            .await
    }

    /// Runs an update of one unit: `?1` is the task, `?2` the unit, `?3` the time, the values follow.
    async fn update(&self, unit: &str, sql: &'static str, values: Vec<SqlValue>, now: i64) -> Result<(), Failure> {
        let mut all: Vec<SqlValue> = vec![self.task.clone().into(), unit.to_owned().into(), now.into()];
        all.extend(values);
        let name = format!("unit `{unit}` of task `{}`", self.task);
        let changed = self.ledger.read(move |c| c.prepare_cached(sql)?.execute(params_from_iter(all))).await?;
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
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.update(unit, SQL, vec![bytes.into(), sha256.map(str::to_owned).into()], now).await
    }

    /// Says why a unit failed.
    ///
    /// # Errors
    /// As [`TaskLedger::begin`].
    pub async fn fail(&self, unit: &str, failure: &Failure, now: i64) -> Result<(), Failure> {
        const SQL: &str = "UPDATE unit SET state = 'failed', failure = ?4, updated = ?3
            WHERE task = ?1 AND id = ?2";
        let text = serde_json::to_string(&self.ledger.secrets.failure(failure.clone())).map_err(broken)?;
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
                c.prepare_cached("SELECT id, state, attempts, bytes, sha256 FROM unit WHERE task = ?1 ORDER BY id")?
                    .query_map([task], |r| {
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
