//! Raster tile layers, and what raster and vector tile sources have in common.

use super::expression::number;
use super::options::{StyleOptions, TileUrls};
use super::zoom;
use crate::cartography::approximation::Report;
use crate::cartography::data_source::{RasterSource, TileFiles};
use crate::cartography::map::{Inherited, Layer};
use serde_json::{Map as Object, Value, json};

/// A source of tiles; none, and reported, where the file is not there in the chosen form.
pub(crate) fn source(
    kind: &str,
    files: &TileFiles,
    levels: Option<(u8, u8)>,
    attribution: Option<&str>,
    options: &StyleOptions,
    report: &mut Report<'_>,
) -> Option<Object<String, Value>> {
    let (scheme, file) = match options.tiles {
        TileUrls::PmTiles => ("pmtiles", &files.pmtiles),
        TileUrls::MbTiles => ("mbtiles", &files.mbtiles),
    };
    let Some(file) = file else {
        report.approximate(format!("tiles that are not in the folder as {scheme}"), "nothing");
        return None;
    };
    let mut source = Object::new();
    source.insert("type".into(), json!(kind));
    source.insert("url".into(), json!(format!("{scheme}://{}{file}", options.base)));
    if let Some((least, most)) = levels {
        source.insert("minzoom".into(), json!(least));
        source.insert("maxzoom".into(), json!(most));
    }
    if let Some(attribution) = attribution {
        source.insert("attribution".into(), json!(attribution));
    }
    Some(source)
}

/// The source and the layer of raster tiles.
pub(crate) fn raster(
    layer: &Layer,
    inherited: Inherited,
    tiles: &RasterSource,
    options: &StyleOptions,
    report: &mut Report<'_>,
) -> Option<(Value, Value)> {
    let mut source = source("raster", &tiles.files, tiles.levels, tiles.attribution.as_deref(), options, report)?;
    source.insert("tileSize".into(), json!(tiles.tile_size));
    let mut made = Object::new();
    made.insert("id".into(), json!(layer.id));
    made.insert("type".into(), json!("raster"));
    made.insert("metadata".into(), json!({"layer": layer.id, "title": layer.title}));
    made.insert("source".into(), json!(layer.id));
    if inherited.opacity < 1.0 {
        made.insert("paint".into(), json!({"raster-opacity": number(inherited.opacity)}));
    }
    zoom::limit_inherited(&mut made, inherited);
    Some((Value::Object(source), Value::Object(made)))
}
