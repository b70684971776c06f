//! The actors of a job. They do bookkeeping and no I/O; work runs on the host's Tokio runtime.

mod exporter_actor;
mod job_supervisor;
mod join_error;
mod message;
mod outcomes;
mod packager_actor;
mod system;

pub(crate) use job_supervisor::{JobEnd, JobSupervisor};
pub(crate) use join_error::from_join_error;
pub(crate) use system::Actors;
