//! What a plan is made of.

use crate::registry::ExporterRegistry;
use offmap_model::{GenerateOfflineMapParameterOverrides, GenerateOfflineMapParameters, OfflineMapSource};
use std::sync::Arc;

/// What the caller gave, and the exporters that may be chosen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlanInputs<'a> {
    pub(crate) registry: &'a ExporterRegistry,
    pub(crate) source: &'a Arc<OfflineMapSource>,
    pub(crate) parameters: &'a GenerateOfflineMapParameters,
    pub(crate) overrides: &'a GenerateOfflineMapParameterOverrides,
}
