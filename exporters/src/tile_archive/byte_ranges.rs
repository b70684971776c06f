//! Ranges of bytes that are wanted, and the requests for them.
//!
//! Neighbours with little between them are asked for in one request, what lies between them with them: the smallest gaps first, of at most
//! [`LARGEST_GAP`] each, and together no more than a share of what is wanted. A request has at most [`LARGEST_REQUEST`] bytes, which is what is
//! in memory of it and what a kill costs.

use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use std::collections::BTreeMap;
use std::ops::Range;

/// Most bytes of a request.
pub(super) const LARGEST_REQUEST: u64 = 8 << 20;
/// Most bytes between two ranges of one request.
const LARGEST_GAP: u64 = 1 << 20;
/// Bytes between ranges, as a share of those that are wanted, and how many there may be whatever that is.
const SHARE_OF_GAPS: u64 = 20;
const FEW_BYTES: u64 = 512 << 10;
/// Most ranges.
const MOST_RANGES: usize = 1 << 20;

/// Ranges of bytes: where each begins and ends, apart from each other.
#[derive(Debug, Clone, Default)]
pub(super) struct ByteRanges(BTreeMap<u64, u64>);

impl ByteRanges {
    /// Adds a range; what touches becomes one.
    pub(super) fn add(&mut self, range: Range<u64>) -> Result<(), Failure> {
        let Range { mut start, mut end } = range;
        if let Some((before, until)) = self.0.range(..=start).next_back()
            && *until >= start
        {
            if *until >= end {
                return Ok(());
            }
            start = *before;
        }
        while let Some((next, until)) = self.0.range(start..=end).next().map(|(next, until)| (*next, *until)) {
            self.0.remove(&next);
            end = end.max(until);
        }
        self.0.insert(start, end);
        if self.0.len() <= MOST_RANGES {
            return Ok(());
        }
        let message = format!(
            "the tiles that are wanted lie in more than {MOST_RANGES} places of the archive, which is not in the order of its tiles; take a smaller \
             area, or download it as a whole and take them from that (offmap convert)"
        );
        Err(Failure::new(FailureOwner::Limit, FailureKind::LimitExceeded, FailureStage::Plan, message))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes in all of them.
    pub(super) fn bytes(&self) -> u64 {
        self.0.iter().map(|(start, end)| end - start).fold(0, u64::saturating_add)
    }

    /// What is asked for to have all of them, in order. The same ranges make the same requests.
    pub(super) fn requests(&self) -> Vec<Range<u64>> {
        let ranges: Vec<Range<u64>> = self.0.iter().map(|(start, end)| *start..*end).collect();
        let gap = |pair: &[Range<u64>]| match pair {
            [before, after] => after.start - before.end,
            _ => u64::MAX,
        };
        let mut gaps: Vec<(u64, usize)> = ranges.windows(2).map(gap).zip(0..).collect();
        gaps.sort_unstable();
        let mut left = (self.bytes() / SHARE_OF_GAPS).max(FEW_BYTES);
        let mut joins = vec![false; ranges.len()];
        for (gap, index) in gaps {
            if gap > LARGEST_GAP || gap > left {
                break;
            }
            left -= gap;
            if let Some(joins) = joins.get_mut(index) {
                *joins = true;
            }
        }
        let mut requests: Vec<Range<u64>> = Vec::new();
        let mut open: Option<Range<u64>> = None;
        for (range, joins) in ranges.into_iter().zip(joins) {
            let whole = open.take().map_or(range.start, |open| open.start)..range.end;
            match joins {
                true => open = Some(whole),
                false => requests.extend(pieces(whole)),
            }
        }
        requests
    }
}

/// A range in pieces that each fit a request.
fn pieces(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let count = (range.end - range.start).div_ceil(LARGEST_REQUEST);
    (0..count).map(move |i| {
        let start = range.start + i * LARGEST_REQUEST;
        start..range.end.min(start + LARGEST_REQUEST)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ranges: &[Range<u64>]) -> ByteRanges {
        let mut all = ByteRanges::default();
        ranges.iter().for_each(|range| all.add(range.clone()).expect("few"));
        all
    }

    #[test]
    fn ranges_are_joined_whatever_order_they_come_in() {
        let ranges = of(&[5..9, 20..30, 9..12, 1..2, 25..40, 2..5, 50..60, 0..1, 33..34]);
        assert_eq!(ranges.0.iter().map(|(a, b)| *a..*b).collect::<Vec<_>>(), [0..12, 20..40, 50..60]);
        assert_eq!(ranges.bytes(), 42);
        assert!(ByteRanges::default().requests().is_empty() && ByteRanges::default().is_empty());
    }

    #[test]
    fn neighbours_are_one_request_and_what_is_fetched_beside_them_is_bounded() {
        let mib = 1_u64 << 20;
        assert_eq!(of(&[0..10, 100..110, 5_000..6_000]).requests().as_slice(), std::slice::from_ref(&(0..6_000)));
        assert_eq!(of(&[0..10, 2 * mib..2 * mib + 5]).requests(), [0..10, 2 * mib..2 * mib + 5], "a large gap");
        // A hundred gaps of 64 KiB between 64 KiB each: eight are as many as half a MiB.
        let many: Vec<Range<u64>> = (0..100).map(|i| i * (mib / 8)..i * (mib / 8) + mib / 16).collect();
        let ranges = of(&many);
        let requests = ranges.requests();
        assert_eq!(requests.len(), 100 - 8);
        let fetched: u64 = requests.iter().map(|r| r.end - r.start).sum();
        assert_eq!(fetched - ranges.bytes(), FEW_BYTES);
        assert_eq!(
            of(std::slice::from_ref(&(3..20 * mib))).requests(),
            [3..8 * mib + 3, 8 * mib + 3..16 * mib + 3, 16 * mib + 3..20 * mib]
        );
    }
}
