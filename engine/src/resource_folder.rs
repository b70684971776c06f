//! The folder of resources that goes with a layer's data, as it lies on the disk.

use offmap_disk::safe_path;
use offmap_formats::ContainerReader;
use offmap_formats::containers::{ResourceFiles, Resources};
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Looks through a folder with the reader of the data that it goes with. Blocks.
pub(crate) fn read(reader: &dyn ContainerReader, folder: &Path) -> Result<Resources, Failure> {
    let names = names_below(folder).map_err(|e| unreadable(folder, &e))?;
    let read = |name: &str, limit: u64| read_file(folder, name, limit);
    reader.read_resources(&ResourceFiles { names, read: &read })
}

pub(crate) fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::io(FailureStage::Check, format!("cannot read {}", path.display()), error)
}

/// Files below a folder, by their paths in it with forward slashes; what is no plain file is none of them.
fn names_below(root: &Path) -> std::io::Result<BTreeSet<String>> {
    let (files, _) = safe_path::plain_files_below(root)?;
    let name = |path: PathBuf| path.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/");
    Ok(files.into_iter().map(name).collect())
}

fn read_file(folder: &Path, name: &str, limit: u64) -> Result<Vec<u8>, Failure> {
    let path: PathBuf = folder.join(name);
    let mut bytes = Vec::new();
    let read = std::fs::File::open(&path).and_then(|file| file.take(limit.saturating_add(1)).read_to_end(&mut bytes));
    read.map_err(|e| unreadable(&path, &e))?;
    if bytes.len() as u64 > limit {
        let message = format!("{name} has more than {limit} bytes");
        return Err(Failure::new(FailureOwner::Source, FailureKind::Corrupt, FailureStage::Check, message));
    }
    Ok(bytes)
}
