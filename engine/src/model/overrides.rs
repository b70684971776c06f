//! `GenerateOfflineMapParameterOverrides`: one service's parameters in place of the defaults.

use super::failure::Failure;
use super::plan::OfflineMapPlan;
use super::service_url::service_key;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

/// Names what one exporter makes of one service: the service's address and the exporter's parameter type.
///
/// All layers and tables of one service have equal keys, hence one replica and one file. Addresses are compared without
/// scheme and letter case.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OfflineMapParametersKey {
    /// Address of the service.
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

    fn compared(&self) -> (String, &str) {
        (service_key(&self.service_url), &self.parameters_type)
    }
}

impl PartialEq for OfflineMapParametersKey {
    fn eq(&self, other: &Self) -> bool {
        self.compared() == other.compared()
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
        self.compared().cmp(&other.compared())
    }
}

impl fmt::Display for OfflineMapParametersKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.parameters_type, self.service_url)
    }
}

/// Parameters per service that replace the exporters' defaults.
///
/// As JSON: `{"generateGeodatabaseParameters": {"<service url>": {…}}, "exportTileCacheParameters": {…},
/// "exportVectorTilesParameters": {…}}`; the inner object is the whole parameter object of that exporter. Custom exporters
/// add their own outer key. A key that matches nothing in the plan is refused.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GenerateOfflineMapParameterOverrides {
    dictionaries: BTreeMap<String, BTreeMap<String, Value>>,
}

impl GenerateOfflineMapParameterOverrides {
    /// Reads them from JSON.
    ///
    /// # Errors
    /// If it is not an object of objects.
    pub fn from_json(text: &str) -> Result<Self, Failure> {
        serde_json::from_str(text).map_err(|e| Failure::invalid_parameter(format!("the overrides cannot be used: {e}")))
    }

    /// The parameters of every task of a plan: a template to edit.
    #[doc(alias = "createGenerateOfflineMapParameterOverrides")]
    #[must_use]
    pub fn from_plan(plan: &OfflineMapPlan) -> Self {
        let mut dictionaries: BTreeMap<String, BTreeMap<String, Value>> = BTreeMap::new();
        for task in &plan.tasks {
            let dictionary = dictionaries.entry(task.key.parameters_type.clone()).or_default();
            dictionary.insert(task.key.service_url.clone(), task.parameters.clone());
        }
        Self { dictionaries }
    }

    /// Sets the parameters of one service.
    ///
    /// # Errors
    /// If they cannot be written as JSON.
    pub fn set(&mut self, key: &OfflineMapParametersKey, parameters: &impl Serialize) -> Result<(), Failure> {
        let value = serde_json::to_value(parameters)
            .map_err(|e| Failure::invalid_parameter(format!("the override for {key} is not JSON: {e}")))?;
        let dictionary = self.dictionaries.entry(key.parameters_type.clone()).or_default();
        dictionary.retain(|url, _| service_key(url) != service_key(&key.service_url));
        dictionary.insert(key.service_url.clone(), value);
        Ok(())
    }

    /// The override for a key, where there is one.
    #[must_use]
    pub fn get(&self, key: &OfflineMapParametersKey) -> Option<&Value> {
        let wanted = service_key(&key.service_url);
        let dictionary = self.dictionaries.get(&key.parameters_type)?;
        dictionary.iter().find(|(url, _)| service_key(url) == wanted).map(|(_, value)| value)
    }

    /// All keys.
    pub fn keys(&self) -> impl Iterator<Item = OfflineMapParametersKey> + '_ {
        self.dictionaries
            .iter()
            .flat_map(|(kind, all)| all.keys().map(|url| OfflineMapParametersKey::new(url.clone(), kind.clone())))
    }
}
