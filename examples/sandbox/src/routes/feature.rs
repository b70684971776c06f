//! Feature services: descriptions, queries, attachments and replicas.

use crate::answer::{Answer, Rest, RestError};
use crate::feature::{FeatureService, Queried};
use crate::replica;
use crate::request::Call;
use crate::state::State;
use offmap_engine::testing::JobFault;
use serde_json::json;
use std::sync::Arc;

/// Answers a call to a feature service.
pub(crate) fn feature(
    state: &Arc<State>,
    service: &Arc<FeatureService>,
    call: &Call,
    tail: &[&str],
    fault: Option<JobFault>,
) -> Rest<Answer> {
    let number = |text: &str| text.parse::<i64>().map_err(|_| RestError::new(404, "Not found."));
    let layer = |text: &str| text.parse::<u32>().map_err(|_| RestError::new(400, "Invalid URL"));
    match tail {
        ["createreplica"] => {
            let folder = if call.is_online() { "hosted" } else { "arcgis" };
            let url = format!("{}/{folder}/rest/services/{}/FeatureServer", state.named(call), service.name);
            replica::create(state, service, call, &url, fault)
        }
        ["createreplica" | "jobs", job] => replica::status(state, call, job),
        [] => Ok(Answer::Json(service.description())),
        ["layers"] => {
            let of = |tables: bool| {
                let ids = service.layers.iter().filter(move |l| l.geometry.is_none() == tables).map(|l| l.id);
                ids.filter_map(|id| service.layer_description(id).ok()).collect::<Vec<_>>()
            };
            Ok(Answer::Json(json!({"layers": of(false), "tables": of(true)})))
        }
        ["replicas"] => Ok(replica::list(state, service)),
        ["unregisterreplica"] => replica::unregister(state, service, call),
        [id] => service.layer_description(layer(id)?).map(Answer::Json),
        [id, "query"] => Ok(match service.query(layer(id)?, call)? {
            Queried::Json(json) => Answer::Json(json),
            Queried::Pbf(bytes) => Answer::Bytes("application/x-protobuf", bytes),
        }),
        [id, "queryrelatedrecords"] => service.related(layer(id)?, call).map(Answer::Json),
        [id, "queryattachments"] => service.query_attachments(layer(id)?, call).map(Answer::Json),
        [id, parent, "attachments"] => service.attachments(layer(id)?, number(parent)?).map(Answer::Json),
        [id, parent, "attachments", attachment] => {
            let bytes = service.attachment(layer(id)?, number(parent)?, number(attachment)?)?;
            Ok(Answer::Bytes("image/png", bytes))
        }
        _ => Ok(Answer::NotFound),
    }
}
