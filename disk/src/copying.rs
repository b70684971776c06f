//! Reading files that may be large: piece by piece, so that a cancel ends it at once.

use std::cell::RefCell;
use std::io::{Error, ErrorKind, Read, Result};
use tokio_util::sync::CancellationToken;

/// Bytes that are read at a time.
const PIECE: usize = 1 << 16;

thread_local! {
    static SPARE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A buffer that goes back to its thread.
struct Piece(Vec<u8>);

impl Drop for Piece {
    fn drop(&mut self) {
        // A thread that ends needs it no more.
        let _ = SPARE.try_with(|spare| spare.replace(std::mem::take(&mut self.0)));
    }
}

/// Hands on all that can be read, piece by piece, and answers how many bytes that were. Blocks.
///
/// # Errors
/// What reading or `to` says; [`ErrorKind::Interrupted`] if it was cancelled.
pub fn copy_until(
    from: &mut (impl Read + ?Sized),
    cancel: &CancellationToken,
    mut to: impl FnMut(&[u8]) -> Result<()>,
) -> Result<u64> {
    // Kept for the next file of this thread: many files are smaller than the work of making it.
    let mut piece = Piece(SPARE.take());
    piece.0.resize(PIECE, 0);
    let piece = &mut piece.0;
    let mut bytes = 0_u64;
    while !cancel.is_cancelled() {
        match from.read(piece) {
            Ok(0) => return Ok(bytes),
            Ok(n) => {
                bytes += n as u64;
                to(piece.get(..n).unwrap_or_default())?;
            }
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Err(Error::new(ErrorKind::Interrupted, "cancelled"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancel_ends_it_between_two_pieces() {
        let cancel = CancellationToken::new();
        let mut pieces = 0;
        let endless = copy_until(&mut std::io::repeat(7), &cancel, |piece| {
            pieces += 1;
            assert_eq!(piece.len(), PIECE);
            if pieces == 3 {
                cancel.cancel();
            }
            Ok(())
        });
        assert_eq!((endless.map_err(|e| e.kind()), pieces), (Err(ErrorKind::Interrupted), 3));
        let all = copy_until(&mut &b"abc"[..], &CancellationToken::new(), |_| Ok(()));
        assert_eq!(all.ok(), Some(3));
    }
}
