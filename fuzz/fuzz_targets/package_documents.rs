//! `package.info`, a map's `.mmap` and offmap's manifest, in a directory that is otherwise good.

#![no_main]

use libfuzzer_sys::fuzz_target;
use offmap::packager::{MobileMapPackage, manifest::Manifest, verify};

fuzz_target!(|bytes: &[u8]| {
    // The two documents lie on both sides of the first NUL.
    let mut parts = bytes.splitn(2, |b| *b == 0);
    let (info, map) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let Ok(dir) = tempfile::tempdir() else { return };
    let folder = dir.path().join("unpacked");
    let written = std::fs::create_dir_all(folder.join("p13"))
        .and_then(|()| std::fs::write(folder.join("package.info"), info))
        .and_then(|()| std::fs::write(folder.join("p13/mobile_map.mmap"), map));
    if written.is_err() {
        return;
    }
    let _ = MobileMapPackage::open(&folder);
    let _ = verify(&folder);
    // The same map where the description is in order, so that every input reaches the reader of maps.
    if std::fs::write(folder.join("package.info"), r#"{"maps":["mobile_map"]}"#).is_ok() {
        let _ = MobileMapPackage::open(&folder);
        let _ = verify(&folder);
    }
    let _ = Manifest::read(map);
});
