//! What the result of a unit was made of: a result of something else is not used again.
//!
//! The pages of a layer divide its list of object ids, the parts of its attachments divide theirs, and the geodatabase is made of all of
//! them. Where a list is made anew, because it was lost or its service answered otherwise, what was made of the old one would lack rows
//! or hold too many, and every count would agree.

use offmap_disk::{atomic_file, hex, safe_path};
use offmap_engine::ExportContext;
use offmap_model::Failure;
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};

/// Notes what a unit's result is made of.
const MADE_OF: &str = "madeOf";

/// End the names of what lies beside a result while it is made: its large attachments, and rows that are not held in memory.
pub(super) const LARGE: &str = ".large";
pub(super) const ROWS: &str = ".rows";

/// A path with something behind its name.
pub(super) fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// A digest of some parts, each told from its neighbours.
pub(super) fn digest<T: AsRef<[u8]>>(parts: impl IntoIterator<Item = T>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        let part = part.as_ref();
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hex(hash.finalize())
}

/// The same of object ids.
pub(super) fn digest_of_ids(ids: &[i64]) -> String {
    digest(ids.iter().map(|id| id.to_le_bytes()))
}

/// Removes a file or folder of the work directory, and what was to become it. Blocks.
fn remove(work_dir: &Path, name: &Path) -> Result<(), Failure> {
    for name in [name, &atomic_file::beside(name), &with_ending(name, LARGE), &with_ending(name, ROWS)] {
        let failed = |e| safe_path::judged(&format!("cannot remove {}", work_dir.join(name).display()), &e);
        safe_path::remove_tree(work_dir, name).map_err(failed)?;
    }
    Ok(())
}

/// Removes the result of a unit, a file or folder of the work directory, where it was made of something else; notes of what it is made
/// now.
pub(super) async fn made_of(ctx: &ExportContext, unit: &str, name: &str, key: &str) -> Result<(), Failure> {
    if ctx.ledger().noted(unit, MADE_OF).await?.as_deref() == Some(key) {
        return Ok(());
    }
    let (work_dir, name) = (ctx.work_dir().to_owned(), PathBuf::from(name));
    // First of all: a result without this note is not used either.
    ctx.blocking(move || remove(&work_dir, &name)).await?;
    ctx.ledger().note(unit, MADE_OF, key).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_that_differ_in_any_place_have_other_digests() {
        let all =
            [vec![], vec![0], vec![1, 2], vec![2, 1], vec![1, 2, 3], vec![1, 3]].map(|ids: Vec<i64>| digest_of_ids(&ids));
        assert_eq!(all.iter().collect::<std::collections::BTreeSet<_>>().len(), all.len());
        assert_ne!(digest(["ab", "c"]), digest(["a", "bc"]));
    }

    #[test]
    fn a_result_goes_whether_it_is_a_file_a_folder_or_none() {
        let dir = tempfile::tempdir().expect("a directory");
        let (file, folder) = (dir.path().join("file"), dir.path().join("folder"));
        std::fs::write(&file, "x").expect("writes");
        std::fs::create_dir_all(folder.join("inner")).expect("makes");
        std::fs::write(with_ending(&file, ROWS), "x").expect("writes");
        std::fs::create_dir_all(with_ending(&folder, LARGE)).expect("makes");
        for name in ["file", "folder", "none"] {
            assert_eq!(remove(dir.path(), Path::new(name)), Ok(()));
        }
        assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), 0);
    }
}
