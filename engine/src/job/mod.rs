//! A job: its state, how it begins, how it runs, and the handle that hosts have.

mod complete;
mod discard;
mod document;
mod handle;
mod prepared;
mod resume;
mod run;
mod state;

pub(crate) use document::JobDocument;
pub use handle::GenerateOfflineMapJob;
pub(crate) use resume::document_of;
pub(crate) use state::{JobHost, JobInner, StartMode};
