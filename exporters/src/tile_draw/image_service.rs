//! Pictures of an image service, by `exportImage`.
//!
//! The map's `renderingRule`, `mosaicRule`, `bandIds`, `noData`, `noDataInterpretation` and `interpolation` go with the request as they
//! are; its definition expression is the `where` of the mosaic rule.
//!
//! Source: ArcGIS REST API, Export Image; web map specification, `imageServiceLayer`.

use super::arcgis_picture::of_frame;
use super::frame::{Frame, Parameters};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Members of the map's layer that are parameters of the same name.
const OF_MAP: [&str; 5] = ["renderingRule", "bandIds", "noData", "noDataInterpretation", "interpolation"];

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ImageDrawing {
    pub(super) root: String,
    pub(super) format: String,
    /// Parameters that the map says, as texts.
    pub(super) of_map: Vec<(String, String)>,
}

impl ImageDrawing {
    /// How a map has a service drawn.
    pub(super) fn new(root: &str, format: String, json: &Value, filter: Option<&str>) -> Self {
        let said = |key: &'static str| Some((key.to_owned(), text_of(json.get(key)?)?));
        let mut of_map: Vec<(String, String)> = OF_MAP.into_iter().filter_map(said).collect();
        let rule = mosaic_rule(json.get("mosaicRule"), filter);
        of_map.extend(rule.map(|rule| ("mosaicRule".to_owned(), rule.to_string())));
        Self { root: root.to_owned(), format, of_map }
    }

    pub(super) fn url(&self) -> String {
        format!("{}/exportImage", self.root)
    }

    pub(super) fn parameters(&self, frame: &Frame) -> Parameters {
        let mut all = of_frame(frame, &self.format);
        let known = OF_MAP.into_iter().chain(["mosaicRule"]);
        all.extend(known.filter_map(|key| Some((key, self.of_map.iter().find(|(name, _)| name == key)?.1.clone()))));
        all
    }
}

/// A member as the text of a parameter: lists of numbers with commas, objects as JSON.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Null | Value::Bool(_) => None,
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        Value::Array(list) if list.iter().all(Value::is_number) => {
            let all: Vec<String> = list.iter().map(Value::to_string).collect();
            (!all.is_empty()).then(|| all.join(","))
        }
        other => Some(other.to_string()),
    }
}

/// The map's rule with its filter.
fn mosaic_rule(rule: Option<&Value>, filter: Option<&str>) -> Option<Value> {
    let rule = rule.filter(|rule| rule.is_object()).cloned();
    let Some(filter) = filter.map(str::trim).filter(|filter| !filter.is_empty()) else { return rule };
    let mut rule = rule.unwrap_or_else(|| json!({"mosaicMethod": "esriMosaicNone"}));
    let own = rule.get("where").and_then(Value::as_str).map(str::trim).filter(|own| !own.is_empty() && *own != filter);
    rule["where"] = json!(own.map_or_else(|| filter.to_owned(), |own| format!("({own}) AND ({filter})")));
    Some(rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_map_says_of_pixels_goes_with_the_request() {
        let json = json!({"renderingRule": {"rasterFunction": "Hillshade"}, "bandIds": [3, 2, 1], "noData": 0, "interpolation": null,
            "mosaicRule": {"mosaicMethod": "esriMosaicLockRaster", "lockRasterIds": [7], "where": "Year = 2020"}});
        let drawing = ImageDrawing::new("https://h/I/ImageServer", "png32".to_owned(), &json, Some("Cloud < 5"));
        let expected = [
            ("renderingRule", r#"{"rasterFunction":"Hillshade"}"#.to_owned()),
            ("bandIds", "3,2,1".to_owned()),
            ("noData", "0".to_owned()),
        ];
        let found: Vec<(&str, String)> = drawing.of_map.iter().map(|(name, text)| (name.as_str(), text.clone())).collect();
        assert_eq!(found[..3], expected);
        let rule: Value = serde_json::from_str(&drawing.of_map[3].1).expect("JSON");
        assert_eq!(rule["where"], "(Year = 2020) AND (Cloud < 5)");
        assert_eq!(rule["lockRasterIds"], json!([7]));
        let bare = ImageDrawing::new("https://h/I/ImageServer", "png32".to_owned(), &json!({}), Some("A = 1"));
        assert_eq!(
            bare.of_map,
            [("mosaicRule".to_owned(), r#"{"mosaicMethod":"esriMosaicNone","where":"A = 1"}"#.to_owned())]
        );
    }
}
