//! Secrets in parameters and in the queries of urls that answers name.

use offmap_model::LayerSecrets;
use url::{Url, form_urlencoded};

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

/// A url without some pairs of its query, which are asked for by their names and values as they are meant. All others stay as they are
/// written: a server may not take them in another form.
///
/// ```
/// let url = "https://h/wms?map=/caf%E9%20a.map&REQUEST=GetMap&nocache".parse()?;
/// let without = offmap_arcgis::without_pairs(url, |name, _| name.eq_ignore_ascii_case("request"));
/// assert_eq!(without.as_str(), "https://h/wms?map=/caf%E9%20a.map&nocache");
/// # Ok::<_, url::ParseError>(())
/// ```
#[must_use]
pub fn without_pairs(mut url: Url, goes: impl Fn(&str, &str) -> bool) -> Url {
    let query = url.query().unwrap_or_default();
    let stays = |pair: &&str| form_urlencoded::parse(pair.as_bytes()).all(|(name, value)| !goes(&name, &value));
    let kept: Vec<&str> = query.split('&').filter(stays).collect();
    if kept.len() < query.split('&').count() {
        let kept = kept.into_iter().filter(|pair| !pair.is_empty()).collect::<Vec<_>>().join("&");
        url.set_query(Some(kept.as_str()).filter(|query| !query.is_empty()));
    }
    url
}
