//! A map as a MapLibre style, version 8.
//!
//! MapLibre reads no GeoPackage: a feature layer is drawn from its GeoJSON file. Labels stand above all other layers, as ArcGIS draws
//! them. Lengths are CSS pixels, 96 to the inch; zoom levels are those of tiles of 512 pixels.

mod draw;
mod expression;
mod features;
mod labels;
mod options;
mod sprites;
mod tiles;
mod vector;
mod zoom;

pub use options::{StyleOptions, TileUrls};
pub use sprites::Sprites;
pub use zoom::{SCALE_AT_ZOOM_0, zoom_of_scale};

use super::approximation::{Approximation, Report};
use super::data_source::{GeometryKind, VectorSource};
use super::label::Label;
use super::map::{Features, Inherited, Layer, LayerContent, Map};
use serde_json::{Map as Object, Value, json};

/// A style, the images that it refers to, and what of the map it shows more simply.
#[derive(Clone, Debug)]
pub struct Style {
    /// The style's JSON.
    pub json: Value,
    /// Its own sprite sheet. Those of vector tile layers stay where they are.
    pub sprites: Sprites,
    /// What reading the map and writing the style simplified.
    pub approximations: Vec<Approximation>,
}

/// Writes a map as a MapLibre style.
pub fn style(map: &Map, options: &StyleOptions) -> Style {
    let glyphs = options.glyphs.clone().or_else(|| vector_sources(map).iter().find_map(|tiles| tiles.glyphs.clone()));
    let mut writer = Writer {
        options,
        font: options.font.clone().or_else(|| glyphs.as_ref().map(|_| first_font(map))),
        glyphs,
        sources: Object::new(),
        layers: Vec::new(),
        labels: Vec::new(),
        sheets: Vec::new(),
        sprites: Sprites::default(),
        approximations: map.approximations.clone(),
    };
    map.each_drawn(&mut |layer, inherited| writer.layer(layer, inherited));
    writer.finish(map)
}

fn vector_sources(map: &Map) -> Vec<&VectorSource> {
    fn walk<'a>(layers: &'a [Layer], all: &mut Vec<&'a VectorSource>) {
        for layer in layers {
            match &layer.content {
                LayerContent::VectorTiles(tiles) => all.push(tiles),
                LayerContent::Group { layers, .. } => walk(layers, all),
                LayerContent::Features(_) | LayerContent::RasterTiles(_) => {}
            }
        }
    }
    let mut all = Vec::new();
    walk(&map.layers, &mut all);
    all
}

/// The first font that a vector tile layer names: the folder's glyphs hold it.
fn first_font(map: &Map) -> String {
    let tiles = vector_sources(map);
    let layers = tiles.iter().filter_map(|tiles| tiles.style.get("layers")?.as_array()).flatten();
    let mut fonts = layers.filter_map(|layer| layer.get("layout")?.get("text-font")?.get(0)?.as_str());
    fonts.next().unwrap_or("Noto Sans Regular").to_owned()
}

struct Writer<'a> {
    options: &'a StyleOptions,
    font: Option<String>,
    glyphs: Option<String>,
    sources: Object<String, Value>,
    layers: Vec<Value>,
    labels: Vec<Value>,
    sheets: Vec<Value>,
    sprites: Sprites,
    approximations: Vec<Approximation>,
}

