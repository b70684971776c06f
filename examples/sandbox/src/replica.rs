//! `createReplica` and what belongs to it.
//!
//! Written after the `feature-service-rest` reference §3 and §4.

use crate::feature::{FeatureService, Rest, RestError, area_of};
use crate::geodatabase::{ReplicaInfo, ReplicaLayer, write};
use crate::request::Call;
use crate::state::{Answer, JobKind, Look, State, lock, now_ms};
use offmap_engine::testing::JobFault;
use offmap_model::Polygon;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// What a replica takes of a layer.
#[derive(Debug, Clone)]
struct LayerQuery {
    option: String,
    filter: String,
    use_geometry: bool,
    include_related: bool,
}

/// A `createReplica`, read.
struct Wanted {
    layers: Vec<u32>,
    queries: BTreeMap<u32, LayerQuery>,
    area: Option<Polygon>,
    with_attachments: bool,
    name: String,
    /// Whether a hosted service is asked.
    online: bool,
}

fn refuse(words: &str) -> RestError {
    let message = "Unable to create replica. Please check your parameters.";
    RestError { details: vec![words.to_owned()], ..RestError::new(500, message) }
}

fn read(service: &FeatureService, call: &Call) -> Rest<Wanted> {
    if !service.sync_enabled {
        return Err(RestError {
            details: vec!["Sync is not enabled.".to_owned()],
            ..RestError::new(400, "Unable to complete operation.")
        });
    }
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
    if !call.text("dataFormat").unwrap_or("json").eq_ignore_ascii_case("sqlite") {
        return Err(refuse("only dataFormat=sqlite is offered here"));
    }
    if call.text("geometry").is_none() {
        return Err(refuse("geometry"));
    }
    let mut queries = BTreeMap::new();
    let given = call.json("layerQueries").unwrap_or(Value::Null);
    for id in &layers {
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
    Ok(Wanted {
        layers,
        queries,
        area: area_of(call)?,
        with_attachments: call.flag("returnAttachments", false),
        name: call.text("replicaName").unwrap_or("MyReplica").to_owned(),
        online: call.is_online(),
    })
}

/// The rows of every layer by the table of reference §3.1.
fn select<'a>(service: &'a FeatureService, wanted: &Wanted) -> Rest<BTreeMap<u32, Vec<&'a crate::data::Row>>> {
    let mut rows: BTreeMap<u32, Vec<&crate::data::Row>> = BTreeMap::new();
    for (id, query) in &wanted.queries {
        let layer = service.layer(*id)?;
        let found: Vec<&crate::data::Row> = match query.option.as_str() {
            "all" => layer.rows.iter().filter(|r| service.has_row(*id, r.id())).collect(),
            "none" => Vec::new(),
            _ => {
                // A non-spatial table that asks for nothing comes down empty.
                let asks = !query.filter.is_empty() || layer.geometry.is_some();
                let filter = if query.filter.is_empty() { "1=1" } else { query.filter.as_str() };
                let ids: BTreeSet<i64> = service.ids_where(layer, filter, "OBJECTID", wanted.online)?.into_iter().collect();
                let inside = |r: &&crate::data::Row| match (&wanted.area, &r.shape) {
                    (Some(area), Some(shape)) if query.use_geometry => shape.meets(area),
                    _ => true,
                };
                layer.rows.iter().filter(|r| asks && ids.contains(&r.id())).filter(inside).collect()
            }
        };
        rows.insert(*id, found);
    }
    // Related rows follow the rows taken, from origin to destination, until nothing is added.
    loop {
        let mut added = false;
        for (id, _) in wanted.queries.iter().filter(|(_, q)| q.option == "none" && q.include_related) {
            let layer = service.layer(*id)?;
            for (relation, _, origin, _, foreign) in layer.relations.iter().filter(|r| r.3 == "esriRelRoleDestination") {
                let Ok(from) = service.layer(*origin) else { continue };
                let Some(key) = from.relations.iter().find(|r| r.0 == *relation).map(|r| r.4) else { continue };
                let keys: BTreeSet<&str> = rows.get(origin).into_iter().flatten().map(|r| r.text(key)).collect();
                let mine = rows.entry(*id).or_default();
                let have: BTreeSet<i64> = mine.iter().map(|r| r.id()).collect();
                let there = layer.rows.iter().filter(|r| service.has_row(*id, r.id()));
                let new = there.filter(|r| keys.contains(r.text(foreign)) && !have.contains(&r.id()));
                let before = mine.len();
                mine.extend(new);
                added |= mine.len() > before;
            }
        }
        if !added {
            return Ok(rows);
        }
    }
}

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
        let taken: Vec<_> = rows.get(layer_id).into_iter().flatten().filter_map(|id| layer.row(*id)).collect();
        let parents: BTreeSet<i64> = taken.iter().map(|r| r.id()).collect();
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
            rows: taken,
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
    service: usize,
    call: &Call,
    url: &str,
    online: bool,
    fault: Option<JobFault>,
) -> Rest<Answer> {
    let found = state.services.get(service).ok_or_else(|| refuse("no such service"))?;
    if call.method != "POST" {
        return Err(RestError::new(405, "Method not allowed."));
    }
    let wanted = read(found, call)?;
    let registers = call.text("syncModel").unwrap_or("perReplica") != "none";
    let id = uuid::Uuid::new_v4().hyphenated().to_string();
    let replica = registers.then(|| id.clone());
    let job = if online { id.clone() } else { format!("j{}", id.replace('-', "")) };
    let path = state.files.path().join(format!("{job}.geodatabase"));
    let kind = JobKind::Replica { name: wanted.name.clone(), id: replica.clone() };
    let (file, service_url, name) = (path.clone(), url.to_owned(), found.name);
    // The state of this moment is what the replica holds, whatever is edited while it is made.
    let rows: BTreeMap<u32, Vec<i64>> =
        select(found, &wanted)?.into_iter().map(|(id, rows)| (id, rows.iter().map(|r| r.id()).collect())).collect();
    let build = move |state: &State| {
        let service = state.services.get(service).ok_or("no such service")?;
        build(state, service, &wanted, &rows, replica.as_deref(), &file, &service_url)?;
        if let Some(id) = &replica {
            lock(&state.replicas).entry(name).or_default().push((id.clone(), wanted.name.clone()));
        }
        Ok(file)
    };
    if call.flag("async", false) {
        state.start(job.clone(), kind, fault, build);
        let status = if online { format!("{url}/createReplica/{job}?statusId={job}") } else { format!("{url}/jobs/{job}") };
        return Ok(Answer::Json(json!({"statusUrl": status})));
    }
    let path = build(state).map_err(|words| refuse(&words))?;
    let file = file_url(state, call, &path);
    Ok(Answer::Json(if online {
        json!({"replicaName": call.text("replicaName"), "replicaID": "", "responseUrl": file, "transportType": "esriTransportTypeUrl"})
    } else {
        json!({"transportType": "esriTransportTypeURL", "responseType": "esriReplicaResponseTypeData", "URL": file})
    }))
}

