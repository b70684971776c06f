//! `ExportVectorTilesParameters`.

use crate::tile_service::area_or_null;
use offmap_model::{AreaOfInterest, EsriVectorTilesDownloadOption, Failure};
use serde::{Deserialize, Serialize};

/// What is exported of a vector tiled service. There is no minimum level: a package without level 0 cannot be drawn when
/// zoomed out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExportVectorTilesParameters {
    /// The area; `None` (`null`) for the service's full extent. As JSON the key must be there.
    #[serde(deserialize_with = "area_or_null")]
    pub area_of_interest: Option<AreaOfInterest>,
    /// Deepest level id; -1 for the deepest that there is.
    #[serde(default = "all_levels", deserialize_with = "max_level")]
    pub max_level: i32,
    /// The service of the map, or its twin with fewer fonts where one is known.
    #[serde(default)]
    pub esri_vector_tiles_download_option: EsriVectorTilesDownloadOption,
}

offmap_model::number_fields! { max_level: i32 = "maxLevel" }

fn all_levels() -> i32 {
    ExportVectorTilesParameters::ALL_LEVELS
}

impl ExportVectorTilesParameters {
    /// `max_level` without a limit.
    pub const ALL_LEVELS: i32 = -1;

    pub(super) fn check(&self) -> Result<(), Failure> {
        if self.max_level < Self::ALL_LEVELS {
            return Err(Failure::invalid_parameter(format!(
                "maxLevel is {}, expected a level id, or -1 for all levels",
                self.max_level
            )));
        }
        self.area_of_interest.as_ref().map_or(Ok(()), AreaOfInterest::check)
    }
}
