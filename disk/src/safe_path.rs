//! Names and paths that come out of ledgers and packages, which anybody may have written.
//!
//! | rule | function |
//! | --- | --- |
//! | a name is one plain component | [`check_name`] |
//! | a path is relative and made of plain components | [`check_relative`] |
//! | what is read is a regular file, reached through real directories only | [`file()`], [`open_file`] |
//! | a folder holds regular files and real directories only | [`folder`], [`check_tree`] |
//! | what is made or removed below a directory stays below it | [`make_dirs`], [`remove_tree`], [`remove_all_but`] |
//!
//! A symbolic link, FIFO, socket or device is never followed, opened or waited for: it is refused by name, with the kind
//! [`ErrorKind::InvalidData`]. Everything here blocks.

use crate::copying::copy_until;
use cap_fs_ext::{DirExt as _, FollowSymlinks, OpenOptionsFollowExt as _, OpenOptionsSyncExt as _};
use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use std::fs::{File, FileType, Metadata};
use std::io::{Error, ErrorKind, Result, Write as _};
use std::path::{Component, Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// Longest name of a file or directory, in bytes.
pub const LONGEST_NAME: usize = 255;
/// Longest relative path, in bytes.
pub const LONGEST_PATH: usize = 4096;
/// Deepest nesting of directories below a root.
pub const DEEPEST: usize = 64;
/// Most files and directories below a root.
pub const MOST_ENTRIES: u64 = 1_000_000;
/// Bytes of a copy after which it is brought to the disk, so that no step takes long.
const SYNC_EVERY: usize = 64 << 20;

fn refused(message: String) -> Error {
    Error::new(ErrorKind::InvalidData, message)
}

/// What something is that is neither a regular file nor a directory.
fn kind_of(kind: FileType) -> &'static str {
    if kind.is_symlink() {
        "is a link"
    } else if kind.is_dir() {
        "is a directory"
    } else if kind.is_file() {
        "is a file"
    } else if is_pipe(kind) {
        "is a named pipe"
    } else {
        "is a socket or device"
    }
}

#[cfg(unix)]
fn is_pipe(kind: FileType) -> bool {
    std::os::unix::fs::FileTypeExt::is_fifo(&kind)
}

#[cfg(not(unix))]
fn is_pipe(_: FileType) -> bool {
    false
}

/// How many names a file has; one where the system does not tell.
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

/// Checks that a name is one plain component: no separators, no `..`, no leading dot, no control characters, at most
/// [`LONGEST_NAME`] bytes.
///
/// # Errors
/// If it is not; the message has the name and what is wrong with it.
pub fn check_name(name: &str) -> Result<()> {
    let what = if name.is_empty() {
        "is empty"
    } else if name.len() > LONGEST_NAME {
        "is too long"
    } else if name.starts_with('.') {
        "begins with a dot"
    } else if name.contains(['/', '\\', ':']) {
        "has a separator in it"
    } else if name.chars().any(char::is_control) {
        "has a control character in it"
    } else {
        return Ok(());
    };
    let shown: String = name.chars().take(80).flat_map(char::escape_default).collect();
    Err(refused(format!("the name `{shown}` {what}; expected a plain name of 1 to {LONGEST_NAME} bytes")))
}

/// Checks that a path is relative and made of plain components ([`check_name`]) only.
///
/// # Errors
/// If it is not; the message has the path and what is wrong with it.
pub fn check_relative(path: &Path) -> Result<()> {
    let shown = || path.to_string_lossy().chars().take(200).flat_map(char::escape_default).collect::<String>();
    let mut depth = 0;
    for component in path.components() {
        let Component::Normal(name) = component else {
            return Err(refused(format!("the path `{}` leads out of its directory; expected a relative path", shown())));
        };
        let name = name.to_str().ok_or_else(|| refused(format!("the path `{}` is not UTF-8", shown())))?;
        check_name(name)?;
        depth += 1;
    }
    if depth == 0 || depth > DEEPEST || path.as_os_str().len() > LONGEST_PATH {
        return Err(refused(format!("the path `{}` has {depth} parts, expected 1 to {DEEPEST}", shown())));
    }
    Ok(())
}

/// Looks at each component of a path below `root` without following links; all but the last must be real directories.
fn look(root: &Path, relative: &Path) -> Result<(PathBuf, Metadata)> {
    check_relative(relative)?;
    let mut path = root.to_owned();
    let mut metadata = std::fs::symlink_metadata(&path)?;
    for component in relative.components() {
        if !metadata.is_dir() {
            return Err(refused(format!("{} {}, expected a directory", path.display(), kind_of(metadata.file_type()))));
        }
        path.push(component);
        metadata = std::fs::symlink_metadata(&path)?;
    }
    Ok((path, metadata))
}

