//! Tile packages: a zip out of any bytes, and a good zip whose documents are the fuzzer's.

#![no_main]

use libfuzzer_sys::fuzz_target;
use offmap::exporters::tile_package;

fuzz_target!(|bytes: &[u8]| {
    let Ok(dir) = tempfile::tempdir() else { return };
    let path = dir.path().join("x.tpkx");
    if std::fs::write(&path, bytes).is_ok() {
        let _ = tile_package::open(&path);
        let _ = tile_package::check_tiles(&path);
    }
});
