//! The actors of a job. They keep books and do no I/O; work runs on the host's Tokio runtime.

mod contents;
pub(crate) mod exporter_actor;
pub(crate) mod job_supervisor;
pub(crate) mod message;
pub(crate) mod packager_actor;
pub(crate) mod shared;
pub(crate) mod task_run;
