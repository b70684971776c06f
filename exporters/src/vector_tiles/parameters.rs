//! `ExportVectorTilesParameters`.

use offmap_engine::{AreaOfInterest, Failure};
use serde::{Deserialize, Serialize};

/// What is exported of a vector tiled service. There is no minimum level: a package without level 0 cannot be drawn when
/// zoomed out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExportVectorTilesParameters {
    /// The area.
    pub area_of_interest: AreaOfInterest,
    /// Deepest level id.
    pub max_level: u32,
}

impl ExportVectorTilesParameters {
    pub(super) fn check(&self) -> Result<(), Failure> {
        self.area_of_interest.check()
    }
}
