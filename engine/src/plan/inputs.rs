//! What a plan is made of.

use crate::registry::ExporterRegistry;
use crate::ways::Ways;
use offmap_model::{DirectDownload, GenerateOfflineMapParameterOverrides, GenerateOfflineMapParameters, OfflineMapSource};
use std::sync::Arc;

/// What the caller gave, and the exporters that may be chosen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlanInputs<'a> {
    pub(crate) registry: &'a ExporterRegistry,
    pub(crate) source: &'a Arc<OfflineMapSource>,
    pub(crate) parameters: &'a GenerateOfflineMapParameters,
    pub(crate) overrides: &'a GenerateOfflineMapParameterOverrides,
}

impl PlanInputs<'_> {
    /// Whether a layer may be downloaded directly: the overrides say it of single layers, the parameters of all others.
    pub(crate) fn direct_download(&self, layer: &str) -> DirectDownload {
        self.overrides.direct_download().get(layer).copied().unwrap_or(self.parameters.direct_download)
    }

    /// Whether a layer may be drawn tile by tile, likewise.
    pub(crate) fn draws_tiles(&self, layer: &str) -> bool {
        self.overrides.draw_tiles().get(layer).copied().unwrap_or(self.parameters.draw_tiles)
    }

    /// The ways that a layer may go.
    pub(crate) fn ways(&self, layer: &str) -> Ways {
        Ways { direct: self.direct_download(layer), draws: self.draws_tiles(layer) }
    }
}
