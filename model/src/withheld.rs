//! Takes the secrets out of a web map as it is read, so that nothing that is made of the map can write them.
//!
//! 1. Of every layer: the values of `customParameters` and the query of its urls become its [`LayerSecrets`]; the map keeps the
//!    names (`"customParameters": {"apiKey": null}`), so that it is known later what is missing. A `token` is the map author's: it
//!    is removed and not used. User names and passwords in urls are removed, the layer is refused.
//! 2. Of the rest of the map: `customParameters` and `customLayerParameters` anywhere, and in any url tokens, keys, signatures,
//!    user names and passwords.
//! 3. A parameter's value that stands somewhere else in the map as well goes there, too.

use crate::failure::{Failure, without_secrets};
use crate::secrets::{LayerSecrets, MOST_SECRETS, SHORTEST_SECRET, WITHHELD, is_reserved};
use crate::service_url::ServiceUrl;
use crate::web_map::MapLayer;
use aho_corasick::AhoCorasick;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use url::Url;

/// Members whose values are sent with requests.
const PARAMETERS: [&str; 2] = ["customParameters", "customLayerParameters"];
/// Words of which one is in the name of a parameter that is a secret.
const SECRET_WORDS: [&str; 8] =
    ["token", "secret", "password", "passwd", "apikey", "signature", "credential", "authorization"];
/// Short names of secrets; longer ones end in `key`.
const SECRET_NAMES: [&str; 6] = ["sig", "pwd", "pass", "auth", "jwt", "sas"];

/// Kinds of services whose urls have no query of their own.
const SERVICES: [&str; 6] = ["featureserver", "mapserver", "imageserver", "vectortileserver", "sceneserver", "streamserver"];

/// What was taken out of a map.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Withheld {
    /// By the pointers of layers.
    pub(crate) layers: BTreeMap<String, LayerSecrets>,
    /// Layers that cannot be asked for, by pointers.
    pub(crate) refused: BTreeMap<String, Failure>,
    /// Things worth knowing.
    pub(crate) warnings: Vec<String>,
    /// All values.
    pub(crate) values: Values,
}

/// Texts that nobody may read.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct Values(pub(crate) Vec<String>);

impl std::fmt::Debug for Values {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} values", self.0.len())
    }
}

/// Where the JSON of a map comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// From a portal or file, as its author wrote it.
    Author,
    /// From a document of offmap: a parameter without a value was withheld.
    Document,
}

/// Takes the secrets out of the JSON of a map; `layers` are the views on it.
pub(crate) fn withhold(json: &mut Map<String, Value>, layers: &[MapLayer], origin: Origin) -> Withheld {
    let mut all = Withheld::default();
    let mut map = Value::Object(std::mem::take(json));
    for layer in layers {
        if let Some(json) = map.pointer_mut(&layer.pointer).and_then(Value::as_object_mut) {
            of_layer(json, layer, origin, &mut all);
        }
    }
    clean(&mut map, &mut all.values.0);
    all.values.0.sort_unstable();
    all.values.0.dedup();
    let opaque: Vec<&str> = all.values.0.iter().map(String::as_str).filter(|v| is_opaque(v)).take(MOST_SECRETS).collect();
    if !opaque.is_empty()
        && let Ok(opaque) = AhoCorasick::new(opaque)
    {
        replace(&mut map, &opaque);
    }
    if let Value::Object(map) = map {
        *json = map;
    }
    all
}

