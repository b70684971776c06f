//! What an exporter may ask of the engine while it works.

use crate::event_log::EventLog;
use crate::keep::Keep;
use crate::ledger::{TaskLedger, UnitRecord, UnitState};
use crate::pause::Pause;
use crate::permits::ExportPermit;
use crate::plan_context::of_session;
use async_trait::async_trait;
use offmap_arcgis::{ArcGisClient, Session};
use offmap_disk::{hash_result_until, run_blocking, safe_path};
use offmap_model::failure::{LONGEST_SERVER_MESSAGE, shortened};
use offmap_model::{
    ByteRange, Clock, ErrorBudget, ExportTask, Failure, LayerSecrets, MessageSeverity, MessageSource, Missing,
    OfflineMapPlan, Progress, ProgressUnit, SecretRegistry, Subject, TaskControl,
};
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Lent to [`Exporter::export`](crate::Exporter::export): a private directory, progress, cancellation, time and the task's
/// part of the ledger.
///
/// ```
/// use offmap_engine::ExportContext;
/// use offmap_model::{Failure, Progress};
///
/// /// Downloads a file unless an earlier run did.
/// async fn file(ctx: &ExportContext, download: impl AsyncFnOnce() -> Result<(u64, String), Failure>) -> Result<(), Failure> {
///     let path = ctx.work_dir().join("package");
///     let (bytes, sha256) = match ctx.finished_file("file", &path).await? {
///         Some(there) => there,
///         None => {
///             ctx.begin_unit("file").await?;
///             download().await?
///         }
///     };
///     ctx.report(Progress::bytes(bytes, Some(bytes)));
///     ctx.finish_file("file", None, &path, bytes, &sha256).await
/// }
/// ```
#[derive(Debug, Clone)]
pub struct ExportContext {
    pub(crate) task: Arc<str>,
    pub(crate) subjects: Arc<[Subject]>,
    pub(crate) work_dir: Arc<Path>,
    pub(crate) cancel: CancellationToken,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ledger: TaskLedger,
    pub(crate) event_log: Arc<EventLog>,
    pub(crate) pause: Arc<Pause>,
    /// What lets it run, where it counts among the exports.
    pub(crate) permit: Option<Arc<ExportPermit>>,
    pub(crate) keep: Arc<Keep>,
    pub(crate) plan: Arc<OfflineMapPlan>,
    /// Bytes that the plan expects for the task.
    pub(crate) planned: Option<ByteRange>,
    /// The task's unit, where it has one only.
    pub(crate) only_unit: Option<Arc<str>>,
    pub(crate) secrets: Arc<LayerSecrets>,
    pub(crate) known_secrets: SecretRegistry,
    pub(crate) session: Option<Session>,
    /// Whether more follows whose size is not known yet.
    pub(crate) more_follows: bool,
}

impl ExportContext {
    pub(crate) fn subjects_of(task: &ExportTask) -> Arc<[Subject]> {
        task.layers.iter().map(|l| Subject::layer(l.is_table, &l.id, &l.title)).collect()
    }

    pub(crate) fn only_unit_of(task: &ExportTask) -> Option<Arc<str>> {
        match task.units.as_slice() {
            [unit] => Some(unit.id.as_str().into()),
            _ => None,
        }
    }

    /// The only directory that the exporter writes to. It exists.
    #[must_use]
    pub fn work_dir(&self) -> &Path {
        &self.work_dir
    }

    /// The task's id in the plan.
    #[must_use]
    pub fn task_id(&self) -> &str {
        &self.task
    }

    /// Who asks, where the job has credentials of its own.
    #[must_use]
    pub fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// The exporter's client at work for this task: with the job's session, where it has one, else with its own, and on the job's
    /// clock; what takes long is reported here. Nothing is to be asked by any other client: the exporter's own knows nothing of whom
    /// it works for.
    #[must_use]
    pub fn client(&self, client: &ArcGisClient) -> ArcGisClient {
        of_session(client, self.session.as_ref()).for_task(self.clone())
    }

    /// The secrets of the task's layers: what goes with every request for them, to the origins of their urls only. To be kept in
    /// no file.
    #[must_use]
    pub fn secrets(&self) -> &LayerSecrets {
        &self.secrets
    }

    /// Time.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The token that fires when the job is cancelled.
    #[must_use]
    pub fn cancel_token(&self) -> &CancellationToken {
        &self.cancel
    }

    /// Whether the job is cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Whether the job's work is kept to be resumed later: then nothing that was begun on a service is rolled back.
    #[must_use]
    pub fn keeps_work(&self) -> bool {
        self.keep.is_kept()
    }

    /// Whether what was begun on a service is rolled back after a failure: not if the work is kept, as it is when the disk is full.
    #[must_use]
    pub fn rolls_back(&self, failure: &Failure) -> bool {
        self.keep.rolls_back(failure)
    }

