//! Urls that an answer names on another host than the service's: the server behind a proxy or web adaptor may name itself by its
//! inner name (`http://gisserver01:6080/arcgis/…`), which nobody outside can reach, while the outer url is known to work.
//!
//! | the host that is named | asked first | asked then |
//! | --- | --- | --- |
//! | looks like an inner one, or is refused by the policy | the outer place | the named one, if the outer place does not have it |
//! | any other, such as the storage of ArcGIS Online | the named one | the outer place, if the named host cannot be reached |
//!
//! The outer place is the origin that the service was asked at with the same path; below `/rest/` with the service's own context,
//! since a web adaptor may call `/server` what the server calls `/arcgis`. What was found is kept for the service.
//!
//! No rule on tokens is here: each place is asked with what its host may see.

use crate::host_policy::HostPolicy;
use crate::ip_ranges::{Scope, scope};
use crate::refused::Refused;
use crate::urls::host_of;
use offmap_model::failure::{LONGEST_MESSAGE, shortened};
use offmap_model::{FailureKind, FailureOwner};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use url::{Host, Url};

/// Ports of ArcGIS Server itself, without anything before it.
const SERVER_PORTS: [u16; 2] = [6080, 6443];
/// Endings of names that no public name server knows.
const INNER_ENDINGS: [&str; 8] =
    [".local", ".localdomain", ".internal", ".intern", ".intranet", ".lan", ".corp", ".home.arpa"];
/// Servers whose place is kept in mind.
const MOST_KNOWN: usize = 1000;

/// The two places of one thing.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    named: Url,
    outer: Url,
    outer_first: bool,
    /// Whether the named host looks like one that only its own network knows.
    is_inner: bool,
    /// Whether the outer place is the one that is asked now.
    at_outer: bool,
    /// Whether it is known which place is the right one; only that one is asked then, and what is known ends when it fails.
    is_known: bool,
    /// The service's context and the origin that is named.
    key: (String, String),
}

/// Which of both places of a service answered: whether the outer one did.
#[derive(Debug, Default)]
pub(crate) struct KnownPlaces(Mutex<HashMap<(String, String), bool>>);

/// What one round at both places left.
pub(crate) enum Turn {
    /// The other place is asked at once.
    Other,
    /// Both were asked, or the other one is not worth it; with the url that the failure is of.
    Failed(Refused, Url),
}

/// The path before `/rest/`.
fn context(path: &str) -> Option<&str> {
    path.get(..path.to_ascii_lowercase().find("/rest/")?)
}

/// The same path where the service was asked.
fn outer_of(root: &Url, named: &Url) -> Url {
    let mut outer = root.clone();
    let path = match (context(root.path()), context(named.path())) {
        (Some(own), Some(inner)) => format!("{own}{}", named.path().get(inner.len()..).unwrap_or_default()),
        _ => named.path().to_owned(),
    };
    outer.set_path(&path);
    outer.set_query(named.query());
    outer.set_fragment(None);
    outer
}

