//! `offmap jobs` and `offmap status`.

use crate::interrupt::or_interrupted;
use crate::job_arguments::{Jobs, Status};
use crate::progress::{state_tone, state_word};
use crate::stop::{INCOMPLETE, Stop, may_help, whose};
use crate::terminal::{self, Tone, fitted, out, out_behind, size, title_columns};
use offmap::packager::MobileMapPackage;
use offmap::packager::manifest::ManifestLayer;
use offmap::{ExportState, JobFilter, JobSnapshot, JobState, LayerSnapshot, Leftover, StoredJobs, WaitReason, run_blocking};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

/// Jobs that are read at a time.
const PAGE: u32 = 500;
/// Exit code of `status` where the job failed or was cancelled.
const FAILED: u8 = 1;

/// The data directory that is named.
fn data_dir(named: Option<&PathBuf>) -> Result<PathBuf, Stop> {
    let from_environment = || std::env::var_os("OFFMAP_DATA").filter(|value| !value.is_empty()).map(PathBuf::from);
    named.cloned().or_else(from_environment).ok_or_else(|| {
        Stop::usage(
            "no data directory is named: give --data DIR, or OFFMAP_DATA: the directory that the service was started with",
        )
    })
}

pub(crate) async fn list(arguments: &Jobs) -> Result<u8, Stop> {
    let stored = StoredJobs::open(&data_dir(arguments.data.as_ref())?).await?;
    let filter = JobFilter { tenant: arguments.tenant.clone(), states: arguments.state.clone(), labels: Default::default() };
    let (mut jobs, mut after) = (Vec::new(), None);
    loop {
        let page = or_interrupted(stored.list_jobs(&filter, after, PAGE)).await?;
        jobs.extend(page.jobs);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    if arguments.json {
        terminal::json(&json!({"jobs": jobs}));
        return Ok(0);
    }
    if jobs.is_empty() {
        out!("there are no such jobs");
    }
    let state = title_columns(jobs.iter().map(|job| job.state.name()), 20);
    let tenant = title_columns(jobs.iter().map(|job| job.tenant.as_str()), 20);
    for job in &jobs {
        let tenant = if tenant == 0 { String::new() } else { format!("{}  ", fitted(&job.tenant, tenant)) };
        let line = format!("{}  {}  {tenant}", fitted(job.state.name(), state), job.id);
        out_behind(tone_of(job.state), &line, &job.title);
    }
    Ok(0)
}

pub(crate) async fn status(arguments: &Status) -> Result<u8, Stop> {
    let name = arguments.job.to_string_lossy();
    let is_of_service = is_id(&name);
    let job = match is_of_service {
        true => {
            let stored = StoredJobs::open(&data_dir(arguments.data.as_ref())?).await?;
            or_interrupted(stored.find_job(&name)).await?
        }
        false if arguments.data.is_some() => {
            return Err(Stop::usage(format!("{name} is no id of a job; `offmap jobs` lists them")));
        }
        false => at_place(&arguments.job).await?,
    };
    match arguments.json {
        true => terminal::json(&json!({"job": job})),
        false => tell(&job, is_of_service),
    }
    Ok(match job.state {
        JobState::Failed | JobState::Cancelled => FAILED,
        JobState::SucceededWithErrors => INCOMPLETE,
        _ => 0,
    })
}

/// Whether a text is the id of a job: a UUID.
fn is_id(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let is_hex = |part: &&str| part.bytes().all(|b| b.is_ascii_hexdigit());
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12]) && parts.iter().all(is_hex)
}

/// The job whose package is, or is to be, at a place.
async fn at_place(place: &Path) -> Result<JobSnapshot, Stop> {
    let (own, absolute) = (place.to_owned(), std::path::absolute(place).unwrap_or_else(|_| place.to_owned()));
    let left = match run_blocking(move || Leftover::find(&own)).await {
        Err(_) if !absolute.parent().is_some_and(Path::is_dir) => Vec::new(),
        left => left?,
    };
    if let Some(left) = left.iter().find(|left| left.destination == absolute) {
        return or_interrupted(left.left_job()).await;
    }
    if !place.exists() {
        let words = format!("there is neither a package nor an unfinished job at {}", place.display());
        return Err(Stop::usage(words));
    }
    let (own, shown) = (place.to_owned(), place.display().to_string());
    let job = run_blocking(move || {
        let package = MobileMapPackage::open(&own)?;
        let bytes = package.files()?.iter().map(|(_, bytes)| bytes).sum();
        let Some(Ok(manifest)) = package.manifest() else { return Ok(None) };
        let is_whole = manifest.complete && manifest.missing().is_empty();
        let state = if is_whole { JobState::Succeeded } else { JobState::SucceededWithErrors };
        let title = &package.item().title;
        let mut job = JobSnapshot::new(&manifest.job, "", title, state, own.clone(), manifest.created);
        (job.ended, job.bytes) = (Some(manifest.created), Some(bytes));
        job.layers = manifest.layers.iter().map(layer_of).collect();
        job.warnings.clone_from(&manifest.warnings);
        Ok(Some(job))
    });
    job.await?.ok_or_else(|| Stop::usage(format!("{shown} has no manifest that can be read; `offmap verify` says more")))
}

