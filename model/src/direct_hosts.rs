//! Which hosts may be downloaded from directly: those whose terms forbid it are listed here, each with the clause and the page where it
//! stands.
//!
//! | host | clause | page |
//! | --- | --- | --- |
//! | `tile.openstreetmap.org` and below, `vector.openstreetmap.org` | bulk downloading is prohibited; tiles are for viewing, not for download | OpenStreetMap Foundation, Tile Usage Policy (`https://operations.osmfoundation.org/policies/tiles/`) and Vector Tile Usage Policy (`…/policies/vector/`) |
//! | `server.arcgisonline.com`, `services.arcgisonline.com`, `basemaps.arcgis.com`, `basemaps-api.arcgis.com`, `ibasemaps-api.arcgis.com` | basemaps go offline as packages that are exported; data are not to be scraped, downloaded or stored otherwise | Esri Master Agreement, Data, Permitted Uses c (`https://www.esri.com/en-us/legal/terms/full-master-agreement`) |
//! | hosts below `google.com`, `googleapis.com`, `gstatic.com` | no scraping, no caching | Google Maps Platform Terms of Service, 3.2.3 a and b (`https://cloud.google.com/maps-platform/terms`) |
//! | hosts below `virtualearth.net` | content is not to be copied, stored or archived | Bing Maps Platform APIs' Terms of Use, 3.2 b (`https://www.microsoft.com/en-us/maps/bing-maps/product/terms`) |
//!
//! It is a list of what is known, not of what is allowed: whoever downloads answers for having read the terms of a service. The caller
//! adds hosts with their clauses, and names hosts whose owner allowed it.

use crate::failure::Failure;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use url::Url;

/// Hosts and what their terms say: a host by itself, or with `*.` all below it.
const FORBIDDEN: &[(&[&str], &str)] = &[
    (
        &["tile.openstreetmap.org", "*.tile.openstreetmap.org", "vector.openstreetmap.org"],
        "bulk downloading is prohibited (OpenStreetMap Foundation, Tile Usage Policy, https://operations.osmfoundation.org/policies/tiles/)",
    ),
    (
        &[
            "server.arcgisonline.com",
            "services.arcgisonline.com",
            "basemaps.arcgis.com",
            "tiledbasemaps.arcgis.com",
            "basemaps-api.arcgis.com",
            "ibasemaps-api.arcgis.com",
        ],
        "basemaps go offline by export only, and are not to be scraped, downloaded or stored otherwise (Esri Master Agreement, Data, \
         Permitted Uses c, https://www.esri.com/en-us/legal/terms/full-master-agreement)",
    ),
    (
        &["*.google.com", "*.googleapis.com", "*.gstatic.com"],
        "no scraping and no caching (Google Maps Platform Terms of Service, 3.2.3 a and b, https://cloud.google.com/maps-platform/terms)",
    ),
    (
        &["*.virtualearth.net"],
        "content is not to be copied, stored or archived (Bing Maps Platform APIs' Terms of Use, 3.2 b, \
         https://www.microsoft.com/en-us/maps/bing-maps/product/terms)",
    ),
];
/// Longest clause that a caller may give, in bytes.
const LONGEST_CLAUSE: usize = 1024;

/// What the caller says of hosts, over the list of this module.
///
/// ```
/// use offmap_model::DirectDownloadHosts;
///
/// let osm = "https://a.tile.openstreetmap.org/{level}/{col}/{row}.png";
/// let mut hosts = DirectDownloadHosts::default();
/// assert!(hosts.refusal(osm).is_some_and(|clause| clause.contains("bulk downloading is prohibited")));
/// hosts.allow.push("*.tile.openstreetmap.org".to_owned());
/// assert_eq!(hosts.refusal(osm), None);
/// hosts.refuse.insert("tiles.example.org".to_owned(), "no bulk download (terms, 4)".to_owned());
/// assert!(hosts.refusal("https://tiles.example.org/x").is_some());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct DirectDownloadHosts {
    /// Hosts whose owner allowed the caller to download directly, whatever the list says: `tiles.example.org`, or `*.example.org` for all
    /// below it.
    pub allow: Vec<String>,
    /// Further hosts that forbid it, with the clause.
    pub refuse: BTreeMap<String, String>,
}

/// Whether a host is the one that is named, or below it.
fn names(named: &str, host: &str) -> bool {
    let named = named.trim_end_matches('.').to_ascii_lowercase();
    match named.strip_prefix("*.") {
        Some(domain) => host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.') && rest.len() > 1),
        None => named == host,
    }
}

