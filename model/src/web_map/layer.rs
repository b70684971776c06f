//! Typed views on the layers and tables of a map.

use super::layer_type::LayerType;
use crate::layer_secrets::LayerSecrets;
use crate::service_url::ServiceUrl;
use serde::{Deserialize, Serialize};

/// Longest url of a layer, in bytes; a longer one is none.
pub(crate) const LONGEST_URL: usize = 2048;

/// Where in the map a layer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum LayerPlace {
    /// `operationalLayers[]`, in a group or not.
    Operational,
    /// `baseMap.baseMapLayers[]`.
    Basemap,
    /// The same with `isReference`: drawn above the operational layers.
    BasemapReference,
    /// `tables[]`.
    Table,
}

impl LayerPlace {
    /// Whether it belongs to the basemap.
    #[must_use]
    pub fn is_basemap(self) -> bool {
        matches!(self, Self::Basemap | Self::BasemapReference)
    }
}

/// A typed view on one layer or table of a web map. Groups are not in it, their children are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct MapLayer {
    /// Unique id; the map's own where it has one that is unique.
    pub id: String,
    /// Title for people; not unique.
    pub title: String,
    /// What kind of layer.
    pub layer_type: LayerType,
    /// Where in the map.
    pub place: LayerPlace,
    /// JSON pointer (RFC 6901) of its place in the map.
    pub pointer: String,
    /// Titles of the groups around it, outermost first.
    pub groups: Vec<String>,
    /// Url of the service or service layer.
    pub url: Option<String>,
    /// Url of a vector tile style.
    pub style_url: Option<String>,
    /// Portal item of the service or style.
    pub item_id: Option<String>,
    /// The author's filter, an SQL where clause.
    pub definition_expression: Option<String>,
    /// Words by which the author narrowed what this map may do with the layer.
    pub capabilities: Option<String>,
    /// Far limit of drawing as a scale denominator, 0 or absent for none.
    pub min_scale: Option<f64>,
    /// Near limit of drawing as a scale denominator, 0 or absent for none.
    pub max_scale: Option<f64>,
    /// Whether its data are in the map itself.
    pub has_feature_collection: bool,
    /// Its `customParameters` and the query of its urls, to be sent with every request for this layer to the origin of its url.
    /// They have no serialised form.
    #[serde(skip)]
    pub secrets: LayerSecrets,
}

impl MapLayer {
    /// Whether it is a table.
    #[must_use]
    pub fn is_table(&self) -> bool {
        self.place == LayerPlace::Table
    }

    /// The service and layer id that its `url` names.
    #[must_use]
    pub fn service(&self) -> Option<ServiceUrl> {
        self.url.as_deref().and_then(ServiceUrl::parse)
    }
}
