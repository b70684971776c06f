//! What a job that ended says: for people in a table, for programs as JSON.

use crate::interrupt::CANCELLED;
use crate::progress::{state_tone, state_word};
use crate::stop::Stop;
use crate::terminal::{Tone, columns, note, out, size};
use console::{Alignment, measure_text_width, pad_str};
use offmap::{
    Failure, FailureKind, FailureOwner, GenerateOfflineMapResult, JobError, LayerNoteKind, LayerOutcome, printable,
};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The archive of a package and its bytes, or why it was not written.
pub(crate) type Zipped = Result<(PathBuf, u64), Failure>;

/// Reports a package for people: its layers, its archive, and how it can be completed.
pub(crate) fn report_package(result: &GenerateOfflineMapResult, zipped: Option<&Zipped>, out: &Path) {
    tell(result);
    if let Some(Ok((path, bytes))) = zipped {
        out!(Tone::Good => "zipped    {} ({})", path.display(), size(*bytes));
    }
    let mut failures = result.layers.iter().filter(|l| l.is_error()).filter_map(|l| l.failure.as_ref());
    if failures.any(Failure::may_succeed_later) {
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

pub(crate) fn result_json(outcome: &Result<GenerateOfflineMapResult, JobError>, zipped: Option<&Zipped>) -> Value {
    let (package, complete, layers, warnings, failure) = match outcome {
        Ok(r) => (Some(&r.package), r.is_complete(), &r.layers, r.warnings.as_slice(), None),
        Err(e) => (None, false, &e.layers, [].as_slice(), Some(&e.failure)),
    };
    let failure = failure.or(zipped.and_then(|z| z.as_ref().err()));
    let mmpk = zipped.and_then(|z| z.as_ref().ok()).map(|(path, bytes)| json!({"path": path, "bytes": bytes}));
    let can_resume = outcome.as_ref().is_err_and(|e| e.can_resume);
    json!({"package": package, "complete": complete, "canResume": can_resume, "mmpk": mmpk, "warnings": warnings,
        "layers": layers.iter().map(layer_json).collect::<Vec<_>>(), "failure": failure})
}

fn tell(result: &GenerateOfflineMapResult) {
    tell_layers(&result.layers, false);
    for warning in &result.warnings {
        note!(Tone::Lacking => "note: {warning}");
    }
    out!(Tone::Good => "package   {} ({})", result.package.display(), size(result.bytes));
}

/// What a failure's owner can do about it.
fn way_out(failure: &Failure) -> &'static str {
    match failure.owner {
        FailureOwner::Source if failure.kind == FailureKind::NotSupported => {
            "keep it online (onlineOnlyServicesOption), or leave it out"
        }
        FailureOwner::Source if failure.kind == FailureKind::NotFound && !failure.may_succeed_later() => {
            "correct its url in the map, or leave it out"
        }
        FailureOwner::Caller => "change the call",
        FailureOwner::Source => "ask the owner of the service",
        FailureOwner::Network => "try again when the network is back",
        FailureOwner::Limit => "ask for less: fewer levels, a smaller area",
        FailureOwner::Credentials => "check user, token and sharing",
        FailureOwner::Storage => "make room on the disk",
        FailureOwner::Engine => "report it: this is a fault of the program",
    }
}

/// Columns of a state, and of a size.
const STATE: usize = 9;
const SIZE: usize = 10;

/// The columns that titles take: as many as the longest needs, and as the terminal leaves.
fn title_columns(longest: usize, counts: usize, columns: Option<usize>) -> usize {
    let room = columns.map_or(60, |columns| columns.saturating_sub(STATE + counts + SIZE + 3).max(8));
    longest.min(room)
}

/// A title that fits, and spaces after it.
fn fitted(title: &str, width: usize) -> String {
    let title = printable(title).to_string();
    pad_str(&title, width, Alignment::Left, Some("…")).into_owned()
}

/// The layers in a table: on stdout, or on stderr where programs read stdout.
fn tell_layers(layers: &[LayerOutcome], to_stderr: bool) {
    let line = |tone: Tone, words: String| if to_stderr { note!(tone => "{words}") } else { out!(tone => "{words}") };
    let counts = |layer: &LayerOutcome| {
        let planned = layer.contents.planned.map_or_else(|| "?".to_owned(), |p| p.to_string());
        format!("{} of {planned}", layer.contents.got)
    };
    let widest = layers.iter().map(|l| counts(l).len()).max().unwrap_or_default();
    let longest = layers.iter().map(|l| measure_text_width(&printable(&l.title).to_string())).max().unwrap_or_default();
    let title = title_columns(longest, widest, columns().filter(|_| !to_stderr));
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
            line(Tone::Plain, format!("          missing: {words}"));
        }
        for note in layer.contents.notes.iter().filter(|n| n.kind != LayerNoteKind::Missing) {
            line(Tone::Plain, format!("          {}: {}", note.kind.words(), note.message));
        }
        if let Some(failure) = layer.failure.as_ref().filter(|f| !f.is_cancelled()) {
            line(Tone::Plain, format!("          {failure}"));
            line(Tone::Plain, format!("          whose: {:?}; what to do: {}", failure.owner, way_out(failure)));
        }
    }
}
