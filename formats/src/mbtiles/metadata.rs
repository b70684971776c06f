//! The table `metadata`: names and values, all of them text (MBTiles 1.3, "Metadata").

use crate::foreign_sqlite::{ForeignSqlite, quoted};
use crate::tile_set::{TileCompression, TileFormat, TileSetInfo};
use crate::tiles::{LISTED_ZOOM, web_mercator_scheme};
use offmap_model::{Envelope, Failure, SpatialReference, json};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Bytes of a value that is read, rows, and memory that the one in JSON may need.
const LONGEST_VALUE: i64 = 16 << 20;
const MOST_ROWS: u32 = 1_000;
const JSON_MEMORY: u64 = 64 << 20;
/// Says how large tiles are where that is not what their format lets expect; other readers pass it over.
const TILE_SIZE: &str = "tile_size";

/// The word for a format; `None` for one that has none.
pub(super) fn word_of(format: TileFormat) -> Option<&'static str> {
    match format {
        TileFormat::Png => Some("png"),
        TileFormat::Jpeg => Some("jpg"),
        TileFormat::WebP => Some("webp"),
        TileFormat::Avif => Some("image/avif"),
        TileFormat::Mvt => Some("pbf"),
        TileFormat::Lerc | TileFormat::Mixed => None,
    }
}

fn format_of(word: &str) -> Option<TileFormat> {
    match word.to_ascii_lowercase().as_str() {
        "png" | "image/png" => Some(TileFormat::Png),
        "jpg" | "jpeg" | "image/jpeg" => Some(TileFormat::Jpeg),
        "webp" | "image/webp" => Some(TileFormat::WebP),
        "avif" | "image/avif" => Some(TileFormat::Avif),
        "pbf" | "mvt" | "application/vnd.mapbox-vector-tile" | "application/x-protobuf" => Some(TileFormat::Mvt),
        _ => None,
    }
}

/// All rows; of a name that comes twice the first.
pub(super) fn rows(file: &ForeignSqlite) -> Result<BTreeMap<String, String>, Failure> {
    let failed = |e| file.failure(e);
    let tables = file.tables()?;
    let Some(table) = tables.get("metadata") else { return Ok(BTreeMap::new()) };
    let columns = file.columns(table)?;
    if !["name", "value"].iter().all(|name| columns.iter().any(|c| c == name)) {
        return Ok(BTreeMap::new());
    }
    let sql = format!(
        "SELECT CAST(name AS TEXT), CAST(value AS TEXT) FROM {} WHERE length(value) <= {LONGEST_VALUE} AND length(name) <= 256
         LIMIT {MOST_ROWS}",
        quoted(table)
    );
    let mut statement = file.connection.prepare(&sql).map_err(failed)?;
    let mut found = statement.query([]).map_err(failed)?;
    let mut rows = BTreeMap::new();
    while let Some(row) = found.next().map_err(failed)? {
        let (name, value): (Option<String>, Option<String>) = (row.get(0).map_err(failed)?, row.get(1).map_err(failed)?);
        if let (Some(name), Some(value)) = (name, value) {
            rows.entry(name).or_insert(value);
        }
    }
    Ok(rows)
}

/// What the rows say of the set; `first` is its first tile, which says more than a word. What they say of zooms is not taken: it is
/// often wrong (tile reference §17).
pub(super) fn read(rows: &BTreeMap<String, String>, first: &[u8], zooms: (u8, u8)) -> Option<TileSetInfo> {
    let text = |key: &str| rows.get(key).filter(|text| !text.is_empty()).cloned();
    let said = rows.get("format").and_then(|word| format_of(word));
    let format = match said {
        Some(TileFormat::Mvt) => TileFormat::Mvt,
        said => TileFormat::of_image(first).or(said)?,
    };
    let usual = if format.is_vector() { 512 } else { 256 };
    let size = rows.get(TILE_SIZE).and_then(|size| size.parse().ok()).filter(|size| [256, 512].contains(size));
    let mut info = TileSetInfo::new(web_mercator_scheme(size.unwrap_or(usual), zooms.1.max(LISTED_ZOOM)), format);
    // No row says it (tile reference §17).
    info.compression = TileCompression::Each;
    info.levels = Some((u32::from(zooms.0), u32::from(zooms.1)));
    info.name = text("name");
    info.description = text("description");
    info.attribution = text("attribution");
    info.bounds = rows.get("bounds").and_then(|text| bounds(text));
    let vector = rows.get("json").and_then(|text| json::read::<Map<String, Value>>(text.as_bytes(), JSON_MEMORY).ok());
    info.vector =
        vector.unwrap_or_default().into_iter().filter(|(key, _)| key == "vector_layers" || key == "tilestats").collect();
    Some(info)
}

/// West, south, east, north.
fn bounds(text: &str) -> Option<Envelope> {
    let numbers: Vec<f64> = text.split(',').filter_map(|n| n.trim().parse().ok()).collect();
    let [xmin, ymin, xmax, ymax] = numbers.try_into().ok()?;
    let is_box = xmin < xmax && ymin < ymax && [xmin, ymin, xmax, ymax].iter().all(|n: &f64| n.is_finite());
    let is_world = ymin >= -90.0 && ymax <= 90.0 && xmin >= -360.0 && xmax <= 360.0;
    (is_box && is_world).then(|| Envelope { xmin, ymin, xmax, ymax, spatial_reference: Some(SpatialReference::wgs84()) })
}

/// The rows that say what is in a file, in the order in which they are written.
pub(super) fn write(
    info: &TileSetInfo,
    name: &str,
    format: &str,
    zooms: (u8, u8),
    bounds: Option<[f64; 4]>,
) -> Vec<(&'static str, String)> {
    let mut rows = vec![
        ("name", info.name.clone().unwrap_or_else(|| name.to_owned())),
        ("format", format.to_owned()),
        ("type", if info.format.is_vector() { "overlay" } else { "baselayer" }.to_owned()),
        ("version", "1".to_owned()),
        ("minzoom", zooms.0.to_string()),
        ("maxzoom", zooms.1.to_string()),
    ];
    if let Some([west, south, east, north]) = bounds {
        let (x, y) = (f64::midpoint(west, east), f64::midpoint(south, north));
        rows.push(("bounds", format!("{west:.7},{south:.7},{east:.7},{north:.7}")));
        rows.push(("center", format!("{x:.7},{y:.7},{}", zooms.0)));
    }
    for (key, text) in [("description", &info.description), ("attribution", &info.attribution)] {
        rows.extend(text.clone().map(|text| (key, text)));
    }
    if info.format.is_vector() {
        let mut json = info.vector.clone();
        json.entry("vector_layers").or_insert_with(|| Value::Array(Vec::new()));
        rows.push(("json", Value::Object(json).to_string()));
    } else if info.scheme.cols != 256 {
        rows.push((TILE_SIZE, info.scheme.cols.to_string()));
    }
    rows
}
