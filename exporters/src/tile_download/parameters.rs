//! `TileDownloadParameters`.

use crate::tile_service::area_or_null;
use offmap_model::{AreaOfInterest, Failure};
use serde::{Deserialize, Serialize};

/// Which tiles of a service are downloaded one by one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TileDownloadParameters {
    /// The area; `None` (`null`) for the service's full extent. As JSON the key must be there.
    #[serde(deserialize_with = "area_or_null")]
    pub area_of_interest: Option<AreaOfInterest>,
    /// Level ids of the service; may have gaps.
    #[serde(deserialize_with = "level_ids")]
    pub level_ids: Vec<u32>,
}

offmap_model::number_fields! { level_ids: Vec<u32> = "levelIds" }

impl TileDownloadParameters {
    pub(super) fn check(&self) -> Result<(), Failure> {
        if let Some(area) = &self.area_of_interest {
            area.check()?;
        }
        match self.level_ids.is_empty() {
            true => Err(Failure::invalid_parameter("levelIds is empty; name at least one level, or leave the service out")),
            false => Ok(()),
        }
    }
}
