//! The `.mmpk` archive: a zip of a package's directory, every entry stored, zip64 where needed.
//!
//! Readers open members in place, so nothing is compressed (mobile map package reference A.1).

use crate::verify::verify_until;
use offmap_disk::atomic_file;
use offmap_engine::WorkDir;
use offmap_formats::archive::ArchiveFile;
use offmap_formats::package_files::Container;
use offmap_model::{Failure, FailureStage};
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use tempfile::TempPath;
use tokio_util::sync::CancellationToken;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

/// Sizes from here on need zip64.
const ZIP64_FROM: u64 = u32::MAX as u64;

/// Bytes after which what was written is brought to the disk, so that no step takes long.
const SYNC_EVERY: u64 = 64 << 20;

/// Zips an unpacked package into `to`, which appears complete or not at all. It is written in a work directory beside `to`
/// (`.<name>.offmap`): what a process that was killed leaves there, [`Leftover`](offmap_engine::Leftover) finds and removes, and the
/// next try for the same file uses it up. Blocks.
///
/// # Errors
/// If the directory is no package or has anything but files in it, `to` exists already, or the disk refuses.
pub fn write_mmpk(directory: &Path, to: &Path) -> Result<u64, Failure> {
    write_mmpk_until(directory, to, &CancellationToken::new())
}

/// Zips a package as [`write_mmpk`] does, until `cancel` is cancelled; nothing is left then.
///
/// # Errors
/// As [`write_mmpk`]; also if it was cancelled.
pub fn write_mmpk_until(directory: &Path, to: &Path, cancel: &CancellationToken) -> Result<u64, Failure> {
    // A link that points nowhere is there as well.
    if to.symlink_metadata().is_ok() {
        return Err(Failure::invalid_parameter(format!("{} exists already; name a file that does not", to.display())));
    }
    write(directory, to, false, cancel)
}

/// Zips a package as [`write_mmpk_until`] does, in place of an earlier archive if there is one, which stays until the new one is
/// complete.
///
/// # Errors
/// As [`write_mmpk_until`]; also if what is there is not an archive that [`check_overwritten_mmpk`] lets go.
pub fn overwrite_mmpk_until(directory: &Path, to: &Path, cancel: &CancellationToken) -> Result<u64, Failure> {
    write(directory, to, true, cancel)
}

/// Checks that an archive may be overwritten: it is absent, or a package that was made here, with every file as its manifest says.
/// Blocks.
///
/// # Errors
/// If something else is there, or the package was changed since it was made.
pub fn check_overwritten_mmpk(archive: &Path, cancel: &CancellationToken) -> Result<(), Failure> {
    let shown = archive.display();
    let refused = |why: &str| {
        Failure::invalid_parameter(format!("{shown} is not overwritten: {why}; name a file that does not exist"))
    };
    match archive.symlink_metadata() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Ok(metadata) if metadata.is_file() => {}
        _ => return Err(refused("it is no file")),
    }
    let found = match verify_until(archive, cancel) {
        Err(failure) if failure.is_cancelled() => return Err(failure),
        found => found.map_err(|failure| refused(&failure.message))?,
    };
    match (found.by_manifest, found.ok) {
        (true, true) => Ok(()),
        (false, _) => Err(refused("it was not made by offmap")),
        (true, false) => Err(refused("it was changed since it was made")),
    }
}

fn write(directory: &Path, to: &Path, overwrites: bool, cancel: &CancellationToken) -> Result<u64, Failure> {
    let container = Container::open(directory)?;
    let failed = |e: io::Error| Failure::io(FailureStage::Package, format!("cannot write {}", to.display()), &e);
    let to = std::path::absolute(to).map_err(failed)?;
    let work_dir = WorkDir::make(&to)?;
    let written = zip(&container, &work_dir.path().join("archive"), (&to, overwrites), cancel);
    let removed = work_dir.remove();
    let bytes = written?;
    if let Err(failure) = removed {
        tracing::warn!(%failure, "a work directory could not be removed");
    }
    Ok(bytes)
}

/// Writes the archive as `new`, then gives it its name, if that is still free or may be taken.
fn zip(
    container: &Container,
    new: &Path,
    (to, overwrites): (&Path, bool),
    cancel: &CancellationToken,
) -> Result<u64, Failure> {
    let failed = |e: io::Error| Failure::io(FailureStage::Package, format!("cannot write {}", to.display()), &e);
    let mut names: Vec<(String, u64)> = container.files()?;
    // The file by which readers know a package comes first.
    names.sort_by_key(|(name, _)| (!name.ends_with(".info"), name.clone()));
    // Made with the modes that the user's umask leaves, as every other file.
    let file = File::create_new(new).map_err(failed)?;
    let same = file.try_clone().map_err(failed)?;
    let mut zip = ZipWriter::new(ArchiveFile::new(BufWriter::with_capacity(1 << 20, file)));
    let zipped = |e: zip::result::ZipError| failed(io::Error::from(e));
    let mut unsynced = 0_u64;
    for (name, bytes) in &names {
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .last_modified_time(DateTime::default())
            .unix_permissions(0o644)
            .large_file(*bytes >= ZIP64_FROM);
        zip.start_file(name.as_str(), options).map_err(zipped)?;
        // What cannot be written is not the fault of what is read.
        let mut refused = None;
        let copied = container.copy(name, cancel, |part| {
            unsynced += part.len() as u64;
            let synced = match unsynced >= SYNC_EVERY {
                true => same.sync_data().map(|()| unsynced = 0),
                false => Ok(()),
            };
            synced.and_then(|()| zip.write_all(part)).map_err(|e| {
                let stopped = io::Error::from(e.kind());
                refused = Some(e);
                stopped
            })
        });
        match refused {
            Some(error) => return Err(failed(error)),
            None => copied?,
        };
    }
    let file = zip.finish().map_err(zipped)?.into_inner().into_inner().map_err(|e| failed(e.into_error()))?;
    file.sync_all().map_err(failed)?;
    if cancel.is_cancelled() {
        return Err(Failure::cancelled());
    }
    let bytes = file.metadata().map_err(failed)?.len();
    let new = TempPath::try_from_path(new).map_err(failed)?;
    if overwrites {
        check_overwritten_mmpk(to, cancel)?;
    }
    let named = if overwrites { new.persist(to) } else { new.persist_noclobber(to) };
    named.map_err(|e| failed(e.error))?;
    atomic_file::sync_dir(to.parent().unwrap_or(to));
    Ok(bytes)
}
