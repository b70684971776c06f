//! The features of a geodatabase and of a GeoPackage out of any bytes, with attachments and relationships; what is read of a GeoPackage
//! is written into a geodatabase.

#![no_main]

use libfuzzer_sys::fuzz_target;
use offmap::formats::ContainerReader as _;
use offmap::formats::containers::Reading;
use offmap::formats::features::{CopyOptions, FeatureReader, FeatureSink, copy_features};
use offmap::formats::geodatabase::{Geodatabase, GeodatabaseOptions, GeodatabaseSink};
use offmap::formats::geopackage::GeoPackage;
use offmap::formats::open_containers::GeoPackageReader;
use tokio_util::sync::CancellationToken;

fn read_all(reader: &dyn FeatureReader) {
    for layer in 0..reader.layers().len() {
        let _ = reader.read_features(layer, None, &mut |_| Ok(()));
        let _ = reader.read_attachments(layer, Some(0), &mut |_, bytes| {
            let _ = std::io::copy(bytes, &mut std::io::sink());
            Ok(())
        });
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(dir) = tempfile::tempdir() else { return };
    let path = dir.path().join("x.gpkg");
    let mut file = bytes.to_vec();
    // Whatever else is changed, SQLite begins to read it.
    for (place, byte) in file.iter_mut().zip(b"SQLite format 3\0") {
        *place = *byte;
    }
    if std::fs::write(&path, file).is_err() {
        return;
    }
    let cancel = CancellationToken::new();
    if let Ok(reader) = Geodatabase::open(&path, &cancel) {
        read_all(&reader);
    }
    let _ = GeoPackageReader.read(&path, &Reading { cancel: &cancel, report: &|_| () });
    if let Ok(reader) = GeoPackage::open(&path, &cancel) {
        read_all(&reader);
        let to = dir.path().join("y.geodatabase");
        let Ok(mut sink) = GeodatabaseSink::create(&to, &GeodatabaseOptions::default()) else { return };
        if copy_features(&reader, &mut sink, &CopyOptions::default()).is_ok() {
            let _ = sink.finish_file();
        }
    }
});
