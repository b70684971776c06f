//! By which replica, and which state of the service, the layers of a replica were exported.
//!
//! The file says it, and the job's answers do. Source: `feature-service-rest` reference §3.4, §4.1; mobile map package reference B.5.

use super::units::JOB_UNIT;
use crate::feature_service::service::FeatureService;
use offmap_engine::ExportContext;
use offmap_formats::geodatabase::{SyncState, sync_state};
use offmap_model::{EditTokens, Failure, FailureKind, number};
use serde_json::Value;
use std::path::Path;
use tokio_util::sync::CancellationToken;

/// Notes the id of the replica as the service said it.
pub(super) const REPLICA_ID: &str = "replicaId";
/// Stands in that note for a replica that is unregistered.
pub(super) const GONE: &str = "unregistered";
/// Notes the generations of the service as it said them.
const SERVER_GENS: &str = "serverGens";
/// Keys of generations in answers: of the whole replica, and of each layer.
const OF_REPLICA: &str = "replicaServerGen";
const OF_LAYERS: &str = "layerServerGens";
/// Bytes of the longest list of generations that is noted.
const LONGEST_LIST: usize = 1 << 20;

/// Notes what an answer of the job says of the replica.
pub(super) async fn note(ctx: &ExportContext, answer: &Value) -> Result<(), Failure> {
    if let Some(id) = answer.get("replicaID").and_then(Value::as_str).filter(|id| !id.is_empty()) {
        ctx.ledger().note(JOB_UNIT, REPLICA_ID, id).await?;
    }
    let said: serde_json::Map<String, Value> = [OF_REPLICA, OF_LAYERS]
        .into_iter()
        .filter_map(|key| Some((key.to_owned(), answer.get(key).filter(|v| !v.is_null())?.clone())))
        .collect();
    let text = Value::Object(said).to_string();
    match text.as_str() {
        "{}" => Ok(()),
        text if text.len() > LONGEST_LIST => Ok(()),
        text => ctx.ledger().note(JOB_UNIT, SERVER_GENS, text).await,
    }
}

/// Forgets the generations of an earlier submission.
pub(super) async fn forget_generations(ctx: &ExportContext) -> Result<(), Failure> {
    match ctx.ledger().noted(JOB_UNIT, SERVER_GENS).await? {
        Some(_) => ctx.ledger().note(JOB_UNIT, SERVER_GENS, "").await,
        None => Ok(()),
    }
}

/// The state of a replica's file. What cannot be read there is left to the answers: the data are good without it. Blocks.
pub(super) fn of_file(path: &Path, cancel: &CancellationToken) -> Result<SyncState, Failure> {
    match sync_state(path, cancel) {
        Err(failure) if failure.kind == FailureKind::Corrupt => {
            tracing::debug!(%failure, "the state of a replica cannot be read");
            Ok(SyncState::default())
        }
        state => state,
    }
}

/// The state of a replica: what its file says, else what the answers said.
pub(super) async fn complete(ctx: &ExportContext, mut state: SyncState) -> Result<SyncState, Failure> {
    let noted = ctx.ledger().noted(JOB_UNIT, REPLICA_ID).await?.filter(|id| id != GONE);
    let plain = |id: String| id.trim_matches(['{', '}']).to_ascii_lowercase();
    state.replica_id = state.replica_id.or_else(|| noted.map(plain).filter(|id| !id.is_empty()));
    let said = ctx.ledger().noted(JOB_UNIT, SERVER_GENS).await?;
    let said = said.and_then(|text| serde_json::from_str::<Value>(&text).ok()).unwrap_or_default();
    state.server_gen = state.server_gen.or_else(|| number::read(said.get(OF_REPLICA)?));
    for (layer, server_gen) in layer_server_gens(&said) {
        state.layer_server_gens.entry(layer).or_insert(server_gen);
    }
    Ok(state)
}

/// The generations of layers; some services send the list as a text.
fn layer_server_gens(said: &Value) -> Vec<(i64, i64)> {
    let list = said.get(OF_LAYERS).cloned().unwrap_or_default();
    let list = match list.as_str() {
        Some(text) => serde_json::from_str(text).unwrap_or_default(),
        None => list,
    };
    let entries = list.as_array().into_iter().flatten();
    let own = |entry: &Value| Some((number::read(entry.get("id")?)?, number::read(entry.get("serverGen")?)?));
    entries.filter_map(own).collect()
}

/// The tokens of a layer in the replica, as the service described itself before the export.
pub(super) fn of_layer(state: &SyncState, service: &FeatureService, layer: Option<u32>) -> EditTokens {
    EditTokens {
        replica_id: state.replica_id.clone(),
        server_gen: layer.and_then(|layer| state.server_gen_of(i64::from(layer))),
        edit_date: layer.and_then(|layer| service.layers.get(&layer)?.edit_date),
        ..EditTokens::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn generations_are_read_as_a_list_and_as_a_text() {
        let list = json!([{"id": 0, "serverGen": 8_459_361, "serverSibGen": -1}, {"id": "1", "serverGen": 7.0}, {"id": 2}]);
        for said in [json!({"layerServerGens": list}), json!({"layerServerGens": list.to_string()})] {
            assert_eq!(layer_server_gens(&said), [(0, 8_459_361), (1, 7)], "{said}");
        }
        assert!(layer_server_gens(&json!({"layerServerGens": "no list"})).is_empty());
        assert!(layer_server_gens(&json!({})).is_empty());
    }
}