    /// Bytes that the plan expects for the task, as far as known.
    #[must_use]
    pub fn planned_bytes(&self) -> Option<ByteRange> {
        self.planned
    }

    /// How much of a layer may be missing.
    #[must_use]
    pub fn error_budget(&self, layer: &str) -> ErrorBudget {
        self.plan.parameters.error_budgets.get(layer).copied().unwrap_or_default()
    }

    /// Whether more tiles may be missing: to be asked as soon as some are, so that an export whose layers can no longer keep their
    /// budgets ends early. The engine judges again at the end.
    ///
    /// # Errors
    /// If no layer of the task can keep its budget any more.
    pub fn may_lack_tiles(&self, missing: &Missing) -> Result<(), Failure> {
        let mut last = Ok(());
        let task = self.plan.tasks.iter().find(|t| *t.id == *self.task);
        for layer in task.into_iter().flat_map(|t| &t.layers) {
            match self.error_budget(&layer.id).judge_tiles(&layer.title, missing) {
                Ok(()) => return Ok(()),
                Err(failure) => last = Err(failure),
            }
        }
        last
    }

    /// Ends when the job is cancelled.
    pub async fn cancelled(&self) {
        self.cancel.cancelled().await;
    }

    /// Runs a future until it ends or the job is cancelled.
    ///
    /// # Errors
    /// The future's own failure, or that the job was cancelled.
    pub async fn or_cancelled<T>(&self, work: impl Future<Output = Result<T, Failure>> + Send) -> Result<T, Failure> {
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(Failure::cancelled()),
            result = work => result,
        }
    }

    /// Reports how far the task is. Latest wins; a report that falls behind is dropped.
    pub fn report(&self, progress: Progress) {
        let progress = Progress { precise: progress.precise && !self.more_follows, ..progress };
        if !self.event_log.progress_of(&self.subjects, progress) && !self.subjects.is_empty() {
            return;
        }
        // Waiting for a server is the first half of a part, the download the second.
        let fraction = if progress.precise { progress.fraction() } else { self.estimated(progress) };
        self.event_log.part_done(&self.task, (0.5 + fraction / 2.0).min(0.99), progress.precise);
    }

    /// The part done of what the plan expects, for a progress that does not know what is to be done; nothing where the plan does not
    /// know either.
    fn estimated(&self, progress: Progress) -> f64 {
        const MOST: f64 = 0.9;
        let planned = self.planned_bytes().filter(|_| progress.unit == ProgressUnit::Bytes).map_or(0, |bytes| bytes.max);
        match planned {
            0 => 0.0,
            planned => (progress.completed as f64 / planned.max(progress.required) as f64).min(MOST),
        }
    }

    /// The same context for one of several parts whose sizes are not known yet: what it reports is shown as a lower bound.
    #[must_use]
    pub fn with_more_to_follow(&self) -> Self {
        Self { more_follows: true, ..self.clone() }
    }

    /// Reports how far the server's own work for this task is, from 0 to 1, before anything can be downloaded.
    pub fn waiting(&self, fraction: f64) {
        self.event_log.part_done(&self.task, fraction.clamp(0.0, 1.0) / 2.0, true);
    }

    /// Logs a message for people.
    pub fn log(&self, message: impl Into<String>) {
        self.note(message.into(), MessageSource::Client);
    }

    /// Passes on a service's own job message, cut to [`LONGEST_SERVER_MESSAGE`].
    pub fn server_message(&self, message: impl Into<String>) {
        self.note(shortened(message, LONGEST_SERVER_MESSAGE), MessageSource::Service);
    }

    fn note(&self, message: String, source: MessageSource) {
        if let Some(subject) = self.subjects.first() {
            self.event_log.note(subject, message, MessageSeverity::Info, source);
        }
    }

    /// Sleeps on the engine's clock between two polls of a server's job, and as long as the job is paused.
    pub async fn sleep(&self, time: std::time::Duration) {
        self.clock.sleep(time).await;
        self.gate().await;
    }

    /// Ends when the gate of the job is open, and the export may run.
    async fn gate(&self) {
        match &self.permit {
            Some(permit) => permit.passed(&self.pause).await,
            None => self.pause.passed().await,
        }
    }

    /// The task's part of the ledger.
    #[must_use]
    pub fn ledger(&self) -> &TaskLedger {
        &self.ledger
    }

    /// Waits while the job is paused; else it ends at once, without a turn of the clock. To be asked between two pieces of long work.
    ///
    /// # Errors
    /// If the job was cancelled.
    pub async fn goes_on(&self) -> Result<(), Failure> {
        let passed = async {
            self.gate().await;
            Ok(())
        };
        self.or_cancelled(passed).await
    }

    /// Notes in the ledger that a unit is begun. Waits while the job is paused.
    ///
    /// # Errors
    /// If the unit was not planned, the ledger cannot be written, or the job was cancelled while it waited.
    pub async fn begin_unit(&self, unit: &str) -> Result<(), Failure> {
        self.goes_on().await?;
        self.ledger.begin(unit, self.clock.now_ms()).await
    }

    /// Notes in the ledger that a unit is done.
    ///
    /// # Errors
    /// As [`ExportContext::begin_unit`].
    pub async fn finish_unit(&self, unit: &str, bytes: u64, sha256: Option<&str>) -> Result<(), Failure> {
        self.ledger.finish(unit, bytes, sha256, self.clock.now_ms()).await
    }

    /// Notes in the ledger that a unit is done whose result is a file or folder below the work directory, with its size and hash
    /// ([`hash_result`](offmap_disk::hash_result)). As long as it has them it is not fetched again, also when the task begins anew after a failure; the unit
    /// `of` that it came out of, such as a server's job, then stays finished with its notes.
    ///
    /// # Errors
    /// As [`ExportContext::begin_unit`]; also if `path` is not below the work directory.
    pub async fn finish_file(
        &self,
        unit: &str,
        of: Option<&str>,
        path: &Path,
        bytes: u64,
        sha256: &str,
    ) -> Result<(), Failure> {
        let relative = path.strip_prefix(&self.work_dir).map_err(|_| {
            Failure::internal(format!(
                "the result of unit `{unit}` is {}, which is not in the work directory",
                path.display()
            ))
        })?;
        self.ledger.finish_with(unit, of, relative, (bytes, sha256), self.clock.now_ms()).await
    }

    /// Size and hash of what an earlier run left of a unit under its final name, if there is something that can be relied on:
    /// with the hash that the ledger knows, or, where it ended before the ledger knew one, complete because it has its name. What
    /// has another hash is removed.
    ///
    /// # Errors
    /// If the ledger or the disk cannot be read.
    pub async fn finished_file(&self, unit: &str, path: &Path) -> Result<Option<(u64, String)>, Failure> {
        let (ledger, unit) = (self.ledger.clone(), unit.to_owned());
        let (path, cancel) = (path.to_owned(), self.cancel.clone());
        run_blocking(move || {
            let is_folder = match std::fs::symlink_metadata(&path) {
                Ok(metadata) if metadata.is_dir() || metadata.is_file() => metadata.is_dir(),
                _ => return Ok(None),
            };
            let known = ledger.unit_here(&unit)?.filter(|u| u.state == UnitState::Finished).and_then(|u| u.sha256);
            let (bytes, sha256) = hash_result_until(&path, &cancel)?;
            if known.is_none_or(|known| known == sha256) {
                return Ok(Some((bytes, sha256)));
            }
            let removed = if is_folder { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            removed.map_err(|e| safe_path::judged(&format!("cannot remove {}", path.display()), &e))?;
            Ok(None)
        })
        .await
    }

    /// A failure without the secrets that are known, as it may be noted in the ledger.
    #[must_use]
    pub fn without_secrets(&self, failure: Failure) -> Failure {
        self.known_secrets.failure(failure)
    }

    /// Notes in the ledger why a unit failed, and hands the failure back with the unit's name.
    pub async fn fail_unit(&self, unit: &str, failure: Failure) -> Failure {
        let failure = self.known_secrets.failure(failure.for_unit(unit));
        if let Err(ledger) = self.ledger.fail(unit, &failure, self.clock.now_ms()).await {
            tracing::warn!(%ledger, unit, "a unit's failure could not be written");
        }
        failure
    }

    /// The units of the task.
    ///
    /// # Errors
    /// If the ledger cannot be read.
    pub async fn units(&self) -> Result<Vec<UnitRecord>, Failure> {
        self.ledger.units().await
    }

    /// Runs work that blocks (SQLite, zip, hashing) off the async threads.
    ///
    /// # Errors
    /// The work's own failure, or that it panicked.
    ///
    /// # Cancel safety
    /// Work that has begun runs to its end; long work should look at a clone of [`ExportContext::cancel_token`].
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        run_blocking(work).await
    }
}

#[async_trait]
impl TaskControl for ExportContext {
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    fn cancel_token(&self) -> &CancellationToken {
        &self.cancel
    }

    async fn sleep(&self, time: std::time::Duration) {
        Self::sleep(self, time).await;
    }

    fn waiting(&self, fraction: f64) {
        Self::waiting(self, fraction);
    }

    fn log(&self, message: String) {
        Self::log(self, message);
    }

    fn server_message(&self, message: String) {
        Self::server_message(self, message);
    }
}
