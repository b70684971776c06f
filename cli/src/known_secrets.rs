//! The secrets of this run: taken out of what is reported and logged.

use offmap::arcgis::ArcGisClient;
use offmap::{Failure, SecretRegistry, WebMap};
use std::sync::OnceLock;

static KNOWN: OnceLock<SecretRegistry> = OnceLock::new();

/// From now on the secrets of a client are taken out of whatever is logged.
pub(crate) fn know_client(client: &ArcGisClient) {
    KNOWN.get_or_init(|| client.secrets().child());
}

/// The same with those of a map.
pub(crate) fn know_map(map: &WebMap) {
    if let Some(known) = KNOWN.get() {
        known.add_all(map.texts_to_hide());
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
