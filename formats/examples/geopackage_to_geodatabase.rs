//! Makes a mobile geodatabase of a GeoPackage.
//!
//! Usage: `geopackage_to_geodatabase IN.gpkg OUT.geodatabase`

use offmap_formats::features::{CopyOptions, FeatureSink as _, copy_features};
use offmap_formats::geodatabase::{GeodatabaseOptions, GeodatabaseSink};
use offmap_formats::geopackage::GeoPackage;
use std::path::PathBuf;
use tokio_util::sync::CancellationToken;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [from, to] = paths.as_slice() else {
        return Err("usage: geopackage_to_geodatabase IN.gpkg OUT.geodatabase".into());
    };
    let reader = GeoPackage::open(from, &CancellationToken::new())?;
    let mut sink = GeodatabaseSink::create(to, &GeodatabaseOptions::default())?;
    let copied = copy_features(&reader, &mut sink, &CopyOptions::default())?;
    sink.finish_file()?;
    for layer in &copied.layers {
        println!("{}: {} rows, {} attachments", layer.layer, layer.features, layer.attachments);
    }
    copied.left_out.iter().for_each(|what| println!("left out: {what}"));
    Ok(())
}
