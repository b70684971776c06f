//! What is known of an archive; kept in the plan.

use super::opened::Identity;
use super::remote::Remote;
use crate::tile_service::TiledService;
use offmap_arcgis::ArcGisClient;
use offmap_engine::ExportContext;
use offmap_model::{DirectDownloadHosts, FailureStage, LayerSecrets};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// See the module.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArchiveSource {
    /// Its url, and the web's scheme with the zooms that it has. Ids of levels are zooms, and their scales those of tiles of 256 pixels,
    /// whatever its tiles are drawn at.
    pub(super) service: TiledService,
    pub(super) identity: Identity,
    pub(super) title: String,
}

impl ArchiveSource {
    /// With the secrets of its layers, which no plan holds.
    pub(super) fn with_secrets(mut self, secrets: &LayerSecrets) -> Self {
        self.service = self.service.with_secrets(secrets);
        self
    }

    /// Who asks for it: an export, or else a plan that is made for some hosts.
    pub(super) fn remote(&self, client: ArcGisClient, of: Result<&ExportContext, &DirectDownloadHosts>) -> Remote {
        let hosts = of.map_or_else(Clone::clone, |ctx| ctx.direct_download_hosts().clone());
        Remote {
            client,
            url: self.service.root.clone(),
            secrets: self.service.secrets.clone(),
            hosts: Arc::new(hosts),
            stage: if of.is_ok() { FailureStage::Download } else { FailureStage::Plan },
            ctx: of.ok().cloned(),
        }
    }
}