/// A regular file below `root`, reached through real directories only.
///
/// # Errors
/// If the path is not plain, or leads to something else, or nothing is there.
pub fn file(root: &Path, relative: &Path) -> Result<(PathBuf, Metadata)> {
    let (path, metadata) = look(root, relative)?;
    match metadata.is_file() {
        true => Ok((path, metadata)),
        false => Err(refused(format!("{} {}, expected a regular file", path.display(), kind_of(metadata.file_type())))),
    }
}

/// A real directory below `root`, reached through real directories only, in which is nothing but regular files and real
/// directories.
///
/// # Errors
/// If the path is not plain, or leads to something else, or something else is in it.
pub fn folder(root: &Path, relative: &Path) -> Result<PathBuf> {
    let (path, metadata) = look(root, relative)?;
    if !metadata.is_dir() {
        return Err(refused(format!("{} {}, expected a directory", path.display(), kind_of(metadata.file_type()))));
    }
    check_tree(&path)?;
    Ok(path)
}

/// What is below a directory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tree {
    /// Regular files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Checks that there is nothing but regular files and real directories below a directory, at most [`DEEPEST`] deep and
/// [`MOST_ENTRIES`] in number.
///
/// # Errors
/// If there is; the message names it.
pub fn check_tree(dir: &Path) -> Result<Tree> {
    let (tree, odd) = walk(dir, |_| {})?;
    match odd {
        None => Ok(tree),
        Some(what) => Err(refused(what)),
    }
}

/// All regular files below a directory, as paths below it, in no order.
///
/// # Errors
/// As [`check_tree`].
pub fn files_below(dir: &Path) -> Result<Vec<PathBuf>> {
    match plain_files_below(dir)? {
        (files, None) => Ok(files),
        (_, Some(what)) => Err(refused(what)),
    }
}

/// The same, with the first thing that does not belong there instead of a refusal.
pub fn plain_files_below(dir: &Path) -> Result<(Vec<PathBuf>, Option<String>)> {
    let mut files = Vec::new();
    let (_, odd) = walk(dir, |path| files.extend(path.strip_prefix(dir).map(Path::to_owned)))?;
    Ok((files, odd))
}

/// Bytes of all regular files below a directory; what cannot be read, links and all beyond the limits count nothing.
#[must_use]
pub fn size_of(dir: &Path) -> u64 {
    walk(dir, |_| {}).map_or(0, |(tree, _)| tree.bytes)
}

/// Walks a tree and shows each file; answers the first thing that does not belong into one.
fn walk(dir: &Path, mut show: impl FnMut(&Path)) -> Result<(Tree, Option<String>)> {
    let mut tree = Tree::default();
    let (mut odd, mut entries) = (None, 0_u64);
    let mut todo = vec![(dir.to_owned(), 0)];
    while let Some((dir, depth)) = todo.pop() {
        let listed = match std::fs::read_dir(&dir) {
            // A job that runs removes things meanwhile.
            Err(e) if e.kind() == ErrorKind::NotFound && depth > 0 => continue,
            listed => listed?,
        };
        for entry in listed {
            let entry = entry?;
            let path = entry.path();
            let kind = match entry.file_type() {
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                kind => kind?,
            };
            entries += 1;
            if entries > MOST_ENTRIES || depth >= DEEPEST {
                let what = format!("{} holds more than {MOST_ENTRIES} entries or {DEEPEST} levels", path.display());
                return Ok((tree, odd.or(Some(what))));
            }
            if kind.is_dir() {
                todo.push((path, depth + 1));
            } else if kind.is_file() {
                tree.files += 1;
                show(&path);
                tree.bytes = tree.bytes.saturating_add(entry.metadata().map_or(0, |m| m.len()));
            } else if odd.is_none() {
                odd = Some(format!("{} {}, expected a regular file or directory", path.display(), kind_of(kind)));
            }
        }
    }
    Ok((tree, odd))
}

/// Splits a path into a handle of its parent directory and its last name.
fn parent_of(path: &Path) -> Result<(Dir, &std::ffi::OsStr)> {
    let name = path.file_name().ok_or_else(|| refused(format!("{} has no name", path.display())))?;
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok((Dir::open_ambient_dir(parent, ambient_authority())?, name))
}

