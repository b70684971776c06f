//! Secrets in parameters and in the queries of urls that answers name.

use offmap_model::LayerSecrets;
use url::Url;

/// Parameters that nobody may read.
const SECRETS: [&str; 6] = ["token", "password", "client_secret", "refresh_token", "code_verifier", "auth_token"];

/// Whether a parameter of that name is a secret.
pub(crate) fn is_secret(name: &str) -> bool {
    SECRETS.iter().any(|secret| name.eq_ignore_ascii_case(secret))
}

/// Whether a parameter of that name signs in. A `code` does; in urls of other services it is anything.
pub(crate) fn signs_in(name: &str) -> bool {
    is_secret(name) || name.eq_ignore_ascii_case("code")
}

/// A url out of an answer as it may be written down: without tokens and without the secrets of the layer, which go with the next
/// request all the same. The rest of its query may be needed.
pub fn without_secret_query(url: &Url, secrets: &LayerSecrets) -> String {
    let mut url = without_pairs(url.clone(), |name, value| is_secret(name) || secrets.holds(name, value));
    url.set_fragment(None);
    url.to_string()
}

/// A url without some pairs of its query; one that has none of them stays as it is written.
pub(crate) fn without_pairs(mut url: Url, goes: impl Fn(&str, &str) -> bool) -> Url {
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
