//! `ExportTileCacheParameters`.

use crate::tile_service::area_or_null;
use offmap_model::{AreaOfInterest, Failure};
use serde::{Deserialize, Serialize};

/// What is exported of a raster tiled service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExportTileCacheParameters {
    /// The area; `None` (`null`) for the service's full extent. As JSON the key must be there.
    #[serde(deserialize_with = "area_or_null")]
    pub area_of_interest: Option<AreaOfInterest>,
    /// Level ids of the service; may have gaps.
    #[serde(rename = "levelIds", deserialize_with = "level_ids")]
    pub level_ids: Vec<u32>,
    /// JPEG quality from 0 to 100, never above the service's own; `None` keeps the service's tiles unchanged.
    #[serde(default)]
    pub compression_quality: Option<f64>,
}

offmap_model::number_fields! { level_ids: Vec<u32> = "levelIds" }

impl ExportTileCacheParameters {
    pub(super) fn check(&self) -> Result<(), Failure> {
        if let Some(area) = &self.area_of_interest {
            area.check()?;
        }
        if self.level_ids.is_empty() {
            return Err(Failure::invalid_parameter("levelIds is empty; name at least one level, or leave the service out"));
        }
        match self.compression_quality {
            Some(quality) if !(0.0..=100.0).contains(&quality) => {
                Err(Failure::invalid_parameter(format!("compressionQuality is {quality}, expected 0 to 100")))
            }
            _ => Ok(()),
        }
    }
}
