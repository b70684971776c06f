//! What actors report to each other. Facts go up; nothing else is needed, since cancellation is a token.

use crate::packager::Packed;
use offmap_model::{Artifact, Failure};

/// A child has ended, with all that is known of it. Sent once by each child.
#[derive(Debug)]
pub(crate) struct ExportFinished {
    pub(crate) task: usize,
    pub(crate) outcome: Result<Artifact, Failure>,
}

impl actix::Message for ExportFinished {
    type Result = ();
}

/// The packager has ended.
#[derive(Debug)]
pub(crate) struct PackFinished(pub(crate) Result<Packed, Failure>);

impl actix::Message for PackFinished {
    type Result = ();
}
