//! Runs the export of one task: what is there already, what begins anew, what came of it.

mod again;
mod contents;
mod finished;
mod grace;
mod held;
mod job_shared;
mod run;
mod verify;

pub(crate) use again::{begin_anew, begin_changed, rollback_all};
pub(crate) use grace::to_the_end;
pub(crate) use job_shared::JobShared;
pub(crate) use run::{make_dirs, remove_dirs, run};
