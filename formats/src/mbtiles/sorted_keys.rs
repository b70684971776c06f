//! The places of very many tiles in order, with little memory: pieces are sorted and wait in a file without a name.

use offmap_model::{Failure, FailureStage};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};

/// Keys that are sorted at once: 16 MiB.
const AT_ONCE: usize = 1 << 20;
/// Bytes of a key in the file.
const KEY: usize = 16;

/// A tile's id, and where the file has it.
pub(super) type Key = (u64, i64);

/// Takes keys in any order.
#[derive(Debug, Default)]
pub(super) struct SortedKeys {
    waiting: Vec<Key>,
    file: Option<File>,
    /// How many keys each piece in the file has.
    pieces: Vec<u64>,
}

fn failed(error: &io::Error) -> Failure {
    Failure::io(FailureStage::Check, "cannot keep the places of tiles in a temporary file", error)
}

impl SortedKeys {
    pub(super) fn push(&mut self, key: Key) -> Result<(), Failure> {
        self.waiting.push(key);
        if self.waiting.len() >= AT_ONCE { self.write().map_err(|e| failed(&e)) } else { Ok(()) }
    }

    /// Sorts what waits and writes it behind the other pieces.
    fn write(&mut self) -> io::Result<()> {
        self.waiting.sort_unstable();
        let file = match self.file.take() {
            Some(file) => file,
            None => tempfile::tempfile()?,
        };
        let mut writer = BufWriter::with_capacity(1 << 20, file);
        for (id, at) in &self.waiting {
            writer.write_all(&id.to_le_bytes())?;
            writer.write_all(&at.to_le_bytes())?;
        }
        self.file = Some(writer.into_inner().map_err(io::IntoInnerError::into_error)?);
        self.pieces.push(self.waiting.len() as u64);
        self.waiting.clear();
        Ok(())
    }

    /// All of them in order.
    pub(super) fn in_order(mut self) -> Result<KeysInOrder, Failure> {
        self.waiting.sort_unstable();
        let mut order = KeysInOrder { pieces: Vec::new(), heads: BinaryHeap::new() };
        let mut at = 0;
        for keys in &self.pieces {
            // Each piece is read by a handle of its own, since a copy of a handle shares its position.
            let file = self.file.as_ref().map(File::try_clone).transpose().map_err(|e| failed(&e))?;
            let Some(file) = file else { break };
            order.pieces.push(Piece::OnDisk { reader: OffsetReader { file, at, ahead: Vec::new(), used: 0 }, left: *keys });
            at += keys * KEY as u64;
        }
        order.pieces.push(Piece::InMemory(std::mem::take(&mut self.waiting).into_iter()));
        for i in 0..order.pieces.len() {
            order.fill(i)?;
        }
        Ok(order)
    }
}

/// Reads from a place of its own of a file that others read as well.
#[derive(Debug)]
struct OffsetReader {
    file: File,
    at: u64,
    ahead: Vec<u8>,
    used: usize,
}

impl OffsetReader {
    fn next(&mut self, left: u64) -> io::Result<[u8; KEY]> {
        if self.used >= self.ahead.len() {
            let size = left.saturating_mul(KEY as u64).min(64 << 10);
            self.file.seek(SeekFrom::Start(self.at))?;
            self.ahead.clear();
            BufReader::with_capacity(0, &self.file).take(size).read_to_end(&mut self.ahead)?;
            self.at += self.ahead.len() as u64;
            self.used = 0;
        }
        let key = self.ahead.get(self.used..self.used + KEY).and_then(|key| key.try_into().ok());
        self.used += KEY;
        key.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

#[derive(Debug)]
enum Piece {
    InMemory(std::vec::IntoIter<Key>),
    OnDisk { reader: OffsetReader, left: u64 },
}

/// Keys in order.
#[derive(Debug)]
pub(super) struct KeysInOrder {
    pieces: Vec<Piece>,
    /// The next key of each piece, the least on top.
    heads: BinaryHeap<Reverse<(Key, usize)>>,
}

impl KeysInOrder {
    fn fill(&mut self, i: usize) -> Result<(), Failure> {
        let key = match self.pieces.get_mut(i) {
            Some(Piece::InMemory(keys)) => keys.next(),
            Some(Piece::OnDisk { left: 0, .. }) | None => None,
            Some(Piece::OnDisk { reader, left }) => {
                let bytes = reader.next(*left).map_err(|e| failed(&e))?;
                *left -= 1;
                let (id, at) = bytes.split_at(8);
                let word = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).unwrap_or_default();
                Some((word(id), word(at).cast_signed()))
            }
        };
        self.heads.extend(key.map(|key| Reverse((key, i))));
        Ok(())
    }

    /// The next one.
    pub(super) fn next_key(&mut self) -> Result<Option<Key>, Failure> {
        let Some(Reverse((key, piece))) = self.heads.pop() else { return Ok(None) };
        self.fill(piece)?;
        Ok(Some(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_in_order_whether_they_fit_into_memory_or_not() {
        for count in [0_u64, 1, 1_000, 2 * AT_ONCE as u64 + 17] {
            let mut keys = SortedKeys::default();
            // Odd numbers go through all rests of a power of two.
            (0..count).for_each(|n| keys.push((n.wrapping_mul(0x9e37_79b1) % (1 << 22), -(n as i64))).expect("pushes"));
            let mut order = keys.in_order().expect("sorts");
            let (mut before, mut seen) = (None, 0);
            while let Some(key) = order.next_key().expect("reads") {
                assert!(before < Some(key), "{before:?} {key:?}");
                (before, seen) = (Some(key), seen + 1);
            }
            assert_eq!(seen, count);
        }
    }
}
