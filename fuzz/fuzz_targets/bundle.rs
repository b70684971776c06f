//! Bundles of both versions out of any bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use offmap::exporters::compact_cache::{bundle_origin, read_v1, read_v2};
use std::io::Cursor;

/// Bytes of a V2 bundle before its tiles, and of a V1 index.
const V2_HEAD: usize = 64 + 8 * 16_384;
const V1_INDEX: usize = 81_952;

/// A head whose first bytes and some records are the fuzzer's.
fn grown(bytes: &[u8], size: usize) -> Vec<u8> {
    let mut all = vec![0; size];
    for (i, byte) in bytes.iter().enumerate() {
        // Spread over the head, so that records far behind are reached.
        if let Some(place) = all.get_mut((i * 61) % size) {
            *place = *byte;
        }
    }
    all
}

fuzz_target!(|bytes: &[u8]| {
    let _ = bundle_origin(&String::from_utf8_lossy(bytes));
    let _ = read_v2(bytes, bytes.len() as u64, (0, 0));
    let mut head = grown(bytes, V2_HEAD);
    for (at, byte) in [(0, 3), (12, 5), (32, 40), (62, 2)] {
        head[at] = byte;
    }
    let _ = read_v2(head.as_slice(), bytes.len() as u64, (128, 256));
    let _ = read_v1(grown(bytes, V1_INDEX).as_slice(), Cursor::new(bytes), bytes.len() as u64, (0, 128));
});
