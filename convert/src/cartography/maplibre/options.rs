//! What a style is to be written for.

/// Choices of a [`style`](super::style).
#[derive(Clone, Debug, Default)]
pub struct StyleOptions {
    /// How tile files are read.
    pub tiles: TileUrls,
    /// What stands before every path: the URL of the folder, with a final `/`, or nothing for paths relative to the page. MapLibre GL JS
    /// takes sprites and glyphs by absolute URL only: a page that loads a style of relative paths completes `sprite` and `glyphs` first.
    pub base: String,
    /// The template of the folder's glyphs, `fonts/{fontstack}/{range}.pbf`. Without, the glyphs of the first vector tile layer are used;
    /// where there are none either, the style has no glyphs: MapLibre GL JS from 5.11 on then draws labels with fonts of the device, MapLibre
    /// Native draws none.
    pub glyphs: Option<String>,
    /// The font of labels, one that the folder's glyphs hold. Without, the first font that a vector tile layer uses; where the style has no
    /// glyphs, the font that the map's author chose.
    pub font: Option<String>,
    /// The name of the sprite sheet without its ending; `sprite` where it is empty.
    pub sprite: String,
}

/// How MapLibre reads tile files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TileUrls {
    /// `pmtiles://`: the protocol of the npm package `pmtiles`, and built into MapLibre Native.
    #[default]
    PmTiles,
    /// `mbtiles://`: MapLibre Native.
    MbTiles,
}