/// Whether a host is one that only its own network knows, seen from a service at `root`.
fn looks_inner(root: &Url, named: &Url) -> bool {
    let is_private = |url: &Url| match url.host() {
        Some(Host::Ipv4(address)) => scope(address.into()) != Scope::Public,
        Some(Host::Ipv6(address)) => scope(address.into()) != Scope::Public,
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    let name = |url: &Url| url.host_str().unwrap_or_default().trim_end_matches('.').to_owned();
    let is_server_port = named.port().is_some_and(|port| SERVER_PORTS.contains(&port)) && named.port() != root.port();
    let (own, other) = (name(root), name(named));
    let is_bare = |name: &str| !name.contains(['.', ':']);
    let is_inner_name = |name: &str| is_bare(name) || INNER_ENDINGS.iter().any(|ending| name.ends_with(ending));
    is_server_port || (is_private(named) && !is_private(root)) || (is_inner_name(&other) && !is_inner_name(&own))
}

impl Places {
    fn of(root: &Url, named: &Url, policy: &HostPolicy) -> Option<Self> {
        if root.origin() == named.origin() {
            return None;
        }
        let own = context(root.path()).unwrap_or_default();
        let key = (format!("{}{own}", root.origin().ascii_serialization()), named.origin().ascii_serialization());
        let is_inner = looks_inner(root, named);
        let outer_first = is_inner || policy.judge_url(named).is_err();
        Some(Self {
            named: named.clone(),
            outer: outer_of(root, named),
            outer_first,
            is_inner,
            at_outer: outer_first,
            is_known: false,
            key,
        })
    }

    /// Whether the outer place is the one that is asked now.
    pub(crate) fn is_at_outer(&self) -> bool {
        self.at_outer
    }

    /// Goes to a place.
    fn go(&mut self, outer: bool) -> Url {
        self.at_outer = outer;
        if outer { self.outer.clone() } else { self.named.clone() }
    }

    /// Whether the other place is worth a try after what the first one answered.
    fn is_worth_it(&self, refused: &Refused) -> bool {
        let failure = &refused.failure;
        let is_of_place = !matches!(failure.owner, FailureOwner::Storage | FailureOwner::Limit | FailureOwner::Engine)
            && !matches!(failure.kind, FailureKind::Cancelled | FailureKind::LimitExceeded);
        match self.outer_first {
            true => is_of_place && (!failure.retryable || failure.kind == FailureKind::InvalidAnswer),
            false => refused.unreachable || matches!(refused.code, Some(502 | 504)),
        }
    }

    /// Both failed: one failure that says what was found at both, and the url that it is of.
    fn both(&self, first: Refused, then: Refused) -> (Refused, Url) {
        let (outer, named) = if self.outer_first { (first, then) } else { (then, first) };
        let may_pass_outside = outer.failure.retryable && !named.failure.retryable;
        let shown = |refused: &Refused| {
            let failure = &refused.failure;
            let from_server = failure.server_message.as_deref().filter(|message| !failure.message.contains(message));
            from_server.map_or_else(|| failure.message.clone(), |message| format!("{} ({message})", failure.message))
        };
        let found = format!(
            "the service at {} names {} in its answers: {}; the same path at {}: {}; the server's owner can set its WebContextURL \
             to the url that it is asked at",
            host_of(&self.outer),
            host_of(&self.named),
            shown(&named),
            host_of(&self.outer),
            shown(&outer)
        );
        // A host that the policy refuses and that is no inner one is where the thing is: nothing is late at the outer place.
        let of_outer = self.is_inner || may_pass_outside;
        let (mut kept, url) = if of_outer { (outer, &self.outer) } else { (named, &self.named) };
        kept.failure.message = shortened(found, LONGEST_MESSAGE);
        (kept, url.clone())
    }
}

impl KnownPlaces {
    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), bool>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, key: (String, String), outer: bool) {
        let mut known = self.lock();
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert(key, outer);
    }

    /// The places of what the service at `root` names, and the url that is asked first; `None` where it is one place.
    pub(crate) fn places(&self, root: &Url, named: &Url, policy: &HostPolicy) -> Option<(Places, Url)> {
        let mut places = Places::of(root, named, policy)?;
        let known = self.lock().get(&places.key).copied();
        if let Some(outer) = known {
            (places.is_known, places.outer_first) = (true, outer);
        }
        let url = places.go(places.outer_first);
        Some((places, url))
    }

    /// Judges a try at `url` that failed, together with the one at the other place; `url` is then what is asked next.
    pub(crate) fn turn(&self, places: &mut Places, url: &mut Url, before: &mut Option<Refused>, refused: Refused) -> Turn {
        let asked = url.clone();
        if places.is_known {
            if places.is_worth_it(&refused) {
                // Servers are set up anew, and who shares this may have heard a lie.
                self.lock().remove(&places.key);
            }
            return Turn::Failed(refused, asked);
        }
        match before.take() {
            None if places.is_worth_it(&refused) => {
                *url = places.go(!places.at_outer);
                *before = Some(refused);
                Turn::Other
            }
            None => Turn::Failed(refused, asked),
            Some(first) => {
                // The next try begins at the first place again.
                *url = places.go(places.outer_first);
                let (both, url) = places.both(first, refused);
                Turn::Failed(both, url)
            }
        }
    }

    /// Keeps in mind which of both places answered.
    pub(crate) fn answered(&self, places: &Places, after_another: bool) {
        if places.is_known {
            return;
        }
        if places.at_outer {
            tracing::info!(
                service = %places.key.0, named = %places.key.1,
                "the service names an inner host in its answers; the same paths are asked where the service is"
            );
        }
        if places.at_outer || after_another {
            self.put(places.key.clone(), places.at_outer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::urls::parse_http;
    use offmap_model::{Failure, FailureStage};

    fn url(text: &str) -> Url {
        parse_http(text).expect("a url")
    }

    const ROOT: &str = "https://gis.city.example/server/rest/services/S/FeatureServer";

    #[test]
    fn the_outer_place_is_the_same_path_with_the_context_of_the_service() {
        for (named, outer) in [
            (
                "http://gisserver01:6080/arcgis/rest/services/S/FeatureServer/jobs/j1?x=1",
                "https://gis.city.example/server/rest/services/S/FeatureServer/jobs/j1?x=1",
            ),
            (
                "https://GIS01:6443/ArcGIS/REST/directories/arcgisoutput/a.geodatabase",
                "https://gis.city.example/server/REST/directories/arcgisoutput/a.geodatabase",
            ),
            ("http://gis01:6080/output/a.zip", "https://gis.city.example/output/a.zip"),
            ("http://gis01:6080/rest/x", "https://gis.city.example/server/rest/x"),
        ] {
            assert_eq!(outer_of(&url(ROOT), &url(named)).as_str(), outer, "{named}");
        }
        let bare = "https://gis.city.example:8443/rest/services/S/FeatureServer";
        let named = url("http://gis01:6080/arcgis/rest/x");
        assert_eq!(outer_of(&url(bare), &named).as_str(), "https://gis.city.example:8443/rest/x");
    }

    #[test]
    fn inner_hosts_are_told_from_storage() {
        let root = url(ROOT);
        for inner in [
            "http://gisserver01:6080/x",
            "https://gisserver01/x",
            "https://gis.city.example:6443/x",
            "https://gis01.city.local/x",
            "https://gis01.ad.city.internal./x",
            "http://localhost/x",
            "http://10.1.2.3/x",
            "http://[fd00::1]/x",
        ] {
            assert!(looks_inner(&root, &url(inner)), "{inner}");
        }
        for storage in [
            "https://s3.eu-central-1.amazonaws.com/x?sig=a",
            "https://arcgis.blob.core.windows.net/x",
            "https://services1.arcgis.com/x",
            "https://files.city.example:8443/x",
            "https://8.8.8.8/x",
        ] {
            assert!(!looks_inner(&root, &url(storage)), "{storage}");
        }
        // Who is inside asks inner names.
        for (root, named) in [
            ("http://gis/arcgis/rest/services", "http://files/x"),
            ("http://localhost:1/arcgis/rest/services", "http://localhost:2/x"),
            ("http://10.0.0.1/arcgis/rest/services", "http://10.0.0.2/x"),
            ("https://gis.city.local/arcgis/rest/services", "https://files.city.local/x"),
            ("http://gis:6080/arcgis/rest/services", "http://other:6080/x"),
        ] {
            assert!(!looks_inner(&url(root), &url(named)), "{root} {named}");
        }
        let listed = HostPolicy::allow_hosts(["gis.city.example"]).expect("a policy");
        assert!(Places::of(&root, &url("https://files.city.example/x"), &listed).is_some_and(|p| p.outer_first));
        assert!(Places::of(&root, &url("https://files.city.example/x"), &HostPolicy::any()).is_some_and(|p| !p.outer_first));
        assert!(Places::of(&root, &url("https://gis.city.example/arcgis/x"), &listed).is_none());
    }

    fn refused(kind: FailureKind) -> Refused {
        Failure::new(FailureOwner::Source, kind, FailureStage::Run, "refused").into()
    }

    #[test]
    fn what_is_known_of_a_place_ends_when_it_fails_there() {
        let (known_places, policy) = (KnownPlaces::default(), HostPolicy::any());
        let places = |named: &str| known_places.places(&url(ROOT), &url(named), &policy).expect("two places");
        for (named, outer) in [("http://gisserver01:6080/arcgis/rest/x", true), ("https://files.city.example/x", false)] {
            let key = places(named).0.key;
            for known in [true, false] {
                known_places.put(key.clone(), known);
                let (mut there, mut asked) = places(named);
                assert_eq!(there.is_at_outer(), known, "{named}");
                let before = asked.clone();
                let gone = Refused { unreachable: true, ..refused(FailureKind::NotFound) };
                let Turn::Failed(_, failed) = known_places.turn(&mut there, &mut asked, &mut None, gone) else {
                    panic!("the other place is asked")
                };
                assert_eq!((&failed, &asked), (&before, &before));
                let (again, _) = places(named);
                assert_eq!(again.is_at_outer(), outer, "{named}: as if nothing were known");
                assert!(!again.is_known);
            }
        }
    }

    #[test]
    fn the_host_that_asks_for_patience_is_the_one_that_is_left_alone() {
        let known_places = KnownPlaces::default();
        let named = url("https://victim.example/x");
        let (mut places, mut asked) = known_places.places(&url(ROOT), &named, &HostPolicy::any()).expect("two places");
        let mut before = None;
        let closed = Refused { unreachable: true, ..refused(FailureKind::Unavailable) };
        assert!(matches!(known_places.turn(&mut places, &mut asked, &mut before, closed), Turn::Other));
        let mut busy = Refused {
            retry_after: Some(std::time::Duration::from_hours(8000)),
            code: Some(429),
            ..refused(FailureKind::Throttled)
        };
        busy.failure.retryable = true;
        let Turn::Failed(kept, url) = known_places.turn(&mut places, &mut asked, &mut before, busy) else {
            panic!("both were asked")
        };
        assert!(kept.retry_after.is_some());
        assert_eq!(url.host_str(), Some("gis.city.example"), "not the host that it names");
    }
}