fn file_url(state: &State, call: &Call, path: &std::path::Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!("{}/arcgis/rest/directories/arcgisoutput/{name}", state.named(call))
}

/// A look at a replica job.
pub(crate) fn status(state: &State, call: &Call, job: &str) -> Rest<Answer> {
    const WALK: [&str; 4] = ["Pending", "ProvisioningReplica", "ExportingData", "ExportAttachments"];
    let answer = state.look(job, |job, look| {
        let JobKind::Replica { name, id } = &job.kind else { return None };
        let at = usize::try_from(job.looks.saturating_sub(1)).unwrap_or(0);
        let running = WALK.get(at.min(WALK.len() - 1)).copied().unwrap_or("InProgress");
        let (word, file, error) = match look {
            Look::Running => (running, String::new(), Value::Null),
            Look::Done(path) => ("Completed", file_url(state, call, &path), Value::Null),
            Look::WithErrors => ("CompletedWithErrors", String::new(), Value::Null),
            Look::Failed(words) => ("Failed", String::new(), json!({"code": 500, "message": words, "details": []})),
            Look::Cancelled => ("Failed", String::new(), json!({"code": 500, "message": "cancelled"})),
        };
        let known = !file.is_empty();
        let mut json = json!({
            "replicaName": name, "replicaID": id.as_deref().filter(|_| known).unwrap_or_default(),
            "responseType": "esriReplicaResponseTypeData", "transportType": "esriTransportTypeURL", "targetType": "client",
            "status": word, "resultUrl": file, "submissionTime": job.submitted, "lastUpdatedTime": now_ms(),
        });
        if let (false, Some(json)) = (error.is_null(), json.as_object_mut()) {
            json.insert("error".to_owned(), error);
        }
        Some(Answer::Json(json))
    });
    answer.flatten().ok_or_else(|| RestError::new(400, "Job not found."))
}

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
