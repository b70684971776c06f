//! `offmap convert --to open`, and the folder of `offmap take --open`.

use crate::convert_arguments::Convert;
use crate::convert_progress::{Shown, tell_cancelled};
use crate::interrupt::{CANCELLED, on_ctrl_c};
use crate::progress_style::ProgressStyle;
use crate::stop::{INCOMPLETE, Stop};
use crate::terminal::{self, Tone, out, size};
use offmap::{Failure, run_blocking};
use offmap_convert::open_folder::{self, FolderRequest, OpenFolder};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Makes a folder, and shows how far it is.
pub(crate) async fn make(
    request: FolderRequest,
    progress: Option<ProgressStyle>,
    cancel: CancellationToken,
) -> Result<OpenFolder, Failure> {
    let name = request.to.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let shown = Arc::new(Shown::new(progress, &name));
    let seen = shown.clone();
    let made = run_blocking(move || open_folder::make(&request, &|progress| seen.see_folder(progress), &cancel)).await;
    shown.clear();
    made
}

pub(crate) async fn run(arguments: &Convert) -> Result<u8, Stop> {
    let cancel = CancellationToken::new();
    let cancelled = cancel.clone();
    tokio::spawn(on_ctrl_c(move || cancelled.cancel()));
    let outcome = make(arguments.folder(), arguments.progress, cancel).await;
    let json = folder_json(outcome.as_ref());
    match arguments.progress {
        Some(ProgressStyle::Json) => terminal::json_line(&json!({ "result": json })),
        _ if arguments.json => terminal::json(&json),
        _ => outcome.iter().for_each(tell_folder),
    }
    match outcome {
        Ok(folder) => Ok(if folder.left_out.is_empty() { 0 } else { INCOMPLETE }),
        Err(failure) if failure.is_cancelled() => {
            tell_cancelled(&arguments.to, arguments.keep);
            Ok(CANCELLED)
        }
        Err(failure) => Err(failure.into()),
    }
}

/// A folder, or why there is none, for programs.
pub(crate) fn folder_json(outcome: Result<&OpenFolder, &Failure>) -> Value {
    let complete = outcome.is_ok_and(|folder| folder.left_out.is_empty());
    let failure = outcome.err().map(|failure| Stop::from(failure.clone()).failure());
    let mut json = outcome.map_or_else(|_| json!({"folder": null}), |folder| json!(folder));
    if let Some(json) = json.as_object_mut() {
        json.extend([("complete".to_owned(), json!(complete)), ("failure".to_owned(), json!(failure))]);
    }
    json
}

/// Reports a folder for people.
pub(crate) fn tell_folder(folder: &OpenFolder) {
    for layer in &folder.layers {
        let attached = match layer.attachments {
            0 => String::new(),
            count => format!(", {count} attachments"),
        };
        match layer.rows {
            Some(rows) => out!(Tone::Good => "done      {}: {rows} rows{attached}", layer.title),
            None => out!(Tone::Good => "done      {}: {}", layer.title, layer.files.join(", ")),
        }
    }
    for one in &folder.left_out {
        out!(Tone::Lacking => "missing   {}: {}", one.layer, one.reason);
    }
    if folder.approximations > 0 {
        out!("note      {} things are drawn more simply: approximations.json names them", folder.approximations);
    }
    for map in &folder.maps {
        out!("map       {}: {} (QGIS, QField), {} (MapLibre)", map.title, map.project, map.style);
    }
    out!(Tone::Good => "folder    {} ({} files, {})", folder.folder.display(), folder.files, size(folder.bytes));
}
