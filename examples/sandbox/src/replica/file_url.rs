//! Where the file of a replica is.

use crate::request::Call;
use crate::state::State;
use std::path::Path;

pub(crate) fn file_url(state: &State, call: &Call, path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!("{}/arcgis/rest/directories/arcgisoutput/{name}", state.named(call))
}
