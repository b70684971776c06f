//! The fault matrix: every step of a service under every fault of the world.
//!
//! Each cell is a job of its own. Whatever happens: it ends in bounded time, the destination is absent or complete, nothing is left
//! beside it, what is missing is named by a failure of the right owner and kind, and no token is where it does not belong.
//!
//! An exporter's author runs [`FaultMatrix::run`] with [`fault_rows`](super::fault_rows()), rows of the exporter's own added, on a
//! [`FaultyService`]: [`FaultyFile`](super::FaultyFile) where the exporter downloads a file that lies on a web server, that of offmap's
//! sandbox, or one of the author's own for another server.

use crate::handle::GenerateOfflineMapJob;
use crate::task::OfflineMapTask;
use offmap_model::{Failure, FailureKind, FailureOwner, GenerateOfflineMapParameters, SubjectKind};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// What goes wrong with a request.
#[derive(Debug, Clone)]
pub enum FaultAction {
    /// The answer comes late.
    Delay(Duration),
    /// An HTTP status with a body and, where given, `Retry-After` in seconds.
    Status(u16, String, Option<u64>),
    /// A JSON body with HTTP 200.
    Body(Value),
    /// A page with HTTP 200.
    Html,
    /// The connection breaks after the head.
    Reset,
    /// The body ends after so many bytes though more were announced.
    Truncate(usize),
    /// The body ends after so many bytes and pretends that this is all.
    Cut(usize),
    /// Bytes in place of the file.
    Replace(Vec<u8>),
    /// Bytes that say they are compressed with gzip.
    Gzip(Vec<u8>),
    /// So many zero bytes behind the right body; SQLite files stay valid with them.
    Grow(u64),
    /// The right answer, so many bytes at a time with a pause between.
    Drip(usize, Duration),
    /// A redirect (302).
    Redirect(String),
    /// A redirect of a status of its own: 301, 302, 303, 307 or 308.
    RedirectWith(u16, String),
    /// A job that was submitted by this request goes wrong.
    Job(JobFault),
}

/// How a job goes wrong.
#[derive(Debug, Clone)]
pub enum JobFault {
    /// It runs for ever.
    Stuck,
    /// It fails with these words.
    Failed(String),
    /// It ends as completed with errors.
    CompletedWithErrors,
}

/// What a step of a service answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepKind {
    /// A description or count, asked for while the job is planned.
    Description,
    /// The submission of a job.
    Submit,
    /// The state of a job.
    State,
    /// A file that a job on the server made.
    File,
    /// A file that lies on a web server, asked for after the job was planned. No job makes it again, and it was there a moment ago.
    PlainFile,
}

/// A step on the way of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultStep {
    /// Name by which the service knows it, such as a part of its path.
    pub name: String,
    /// What it answers with.
    pub kind: StepKind,
}

impl FaultStep {
    /// Names a step.
    #[must_use]
    pub fn new(name: impl Into<String>, kind: StepKind) -> Self {
        Self { name: name.into(), kind }
    }
}

/// A server whose steps can be made to fail.
pub trait FaultyService: Sync {
    /// The steps of the layer that is taken.
    fn steps(&self) -> Vec<FaultStep>;

    /// The task was planned once and nothing was broken: what was asked since [`FaultyService::heal`] is asked in each plan.
    fn task_was_planned(&self) {}

    /// From now on a step goes wrong: so often, or always.
    fn break_step(&self, step: &FaultStep, action: FaultAction, times: Option<u32>);

    /// All is well again.
    fn heal(&self);

    /// What this service makes of a cell where it is not as the row says: `None` as the row says, else other ends. A cell without
    /// any end is left out. Rows are known by their names ([`fault_names`](super::fault_names)); where nobody signs in this is
    /// [`without_credentials`](super::without_credentials()).
    fn other_ends(&self, _step: &FaultStep, _row: &FaultRow) -> Option<FaultEnds> {
        None
    }

    /// Requests that brought a token to a host that it is not for.
    fn leaked_tokens(&self) -> usize {
        0
    }
}

/// How a cell may end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FaultEnds {
    /// Whether a complete package may come of it.
    pub complete: bool,
    /// Owners and kinds of the failures that may.
    pub failures: Vec<(FailureOwner, FailureKind)>,
}

impl FaultEnds {
    /// The layer is exported all the same.
    #[must_use]
    pub fn complete() -> Self {
        Self { complete: true, failures: Vec::new() }
    }

    /// The layer fails, and one of these says why.
    #[must_use]
    pub fn fails(failures: impl IntoIterator<Item = (FailureOwner, FailureKind)>) -> Self {
        Self { complete: false, failures: failures.into_iter().collect() }
    }

    /// Judges an end.
    ///
    /// # Errors
    /// In words: what is wrong with it.
    pub fn judge(&self, failure: Option<&Failure>) -> Result<(), String> {
        match failure {
            None if self.complete => Ok(()),
            None => Err("a package, though that cannot be".to_owned()),
            Some(f) if f.message.len() <= 10 => Err(format!("a failure without words: {f:?}")),
            Some(f) if self.failures.contains(&(f.owner, f.kind)) => Ok(()),
            Some(f) => Err(format!("{:?} {:?}, expected {:?}: {f}", f.owner, f.kind, self.failures)),
        }
    }
}

