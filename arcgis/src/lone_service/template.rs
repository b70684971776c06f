//! Templates of tiles, as a web tiled layer of a map has them.
//!
//! `{-y}` is the row counted from the south, as TMS has it. Which of the two kinds tiles are, pictures or vector tiles, the ending of the
//! template says, else its first tile.
//!
//! Source: `web-map-and-offline-api` reference A.4 (WebTiledLayer); XYZ templates are those of MapLibre, QGIS and OpenLayers; OSGeo's Tile
//! Map Service 1.0.0 (rows from the south).

use super::level_scale::LevelScale;
use crate::urls::parse_http;
use offmap_model::failure::without_secrets;
use offmap_model::{AreaOfInterest, Envelope, Failure, SpatialReference, has_sub_domain, with_sub_domain};
use serde_json::{Value, json};

/// Denominator of the scale of level 0 of Web Mercator, with 96 dots an inch.
const FIRST_SCALE: f64 = 591_657_527.591_555;
/// Levels of the scheme.
const LEVELS: u32 = 24;
/// The row counted from the south.
const FROM_SOUTH: &str = "{-y}";
/// Half the width of the world in metres of Web Mercator.
const HALF_WORLD: f64 = 20_037_508.342_787;

/// Pixels of a tile: a picture's, and those that vector tiles are drawn for.
const PIXELS: u32 = 256;
const VECTOR_PIXELS: u32 = 512;

/// A template.
#[derive(Debug)]
pub(super) struct Template {
    /// With `{level}`, `{col}` and `{row}`.
    pub(super) url: String,
    pub(super) title: String,
}

impl Template {
    /// Reads a template with the names of maps or those of XYZ.
    pub(super) fn read(text: &str) -> Result<Self, Failure> {
        let mut url = with_sub_domain(text);
        for (xyz, name) in [("{z}", "{level}"), ("{x}", "{col}"), ("{y}", "{row}")] {
            url = url.replace(xyz, name);
        }
        let shown = without_secrets(text);
        let refused = |what: String| {
            let way = "write it with {z}, {x} and {y} ({-y} for rows from the south), or with {level}, {col} and {row}";
            Err(Failure::invalid_parameter(format!("`{shown}` {what}; {way}")))
        };
        if has_sub_domain(&url) {
            return refused("has a place for names of hosts, which nobody lists here; write one of them in it".to_owned());
        }
        let names = ["{level}", "{col}", if url.contains(FROM_SOUTH) { FROM_SOUTH } else { "{row}" }];
        if let Some(missing) = names.iter().find(|name| !url.contains(**name)) {
            return refused(format!("is a template without `{missing}`"));
        }
        let plain = first_tile(&url);
        if let Some((_, rest)) = plain.split_once('{') {
            let name = rest.split('}').next().unwrap_or_default().escape_debug();
            return refused(format!("has the placeholder `{{{name}}}`, which is not known here"));
        }
        let title = parse_http(&plain)?.host_str().unwrap_or("tiles").to_owned();
        Ok(Self { url, title })
    }

    /// The url of the one tile of level 0.
    pub(super) fn first_tile(&self) -> String {
        first_tile(&self.url)
    }

    /// Whether its tiles are vector tiles, where the url says one or the other.
    pub(super) fn says_vector(&self) -> Option<bool> {
        let lower = self.url.to_ascii_lowercase();
        let path = lower.split(['?', '#']).next().unwrap_or_default();
        let ends = |endings: &[&str]| endings.iter().any(|ending| path.ends_with(ending));
        if ends(&[".pbf", ".mvt"]) {
            return Some(true);
        }
        let is_picture = ends(&[".png", ".jpg", ".jpeg", ".webp", ".avif", ".gif"]);
        let asks_for_picture = lower.contains("image/") || lower.contains("image%2f");
        (is_picture || asks_for_picture).then_some(false)
    }

    /// The layer of a map.
    pub(super) fn layer(&self, is_vector: bool) -> Value {
        let mut layer = json!({"id": "tiles", "title": self.title, "layerType": "WebTiledLayer", "templateUrl": self.url});
        if is_vector && let Some(object) = layer.as_object_mut() {
            object.insert("tileInfo".to_owned(), vector_scheme());
        }
        layer
    }
}

/// A template's url for the one tile of level 0.
fn first_tile(url: &str) -> String {
    ["{level}", "{col}", "{row}", FROM_SOUTH].iter().fold(url.to_owned(), |url, name| url.replace(name, "0"))
}

