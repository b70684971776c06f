//! Files of finished jobs.

use crate::answer::{Answer, Rest};
use crate::request::Call;
use crate::state::State;
use serde_json::{Value, json};

/// A file of a finished job, or the folder that it is in.
pub(crate) fn output(state: &State, call: &Call, name: &str) -> Rest<Answer> {
    if name.contains("..") {
        return Ok(Answer::NotFound);
    }
    let path = state.files.path().join(name);
    if !path.is_dir() {
        return Ok(Answer::File(path));
    }
    let names =
        std::fs::read_dir(&path).into_iter().flatten().flatten().map(|e| e.file_name().to_string_lossy().into_owned());
    let files: Vec<Value> = names
        .map(|n| json!({"name": n, "url": format!("{}/arcgis/rest/directories/arcgisoutput/{name}/{n}", state.named(call))}))
        .collect();
    Ok(Answer::Json(json!({"folders": [], "files": files})))
}
