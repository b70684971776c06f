//! Where the data of a layer lie in the open folder. All paths are relative to the folder and use `/`.

use serde_json::Value;

/// The data of a layer.
#[derive(Clone, Debug, PartialEq)]
pub enum DataSource {
    /// Features or the rows of a table.
    Features(FeatureSource),
    /// A raster tile layer.
    RasterTiles(RasterSource),
    /// A vector tile layer.
    VectorTiles(Box<VectorSource>),
}

/// A table of a GeoPackage, and the same features for MapLibre, which reads no GeoPackage.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureSource {
    /// The GeoPackage.
    pub geopackage: String,
    /// The name of its table.
    pub table: String,
    /// What its features are.
    pub geometry: GeometryKind,
    /// The features as GeoJSON in WGS 84; none where there is no such file, so that MapLibre does not show the layer.
    pub geojson: Option<String>,
    /// The features as points at which their labels stand, as GeoJSON: MapLibre itself labels each part of an area in each tile.
    pub label_points: Option<String>,
    /// The EPSG code of the table's coordinates.
    pub wkid: Option<u32>,
    /// Whom to thank.
    pub attribution: Option<String>,
}

/// What the features of a layer are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GeometryKind {
    /// Points or multipoints.
    Point,
    /// Lines.
    Line,
    /// Polygons.
    Polygon,
    /// None: a table.
    None,
}

/// The files of a tile layer; a layer may lie in the folder in both forms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TileFiles {
    /// A PMTiles archive.
    pub pmtiles: Option<String>,
    /// An MBTiles database.
    pub mbtiles: Option<String>,
}

/// Raster tiles in Web Mercator.
#[derive(Clone, Debug, PartialEq)]
pub struct RasterSource {
    /// Its files.
    pub files: TileFiles,
    /// Pixels of a tile's side.
    pub tile_size: u32,
    /// The first and last level that the file has.
    pub levels: Option<(u8, u8)>,
    /// Whom to thank.
    pub attribution: Option<String>,
}

/// Vector tiles in Web Mercator, with the style that came with them.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorSource {
    /// Its files.
    pub files: TileFiles,
    /// The first and last level that the file has.
    pub levels: Option<(u8, u8)>,
    /// The layer's own style (`root.json`).
    pub style: Value,
    /// The sprite sheet without its ending: `basemap/sprites/sprite`.
    pub sprite: Option<String>,
    /// The template of the glyphs: `basemap/fonts/{fontstack}/{range}.pbf`.
    pub glyphs: Option<String>,
    /// Whom to thank.
    pub attribution: Option<String>,
}
