//! Who holds a locked file: words in the file itself, for people.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};

/// Writes down that this process holds the file.
pub(crate) fn write_holder(lock: &mut File) -> io::Result<()> {
    let holder = format!("process {}", std::process::id());
    lock.set_len(0).and_then(|()| lock.rewind()).and_then(|()| lock.write_all(holder.as_bytes()))
}

/// Who holds it, such as ` (process 12)`; nothing where that cannot be read.
pub(crate) fn read_holder(lock: &mut File) -> String {
    let mut holder = String::new();
    // Only words for a person: without them a message is still right.
    let _ = lock.take(64).read_to_string(&mut holder);
    let process = holder.trim().strip_prefix("process ").and_then(|id| id.parse::<u32>().ok());
    process.map(|id| format!(" (process {id})")).unwrap_or_default()
}
