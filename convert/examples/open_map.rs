//! Writes a MapLibre style with its sprites, and a QGIS project, beside the data of a web map.
//!
//! `open_map MAP.json FOLDER [--mbtiles]`: each layer of `MAP.json` that has data says where they lie in its member `folder`, with the
//! service's description of the layer in `folder.description`. Approximations are printed, one a line.

use offmap_convert::cartography::maplibre::{self, StyleOptions, TileUrls};
use offmap_convert::cartography::{
    DataSource, FeatureSource, LayerSource, Map, RasterSource, TileFiles, VectorSource, geometry_kind, qgis,
};
use serde_json::Value;
use std::error::Error;
use std::path::Path;

/// Where a layer's data lie, from its member `folder`.
fn source(layer: &Value) -> Option<LayerSource> {
    let folder = layer.get("folder")?;
    let text = |key: &str| folder.get(key).and_then(Value::as_str).map(str::to_owned);
    let files = TileFiles { pmtiles: text("pmtiles"), mbtiles: text("mbtiles") };
    let levels = folder.get("levels").and_then(|levels| Some((levels[0].as_u64()? as u8, levels[1].as_u64()? as u8)));
    let data = if let Some(style) = folder.get("style") {
        let (sprite, glyphs) = (text("sprite"), text("glyphs"));
        DataSource::VectorTiles(Box::new(VectorSource {
            files,
            levels,
            style: style.clone(),
            sprite,
            glyphs,
            attribution: None,
        }))
    } else if let Some(geopackage) = text("geopackage") {
        DataSource::Features(FeatureSource {
            geopackage,
            table: text("table")?,
            geometry: geometry_kind(&text("geometry").unwrap_or_default()),
            geojson: text("geojson"),
            label_points: None,
            attribution: None,
            wkid: Some(4326),
        })
    } else {
        DataSource::RasterTiles(RasterSource { files, tile_size: 256, levels, attribution: None })
    };
    Some(LayerSource { data, description: folder.get("description").cloned().unwrap_or(Value::Null) })
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [document, folder, ..] = arguments.as_slice() else { return Err("open_map MAP.json FOLDER [--mbtiles]".into()) };
    let (document, folder): (Value, &Path) = (serde_json::from_slice(&std::fs::read(document)?)?, Path::new(folder));
    let map = Map::from_web_map(&document, &mut source);
    let tiles = if arguments.iter().any(|argument| argument == "--mbtiles") { TileUrls::MbTiles } else { TileUrls::PmTiles };
    let style = maplibre::style(&map, &StyleOptions { tiles, ..StyleOptions::default() });
    std::fs::write(folder.join("style.json"), serde_json::to_vec_pretty(&style.json)?)?;
    for (name, bytes) in style.sprites.files("sprite") {
        std::fs::write(folder.join(name), bytes)?;
    }
    let project = qgis::project(&map);
    std::fs::write(folder.join("map.qgz"), project.qgz("map")?)?;
    for approximation in &style.approximations {
        println!("maplibre: {approximation}");
    }
    for approximation in &project.approximations {
        println!("qgis: {approximation}");
    }
    Ok(())
}
