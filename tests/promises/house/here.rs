//! The workspace that this test is part of.

use super::analysis::{Analysis, analyse};
use super::sources::{Files, read};
use std::path::Path;

pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub(super) fn files() -> Files {
    read(root())
}

pub(super) fn analysis() -> Analysis {
    analyse(&files())
}
