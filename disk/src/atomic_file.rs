//! Files and folders that stand complete under their names, or not at all.
//!
//! A later step, and a later process after a kill or a power cut, trusts what it finds under a final name. So everything that is
//! trusted is written beside, forced to the disk, and renamed; there is one way to do that.
//!
//! | what | function |
//! | --- | --- |
//! | a file that is written at once | [`write()`] |
//! | a file or folder that was written beside bit by bit | [`put`] |
//! | where that is | [`beside`] |
//!
//! Everything here blocks.

use crate::open::{careful, open_seen};
use crate::safe_path;
use crate::walk::{Next, Vanished, walk};
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// Ends the name of what is not complete yet.
const BESIDE: &str = ".new";

/// Where a file or folder is written until it is complete: in the same directory, under a name that nothing trusts.
#[must_use]
pub fn beside(to: &Path) -> PathBuf {
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(BESIDE);
    to.with_file_name(name)
}

/// Writes a file that takes its name, and the place of an older one, when `write` is done with it. `failed` makes a failure out of what
/// the disk says.
///
/// # Errors
/// What `write` or the disk says; the name then has what it had before.
///
/// ```
/// use std::io::Write as _;
///
/// let dir = tempfile::tempdir()?;
/// let to = dir.path().join("manifest.json");
/// offmap_disk::atomic_file::write(&to, |e| e.to_string(), |file| {
///     file.write_all(b"{}").map_err(|e| e.to_string())
/// })?;
/// assert_eq!(std::fs::read(&to)?, b"{}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write<T, E>(
    to: &Path,
    failed: impl Fn(&Error) -> E,
    write: impl FnOnce(&mut File) -> std::result::Result<T, E>,
) -> std::result::Result<T, E> {
    let new = beside(to);
    let written = (|| {
        let mut file = safe_path::open_to_write(&new).map_err(|e| failed(&e))?;
        // What an interrupted process left.
        file.set_len(0).map_err(|e| failed(&e))?;
        let written = write(&mut file)?;
        drop(file);
        put(&new, to).map_err(|e| failed(&e))?;
        Ok(written)
    })();
    if written.is_err() {
        // Nothing trusts it; a rest that cannot be removed goes with its directory.
        let _ = std::fs::remove_file(&new);
    }
    written
}

/// Gives a file or folder its final name: after it, and all that is in it, is on the disk.
///
/// # Errors
/// What the disk says.
pub fn put(from: &Path, to: &Path) -> Result<()> {
    match std::fs::symlink_metadata(from)? {
        metadata if metadata.is_dir() => sync_tree(from, &CancellationToken::new())?,
        metadata if metadata.is_file() => safe_path::open_file(from)?.sync_all()?,
        _ => return Err(Error::new(ErrorKind::InvalidData, format!("{} is no file or folder", from.display()))),
    }
    std::fs::rename(from, to)?;
    sync_dir(to.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")));
    Ok(())
}

/// Syncs every file and directory below a directory to the disk, until `cancel` is cancelled.
///
/// # Errors
/// What the disk says; [`ErrorKind::Interrupted`] if it was cancelled.
pub fn sync_tree(dir: &Path, cancel: &CancellationToken) -> Result<()> {
    walk(&Dir::open_ambient_dir(dir, ambient_authority())?, Vanished::Failed, |found| {
        if cancel.is_cancelled() {
            return Err(Error::new(ErrorKind::Interrupted, "cancelled"));
        }
        let path = dir.join(&found.path);
        if found.kind.is_dir() {
            sync_dir(&path);
        } else if found.kind.is_file() {
            let file = open_seen(found.dir, Path::new(&found.name), path.display(), careful().read(true));
            let synced = file.and_then(|file| file.sync_all());
            synced.map_err(|e| Error::new(e.kind(), format!("{}: {e}", path.display())))?;
        }
        Ok(Next::Continue)
    })?;
    sync_dir(dir);
    Ok(())
}

/// Syncs the names in a directory to the disk. Not every file system can; what it cannot do is no reason to fail.
pub fn sync_dir(dir: &Path) {
    if let Err(error) = File::open(dir).and_then(|d| d.sync_all()) {
        tracing::debug!(%error, dir = %dir.display(), "a directory could not be synced");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn names(dir: &Path) -> Vec<String> {
        let names = std::fs::read_dir(dir).expect("lists").map(|e| e.expect("entry").file_name());
        let mut names: Vec<String> = names.map(|n| n.to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_has_its_name_when_it_is_complete_and_not_before() {
        let dir = tempfile::tempdir().expect("a directory");
        let to = dir.path().join("a.tpkx");
        std::fs::write(beside(&to), "what an earlier process left of a longer file").expect("writes");
        let failed = |e: &Error| e.to_string();
        let seen = write(&to, failed, |file| {
            file.write_all(b"one").map_err(|e| e.to_string())?;
            Ok(names(dir.path()))
        });
        assert_eq!(seen, Ok(vec!["a.tpkx.new".to_owned()]), "while it is written");
        assert_eq!(
            (names(dir.path()), std::fs::read_to_string(&to).expect("reads")),
            (vec!["a.tpkx".to_owned()], "one".into())
        );
        let broken = write(&to, failed, |file| {
            file.write_all(b"tw").map_err(|e| e.to_string())?;
            Err::<(), _>("the disk is full".to_owned())
        });
        assert_eq!(broken, Err("the disk is full".to_owned()));
        assert_eq!(
            (names(dir.path()), std::fs::read_to_string(&to).expect("reads")),
            (vec!["a.tpkx".to_owned()], "one".into())
        );
    }

    #[test]
    fn a_folder_gets_its_name_as_a_whole() {
        let dir = tempfile::tempdir().expect("a directory");
        let to = dir.path().join("resources");
        std::fs::create_dir_all(beside(&to).join("fonts/A")).expect("makes");
        std::fs::write(beside(&to).join("fonts/A/0-255.pbf"), "glyphs").expect("writes");
        put(&beside(&to), &to).expect("renames");
        assert_eq!(names(dir.path()), ["resources"]);
        assert_eq!(std::fs::read_to_string(to.join("fonts/A/0-255.pbf")).expect("reads"), "glyphs");
        assert_eq!(put(&beside(&to), &to).map_err(|e| e.kind()), Err(ErrorKind::NotFound));
    }
}
