//! Takes the secrets out of a web map as it is read, so that nothing that is made of the map can write them.
//!
//! 1. Of every layer: the values of `customParameters` and the query of its urls become its [`LayerSecrets`], each for the hosts of
//!    its urls: of a query, of the url that it stood in; of a template, every host of `subDomains`. The map keeps the
//!    names (`"customParameters": {"apiKey": null}`), so that it is known later what is missing. A `token` is the map author's: it
//!    is removed and not used. User names and passwords in urls are removed, the layer is refused.
//! 2. Of the rest of the map: `customParameters` and `customLayerParameters` anywhere, and in any url tokens, keys, signatures,
//!    user names and passwords.
//! 3. A parameter's value that stands somewhere else in the map as well goes there, too, in whatever form.
//!
//! What is sent and looked for is bounded: a layer whose parameters are too long, or too many with those of the layers before it, is
//! refused. They are taken out of the map all the same.
//!
//! Source: web map specification, `wmsLayer` and `wmtsInfo` (`customParameters`, `customLayerParameters`); WMS 1.3.0, §6.8.1 (letter
//! case of names).

use super::layer::{LONGEST_URL, MapLayer};
use super::secret_text::{clean_text, without_secret_parameters};
use super::template_hosts::at_each_host;
use super::withheld_values::Values;
use crate::failure::{Failure, FailureKind, FailureOwner, FailureStage, shortened, without_secrets};
use crate::layer_secrets::{
    LONGEST_SECRET, LayerSecrets, MOST_SECRET_BYTES, MOST_SECRETS, Reach, WITHHELD, is_opaque, is_reserved, is_secret_name,
};
use crate::secret_search::searcher;
use crate::service_url::ServiceUrl;
use aho_corasick::AhoCorasick;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;
use url::Url;

/// Members whose values are sent with requests.
const PARAMETERS: [&str; 2] = ["customParameters", "customLayerParameters"];
/// Where they stand in a layer, and which requests they go with.
const OF_LAYER: [(&[&str], Reach); 4] = [
    (&["customParameters"], Reach::Service),
    (&["customLayerParameters"], Reach::Layer),
    (&["wmtsInfo", "customParameters"], Reach::Service),
    (&["wmtsInfo", "customLayerParameters"], Reach::Layer),
];
/// Members that are urls of a layer.
const URLS: [&str; 4] = ["url", "styleUrl", "templateUrl", "mapUrl"];
/// Kinds of services whose urls have no query of their own.
const SERVICES: [&str; 6] = ["featureserver", "mapserver", "imageserver", "vectortileserver", "sceneserver", "streamserver"];
/// Most parameters of all layers of a map together that are sent.
const MOST_PARAMETERS: usize = 20_000;
/// Longest name of a parameter in a message, in bytes.
const LONGEST_NAME: usize = 64;
/// Most warnings of what was taken out.
const MOST_WARNINGS: usize = 100;

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
    /// How many parameters are sent.
    parameters: usize,
}

impl Withheld {
    fn warn(&mut self, message: impl FnOnce() -> String) {
        if self.warnings.len() < MOST_WARNINGS {
            self.warnings.push(message());
        }
    }

    /// Keeps what is sent for a layer, or refuses the layer where there is no room for it; answers whether it is kept.
    pub(super) fn admit(&mut self, layer: &MapLayer, secrets: LayerSecrets) -> bool {
        let count = secrets.pairs().count();
        let unkept = secrets.pairs().filter(|(name, value)| !self.values.has_kept(name, value)).count();
        let parameters = self.parameters.saturating_add(count);
        if unkept > 0 || count > 0 && parameters > MOST_PARAMETERS {
            let message = format!(
                "the parameters of the layers of the map are too many or too long together ({MOST_PARAMETERS} may be sent; {MOST_SECRETS} \
                 secrets of {} KiB, each in all the forms in which it may come back, are looked for), and those of layer \"{}\" are not \
                 sent: split the map into several, or take out of its customParameters what the services do without",
                MOST_SECRET_BYTES >> 10,
                layer.title
            );
            self.refuse(layer, message);
            return false;
        }
        self.parameters = parameters;
        if !secrets.is_empty() {
            self.layers.insert(layer.pointer.clone(), secrets);
        }
        true
    }

