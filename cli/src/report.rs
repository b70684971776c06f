//! What a job that ended says: for people in a table, for programs as JSON.

use crate::interrupt::CANCELLED;
use crate::open_folder::{folder_json, tell_folder};
use crate::progress::{state_tone, state_word};
use crate::stop::{Stop, may_help, whose};
use crate::terminal::{Tone, behind, columns, fitted, note, out, size, title_columns};
use offmap::{Failure, GenerateOfflineMapResult, JobError, LayerNoteKind, LayerOutcome};
use offmap_convert::open_folder::OpenFolder;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The archive of a package and its bytes, or why it was not written.
pub(crate) type Zipped = Result<(PathBuf, u64), Failure>;

/// The folder of a package that opens without ArcGIS, or why it was not made.
pub(crate) type Opened = Result<OpenFolder, Failure>;

/// Reports a package for people: its layers, its archive, its folder, and how it can be completed.
pub(crate) fn report_package(
    result: &GenerateOfflineMapResult,
    zipped: Option<&Zipped>,
    opened: Option<&Opened>,
    out: &Path,
) {
    tell(result);
    if let Some(Ok((path, bytes))) = zipped {
        out!(Tone::Good => "zipped    {} ({})", path.display(), size(*bytes));
    }
    if let Some(Ok(folder)) = opened {
        tell_folder(folder);
    }
    let mut failures = result.layers.iter().filter(|l| l.is_error()).filter_map(|l| l.failure.as_ref());
    if failures.any(may_help) {
        out!(Tone::Lacking => "missing   complete it with: offmap resume --failed-only {}", out.display());
    }
}

/// Reports why there is no package, and what is left.
pub(crate) fn report_error(error: JobError, is_json: bool, out: &Path) -> Result<u8, Stop> {
    let shown = out.display();
    if error.can_resume {
        note!("offmap: what was downloaded is kept; resume with: offmap resume {shown}");
    }
    if error.failure.is_cancelled() {
        match out.exists() {
            true => note!("offmap: cancelled; {shown} stays as it was"),
            false => note!("offmap: cancelled; nothing is left at {shown}"),
        }
        return Ok(CANCELLED);
    }
    tell_layers(&error.layers, is_json);
    Err(error.failure.into())
}

fn layer_json(layer: &LayerOutcome) -> Value {
    json!({"id": layer.id, "title": layer.title, "state": layer.state, "planned": layer.contents.planned, "got": layer.contents.got,
        "bytes": layer.bytes, "lacking": layer.missing(), "notes": layer.contents.notes, "failure": layer.failure})
}

pub(crate) fn result_json(
    outcome: &Result<GenerateOfflineMapResult, JobError>,
    zipped: Option<&Zipped>,
    opened: Option<&Opened>,
) -> Value {
    let (package, complete, layers, warnings, failure) = match outcome {
        Ok(r) => (Some(&r.package), r.is_complete(), &r.layers, r.warnings.as_slice(), None),
        Err(e) => (None, false, &e.layers, [].as_slice(), Some(&e.failure)),
    };
    let failure = failure.or(zipped.and_then(|z| z.as_ref().err())).or(opened.and_then(|o| o.as_ref().err()));
    let open = opened.map(|opened| folder_json(opened.as_ref()));
    let mmpk = zipped.and_then(|z| z.as_ref().ok()).map(|(path, bytes)| json!({"path": path, "bytes": bytes}));
    let can_resume = outcome.as_ref().is_err_and(|e| e.can_resume);
    json!({"package": package, "complete": complete, "canResume": can_resume, "mmpk": mmpk, "open": open, "warnings": warnings,
        "layers": layers.iter().map(layer_json).collect::<Vec<_>>(), "failure": failure})
}

fn tell(result: &GenerateOfflineMapResult) {
    report_layers(result);
    out!(Tone::Good => "package   {} ({})", result.package.display(), size(result.bytes));
}

/// Reports the layers of a package for people, and what is worth knowing.
pub(crate) fn report_layers(result: &GenerateOfflineMapResult) {
    tell_layers(&result.layers, false);
    for warning in &result.warnings {
        note!(Tone::Lacking => "note: {warning}");
    }
}

/// Columns of a state, and of a size.
const STATE: usize = 9;
const SIZE: usize = 10;

/// The layers in a table: on stdout, or on stderr where programs read stdout.
fn tell_layers(layers: &[LayerOutcome], to_stderr: bool) {
    let line = |tone: Tone, words: String| if to_stderr { note!(tone => "{words}") } else { out!(tone => "{words}") };
    let counts = |layer: &LayerOutcome| {
        let planned = layer.contents.planned.map_or_else(|| "?".to_owned(), |p| p.to_string());
        format!("{} of {planned}", layer.contents.got)
    };
    let widest = layers.iter().map(|l| counts(l).len()).max().unwrap_or_default();
    let room = columns().filter(|_| !to_stderr).map_or(60, |all| all.saturating_sub(STATE + widest + SIZE + 3).max(8));
    let title = title_columns(layers.iter().map(|l| l.title.as_str()), room);
    let below = |words: &str| behind("          ", words).into_iter().for_each(|words| line(Tone::Plain, words));
    for layer in layers {
        line(
            state_tone(layer.state),
            format!(
                "{:<STATE$} {} {:>widest$} {:>SIZE$}",
                state_word(layer.state),
                fitted(&layer.title, title),
                counts(layer),
                size(layer.bytes)
            ),
        );
        for words in layer.missing() {
            below(&format!("missing: {words}"));
        }
        for note in layer.contents.notes.iter().filter(|n| n.kind != LayerNoteKind::Missing) {
            below(&format!("{}: {}", note.kind.words(), note.message));
        }
        if let Some(failure) = layer.failure.as_ref().filter(|f| !f.is_cancelled()) {
            below(&format!("{failure}"));
            below(&whose(failure));
        }
    }
}
