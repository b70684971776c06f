//! The options of `offmap jobs` and `offmap status`.

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use offmap::JobState;
use std::path::PathBuf;

/// `offmap jobs`.
#[derive(Debug, Args)]
pub(crate) struct Jobs {
    /// Data directory of the service's engine [env: OFFMAP_DATA].
    #[arg(short, long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Only the jobs of a tenant.
    #[arg(short, long, value_name = "NAME")]
    pub(crate) tenant: Option<String>,
    /// Only the jobs in a state; may be given several times.
    #[arg(short, long, value_name = "STATE", value_parser = PossibleValuesParser::new(JobState::ALL.map(JobState::name)).try_map(state))]
    pub(crate) state: Vec<JobState>,
    /// Answer as JSON.
    #[arg(short, long)]
    pub(crate) json: bool,
}

fn state(name: String) -> Result<JobState, String> {
    JobState::from_name(&name).ok_or_else(|| format!("{name:?} is no state"))
}

/// `offmap status`.
#[derive(Debug, Args)]
pub(crate) struct Status {
    /// Id of a job of a service, or directory that `offmap take` writes or wrote to.
    #[arg(value_name = "ID|DIR")]
    pub(crate) job: PathBuf,
    /// Data directory of the service's engine [env: OFFMAP_DATA].
    #[arg(short, long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Answer as JSON.
    #[arg(short, long)]
    pub(crate) json: bool,
}
