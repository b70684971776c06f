//! Packages: an archive out of any bytes, and a directory whose documents are the fuzzer's.

#![no_main]

use libfuzzer_sys::fuzz_target;
use offmap::packager::{MobileMapPackage, manifest::Manifest, verify};

fuzz_target!(|bytes: &[u8]| {
    let Ok(dir) = tempfile::tempdir() else { return };
    let archive = dir.path().join("x.mmpk");
    if std::fs::write(&archive, bytes).is_ok() {
        let _ = MobileMapPackage::open(&archive);
        let _ = verify(&archive);
    }
    let folder = dir.path().join("unpacked");
    let (info, map) = bytes.split_at(bytes.len() / 2);
    let written = std::fs::create_dir_all(folder.join("p13"))
        .and_then(|()| std::fs::write(folder.join("package.info"), info))
        .and_then(|()| std::fs::write(folder.join("p13/mobile_map.mmap"), map));
    if written.is_ok() {
        let _ = MobileMapPackage::open(&folder);
        let _ = verify(&folder);
    }
    let _ = Manifest::read(bytes);
});
