//! The ledger of one job: a SQLite file that knows the plan, every unit of work, and how far each is.
//!
//! Written before an action is relied on: a server job's url stands here before it is polled, a unit is finished here before the task
//! that needs it ends. One thread at a time works on the file (WAL, commits in batches). No token is ever written.

use super::file::{LARGEST_VALUE, refused};
use super::lineage::{Lineage, value_of};
use super::worker::{Worker, broken};
use offmap_disk::safe_path;
use offmap_model::{ExportTask, Failure, FailureKind, FailureOwner, FailureStage, OfflineMapPlan, SecretRegistry};
use rusqlite::params;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::HashSet;
use std::path::Path;

/// Most tasks of a job.
const MOST_TASKS: u32 = 10_000;
/// Most units of a job.
pub(super) const MOST_UNITS: u32 = 1_000_000;
const SET_DEFINITION: &str = "UPDATE task SET definition = ?2 WHERE id = ?1";
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

/// A handle to a job's ledger; cheap to clone.
#[derive(Debug, Clone)]
pub struct Ledger {
    pub(super) worker: Worker,
    pub(super) secrets: SecretRegistry,
}

impl Ledger {
    /// Opens or makes the ledger at `path`; it is closed when the last handle is dropped.
    ///
    /// # Errors
    /// If the file cannot be made or is not a ledger.
    pub async fn open(path: &Path) -> Result<Self, Failure> {
        Ok(Self { worker: Worker::start(path).await?, secrets: SecretRegistry::default() })
    }

    /// Takes the secrets of a registry out of whatever is written from now on.
    #[must_use]
    pub fn without(mut self, secrets: SecretRegistry) -> Self {
        self.secrets = secrets;
        self
    }

    /// Text for a value, or a row; one that is too large is the source's, who sent that much.
    pub(super) fn text_of(&self, what: &str, value: &impl Serialize) -> Result<String, Failure> {
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
        self.worker
            .run(Box::new(move |c| {
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
        let text: Option<String> = self.worker.read(move |c| value_of(c, &key)).await?;
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
        let (document, replaces) = self.worker.read(|c| Ok((value_of(c, "document")?, value_of(c, "replaces")?))).await?;
        Lineage::of(document, replaces)
    }

    /// Writes the plan, its tasks and their units. What is known of a unit already stays.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn put_plan(&self, plan: &OfflineMapPlan, now: i64) -> Result<(), Failure> {
        let whole = self.text_of("plan", plan)?;
        let tasks = plan.tasks.clone();
        check_tasks(&tasks).map_err(|f| Failure::internal(f.message))?;
        let definitions: Vec<String> = tasks.iter().map(|t| self.text_of("task", t)).collect::<Result<_, _>>()?;
        self.worker
            .run(Box::new(move |c| {
                c.prepare_cached("INSERT OR REPLACE INTO job(key, value) VALUES('plan', ?1)")?.execute([whole])?;
                let mut task_sql = c.prepare_cached(
                    "INSERT INTO task(id, exporter, service_url, definition, state) VALUES(?1, ?2, ?3, '', 'planned')
                 ON CONFLICT(id) DO NOTHING",
                )?;
                let mut unit_sql = c.prepare_cached(
                    "INSERT INTO unit(task, id, kind, title, state, updated) VALUES(?1, ?2, ?3, ?4, 'planned', ?5)
                 ON CONFLICT(task, id) DO NOTHING",
                )?;
                let mut definition_sql = c.prepare_cached(SET_DEFINITION)?;
                for (task, definition) in tasks.iter().zip(&definitions) {
                    let is_new = task_sql.execute(params![task.id, task.exporter, task.key.service_url])? > 0;
                    for unit in &task.units {
                        unit_sql.execute(params![task.id, unit.id, unit.kind, unit.title, now])?;
                    }
                    // Last: each unit's task is looked up, and a row is read to its end for that.
                    if is_new {
                        definition_sql.execute(params![task.id, definition])?;
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
        self.worker
            .run(Box::new(move |c| {
                let replaced = || {
                    c.execute("INSERT OR REPLACE INTO job(key, value) VALUES('plan', ?1)", [whole])?;
                    c.execute(
                        "UPDATE task SET exporter = ?2, service_url = ?3, definition = '', state = 'planned', outcome = NULL
                     WHERE id = ?1",
                        params![task.id, task.exporter, task.key.service_url],
                    )?;
                    c.execute("DELETE FROM note WHERE task = ?1", [&task.id])?;
                    c.execute("DELETE FROM unit WHERE task = ?1", [&task.id])?;
                    let mut insert = c.prepare_cached(
                        "INSERT INTO unit(task, id, kind, title, state, updated) VALUES(?1, ?2, ?3, ?4, 'planned', ?5)",
                    )?;
                    for unit in &task.units {
                        insert.execute(params![task.id, unit.id, unit.kind, unit.title, now])?;
                    }
                    c.prepare_cached(SET_DEFINITION)?.execute(params![task.id, definition]).map(drop)
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
        self.worker
            .read(|c| c.query_row("SELECT EXISTS(SELECT 1 FROM task WHERE state <> 'planned')", [], |r| r.get(0)))
            .await
    }

    /// Forgets tasks and units of a plan of which nothing was begun.
    pub(crate) async fn forget_plan(&self) -> Result<(), Failure> {
        self.worker
            .run(Box::new(|c| {
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
            .worker
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
}