fn of_layer(json: &mut Map<String, Value>, layer: &MapLayer, origin: Origin, all: &mut Withheld) {
    let mut secrets = LayerSecrets::default();
    let mut names: Vec<String> = Vec::new();
    let mut found: Vec<(String, String)> = Vec::new();
    let mut urls: Vec<Url> = Vec::new();
    for key in ["url", "styleUrl"] {
        let Some(Value::String(text)) = json.get_mut(key) else { continue };
        let Ok(url) = Url::parse(text.trim()) else { continue };
        if !url.username().is_empty() || url.password().is_some() {
            all.values.0.extend([url.password().unwrap_or_default().to_owned(), url.username().to_owned()]);
            let message = format!(
                "the {key} of layer \"{}\" has a user name and password in it, which are not used: take them out of the map and \
                 give credentials for the host",
                layer.title
            );
            all.refused.insert(layer.pointer.clone(), Failure::invalid_parameter(message).for_layer(&layer.id));
            *text = without_secrets(text.trim());
        }
        // The query of a service says nothing of where it is; elsewhere it may.
        let is_service = ServiceUrl::parse(text).is_some_and(|s| SERVICES.contains(&s.kind().as_str()));
        let kept = match is_service {
            true => {
                found.extend(url.query_pairs().map(|(k, v)| (k.into_owned(), v.into_owned())));
                text.split(['?', '#']).next().unwrap_or_default().to_owned()
            }
            false => without_secret_parameters(text, &mut found),
        };
        *text = kept;
        urls.push(url);
    }
    for (name, value) in found {
        if is_reserved(&name) {
            if is_secret_name(&name) {
                all.warnings
                    .push(format!("the `{name}` in the url of layer \"{}\" is not used: it is its author's", layer.title));
                all.values.0.push(value);
            }
        } else if let Some(url) = urls.first() {
            secrets.add(url, &name, &value);
            names.push(name);
        }
    }
    if let Some(custom) = json.get("customParameters").and_then(Value::as_object) {
        for (name, value) in custom {
            if is_reserved(name) {
                all.warnings.push(format!(
                    "`{name}` of the customParameters of layer \"{}\" is not sent: the requests have a parameter of that name",
                    layer.title
                ));
                continue;
            }
            let text = match value {
                Value::Null if origin == Origin::Document => {
                    secrets.add_missing(name);
                    continue;
                }
                Value::Null => continue,
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            urls.iter().for_each(|url| secrets.add(url, name, &text));
        }
    }
    all.values.0.extend(secrets.values().map(str::to_owned));
    if !names.is_empty() {
        let custom = json.entry("customParameters").or_insert_with(|| Value::Object(Map::new()));
        if let Some(custom) = custom.as_object_mut() {
            for name in names {
                custom.entry(name).or_insert(Value::Null);
            }
        }
    }
    if !secrets.is_empty() {
        all.layers.insert(layer.pointer.clone(), secrets);
    }
}

/// Whether a parameter of this name is a secret.
fn is_secret_name(name: &str) -> bool {
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase();
    SECRET_NAMES.contains(&plain.as_str()) || plain.ends_with("key") || SECRET_WORDS.iter().any(|w| plain.contains(w))
}

/// Whether a value can hardly be the name of something, so that it may be looked for in the whole map.
fn is_opaque(value: &str) -> bool {
    let is_name = value.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | ' ' | '.' | '-'));
    let has_digit = value.chars().any(|c| c.is_ascii_digit());
    let length = value.chars().count();
    length >= SHORTEST_SECRET && (length >= 16 && has_digit || length >= 32 || !is_name && length >= 12)
}

/// Takes what is sent with requests, and secrets in urls, out of all of a map.
fn clean(value: &mut Value, taken: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                match value {
                    Value::Object(parameters) if PARAMETERS.contains(&key.as_str()) => {
                        for value in parameters.values_mut() {
                            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                            if !value.is_null() {
                                taken.push(text);
                            }
                            *value = Value::Null;
                        }
                    }
                    value => clean(value, taken),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|v| clean(v, taken)),
        Value::String(text) => {
            if let Some(kept) = clean_text(text, taken) {
                *text = kept;
            }
        }
        _ => {}
    }
}

/// A text without the secrets of the urls in it; `None` where there are none.
pub(crate) fn clean_text(text: &str, taken: &mut Vec<String>) -> Option<String> {
    if !text.contains("://") && !text.starts_with('/') {
        return None;
    }
    let mut found = Vec::new();
    let kept = without_secret_parameters(&without_user(text, taken), &mut found);
    taken.extend(found.into_iter().map(|(_, value)| value));
    (kept != text).then_some(kept)
}

/// Where a url or one of its parts ends in a text, such as the description of a popup.
fn ends_url(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | '\\')
}