fn layer_of(layer: &ManifestLayer) -> LayerSnapshot {
    let mut seen = LayerSnapshot::new(layer.id.clone(), layer.title.clone(), layer.is_table, layer.state, None);
    seen.failure.clone_from(&layer.failure);
    seen
}

fn tone_of(state: JobState) -> Tone {
    match state {
        JobState::Succeeded => Tone::Good,
        JobState::Failed => Tone::Bad,
        JobState::Cancelled | JobState::SucceededWithErrors => Tone::Lacking,
        _ => Tone::Plain,
    }
}

/// What helps a job in its state.
fn way_out(job: &JobSnapshot, is_of_service: bool) -> Option<String> {
    use JobState as S;
    let place = job.destination.display();
    let mut failures = job.failure.iter().chain(job.layers.iter().filter_map(|layer| layer.failure.as_ref()));
    let helps = job.state == S::Cancelled || failures.any(may_help);
    Some(match (job.state, is_of_service) {
        (S::Suspended, false) if !job.is_kept => {
            format!("nothing of it can be resumed; remove it with: offmap clean {place}")
        }
        (S::Suspended, false) => format!("resume it with: offmap resume {place}"),
        (S::Running, false) => "another process runs it, and shows its progress".to_owned(),
        (S::SucceededWithErrors, false) if helps => format!("complete it with: offmap resume --failed-only {place}"),
        (S::Running | S::Queued, true) => "it goes on when the service starts again".to_owned(),
        (S::Paused | S::Suspended, true) => "it goes on when it is resumed at the service".to_owned(),
        (S::Waiting, true) if job.waits_for == Some(WaitReason::Credentials) => {
            "it goes on when the service has credentials for its tenant".to_owned()
        }
        (S::Waiting, true) => "it is tried again at its time".to_owned(),
        (S::Failed | S::Cancelled, true) if helps && job.is_kept => {
            "what was downloaded is kept: a retry at the service goes on with it".to_owned()
        }
        (S::Failed | S::Cancelled | S::SucceededWithErrors, true) if helps => "a retry at the service may help".to_owned(),
        _ => return None,
    })
}

fn date(ms: i64) -> String {
    // Years beyond 9999 have no such form.
    let since = Duration::from_millis(u64::try_from(ms).unwrap_or_default().min(253_402_300_799_000));
    httpdate::fmt_http_date(UNIX_EPOCH + since)
}

fn tell(job: &JobSnapshot, is_of_service: bool) {
    let line = |name: &str, words: &str| out_behind(Tone::Plain, &format!("  {name:<9} "), words);
    out!("{}", job.title);
    let waits = job.waits_for.map(|reason| format!(", for {}", reason.name())).unwrap_or_default();
    let from = job.not_before.map(|time| format!(", not before {}", date(time))).unwrap_or_default();
    line("state", &format!("{}{waits}{from}", job.state.name()));
    for (name, words) in [("id", &job.id), ("tenant", &job.tenant)] {
        if !words.is_empty() {
            line(name, words);
        }
    }
    let labels: Vec<String> = job.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    if !labels.is_empty() {
        line("labels", &labels.join(", "));
    }
    for (name, time) in
        [("submitted", Some(job.submitted).filter(|t| *t > 0)), ("started", job.started), ("ended", job.ended)]
    {
        if let Some(time) = time {
            line(name, &date(time));
        }
    }
    if let Some(progress) = job.progress {
        line("progress", &format!("{:.0} %", progress.fraction() * 100.0));
    }
    let bytes = job.bytes.map(|bytes| format!(" ({})", size(bytes))).unwrap_or_default();
    line("package", &format!("{}{bytes}", job.destination.display()));
    tell_layers(&job.layers);
    if let Some(failure) = &job.failure {
        out_behind(Tone::Bad, "failed    ", &failure.to_string());
        out_behind(Tone::Plain, "          ", &whose(failure));
    }
    job.warnings.iter().for_each(|warning| out!(Tone::Lacking => "note: {warning}"));
    if let Some(way) = way_out(job, is_of_service) {
        out_behind(Tone::Plain, "", &way);
    }
}

fn tell_layers(layers: &[LayerSnapshot]) {
    let title = title_columns(layers.iter().map(|layer| layer.title.as_str()), 60);
    for layer in layers {
        let is_open = !layer.state.is_terminal();
        let progress = layer.progress.filter(|p| is_open && p.precise);
        let progress = progress.map(|p| format!(" {:>3.0} %", p.fraction() * 100.0)).unwrap_or_default();
        let line = format!("{:<9} {}{progress}", state_word(layer.state), fitted(&layer.title, title));
        out!(state_tone(layer.state) => "{}", line.trim_end());
        let failure = layer.failure.as_ref().filter(|_| layer.state != ExportState::Succeeded);
        if let Some(failure) = failure.filter(|failure| !failure.is_cancelled()) {
            out_behind(Tone::Plain, "          ", &failure.to_string());
            out_behind(Tone::Plain, "          ", &whose(failure));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_told_from_a_place() {
        assert!(is_id("7c0dd0a2-6c5f-4a0e-9d52-0a4c5a2b7a11"));
        for place in
            ["alps", "./7c0dd0a2-6c5f-4a0e-9d52-0a4c5a2b7a11", "7c0dd0a2-6c5f-4a0e-9d52-0a4c5a2b7a1x", "a-b-c-d-e", ""]
        {
            assert!(!is_id(place), "{place}");
        }
    }
}
