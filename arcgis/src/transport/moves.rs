//! The one rule of where a url is asked: places that moved, and hosts that are to be asked by https.
//!
//! 1. A host that is known to have https (`AccessRules::upgrade_to_https`), that redirects its `http` urls to https with the same
//!    path, or that says that it answers by https only ("SSL required", code 403 with subcode 4), is asked by https from then on, on
//!    the default ports.
//! 2. A service whose GET was redirected (301, 302, 308) to another place of the same host is asked there from then on, forms as forms:
//!    the old place may know how to redirect a GET and nothing else.
//!
//! Only what answered well at the new place is learnt, nothing from a sign-in, and no step from https to http. Which token and which
//! secrets of a layer go with a request is judged by the new url, as if the map had named it: nothing is sent on because of a move.
//!
//! Source: feature service reference §6.1 for the message of a service that wants https.

use crate::urls::{by_https, is_same_place, origin_of};
use dashmap::DashMap;
use offmap_model::failure::without_secrets;
use std::sync::atomic::{AtomicBool, Ordering};
use url::Url;

/// Moves of moves that are followed.
const MOST_STEPS: usize = 3;

/// What was learnt: new places by old ones, which are origins, or roots of services.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    places: DashMap<String, Url>,
    /// Whether there are any: most sessions learn nothing, and every request asks.
    any: AtomicBool,
}

/// The root of a url's service and what comes after it: `…/Parcels/FeatureServer` and `/0/query`.
fn root_and_rest(url: &Url) -> Option<(&str, &str)> {
    const KINDS: [&str; 4] = ["/featureserver", "/mapserver", "/vectortileserver", "/imageserver"];
    let (path, lower) = (url.path(), url.path().to_ascii_lowercase());
    let ends = KINDS.iter().filter_map(|kind| Some(lower.find(kind)? + kind.len()));
    let end = ends.filter(|end| matches!(path.as_bytes().get(*end), None | Some(b'/'))).min()?;
    path.split_at_checked(end)
}

/// The last part of a root: what kind of service it is.
fn kind(root: &str) -> String {
    root.rsplit('/').next().unwrap_or_default().to_ascii_lowercase()
}

impl Moves {
    /// Where a url is asked.
    pub(super) fn apply(&self, url: &mut Url) {
        if !self.any.load(Ordering::Acquire) {
            return;
        }
        for _ in 0..MOST_STEPS {
            let moved = root_and_rest(url).and_then(|(root, rest)| {
                let new = self.places.get(&format!("{}{root}", origin_of(url)))?;
                let mut moved = new.clone();
                moved.set_path(&format!("{}{rest}", new.path()));
                moved.set_query(url.query());
                Some(moved)
            });
            match moved {
                Some(moved) => *url = moved,
                None if url.scheme() == "http" && self.places.contains_key(&origin_of(url)) => by_https(url),
                None => return,
            }
        }
    }

    /// Learns that a host is asked by https; answers whether that helps for the url, and is news.
    pub(super) fn learn_https(&self, url: &Url) -> bool {
        if url.scheme() != "http" || url.port().is_some() {
            return false;
        }
        let mut to = url.clone();
        by_https(&mut to);
        self.remember(origin_of(url), to)
    }

    /// Learns from a GET that was asked at one url and answered well at another; answers whether it is news.
    pub(super) fn learn(&self, from: &Url, to: &Url) -> bool {
        if from.host() != to.host() || (from.scheme() == "https" && to.scheme() == "http") {
            return false;
        }
        let trimmed = |path: &str| path.trim_end_matches('/').to_owned();
        if trimmed(from.path()) == trimmed(to.path()) && is_same_place(from, to) {
            return self.learn_https(from);
        }
        let (Some((old, old_rest)), Some((new, new_rest))) = (root_and_rest(from), root_and_rest(to)) else { return false };
        if kind(old) != kind(new) || trimmed(old_rest) != trimmed(new_rest) {
            return false;
        }
        let mut root = to.clone();
        root.set_path(new);
        root.set_query(None);
        root.set_fragment(None);
        self.remember(format!("{}{old}", origin_of(from)), root)
    }

