//! The units of work of a replica.

/// The unit of the server's job.
pub(super) const JOB_UNIT: &str = "createReplica";
/// The unit of the result file.
pub(super) const FILE_UNIT: &str = "replica";
