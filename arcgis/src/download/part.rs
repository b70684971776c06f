//! What is on disk of a file, and the note beside it by which another process resumes.

use crate::file_state::FileState;
use offmap_disk::{atomic_file, run_blocking, safe_path};
use offmap_model::{Failure, FailureStage};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// Longest note beside a part file, in bytes.
const LONGEST_NOTE: u64 = 64 << 10;
/// Bytes that are hashed at a time.
const PIECE: usize = 1 << 20;

/// What is on disk of a file, the hash of that, and which state of the file it is of.
#[derive(Clone, Default)]
pub(super) struct Part {
    pub(super) bytes: u64,
    pub(super) hasher: Sha256,
    pub(super) state: FileState,
}

/// What is written down of a part file: which state of the file it is of, and how much of it is surely on the disk.
#[derive(Debug, Serialize, Deserialize)]
struct PartNote {
    #[serde(flatten)]
    state: FileState,
    /// Bytes that survive a power cut.
    synced: u64,
    /// The start of the machine in which it was written: within it all bytes that were written are there.
    boot: Option<String>,
}

/// Names the machine's current start, where the system tells.
fn boot_id() -> Option<String> {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|t| t.trim().to_owned())
}

/// The file that holds a part.
#[derive(Debug, Clone)]
pub(super) struct PartFile(PathBuf);

impl PartFile {
    /// The part of a file.
    pub(super) fn of(to: &Path) -> Self {
        Self(with_ending(to, ".part"))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn note_path(&self) -> PathBuf {
        with_ending(&self.0, ".json")
    }

    /// Writes down which state of the file the part is of. Blocks.
    pub(super) fn note(&self, state: &FileState, synced: u64) -> Result<(), Failure> {
        if state.if_range().is_none() {
            // A note of an earlier state must not stand beside these bytes.
            return self.forget_note();
        }
        let note = PartNote { state: state.clone(), synced, boot: boot_id() };
        let text = serde_json::to_vec(&note).map_err(|e| Failure::internal(e.to_string()))?;
        let to = self.note_path();
        let failed = |e: &std::io::Error| Failure::io(FailureStage::Download, format!("cannot write {}", to.display()), e);
        atomic_file::write(&to, failed, |file| file.write_all(&text).map_err(|e| failed(&e)))
    }

    /// Removes the note. Blocks.
    pub(super) fn forget_note(&self) -> Result<(), Failure> {
        let note = self.note_path();
        match std::fs::remove_file(&note) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                Err(Failure::io(FailureStage::Download, format!("cannot remove {}", note.display()), &e))
            }
            _ => Ok(()),
        }
    }

    /// Opens the file at `bytes`; what lies beyond is cut off, unless `stop` was cancelled: then the file may be another download's by
    /// now. Blocks.
    pub(super) fn open(&self, bytes: u64, stop: &CancellationToken) -> Result<File, Failure> {
        let go_on = || if stop.is_cancelled() { Err(Failure::cancelled()) } else { Ok(()) };
        go_on()?;
        let odd = |e| safe_path::judged("cannot write a downloaded file", &e);
        let mut file = safe_path::open_to_write(&self.0).map_err(odd)?;
        // A writer whose download was dropped may still be at its last block. Not every file system has locks.
        let _ = file.lock();
        go_on()?;
        let failed =
            |e: std::io::Error| Failure::io(FailureStage::Download, format!("cannot write {}", self.0.display()), &e);
        file.set_len(bytes).map_err(failed)?;
        file.seek(SeekFrom::Start(bytes)).map_err(failed)?;
        Ok(file)
    }

    /// What another process left of the file; nothing where it may be of another state.
    ///
    /// # Cancel safety
    /// Dropping the future ends the reading.
    pub(super) async fn left_over(&self) -> Part {
        let (file, stop) = (self.clone(), CancellationToken::new());
        let _guard = stop.clone().drop_guard();
        run_blocking(move || Ok(file.read(&stop).unwrap_or_default())).await.unwrap_or_default()
    }

    fn read(&self, stop: &CancellationToken) -> Option<Part> {
        let mut text = String::new();
        safe_path::open_file(&self.note_path()).ok()?.take(LONGEST_NOTE).read_to_string(&mut text).ok()?;
        let note: PartNote = serde_json::from_str(&text).ok()?;
        note.state.if_range()?;
        let mut file = safe_path::open_file(&self.0).ok()?;
        // What a writer whose download was dropped still writes is waited for.
        let _ = file.lock_shared();
        let length = file.metadata().ok()?.len();
        let same_start = note.boot.is_some() && note.boot == boot_id();
        let bytes = if same_start { length } else { length.min(note.synced) };
        let mut part = Part { state: note.state, ..Part::default() };
        let mut piece = vec![0; PIECE];
        while part.bytes < bytes && !stop.is_cancelled() {
            let wanted = usize::try_from(bytes - part.bytes).unwrap_or(PIECE).min(PIECE);
            let got = file.read(piece.get_mut(..wanted)?).ok().filter(|got| *got > 0)?;
            part.hasher.update(piece.get(..got)?);
            part.bytes += got as u64;
        }
        Some(part)
    }
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(ending);
    path.with_file_name(name)
}
