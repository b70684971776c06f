//! How many rows are asked for at a time: fewer where the service chokes or answers short, more again where it does well.

use std::sync::atomic::{AtomicU64, Ordering};

/// Pages in a row that come as asked before more is asked for.
const GOOD_PAGES: u64 = 3;

/// Rows of a page, shared by all that ask the same layer side by side.
///
/// ```
/// use offmap_arcgis::PageSize;
///
/// let page = PageSize::new(1000);
/// assert!(page.shrink(1000));
/// assert_eq!(page.rows(), 500);
/// (0..3).for_each(|_| page.went_well(500));
/// assert_eq!(page.rows(), 1000);
/// ```
#[derive(Debug)]
pub struct PageSize {
    most: u64,
    now: AtomicU64,
    /// Pages that came as asked since the size changed.
    good: AtomicU64,
}

impl PageSize {
    /// Begins with the most rows that a page may have.
    #[must_use]
    pub fn new(most: u64) -> Self {
        let most = most.max(1);
        Self { most, now: AtomicU64::new(most), good: AtomicU64::new(0) }
    }

    /// Rows that are asked for now.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.now.load(Ordering::Acquire)
    }

    /// A page of so many rows was too much for the service: half as many are asked for. False where that was a single row, which cannot
    /// be halved.
    pub fn shrink(&self, asked: u64) -> bool {
        self.lower_to(asked.div_ceil(2));
        asked > 1
    }

    /// A page had fewer rows than were asked for though there were more: the service's limit is lower than it says.
    pub fn short(&self, came: u64) {
        self.lower_to(came);
    }

    /// A page of so many rows came as asked.
    pub fn went_well(&self, asked: u64) {
        let now = self.rows();
        if asked < now || now >= self.most {
            return;
        }
        if self.good.fetch_add(1, Ordering::AcqRel) + 1 >= GOOD_PAGES {
            self.good.store(0, Ordering::Release);
            // Whoever changed it meanwhile knows more.
            let more = now.saturating_mul(2).min(self.most);
            let _ = self.now.compare_exchange(now, more, Ordering::AcqRel, Ordering::Acquire);
        }
    }

    fn lower_to(&self, rows: u64) {
        self.good.store(0, Ordering::Release);
        self.now.fetch_min(rows.max(1), Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_never_empty_and_never_larger_than_the_layer_allows() {
        let page = PageSize::new(0);
        assert!(!page.shrink(1) && page.rows() == 1);
        let page = PageSize::new(100);
        page.short(30);
        page.shrink(100);
        assert_eq!(page.rows(), 30, "another one had found less already");
        // Pages that were asked for before it shrank say nothing.
        (0..9).for_each(|_| page.went_well(20));
        assert_eq!(page.rows(), 30);
        (0..6).for_each(|_| page.went_well(page.rows()));
        assert_eq!(page.rows(), 100);
        (0..6).for_each(|_| page.went_well(100));
        assert_eq!(page.rows(), 100);
    }
}
