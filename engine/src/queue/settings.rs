//! What a host sets for the jobs of its engine.

use crate::data_dir::DataDir;
use offmap_arcgis::CredentialProvider;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What becomes of jobs that have ended. A job goes with its messages; its package goes with it only if the engine chose its place, and
/// the host did not take it over ([`Job::take_over`](crate::Job::take_over)). Work that a job keeps is rolled back on its services and goes
/// with it; where that cannot be done now, the job stays until it can. By default every job stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// Jobs that ended longer ago go. Default: `None`, none goes for its age.
    pub longest: Option<Duration>,
    /// The oldest go where more have ended. Default: `None`, any number stays.
    pub most: Option<u64>,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Jobs that run at a time,
    pub(crate) running: usize,
    /// and of one tenant.
    pub(crate) running_per_tenant: usize,
    /// Jobs that have not ended, in all.
    pub(crate) most_jobs: usize,
    pub(crate) retention: Retention,
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) provider: Option<Arc<dyn CredentialProvider>>,
    /// Held while the engine has the directory.
    pub(crate) data: Mutex<Option<DataDir>>,
}
