//! Files of tiles out of any bytes, read by whatever reader their first bytes ask for; and PMTiles whose header is right and whose
//! directories, metadata and tiles are the fuzzer's. Each is also judged as a container of a layer.

#![no_main]

use libfuzzer_sys::fuzz_target;
use offmap::formats::containers::Reading;
use offmap::formats::open_containers::OpenTilesReader;
use offmap::formats::{ContainerReader as _, TileId, TileVisitor, convert};
use offmap::model::Failure;
use tokio_util::sync::CancellationToken;

/// Takes some tiles and then no more.
struct Few(u32);

impl TileVisitor for Few {
    fn wants(&mut self, _: TileId) -> Result<bool, Failure> {
        self.0 = self.0.checked_sub(1).ok_or_else(Failure::cancelled)?;
        Ok(self.0 % 3 != 0)
    }

    fn visit(&mut self, places: &[TileId], bytes: &[u8]) -> Result<(), Failure> {
        assert!(!places.is_empty() && !bytes.is_empty());
        Ok(())
    }
}

fn read(bytes: &[u8]) {
    let Ok(dir) = tempfile::tempdir() else { return };
    let path = dir.path().join("x");
    if std::fs::write(&path, bytes).is_err() {
        return;
    }
    let reading = Reading { cancel: &CancellationToken::new(), report: &|_| () };
    let _ = OpenTilesReader.read(&path, &reading);
    if let Ok(mut reader) = convert::open_reader(&path, &CancellationToken::new()) {
        let _ = reader.for_each_tile(&mut Few(10_000));
        let _ = reader.for_each_resource(&mut |_, _| Ok(()));
    }
}

/// Root, leaves, metadata and tiles are parted by the fuzzer's first bytes.
fn pmtiles(input: &[u8]) -> Option<Vec<u8>> {
    let (head, body) = input.split_at_checked(8)?;
    let mut bytes = b"PMTiles\x03".to_vec();
    let (mut at, mut left) = (0_u64, body.len() as u64);
    for share in head.iter().take(4) {
        let length = left * u64::from(*share) / 255;
        bytes.extend((127 + at).to_le_bytes());
        bytes.extend(length.to_le_bytes());
        (at, left) = (at + length, left - length);
    }
    bytes.extend([0; 24]);
    bytes.extend([1, head[4] % 3, head[5] % 5, head[6] % 7, 0, head[7] % 33]);
    bytes.resize(127, 0);
    bytes.extend_from_slice(body);
    Some(bytes)
}

fuzz_target!(|input: &[u8]| {
    read(input);
    if let Some(bytes) = pmtiles(input) {
        read(&bytes);
    }
});
