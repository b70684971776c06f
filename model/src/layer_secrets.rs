//! The parameters of a map's layers that are sent to one origin and written nowhere.

use crate::failure::{Failure, FailureKind, FailureOwner, FailureStage};
use std::fmt;
use url::Url;

/// Shortest text that is known as a secret: shorter ones would take ordinary words out of messages.
pub const SHORTEST_SECRET: usize = 8;
/// Most secrets that a registry keeps, and that are looked for in one map.
pub const MOST_SECRETS: usize = 4096;
/// Longest parameter of a map that is sent, in bytes: its name and its value each. Of a longer secret so much is looked for.
pub const LONGEST_SECRET: usize = 4 << 10;
/// Most bytes of secrets that are looked for together, each counted in all the forms in which it comes back.
pub const MOST_SECRET_BYTES: usize = 512 << 10;
/// Most parameters of one layer that are sent.
const MOST_PARAMETERS: usize = 200;
/// Most origins that one parameter is sent to.
const MOST_ORIGINS: usize = 200;
/// Words of which one is in the name of a parameter that is a secret.
const SECRET_WORDS: [&str; 8] =
    ["token", "secret", "password", "passwd", "apikey", "signature", "credential", "authorization"];
/// Short names of secrets; longer ones end in `key`.
const SECRET_NAMES: [&str; 6] = ["sig", "pwd", "pass", "auth", "jwt", "sas"];
/// Other words for who asks. Their values may be short and easily guessed, so that not even a digest of them is written.
const WHO_ASKS: [&str; 15] = [
    "account", "email", "login", "logon", "mail", "member", "otp", "pin", "session", "sid", "ticket", "uid", "user",
    "userid", "username",
];
/// How names of a session end.
const SESSIONS: [&str; 2] = ["sessid", "sessionid"];
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

/// A name in small letters, without signs between them.
fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// Whether a parameter of this name says who asks, and nothing of what comes.
fn says_who_asks(name: &str) -> bool {
    let plain = plain(name);
    is_secret_name(name) || WHO_ASKS.contains(&plain.as_str()) || SESSIONS.iter().any(|end| plain.ends_with(end))
}

/// Whether a parameter of this name is a secret.
pub(crate) fn is_secret_name(name: &str) -> bool {
    let plain = plain(name);
    SECRET_NAMES.contains(&plain.as_str()) || plain.ends_with("key") || SECRET_WORDS.iter().any(|w| plain.contains(w))
}

/// Whether a value can hardly be the name of something, so that it may be looked for in the whole map.
pub(crate) fn is_opaque(value: &str) -> bool {
    let is_name = value.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | ' ' | '.' | '-'));
    let has_digit = value.chars().any(|c| c.is_ascii_digit());
    let length = value.chars().count();
    length >= SHORTEST_SECRET && (length >= 16 && has_digit || length >= 32 || !is_name && length >= 12)
}

/// Whether a parameter is looked for in texts: it has the name of a secret, or can hardly be an ordinary word.
pub(crate) fn is_telling(name: &str, value: &str) -> bool {
    value.chars().count() >= SHORTEST_SECRET && (is_secret_name(name) || is_opaque(value))
}

/// Scheme, host and port of a url.
fn origin_of(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// Which requests for a layer a parameter goes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// All of them: `customParameters`, and the query of a url.
    Service,
    /// Those for pictures and tiles only, in place of one of the same name: `customLayerParameters`.
    Layer,
}

/// One parameter, and the only origins that it is sent to.
#[derive(Clone, PartialEq, Eq)]
struct SecretParameter {
    origins: Vec<Url>,
    reach: Reach,
    name: String,
    value: String,
}

/// Whether a url is at an origin; or at the same host by `https` in place of `http`, each on its default port.
fn is_at(origin: &Url, url: &Url) -> bool {
    let upgraded = origin.scheme() == "http"
        && url.scheme() == "https"
        && origin.port().is_none()
        && url.port().is_none()
        && origin.host() == url.host();
    upgraded || origin.origin() == url.origin()
}

impl SecretParameter {
    fn is_for(&self, url: &Url) -> bool {
        self.origins.iter().any(|origin| is_at(origin, url))
    }
}

