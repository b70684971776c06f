//! The parameters of `createReplica`.
//!
//! Written after the `feature-service-rest` reference §3.

use crate::answer::{Rest, RestError};
use crate::feature::{FeatureService, area_of};
use crate::request::Call;
use offmap_model::Polygon;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What a replica holds of a layer.
#[derive(Debug, Clone)]
pub(crate) struct LayerQuery {
    pub(crate) option: String,
    pub(crate) filter: String,
    pub(crate) use_geometry: bool,
    pub(crate) include_related: bool,
}

/// A `createReplica`, read.
pub(crate) struct Wanted {
    pub(crate) layers: Vec<u32>,
    pub(crate) queries: BTreeMap<u32, LayerQuery>,
    pub(crate) area: Option<Polygon>,
    pub(crate) with_attachments: bool,
    pub(crate) name: String,
    /// Whether a hosted service is asked.
    pub(crate) online: bool,
}

/// The error of a replica that cannot be made.
pub(crate) fn refuse(detail: &str) -> RestError {
    RestError::with_detail(500, "Unable to create replica. Please check your parameters.", detail)
}

fn layers_of(service: &FeatureService, call: &Call) -> Rest<Vec<u32>> {
    let layers = call.text("layers").unwrap_or_default().trim_matches(['[', ']']);
    let layers: Vec<u32> = layers.split(',').filter_map(|n| n.trim().parse().ok()).collect();
    if layers.is_empty() {
        return Err(refuse("layers"));
    }
    if layers.iter().collect::<BTreeSet<_>>().len() != layers.len() {
        return Err(refuse("a layer is listed twice"));
    }
    for id in &layers {
        service.layer(*id)?;
    }
    Ok(layers)
}

fn queries_of(service: &FeatureService, call: &Call, layers: &[u32]) -> Rest<BTreeMap<u32, LayerQuery>> {
    let mut queries = BTreeMap::new();
    let given = call.json("layerQueries").unwrap_or(Value::Null);
    for id in layers {
        let query = given.get(id.to_string()).cloned().unwrap_or(Value::Null);
        let flag = |key: &str, default| query.get(key).and_then(Value::as_bool).unwrap_or(default);
        let text = |key: &str| query.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let option = query.get("queryOption").and_then(Value::as_str).unwrap_or("useFilter").to_owned();
        let read = LayerQuery {
            option,
            filter: text("where"),
            use_geometry: flag("useGeometry", true),
            include_related: flag("includeRelated", true),
        };
        if !read.filter.is_empty() {
            service.ids_where(service.layer(*id)?, &read.filter, "OBJECTID", call.is_online())?;
        }
        queries.insert(*id, read);
    }
    Ok(queries)
}

/// Reads and checks them.
pub(crate) fn read(service: &FeatureService, call: &Call) -> Rest<Wanted> {
    if !service.sync_enabled {
        return Err(RestError::with_detail(400, "Unable to complete operation.", "Sync is not enabled."));
    }
    let layers = layers_of(service, call)?;
    if !call.text("dataFormat").unwrap_or("json").eq_ignore_ascii_case("sqlite") {
        return Err(refuse("only dataFormat=sqlite is offered here"));
    }
    if call.text("geometry").is_none() {
        return Err(refuse("geometry"));
    }
    Ok(Wanted {
        queries: queries_of(service, call, &layers)?,
        layers,
        area: area_of(call)?,
        with_attachments: call.flag("returnAttachments", false),
        name: call.text("replicaName").unwrap_or("MyReplica").to_owned(),
        online: call.is_online(),
    })
}
