//! Secrets: the parameters of a map's layers that are sent to one origin and written nowhere, and the texts that are taken out of
//! whatever is written or shown.

use crate::artifact::Artifact;
use crate::failure::{Failure, FailureKind, FailureOwner, FailureStage};
use crate::plan::{ExportTask, OfflineMapPlan};
use aho_corasick::{AhoCorasick, MatchKind};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use url::Url;

/// Shortest text that is known as a secret: shorter ones would take ordinary words out of messages.
pub const SHORTEST_SECRET: usize = 8;
/// Most secrets that a registry keeps; the oldest go first.
pub const MOST_SECRETS: usize = 4096;
/// Most parameters of one layer that are sent.
const MOST_PARAMETERS: usize = 200;
/// What stands in the place of a secret.
pub const WITHHELD: &str = "…";

/// Names that the calls of offmap use for themselves. A map's parameter of such a name is never sent.
const RESERVED: &[&str] = &[
    "areaofinterest",
    "async",
    "attachmentssyncdirection",
    "callback",
    "client",
    "client_id",
    "client_secret",
    "compressionquality",
    "dataformat",
    "expiration",
    "exportby",
    "exportextent",
    "f",
    "geometry",
    "geometrytype",
    "grant_type",
    "insr",
    "ip",
    "layerqueries",
    "layers",
    "levels",
    "objectids",
    "optimizetilesforsize",
    "outfields",
    "password",
    "polygon",
    "referer",
    "refresh_token",
    "replicaid",
    "replicaname",
    "replicaoptions",
    "replicasr",
    "returnattachments",
    "returncountonly",
    "returngeometry",
    "returnidsonly",
    "serverurl",
    "spatialrel",
    "storageformattype",
    "syncdirection",
    "syncmodel",
    "targettype",
    "tilepackage",
    "timereferenceunknownclient",
    "token",
    "transporttype",
    "url",
    "username",
    "where",
];

/// Whether a map's parameter of this name would take the place of one of a call's own.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name.trim().to_ascii_lowercase().as_str())
}

/// Scheme, host and port of a url.
fn origin_of(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// One parameter, and the only origin that it is sent to.
#[derive(Clone, PartialEq, Eq)]
struct SecretParameter {
    origin: Url,
    name: String,
    value: String,
}

impl SecretParameter {
    /// The same origin; or the same host by `https` in place of `http`, each on its default port.
    fn is_for(&self, url: &Url) -> bool {
        let upgraded = self.origin.scheme() == "http"
            && url.scheme() == "https"
            && self.origin.port().is_none()
            && url.port().is_none()
            && self.origin.host() == url.host();
        upgraded || self.origin.origin() == url.origin()
    }
}

/// The `customParameters` of layers, and the query of their urls: sent with every request to the origin of the layer's url, to no
/// other, and written nowhere. It has no serialised form, and its `Debug` shows names only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct LayerSecrets {
    all: Vec<SecretParameter>,
    missing: Vec<String>,
}

impl fmt::Debug for LayerSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.all.iter().map(|p| format!("{}={WITHHELD} for {}", p.name, origin_of(&p.origin)));
        f.debug_struct("LayerSecrets").field("known", &known.collect::<Vec<_>>()).field("missing", &self.missing).finish()
    }
}

impl LayerSecrets {
    /// Adds a parameter for an origin; one that is there for the origin already stays.
    pub fn add(&mut self, origin: &Url, name: &str, value: &str) {
        let known = self.all.iter().any(|p| p.name.eq_ignore_ascii_case(name) && p.origin.origin() == origin.origin());
        if !known && !is_reserved(name) && self.all.len() < MOST_PARAMETERS {
            // The path is of no use here, and may be long.
            let mut origin = origin.clone();
            origin.set_path("");
            origin.set_query(None);
            origin.set_fragment(None);
            self.all.push(SecretParameter { origin, name: name.to_owned(), value: value.to_owned() });
        }
    }

    /// Notes that a parameter belongs here whose value was not kept.
    pub(crate) fn add_missing(&mut self, name: &str) {
        self.missing.push(name.to_owned());
    }

