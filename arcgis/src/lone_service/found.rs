//! A service or layer as a map.

use super::level_scale::LevelScale;
use offmap_model::{AreaOfInterest, DirectDownloadHosts, Failure, OfflineMapSource};
use serde_json::{Value, json};
use std::sync::Arc;

/// What is wanted of a service that has both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Its cache of tiles.
    Tiles,
    /// The same, drawn where it has none.
    Drawn,
    /// Its features.
    Features,
}

/// What is wanted of a service.
#[derive(Debug, Clone, Copy)]
pub struct Selection<'a> {
    /// Tiles, tiles that are drawn, or features.
    pub wanted: Wanted,
    /// A where clause for features; an empty one is met by all.
    pub filter: &'a str,
    /// The layer of a WMTS by its identifier or title; a service with one layer needs none.
    pub layer: Option<&'a str>,
    /// What the caller says of hosts whose terms forbid that tiles are downloaded one by one; `None` for nothing.
    pub hosts: Option<&'a DirectDownloadHosts>,
}

impl Selection<'_> {
    /// All of it.
    #[must_use]
    pub fn all(wanted: Wanted) -> Self {
        Self { wanted, filter: "", layer: None, hosts: None }
    }

    /// The same list, for redirects.
    pub(super) fn shared_hosts(&self) -> Arc<DirectDownloadHosts> {
        Arc::new(self.hosts.cloned().unwrap_or_default())
    }

    /// Refuses tiles that lie on a host whose terms forbid it, before anything is asked there.
    pub(super) fn check_host(&self, title: &str, url: &str) -> Result<(), Failure> {
        let refused = self.shared_hosts().refused(title, url);
        refused.map_or(Ok(()), |words| Err(Failure::not_supported(words)))
    }
}

/// A service or layer, as a map.
#[derive(Debug)]
#[non_exhaustive]
pub struct LoneService {
    /// The map that holds it and nothing else.
    pub source: OfflineMapSource,
    /// What it is called.
    pub title: String,
    /// All of it, in its own spatial reference; `None` where the service does not say.
    pub extent: Option<AreaOfInterest>,
    /// The levels of its cache, from the coarsest to the finest; those of the web where it is drawn; none of features.
    pub levels: Vec<LevelScale>,
    /// Whether it has tiles and nothing that draws them: a template or WMTS has no style.
    pub has_only_tiles: bool,
    /// Whether its tiles are vector tiles; `None` where that is known when it is planned.
    pub has_vector_tiles: Option<bool>,
    /// Whether it has no cache and is drawn.
    pub is_drawn: bool,
}

/// A web map of some layers and tables.
pub(super) fn map_of(title: &str, layers: Vec<Value>, tables: Vec<Value>) -> Value {
    json!({
        "operationalLayers": layers,
        "tables": tables,
        "baseMap": {"baseMapLayers": [], "title": title},
        "version": "2.28",
    })
}
