//! The kinds of jobs.

use offmap_sandbox::{FIELD_MAP, HOSTED_MAP};
use std::path::{Path, PathBuf};

/// An area on land, and one on both sides of the dateline.
const ALPS: &str = "2,43,20,52";
const FIJI: &str = "175,-22,-170,-10";

/// A kind of job.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) item: &'static str,
    pub(crate) area: &'static str,
    /// Whether the package is zipped.
    pub(crate) zips: bool,
    /// Whether a package without one of its layers is there, which the job completes.
    pub(crate) completes: bool,
    /// The step at which half of the kills are aimed, and all once the package is there; and how many microseconds it may take.
    pub(crate) aim: Option<(&'static str, u64)>,
    /// Microseconds within which the other kills fall.
    pub(crate) within: u64,
    /// Jobs on the server that it needs.
    pub(crate) services: u64,
}

const PLAIN: Kind = Kind {
    name: "field",
    item: FIELD_MAP,
    area: ALPS,
    zips: false,
    completes: false,
    aim: None,
    within: 450_000,
    services: 4,
};
pub(crate) const KINDS: [Kind; 5] = [
    PLAIN,
    Kind { name: "hosted", item: HOSTED_MAP, ..PLAIN },
    Kind { name: "dateline", area: FIJI, aim: Some(("joining", 15_000)), services: 6, ..PLAIN },
    Kind { name: "zipped", zips: true, aim: Some(("zipping", 5_000)), ..PLAIN },
    Kind { name: "completed", completes: true, within: 200_000, services: 1, ..PLAIN },
];

/// The archive of a package.
pub(crate) fn mmpk_of(out: &Path) -> PathBuf {
    out.with_extension("mmpk")
}