/// Whether a tile, of which it is only known that it is one, is a vector tile: no picture begins with the first layer of one, or as gzip.
pub(super) fn is_vector_tile(bytes: &[u8]) -> bool {
    const FIRST_LAYER: u8 = 0x1a;
    bytes.first() == Some(&FIRST_LAYER) || bytes.starts_with(&[0x1f, 0x8b])
}

/// The web's scheme for vector tiles, as services describe it.
fn vector_scheme() -> Value {
    let lod = |level: &LevelScale| {
        let resolution = 2.0 * HALF_WORLD / f64::from(VECTOR_PIXELS) / f64::from(level.level).exp2();
        json!({"level": level.level, "resolution": resolution, "scale": level.scale})
    };
    json!({
        "rows": VECTOR_PIXELS,
        "cols": VECTOR_PIXELS,
        "format": "pbf",
        "origin": {"x": -HALF_WORLD, "y": HALF_WORLD},
        "spatialReference": {"wkid": 102_100, "latestWkid": 3857},
        "lods": levels(true).iter().map(lod).collect::<Vec<_>>(),
    })
}

/// The whole world.
pub(super) fn extent() -> AreaOfInterest {
    let reference = SpatialReference::from_wkid(102_100);
    AreaOfInterest::Envelope(Envelope::new(-HALF_WORLD, -HALF_WORLD, HALF_WORLD, HALF_WORLD, reference))
}

/// The levels of Web Mercator, as its tiles are drawn.
pub(super) fn levels(is_vector: bool) -> Vec<LevelScale> {
    let pixels = if is_vector { VECTOR_PIXELS } else { PIXELS };
    let first = FIRST_SCALE * f64::from(PIXELS) / f64::from(pixels);
    let scale = |level: u32| first / f64::from(1_u32 << level);
    (0..LEVELS).map(|level| LevelScale { level, scale: scale(level) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_write_a_template_are_one() {
        let xyz = Template::read("https://t.example/a/{z}/{x}/{y}.png?key=1").expect("a template");
        assert_eq!(xyz.url, "https://t.example/a/{level}/{col}/{row}.png?key=1");
        assert_eq!(xyz.title, "t.example");
        assert_eq!(Template::read(&xyz.url).expect("a template").url, xyz.url);
        for (wrong, word) in [
            ("https://t.example/{z}/{x}.png", "without `{row}`"),
            ("https://t.example/{z}/{-y}.png", "without `{col}`"),
            ("https://{s}.t.example/{z}/{x}/{y}.png", "names of hosts"),
            ("https://{subDomain}.t.example/{z}/{x}/{y}.png", "names of hosts"),
            ("https://t.example/{q}/{z}/{x}/{y}.png", "`{q}`"),
            ("ftp://t.example/{z}/{x}/{y}.png", "http"),
        ] {
            let failure = Template::read(wrong).expect_err(wrong);
            assert!(failure.message.contains(word), "{failure}");
        }
    }

    #[test]
    fn a_template_or_its_first_tile_says_whether_its_tiles_are_vector_tiles() {
        let of = |url: &str| Template::read(url).expect(url);
        for (url, says) in [
            ("https://t.example/{z}/{x}/{y}.pbf?key=a.png", Some(true)),
            ("https://t.example/{z}/{x}/{y}.mvt", Some(true)),
            ("https://t.example/{z}/{x}/{y}@2x.PNG", Some(false)),
            ("https://t.example/wmts?FORMAT=image/jpeg&TILEMATRIX={z}&TILEROW={y}&TILECOL={x}", Some(false)),
            ("https://t.example/tiles/{z}/{x}/{y}", None),
        ] {
            assert_eq!(of(url).says_vector(), says, "{url}");
        }
        assert_eq!(of("https://t.example/{z}/{x}/{-y}").first_tile(), "https://t.example/0/0/0");
        for (bytes, is_vector) in [(&b"\x1a\x05"[..], true), (b"\x1f\x8b\x08", true), (b"\x89PNG", false), (b"", false)] {
            assert_eq!(is_vector_tile(bytes), is_vector, "{bytes:?}");
        }
        let layer = of("https://t.example/{z}/{x}/{y}.pbf").layer(true);
        assert_eq!((&layer["tileInfo"]["format"], &layer["tileInfo"]["rows"]), (&json!("pbf"), &json!(512)));
        assert!(of("https://t.example/{z}/{x}/{y}.png").layer(false).get("tileInfo").is_none());
    }
}
