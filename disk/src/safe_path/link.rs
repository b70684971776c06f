//! Files and folders at a second place of the same file system, without a copy where that is possible.

use super::failure::judged;
use super::names::DEEPEST;
use super::open::open_file;
use crate::copying::copy_until;
use crate::kinds::unexpected;
use crate::open::parent_of;
use crate::path::invalid;
use crate::walk::{Next, Vanished, walk};
use cap_fs_ext::DirExt as _;
use offmap_model::Failure;
use std::fs::File;
use std::io::{Result, Write as _};
use std::path::Path;
use tokio_util::sync::CancellationToken;

/// Bytes of a copy after which it is synced to the disk, so that no step takes long.
const SYNC_EVERY: usize = 64 << 20;

/// Makes a file or folder appear at another place of the same file system too: a hard link, or a copy where there are none.
///
/// Blocks.
///
/// # Errors
/// If it cannot be read or written, or anything but regular files and real directories is in it.
pub fn link_or_copy(from: &Path, to: &Path) -> std::result::Result<(), Failure> {
    link_or_copy_until(from, to, &CancellationToken::new())
}

/// The same, until `cancel` is cancelled; half a copy may be left then.
///
/// # Errors
/// As [`link_or_copy`]; also if it was cancelled.
pub fn link_or_copy_until(from: &Path, to: &Path, cancel: &CancellationToken) -> std::result::Result<(), Failure> {
    link_tree(from, to, cancel).map_err(|e| match cancel.is_cancelled() {
        true => Failure::cancelled(),
        false => judged(&format!("cannot link or copy {} to {}", from.display(), to.display()), &e),
    })
}

fn link_tree(from: &Path, to: &Path, cancel: &CancellationToken) -> Result<()> {
    let (parent, name) = parent_of(from)?;
    let kind = parent.symlink_metadata(name)?.file_type();
    if kind.is_file() {
        return link_file(from, to, cancel);
    }
    if !kind.is_dir() {
        return Err(unexpected(from.display(), kind, "a regular file"));
    }
    std::fs::create_dir_all(to)?;
    walk(&parent.open_dir_nofollow(name)?, Vanished::Failed, |found| {
        let (source, target) = (from.join(&found.path), to.join(&found.path));
        if found.kind.is_file() {
            link_file(&source, &target, cancel)?;
        } else if !found.kind.is_dir() {
            return Err(unexpected(source.display(), found.kind, "a regular file"));
        } else if found.depth >= DEEPEST {
            return Err(invalid(format!("{} is nested too deep, expected a regular file", source.display())));
        } else {
            std::fs::create_dir_all(&target)?;
        }
        Ok(Next::Continue)
    })
}

fn link_file(from: &Path, to: &Path, cancel: &CancellationToken) -> Result<()> {
    if std::fs::hard_link(from, to).is_ok() {
        // What was linked is what stands there now, whatever took the place of `from` since it was checked.
        if std::fs::symlink_metadata(to)?.is_file() {
            return Ok(());
        }
        std::fs::remove_file(to)?;
        return Err(invalid(format!("{} is no regular file any more", from.display())));
    }
    copy_file(from, to, cancel)
}

fn copy_file(from: &Path, to: &Path, cancel: &CancellationToken) -> Result<()> {
    let mut source = open_file(from)?;
    let mut target = File::create_new(to)?;
    let mut unsynced = 0;
    copy_until(&mut source, cancel, |piece| {
        unsynced += piece.len();
        if unsynced >= SYNC_EVERY {
            target.sync_data()?;
            unsynced = 0;
        }
        target.write_all(piece)
    })?;
    // A link is the same bytes on the disk; so is a copy.
    target.sync_all()
}