    /// The parameters of several layers of one service; of two with one name for one origin the first counts.
    #[must_use]
    pub fn merged<'a>(each: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut merged = Self::default();
        for secrets in each {
            for p in &secrets.all {
                merged.add(&p.origin, &p.name, &p.value);
            }
            merged.missing.extend(secrets.missing.iter().cloned());
        }
        merged.missing.sort_unstable();
        merged.missing.dedup();
        merged
    }

    /// The parameters that go with a request for this url.
    pub fn parameters_for<'a>(&'a self, url: &'a Url) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.all.iter().filter(|p| p.is_for(url)).map(|p| (p.name.as_str(), p.value.as_str()))
    }

    /// Whether there is nothing to send and nothing missing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty() && self.missing.is_empty()
    }

    /// Whether the name is that of one of the parameters.
    #[must_use]
    pub fn has_name(&self, name: &str) -> bool {
        self.all.iter().any(|p| p.name.eq_ignore_ascii_case(name))
    }

    /// Whether a pair of a url's query is one of the parameters, or has the value of one under another name.
    #[must_use]
    pub fn holds(&self, name: &str, value: &str) -> bool {
        let is_long = value.chars().count() >= SHORTEST_SECRET;
        self.all.iter().any(|p| p.value == value && (is_long || p.name.eq_ignore_ascii_case(name)))
    }

    /// The values, to be taken out of what is written.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(|p| p.value.as_str())
    }

    /// Names of parameters whose values were not kept.
    #[must_use]
    pub fn missing(&self) -> &[String] {
        &self.missing
    }

    /// Takes the values that are missing here from the same layer of a map that was read again, as far as they are for an origin
    /// that the layer's url has.
    pub(crate) fn supply(&mut self, from: &Self, urls: &[Url]) {
        for p in from.all.iter().filter(|p| urls.iter().any(|url| p.is_for(url))) {
            if let Some(index) = self.missing.iter().position(|name| name.eq_ignore_ascii_case(&p.name)) {
                self.missing.remove(index);
                self.add(&p.origin, &p.name, &p.value);
            }
        }
    }

    /// Why a layer cannot be asked for, where values are missing.
    #[must_use]
    pub fn missing_failure(&self, title: &str) -> Option<Failure> {
        let names: Vec<String> = self.missing.iter().map(|name| format!("`{name}`")).collect();
        (!names.is_empty()).then(|| {
            let message = format!(
                "the requests of \"{title}\" need {}, which the map holds and offmap does not write down: resume with credentials \
                 for the map's portal, or name the map by --web-map (GenerateOfflineMapJob::with_secrets_of)",
                names.join(", ")
            );
            Failure::new(FailureOwner::Credentials, FailureKind::Unauthorized, FailureStage::Plan, message)
        })
    }
}

/// The secrets that are known, taken out of whatever is written or shown. Cheap to clone; all clones are one registry.
///
/// A child also knows what its parent knows: a job's registry is a child of the client's, so that what one map's author writes
/// changes no other job's words.
#[derive(Clone, Default)]
pub struct SecretRegistry {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    parent: Option<SecretRegistry>,
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    secrets: VecDeque<String>,
    /// So many at the front are never given up.
    pinned: usize,
    matcher: Option<Arc<AhoCorasick>>,
}

impl fmt::Debug for SecretRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.inner.known.read().unwrap_or_else(PoisonError::into_inner).secrets.len();
        f.debug_struct("SecretRegistry").field("known", &known).finish_non_exhaustive()
    }
}

