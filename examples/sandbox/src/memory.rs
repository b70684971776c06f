//! Where tests write: in memory, if there is room.

use offmap_disk::DiskReserve;
use std::path::Path;
use std::sync::Once;
use tempfile::TempDir;

/// A file system in memory, as Linux has it.
const MEMORY: &str = "/dev/shm";
/// Bytes that must be free there.
const ROOM: u64 = 8 << 30;

/// From now on `tempfile` makes the temporary directories of this process in memory, where the machine has a file system there with
/// room, and `TMPDIR` names no other place: tests take maps offline by the hundred, and want nothing of that afterwards.
pub fn prefer_memory() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let memory = Path::new(MEMORY);
        let is_wanted = std::env::var_os("TMPDIR").is_none();
        let has_room = || tempfile::tempdir_in(memory).is_ok() && DiskReserve::bytes(ROOM).check(memory, 0).is_ok();
        if is_wanted && has_room() {
            // Whoever said it before has chosen.
            let _ = tempfile::env::override_temp_dir(memory);
        }
    });
}

/// A temporary directory for a test: [`prefer_memory`].
///
/// # Errors
/// If none can be made.
pub fn tempdir() -> std::io::Result<TempDir> {
    prefer_memory();
    tempfile::tempdir()
}
