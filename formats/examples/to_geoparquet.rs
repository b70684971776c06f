//! Writes each layer of a geodatabase or GeoPackage into a GeoParquet file of its own.
//!
//! Usage: `to_geoparquet FILE DIRECTORY`

#[cfg(feature = "geoparquet")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    use offmap_formats::features::{Feature, FeatureReader, FeatureSink as _};
    use offmap_formats::geodatabase::Geodatabase;
    use offmap_formats::geopackage::GeoPackage;
    use offmap_formats::geoparquet::GeoParquetSink;
    use std::path::PathBuf;
    use tokio_util::sync::CancellationToken;

    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [from, to] = paths.as_slice() else { return Err("usage: to_geoparquet FILE DIRECTORY".into()) };
    let cancel = CancellationToken::new();
    let file: Box<dyn FeatureReader> = match from.extension().is_some_and(|e| e == "gpkg") {
        true => Box::new(GeoPackage::open(from, &cancel)?),
        false => Box::new(Geodatabase::open(from, &cancel)?),
    };
    for (place, layer) in file.layers().iter().enumerate() {
        let mut sink = GeoParquetSink::create(&to.join(format!("{}.parquet", layer.name)))?;
        sink.begin_layer(layer)?;
        let mut take = |feature: &Feature| sink.put_feature(feature);
        let rows = file.read_features(place, None, &mut take)?;
        let left_out = sink.put_relationships(&[])?;
        sink.finish_file()?;
        println!("{}: {rows} rows; left out: {left_out:?}", layer.name);
    }
    Ok(())
}

#[cfg(not(feature = "geoparquet"))]
fn main() -> std::process::ExitCode {
    eprintln!("build it with --features geoparquet");
    std::process::ExitCode::FAILURE
}
