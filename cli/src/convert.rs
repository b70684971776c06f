//! `offmap convert`.

use crate::convert_arguments::Convert;
use crate::convert_progress::{Shown, tell_cancelled};
use crate::interrupt::{CANCELLED, on_ctrl_c};
use crate::open_folder;
use crate::progress_style::ProgressStyle;
use crate::stop::{INCOMPLETE, Stop};
use crate::terminal::{self, Tone, out, size};
use offmap::{Failure, run_blocking};
use offmap_convert::files::{self, Converted};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

pub(crate) async fn run(arguments: Convert) -> Result<u8, Stop> {
    if arguments.kind.is_some() {
        return open_folder::run(&arguments).await;
    }
    let outcome = match arguments.request() {
        Ok(request) => {
            let cancel = CancellationToken::new();
            let cancelled = cancel.clone();
            tokio::spawn(on_ctrl_c(move || cancelled.cancel()));
            let name = arguments.to.file_name().unwrap_or_default().to_string_lossy();
            let shown = Arc::new(Shown::new(arguments.progress, &name));
            let seen = shown.clone();
            let converted = run_blocking(move || files::convert(&request, &|progress| seen.see(progress), &cancel)).await;
            shown.clear();
            converted.map_err(Stop::from)
        }
        Err(stop) => Err(stop),
    };
    let json = result_json(outcome.as_ref());
    match arguments.progress {
        Some(ProgressStyle::Json) => terminal::json_line(&json!({ "result": json })),
        _ if arguments.json => terminal::json(&json),
        _ => outcome.iter().for_each(tell),
    }
    match outcome {
        Ok(converted) => Ok(if converted.left_out.is_empty() { 0 } else { INCOMPLETE }),
        Err(stop) if stop.code == CANCELLED => {
            tell_cancelled(&arguments.to, arguments.keep);
            Ok(CANCELLED)
        }
        Err(stop) => Err(stop),
    }
}

fn result_json(outcome: Result<&Converted, &Stop>) -> Value {
    let failure: Option<Failure> = outcome.err().map(Stop::failure);
    let mut json = json!(outcome.ok());
    let complete = outcome.is_ok_and(|converted| converted.left_out.is_empty());
    if let Some(json) = json.as_object_mut() {
        json.extend([("complete".to_owned(), json!(complete)), ("failure".to_owned(), Value::Null)]);
        return Value::Object(std::mem::take(json));
    }
    json!({"file": null, "complete": complete, "failure": failure})
}

/// Reports a file for people.
pub(crate) fn tell(converted: &Converted) {
    for layer in &converted.layers {
        let attached = match layer.attachments {
            0 => String::new(),
            count => format!(", {count} attachments"),
        };
        out!(Tone::Good => "done      {}: {} rows{attached}", layer.name, layer.features);
    }
    if let Some(tiles) = converted.tiles {
        out!(Tone::Good => "done      {tiles} tiles");
    }
    if converted.resumed > 0 {
        out!("resumed   {} of them were there from an earlier run", converted.resumed);
    }
    for words in &converted.left_out {
        out!(Tone::Lacking => "missing   {words}");
    }
    for words in &converted.notes {
        out!("note      {words}");
    }
    out!(Tone::Good => "file      {} ({})", converted.file.display(), size(converted.bytes));
}
