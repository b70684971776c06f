//! Exports of tiles: `exportTiles` and its jobs.

use crate::answer::{Answer, Rest, RestError};
use crate::jobs::{Job, JobKind, Poll};
use crate::lock::lock;
use crate::request::Call;
use crate::state::State;
use crate::tiles::{Cut, TileScheme, cut_of};
use offmap_engine::testing::JobFault;
use serde_json::{Value, json};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Whether a call is to one of the services that give tiles and do not export them.
pub(crate) fn is_closed(call: &Call) -> bool {
    call.path.to_ascii_lowercase().contains("/noexport")
}

/// A description that states whether the host that was asked exports, and whether it says which tiles there are.
pub(crate) fn exported_here(state: &State, call: &Call, mut root: Value) -> Value {
    root["exportTilesAllowed"] = json!(state.exports(call) && !is_closed(call));
    if let Some(most) = state.options.max_export_tiles {
        root["maxExportTilesCount"] = json!(most);
    }
    if state.options.no_tilemaps {
        root["capabilities"] = json!("Map,TilesOnly");
        root.as_object_mut().and_then(|root| root.remove("tileMap"));
    }
    root
}

/// Accepts an export: each family in its own shape, and with its own error where it is too much.
pub(crate) fn export(
    state: &Arc<State>,
    call: &Call,
    scheme: &'static TileScheme,
    ending: &str,
    fault: Option<JobFault>,
    write: impl FnOnce(&Path, &State, &Cut, &TileScheme) -> io::Result<()> + Send + 'static,
) -> Rest<Answer> {
    if !state.exports(call) || is_closed(call) {
        return Err(RestError::new(400, "Export tiles is not enabled on this service."));
    }
    let cut = Cut { lost: state.options.lost_tiles, ..cut_of(call, scheme)? };
    let (name, count, limit) =
        (scheme.title, cut.count(scheme), state.options.max_export_tiles.unwrap_or(scheme.max_export));
    let online = call.is_online();
    if online && count > limit {
        return Err(RestError::new(
            500,
            &format!(
                "Unable to export the cache, estimated tile count({count}) is greater than the max export tiles count({limit}) that is set for the service."
            ),
        ));
    }
    let id = uuid::Uuid::new_v4();
    let job = if online { id.hyphenated().to_string() } else { format!("j{}", id.simple()) };
    let folder = state.files.path().join(&job);
    let path = folder.join(format!("{name}.{ending}"));
    let kind = JobKind::Tiles { name: name.to_owned(), online };
    state.start(job.clone(), kind, fault, move |state| {
        if count > limit {
            return Err(format!(
                "ERROR 001564: Requested tile count({count}) exceeds the maximum allowed number of tiles({limit}) to be exported for service {name}:MapServer."
            ));
        }
        std::fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
        // Written beside and renamed, so that the listing never shows an incomplete file.
        let part = folder.with_extension("part");
        write(&part, state, &cut, scheme).and_then(|()| std::fs::rename(&part, &path)).map_err(|e| e.to_string())?;
        Ok(path)
    });
    Ok(Answer::Json(if online {
        json!({"id": id.simple().to_string(), "name": "export", "url": null, "status": "success", "itemId": null,
            "type": "Vector Tile Service", "jobId": job, "message": "success"})
    } else {
        json!({"jobId": job, "jobStatus": "esriJobSubmitted"})
    }))
}

/// Where the result of a hosted service is: presigned on the storage, or below the url by which the server names itself.
fn result_url(state: &State, name: &str) -> String {
    match &state.options.inner_host {
        Some(inner) => format!("{inner}/arcgis/rest/directories/arcgisoutput/{name}"),
        None => format!("{}/presigned/{name}?sig=abc&se=2099", state.storage()),
    }
}

/// The status of a job in the shape of ArcGIS Server or ArcGIS Online.
fn status(state: &State, id: &str, job: &Job, poll: Poll) -> Option<Value> {
    let JobKind::Tiles { name, online } = &job.kind else { return None };
    let messages = |kind: &str, text: &str| json!([{"type": format!("esriJobMessageType{kind}"), "description": text}]);
    Some(match poll {
        Poll::Running => {
            json!({"jobId": id, "jobStatus": "esriJobExecuting", "messages": messages("Informative", "Exporting tiles"),
            "progress": {"type": "step", "message": format!("Exporting {name}"), "percent": (job.polls * 20).min(95)}})
        }
        Poll::Failed(message) => json!({"jobId": id, "jobStatus": "esriJobFailed", "messages": messages("Error", &message)}),
        Poll::WithErrors => json!({"jobId": id, "jobStatus": "esriJobFailed", "message": "completed with errors"}),
        Poll::Cancelled => json!({"jobId": id, "jobStatus": "esriJobCancelled", "messages": []}),
        Poll::Done(path) if *online => {
            let inside = path.strip_prefix(state.files.path()).unwrap_or(&path).to_string_lossy().into_owned();
            json!({"jobId": id, "jobStatus": "esriJobSucceeded", "type": "EXPORTTILES",
                "output": {"outputUrl": [result_url(state, &inside)], "itemId": null}})
        }
        Poll::Done(_) => json!({"jobId": id, "jobStatus": "esriJobSucceeded", "messages": messages("Informative", "Done"),
            "results": {"out_service_url": {"paramUrl": "results/out_service_url"}}}),
    })
}

/// A poll of an export job, its result, or its cancel.
pub(crate) fn job(state: &State, call: &Call, tail: &[&str]) -> Rest<Answer> {
    let gone = || RestError::new(400, "Job not found in Job Registry or the registry record is unavailable.");
    match tail {
        [id, "cancel"] => {
            let mut all = lock(&state.jobs);
            all.get_mut(*id).ok_or_else(gone)?.cancelled = true;
            Ok(Answer::Json(json!({"jobId": id, "jobStatus": "esriJobCancelling"})))
        }
        [id, "results", _] => {
            let folder = format!("{}/arcgis/rest/directories/arcgisoutput/{id}", state.named(call));
            Ok(Answer::Json(json!({"paramName": "out_service_url", "dataType": "GPString", "value": folder})))
        }
        [id] => {
            let answer = state.poll(id, |job, poll| status(state, id, job, poll));
            answer.flatten().map(Answer::Json).ok_or_else(gone)
        }
        _ => Ok(Answer::NotFound),
    }
}
