//! What tells the parameters of one service from those of others.

use crate::service_url::compare_keys;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Names what one exporter makes of one service: the service's url and the exporter's parameter type.
///
/// All layers and tables of one service have equal keys, hence one replica and one file. Urls are compared without
/// scheme and letter case, templates of tile urls by all of their text ([`service_key`](crate::service_key)).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OfflineMapParametersKey {
    /// Url of the service.
    pub service_url: String,
    /// The exporter's parameter type, for instance `generateGeodatabaseParameters`.
    pub parameters_type: String,
}

impl OfflineMapParametersKey {
    /// Makes a key.
    #[must_use]
    pub fn new(service_url: impl Into<String>, parameters_type: impl Into<String>) -> Self {
        Self { service_url: service_url.into(), parameters_type: parameters_type.into() }
    }
}

impl PartialEq for OfflineMapParametersKey {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for OfflineMapParametersKey {}

impl PartialOrd for OfflineMapParametersKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for OfflineMapParametersKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        compare_keys(&self.service_url, &other.service_url).then_with(|| self.parameters_type.cmp(&other.parameters_type))
    }
}

impl fmt::Display for OfflineMapParametersKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.parameters_type, self.service_url)
    }
}
