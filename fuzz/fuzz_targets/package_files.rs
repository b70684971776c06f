//! A package of the fuzzer's files, as a directory and as an archive: manifest, maps, replicas and tile packages.
//!
//! Files are parted by 0x1e; each is its name, a NUL, and its bytes. A manifest gets its right digest, so that it is believed.

#![no_main]

use libfuzzer_sys::fuzz_target;
use offmap::packager::manifest::{MANIFEST_PATH, Manifest};
use offmap::packager::{MobileMapPackage, write_mmpk};
use offmap::verify_deep;
use std::borrow::Cow;
use std::io::Write as _;
use std::path::{Component, Path};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

fn files(input: &[u8]) -> Vec<(String, Cow<'_, [u8]>)> {
    let parts = input.split(|b| *b == 0x1e).take(20);
    parts
        .filter_map(|part| {
            let at = part.iter().position(|b| *b == 0)?;
            let (name, bytes) = (String::from_utf8_lossy(&part[..at]).into_owned(), &part[at + 1..]);
            let believed = (name == MANIFEST_PATH)
                .then(|| serde_json::from_slice::<Manifest>(bytes).ok()?.to_bytes().ok())
                .flatten();
            Some((name, believed.map_or(Cow::Borrowed(bytes), Cow::Owned)))
        })
        .collect()
}

/// Only what the fuzzer's own writing may touch; the reader gets every name out of the archive.
fn is_inside(name: &str) -> bool {
    let plain = Path::new(name).components().all(|c| matches!(c, Component::Normal(_)));
    plain && !name.is_empty() && name.len() < 200 && name.split('/').all(|part| part.len() < 100)
}

fuzz_target!(|input: &[u8]| {
    let Ok(dir) = tempfile::tempdir() else { return };
    let (package, mmpk) = (dir.path().join("package"), dir.path().join("x.mmpk"));
    let Ok(mut zip) = std::fs::File::create(&mmpk).map(ZipWriter::new) else { return };
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in files(input) {
        if zip.start_file(name.as_str(), stored).is_ok() {
            let _ = zip.write_all(&bytes);
        }
        let path = package.join(&name);
        if is_inside(&name) && path.parent().is_some_and(|parent| std::fs::create_dir_all(parent).is_ok()) {
            let _ = std::fs::write(path, &bytes);
        }
    }
    let _ = zip.finish();
    for path in [&package, &mmpk] {
        let _ = MobileMapPackage::open(path);
        let _ = verify_deep(path);
    }
    let _ = write_mmpk(&package, &dir.path().join("again.mmpk"));
});
