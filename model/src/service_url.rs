//! Urls of ArcGIS services, compared the way real maps need it.

use crate::failure::without_secrets;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fmt;

/// The url of a service root (`…/FeatureServer`, `…/MapServer`, `…/VectorTileServer`) and, where a layer's url was
/// given, the layer's id.
///
/// Real maps write one server as `http:` and `https:`, with `/ArcGIS/` and `/arcgis/`, with and without a slash at the end.
/// [`ServiceUrl::key`] is equal for all of them; [`ServiceUrl::root`] keeps the url as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceUrl {
    root: String,
    layer_id: Option<u32>,
}

impl ServiceUrl {
    /// Reads the url of a service or of one of its layers; query and fragment are dropped.
    ///
    /// `None` if it is not an `http` or `https` url.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let url = url::Url::parse(text.trim()).ok()?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return None;
        }
        // Maps have urls with doubled slashes and slashes at the end; servers read them as one.
        let root = without_secrets(text.trim());
        let (scheme, rest) = root.split_once("://")?;
        let parts: Vec<&str> = rest.split('/').filter(|part| !part.is_empty()).collect();
        let root = format!("{scheme}://{}", parts.join("/"));
        let (head, last) = root.rsplit_once('/')?;
        let upper = head.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
        match last.parse::<u32>() {
            Ok(id) if upper.ends_with("server") => Some(Self { root: head.to_owned(), layer_id: Some(id) }),
            _ => Some(Self { root, layer_id: None }),
        }
    }

    /// The service's url, without layer id, query and slash at the end.
    #[must_use]
    pub fn root(&self) -> &str {
        &self.root
    }

    /// The id of the layer or table, where the url named one.
    #[must_use]
    pub fn layer_id(&self) -> Option<u32> {
        self.layer_id
    }

    /// The last part of the path in lower case: `featureserver`, `mapserver`, `imageserver`, `vectortileserver`, …
    #[must_use]
    pub fn kind(&self) -> String {
        self.root.rsplit('/').next().unwrap_or_default().to_ascii_lowercase()
    }

    /// What a service of this kind is called; `None` for an unknown kind.
    #[must_use]
    pub fn kind_name(&self) -> Option<&'static str> {
        Some(match self.kind().as_str() {
            "featureserver" => "a feature service",
            "mapserver" => "a map service",
            "imageserver" => "an image service",
            "vectortileserver" => "a vector tile service",
            "sceneserver" => "a scene service",
            "streamserver" => "a stream service",
            "geocodeserver" => "a locator",
            "gpserver" => "a geoprocessing service",
            _ => return None,
        })
    }

    /// What two urls of one service share: no scheme, no letter case.
    #[must_use]
    pub fn key(&self) -> String {
        service_key(&self.root)
    }
}

/// The form of a service url in which two writings of one service are equal.
///
/// A template of tile urls (`https://tiles.example.org/wmts?LAYER=roads&TILEMATRIX={level}…`) is no ArcGIS service: its query and the
/// letter case of its path say which tiles they are, so that only its scheme, and the letter case of its host, do not count.
#[must_use]
pub fn service_key(root: &str) -> String {
    let (any_case, rest) = compared_parts(root);
    let mut key = any_case.to_ascii_lowercase();
    key.push_str(rest);
    key
}

/// How the keys of two urls compare; the keys are not made.
pub(crate) fn compare_keys(a: &str, b: &str) -> Ordering {
    let bytes = |root| {
        let (any_case, rest) = compared_parts(root);
        any_case.bytes().map(|b| b.to_ascii_lowercase()).chain(rest.bytes())
    };
    bytes(a).cmp(bytes(b))
}

/// What of a url counts: a part in any letter case, and one as it is written.
fn compared_parts(root: &str) -> (&str, &str) {
    let without_scheme = |text| str::split_once(text, "://").map_or(text, |(_, rest)| rest);
    if !root.contains('{') {
        let bare = root.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
        return (without_scheme(bare), "");
    }
    let bare = without_scheme(root);
    bare.split_at(bare.find(['/', '?', '#']).unwrap_or(bare.len()))
}

impl fmt::Display for ServiceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.root)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_equal_by_all_that_says_which_tiles_they_are() {
        let key = service_key;
        let roads = "https://h/wmts?LAYER=roads&TILEMATRIX={level}&TILEROW={row}&TILECOL={col}";
        assert_ne!(key(roads), key(&roads.replace("roads", "rivers")), "the query says which layer");
        assert_ne!(key("https://h/A/{level}/{row}/{col}"), key("https://h/a/{level}/{row}/{col}"), "letter case of a path");
        assert_ne!(key("https://h/{level}/{row}/{col}"), key("https://h/{level}/{row}/{col}#scheme-1"));
        assert_eq!(key("http://Tiles.H/A/{level}/{row}/{col}"), key("https://tiles.h/A/{level}/{row}/{col}"));
        assert_eq!(key("https://{subDomain}.H/{level}"), key("https://{subdomain}.h/{level}"));
    }

    #[test]
    fn urls_compare_as_their_keys_do() {
        let urls = [
            "https://h/A/FeatureServer",
            "http://H/a/featureserver/?f=json",
            "h/a/FeatureServer/0",
            "https://{subDomain}.H/A/{level}",
            "https://{subdomain}.h/a/{level}",
            "",
        ];
        for a in urls {
            for b in urls {
                assert_eq!(compare_keys(a, b), service_key(a).cmp(&service_key(b)), "{a} and {b}");
            }
        }
    }

    #[test]
    fn writings_of_one_service_are_equal() {
        let a = ServiceUrl::parse("http://Host/ArcGIS/rest/services/X/FeatureServer/3?f=json&token=t").expect("reads");
        let b = ServiceUrl::parse("https://host/arcgis/rest/services/X/FeatureServer/").expect("reads");
        assert_eq!(a.key(), b.key());
        assert_eq!((a.layer_id(), b.layer_id()), (Some(3), None));
        assert_eq!(a.root(), "http://host/ArcGIS/rest/services/X/FeatureServer");
        assert_eq!(b.kind(), "featureserver");
        assert_eq!(ServiceUrl::parse("file:///etc/passwd"), None);
        let doubled = ServiceUrl::parse("https://host//arcgis/rest/services/X/FeatureServer//3//").expect("reads");
        assert_eq!((doubled.key(), doubled.layer_id()), (b.key(), Some(3)));
        assert_eq!(doubled.root(), "https://host/arcgis/rest/services/X/FeatureServer");
    }
}
