//! Directories: lists of entries, each number of an entry in a row of its own (§4).

use crate::tile_writing::gzip;

/// Most entries of one directory that is read.
const MOST_ENTRIES: u64 = 1 << 20;
/// Fewest bytes that an entry takes: one for each of its numbers.
const SMALLEST_ENTRY: u64 = 4;
/// Bytes of the longest number.
const LONGEST_NUMBER: usize = 10;

/// One entry: a tile and those behind it that share its bytes, or with a run of zero a leaf directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: u64,
    pub(super) offset: u64,
    pub(super) length: u32,
    pub(super) run: u32,
}

/// Numbers of variable width, as protocol buffers have them.
struct Numbers<'a> {
    bytes: &'a [u8],
}

impl Numbers<'_> {
    fn next(&mut self) -> Result<u64, String> {
        let mut number = 0_u64;
        for (i, byte) in self.bytes.iter().take(LONGEST_NUMBER).enumerate() {
            let bits = u64::from(byte & 0x7f);
            if i == LONGEST_NUMBER - 1 && bits > 1 {
                return Err("a number in a directory has more than 64 bits".to_owned());
            }
            number |= bits << (7 * i);
            if byte & 0x80 == 0 {
                self.bytes = self.bytes.get(i + 1..).unwrap_or_default();
                return Ok(number);
            }
        }
        Err("a directory ends in the middle of a number, or has one of more than 64 bits".to_owned())
    }

    fn short(&mut self) -> Result<u32, String> {
        let number = self.next()?;
        u32::try_from(number).map_err(|_| format!("a directory says {number}, expected at most 32 bits"))
    }
}

/// The entries of a directory that is not compressed any more (§4.3): ids grow, and no tile has two entries.
pub(super) fn read(bytes: &[u8]) -> Result<Vec<Entry>, String> {
    let mut numbers = Numbers { bytes };
    let count = numbers.next()?;
    if count == 0 || count > MOST_ENTRIES || count > bytes.len() as u64 / SMALLEST_ENTRY {
        let size = bytes.len();
        return Err(format!("a directory of {size} bytes says {count} entries, expected 1 to {MOST_ENTRIES} that fit"));
    }
    let mut entries = Vec::with_capacity(usize::try_from(count).unwrap_or_default());
    let mut id = 0_u64;
    for i in 0..count {
        let step = numbers.next()?;
        let next = id.checked_add(step).filter(|_| i == 0 || step > 0);
        id = next.ok_or_else(|| format!("the ids of a directory do not grow behind {id}"))?;
        entries.push(Entry { id, offset: 0, length: 0, run: 0 });
    }
    for entry in &mut entries {
        entry.run = numbers.short()?;
    }
    for entry in &mut entries {
        entry.length = numbers.short()?;
        if entry.length == 0 {
            return Err(format!("entry {} of a directory has no bytes", entry.id));
        }
    }
    let mut end = None;
    for entry in &mut entries {
        let offset = match (numbers.next()?, end) {
            (0, end) => end,
            (offset, _) => Some(offset - 1),
        };
        entry.offset = offset.ok_or("the first entry of a directory has no place")?;
        end = Some(entry.offset.checked_add(u64::from(entry.length)).ok_or("an entry ends beyond 64 bits")?);
    }
    match numbers.bytes.is_empty() {
        true => Ok(entries),
        false => Err(format!("a directory has {} bytes behind its entries", numbers.bytes.len())),
    }
}

/// A directory, compressed (§4.2).
pub(super) fn write(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries.len() * 8 + LONGEST_NUMBER);
    push(&mut bytes, entries.len() as u64);
    let mut id = 0;
    for entry in entries {
        push(&mut bytes, entry.id - id);
        id = entry.id;
    }
    entries.iter().for_each(|entry| push(&mut bytes, u64::from(entry.run)));
    entries.iter().for_each(|entry| push(&mut bytes, u64::from(entry.length)));
    let mut end = None;
    for entry in entries {
        push(&mut bytes, if end == Some(entry.offset) { 0 } else { entry.offset + 1 });
        end = Some(entry.offset + u64::from(entry.length));
    }
    gzip(&bytes)
}

fn push(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        // The low seven bits.
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tile_writing::gunzipped;
    use proptest::prelude::*;

    #[test]
    fn what_is_no_directory_is_refused() {
        let refused = |bytes: &[u8]| read(bytes).expect_err("refused");
        assert!(refused(&[]).contains("middle of a number"));
        assert!(refused(&[0]).contains("says 0 entries"));
        assert!(refused(&[0xff, 0xff, 0xff, 0xff, 0x0f, 1, 1, 1, 1]).contains("says 4294967295 entries"));
        assert!(refused(&[2, 5, 0, 1, 1, 1, 1, 1, 0]).contains("do not grow"), "two entries of one id");
        assert!(refused(&[1, 5, 1, 0, 1]).contains("has no bytes"));
        assert!(refused(&[1, 5, 1, 1, 0]).contains("has no place"));
        assert!(refused(&[1, 5, 1, 1, 1, 1]).contains("1 bytes behind"));
        assert!(refused(&[1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 1, 1, 1]).contains("64 bits"));
        let mut far = vec![1, 5, 1, 2];
        push(&mut far, u64::MAX);
        assert!(refused(&far).contains("beyond 64 bits"));
        let mut wide = vec![1, 5, 1];
        push(&mut wide, 1 << 32);
        wide.push(1);
        assert!(refused(&wide).contains("at most 32 bits"));
    }

    proptest! {
        #[test]
        fn a_directory_is_read_as_it_was_written(
            steps in prop::collection::vec((1_u64..1 << 40, 0_u32.., 1_u32.., any::<bool>(), 0_u64..1 << 50), 1..50)
        ) {
            let (mut id, mut end) = (0, 0);
            let entries: Vec<Entry> = steps.into_iter().map(|(step, run, length, follows, at)| {
                id += step;
                let offset = if follows { end } else { at };
                end = offset + u64::from(length);
                Entry { id, offset, length, run }
            }).collect();
            let bytes = gunzipped(&write(&entries), 1 << 20).expect("gzip");
            prop_assert_eq!(read(&bytes), Ok(entries));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }
    }
}
