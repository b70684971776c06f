//! The bytes of tiles: their size, and gzip.

use crate::compact_cache::LARGEST_TILE;
use crate::sinks::TileId;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use offmap_model::Failure;
use std::borrow::Cow;
use std::io::{self, Read as _, Write as _};

/// First bytes of gzip.
pub(crate) const GZIP: &[u8] = b"\x1f\x8b";

/// Whether a tile can be stored: it has bytes, and not more than the formats count.
pub(crate) fn check_size(places: &[TileId], bytes: &[u8]) -> Result<u32, Failure> {
    let size = u32::try_from(bytes.len()).ok().filter(|size| (1..=LARGEST_TILE).contains(&u64::from(*size)));
    size.ok_or_else(|| {
        let found = bytes.len();
        Failure::not_supported(format!("tile {:?} has {found} bytes, expected 1 to {LARGEST_TILE}", places.first()))
    })
}

/// A vector tile as gzip: as it is, if they are that already.
pub(crate) fn gzipped(bytes: &[u8]) -> Cow<'_, [u8]> {
    if bytes.starts_with(GZIP) {
        return Cow::Borrowed(bytes);
    }
    Cow::Owned(gzip(bytes))
}

/// Bytes of any kind as gzip.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    // Without time and name, so that the same bytes become the same.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // Memory does not refuse.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

/// What gzip holds, of at most `most` bytes.
pub(crate) fn gunzipped(bytes: &[u8], most: u64) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    MultiGzDecoder::new(bytes).take(most + 1).read_to_end(&mut out)?;
    match out.len() as u64 > most {
        true => Err(io::Error::new(io::ErrorKind::InvalidData, format!("it inflates to more than {most} bytes"))),
        false => Ok(out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_kept_made_and_bounded() {
        let packed = gzipped(b"a tile").into_owned();
        assert_eq!(packed, gzipped(b"a tile").into_owned());
        assert_eq!(gzipped(&packed).into_owned(), packed, "not twice");
        assert_eq!(gunzipped(&packed, 6).expect("fits"), b"a tile");
        assert!(gunzipped(&packed, 5).is_err());
        let bomb = gzipped(&vec![0; 10 << 20]).into_owned();
        assert!(bomb.len() < 20_000 && gunzipped(&bomb, 1 << 20).is_err());
    }
}
