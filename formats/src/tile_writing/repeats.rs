//! Contents that were stored and may come again, such as tiles of open sea: a table of fixed size.
//!
//! Known by CRC-32 and length; who asks compares the bytes. 65,536 sets of four hold 262,144 contents in 6 MiB. Where a set is full,
//! the content that came again least often makes way, so that what repeats stays: equal tiles are stored once as long as no more than
//! that many different contents come between them, and those that come often whatever comes between.

/// Sets of the table, and places in each.
const SETS: usize = 1 << 16;
const WAYS: usize = 4;

#[derive(Debug, Clone, Copy, Default)]
struct Content {
    at: u64,
    length: u32,
    crc: u32,
    /// How often it came again, halved now and then.
    times: u32,
}

/// The table.
#[derive(Debug)]
pub(crate) struct Repeats {
    sets: Vec<[Content; WAYS]>,
}

impl Default for Repeats {
    fn default() -> Self {
        Self { sets: vec![[Content::default(); WAYS]; SETS] }
    }
}

impl Repeats {
    fn set(crc: u32) -> usize {
        // The low bits alone are as good as any of a CRC.
        crc as usize % SETS
    }

    /// Where contents are that may be the same.
    pub(crate) fn candidates(&self, crc: u32, length: u32) -> impl Iterator<Item = u64> + use<> {
        let set = self.sets.get(Self::set(crc)).copied().unwrap_or_default();
        set.into_iter().filter(move |c| c.length == length && c.crc == crc && length > 0).map(|c| c.at)
    }

    /// Notes that a content came, for the first time or again. The table depends on these calls alone, so that they can be repeated
    /// out of a journal.
    pub(crate) fn note(&mut self, crc: u32, length: u32, at: u64) {
        let Some(set) = self.sets.get_mut(Self::set(crc)) else { return };
        if let Some(known) = set.iter_mut().find(|c| c.length == length && c.crc == crc && c.at == at) {
            known.times = known.times.saturating_add(1);
            return;
        }
        let content = Content { at, length, crc, times: 0 };
        if let Some(free) = set.iter_mut().find(|c| c.length == 0) {
            *free = content;
            return;
        }
        // The first of the least: the oldest place among them.
        if let Some(least) = set.iter_mut().min_by_key(|c| (c.times, c.at)) {
            *least = content;
        }
        // About every eighth of those that come in makes the set forget, by chance that its own bytes decide.
        if (crc >> SETS.trailing_zeros()).is_multiple_of(8) {
            set.iter_mut().for_each(|c| c.times /= 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_often_stays_and_the_rest_makes_way() {
        let mut repeats = Repeats::default();
        (0..10).for_each(|_| repeats.note(7, 100, 1));
        for n in 0..1_000_u32 {
            // All of them in one set.
            repeats.note(7 + (n << 16), 200, u64::from(n) + 2);
            if n % 2 == 0 {
                repeats.note(7, 100, 1);
            }
        }
        assert_eq!(repeats.candidates(7, 100).collect::<Vec<_>>(), [1]);
        assert_eq!(repeats.candidates(7, 99).count(), 0);
        assert_eq!(repeats.candidates(7 + (999 << 16), 200).collect::<Vec<_>>(), [1001], "the newest is there");
        assert_eq!(repeats.candidates(7 + (500 << 16), 200).count(), 0);
    }
}
