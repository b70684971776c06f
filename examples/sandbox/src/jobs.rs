//! Jobs of the server: exports that run while a client polls.

use offmap_engine::testing::JobFault;
use std::path::PathBuf;

/// What a job makes.
pub(crate) enum JobKind {
    Replica { name: String, id: Option<String> },
    Tiles { name: String, online: bool },
}

/// A job.
pub(crate) struct Job {
    pub(crate) kind: JobKind,
    pub(crate) polls: u32,
    pub(crate) result: Option<Result<PathBuf, String>>,
    pub(crate) fault: Option<JobFault>,
    pub(crate) cancelled: bool,
    pub(crate) submitted: i64,
}

/// What a poll of a job finds.
pub(crate) enum Poll {
    Running,
    Done(PathBuf),
    Failed(String),
    WithErrors,
    Cancelled,
}
