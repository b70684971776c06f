//! Asks an archive what it has.

use super::kind::Kind;
use super::opened::Opened;
use super::pack::Pack;
use super::remote::{Remote, Trouble};
use super::source::ArchiveSource;
use crate::job_client::JobClient;
use crate::tile_service::TiledService;
use offmap_arcgis::body::cut_attribution;
use offmap_engine::{PlanContext, ServiceDescription, ServiceRequest};
use offmap_formats::TileReader as _;
use offmap_formats::tiles::web_mercator_scheme;
use offmap_model::failure::shortened;
use offmap_model::text::printable;
use offmap_model::{Capability, CapabilityReason, Failure, FailureKind, FailureOwner, FailureStage, MapLayer};
use std::sync::Arc;

/// Pixels of a tile in the scheme by which levels are chosen.
const PIXELS: u32 = 256;
/// Bytes of the longest title that is kept.
const LONGEST_TITLE: usize = 256;

type Described = ServiceDescription<Option<ArchiveSource>>;

/// A failure of an archive that changes while it is looked at.
pub(super) fn changed(remote: &Remote, words: &str) -> Failure {
    let name = remote.name().display();
    let message = format!(
        "the archive {name} changed while it was read: {words}; try again when nobody writes it, and if nobody does, several servers answer \
         for it that differ: take the url of one of them"
    );
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

/// The title that an archive has by its name.
fn title_of(name: &str) -> String {
    shortened(printable(&shortened(name, LONGEST_TITLE)).to_string(), LONGEST_TITLE)
}

pub(super) async fn describe(client: &JobClient, request: &ServiceRequest, ctx: &PlanContext) -> Result<Described, Failure> {
    let (root, secrets) = (&request.service_url, request.secrets());
    let hosts = &request.parameters.direct_download_hosts;
    let title = request.layers.first().map(|layer| layer.title.clone()).unwrap_or_default();
    if let Some(words) = hosts.refused(&title, root) {
        let refused = Capability::refused(CapabilityReason::DirectDownloadForbidden, words);
        return Ok(ServiceDescription::new(title, None, all(request, &refused)));
    }
    let remote = Remote {
        client: client.for_plan(ctx),
        url: root.clone(),
        secrets: secrets.clone(),
        hosts: Arc::new(hosts.clone()),
        stage: FailureStage::Plan,
        cancel: ctx.cancel.clone(),
        ctx: None,
    };
    let opened = Opened::open(&remote, |_| Ok(Pack::in_memory())).await.map_err(|t| failure_of(&remote, t))?;
    let info = opened.reader.info();
    let title = info.name.as_deref().map_or(title, title_of);
    let attribution = info.attribution.as_deref().map(cut_attribution);
    let kind = match Kind::of(info, &title) {
        Ok(kind) => kind,
        Err(words) => {
            let refused = Capability::refused(CapabilityReason::Other, words);
            return Ok(ServiceDescription::new(title, None, all(request, &refused)).with_attribution(attribution));
        }
    };
    let (first, last) = info.levels.unwrap_or_default();
    let scheme = web_mercator_scheme(PIXELS, u8::try_from(last).unwrap_or_default());
    let mut service = TiledService::of_template(root, scheme, None).with_secrets(&secrets);
    (service.min_lod, service.max_lod) = (Some(first), Some(last));
    let extent = info.bounds.clone();
    let source = ArchiveSource { service, identity: opened.identity, kind, title: title.clone() };
    let described = ServiceDescription::new(title, Some(source), all(request, &Capability::Supported));
    Ok(described.with_extent(extent).with_attribution(attribution))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_archive_is_a_title_that_can_be_shown() {
        assert_eq!(title_of("Relief of everywhere"), "Relief of everywhere");
        assert_eq!(title_of("Relief\u{1b}[2J\n"), "Relief\\u{1b}[2J\\n");
        assert!(title_of(&"\u{202e}é".repeat(9_000)).len() <= LONGEST_TITLE);
    }
}
