//! Takes the secrets out of a web map as it is read, so that nothing that is made of the map can write them.
//!
//! 1. Of every layer: the values of `customParameters` and the query of its urls become its [`LayerSecrets`]; the map keeps the
//!    names (`"customParameters": {"apiKey": null}`), so that it is known later what is missing. A `token` is the map author's: it
//!    is removed and not used. User names and passwords in urls are removed, the layer is refused.
//! 2. Of the rest of the map: `customParameters` and `customLayerParameters` anywhere, and in any url tokens, keys, signatures,
//!    user names and passwords.
//! 3. A parameter's value that stands somewhere else in the map as well goes there, too.

use super::layer::MapLayer;
use super::secret_text::{clean_text, is_secret_name, without_secret_parameters};
use crate::failure::{Failure, without_secrets};
use crate::layer_secrets::{LayerSecrets, MOST_SECRETS, SHORTEST_SECRET, WITHHELD, is_reserved};
use crate::service_url::ServiceUrl;
use aho_corasick::AhoCorasick;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use url::Url;

/// Members whose values are sent with requests.
const PARAMETERS: [&str; 2] = ["customParameters", "customLayerParameters"];
/// Kinds of services whose urls have no query of their own.
const SERVICES: [&str; 6] = ["featureserver", "mapserver", "imageserver", "vectortileserver", "sceneserver", "streamserver"];

/// What was taken out of a map.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Withheld {
    /// By the pointers of layers.
    pub(super) layers: BTreeMap<String, LayerSecrets>,
    /// Layers that cannot be asked for, by pointers.
    pub(super) refused: BTreeMap<String, Failure>,
    /// Things worth knowing.
    pub(super) warnings: Vec<String>,
    /// All values.
    pub(super) values: Values,
}

/// Texts that nobody may read.
#[derive(Clone, Default, PartialEq)]
pub(super) struct Values(pub(super) Vec<String>);

impl std::fmt::Debug for Values {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} values", self.0.len())
    }
}

/// Where the JSON of a map comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// From a portal or file, as its author wrote it.
    Author,
    /// From a document of offmap: a parameter without a value was withheld.
    Document,
}

/// Takes the secrets out of the JSON of a map; `layers` are the views on it.
pub(super) fn withhold(json: &mut Map<String, Value>, layers: &[MapLayer], origin: Origin) -> Withheld {
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
    let mut found: Vec<(String, String)> = Vec::new();
    let urls = of_urls(json, layer, &mut found, all);
    let mut secrets = LayerSecrets::default();
    let mut names: Vec<String> = Vec::new();
    for (name, value) in found {
        if !is_reserved(&name) {
            if let Some(url) = urls.first() {
                secrets.add(url, &name, &value);
                names.push(name);
            }
        } else if is_secret_name(&name) {
            let title = &layer.title;
            all.warnings.push(format!("the `{name}` in the url of layer \"{title}\" is not used: it is its author's"));
            all.values.0.push(value);
        }
    }
    of_parameters(json, layer, origin, &urls, &mut secrets, &mut all.warnings);
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

/// Takes queries, user names and passwords out of the urls of a layer. What queries held is added to `found`; answers the urls as they
/// were.
fn of_urls(
    json: &mut Map<String, Value>,
    layer: &MapLayer,
    found: &mut Vec<(String, String)>,
    all: &mut Withheld,
) -> Vec<Url> {
    let mut urls = Vec::new();
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
            false => without_secret_parameters(text, found),
        };
        *text = kept;
        urls.push(url);
    }
    urls
}

/// Reads the `customParameters` of a layer, which go to the origins of its urls.
fn of_parameters(
    json: &Map<String, Value>,
    layer: &MapLayer,
    origin: Origin,
    urls: &[Url],
    secrets: &mut LayerSecrets,
    warnings: &mut Vec<String>,
) {
    for (name, value) in json.get("customParameters").and_then(Value::as_object).into_iter().flatten() {
        if is_reserved(name) {
            warnings.push(format!(
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