/// Opens a directory that is no link itself.
pub fn open_dir(path: &Path) -> Result<Dir> {
    let (parent, name) = parent_of(path)?;
    match parent.symlink_metadata(name)? {
        metadata if metadata.is_dir() => parent.open_dir_nofollow(name),
        _ => {
            let kind = std::fs::symlink_metadata(path)?.file_type();
            Err(refused(format!("{} {}, expected a directory", path.display(), kind_of(kind))))
        }
    }
}

/// Options that follow no link and wait for nobody.
pub fn careful() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.follow(FollowSymlinks::No).nonblock(true);
    options
}

/// Opens a name in a directory; it must be a regular file, else it is refused.
pub fn open_in(dir: &Dir, name: &Path, shown: &Path, options: &OpenOptions) -> Result<File> {
    let odd = |kind: &str| refused(format!("{} {kind}, expected a regular file", shown.display()));
    match dir.symlink_metadata(name) {
        Ok(metadata) if metadata.is_symlink() => return Err(odd("is a link")),
        Ok(metadata) if metadata.is_dir() => return Err(odd("is a directory")),
        Ok(metadata) if !metadata.is_file() => return Err(odd("is a pipe, socket or device")),
        _ => {}
    }
    let file = dir.open_with(name, options)?.into_std();
    // Whatever took the name's place since.
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(odd("is no file")),
    }
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

/// Makes directories below `root`, one after another; what stands there already must be real directories.
///
/// # Errors
/// If the path is not plain, something else stands there, or it cannot be made.
pub fn make_dirs(root: &Path, relative: &Path) -> Result<PathBuf> {
    check_relative(relative)?;
    let mut path = root.to_owned();
    for component in relative.components() {
        path.push(component);
        match std::fs::create_dir(&path) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                let kind = std::fs::symlink_metadata(&path)?.file_type();
                if !kind.is_dir() {
                    return Err(refused(format!("{} {}, expected a directory", path.display(), kind_of(kind))));
                }
            }
            made => made?,
        }
    }
    Ok(path)
}

/// Removes a file or directory with all that is in it, below `root`; nothing outside is touched. What is not there is fine.
///
/// # Errors
/// If the path is not plain, leads through a link, or it cannot be removed.
pub fn remove_tree(root: &Path, relative: &Path) -> Result<()> {
    let (path, metadata) = match look(root, relative) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        looked => looked?,
    };
    let (parent, name) = parent_of(&path)?;
    remove_in(&parent, Path::new(name), metadata.is_dir())
}

/// Removes all that is in a directory below `root` but some files and folders in it, named by their paths below the directory. A
/// directory that is not there is fine.
///
/// # Errors
/// As [`remove_tree`].
pub fn remove_all_but(root: &Path, relative: &Path, but: &[PathBuf]) -> Result<()> {
    let dir = match look(root, relative) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Ok((_, metadata)) if !metadata.is_dir() => return remove_tree(root, relative),
        looked => looked?.0,
    };
    for entry in std::fs::read_dir(&dir)? {
        let entry = entry?;
        let name = PathBuf::from(entry.file_name());
        if but.contains(&name) {
            continue;
        }
        let inside: Vec<PathBuf> = but.iter().filter_map(|b| b.strip_prefix(&name).ok().map(Path::to_owned)).collect();
        if inside.is_empty() {
            let (parent, is_dir) = (Dir::open_ambient_dir(&dir, ambient_authority())?, entry.file_type()?.is_dir());
            remove_in(&parent, &name, is_dir)?;
        } else {
            remove_all_but(root, &relative.join(&name), &inside)?;
        }
    }
    Ok(())
}

/// Removes a name in a directory: a link itself, never what it leads to.
pub fn remove_in(dir: &Dir, name: &Path, is_dir: bool) -> Result<()> {
    match if is_dir { dir.remove_dir_all(name) } else { dir.remove_file_or_symlink(name) } {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

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
    link_tree(from, to, 0, cancel).map_err(|e| match cancel.is_cancelled() {
        true => Failure::cancelled(),
        false => judged(&format!("cannot bring {} to {}", from.display(), to.display()), &e),
    })
}

fn link_tree(from: &Path, to: &Path, depth: usize, cancel: &CancellationToken) -> Result<()> {
    let kind = std::fs::symlink_metadata(from)?.file_type();
    if kind.is_file() {
        return link_file(from, to, cancel);
    }
    if !kind.is_dir() || depth > DEEPEST {
        let what = if kind.is_dir() { "is nested too deep" } else { kind_of(kind) };
        return Err(refused(format!("{} {what}, expected a regular file", from.display())));
    }
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        link_tree(&entry.path(), &to.join(entry.file_name()), depth + 1, cancel)?;
    }
    Ok(())
}

