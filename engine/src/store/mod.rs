//! The engine's store of jobs: one SQLite file in its data directory, or one in memory.

mod job_store;
mod record;
mod schema;
mod seen;

pub(crate) use job_store::{Found, JobStore, Write};
pub(crate) use record::{JobRecord, OrderFacts, Stop, Wishes};
pub(crate) use seen::{ended, no_job};
