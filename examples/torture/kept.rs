//! Files of a job that was killed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Files in the work directory: partly fetched, or complete.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    parts: HashMap<PathBuf, u64>,
    complete: Vec<PathBuf>,
}

impl Kept {
    /// Those beside a destination.
    pub(crate) fn of(out: &Path) -> Self {
        let mut kept = Self::default();
        let name = out.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut todo = vec![out.with_file_name(format!(".{name}.offmap")).join("tasks")];
        while let Some(dir) = todo.pop() {
            for entry in std::fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok) {
                let path = entry.path();
                if path.is_dir() {
                    todo.push(path);
                } else if path.extension().is_some_and(|e| e == "part") {
                    kept.parts.insert(path, entry.metadata().map_or(0, |m| m.len()));
                } else if ["package", "package.part1", "package.part2", "replica.geodatabase"]
                    .iter()
                    .any(|n| path.ends_with(n))
                {
                    kept.complete.push(path);
                }
            }
        }
        kept
    }

    /// Bytes of the part files of an exporter.
    pub(crate) fn parts_of<'a>(&'a self, exporter: &'a str) -> impl Iterator<Item = u64> + 'a {
        self.parts.iter().filter(move |(path, _)| path.to_string_lossy().contains(exporter)).map(|(_, bytes)| *bytes)
    }

    /// Whether all files of an exporter that were asked for so far are complete.
    pub(crate) fn has_all(&self, exporter: &str, asked: usize) -> bool {
        let complete: Vec<_> = self.complete.iter().filter(|p| p.to_string_lossy().contains(exporter)).collect();
        complete.iter().any(|p| p.ends_with("package")) || (asked > 0 && complete.len() >= asked)
    }
}
