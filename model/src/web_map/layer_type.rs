//! Kinds of layers, as maps name them.
//!
//! Source: web map specification 2.37; recorded maps of versions 2.1 to 2.35.

use crate::failure::shortened;
use crate::layer_kinds;
use crate::service_url::ServiceUrl;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;

/// Longest word for a kind of layer that is kept, in bytes: it is in many messages.
const LONGEST_TYPE: usize = 64;

/// What kind of layer a map says it is; the JSON is the specification's `layerType`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LayerType {
    /// `ArcGISFeatureLayer`.
    Feature,
    /// A member of `tables[]`, which has no `layerType`.
    Table,
    /// `SubtypeGroupLayer` or `SubtypeGroupTable`.
    SubtypeGroup,
    /// `ArcGISAnnotationLayer`.
    Annotation,
    /// `ArcGISDimensionLayer`.
    Dimension,
    /// `ArcGISTiledMapServiceLayer`.
    TiledMapService,
    /// `ArcGISTiledImageServiceLayer`.
    TiledImageService,
    /// `VectorTileLayer`.
    VectorTile,
    /// Any other word.
    Other(String),
}

impl fmt::Display for LayerType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Feature => "ArcGISFeatureLayer",
            Self::Table => "table",
            Self::SubtypeGroup => "SubtypeGroupLayer",
            Self::Annotation => "ArcGISAnnotationLayer",
            Self::Dimension => "ArcGISDimensionLayer",
            Self::TiledMapService => "ArcGISTiledMapServiceLayer",
            Self::TiledImageService => "ArcGISTiledImageServiceLayer",
            Self::VectorTile => "VectorTileLayer",
            Self::Other(word) => word,
        })
    }
}

impl LayerType {
    /// Reads the kind of a member of a map.
    pub(super) fn read(json: &Map<String, Value>, is_table: bool) -> Self {
        let text = |key: &str| json.get(key).and_then(Value::as_str).filter(|t| !t.is_empty());
        // Basemaps, and maps of 2.0 and 2.1, name the kind by `type`; `Feature Collection` there is none.
        let is_kind = |t: &&str| t.contains("Layer") || layer_kinds::without_offline_form(t).is_some();
        let word = text("layerType").or_else(|| text("type").filter(is_kind));
        match word {
            Some("ArcGISFeatureLayer") if is_table => Self::Table,
            Some("ArcGISFeatureLayer") => Self::Feature,
            Some("SubtypeGroupLayer" | "SubtypeGroupTable") => Self::SubtypeGroup,
            Some("ArcGISAnnotationLayer") => Self::Annotation,
            Some("ArcGISDimensionLayer") => Self::Dimension,
            Some("ArcGISTiledMapServiceLayer") => Self::TiledMapService,
            Some("ArcGISTiledImageServiceLayer") => Self::TiledImageService,
            Some("VectorTileLayer") => Self::VectorTile,
            Some(other) => Self::Other(shortened(other, LONGEST_TYPE)),
            None if is_table => Self::Table,
            None => Self::guess(json),
        }
    }

    /// Maps of 2.0 and 2.1 may have no `layerType`: the url decides.
    fn guess(json: &Map<String, Value>) -> Self {
        if json.get("featureCollection").is_some() {
            return Self::Feature;
        }
        let url = json.get("url").and_then(Value::as_str).and_then(ServiceUrl::parse);
        match url.as_ref().map(|u| (u.kind(), u.layer_id())) {
            Some((kind, Some(_))) if kind == "featureserver" || kind == "mapserver" => Self::Feature,
            // Whether the service has a single fused cache is for the exporter to see.
            Some((kind, None)) if kind == "mapserver" => Self::TiledMapService,
            Some((kind, _)) if kind == "imageserver" => Self::Other("ArcGISImageServiceLayer".to_owned()),
            Some((kind, _)) if kind == "vectortileserver" => Self::VectorTile,
            _ => Self::Other("unknown".to_owned()),
        }
    }
}

impl Serialize for LayerType {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LayerType {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        let json = Map::from_iter([("layerType".to_owned(), Value::String(word.clone()))]);
        Ok(if word == "table" { Self::Table } else { Self::read(&json, false) })
    }
}
