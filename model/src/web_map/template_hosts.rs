//! The hosts of a template of tile urls: one, or those that `subDomains` lists.
//!
//! Source: web map specification, `webTiledLayer` (`subDomains`: the names that take the place of `{subDomain}`).

use serde_json::{Map, Value};
use url::Url;

/// What a template has in the place of a name of `subDomains`, and the word that XYZ templates have for it.
const PLACE: &str = "{subDomain}";
const OTHER_WORD: &str = "{s}";
/// Hosts of one layer, and bytes of a name of one.
const MOST_HOSTS: usize = 64;
const LONGEST_NAME: usize = 64;

/// The `subDomains` of a layer, without what can be no part of a host's name.
#[must_use]
pub fn sub_domains(layer: &Map<String, Value>) -> Vec<String> {
    let is_name = |name: &&str| {
        name.len() <= LONGEST_NAME
            && !name.is_empty()
            && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'))
    };
    let named = layer.get("subDomains").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    named.iter().take(MOST_HOSTS).filter_map(Value::as_str).filter(is_name).map(str::to_owned).collect()
}

/// A template with `{subDomain}` wherever it has `{s}`.
///
/// ```
/// assert_eq!(offmap_model::with_sub_domain("https://{s}.h/{z}/{x}/{y}"), "https://{subDomain}.h/{z}/{x}/{y}");
/// ```
#[must_use]
pub fn with_sub_domain(template: &str) -> String {
    template.replace(OTHER_WORD, PLACE)
}

/// Whether a template, with `{subDomain}` as its word, stands for several hosts.
#[must_use]
pub fn has_sub_domain(template: &str) -> bool {
    template.contains(PLACE)
}

/// A url of a layer at each host that it stands for; the url itself where it names its host.
pub(super) fn at_each_host(url: &str, layer: &Map<String, Value>) -> Vec<Url> {
    let (url, read) = (with_sub_domain(url.trim()), |text: &str| Url::parse(text).ok());
    if !has_sub_domain(&url) {
        return read(&url).into_iter().collect();
    }
    let hosts: Vec<Url> = sub_domains(layer).iter().filter_map(|name| read(&url.replace(PLACE, name))).collect();
    // Where nobody says which hosts, nothing is asked; what the url holds is a secret all the same.
    if hosts.is_empty() { read(&url).into_iter().collect() } else { hosts }
}
