//! Formats by the endings of names.

use offmap_model::Failure;
use std::path::Path;

/// What a file that is written is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    Tiles,
    GeoPackage,
    Geodatabase,
    GeoJson,
    #[cfg(feature = "geoparquet")]
    GeoParquet,
}

/// Endings that are written, without dot.
const WRITTEN: &[(&str, Written)] = &[
    ("tpkx", Written::Tiles),
    ("vtpk", Written::Tiles),
    ("mbtiles", Written::Tiles),
    ("pmtiles", Written::Tiles),
    ("gpkg", Written::GeoPackage),
    ("geodatabase", Written::Geodatabase),
    ("geojsons", Written::GeoJson),
    ("geojsonl", Written::GeoJson),
    #[cfg(feature = "geoparquet")]
    ("parquet", Written::GeoParquet),
];

/// The ending of a name in lower case, without dot.
pub(super) fn ending(path: &Path) -> String {
    path.extension().unwrap_or_default().to_string_lossy().to_lowercase()
}

fn listed(wanted: impl Fn(Written) -> bool) -> String {
    let names = WRITTEN.iter().filter(|(_, written)| wanted(*written));
    names.map(|(name, _)| format!(".{name}")).collect::<Vec<_>>().join(", ")
}

/// The endings of files of tiles.
pub(super) fn of_tiles() -> String {
    listed(|written| written == Written::Tiles)
}

/// The endings of files of features.
pub(super) fn of_features() -> String {
    listed(|written| written != Written::Tiles)
}

/// Whether a file of this name holds one layer and no more.
pub(super) fn holds_one_layer(path: &Path) -> bool {
    ending(path) == "parquet"
}

/// What is written to a name.
pub(super) fn of_destination(path: &Path) -> Result<Written, Failure> {
    let ending = ending(path);
    if let Some((_, written)) = WRITTEN.iter().find(|(name, _)| *name == ending) {
        return Ok(*written);
    }
    let why = match ending.as_str() {
        "" => "has no ending".to_owned(),
        "tpk" => format!("would be a .{ending}, which is read and not written"),
        #[cfg(not(feature = "geoparquet"))]
        "parquet" => "would be a .parquet, which needs the feature `geoparquet`".to_owned(),
        _ => format!("ends with .{ending}, which is not written"),
    };
    let (tiles, features) = (of_tiles(), of_features());
    Err(Failure::invalid_parameter(format!("{} {why}; tiles become {tiles}, features {features}", path.display())))
}
