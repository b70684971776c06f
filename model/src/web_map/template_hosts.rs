//! The hosts of a template of tile urls: one, or those that `subDomains` lists.
//!
//! Source: web map specification, `webTiledLayer` (`subDomains`: the names that take the place of `{subDomain}`).

use serde_json::{Map, Value};
use url::Url;

/// Words of a template in whose place a name of `subDomains` goes.
const PLACES: [&str; 2] = ["{subDomain}", "{s}"];
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

/// A url of a layer at each host that it stands for; the url itself where it names its host.
pub(super) fn at_each_host(url: &str, layer: &Map<String, Value>) -> Vec<Url> {
    let url = url.trim();
    let read = |text: &str| Url::parse(text).ok();
    if !PLACES.iter().any(|place| url.contains(place)) {
        return read(url).into_iter().collect();
    }
    let at = |name: String| read(&PLACES.iter().fold(url.to_owned(), |url, place| url.replace(place, &name)));
    let hosts: Vec<Url> = sub_domains(layer).into_iter().filter_map(at).collect();
    // Where nobody says which hosts, nothing is asked; what the url holds is a secret all the same.
    if hosts.is_empty() { read(url).into_iter().collect() } else { hosts }
}
