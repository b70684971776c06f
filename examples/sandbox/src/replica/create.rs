//! `createReplica`: starts the job, or makes the file at once.

use super::file_url::file_url;
use super::parameters::{Wanted, read, refuse};
use super::select::select;
use crate::answer::{Answer, Rest, RestError};
use crate::feature::FeatureService;
use crate::geodatabase::{ReplicaInfo, ReplicaLayer, write};
use crate::jobs::JobKind;
use crate::lock::lock;
use crate::request::Call;
use crate::state::State;
use offmap_engine::testing::JobFault;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

fn build(
    state: &State,
    service: &FeatureService,
    wanted: &Wanted,
    rows: &BTreeMap<u32, Vec<i64>>,
    id: Option<&str>,
    path: &Path,
    url: &str,
) -> Result<(), String> {
    let mut layers = Vec::new();
    for layer_id in &wanted.layers {
        let layer = service.layer(*layer_id).map_err(|e| e.message)?;
        let query = wanted.queries.get(layer_id);
        let selected: Vec<_> = rows.get(layer_id).into_iter().flatten().filter_map(|id| layer.row(*id)).collect();
        let parents: BTreeSet<i64> = selected.iter().map(|r| r.id()).collect();
        let lost = state.options.lost_attachments;
        let photos = || {
            let all = state.data.photos.iter().filter(|a| wanted.with_attachments && parents.contains(&a.parent));
            all.skip(lost).collect()
        };
        layers.push(ReplicaLayer {
            layer,
            attachments: layer.has_attachments.then(photos),
            description: service.layer_description(*layer_id).map_err(|e| e.message)?,
            query_option: query.map_or_else(String::new, |q| q.option.clone()),
            filter: query.map_or_else(String::new, |q| q.filter.clone()),
            rows: selected,
        });
    }
    let info = ReplicaInfo {
        name: &wanted.name,
        id,
        service_url: url,
        service: service.description(),
        is_download_only: !service.is_editable(),
        bare_guids: state.options.bare_guids,
    };
    write(path, &info, &layers).map_err(|e| e.to_string())
}

/// `POST …/createReplica`.
pub(crate) fn create(
    state: &Arc<State>,
    service: &Arc<FeatureService>,
    call: &Call,
    url: &str,
    fault: Option<JobFault>,
) -> Rest<Answer> {
    if call.method != "POST" {
        return Err(RestError::new(405, "Method not allowed."));
    }
    let wanted = read(service, call)?;
    let online = wanted.online;
    let registers = call.text("syncModel").unwrap_or("perReplica") != "none";
    let id = uuid::Uuid::new_v4().hyphenated().to_string();
    let replica = registers.then(|| id.clone());
    let job = if online { id.clone() } else { format!("j{}", id.replace('-', "")) };
    let path = state.files.path().join(format!("{job}.geodatabase"));
    let kind = JobKind::Replica { name: wanted.name.clone(), id: replica.clone() };
    let (file, service_url, asked) = (path.clone(), url.to_owned(), Arc::clone(service));
    // The state of this moment is what the replica holds, whatever is edited while it is made.
    let rows: BTreeMap<u32, Vec<i64>> =
        select(service, &wanted)?.into_iter().map(|(id, rows)| (id, rows.iter().map(|r| r.id()).collect())).collect();
    let build = move |state: &State| {
        build(state, &asked, &wanted, &rows, replica.as_deref(), &file, &service_url)?;
        if let Some(id) = &replica {
            lock(&state.replicas).entry(asked.name).or_default().push((id.clone(), wanted.name.clone()));
        }
        Ok(file)
    };
    if call.flag("async", false) {
        state.start(job.clone(), kind, fault, build);
        let status = if online { format!("{url}/createReplica/{job}?statusId={job}") } else { format!("{url}/jobs/{job}") };
        return Ok(Answer::Json(json!({"statusUrl": status})));
    }
    let path = build(state).map_err(|message| refuse(&message))?;
    let file = file_url(state, call, &path);
    Ok(Answer::Json(if online {
        json!({"replicaName": call.text("replicaName"), "replicaID": "", "responseUrl": file, "transportType": "esriTransportTypeUrl"})
    } else {
        json!({"transportType": "esriTransportTypeURL", "responseType": "esriReplicaResponseTypeData", "URL": file})
    }))
}
