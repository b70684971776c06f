//! Bundles of both versions, and packages whose tilemap, description and bundle names are the fuzzer's.

#![no_main]

use libfuzzer_sys::fuzz_target;
use offmap::formats::compact_cache::{bundle_origin, read_v1, read_v2};
use offmap::formats::tile_package;
use std::io::{Cursor, Write as _};
use tokio_util::sync::CancellationToken;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

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

/// A package of these entries, opened and its tiles read.
fn read_package(name: &str, entries: &[(&str, &[u8])]) -> Option<()> {
    let dir = tempfile::tempdir().ok()?;
    let path = dir.path().join(name);
    let mut zip = ZipWriter::new(std::fs::File::create(&path).ok()?);
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (entry, bytes) in entries {
        zip.start_file(*entry, stored).ok()?;
        zip.write_all(bytes).ok()?;
    }
    zip.finish().ok()?;
    let _ = tile_package::open(&path);
    let _ = tile_package::check_tiles(&path, &CancellationToken::new());
    Some(())
}

fuzz_target!(|input: &[u8]| {
    // A bundle's name, a document and a bundle's bytes, parted by NUL.
    let mut parts = input.splitn(3, |b| *b == 0);
    let mut next = || parts.next().unwrap_or_default();
    let (bundle_name, json, bytes) = (next(), next(), next());
    let bundle_name = &*String::from_utf8_lossy(bundle_name);
    let _ = bundle_origin(bundle_name);
    let _ = read_v2(bytes, bytes.len() as u64, (0, 0));
    let mut head = grown(bytes, V2_HEAD);
    for (at, byte) in
        [(0, 3), (1, 0), (2, 0), (3, 0), (12, 5), (13, 0), (14, 0), (15, 0), (32, 40), (60, 0), (61, 0), (62, 2), (63, 0)]
    {
        head[at] = byte;
    }
    head[33..40].fill(0);
    let _ = read_v2(head.as_slice(), bytes.len() as u64, (128, 256));
    let index = grown(bytes, V1_INDEX);
    let _ = read_v1(index.as_slice(), Cursor::new(bytes), bytes.len() as u64, (0, 128));
    let name = format!("tile/{bundle_name}.bundle");
    read_package("x.tpkx", &[("root.json", json), (name.as_str(), head.as_slice())]);
    let name = format!("p12/tile/{bundle_name}.bundle");
    read_package("x.vtpk", &[("p12/root.json", b"{}"), ("p12/tilemap/root.json", json), (name.as_str(), head.as_slice())]);
    let (name, index_name) = (format!("v/{bundle_name}.bundle"), format!("v/{bundle_name}.bundlx"));
    read_package("x.tpk", &[("v/conf.xml", json), (name.as_str(), bytes), (index_name.as_str(), index.as_slice())]);
});
