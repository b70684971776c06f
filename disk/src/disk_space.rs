//! Space that is kept free on a disk while files are written to it.

use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use std::path::Path;

/// Least that is kept free, in bytes.
const LEAST: u64 = 256 << 20;
/// Most that is kept free, in bytes.
const MOST: u64 = 2 << 30;
/// Share of the disk that is kept free between the two: one hundredth.
const SHARE: u64 = 100;
/// Share of a disk that is so small that the least would be much of it: one sixteenth.
const SHARE_OF_SMALL: u64 = 16;

/// How much of a disk is kept free: by default one hundredth of it, at least 256 MiB and at most 2 GiB, of a
/// small disk one sixteenth. A download that would take more ends as [`FailureKind::StorageFull`], and its job can be resumed.
#[derive(Debug, Clone, Copy)]
pub struct DiskReserve {
    bytes: Option<u64>,
    free: fn(&Path) -> std::io::Result<u64>,
}

impl Default for DiskReserve {
    fn default() -> Self {
        Self { bytes: None, free: |path| fs4::available_space(path) }
    }
}

impl DiskReserve {
    /// Keeps so many bytes free; 0 uses the disk up.
    #[must_use]
    pub fn bytes(bytes: u64) -> Self {
        Self { bytes: Some(bytes), ..Self::default() }
    }

    /// Asks for the free space elsewhere than at the disk, for tests.
    #[doc(hidden)]
    #[must_use]
    pub fn with_free_space(self, free: fn(&Path) -> std::io::Result<u64>) -> Self {
        Self { free, ..self }
    }

    /// Checks that `needed` bytes more fit on the disk of a directory. Blocks.
    ///
    /// # Errors
    /// If less than the reserve would be left. A disk that does not report its free space is found full when it is.
    pub fn check(&self, dir: &Path, needed: u64) -> Result<(), Failure> {
        let known = (self.free)(dir).and_then(|free| Ok((free, self.bytes.map_or_else(|| typical(dir), Ok)?)));
        let (free, reserve) = match known {
            Ok(known) => known,
            Err(error) => {
                tracing::debug!(%error, "the free space is not known");
                return Ok(());
            }
        };
        if free.checked_sub(needed).is_some_and(|left| left >= reserve) {
            return Ok(());
        }
        let message = format!(
            "the disk of {} is too full: {needed} bytes more are needed, {free} are free, and {reserve} of them are kept free; \
             make room and resume the job",
            dir.display()
        );
        Err(Failure::new(FailureOwner::Storage, FailureKind::StorageFull, FailureStage::Download, message))
    }
}

fn typical(dir: &Path) -> std::io::Result<u64> {
    Ok(typical_of(fs4::total_space(dir)?))
}

fn typical_of(total: u64) -> u64 {
    (total / SHARE).clamp(LEAST, MOST).min(total / SHARE_OF_SMALL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_leave_less_than_the_reserve_is_refused() {
        let reserve = DiskReserve::bytes(1000).with_free_space(|_| Ok(5000));
        let check = |needed| reserve.check(Path::new("/d"), needed);
        assert_eq!(check(4000), Ok(()));
        for needed in [4001, 5001, u64::MAX] {
            let failure = check(needed).expect_err("too much");
            assert_eq!((failure.owner, failure.kind), (FailureOwner::Storage, FailureKind::StorageFull));
            assert!(failure.message.contains("5000 are free, and 1000 of them are kept free"), "{failure}");
        }
        assert_eq!(DiskReserve::bytes(0).with_free_space(|_| Ok(5000)).check(Path::new("/d"), 5000), Ok(()));
        let silent = DiskReserve::bytes(1000).with_free_space(|_| Err(std::io::ErrorKind::Unsupported.into()));
        assert_eq!(silent.check(Path::new("/d"), u64::MAX), Ok(()));
    }

    #[test]
    fn a_hundredth_of_the_disk_is_kept_free_and_of_a_small_one_more() {
        let dir = tempfile::tempdir().expect("a directory");
        let of = [64 << 20, 4 << 30, 10 << 30, 100 << 30, 1 << 40].map(typical_of);
        assert_eq!(of, [4 << 20, LEAST, LEAST, 1 << 30, MOST]);
        assert!(typical(dir.path()).expect("a disk") > 0);
        assert!(DiskReserve::default().check(dir.path(), u64::MAX).is_err());
    }
}