    /// Answers whether it is news.
    fn remember(&self, from: String, to: Url) -> bool {
        let is_news = self.places.insert(from, to).is_none();
        self.any.store(true, Ordering::Release);
        is_news
    }
}

/// A move for people.
pub(super) fn notice(from: &Url, to: &Url) -> String {
    let (from, to) = (without_secrets(from.as_str()), without_secrets(to.as_str()));
    format!("{from} has moved to {to}, where it is asked from now on; put the new url into the map")
}

impl Moves {
    /// Says that a service is asked at another place than its url, where that was learnt.
    pub(crate) fn of(&self, url: &str) -> Option<String> {
        let from = Url::parse(url).ok()?;
        let mut to = from.clone();
        self.apply(&mut to);
        (to != from).then(|| notice(&from, &to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a url")
    }

    fn moved(moves: &Moves, text: &str) -> String {
        let mut url = url(text);
        moves.apply(&mut url);
        url.to_string()
    }

    #[test]
    fn a_service_that_moved_is_asked_at_its_new_place_with_path_and_query() {
        let moves = Moves::default();
        let old = "http://h:6080/arcgis/rest/services/A/FeatureServer";
        assert!(
            moves.learn(&url(&format!("{old}?f=json")), &url("https://h:6443/server/rest/services/A/FeatureServer/?f=json"))
        );
        assert!(!moves.learn(&url(old), &url("https://h:6443/server/rest/services/A/FeatureServer")), "no news");
        let new = "https://h:6443/server/rest/services/A/FeatureServer";
        assert_eq!(moved(&moves, old), new);
        assert_eq!(moved(&moves, &format!("{old}/0/query?where=1%3D1")), format!("{new}/0/query?where=1%3D1"));
        let same = "http://h:6080/arcgis/rest/services/AB/FeatureServer";
        assert_eq!(moved(&moves, same), same, "another service stays");
        assert_eq!(moved(&moves, new), new);
    }

    #[test]
    fn https_of_the_default_ports_is_learnt_for_the_whole_host() {
        let moves = Moves::default();
        assert!(moves.learn(&url("http://h/portal/sharing/rest"), &url("https://h/portal/sharing/rest/")));
        assert_eq!(moved(&moves, "http://h/other?a=b"), "https://h/other?a=b");
        assert_eq!(moved(&moves, "http://h:6080/other"), "http://h:6080/other");
        assert!(moves.learn_https(&url("http://g/x")) && !moves.learn_https(&url("http://g/y")), "news once");
        assert!(!moves.learn_https(&url("http://g:6080/x")) && !moves.learn_https(&url("https://g/x")));
        assert_eq!(moved(&moves, "http://g/MapServer/0"), "https://g/MapServer/0");
        // Both moves, one after the other.
        assert!(moves.learn(&url("https://h/old/A/MapServer"), &url("https://h/new/A/MapServer")));
        assert_eq!(moved(&moves, "http://h/old/A/MapServer/0"), "https://h/new/A/MapServer/0");
    }

    #[test]
    fn what_is_no_move_of_the_service_is_not_learnt() {
        let moves = Moves::default();
        for (from, to) in [
            ("https://h/A/MapServer", "http://h/A/MapServer"),
            ("https://h/A/MapServer", "https://other/A/MapServer"),
            ("https://h/A/MapServer", "https://h.evil.example/A/MapServer"),
            ("https://h/A/MapServer", "https://h/login"),
            ("https://h/A/MapServer", "https://h/A/FeatureServer"),
            ("https://h/A/MapServer/0", "https://h/B/MapServer/1"),
            ("http://h/portal/a", "https://h:8443/portal/a"),
        ] {
            assert!(!moves.learn(&url(from), &url(to)), "{from} {to}");
        }
        assert!(moves.places.is_empty());
        // A circle ends.
        assert!(moves.learn(&url("https://h/a/X/MapServer"), &url("https://h/b/X/MapServer")));
        assert!(moves.learn(&url("https://h/b/X/MapServer"), &url("https://h/a/X/MapServer")));
        assert!(moved(&moves, "https://h/a/X/MapServer").ends_with("/X/MapServer"));
    }
}
