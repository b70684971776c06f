//! The utility networks of a web map.

use crate::service_url::ServiceUrl;
use crate::web_map::WebMap;
use serde_json::Value;

/// A typed view on one member of a web map's `utilityNetworks`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UtilityNetwork {
    /// Its id, where it has one.
    pub id: Option<String>,
    /// For people.
    pub title: String,
    /// Its url, without query: keys of overrides are made of it.
    pub url: Option<String>,
    /// The feature service that it is part of.
    pub service_url: Option<String>,
    /// Its place in the list.
    pub index: usize,
}

impl UtilityNetwork {
    /// The networks of a map.
    #[must_use]
    pub fn of(map: &WebMap) -> Vec<Self> {
        let list = map.json().get("utilityNetworks").and_then(Value::as_array);
        let read = |(index, value): (usize, &Value)| {
            let text = |key: &str| value.get(key).and_then(Value::as_str).filter(|t| !t.is_empty()).map(str::to_owned);
            let url = text("url").as_deref().and_then(ServiceUrl::parse);
            let service = url.as_ref().filter(|s| s.kind() == "featureserver");
            Self {
                id: text("id"),
                title: text("title").or_else(|| text("id")).unwrap_or_else(|| format!("utility network {}", index + 1)),
                service_url: service.map(|s| s.root().to_owned()),
                url: url.map(|u| u.layer_id().map_or_else(|| u.root().to_owned(), |id| format!("{}/{id}", u.root()))),
                index,
            }
        };
        list.into_iter().flatten().enumerate().map(read).collect()
    }
}