impl DirectDownloadHosts {
    /// Nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.allow.is_empty() && self.refuse.is_empty()
    }

    /// Checks the names.
    ///
    /// # Errors
    /// If one is none of a host, or a clause is too long.
    pub fn check(&self) -> Result<(), Failure> {
        let is_host = |name: &str| {
            let host = name.strip_prefix("*.").unwrap_or(name);
            !host.is_empty() && host.len() < 256 && !host.contains(|c: char| !(c.is_alphanumeric() || "-._[]".contains(c)))
        };
        if let Some(name) = self.allow.iter().chain(self.refuse.keys()).find(|name| !is_host(name)) {
            return Err(Failure::invalid_parameter(format!(
                "directDownloadHosts names `{name}`; expected a host such as tiles.example.org, or *.example.org for all below it"
            )));
        }
        match self.refuse.iter().find(|(_, clause)| clause.len() > LONGEST_CLAUSE) {
            Some((host, _)) => Err(Failure::invalid_parameter(format!(
                "the clause of directDownloadHosts.refuse.{host} is longer than {LONGEST_CLAUSE} bytes"
            ))),
            None => Ok(()),
        }
    }

    /// The clause by which the host of a url forbids that its data are downloaded directly; `None` where none is known.
    #[must_use]
    pub fn refusal(&self, url: &str) -> Option<&str> {
        let host = host_of(url)?;
        if self.allow.iter().any(|named| names(named, &host)) {
            return None;
        }
        let given = self.refuse.iter().find(|(named, _)| names(named, &host)).map(|(_, clause)| clause.as_str());
        let known =
            || FORBIDDEN.iter().find(|(hosts, _)| hosts.iter().any(|named| names(named, &host))).map(|(_, clause)| *clause);
        given.or_else(known)
    }

    /// Why a service is not downloaded directly, with the way out; `None` where nothing forbids it.
    #[must_use]
    pub fn refused(&self, title: &str, url: &str) -> Option<String> {
        self.refused_hosts(title, std::iter::once(url))
    }

    /// The same of tiles that lie on several hosts: where one of them forbids it, with all that do.
    #[must_use]
    pub fn refused_hosts<'a>(&self, title: &str, urls: impl IntoIterator<Item = &'a str>) -> Option<String> {
        let mut forbidden = urls.into_iter().filter_map(|url| Some((host_of(url)?, self.refusal(url)?)));
        let (first, clause) = forbidden.next()?;
        let mut hosts: Vec<String> = std::iter::once(first.clone()).chain(forbidden.map(|(host, _)| host)).collect();
        hosts.sort_unstable();
        hosts.dedup();
        // Hosts of one domain are named together.
        let domain = |host: &String| host.split_once('.').map(|(_, domain)| domain.to_owned()).filter(|d| d.contains('.'));
        let shared =
            domain(&first).filter(|shared| hosts.len() > 1 && hosts.iter().all(|h| domain(h).as_ref() == Some(shared)));
        let named = shared.map_or(hosts, |shared| vec![format!("*.{shared}")]);
        let options: Vec<String> = named.iter().map(|host| format!("--allow-direct-from {host}")).collect();
        Some(format!(
            "\"{title}\" is not downloaded directly: the terms of {} forbid it: {clause}; if its owner allows you to, name the host in \
             directDownloadHosts.allow ({})",
            named.join(", "),
            options.join(" ")
        ))
    }
}

/// The host of a url in lower case, without a dot at its end.
fn host_of(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    Some(url.host_str()?.trim_end_matches('.').to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_known_by_their_names_and_not_by_parts_of_them() {
        let hosts = DirectDownloadHosts::default();
        for url in [
            "https://tile.openstreetmap.org/1/2/3.png",
            "https://A.Tile.OpenStreetMap.org./1/2/3.png",
            "https://mt1.google.com/vt",
            "http://ecn.t0.tiles.virtualearth.net/tiles",
            "https://services.arcgisonline.com/ArcGIS/rest/services/World_Imagery/MapServer",
        ] {
            assert!(hosts.refusal(url).is_some(), "{url}");
        }
        for url in [
            "https://openstreetmap.org.example/x",
            "https://mytile.openstreetmap.org.de/",
            "https://google.com.example",
            "x",
        ] {
            assert_eq!(hosts.refusal(url), None, "{url}");
        }
    }

    #[test]
    fn what_the_caller_says_goes_over_the_list() {
        let mut hosts = DirectDownloadHosts { allow: vec!["tile.openstreetmap.org".into()], ..Default::default() };
        assert_eq!(hosts.refusal("https://tile.openstreetmap.org/x"), None);
        assert!(hosts.refusal("https://a.tile.openstreetmap.org/x").is_some(), "only the host that is named");
        hosts.refuse.insert("*.gis.example".into(), "clause 7".into());
        let words = hosts.refused("Roads", "https://tiles.gis.example/x").expect("refused");
        assert!(words.contains("clause 7") && words.contains("--allow-direct-from tiles.gis.example"), "{words}");
        assert!(hosts.check().is_ok());
        // Several hosts of one template: what is advised works, and so does each host by its name.
        let hosts = DirectDownloadHosts::default();
        let urls = ["a", "b", "c"].map(|host| format!("https://{host}.tile.openstreetmap.org/1/2/3.png"));
        let refused = |hosts: &DirectDownloadHosts| hosts.refused_hosts("Streets", urls.iter().map(String::as_str));
        for (left, advice) in [(3, "*.tile.openstreetmap.org"), (1, "c.tile.openstreetmap.org")] {
            let allow: Vec<String> = urls.iter().take(3 - left).filter_map(|url| host_of(url)).collect();
            let mut hosts = DirectDownloadHosts { allow, ..hosts.clone() };
            let words = refused(&hosts).expect("refused");
            assert!(words.ends_with(&format!("(--allow-direct-from {advice})")), "{words}");
            hosts.allow.push(advice.to_owned());
            assert!(hosts.check().is_ok() && refused(&hosts).is_none(), "the way out works");
        }
        let far = ["https://tile.openstreetmap.org/1", "https://mt1.google.com/1", "https://h/1"];
        let words = hosts.refused_hosts("Both", far).expect("refused");
        assert!(words.contains("--allow-direct-from mt1.google.com --allow-direct-from tile.openstreetmap.org"), "{words}");
        let mut hosts = hosts;
        for bad in ["", "https://h/x", "a b", "*."] {
            hosts.allow = vec![bad.to_owned()];
            assert!(hosts.check().is_err_and(|f| f.message.contains("directDownloadHosts")), "{bad}");
        }
    }
}
