//! A package that was made before: how its files are, and what its layers hold.

mod files;
mod judge;
mod stays;

pub(crate) use files::PackageFiles;
pub(crate) use judge::{Judged, judge, mark};
pub(crate) use stays::{UNCHANGED, passing, stays_as_it_is};
