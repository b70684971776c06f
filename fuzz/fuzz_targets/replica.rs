//! A geodatabase out of any bytes, and one whose pages behind the head are the fuzzer's.

#![no_main]

use libfuzzer_sys::fuzz_target;
use offmap::exporters::geodatabase;
use tokio_util::sync::CancellationToken;

fuzz_target!(|bytes: &[u8]| {
    let Ok(dir) = tempfile::tempdir() else { return };
    let path = dir.path().join("x.geodatabase");
    let mut replica = bytes.to_vec();
    // Whatever else is changed, SQLite begins to read it.
    for (place, byte) in replica.iter_mut().zip(b"SQLite format 3\0") {
        *place = *byte;
    }
    if std::fs::write(&path, replica).is_ok() {
        let _ = geodatabase::rows(&path, &CancellationToken::new());
    }
});
