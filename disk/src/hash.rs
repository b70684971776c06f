//! Sizes and hashes of files and folders.

use crate::copying::copy_until;
use crate::safe_path;
use offmap_model::Failure;
use sha2::{Digest as _, Sha256};
use std::path::Path;
use tokio_util::sync::CancellationToken;

/// Bytes as lower-case hexadecimal digits.
pub use const_hex::encode as hex;

/// SHA-256 of bytes, in hexadecimal.
#[must_use]
pub fn sha256_of(bytes: &[u8]) -> String {
    hex(Sha256::digest(bytes))
}

/// Size and SHA-256 (hexadecimal) of a regular file; a link at its place is not followed. Blocks.
///
/// # Errors
/// If it cannot be read.
pub fn hash_file(path: &Path) -> Result<(u64, String), Failure> {
    hash_file_until(path, &CancellationToken::new())
}

/// The same, until `cancel` is cancelled.
///
/// # Errors
/// As [`hash_file`]; also if it was cancelled.
pub fn hash_file_until(path: &Path, cancel: &CancellationToken) -> Result<(u64, String), Failure> {
    let failed = |e: &std::io::Error| match cancel.is_cancelled() {
        true => Failure::cancelled(),
        false => safe_path::judged(&format!("cannot read {}", path.display()), e),
    };
    let mut file = safe_path::open_file(path).map_err(|e| failed(&e))?;
    let mut hasher = Sha256::new();
    let hashed = copy_until(&mut file, cancel, |piece| {
        hasher.update(piece);
        Ok(())
    });
    let bytes = hashed.map_err(|e| failed(&e))?;
    Ok((bytes, hex(hasher.finalize())))
}

/// Size and SHA-256 (hexadecimal) of a regular file, or of a folder: of the names, sizes and hashes of all files in it, in order.
/// Blocks.
///
/// # Errors
/// If it cannot be read, or has anything but files and directories in it.
pub fn hash_result(path: &Path) -> Result<(u64, String), Failure> {
    hash_result_until(path, &CancellationToken::new())
}

/// The same, until `cancel` is cancelled.
///
/// # Errors
/// As [`hash_result`]; also if it was cancelled.
pub fn hash_result_until(path: &Path, cancel: &CancellationToken) -> Result<(u64, String), Failure> {
    let failed = |e: &std::io::Error| safe_path::judged(&format!("cannot read {}", path.display()), e);
    if !std::fs::symlink_metadata(path).map_err(|e| failed(&e))?.is_dir() {
        return hash_file_until(path, cancel);
    }
    let mut files = safe_path::files_below(path).map_err(|e| failed(&e))?;
    files.sort();
    let (mut hasher, mut all) = (Sha256::new(), 0_u64);
    for file in files {
        let (bytes, sha256) = hash_file_until(&path.join(&file), cancel)?;
        all = all.saturating_add(bytes);
        // A name has neither a zero byte nor a line's end in it that could be taken for another's.
        hasher.update(format!("{}\0{bytes}\0{sha256}\n", file.display()));
    }
    Ok((all, hex(hasher.finalize())))
}
