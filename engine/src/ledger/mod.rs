//! The ledger of a job, by parts: the file, the thread that owns it, what concerns the job, and what concerns one task.

mod batch;
mod file;
mod job_ledger;
mod lineage;
mod state;
mod task_ledger;
mod worker;

pub(crate) use file::{FileKind, open_kind, open_memory, refused};
pub use job_ledger::Ledger;
pub(crate) use lineage::{Lineage, id_of};
pub(crate) use state::TaskState;
pub use state::{UnitRecord, UnitState};
pub use task_ledger::TaskLedger;
pub(crate) use task_ledger::UnitResult;
pub(crate) use worker::Worker;