/// A fault, for which kinds of steps, how often it strikes, and what may come of it.
#[derive(Debug, Clone)]
pub struct FaultRow {
    /// For people; those of [`fault_rows`](super::fault_rows()) are in [`fault_names`](super::fault_names).
    pub name: String,
    /// What goes wrong.
    pub action: FaultAction,
    /// The steps that it is for.
    pub kinds: Vec<StepKind>,
    /// How often it strikes; `None` for always.
    pub times: Option<u32>,
    /// How its cells may end.
    pub ends: FaultEnds,
}

impl FaultRow {
    /// A fault that always strikes.
    #[must_use]
    pub fn always(name: &str, kinds: &[StepKind], action: FaultAction, ends: FaultEnds) -> Self {
        Self { name: name.to_owned(), action, kinds: kinds.to_vec(), times: None, ends }
    }

    /// A fault that passes.
    #[must_use]
    pub fn passing(name: &str, kinds: &[StepKind], times: u32, action: FaultAction) -> Self {
        Self { times: Some(times), ..Self::always(name, kinds, action, FaultEnds::complete()) }
    }
}

/// Jobs of one layer under every fault.
pub struct FaultMatrix<'a> {
    /// A map with one layer.
    pub task: &'a OfflineMapTask,
    /// What is asked for; little, since a job is run for every cell.
    pub parameters: GenerateOfflineMapParameters,
    /// The server of the layer.
    pub service: &'a dyn FaultyService,
    /// The faults.
    pub rows: &'a [FaultRow],
    /// Verifies a package, or says in words what is wrong with it.
    pub verify: &'a (dyn Fn(&Path) -> Result<(), String> + Sync),
    /// Longest time of a cell.
    pub longest: Duration,
}

impl std::fmt::Debug for FaultMatrix<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FaultMatrix").field("rows", &self.rows.len()).finish_non_exhaustive()
    }
}

/// What came of a matrix.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FaultReport {
    /// Cells that were played.
    pub cells: usize,
    /// Cells that ended wrongly, in words.
    pub wrong: Vec<String>,
    /// Tokens at hosts that they are not for.
    pub leaked_tokens: usize,
}

impl FaultMatrix<'_> {
    /// Plays every cell, one after another.
    ///
    /// # Errors
    /// If no directory can be made to work in.
    pub async fn run(&self) -> std::io::Result<FaultReport> {
        let mut report = FaultReport::default();
        let dir = tempfile::tempdir()?;
        self.service.heal();
        if let Err(failure) = self.task.plan(&self.parameters, &Default::default()).await {
            report.wrong.push(format!("the task cannot be planned though nothing is broken: {failure}"));
            return Ok(report);
        }
        self.service.task_was_planned();
        for step in self.service.steps() {
            for row in self.rows.iter().filter(|r| r.kinds.contains(&step.kind)) {
                let ends = self.service.other_ends(&step, row).unwrap_or_else(|| row.ends.clone());
                if ends == FaultEnds::default() {
                    continue;
                }
                report.cells += 1;
                self.service.heal();
                self.service.break_step(&step, row.action.clone(), row.times);
                let out = dir.path().join(format!("cell-{}", report.cells));
                let parameters = self.parameters.clone();
                let job = self.task.generate_offline_map(parameters, Default::default(), &out);
                let wrong = self.cell(&job, &ends).await.err().or_else(|| left_beside(dir.path()));
                report.wrong.extend(wrong.map(|words| format!("{} at {}: {words}", row.name, step.name)));
                // A package has done its duty.
                if let Err(error) = std::fs::remove_dir_all(&out)
                    && error.kind() != std::io::ErrorKind::NotFound
                {
                    return Err(error);
                }
            }
        }
        self.service.heal();
        report.leaked_tokens = self.service.leaked_tokens();
        Ok(report)
    }

    async fn cell(&self, job: &GenerateOfflineMapJob, ends: &FaultEnds) -> Result<(), String> {
        let mut status = job.status();
        job.start();
        let told = async {
            let mut last = None;
            while let Some(message) = status.next().await {
                last = Some(message);
            }
            last
        };
        let Ok(last) = tokio::time::timeout(self.longest, told).await else {
            job.cancel();
            return Err("no end in bounded time".to_owned());
        };
        if !last.is_some_and(|m| m.subject.kind == SubjectKind::Job && m.state.is_terminal()) {
            return Err("the job's end is not its last message".to_owned());
        }
        match job.result().await {
            Ok(result) => {
                (self.verify)(&result.package)?;
                ends.judge(result.layers.first().and_then(|l| l.failure.as_ref()))
            }
            Err(_) if job.destination().exists() => Err("half a destination".to_owned()),
            Err(error) => ends.judge(Some(&error.failure)),
        }
    }
}

/// A work directory that outlived its job.
fn left_beside(dir: &Path) -> Option<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let hidden = entries.map(|e| e.file_name()).find(|name| name.to_string_lossy().starts_with('.'))?;
    Some(format!("{} is left", hidden.to_string_lossy()))
}
