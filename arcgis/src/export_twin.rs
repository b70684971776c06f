//! The host that exports in place of one that only draws.
//!
//! Source: tile reference §8.

use offmap_model::ExportHost;
use url::Url;

/// A host as `exportTilesMap` or the caller names it: with or without a scheme, a port, and a path that does not count.
struct NamedHost {
    /// `None` where none is named.
    scheme: Option<String>,
    host: String,
    names_port: bool,
    /// `None` for the default port of the scheme.
    port: Option<u16>,
}

impl NamedHost {
    /// `default_scheme` is the scheme of a host that is named without one.
    fn read(text: &str, default_scheme: &str) -> Option<Self> {
        let text = text.trim();
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase()), rest),
            None => (None, text.trim_start_matches('/')),
        };
        let url = Url::parse(&format!("{}://{rest}", scheme.as_deref().unwrap_or(default_scheme))).ok()?;
        let host = url.host_str().filter(|_| matches!(url.scheme(), "http" | "https"))?.to_owned();
        // The parser drops a port that is its scheme's default.
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let names_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.is_empty() && !port.contains(']'));
        Some(Self { scheme, host, names_port, port: url.port() })
    }

    /// Whether a url is at this host. One that is named without a port stands for every port: hosts are compared by their names.
    fn is_of(&self, url: &Url) -> bool {
        self.host == url.host_str().unwrap_or_default() && (!self.names_port || self.port == url.port())
    }
}

/// Puts the host that exports in the place of one that does not: its scheme and port as they are named, the path stays.
/// What is asked by `https` is asked in the clear only where `http` is named with a port of its own.
pub fn export_root(root: &str, hosts: &[ExportHost]) -> String {
    export_url(root, hosts).map_or_else(|| root.to_owned(), |url| url.to_string())
}

fn export_url(root: &str, hosts: &[ExportHost]) -> Option<Url> {
    let mut url = Url::parse(root).ok()?;
    let read = |text: &str| NamedHost::read(text, url.scheme());
    let pairs = hosts.iter().filter_map(|pair| Some((read(&pair.source)?, read(&pair.export)?)));
    // The first one that names the port, else the first one.
    let (_, twin) = pairs.filter(|(source, _)| source.is_of(&url)).min_by_key(|(source, _)| !source.names_port)?;
    let keeps_https = url.scheme() == "https" && !twin.names_port;
    let scheme = twin.scheme.filter(|_| !keeps_https).unwrap_or_else(|| url.scheme().to_owned());
    url.set_host(Some(&twin.host)).ok()?;
    url.set_scheme(&scheme).ok()?;
    url.set_port(twin.port).ok()?;
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "ArcGIS/rest/services/World_Imagery/MapServer";

    fn twin(root: &str, pairs: &[(&str, &str)]) -> String {
        let pair =
            |(source, export): &(&str, &str)| ExportHost { source: (*source).to_owned(), export: (*export).to_owned() };
        export_root(&format!("{root}/{PATH}"), &pairs.iter().map(pair).collect::<Vec<_>>()).replace(&format!("/{PATH}"), "")
    }

    #[test]
    fn an_export_twin_takes_the_place_of_the_host_and_keeps_the_path() {
        let pairs = [("services.ArcGISonline.com", "tiledbasemaps.arcgis.com")];
        assert_eq!(twin("https://services.arcgisonline.com", &pairs), "https://tiledbasemaps.arcgis.com");
        assert_eq!(twin("http://services.arcgisonline.com", &pairs), "http://tiledbasemaps.arcgis.com");
        assert_eq!(twin("https://other.example", &pairs), "https://other.example");
        assert_eq!(export_root("no url", &[]), "no url");
    }

    #[test]
    fn an_export_twin_may_be_named_with_scheme_port_and_path() {
        for (root, source, export, found) in [
            ("https://a.example", "https://a.example", "https://b.example", "https://b.example"),
            ("https://a.example", "https://A.example:443/", "https://B.example:8443/x", "https://b.example:8443"),
            ("https://a.example", "a.example:443", "b.example:443", "https://b.example"),
            ("https://a.example:6443", "https://a.example:6443", "https://b.example:7443", "https://b.example:7443"),
            ("https://a.example:6443", "a.example:6443", "b.example", "https://b.example"),
            ("https://a.example:6443", "a.example", "b.example", "https://b.example"),
            ("http://a.example:6080", "a.example:6080", "https://b.example:7443", "https://b.example:7443"),
            ("http://a.example", "http://a.example", "https://b.example", "https://b.example"),
            ("http://a.example", "//a.example", "//b.example:81", "http://b.example:81"),
            ("http://a.example", "a.example:80", "b.example:80", "http://b.example"),
            ("http://a.example", "https://a.example:443", "https://b.example:443", "https://b.example"),
            ("https://a.example", "http://a.example", "http://b.example:6080", "http://b.example:6080"),
            ("https://[::1]:6443", "[::1]:6443", "[::1]:7443", "https://[::1]:7443"),
        ] {
            assert_eq!(twin(root, &[(source, export)]), found, "{root} {source} {export}");
        }
        // Another port is another server; what is asked by https is not asked in the clear.
        assert_eq!(twin("https://a.example:6443", &[("a.example:7443", "b.example")]), "https://a.example:6443");
        assert_eq!(twin("https://a.example:6443", &[("a.example:443", "b.example")]), "https://a.example:6443");
        assert_eq!(twin("https://a.example", &[("a.example", "http://b.example")]), "https://b.example");
        for odd in ["", ":", "http://", "ftp://b.example", "b.example:x"] {
            assert_eq!(twin("https://a.example", &[("a.example", odd)]), "https://a.example", "{odd}");
        }
    }

    #[test]
    fn the_pair_that_names_the_port_comes_first() {
        let pairs = [("a.example", "any.example"), ("a.example:6443", "own.example:6443")];
        assert_eq!(twin("https://a.example:6443", &pairs), "https://own.example:6443");
        assert_eq!(twin("https://a.example", &pairs), "https://any.example");
        // One pair that cannot be read costs only itself.
        assert_eq!(twin("https://a.example", &[("a.example", "::"), ("a.example", "b.example")]), "https://b.example");
    }
}
