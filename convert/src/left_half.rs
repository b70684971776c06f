//! What a call that was killed, or whose work is kept, left beside a file or folder that it was to write.

use crate::half::{Half, NOTE, beside, known, left_of};
use offmap_disk::safe_path;
use offmap_model::{Failure, FailureStage};
use serde_json::Value;
use std::fs::TryLockError;
use std::path::{Path, PathBuf};

/// Ends the names of notes.
const NOTE_ENDING: &str = ".new.request";

/// The half of a file or folder. It is known by the note that lies beside it and says what it was made for: what has no such note is
/// somebody else's, whatever its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftHalf {
    /// The file or folder that was to be written.
    pub destination: PathBuf,
    /// Where its half lies.
    pub path: PathBuf,
    /// The size of all that there is of it, in bytes.
    pub bytes: u64,
    /// Whether a process writes it.
    pub in_use: bool,
}

/// Whether a note is one of this crate's. One that is empty is not believed: an older folder of the user may lie beside it.
fn is_order(text: &str) -> bool {
    let Ok(Value::Object(order)) = serde_json::from_str(text) else { return false };
    let word = |key: &str| order.get(key).and_then(Value::as_str);
    let is_state = |state: &str| state.len() == 64 && state.bytes().all(|byte| byte.is_ascii_hexdigit());
    word("version").is_some() && word("from").is_some() && word("state").is_some_and(is_state)
}

/// Whether a file is of this user.
fn is_own(metadata: &std::fs::Metadata) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        metadata.uid() == rustix::process::geteuid().as_raw()
    }
    #[cfg(not(unix))]
    {
        metadata.is_file()
    }
}

fn bytes_of(path: &Path) -> u64 {
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => safe_path::size_of(path),
        Ok(found) => found.len(),
        Err(_) => 0,
    }
}

impl LeftHalf {
    /// Halves in a directory, and the one of a file or folder that was to be written there. Blocks.
    #[must_use]
    pub fn find(place: &Path) -> Vec<Self> {
        let place: PathBuf = std::path::absolute(place).unwrap_or_else(|_| place.to_owned()).components().collect();
        let listed = std::fs::read_dir(&place).into_iter().flatten().filter_map(Result::ok);
        let of_note =
            |name: &str| name.strip_suffix(NOTE_ENDING).filter(|name| !name.is_empty()).map(|name| place.join(name));
        let inside = listed.filter_map(|entry| of_note(entry.file_name().to_str()?));
        let mut found: Vec<Self> = std::iter::once(place.clone()).chain(inside).filter_map(|to| Self::of(&to)).collect();
        found.sort_by(|a, b| a.destination.cmp(&b.destination));
        found.dedup();
        found
    }

    fn of(destination: &Path) -> Option<Self> {
        destination.file_name()?;
        let note = beside(destination, NOTE);
        if !is_own(&std::fs::symlink_metadata(&note).ok().filter(std::fs::Metadata::is_file)?) {
            return None;
        }
        let file = safe_path::open_file(&note).ok()?;
        // A lock keeps readers out on some systems: what cannot be read for it is in use.
        let in_use = matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
        drop(file);
        let is_order = known(&note).is_ok_and(|text| is_order(&text));
        (is_order || (in_use && cfg!(windows))).then(|| Self {
            destination: destination.to_owned(),
            path: beside(destination, ""),
            bytes: left_of(destination).iter().map(|path| bytes_of(path)).sum(),
            in_use,
        })
    }

    /// Removes it. Blocks.
    ///
    /// # Errors
    /// If a process writes it, or it cannot be removed.
    pub fn remove(&self) -> Result<(), Failure> {
        let order = known(&beside(&self.destination, NOTE)).ok().filter(|text| is_order(text));
        let Some(order) = order else {
            let message = format!("nothing says any more what {} is; look at it", self.path.display());
            return Err(Failure::invalid_parameter(message));
        };
        let failed =
            |e: std::io::Error| Failure::io(FailureStage::Run, format!("cannot remove {}", self.path.display()), &e);
        Half::begin(&self.destination, &order)?.remove().map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_util::sync::CancellationToken;

    fn order(n: u32) -> String {
        serde_json::json!({"version": "1", "from": format!("a{n}"), "state": "0".repeat(64)}).to_string()
    }

    /// Leaves a half as a killed call does.
    fn leave(to: &Path, order: &str) {
        let half = Half::begin(to, order).expect("begins");
        let kept = half.write(true, &CancellationToken::new(), |_| {
            std::fs::write(beside(to, ""), "half").expect("writes");
            std::fs::write(beside(to, "-journal"), "more").expect("writes");
            Err::<(), _>(Failure::internal("an end"))
        });
        assert!(kept.is_err());
    }

    #[test]
    fn halves_are_found_by_their_notes_and_nothing_else_is_taken_for_one() {
        let dir = tempfile::tempdir().expect("a directory");
        let at = |name: &str| dir.path().join(name);
        leave(&at("a.gpkg"), &order(1));
        leave(&at("b.pmtiles"), &order(2));
        // Without a note, with an empty one, and with one of another program.
        std::fs::write(at("c.gpkg.new"), "a user's file").expect("writes");
        for (name, note) in [("d", ""), ("e", "{\"version\": \"1\"}"), ("f", "an order")] {
            std::fs::write(at(&format!("{name}.new")), "a user's file").expect("writes");
            std::fs::write(at(&format!("{name}.new.request")), note).expect("writes");
        }
        let found = LeftHalf::find(dir.path());
        let names: Vec<_> = found.iter().map(|left| left.destination.file_name().expect("a name").to_owned()).collect();
        assert_eq!(names, ["a.gpkg", "b.pmtiles"]);
        assert!(found.iter().all(|left| !left.in_use && left.bytes >= 8), "{found:?}");
        assert_eq!(LeftHalf::find(&at("a.gpkg")), found[..1], "also by the file that was to be written");
        let held = Half::begin(&at("b.pmtiles"), &order(2)).expect("goes on");
        assert!(LeftHalf::find(&at("b.pmtiles"))[0].in_use);
        assert!(found[1].remove().expect_err("in use").message.contains("another process"));
        drop(held);
        found.iter().for_each(|left| left.remove().expect("removes"));
        let mut rest: Vec<_> =
            std::fs::read_dir(dir.path()).expect("lists").map(|e| e.expect("an entry").file_name()).collect();
        rest.sort();
        assert_eq!(rest, ["c.gpkg.new", "d.new", "d.new.request", "e.new", "e.new.request", "f.new", "f.new.request"]);
        assert!(found[0].remove().is_err(), "what nobody tells of is not removed");
    }
}
