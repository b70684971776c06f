//! What is known of an archive; kept in the plan.

use super::kind::Kind;
use super::opened::Identity;
use super::remote::Remote;
use crate::tile_service::TiledService;
use offmap_arcgis::ArcGisClient;
use offmap_engine::{ExportContext, PlanContext};
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
    pub(super) kind: Kind,
    pub(super) title: String,
}

impl ArchiveSource {
    /// With the secrets of its layers, which no plan holds.
    pub(super) fn with_secrets(mut self, secrets: &LayerSecrets) -> Self {
        self.service = self.service.with_secrets(secrets);
        self
    }

    /// Who asks for it: an export, or else a plan that is made for some hosts.
    pub(super) fn remote(
        &self,
        client: ArcGisClient,
        of: Result<&ExportContext, (&DirectDownloadHosts, &PlanContext)>,
    ) -> Remote {
        let (hosts, cancel) = match of {
            Ok(ctx) => (ctx.direct_download_hosts(), ctx.cancel_token()),
            Err((hosts, ctx)) => (hosts, &ctx.cancel),
        };
        Remote {
            client,
            url: self.service.root.clone(),
            secrets: self.service.secrets.clone(),
            hosts: Arc::new(hosts.clone()),
            cancel: cancel.clone(),
            stage: if of.is_ok() { FailureStage::Download } else { FailureStage::Plan },
            ctx: of.ok().cloned(),
        }
    }
}