fn link_file(from: &Path, to: &Path, cancel: &CancellationToken) -> Result<()> {
    if std::fs::hard_link(from, to).is_ok() {
        // What was linked is what stands there now, whatever took the place of `from` since it was looked at.
        if std::fs::symlink_metadata(to)?.is_file() {
            return Ok(());
        }
        std::fs::remove_file(to)?;
        return Err(refused(format!("{} is no regular file any more", from.display())));
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

/// A failure out of what these functions refuse: damage where something else than plain files was found, else the disk's.
#[must_use]
pub fn judged(what: &str, error: &Error) -> Failure {
    if error.kind() == ErrorKind::InvalidData {
        return Failure::new(FailureOwner::Caller, FailureKind::Corrupt, FailureStage::Check, format!("{what}: {error}"));
    }
    Failure::io(FailureStage::Check, what, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_plain_component() {
        for good in ["000-scripted", "a b", "Tür", "x.tpkx", &"n".repeat(255)] {
            check_name(good).expect(good);
        }
        for bad in ["", ".", "..", ".hidden", "a/b", "/etc", "a\\b", "C:", "a\0b", "a\nb", "\u{1b}[2J", &"n".repeat(256)] {
            let error = check_name(bad).expect_err(bad);
            assert!(error.kind() == ErrorKind::InvalidData && !error.to_string().contains('\u{1b}'), "{error}");
        }
        for bad in ["", "/etc/passwd", "../x", "a/../b", "./a", "a/.b", &"a/".repeat(65)] {
            check_relative(Path::new(bad)).expect_err(bad);
        }
        check_relative(Path::new("p13/a.geodatabase")).expect("plain");
    }

    #[cfg(unix)]
    #[test]
    fn only_regular_files_behind_real_directories_are_files() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().expect("a directory");
        let root = dir.path().join("root");
        std::fs::create_dir_all(root.join("real/deep")).expect("makes");
        std::fs::write(dir.path().join("secret"), "secret").expect("writes");
        std::fs::write(root.join("real/deep/file"), "12345").expect("writes");
        symlink(root.join("real"), root.join("link")).expect("links");
        symlink(dir.path().join("secret"), root.join("real/secret")).expect("links");
        let made = std::process::Command::new("mkfifo").arg(root.join("fifo")).status().expect("runs mkfifo");
        assert!(made.success());
        let at = |path: &str| file(&root, Path::new(path)).map(|(_, m)| m.len()).map_err(|e| e.to_string());
        assert_eq!(at("real/deep/file"), Ok(5));
        for (path, word) in [
            ("link/deep/file", "is a link"),
            ("real/secret", "is a link"),
            ("fifo", "is a named pipe"),
            ("real", "is a directory"),
        ] {
            assert!(at(path).is_err_and(|e| e.contains(word)), "{path}: {:?}", at(path));
            assert!(open_file(&root.join(path)).is_err() || path.starts_with("link"), "{path}");
        }
        assert!(folder(&root, Path::new("real")).is_err_and(|e| e.to_string().contains("secret is a link")));
        assert!(make_dirs(&root, Path::new("link/new")).is_err());
        assert!(remove_tree(&root, Path::new("link/deep")).is_err(), "not through a link");
        for odd in ["real", "fifo", "real/secret"] {
            let refused = link_or_copy(&root.join(odd), &dir.path().join("copy")).expect_err(odd);
            assert_eq!(refused.kind, FailureKind::Corrupt, "{refused}");
            let _ = std::fs::remove_dir_all(dir.path().join("copy"));
        }
        // A link goes, what it leads to stays.
        remove_tree(&root, Path::new("link")).expect("removes");
        remove_tree(&root, Path::new("real/secret")).expect("removes");
        assert!(root.join("real/deep/file").exists() && dir.path().join("secret").exists());
        assert_eq!(folder(&root, Path::new("real")).map(|p| size_of(&p)).expect("plain now"), 5);
        remove_tree(&root, Path::new("real")).expect("removes");
        remove_tree(&root, Path::new("real")).expect("is gone already");
        assert!(!root.join("real").exists());
    }

    #[test]
    fn a_tree_without_end_is_not_walked_to_its_end() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::create_dir_all(dir.path().join("a/".repeat(200))).expect("makes");
        assert!(check_tree(dir.path()).is_err_and(|e| e.to_string().contains("64 levels")));
        assert_eq!(size_of(dir.path()), 0);
    }
}