    /// What is kept of a layer, to be admitted anew.
    pub(super) fn release(&mut self, layer: &MapLayer) -> Option<LayerSecrets> {
        let secrets = self.layers.remove(&layer.pointer)?;
        self.parameters = self.parameters.saturating_sub(secrets.pairs().count());
        Some(secrets)
    }

    fn refuse_long(&mut self, layer: &MapLayer, name: &str, bytes: usize) {
        let message = format!(
            "the parameter `{name}` of layer \"{}\" has {bytes} bytes, expected at most {LONGEST_SECRET}; it is not sent: shorten it, or take it \
             out of the layer's customParameters",
            layer.title
        );
        self.refuse(layer, message);
    }

    /// Refuses a layer for the length of what would be sent; one that is refused already stays so.
    fn refuse(&mut self, layer: &MapLayer, message: String) {
        let failure = Failure::new(FailureOwner::Caller, FailureKind::LimitExceeded, FailureStage::Plan, message);
        self.refused.entry(layer.pointer.clone()).or_insert(failure.for_layer(&layer.id));
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
    clean(&mut map, &mut all.values);
    if let Some(opaque) = searcher(all.values.sought().filter(|v| is_opaque(v))) {
        replace(&mut map, &opaque);
    }
    if let Some(message) = all.values.left_out() {
        all.warnings.push(message);
    }
    if let Value::Object(map) = map {
        *json = map;
    }
    all
}

fn of_layer(json: &mut Map<String, Value>, layer: &MapLayer, origin: Origin, all: &mut Withheld) {
    let read = of_urls(json, layer, all);
    let mut secrets = LayerSecrets::default();
    for (urls, (name, value)) in read.iter().flat_map(|read| read.found.iter().map(|pair| (&read.urls, pair))) {
        if !is_reserved(name) {
            urls.iter().for_each(|url| secrets.add(url, name, value));
        } else if is_secret_name(name) {
            let title = &layer.title;
            all.warn(|| format!("the `{name}` in the url of layer \"{title}\" is not used: it is its author's"));
            all.values.keep_secret(value);
        }
    }
    let urls: Vec<Url> = read.into_iter().flat_map(|read| read.urls).collect();
    let mut names: Vec<String> = secrets.pairs().map(|(name, _)| name.to_owned()).collect();
    let is_admitted = match of_parameters(json, layer, origin, &urls, &mut secrets, all) {
        Some((name, bytes)) => {
            all.refuse_long(layer, &name, bytes);
            secrets.pairs().for_each(|(name, value)| all.values.keep_unsent(name, value));
            false
        }
        None => all.admit(layer, secrets),
    };
    if !is_admitted {
        // One says for later that something is missing.
        names.truncate(1);
    }
    if !names.is_empty() {
        let custom = json.entry("customParameters").or_insert_with(|| Value::Object(Map::new()));
        if let Some(custom) = custom.as_object_mut() {
            for name in names {
                custom.entry(name).or_insert(Value::Null);
            }
        }
    }
}

/// A url of a layer as it was, at each of its hosts, and what its query held.
struct ReadUrl {
    urls: Vec<Url>,
    found: Vec<(String, String)>,
}

/// The urls of a layer, at each host that they stand for.
pub(super) fn urls_of(json: &Map<String, Value>) -> Vec<Url> {
    let texts = URLS.iter().filter_map(|key| json.get(*key).and_then(Value::as_str)).filter(|url| url.len() <= LONGEST_URL);
    texts.flat_map(|text| at_each_host(text, json)).collect()
}

/// Takes queries, user names and passwords out of the urls of a layer.
fn of_urls(json: &mut Map<String, Value>, layer: &MapLayer, all: &mut Withheld) -> Vec<ReadUrl> {
    let mut read = Vec::new();
    for key in URLS {
        let hosts = match json.get(key) {
            Some(Value::String(text)) if text.len() <= LONGEST_URL => at_each_host(text, json),
            _ => Vec::new(),
        };
        let Some(Value::String(text)) = json.get_mut(key) else { continue };
        if text.len() > LONGEST_URL {
            // The view of the layer has no such url.
            cut_long(text, &mut all.values);
            continue;
        }
        let Ok(url) = Url::parse(text.trim()) else { continue };
        if !url.username().is_empty() || url.password().is_some() {
            match url.password() {
                Some(password) => {
                    all.values.keep_secret(password);
                    all.values.keep_unsent("user", url.username());
                }
                None => all.values.keep_secret(url.username()),
            }
            let message = format!(
                "the {key} of layer \"{}\" has a user name and password in it, which are not used: take them out of the map and \
                 give credentials for the host",
                layer.title
            );
            all.refused.insert(layer.pointer.clone(), Failure::invalid_parameter(message).for_layer(&layer.id));
            *text = without_secrets(text.trim());
        }
        let mut found = Vec::new();
        let kept = match is_of_service(text) {
            true => {
                found.extend(url.query_pairs().map(|(k, v)| (k.into_owned(), v.into_owned())));
                text.split(['?', '#']).next().unwrap_or_default().to_owned()
            }
            false => without_secret_parameters(text, &mut |name, value| found.push((name.to_owned(), value.to_owned()))),
        };
        *text = kept;
        read.push(ReadUrl { urls: hosts, found });
    }
    read
}

/// Whether a url is that of a service, whose query says nothing of where it is.
fn is_of_service(text: &str) -> bool {
    ServiceUrl::parse(text).is_some_and(|s| SERVICES.contains(&s.kind().as_str()))
}

/// Takes the query out of the url of a service that is too long to be asked; elsewhere only what is a secret goes.
fn cut_long(text: &mut String, values: &mut Values) {
    if is_of_service(text)
        && let Some((bare, query)) = text.split_once('?')
    {
        let query = query.split('#').next().unwrap_or_default();
        url::form_urlencoded::parse(query.as_bytes()).for_each(|(name, value)| values.keep_unsent(&name, &value));
        *text = bare.to_owned();
    }
}

/// The parameters of a layer: the member that each is of, which requests it goes with, its name and its value.
fn parameters_of(json: &Map<String, Value>) -> impl Iterator<Item = (&'static str, Reach, &String, &Value)> {
    OF_LAYER.into_iter().flat_map(move |(path, reach)| {
        let mut member = None;
        for (at, key) in path.iter().enumerate() {
            member = match at {
                0 => json.get(*key),
                _ => member.and_then(|inner: &Value| inner.get(*key)),
            };
        }
        let all = member.and_then(Value::as_object).into_iter().flatten();
        all.map(move |(name, value)| (path.last().copied().unwrap_or_default(), reach, name, value))
    })
}

/// Reads the parameters of a layer, which go to the origins of its urls. Answers the name and length of one that is too long.
fn of_parameters(
    json: &Map<String, Value>,
    layer: &MapLayer,
    origin: Origin,
    urls: &[Url],
    secrets: &mut LayerSecrets,
    all: &mut Withheld,
) -> Option<(String, usize)> {
    let mut too_long = None;
    for (member, reach, name, value) in parameters_of(json) {
        let shown = || shortened(name.as_str(), LONGEST_NAME);
        if is_reserved(name) {
            all.warn(|| {
                format!(
                    "`{}` of the {member} of layer \"{}\" is not sent: the requests have a parameter of that name",
                    shown(),
                    layer.title
                )
            });
            continue;
        }
        let text = match value {
            Value::Null if origin == Origin::Document => {
                secrets.add_missing(name);
                continue;
            }
            Value::Null => continue,
            Value::String(text) => Cow::Borrowed(text.as_str()),
            other => Cow::Owned(other.to_string()),
        };
        let longest = name.len().max(text.len());
        if longest > LONGEST_SECRET && !urls.is_empty() {
            too_long.get_or_insert_with(|| (shown(), longest));
        }
        urls.iter().for_each(|url| secrets.add_for(reach, url, name, &text));
    }
    too_long
}

/// Takes what is sent with requests, and secrets in urls, out of all of a map.
fn clean(value: &mut Value, taken: &mut Values) {
    match value {
        Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                match value {
                    Value::Object(parameters) if PARAMETERS.contains(&key.as_str()) => {
                        for (name, value) in parameters.iter_mut() {
                            match std::mem::take(value) {
                                Value::Null => {}
                                Value::String(text) => taken.keep_unsent(name, &text),
                                other => taken.keep_unsent(name, &other.to_string()),
                            }
                        }
                    }
                    value => clean(value, taken),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|v| clean(v, taken)),
        Value::String(text) => {
            if let Some(kept) = clean_text(text, &mut |secret| taken.keep_secret(secret)) {
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

#[cfg(test)]
mod tests {
    use super::MOST_WARNINGS;
    use crate::web_map::WebMap;
    use serde_json::{Value, json};

    /// A key that looks like one.
    const KEY: &str = "layer key+/0123456789&Abc";

    fn layer(id: usize, parameters: Value) -> Value {
        json!({"id": format!("l{id}"), "title": format!("Layer {id}"), "layerType": "ArcGISFeatureLayer",
            "url": format!("https://h/rest/services/S{id}/FeatureServer/0"), "customParameters": parameters})
    }

    fn map(layers: Vec<Value>) -> WebMap {
        WebMap::from_value(json!({"operationalLayers": layers})).expect("a map")
    }

    fn letters(seed: usize, length: usize) -> String {
        let letter = |i: usize| char::from(b"abcdeABCDE0123456789-_.~"[(i * 7 + i * i * seed + seed) % 24]);
        (0..length).map(letter).collect()
    }

    #[test]
    fn a_parameter_that_is_too_long_is_never_sent_and_its_layer_is_refused_by_name() {
        let long = letters(3, 3 << 20);
        let map = map(vec![layer(0, json!({"a": long, "b": "kept-0123456789abc"})), layer(1, json!({"b": "of another"}))]);
        assert!(!Value::Object(map.json().clone()).to_string().contains(&long[..100]), "taken out of the map");
        let layers = map.layers();
        assert!(!layers[0].secrets.has_name("a"), "never sent");
        let failure = map.refusal(&layers[0]).expect("refused");
        for words in ["`a`", "\"Layer 0\"", "3145728 bytes", "at most 4096", "shorten"] {
            assert!(failure.message.contains(words), "{words}: {failure}");
        }
        assert_eq!((failure.layer.as_deref(), map.refusal(&layers[1])), (Some("l0"), None));
        assert!(layers[1].secrets.has_name("b"));
    }

    #[test]
    fn a_value_is_found_in_the_map_in_every_form_and_in_any_case() {
        let percent = "layer%20key%2b%2f0123456789%26abc";
        let popup = format!("<a href='x?k={percent}'>a</a> LAYER KEY+/0123456789&amp;ABC, {KEY}");
        let text = format!("https://h/path?key2={}", percent.to_uppercase());
        let mut layer = layer(0, json!({"apiKey": KEY}));
        layer["popupInfo"] = json!({"description": popup, "media": [{"value": {"sourceURL": text}}]});
        let map = map(vec![layer]);
        let popup = &map.json()["operationalLayers"][0]["popupInfo"];
        assert_eq!(popup["description"], "<a href='x?k=…'>a</a> …, …");
        assert!(!popup.to_string().contains("0123456789"), "{popup}");
    }

    #[test]
    fn a_key_of_a_template_goes_to_each_of_its_hosts_and_to_no_other() {
        let template = |place: &str, hosts: Value| {
            json!({"id": place, "title": "T", "layerType": "WebTiledLayer", "subDomains": hosts,
                "url": "https://catalogue.h/wmts", "customParameters": {"region": "ch"},
                "templateUrl": format!("https://{place}.tiles.h/{{level}}/{{row}}/{{col}}?apikey=0123456789abcdef")})
        };
        let map = map(vec![template("{subDomain}", json!(["a", "b", "evil.h/", ""])), template("{s}", json!(["c"]))]);
        let sent = |map: &WebMap, layer: usize, url: &str| {
            let url = url.parse().expect("a url");
            map.layers()[layer].secrets.parameters_for(&url).map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>()
        };
        let check = |map: &WebMap| {
            for (layer, host) in [(0, "a"), (0, "b"), (1, "c")] {
                let there = sent(map, layer, &format!("https://{host}.tiles.h/1/2/3"));
                assert_eq!(there, ["apikey=0123456789abcdef", "region=ch"], "{host}");
            }
            for other in ["https://c.tiles.h/", "https://tiles.h/", "https://evil.h/", "https://a.tiles.h:8443/"] {
                assert!(sent(map, 0, other).is_empty(), "{other}");
            }
            assert_eq!(sent(map, 0, "https://catalogue.h/"), ["region=ch"], "the key stood in another url");
        };
        check(&map);
        let json = Value::Object(map.json().clone());
        assert!(!json.to_string().contains("0123456789abcdef"), "{json}");
        // A document of the map has no values; they go to the same hosts again.
        let mut document: WebMap = serde_json::from_value(json).expect("a map");
        assert!(document.refusal(&document.layers()[0]).is_some());
        document.supply_secrets(&map);
        assert_eq!(document.refusal(&document.layers()[0]), None);
        check(&document);
    }

    #[test]
    fn parameters_of_pictures_win_over_those_of_the_service_whatever_their_letters_and_are_asked_of_nothing_else() {
        let (service, pictures) = (json!({"time": "2020", "Lang": "de"}), json!({"TIME": "2021", "CQL_FILTER": KEY}));
        let wms = json!({"id": "w", "title": "W", "layerType": "WMS", "url": "https://h/wms", "customParameters": service,
            "customLayerParameters": pictures});
        let wmts = json!({"id": "t", "title": "T", "layerType": "WebTiledLayer", "templateUrl": "https://h/{level}/{row}/{col}",
            "wmtsInfo": {"url": "https://h/wmts", "customParameters": service, "customLayerParameters": pictures}});
        let check = |map: &WebMap| {
            for layer in map.layers() {
                let url = "https://h/x".parse().expect("a url");
                let of = |secrets: &crate::LayerSecrets| {
                    let mut all: Vec<_> = secrets.parameters_for(&url).map(|(n, v)| format!("{n}={v}")).collect();
                    all.sort();
                    all
                };
                let filter = format!("CQL_FILTER={KEY}");
                assert_eq!(of(&layer.secrets), [filter.as_str(), "Lang=de", "TIME=2021"], "{}", layer.id);
                assert_eq!(of(&layer.secrets.of_service()), ["Lang=de", "time=2020"], "{}", layer.id);
                let deciding = layer.secrets.deciding();
                let deciding: Vec<_> = deciding.iter().map(|(name, value)| (name.as_str(), *value)).collect();
                assert_eq!(deciding, [("cql_filter", KEY), ("lang", "de"), ("time", "2021")]);
            }
        };
        let map = map(vec![wms, wmts]);
        check(&map);
        let json = Value::Object(map.json().clone());
        assert!(!json.to_string().contains("0123456789") && !json.to_string().contains("2021"), "{json}");
        // A document of the map has no values; they are what they were once the map is read again.
        let mut document: WebMap = serde_json::from_value(json).expect("a map");
        assert!(document.layers().iter().all(|layer| document.refusal(layer).is_some()));
        document.supply_secrets(&map);
        check(&document);
    }

    #[test]
    fn a_value_that_is_an_ordinary_word_is_withheld_from_the_map_and_looked_for_nowhere_else() {
        let map = map(vec![
            layer(0, json!({"region": "Switzerland", "apiKey": "Liechtenstein", "x": KEY})),
            layer(1, json!({"region": "Switzerland"})),
        ]);
        assert_eq!(
            map.json()["operationalLayers"][0]["customParameters"],
            json!({"region": null, "apiKey": null, "x": null})
        );
        let mut texts: Vec<&str> = map.texts_to_hide().collect();
        texts.sort_unstable();
        assert_eq!(texts, ["Liechtenstein", KEY]);
        let ordinary = self::map(vec![layer(1, json!({"region": "Switzerland"}))]);
        assert_eq!((ordinary.secret_texts().count(), ordinary.texts_to_hide().count()), (1, 0), "that it has some is known");
        let url = "https://h/x".parse().expect("a url");
        assert_eq!(map.layers()[1].secrets.parameters_for(&url).collect::<Vec<_>>(), [("region", "Switzerland")]);
    }

    #[test]
    fn what_is_too_long_together_is_refused_by_name_and_a_map_that_supplies_it_says_so_too() {
        let keys: Vec<String> = (0..200).map(|i| format!("{i}-{}", letters(i, 4000))).collect();
        let layers = keys.iter().enumerate().map(|(i, key)| layer(i, json!({"apiKey": key}))).collect();
        let map = map(layers);
        assert_eq!(map.json()["operationalLayers"][199]["customParameters"], json!({"apiKey": null}));
        let refused: Vec<_> = map.layers().iter().filter_map(|l| Some((l.clone(), map.refusal(l)?))).collect();
        let sent = 200 - refused.len();
        assert!((20..=131).contains(&sent) && map.texts_to_hide().count() == sent, "{sent} are sent");
        let (last, failure) = refused.last().expect("one is refused");
        assert!(
            last.secrets.is_empty() && failure.message.contains("\"Layer 199\"") && failure.message.contains("split"),
            "{failure}"
        );
        assert!(map.warnings().iter().any(|w| w.contains("not looked for elsewhere")), "{:?}", map.warnings());
        // A document of the map has no values; the map read again brings as many as it had.
        let mut document: WebMap = serde_json::from_value(Value::Object(map.json().clone())).expect("a map");
        document.supply_secrets(&map);
        let layers = document.layers();
        assert_eq!(layers.iter().filter(|l| document.refusal(l).is_none()).count(), sent);
        assert_eq!(document.refusal(&layers[199]).map(|f| f.message), Some(failure.message.clone()));
        assert_eq!(document.texts_to_hide().count(), sent);
    }

    #[test]
    fn parameters_of_all_layers_together_are_as_many_as_may_be_sent_and_layers_without_any_stay() {
        let many: serde_json::Map<String, Value> = (0..200).map(|i| (format!("p{i}"), json!("x"))).collect();
        let mut layers: Vec<Value> = (0..101).map(|i| layer(i, Value::Object(many.clone()))).collect();
        layers.push(layer(101, json!({})));
        let map = map(layers);
        let refused = map.layers().iter().filter(|l| map.refusal(l).is_some()).map(|l| l.id.clone());
        assert_eq!(refused.collect::<Vec<_>>(), ["l100"]);
    }

    #[test]
    fn a_url_of_many_parameters_is_read_in_one_go_and_warnings_are_few() {
        let mut layers: Vec<Value> = (0..MOST_WARNINGS + 20).map(|i| layer(i, json!({"token": "x", "f": "y"}))).collect();
        for (at, word) in ["token=0123456789abcdef", "part=0123456789abcdef"].into_iter().enumerate() {
            layers[at]["url"] =
                json!(format!("https://h/rest/services/S/FeatureServer/0?{}", format!("{word}&").repeat(50_000)));
        }
        let map = map(layers);
        assert_eq!(map.warnings().len(), MOST_WARNINGS);
        assert_eq!(map.json()["operationalLayers"][1]["url"], "https://h/rest/services/S/FeatureServer/0");
        assert_eq!(map.texts_to_hide().collect::<Vec<_>>(), ["0123456789abcdef"]);
    }
}
