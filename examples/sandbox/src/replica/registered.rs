//! The replicas that are registered on a service.

use crate::answer::{Answer, Rest, RestError};
use crate::feature::FeatureService;
use crate::lock::lock;
use crate::request::Call;
use crate::state::State;
use serde_json::json;

/// `GET …/replicas` is a bare array.
pub(crate) fn list(state: &State, service: &FeatureService) -> Answer {
    let replicas = lock(&state.replicas);
    let all = replicas.get(service.name).cloned().unwrap_or_default();
    Answer::Json(all.iter().map(|(id, name)| json!({"replicaName": name, "replicaID": id})).collect())
}

/// `POST …/unRegisterReplica`.
pub(crate) fn unregister(state: &State, service: &FeatureService, call: &Call) -> Rest<Answer> {
    let id = call.text("replicaID").unwrap_or_default().trim_matches(['{', '}']).to_ascii_lowercase();
    let mut replicas = lock(&state.replicas);
    let all = replicas.entry(service.name).or_default();
    let before = all.len();
    all.retain(|(known, _)| *known != id);
    if all.len() == before {
        return Err(RestError::new(400, "Replica not found."));
    }
    Ok(Answer::Json(json!({"success": true})))
}
