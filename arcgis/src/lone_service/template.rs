//! Templates of tiles, as a web tiled layer of a map has them.
//!
//! Source: `web-map-and-offline-api` reference A.4 (WebTiledLayer); XYZ templates are those of MapLibre, QGIS and OpenLayers.

use super::level_scale::LevelScale;
use crate::urls::parse_http;
use offmap_model::failure::without_secrets;
use offmap_model::{AreaOfInterest, Envelope, Failure, SpatialReference};
use serde_json::{Value, json};

/// Denominator of the scale of level 0 of Web Mercator, with 96 dots an inch.
const FIRST_SCALE: f64 = 591_657_527.591_555;
/// Levels of the scheme.
const LEVELS: u32 = 24;
/// Half the width of the world in metres of Web Mercator.
const HALF_WORLD: f64 = 20_037_508.342_787;

/// A template.
#[derive(Debug)]
pub(super) struct Template {
    /// With `{level}`, `{col}`, `{row}`, and `{subDomain}` where there are several hosts.
    pub(super) url: String,
    pub(super) title: String,
}

impl Template {
    /// Reads a template with the names of maps or those of XYZ.
    pub(super) fn read(text: &str) -> Result<Self, Failure> {
        let mut url = text.to_owned();
        for (xyz, name) in [("{z}", "{level}"), ("{x}", "{col}"), ("{y}", "{row}")] {
            url = url.replace(xyz, name);
        }
        let shown = without_secrets(text);
        let refused = |what: String| {
            let way = "write it with {z}, {x} and {y}, or with {level}, {col} and {row}";
            Err(Failure::invalid_parameter(format!("`{shown}` {what}; {way}")))
        };
        if let Some(missing) = ["{level}", "{col}", "{row}"].iter().find(|name| !url.contains(**name)) {
            return refused(format!("is a template without `{missing}`"));
        }
        let plain = ["{level}", "{col}", "{row}"].iter().fold(url.clone(), |url, name| url.replace(name, "0"));
        if let Some((_, rest)) = plain.split_once('{') {
            let name = rest.split('}').next().unwrap_or_default().escape_debug();
            return refused(format!("has the placeholder `{{{name}}}`, which is not known here"));
        }
        let title = parse_http(&plain)?.host_str().unwrap_or("tiles").to_owned();
        Ok(Self { url, title })
    }

    /// The layer of a map.
    pub(super) fn layer(&self) -> Value {
        json!({"id": "tiles", "title": self.title, "layerType": "WebTiledLayer", "templateUrl": self.url})
    }
}

/// The whole world.
pub(super) fn extent() -> AreaOfInterest {
    let reference = SpatialReference::from_wkid(102_100);
    AreaOfInterest::Envelope(Envelope::new(-HALF_WORLD, -HALF_WORLD, HALF_WORLD, HALF_WORLD, reference))
}

/// The levels of Web Mercator.
pub(super) fn levels() -> Vec<LevelScale> {
    let scale = |level: u32| FIRST_SCALE / f64::from(1_u32 << level);
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
            ("https://t.example/{z}/{x}/{-y}.png", "without `{row}`"),
            ("https://{s}.t.example/{z}/{x}/{y}.png", "`{s}`"),
            ("ftp://t.example/{z}/{x}/{y}.png", "http"),
        ] {
            let failure = Template::read(wrong).expect_err(wrong);
            assert!(failure.message.contains(word), "{failure}");
        }
    }
}
