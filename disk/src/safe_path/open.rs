//! Files that are opened by their whole paths.

use crate::open::{careful, open_regular_in, parent_of};
use cap_std::fs::{Dir, OpenOptions};
use std::fs::{File, Metadata};
use std::io::Result;
use std::path::Path;

/// How many names a file has; one where the system does not say.
#[must_use]
pub fn links(metadata: &Metadata) -> u64 {
    #[cfg(unix)]
    return std::os::unix::fs::MetadataExt::nlink(metadata);
    #[cfg(not(unix))]
    {
        let _ = metadata;
        1
    }
}

/// Opens a name in a directory; it must be a regular file, else it is refused. `shown` is its path in messages.
///
/// # Errors
/// If it cannot be opened, or is something else.
pub fn open_in(dir: &Dir, name: &Path, shown: &Path, options: &OpenOptions) -> Result<File> {
    open_regular_in(dir, name, shown.display(), options)
}

/// Opens a regular file to read. A link at its place is not followed, a FIFO is not waited for.
///
/// # Errors
/// If it is not there, cannot be read, or is something else.
pub fn open_file(path: &Path) -> Result<File> {
    let (parent, name) = parent_of(path)?;
    open_in(&parent, Path::new(name), path, careful().read(true))
}

/// Opens a regular file to write, at its start and with what is in it; makes it if it is not there. A link at its place is not
/// followed.
///
/// # Errors
/// If it cannot be written, or is something else.
pub fn open_to_write(path: &Path) -> Result<File> {
    let (parent, name) = parent_of(path)?;
    open_in(&parent, Path::new(name), path, careful().create(true).write(true))
}
