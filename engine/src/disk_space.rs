//! Whether a plan fits on the disk.

use offmap_disk::safe_path::size_of;
use offmap_model::{ByteRange, Failure, FailureKind, FailureOwner, FailureStage};
use std::path::Path;

/// Checks the disk that a work directory is on. What lies in the directory already is a part of what is needed.
///
/// Answers a warning where the plan may not fit. Blocks.
///
/// # Errors
/// If not even the least that the plan needs fits.
pub(crate) fn check(work_dir: &Path, needed: ByteRange) -> Result<Option<String>, Failure> {
    match fs4::available_space(work_dir) {
        Ok(free) => judge(work_dir, needed, free, size_of(work_dir)),
        Err(error) => {
            // Where the free space is not known, the disk is full when a write fails.
            tracing::debug!(%error, "the free space is not known");
            Ok(None)
        }
    }
}

fn judge(work_dir: &Path, needed: ByteRange, free: u64, there: u64) -> Result<Option<String>, Failure> {
    let disk = work_dir.parent().unwrap_or(work_dir).display();
    let (least, most) = (needed.min.saturating_sub(there), needed.max.saturating_sub(there));
    if least > free {
        let message = format!(
            "the disk of {disk} is too full: the plan needs at least {least} bytes more, {free} are free; make room, or make the area or the range of scales smaller"
        );
        return Err(Failure::new(FailureOwner::Storage, FailureKind::StorageFull, FailureStage::Run, message));
    }
    Ok((most > free).then(|| {
        format!("the disk of {disk} may become full: the plan needs {least} to {most} bytes more, {free} are free")
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_that_cannot_fit_is_refused_and_one_that_may_not_is_warned_of() {
        let needed = ByteRange { min: 1000, max: 9000 };
        let at = |free, there| judge(Path::new("/d/.out.offmap"), needed, free, there);
        assert_eq!(at(9000, 0).expect("fits"), None);
        let warning = at(8999, 0).expect("may fit").expect("a warning");
        assert!(warning.contains("/d may become full") && warning.contains("8999 are free"), "{warning}");
        let failure = at(999, 0).expect_err("too full");
        assert_eq!((failure.owner, failure.kind), (FailureOwner::Storage, FailureKind::StorageFull));
        assert!(failure.message.contains("at least 1000 bytes more, 999 are free"), "{failure}");
        assert!(at(100, 900).is_ok(), "what is there already is not needed again");
    }

    #[test]
    fn files_of_all_folders_are_counted() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::create_dir_all(dir.path().join("a/b")).expect("makes");
        std::fs::write(dir.path().join("a/b/c"), [0; 100]).expect("writes");
        std::fs::write(dir.path().join("d"), [0; 11]).expect("writes");
        assert_eq!(size_of(dir.path()), 111);
        assert!(check(dir.path(), ByteRange { min: 0, max: 0 }).expect("fits").is_none());
        assert!(check(dir.path(), ByteRange { min: u64::MAX, max: u64::MAX }).is_err());
    }
}