/// A text without user names and passwords in the urls of it.
fn without_user(text: &str, taken: &mut Vec<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (head, tail) = rest.split_at(at + 3);
        out.push_str(head);
        let authority = tail.find(|c: char| ends_url(c) || matches!(c, '/' | '?' | '#')).unwrap_or(tail.len());
        let from = tail.get(..authority).and_then(|a| a.rfind('@')).map_or(0, |at| at + 1);
        if let Some(user) = tail.get(..from.saturating_sub(1)).filter(|u| !u.is_empty()) {
            taken.extend(user.split_once(':').map_or(user, |(_, password)| password).split_whitespace().map(str::to_owned));
        }
        rest = tail.get(from..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// A text without the parameters of its urls that are secrets; they are added to `taken`.
fn without_secret_parameters(text: &str, taken: &mut Vec<(String, String)>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['?', '&']) {
        let (head, tail) = rest.split_at(at);
        out.push_str(head);
        let between = match tail.get(1..).unwrap_or_default() {
            after if tail.starts_with('&') && after.starts_with("amp;") => "&amp;",
            _ => tail.get(..1).unwrap_or_default(),
        };
        let mut after = tail.get(between.len()..).unwrap_or_default();
        rest = loop {
            let end = after.find(|c: char| ends_url(c) || matches!(c, '&' | '#')).unwrap_or(after.len());
            let (pair, behind) = after.split_at(end);
            let decoded = url::form_urlencoded::parse(pair.as_bytes()).next();
            let Some((name, value)) = decoded.filter(|(name, _)| pair.contains('=') && is_secret_name(name)) else {
                out.push_str(between);
                break after;
            };
            taken.push((name.into_owned(), value.into_owned()));
            // The next pair stands behind the question mark in place of this one.
            match behind.strip_prefix("&amp;").or_else(|| behind.strip_prefix('&')).filter(|_| between == "?") {
                Some(next) => after = next,
                None => break behind,
            }
        };
    }
    out.push_str(rest);
    out
}

/// Takes values out of all texts of a map. Ids and the paths of urls name things and stay.
fn replace(value: &mut Value, secrets: &AhoCorasick) {
    match value {
        Value::Object(map) => map.iter_mut().filter(|(key, _)| *key != "id").for_each(|(_, v)| replace(v, secrets)),
        Value::Array(list) => list.iter_mut().for_each(|v| replace(v, secrets)),
        Value::String(text) => {
            let from = match text.starts_with("http://") || text.starts_with("https://") {
                true => text.find('?').unwrap_or(text.len()),
                false => 0,
            };
            let (head, rest) = text.split_at(from);
            if secrets.is_match(rest) {
                let mut out = head.to_owned();
                secrets.replace_all_with(rest, &mut out, |_, _, out| {
                    out.push_str(WITHHELD);
                    true
                });
                *text = out;
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_urls_go_and_the_rest_of_the_urls_stays() {
        for (text, kept, gone) in [
            ("https://h/a?token=abc&f=json", "https://h/a?f=json", "abc"),
            ("https://h/a?token=abc&token=def", "https://h/a", "def"),
            ("https://h/a?x=1&apiKey=abc#top", "https://h/a?x=1#top", "abc"),
            ("https://h/a?x=1&amp;api-key=abc&amp;y=2", "https://h/a?x=1&amp;y=2", "abc"),
            ("see <a href='https://h/a?Token=abc'>here?</a> & there", "see <a href='https://h/a'>here?</a> & there", "abc"),
            ("https://user:pw@h/{level}?x={x}", "https://h/{level}?x={x}", "pw"),
            ("/sharing/rest/x?access_token=abc", "/sharing/rest/x", "abc"),
        ] {
            let mut taken = Vec::new();
            assert_eq!(clean_text(text, &mut taken).as_deref(), Some(kept));
            assert!(taken.iter().any(|t| t == gone), "{taken:?}");
        }
        for text in ["https://h/a?keyboard=3", "A = 'x?' AND token=3", "https://h/a?x&y", "https://h/@1,2,3z"] {
            assert_eq!(clean_text(text, &mut Vec::new()), None, "{text}");
        }
    }

    #[test]
    fn a_text_of_many_secrets_is_read_in_one_go() {
        let text = format!("https://h/a?{}", "token=a&".repeat(200_000));
        assert_eq!(clean_text(&text, &mut Vec::new()).as_deref(), Some("https://h/a?"));
    }
}
