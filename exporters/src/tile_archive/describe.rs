//! Asks an archive what it has.

use super::opened::Opened;
use super::pack::Pack;
use super::remote::{Remote, Trouble};
use super::source::ArchiveSource;
use crate::tile_service::TiledService;
use offmap_arcgis::ArcGisClient;
use offmap_arcgis::body::cut_attribution;
use offmap_engine::{ServiceDescription, ServiceRequest};
use offmap_formats::tiles::web_mercator_scheme;
use offmap_formats::{TileCompression, TileReader as _};
use offmap_model::{Capability, CapabilityReason, Failure, FailureKind, FailureOwner, FailureStage, MapLayer};
use std::sync::Arc;

/// Pixels of a tile in the scheme by which levels are chosen.
const PIXELS: u32 = 256;

type Described = ServiceDescription<Option<ArchiveSource>>;

/// A failure of an archive that changes while it is looked at.
pub(super) fn changed(remote: &Remote, words: &str) -> Failure {
    let name = remote.name().display();
    let message = format!("the archive {name} changed while it was read: {words}; try again when nobody writes it");
    let failure = Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, remote.stage, message);
    failure.with_url(&remote.url)
}

/// The same, for who asks only once.
pub(super) fn failure_of(remote: &Remote, trouble: Trouble) -> Failure {
    match trouble {
        Trouble::Changed(words) => changed(remote, &words),
        Trouble::Failed(failure) => failure,
    }
}

fn all(request: &ServiceRequest, capability: &Capability) -> Vec<(String, Capability)> {
    let of = |layer: &MapLayer| (layer.id.clone(), capability.clone());
    request.layers.iter().map(of).collect()
}

pub(super) async fn describe(client: &ArcGisClient, request: &ServiceRequest) -> Result<Described, Failure> {
    let (root, secrets) = (&request.service_url, request.secrets());
    let hosts = &request.parameters.direct_download_hosts;
    let title = request.layers.first().map(|layer| layer.title.clone()).unwrap_or_default();
    if let Some(words) = hosts.refused(&title, root) {
        let refused = Capability::refused(CapabilityReason::DirectDownloadForbidden, words);
        return Ok(ServiceDescription::new(title, None, all(request, &refused)));
    }
    let remote = Remote {
        client: client.clone(),
        url: root.clone(),
        secrets: secrets.clone(),
        hosts: Arc::new(hosts.clone()),
        stage: FailureStage::Plan,
        ctx: None,
    };
    let opened = Opened::open(&remote, |_| Ok(Pack::in_memory())).await.map_err(|t| failure_of(&remote, t))?;
    let info = opened.reader.info();
    let title = info.name.clone().unwrap_or(title);
    let attribution = info.attribution.as_deref().map(cut_attribution);
    if !matches!(info.compression, TileCompression::None | TileCompression::Gzip) {
        let words = format!(
            "the tiles of \"{title}\" are compressed as {:?}, expected gzip or none; take an archive whose tiles are",
            info.compression
        );
        let refused = Capability::refused(CapabilityReason::Other, words);
        return Ok(ServiceDescription::new(title, None, all(request, &refused)).with_attribution(attribution));
    }
    let (first, last) = info.levels.unwrap_or_default();
    let scheme = web_mercator_scheme(PIXELS, u8::try_from(last).unwrap_or_default());
    let mut service = TiledService::of_template(root, scheme, None).with_secrets(&secrets);
    (service.min_lod, service.max_lod) = (Some(first), Some(last));
    let extent = info.bounds.clone();
    let source = ArchiveSource { service, identity: opened.identity, title: title.clone() };
    let described = ServiceDescription::new(title, Some(source), all(request, &Capability::Supported));
    Ok(described.with_extent(extent).with_attribution(attribution))
}
