//! Archives out of any bytes, opened as a tile package and as a mobile map package.

#![no_main]

use libfuzzer_sys::fuzz_target;
use offmap::formats::tile_package;
use offmap::packager::{MobileMapPackage, verify};
use tokio_util::sync::CancellationToken;

fuzz_target!(|bytes: &[u8]| {
    let Ok(dir) = tempfile::tempdir() else { return };
    let (tiles, map) = (dir.path().join("x.tpkx"), dir.path().join("x.mmpk"));
    if std::fs::write(&tiles, bytes).and_then(|()| std::fs::write(&map, bytes)).is_err() {
        return;
    }
    let _ = tile_package::open(&tiles);
    let _ = tile_package::check_tiles(&tiles, &CancellationToken::new());
    let _ = MobileMapPackage::open(&map);
    let _ = verify(&map);
});
