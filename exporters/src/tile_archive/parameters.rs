//! `TileArchiveParameters`.

use crate::tile_service::area_or_null;
use offmap_model::{AreaOfInterest, Failure};
use serde::{Deserialize, Serialize};

/// Which tiles of an archive come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TileArchiveParameters {
    /// The area; `None` (`null`) for all that the archive has. As JSON the key must be there.
    #[serde(deserialize_with = "area_or_null")]
    pub area_of_interest: Option<AreaOfInterest>,
    /// Zooms, as level ids; may have gaps.
    #[serde(deserialize_with = "level_ids")]
    pub level_ids: Vec<u32>,
}

offmap_model::number_fields! { level_ids: Vec<u32> = "levelIds" }

impl TileArchiveParameters {
    pub(super) fn check(&self) -> Result<(), Failure> {
        self.area_of_interest.as_ref().map_or(Ok(()), AreaOfInterest::check)?;
        match self.level_ids.is_empty() {
            true => Err(Failure::invalid_parameter("levelIds is empty; name at least one level, or leave the layer out")),
            false => Ok(()),
        }
    }
}
