//! The ledger of one job: a SQLite file that knows the plan, every unit of work, and how far each is.
//!
//! Written before an action is relied on: a server job's url stands here before it is polled, a unit is finished here before the task
//! that needs it ends. One thread at a time works on the file (WAL, commits in batches). No token is ever written.

use super::file::{LARGEST_VALUE, refused};
use super::lineage::{Lineage, value_of};
use super::worker::{Worker, broken};
use offmap_disk::safe_path;
use offmap_model::{ExportTask, Failure, FailureKind, FailureOwner, FailureStage, OfflineMapPlan, SecretRegistry};
use rusqlite::config::DbConfig;
use rusqlite::params;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// Most tasks of a job.
const MOST_TASKS: u32 = 10_000;
/// Most units of a job.
pub(super) const MOST_UNITS: u32 = 1_000_000;
/// The ids of the plan's tasks, in order.
const TASKS: &str = "tasks";
const SET_VALUE: &str = "INSERT OR REPLACE INTO job(key, value) VALUES(?1, ?2)";
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
        Self::open_locked(path, None).await
    }

    /// The same of a directory that is locked: the lock is held at least until the file is closed.
    pub(crate) async fn open_locked(path: &Path, lock: Option<Arc<File>>) -> Result<Self, Failure> {
        Ok(Self { worker: Worker::start(path, lock).await?, secrets: SecretRegistry::default() })
    }

    /// Closes it when what was told it before is written; after that it takes nothing more, by no handle. When this answers, its file may
    /// be opened again.
    pub async fn close(&self) {
        self.worker.close_file().await;
    }

    /// The same for one that is removed next: what it was told last may lie beside its file, and nothing is brought to the disk for it.
    pub(crate) async fn close_to_remove(&self) {
        let as_it_is = DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
        if let Err(failure) = self.worker.run(Box::new(move |c| c.set_db_config(as_it_is, true).map(drop))).await {
            tracing::debug!(%failure, "a ledger that is removed is written to its end first");
        }
        self.close().await;
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
        self.worker.run(Box::new(move |c| c.prepare_cached(SET_VALUE)?.execute([key, text]).map(drop))).await
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

    /// The plan, if it was written, with its tasks as they were planned last; its names are checked.
    pub(crate) async fn plan(&self) -> Result<Option<OfflineMapPlan>, Failure> {
        let Some(plan): Option<OfflineMapPlan> = self.get("plan").await? else { return Ok(None) };
        let mut tasks: HashMap<String, ExportTask> = self.tasks().await?.into_iter().map(|t| (t.id.clone(), t)).collect();
        let order = match self.get::<Vec<String>>(TASKS).await? {
            Some(order) => order,
            // Earlier versions wrote the tasks into the plan.
            None => plan.tasks.into_iter().map(|t| t.id).collect(),
        };
        let found = order
            .into_iter()
            .map(|id| tasks.remove(&id).ok_or_else(|| refused(format!("it lacks a task of its plan, `{id}`"))));
        let plan = OfflineMapPlan { tasks: found.collect::<Result<_, _>>()?, ..plan };
        check_tasks(&plan.tasks)?;
        Ok(Some(plan))
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
        let tasks = plan.tasks.clone();
        check_tasks(&tasks).map_err(|f| Failure::internal(f.message))?;
        let definitions: Vec<String> = tasks.iter().map(|t| self.text_of("task", t)).collect::<Result<_, _>>()?;
        let order = self.text_of("tasks", &tasks.iter().map(|t| &t.id).collect::<Vec<_>>())?;
        // Each task stands once, so that one that is planned anew is written alone.
        let OfflineMapPlan { parameters, embedded, skipped, left_out_networks, warnings, tasks: _ } = plan;
        let whole = OfflineMapPlan {
            parameters: parameters.clone(),
            tasks: Vec::new(),
            embedded: embedded.clone(),
            skipped: skipped.clone(),
            left_out_networks: left_out_networks.clone(),
            warnings: warnings.clone(),
        };
        let whole = self.text_of("plan", &whole)?;
        self.worker
            .run(Box::new(move |c| {
                let mut value_sql = c.prepare_cached(SET_VALUE)?;
                value_sql.execute(["plan", &whole])?;
                value_sql.execute([TASKS, &order])?;
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

    /// Makes one task begin anew as it is planned now: task, units and notes change in one step. Units that are no longer planned go.
    pub(crate) async fn replace_task(&self, task: &ExportTask, now: i64) -> Result<(), Failure> {
        check_tasks(std::slice::from_ref(task)).map_err(|f| Failure::internal(f.message))?;
        let definition = self.text_of("task", task)?;
        let task = task.clone();
        self.worker
            .run(Box::new(move |c| {
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

#[cfg(test)]
mod tests {
    use super::*;
    use offmap_model::{AreaOfInterest, GenerateOfflineMapParameters};
    use serde_json::json;

    fn task(id: usize, title: &str) -> ExportTask {
        let task = json!({"id": format!("{id:03}-scripted"), "exporter": "scripted", "title": title, "layers": [],
            "key": {"serviceUrl": format!("https://scripted.invalid/{id}"), "parametersType": "scriptedParameters"},
            "units": [{"id": title, "kind": "scripted", "title": title}], "countUnit": "items", "parameters": {}, "service": {}});
        serde_json::from_value(task).expect("a task")
    }

    fn plan(tasks: Vec<ExportTask>) -> OfflineMapPlan {
        let area = AreaOfInterest::from_numbers("7,46,8,47").expect("an area");
        let parameters = GenerateOfflineMapParameters::new(area);
        let (embedded, skipped, left_out_networks) = (Vec::new(), Vec::new(), Vec::new());
        OfflineMapPlan { parameters, tasks, embedded, skipped, left_out_networks, warnings: vec!["w".to_owned()] }
    }

    async fn opened(dir: &tempfile::TempDir) -> Ledger {
        Ledger::open(&dir.path().join("ledger.sqlite")).await.expect("opens")
    }

    #[tokio::test]
    async fn a_task_that_is_planned_anew_is_written_alone_and_keeps_its_place() {
        let dir = tempfile::tempdir().expect("a directory");
        let ledger = opened(&dir).await;
        // More than have ids of one length: text sorts them otherwise.
        let mut plan = plan((0..1_002).map(|id| task(id, "before")).collect());
        ledger.put_plan(&plan, 0).await.expect("writes");
        assert_eq!(ledger.plan().await.expect("reads").as_ref(), Some(&plan));
        let bytes = async |sql: &'static str| -> i64 {
            ledger.worker.read(move |c| c.query_row(sql, [], |r| r.get(0))).await.expect("reads")
        };
        let of_job = "SELECT sum(length(value)) FROM job";
        let before = bytes(of_job).await;
        let changes = bytes("SELECT total_changes()").await;
        plan.tasks[1_000] = task(1_000, "after");
        ledger.replace_task(&plan.tasks[1_000], 1).await.expect("writes");
        assert_eq!(bytes(of_job).await, before, "what is said of the whole job is not written again");
        assert!(bytes("SELECT total_changes()").await - changes < 10, "and few rows are");
        assert_eq!(ledger.plan().await.expect("reads"), Some(plan));
        let units = ledger.task("1000-scripted").units().await.expect("reads");
        assert_eq!(units.iter().map(|u| u.id.as_str()).collect::<Vec<_>>(), ["after"]);
    }

    #[tokio::test]
    async fn the_plan_of_an_earlier_version_is_read_and_one_that_lacks_a_task_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let ledger = opened(&dir).await;
        let plan = plan(vec![task(0, "a"), task(1, "b")]);
        ledger.put_plan(&plan, 0).await.expect("writes");
        // The tasks stood in the plan.
        ledger.put("plan", &plan).await.expect("writes");
        ledger.worker.run(Box::new(|c| c.execute("DELETE FROM job WHERE key = 'tasks'", []).map(drop))).await.expect("SQL");
        assert_eq!(ledger.plan().await.expect("reads").as_ref(), Some(&plan));
        ledger.put(TASKS, &["000-scripted", "002-scripted"]).await.expect("writes");
        let failure = ledger.plan().await.expect_err("incomplete");
        assert!(failure.message.contains("002-scripted") && failure.kind == FailureKind::Corrupt, "{failure}");
    }
}
