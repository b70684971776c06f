//! A job: its state, how it begins, and how it runs.

mod complete;
mod discard;
mod document;
mod prepared;
mod resume;
mod run;
mod state;

pub(crate) use discard::discard;
pub(crate) use document::JobDocument;
pub(crate) use resume::document_of;
pub(crate) use run::run;
pub(crate) use state::{JobHost, JobInner, JobResult, StartMode};
