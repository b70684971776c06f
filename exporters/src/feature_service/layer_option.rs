//! Which rows of a layer of a feature service are taken: `GenerateLayerOption`.
//!
//! Source: feature service reference §3.1; API reference B.5.

use super::service::FeatureService;
use offmap_model::{AreaOfInterest, Failure};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// Which rows of a layer come down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum GenerateLayerQueryOption {
    /// Every row; where clause and geometry are ignored.
    All,
    /// None by itself; with `include_related` those related to rows of other layers.
    None,
    /// Rows that meet the where clause and, with `use_geometry`, the area.
    #[default]
    UseFilter,
}

/// What comes down of one layer of the service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GenerateLayerOption {
    /// The service's layer id.
    #[serde(deserialize_with = "layer_id")]
    pub layer_id: u32,
    /// Which rows.
    #[serde(default)]
    pub query_option: GenerateLayerQueryOption,
    /// SQL, or empty.
    #[serde(default)]
    pub where_clause: String,
    /// Whether the area filters.
    #[serde(default = "yes")]
    pub use_geometry: bool,
    /// Whether related rows come too; only with [`GenerateLayerQueryOption::None`].
    #[serde(default)]
    pub include_related: bool,
}

fn yes() -> bool {
    true
}

offmap_model::number_fields! { layer_id: u32 = "layerId" }

/// Checks the area, and that each layer that is named is one of the map's, and named once.
pub(crate) fn check_options(
    extent: &AreaOfInterest,
    options: &[GenerateLayerOption],
    service: &FeatureService,
) -> Result<(), Failure> {
    extent.check()?;
    let mut seen = HashSet::new();
    for option in options {
        if !service.layers.contains_key(&option.layer_id) {
            let known: Vec<u32> = service.layers.keys().copied().collect();
            return Err(Failure::invalid_parameter(format!(
                "layerOptions names layer {} of {}, which the map does not use; it uses {known:?}",
                option.layer_id, service.root
            )));
        }
        if !seen.insert(option.layer_id) {
            return Err(Failure::invalid_parameter(format!("layerOptions names layer {} twice", option.layer_id)));
        }
    }
    Ok(())
}
