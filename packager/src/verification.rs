//! What verifying a package found.

use serde::Serialize;
use std::path::{Path, PathBuf};

/// Problems of a package that are named one by one; the rest is counted.
const MOST_PROBLEMS: usize = 1_000;

/// Something wrong with a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Problem {
    /// The file, by its path in the package; in brackets where it is none of them, such as the directory of an archive.
    pub file: String,
    /// What is wrong with it.
    pub what: String,
}

/// What verifying a package found.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Verification {
    /// The package.
    pub package: PathBuf,
    /// Whether nothing is wrong.
    pub ok: bool,
    /// Whether every file was verified by a manifest; false for packages of other writers, which have none.
    #[serde(rename = "proven")]
    pub by_manifest: bool,
    /// Whether nothing is missing by the manifest; `None` without one.
    pub complete: Option<bool>,
    /// What is missing by the manifest: layers, and what is missing of layers that are there. A line each, for people.
    #[serde(rename = "lacking")]
    pub missing: Vec<String>,
    /// What of layers that are there could not be counted on their service, a line each: it was exported and not verified.
    pub not_counted: Vec<String>,
    /// Data of layers that a deep verification could not open, a line each with the file and its layer: no reader of its format was
    /// given. Their bytes are as the manifest says, what is in them was not looked at. Empty where only the bytes were verified.
    pub not_read: Vec<String>,
    /// Files that were read.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What is wrong, the first 1,000.
    pub problems: Vec<Problem>,
    /// How many problems there are beside those that are named.
    pub more_problems: u64,
}

impl Verification {
    /// Nothing found yet.
    pub(crate) fn new(package: &Path) -> Self {
        Self {
            package: package.to_owned(),
            ok: true,
            by_manifest: false,
            complete: None,
            missing: Vec::new(),
            not_counted: Vec::new(),
            not_read: Vec::new(),
            files: 0,
            bytes: 0,
            problems: Vec::new(),
            more_problems: 0,
        }
    }

    /// Adds a problem of a file.
    pub(crate) fn problem(&mut self, file: &str, what: String) {
        self.add(Problem { file: file.to_owned(), what });
    }

    /// Adds a problem: it is named while there are not too many.
    pub(crate) fn add(&mut self, problem: Problem) {
        self.ok = false;
        match self.problems.len() < MOST_PROBLEMS {
            true => self.problems.push(problem),
            false => self.more_problems += 1,
        }
    }
}
