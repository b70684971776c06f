//! How far the removal of ended jobs is.

/// What is known of the jobs that are to go.
#[derive(Debug, Default)]
pub(crate) struct Retaining {
    /// Whether somebody removes them,
    pub(super) is_running: bool,
    /// and is to look once more.
    pub(super) is_asked: bool,
    /// When the next one is to go.
    pub(super) next: Option<i64>,
    /// How many ended jobs there are, or more: those that run again are counted still.
    pub(super) ended: u64,
}
