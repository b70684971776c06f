//! What is known of a service that draws tiles; kept in the plan.

use super::drawing::Drawing;
use super::frame::{Frame, FrameSize};
use crate::tile_service::TiledService;
use offmap_arcgis::ServiceCall;
use offmap_formats::{TileFormat, TileSetInfo};
use offmap_model::{DirectDownloadHosts, Failure, FailureStage, LayerSecrets};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// See the module.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DrawSource {
    /// The scheme, its levels and the extent of the data.
    pub(super) service: TiledService,
    pub(super) drawing: Drawing,
    pub(super) size: FrameSize,
    pub(super) title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) attribution: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) warnings: Vec<String>,
}

impl DrawSource {
    /// With the secrets of its layer, which no plan holds.
    pub(super) fn with_secrets(mut self, secrets: &LayerSecrets) -> Self {
        self.service = self.service.with_secrets(secrets);
        self
    }

    /// What asks for a picture.
    pub(super) fn call(&self, frame: &Frame, hosts: &Arc<DirectDownloadHosts>) -> Result<ServiceCall, Failure> {
        let call = ServiceCall::get(&self.drawing.url())?.with_secrets(&self.service.secrets);
        let parameters = self.drawing.parameters(frame).into_iter();
        let call = parameters.fold(call, |call, (name, value)| call.with(name, value));
        Ok(call.in_stage(FailureStage::Download).directly(hosts))
    }

    /// What a package of its tiles says of itself.
    pub(super) fn tile_set(&self, level_ids: &[u32]) -> TileSetInfo {
        let mut info = TileSetInfo::new(self.service.tile_info.clone(), TileFormat::Png);
        info.levels = level_ids.iter().min().copied().zip(level_ids.iter().max().copied());
        info.name = Some(self.title.clone());
        info.attribution.clone_from(&self.attribution);
        info
    }
}
