//! Which secrets go with a request, and which are taken out of urls that answers name.

use crate::client::{ArcGisClient, SECRETS, ServiceCall};
use offmap_model::LayerSecrets;
use url::Url;

impl ServiceCall {
    /// The parameters that a request to this url takes: its own, and the secrets that are for its origin.
    pub(super) fn parameters_at(&self, url: &Url, own: &[(String, String)], with_secrets: bool) -> Vec<(String, String)> {
        let is_own = |name: &str| own.iter().any(|(own, _)| own.eq_ignore_ascii_case(name));
        let secrets = self.secrets.parameters_for(url).filter(|(name, _)| with_secrets && !is_own(name));
        own.iter().cloned().chain(secrets.map(|(n, v)| (n.to_owned(), v.to_owned()))).collect()
    }
}

impl ArcGisClient {
    /// A url without secrets that an answer repeated in its query: where they belong they are added again, elsewhere they have
    /// nothing to do.
    pub(super) fn without_repeated_secrets(&self, call: &ServiceCall, url: Url) -> Url {
        let is_known = |value: &str| self.inner.secrets.scrub(value) != value;
        without_pairs(url, |name, value| is_known(value) || call.secrets.holds(name, value))
    }
}

/// A url out of an answer as it may be written down: without tokens and without the secrets of the layer, which go with the next
/// request all the same. The rest of its query may be needed.
pub fn without_secret_query(url: &Url, secrets: &LayerSecrets) -> String {
    let is_secret =
        |name: &str, value: &str| SECRETS.iter().any(|s| name.eq_ignore_ascii_case(s)) || secrets.holds(name, value);
    let mut url = without_pairs(url.clone(), is_secret);
    url.set_fragment(None);
    url.to_string()
}

/// A url without some pairs of its query; one that has none of them stays as it is written.
fn without_pairs(mut url: Url, goes: impl Fn(&str, &str) -> bool) -> Url {
    if !url.query_pairs().any(|(name, value)| goes(&name, &value)) {
        return url;
    }
    let kept: Vec<(String, String)> =
        url.query_pairs().filter(|(name, value)| !goes(name, value)).map(|(n, v)| (n.into(), v.into())).collect();
    url.set_query(None);
    if !kept.is_empty() {
        url.query_pairs_mut().extend_pairs(&kept);
    }
    url
}