/// The `customParameters` of layers, and the query of their urls: sent with every request to the origins of the layer's urls, to no
/// other, and written nowhere. `customLayerParameters` go with the same requests but those that ask what the service has
/// ([`LayerSecrets::of_service`]), and take the place of those of the same name. It has no serialised form, and its `Debug` shows names
/// only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct LayerSecrets {
    all: Vec<SecretParameter>,
    missing: Vec<String>,
}

impl fmt::Debug for LayerSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origins = |p: &SecretParameter| p.origins.iter().map(origin_of).collect::<Vec<_>>().join(", ");
        let known = self.all.iter().map(|p| format!("{}={WITHHELD} for {}", p.name, origins(p)));
        f.debug_struct("LayerSecrets").field("known", &known.collect::<Vec<_>>()).field("missing", &self.missing).finish()
    }
}

impl LayerSecrets {
    /// Adds a parameter for an origin; one that is there for the origin already stays, and one longer than [`LONGEST_SECRET`] is
    /// never added.
    pub fn add(&mut self, origin: &Url, name: &str, value: &str) {
        self.add_for(Reach::Service, origin, name, value);
    }

    /// The same of a parameter for some requests.
    pub(crate) fn add_for(&mut self, reach: Reach, origin: &Url, name: &str, value: &str) {
        let is_there = |p: &SecretParameter| p.origins.iter().any(|known| known.origin() == origin.origin());
        let known = self.all.iter().any(|p| p.reach == reach && p.name.eq_ignore_ascii_case(name) && is_there(p));
        let is_long = name.len().max(value.len()) > LONGEST_SECRET;
        if known || is_long || is_reserved(name) {
            return;
        }
        // The path is of no use here, and may be long.
        let mut origin = origin.clone();
        origin.set_path("");
        origin.set_query(None);
        origin.set_fragment(None);
        let is_full = self.all.len() >= MOST_PARAMETERS;
        let is_same = |p: &SecretParameter| p.reach == reach && p.name == name && p.value == value;
        let same = self.all.iter_mut().find(|p| is_same(p) && p.origins.len() < MOST_ORIGINS);
        match same {
            Some(same) => same.origins.push(origin),
            None if !is_full => {
                let (name, value) = (name.to_owned(), value.to_owned());
                self.all.push(SecretParameter { origins: vec![origin], reach, name, value });
            }
            None => {}
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
                p.origins.iter().for_each(|origin| merged.add_for(p.reach, origin, &p.name, &p.value));
            }
            merged.missing.extend(secrets.missing.iter().cloned());
        }
        merged.missing.sort_unstable();
        merged.missing.dedup();
        merged
    }

    /// The parameters that go with a request for this url.
    pub fn parameters_for<'a>(&'a self, url: &'a Url) -> impl Iterator<Item = (&'a str, &'a str)> {
        let of_layer: Vec<&str> =
            self.all.iter().filter(|p| p.reach == Reach::Layer && p.is_for(url)).map(|p| p.name.as_str()).collect();
        let is_replaced = move |p: &SecretParameter| {
            p.reach == Reach::Service && of_layer.iter().any(|name| name.eq_ignore_ascii_case(&p.name))
        };
        let all = self.all.iter().filter(move |p| p.is_for(url) && !is_replaced(p));
        all.map(|p| (p.name.as_str(), p.value.as_str()))
    }

    /// Those that go with the request for what the service has (`GetCapabilities` of a WMS).
    #[must_use]
    pub fn of_service(&self) -> Self {
        let all = self.all.iter().filter(|p| p.reach == Reach::Service).cloned().collect();
        Self { all, missing: self.missing.clone() }
    }

    /// Those whose names stay.
    #[must_use]
    pub fn with_names(&self, stays: impl Fn(&str) -> bool) -> Self {
        Self { all: self.all.iter().filter(|p| stays(&p.name)).cloned().collect(), missing: self.missing.clone() }
    }

    /// The parameters that may decide what comes, sorted by name: all but those whose names are of a secret or a person (`user`, `pin`,
    /// `sessionId`), which say who asks. What came for one set of them is told from what came for another by digests that are written
    /// down, from which a short secret could be guessed.
    #[must_use]
    pub fn deciding(&self) -> Vec<(String, &str)> {
        let decides = |p: &&SecretParameter| !says_who_asks(&p.name);
        let mut all: Vec<(Reach, String, &str)> =
            self.all.iter().filter(decides).map(|p| (p.reach, p.name.to_ascii_lowercase(), p.value.as_str())).collect();
        let of_layer: Vec<String> = all.iter().filter(|(r, ..)| *r == Reach::Layer).map(|(_, n, _)| n.clone()).collect();
        all.retain(|(reach, name, _)| *reach == Reach::Layer || !of_layer.contains(name));
        let mut all: Vec<(String, &str)> = all.into_iter().map(|(_, name, value)| (name, value)).collect();
        all.sort_unstable();
        all.dedup();
        all
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

    /// All values.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(|p| p.value.as_str())
    }

    /// The values that are to be taken out of what is written: not those that may be ordinary words.
    pub fn values_to_hide(&self) -> impl Iterator<Item = &str> {
        self.pairs().filter(|(name, value)| is_telling(name, value)).map(|(_, value)| value)
    }

    /// Names and values, for whatever origin.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.all.iter().map(|p| (p.name.as_str(), p.value.as_str()))
    }

    /// Names of parameters whose values were not kept.
    #[must_use]
    pub fn missing(&self) -> &[String] {
        &self.missing
    }

    /// Takes the values that are missing here from the same layer of a map that was read again, as far as they are for an origin
    /// that the layer's url has.
    pub(crate) fn supply(&mut self, from: &Self, urls: &[Url]) {
        let is_own = |origin: &&Url| urls.iter().any(|url| is_at(origin, url));
        let mut supplied: Vec<String> = Vec::new();
        for p in &from.all {
            let mut origins = p.origins.iter().filter(is_own).peekable();
            let is_missing = self.missing.iter().chain(&supplied).any(|name| name.eq_ignore_ascii_case(&p.name));
            if is_missing && origins.peek().is_some() {
                self.missing.retain(|name| !name.eq_ignore_ascii_case(&p.name));
                supplied.push(p.name.clone());
                origins.for_each(|origin| self.add_for(p.reach, origin, &p.name, &p.value));
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
                 for the map's portal, or name the map by --web-map (GenerateOfflineMapJob::with_secrets_of); for a job of a queue the \
                 host program supplies the map (CredentialProvider::web_map), then retry the job",
                names.join(", ")
            );
            Failure::new(FailureOwner::Credentials, FailureKind::Unauthorized, FailureStage::Plan, message)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a url")
    }

    #[test]
    fn who_asks_decides_nothing_and_is_in_no_digest() {
        let mut secrets = LayerSecrets::default();
        for name in
            ["pin", "PIN", "user", "user_name", "Email", "e-mail", "login", "sid", "session", "JSESSIONID", "PHPSESSID"]
        {
            secrets.add(&url("https://h/"), name, "4711");
        }
        for name in ["sessionId", "ticket", "otp", "uid", "apiKey", "userId"] {
            secrets.add(&url("https://h/"), name, "4711");
        }
        assert!(secrets.deciding().is_empty(), "{:?}", secrets.deciding());
        ["season", "Spin", "mailbox", "inside"].iter().for_each(|name| secrets.add(&url("https://h/"), name, "1"));
        let names: Vec<String> = secrets.deciding().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["inside", "mailbox", "season", "spin"]);
        let at = url("https://h/x");
        assert_eq!(secrets.with_names(|name| name == "season").parameters_for(&at).collect::<Vec<_>>(), [("season", "1")]);
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
        // One for several hosts is one parameter.
        let (mut several, count) = (LayerSecrets::default(), |s: &LayerSecrets| s.pairs().count());
        ["https://a.h/", "https://b.h/"].iter().for_each(|origin| several.add(&url(origin), "key", "value"));
        assert_eq!((count(&several), several.parameters_for(&url("https://b.h/x")).count()), (1, 1));
        assert_eq!(several.parameters_for(&url("https://c.h/x")).count(), 0);
        let mut read_again = LayerSecrets::default();
        read_again.add_missing("key");
        read_again.supply(&several, &[url("https://b.h/y")]);
        assert!(read_again.missing().is_empty() && read_again.parameters_for(&url("https://b.h/")).count() == 1);
        assert_eq!(read_again.parameters_for(&url("https://a.h/")).count(), 0, "only to origins of the layer");
        let shown = format!("{secrets:?}");
        assert!(!shown.contains("value") && !shown.contains("another"), "{shown}");
    }
}
