//! A directory that others wrote: regular files in real directories, nothing else is opened. Links are not followed on any
//! level; a pipe, socket or device is not opened, since that alone may wait for ever.

use crate::kinds;
use crate::open::{careful, descend, open_regular_in};
use crate::path;
use crate::path::invalid;
use crate::walk::{Next, Vanished, walk};
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Files of a directory, or entries of an archive, that are read; more are refused.
pub const MAX_FILES: usize = 500_000;

/// A directory and the files below it.
#[derive(Debug)]
pub struct Folder {
    dir: Dir,
    /// The directory that the last file was opened in: the next one is often beside it.
    last: Mutex<Option<(PathBuf, Arc<Dir>)>>,
}

/// What is below a directory.
#[derive(Debug, Default)]
pub struct Listing {
    /// Regular files with their sizes: paths with forward slashes, in order.
    pub files: Vec<(String, u64)>,
    /// What else is there, by path, and why it is not read.
    pub refused: Vec<(String, String)>,
}

/// Opens one file for reading. The caller named the path, so links on the way to it are followed, but it ends in a regular file.
///
/// # Errors
/// If it is not there, or is no regular file; a pipe is refused without waiting.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let real = path.canonicalize()?;
    let (Some(parent), Some(name)) = (real.parent(), real.file_name()) else {
        return Err(invalid("it is a directory, expected a regular file"));
    };
    let parent = Dir::open_ambient_dir(parent, ambient_authority())?;
    open_regular_in(&parent, Path::new(name), "it", careful().read(true))
}

impl Folder {
    /// Opens a directory that the caller named.
    ///
    /// # Errors
    /// If it is not there or no directory.
    pub fn open(root: &Path) -> io::Result<Self> {
        Ok(Self { dir: Dir::open_ambient_dir(root, ambient_authority())?, last: Mutex::new(None) })
    }

    /// Opens a file below it.
    ///
    /// # Errors
    /// If the path is none of a package, leads over a link, or to something else than a regular file.
    pub fn file(&self, name: &str) -> io::Result<File> {
        path::check(name).map_err(invalid)?;
        let name = Path::new(name);
        let (parent, own) = (name.parent().unwrap_or(Path::new("")), Path::new(name.file_name().unwrap_or_default()));
        let known = self.last().as_ref().filter(|(path, _)| path == parent).map(|(_, dir)| Arc::clone(dir));
        let dir = match known {
            Some(dir) => Some(dir),
            None => {
                let shown = |path: &Path| format!("`{}`", path.file_name().unwrap_or_default().display());
                let (dir, _) = descend(&self.dir, name, shown)?;
                let dir = dir.map(Arc::new);
                *self.last() = dir.clone().map(|dir| (parent.to_owned(), dir));
                dir
            }
        };
        open_regular_in(dir.as_deref().unwrap_or(&self.dir), own, "it", careful().read(true))
    }

    fn last(&self) -> MutexGuard<'_, Option<(PathBuf, Arc<Dir>)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lists everything below it.
    ///
    /// # Errors
    /// If a directory cannot be read, or there are more than [`MAX_FILES`] things.
    pub fn list(&self) -> io::Result<Listing> {
        let mut listing = Listing::default();
        let mut seen = 0;
        walk(&self.dir, Vanished::Failed, |found| {
            seen += 1;
            if seen > MAX_FILES {
                return Err(invalid(format!("it has more than {MAX_FILES} files and directories")));
            }
            let Some(name) = name_of_path(&found.path) else {
                listing.refused.push((found.path.to_string_lossy().into_owned(), "its name is not UTF-8".to_owned()));
                return Ok(Next::Skip);
            };
            if let Err(what) = path::check(&name) {
                listing.refused.push((path::shown(&name).into_owned(), what.to_owned()));
                return Ok(Next::Skip);
            }
            if found.kind.is_file() {
                listing.files.push((name, found.bytes));
            } else if !found.kind.is_dir() {
                let what = format!("it is {}, expected a regular file", kinds::name_of(found.kind));
                listing.refused.push((name, what));
            }
            Ok(Next::Continue)
        })?;
        listing.files.sort_unstable();
        Ok(listing)
    }
}

/// A path with forward slashes; `None` if it is not UTF-8.
fn name_of_path(path: &Path) -> Option<String> {
    let parts: Option<Vec<&str>> = path.iter().map(std::ffi::OsStr::to_str).collect();
    Some(parts?.join("/"))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn nothing_but_regular_files_in_real_directories_is_opened() {
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path().join("package");
        std::fs::create_dir_all(root.join("p13")).expect("makes");
        std::fs::create_dir_all(dir.path().join("private")).expect("makes");
        std::fs::write(dir.path().join("private/key"), "secret").expect("writes");
        std::fs::write(root.join("p13/good"), "good").expect("writes");
        std::fs::hard_link(root.join("p13/good"), root.join("p13/same")).expect("links");
        symlink("good", root.join("p13/near")).expect("links");
        symlink(dir.path().join("private/key"), root.join("p13/far")).expect("links");
        symlink(dir.path().join("private"), root.join("p14")).expect("links");
        symlink("/dev/zero", root.join("zero")).expect("links");
        let pipe = std::process::Command::new("mkfifo").arg(root.join("pipe")).status().expect("mkfifo runs");
        assert!(pipe.success());
        let socket = std::os::unix::net::UnixListener::bind(root.join("socket")).expect("binds");
        let folder = Folder::open(&root).expect("opens");
        let listing = folder.list().expect("lists");
        assert_eq!(listing.files, [("p13/good".to_owned(), 4), ("p13/same".to_owned(), 4)]);
        let mut refused: Vec<&str> = listing.refused.iter().map(|(name, _)| name.as_str()).collect();
        refused.sort_unstable();
        assert_eq!(refused, ["p13/far", "p13/near", "p14", "pipe", "socket", "zero"]);
        assert!(folder.file("p13/good").is_ok() && folder.file("p13/same").is_ok());
        for name in ["p13/near", "p13/far", "p14/key", "zero", "pipe", "socket", "p13", "../private/key", "/etc/passwd"] {
            assert!(folder.file(name).is_err(), "{name}");
        }
        // Named by the caller, a link is followed, a pipe is not waited for.
        assert!(open_regular(&root.join("p13/near")).is_ok());
        assert!(open_regular(&root.join("pipe")).is_err() && open_regular(&root.join("zero")).is_err());
        drop(socket);
    }

    #[test]
    fn a_directory_that_never_ends_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::create_dir_all(dir.path().join(["a"; 40].join("/"))).expect("makes");
        let listing = Folder::open(dir.path()).and_then(|f| f.list()).expect("lists");
        assert_eq!(listing.refused.len(), 1, "{:?}", listing.refused);
        assert!(listing.refused[0].1.contains("deeper than 32"), "{:?}", listing.refused);
    }
}