/// The forms in which a secret comes back: as it is, in a url, in JSON, in XML.
fn forms(secret: &str) -> Vec<String> {
    let mut all = vec![secret.to_owned()];
    all.push(url::form_urlencoded::byte_serialize(secret.as_bytes()).collect());
    let percent = |unreserved: &[u8]| {
        secret.bytes().fold(String::new(), |mut out, b| {
            match b.is_ascii_alphanumeric() || unreserved.contains(&b) {
                true => out.push(char::from(b)),
                false => out.push_str(&format!("%{b:02X}")),
            }
            out
        })
    };
    all.push(percent(b"-._~"));
    all.push(percent(b"-._~!$&'()*+,;=:@/?"));
    let json = Value::from(secret).to_string();
    let json = json.trim_matches('"').to_owned();
    all.push(json.replace('/', "\\/"));
    all.push(json);
    all.push(secret.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;"));
    all.sort_unstable();
    all.dedup();
    all
}

impl SecretRegistry {
    /// A registry that also knows what this one knows.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { inner: Arc::new(Inner { parent: Some(self.clone()), known: RwLock::default() }) }
    }

    /// Keeps a secret. One shorter than [`SHORTEST_SECRET`] is not kept.
    pub fn add(&self, secret: &str) {
        self.add_all([secret]);
    }

    /// Never gives up what is kept so far, however many secrets follow.
    pub fn pin(&self) {
        let mut known = self.inner.known.write().unwrap_or_else(PoisonError::into_inner);
        known.pinned = known.secrets.len();
    }

    /// Keeps several secrets.
    pub fn add_all<'a>(&self, secrets: impl IntoIterator<Item = &'a str>) {
        let mut known = self.inner.known.write().unwrap_or_else(PoisonError::into_inner);
        let before = known.secrets.len();
        let mut have: HashSet<String> = known.secrets.iter().cloned().collect();
        for secret in secrets.into_iter().map(str::trim) {
            if known.secrets.len() - before >= MOST_SECRETS {
                break;
            }
            if secret.chars().count() >= SHORTEST_SECRET && have.insert(secret.to_owned()) {
                known.secrets.push_back(secret.to_owned());
            }
        }
        if known.secrets.len() == before {
            return;
        }
        while known.secrets.len() > MOST_SECRETS.max(known.pinned + 1) {
            let oldest = known.pinned;
            known.secrets.remove(oldest);
        }
        let patterns: Vec<String> = known.secrets.iter().flat_map(|s| forms(s)).collect();
        let built =
            AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).ascii_case_insensitive(true).build(patterns);
        match built {
            Ok(matcher) => known.matcher = Some(Arc::new(matcher)),
            Err(error) => tracing::error!(%error, "secrets cannot be looked for"),
        }
    }

    /// The text without any secret that is known.
    #[must_use]
    pub fn scrub<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let of_parent = match &self.inner.parent {
            Some(parent) => parent.scrub(text),
            None => Cow::Borrowed(text),
        };
        let matcher = self.inner.known.read().unwrap_or_else(PoisonError::into_inner).matcher.clone();
        let Some(matcher) = matcher.filter(|m| m.is_match(of_parent.as_ref())) else { return of_parent };
        let mut out = String::with_capacity(of_parent.len());
        matcher.replace_all_with(of_parent.as_ref(), &mut out, |_, _, out| {
            out.push_str(WITHHELD);
            true
        });
        Cow::Owned(out)
    }

    /// The text without any secret that is known; an owned text that has none is not copied.
    #[must_use]
    pub fn scrubbed(&self, text: String) -> String {
        match self.scrub(&text) {
            Cow::Borrowed(_) => text,
            Cow::Owned(clean) => clean,
        }
    }

    /// The registry of the caller's own secrets: what a map says is not in it, so that it is safe to take them out of urls and ids.
    fn root(&self) -> &Self {
        self.inner.parent.as_ref().map_or(self, Self::root)
    }

    /// A text that a program reads back, such as a url, without the caller's secrets.
    #[must_use]
    pub fn scrub_word<'a>(&self, text: &'a str) -> Cow<'a, str> {
        self.root().scrub(text)
    }

    /// Takes the caller's secrets out of every text of a JSON value, its keys as well.
    pub fn scrub_json(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Cow::Owned(clean) = self.scrub_word(text) {
                    *text = clean;
                }
            }
            Value::Array(list) => list.iter_mut().for_each(|v| self.scrub_json(v)),
            Value::Object(map) => {
                map.values_mut().for_each(|v| self.scrub_json(v));
                let dirty: Vec<String> = map.keys().filter(|k| self.scrub_word(k) != k.as_str()).cloned().collect();
                for key in dirty {
                    if let Some(value) = map.remove(&key) {
                        map.insert(self.scrub_word(&key).into_owned(), value);
                    }
                }
            }
            _ => {}
        }
    }

    /// A value as JSON text without the caller's secrets.
    ///
    /// # Errors
    /// If it is not JSON.
    pub fn json_of(&self, value: &impl Serialize) -> serde_json::Result<String> {
        let text = serde_json::to_string(value)?;
        if matches!(self.scrub_word(&text), Cow::Borrowed(_)) {
            return Ok(text);
        }
        // Text by text: a secret may look like a part of JSON itself.
        let mut json = serde_json::from_str(&text)?;
        self.scrub_json(&mut json);
        Ok(json.to_string())
    }

    /// A value by way of its JSON, without the caller's secrets.
    ///
    /// # Errors
    /// If it cannot be read back.
    pub fn clean<T: Serialize + DeserializeOwned>(&self, value: &T) -> serde_json::Result<T> {
        serde_json::from_str(&self.json_of(value)?)
    }

    fn scrub_in_place(&self, text: &mut String) {
        if let Cow::Owned(clean) = self.scrub(text) {
            *text = clean;
        }
    }

    /// A failure without any secret that is known.
    #[must_use]
    pub fn failure(&self, mut failure: Failure) -> Failure {
        self.scrub_in_place(&mut failure.message);
        for text in [&mut failure.server_message, &mut failure.url].into_iter().flatten() {
            self.scrub_in_place(text);
        }
        failure
    }

    /// Takes every secret that is known out of what services told for a plan.
    pub fn scrub_plan(&self, plan: &mut OfflineMapPlan) {
        plan.tasks.iter_mut().for_each(|task| self.scrub_task(task));
        for skipped in &mut plan.skipped {
            skipped.failure = skipped.failure.take().map(|f| self.failure(f));
        }
        plan.warnings.iter_mut().for_each(|text| self.scrub_in_place(text));
    }

    /// Takes every secret that is known out of what a service told for a task.
    pub fn scrub_task(&self, task: &mut ExportTask) {
        self.scrub_in_place(&mut task.title);
        task.attribution.as_mut().into_iter().for_each(|text| self.scrub_in_place(text));
        task.units.iter_mut().for_each(|u| self.scrub_in_place(&mut u.title));
        self.scrub_words(&mut task.service);
    }

    /// Takes every secret that is known out of what a task brought home says.
    pub fn artifact(&self, mut artifact: Artifact) -> Artifact {
        artifact.warnings.iter_mut().for_each(|text| self.scrub_in_place(text));
        for layer in &mut artifact.layers {
            layer.failure = layer.failure.take().map(|f| self.failure(f));
            layer.contents.notes.iter_mut().for_each(|note| self.scrub_in_place(&mut note.message));
        }
        artifact
    }

    /// Takes every secret that is known out of the texts of a service's description; urls and single words, which name things,
    /// keep all but the caller's own.
    fn scrub_words(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                let names_a_thing = !text.contains(char::is_whitespace) && !text.contains(['+', '/', '=', '?', '&']);
                let clean = match names_a_thing || text.contains("://") {
                    true => self.scrub_word(text),
                    false => self.scrub(text),
                };
                if let Cow::Owned(clean) = clean {
                    *text = clean;
                }
            }
            Value::Array(list) => list.iter_mut().for_each(|v| self.scrub_words(v)),
            Value::Object(map) => map.values_mut().for_each(|v| self.scrub_words(v)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::LayerArtifact;
    use crate::layer_contents::LayerContents;
    use crate::note::{LayerNote, LayerNoteKind};

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a url")
    }

    #[test]
    fn a_parameter_goes_to_its_own_origin_only() {
        let mut secrets = LayerSecrets::default();
        secrets.add(&url("http://h/rest/services/S/FeatureServer"), "key", "value");
        secrets.add(&url("https://other:6443/x"), "key", "another");
        secrets.add(&url("http://h/"), "Token", "never");
        let at = |text: &str| secrets.parameters_for(&url(text)).map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>();
        assert_eq!(at("http://h/anything?x=1"), ["key=value"]);
        assert_eq!(at("https://h/anything"), ["key=value"], "the same host by https");
        assert_eq!(at("https://other:6443/"), ["key=another"]);
        for elsewhere in
            ["http://h:8080/", "https://h:8443/", "http://other:6443/", "https://other/", "http://h.evil/", "http://x/?h"]
        {
            assert!(at(elsewhere).is_empty(), "{elsewhere}");
        }
        let shown = format!("{secrets:?}");
        assert!(!shown.contains("value") && !shown.contains("another"), "{shown}");
    }

    #[test]
    fn known_secrets_are_taken_out_in_every_form_and_those_of_a_map_concern_its_job_only() {
        let registry = SecretRegistry::default();
        registry.add_all(["pass word+\"/1", "short"]);
        registry.pin();
        let job = registry.child();
        job.add("of the map");
        for text in
            ["pass word+\"/1", "pass+word%2B%22%2F1", "pass%20word%2b%22%2f1", r#"pass word+\"/1"#, r#"pass word+\"\/1"#]
        {
            assert_eq!(registry.scrub(&format!("a {text} b")), "a … b", "{text}");
        }
        assert_eq!(job.scrub("of the map, short, pass word+\"/1"), "…, short, …");
        assert_eq!(registry.scrub("of the map"), "of the map");
        assert_eq!(job.scrub_word("of the map"), "of the map", "what a program reads back keeps what a map's author wrote");
        let mut json = serde_json::json!({"a": ["x pass word+\"/1"], "pass word+\"/1": 1});
        job.scrub_json(&mut json);
        assert_eq!(json, serde_json::json!({"a": ["x …"], "…": 1}));
        let mut artifact = Artifact { warnings: vec!["of the map".to_owned()], ..Artifact::default() };
        let note = LayerNote::new(LayerNoteKind::NotCounted, "refused: of the map");
        artifact.layers.push(LayerArtifact {
            contents: LayerContents { notes: vec![note], ..LayerContents::default() },
            ..LayerArtifact::default()
        });
        let artifact = job.artifact(artifact);
        assert_eq!(
            (artifact.warnings[0].as_str(), artifact.layers[0].contents.notes[0].message.as_str()),
            ("…", "refused: …")
        );
        let many: Vec<String> = (0..2 * MOST_SECRETS).map(|i| format!("another token {i}")).collect();
        registry.add_all(many.iter().map(String::as_str));
        assert_eq!(registry.scrub("pass word+\"/1"), "…", "what is pinned stays");
    }
}
