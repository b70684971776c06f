//! The secrets of this run: taken out of what is told and logged, and supplied again to jobs that go on.

use crate::setup;
use crate::terminal::note;
use offmap::arcgis::ArcGisClient;
use offmap::arcgis::portal::{self, MapPlace, ReadLimits};
use offmap::{Failure, GenerateOfflineMapJob, SecretRegistry, WebMap};
use std::sync::OnceLock;

static KNOWN: OnceLock<SecretRegistry> = OnceLock::new();

/// From now on the secrets of a client are taken out of whatever is logged.
pub(crate) fn know_client(client: &ArcGisClient) {
    KNOWN.get_or_init(|| client.secrets().child());
}

/// The same with those of a map.
pub(crate) fn know_map(map: &WebMap) {
    if let Some(known) = KNOWN.get() {
        known.add_all(map.secret_texts());
    }
}

/// A text without the secrets that are known.
pub(crate) fn scrubbed(text: &str) -> String {
    KNOWN.get().map_or_else(|| text.to_owned(), |known| known.scrub(text).into_owned())
}

/// A failure without them.
pub(crate) fn without(failure: Failure) -> Failure {
    match KNOWN.get() {
        Some(known) => known.failure(failure),
        None => failure,
    }
}

/// A job that goes on needs the secrets of its map again: they come from the file or url that is named, else from the portal item
/// that the map was read from. Where they cannot be had, the layers that need them say so.
pub(crate) async fn supply(
    job: GenerateOfflineMapJob,
    client: &ArcGisClient,
    named: Option<&str>,
    limits: &ReadLimits,
) -> Result<GenerateOfflineMapJob, Failure> {
    if let Some(named) = named {
        let map = portal::read(client, setup::place_of(named), limits).await?.web_map;
        know_map(&map);
        return Ok(job.with_secrets_of(&map));
    }
    let layers = job.layers_without_secrets();
    if layers.is_empty() {
        return Ok(job);
    }
    let read = match job.portal_item() {
        Some((portal, id)) => portal::read(client, MapPlace::Item { portal, id }, limits).await,
        None => Err(Failure::invalid_parameter("the map came from a file; name it by --web-map")),
    };
    match read {
        Ok(source) => {
            know_map(&source.web_map);
            Ok(job.with_secrets_of(&source.web_map))
        }
        Err(failure) => {
            let layers = layers.join(", ");
            note!("note: the parameters that the map holds for {layers} could not be read again: {failure}");
            Ok(job)
        }
    }
}
