//! Writes the layers of a mobile geodatabase into a GeoPackage: `geodatabase_to_geopackage IN.geodatabase OUT.gpkg`.
//!
//! What was written before the process was killed is kept: run it again with the same words and it goes on.

use offmap_formats::features::{CopyOptions, FeatureReader, FeatureSink, copy_features};
use offmap_formats::geodatabase::Geodatabase;
use offmap_formats::geopackage::{GeoPackageOptions, GeoPackageSink};
use std::path::PathBuf;
use tokio_util::sync::CancellationToken;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(from), Some(to), None) = (words.next(), words.next(), words.next()) else {
        return Err("usage: geodatabase_to_geopackage IN.geodatabase OUT.gpkg".into());
    };
    let reader = Geodatabase::open(&from, &CancellationToken::new())?;
    let mut sink = GeoPackageSink::resume(&to, &GeoPackageOptions::default())?;
    let copied = copy_features(&reader, &mut sink, &CopyOptions::default())?;
    sink.finish_file()?;
    for layer in &copied.layers {
        println!("{}: {} features, {} attachments", layer.layer, layer.features, layer.attachments);
    }
    for refused in reader.refused_layers() {
        println!("not read: {}", refused.reason);
    }
    for what in &copied.left_out {
        println!("not written: {what}");
    }
    println!("{} layers and tables of {}", copied.layers.len(), reader.layers().len() + reader.refused_layers().len());
    Ok(())
}
