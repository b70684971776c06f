//! The workspace that this test is part of.

use super::analysis::{Analysis, analyse};
use super::sources::{Files, read};
use std::path::Path;
use std::sync::OnceLock;

pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Read once for all tests.
pub(super) fn files() -> &'static Files {
    static FILES: OnceLock<Files> = OnceLock::new();
    FILES.get_or_init(|| read(root()))
}

/// Made once for all tests.
pub(super) fn analysis() -> &'static Analysis {
    static ANALYSIS: OnceLock<Analysis> = OnceLock::new();
    ANALYSIS.get_or_init(|| analyse(files()))
}