impl Writer<'_> {
    fn layer(&mut self, layer: &Layer, inherited: Inherited) {
        match &layer.content {
            LayerContent::Features(features) => self.features(layer, inherited, features),
            LayerContent::RasterTiles(tiles) => {
                let mut report = Report::new(&layer.title, &mut self.approximations);
                if let Some((source, made)) = tiles::raster(layer, inherited, tiles, self.options, &mut report) {
                    self.sources.insert(layer.id.clone(), source);
                    self.layers.push(made);
                }
            }
            LayerContent::VectorTiles(tiles) => self.vector_tiles(layer, inherited, tiles),
            // The caller descends into groups.
            LayerContent::Group { .. } => {}
        }
    }

    fn features(&mut self, layer: &Layer, inherited: Inherited, features: &Features) {
        let mut report = Report::new(&layer.title, &mut self.approximations);
        if features.source.geometry == GeometryKind::None {
            return;
        }
        let Some(geojson) = &features.source.geojson else {
            report.approximate("features without a GeoJSON file", "nothing");
            return;
        };
        let mut source = json!({"type": "geojson", "data": format!("{}{geojson}", self.options.base)});
        if let Some(attribution) = &features.source.attribution {
            source["attribution"] = json!(attribution);
        }
        self.sources.insert(layer.id.clone(), source);
        self.layers.extend(features::layers(layer, inherited, features, &mut self.sprites, &mut report));
        let of_author = |label: &Label| {
            let style = match (label.symbol.bold, label.symbol.italic) {
                (true, true) => " Bold Italic",
                (true, false) => " Bold",
                (false, true) => " Italic",
                (false, false) => " Regular",
            };
            format!("{}{style}", label.symbol.family)
        };
        let font = |label: &Label| vec![self.font.clone().unwrap_or_else(|| of_author(label))];
        let points = features.source.label_points.as_ref().filter(|_| !features.labels.is_empty());
        let points = points.map(|points| (format!("{}/labels", layer.id), points));
        if let Some((id, points)) = &points {
            let data = format!("{}{points}", self.options.base);
            self.sources.insert(id.clone(), json!({"type": "geojson", "data": data}));
        }
        let points = points.as_ref().map(|(id, _)| id.as_str());
        self.labels.extend(labels::layers((layer, points), inherited, features, &font, &mut report));
    }

    fn vector_tiles(&mut self, layer: &Layer, inherited: Inherited, tiles: &VectorSource) {
        let mut report = Report::new(&layer.title, &mut self.approximations);
        if tiles.glyphs.is_some() && tiles.glyphs != self.glyphs {
            report.approximate("its own glyphs", "texts with the glyphs of the map");
        }
        if let Some(merged) = vector::merge(layer, inherited, tiles, self.options, &mut report) {
            self.sources.extend(merged.sources);
            self.layers.extend(merged.layers);
            self.sheets.extend(merged.sprite.map(|(id, url)| json!({"id": id, "url": url})));
        }
    }

    /// The sheets of images: a URL where there is but the style's own, which every reader takes, else a list.
    fn sprite(&mut self) -> Option<Value> {
        let name = if self.options.sprite.is_empty() { "sprite" } else { &self.options.sprite };
        let own = (!self.sprites.is_empty()).then(|| format!("{}{name}", self.options.base));
        match own {
            Some(own) if self.sheets.is_empty() => Some(json!(own)),
            Some(own) => {
                // Images of the sheet with this id need no prefix.
                self.sheets.insert(0, json!({"id": "default", "url": own}));
                Some(Value::Array(std::mem::take(&mut self.sheets)))
            }
            None if self.sheets.is_empty() => None,
            None => Some(Value::Array(std::mem::take(&mut self.sheets))),
        }
    }

    fn finish(mut self, map: &Map) -> Style {
        let mut style = Object::new();
        style.insert("version".into(), json!(8));
        style.insert("name".into(), json!(map.title));
        if let Some([west, south, east, north]) = map.extent {
            style.insert("center".into(), json!([(west + east) / 2.0, (south + north) / 2.0]));
            style.insert("zoom".into(), json!(zoom_of_extent([west, south, east, north])));
        }
        if let Some(glyphs) = &self.glyphs {
            style.insert("glyphs".into(), json!(format!("{}{glyphs}", self.options.base)));
        }
        if let Some(sprite) = self.sprite() {
            style.insert("sprite".into(), sprite);
        }
        style.insert("sources".into(), Value::Object(self.sources));
        style.insert("layers".into(), self.layers.into_iter().chain(self.labels).collect());
        Style { json: Value::Object(style), sprites: self.sprites, approximations: self.approximations }
    }
}

/// The zoom at which an extent fills a window of 800 by 600 pixels.
fn zoom_of_extent([west, south, east, north]: [f64; 4]) -> f64 {
    let mercator = |latitude: f64| latitude.clamp(-85.0, 85.0).to_radians().tan().asinh() / std::f64::consts::TAU;
    let (width, height) = ((east - west).abs() / 360.0, mercator(north) - mercator(south));
    let fits = |pixels: f64, part: f64| (pixels / 512.0 / part.max(1e-6)).log2();
    let zoom = fits(800.0, width).min(fits(600.0, height.abs()));
    (zoom.clamp(0.0, 22.0) * 100.0).floor() / 100.0
}
