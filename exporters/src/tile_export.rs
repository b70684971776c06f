//! The `exportTiles` job that raster and vector services share: submit, poll, find the file, fetch it.
//!
//! Two families of servers answer in different shapes; which one it is is decided by what comes back.
//! Source: tile reference §5, §7, §8.

use crate::download_limit::DownloadLimit;
use crate::export_parts::JOB_UNIT;
use crate::tile_service::{JobUrlStyle, TiledService};
use async_trait::async_trait;
use offmap_arcgis::server_job::{Poll, ServerJob, ServerTask, Submission};
use offmap_arcgis::{ArcGisClient, Download, Downloaded, ServiceCall, body, resolve, server_job};
use offmap_engine::{ExportContext, UnitRecord, UnitState};
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage, LayerSecrets, Progress};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// Polls of a result folder that is still empty right after success (Esri's scripts: 5).
const FOLDER_POLLS: u32 = 5;
/// Notes the url of a job's state.
const JOB_URL: &str = "job";

/// One part of an export: the units of its job and file, where the file goes, how many bytes came before and how many may come.
pub(crate) struct Step<'a> {
    pub(crate) job: &'a str,
    pub(crate) file: &'a str,
    pub(crate) to: &'a Path,
    pub(crate) before: u64,
    pub(crate) limit: DownloadLimit,
}

/// Runs one export job and fetches its file.
pub(crate) async fn export_part(
    client: &ArcGisClient,
    ctx: &ExportContext,
    service: &TiledService,
    url_style: JobUrlStyle,
    call: &ServiceCall,
    step: &Step<'_>,
) -> Result<Downloaded, Failure> {
    if let Some(there) = ctx.finished_file(step.file, step.to).await? {
        ctx.finish_unit(step.job, 0, None).await?;
        ctx.begin_unit(step.file).await?;
        return Ok(there.into());
    }
    server_job::run(client, ctx, &ExportTiles { client, ctx, service, url_style, call, step }).await
}

/// `exportTiles` as [`server_job::run`] knows it.
struct ExportTiles<'a> {
    client: &'a ArcGisClient,
    ctx: &'a ExportContext,
    service: &'a TiledService,
    url_style: JobUrlStyle,
    call: &'a ServiceCall,
    step: &'a Step<'a>,
}

#[async_trait]
impl<'a> ServerTask for ExportTiles<'a> {
    type Job = ExportJob<'a>;
    type Output = Downloaded;

    fn service_url(&self) -> &str {
        &self.service.root
    }

    fn url_note(&self) -> &'static str {
        JOB_URL
    }

    async fn noted(&self, name: &str) -> Result<Option<String>, Failure> {
        self.ctx.ledger().noted(self.step.job, name).await
    }

    async fn note(&self, name: &str, value: &str) -> Result<(), Failure> {
        self.ctx.ledger().note(self.step.job, name, value).await
    }

    fn job(&self, url: String) -> ExportJob<'a> {
        ExportJob { client: self.client, service: self.service, url, seen: false, is_forgotten: false }
    }

    async fn prepare(&self) -> Result<(), Failure> {
        self.ctx.begin_unit(self.step.job).await
    }

    /// A job that nobody asks for ends by itself, so nothing is removed.
    async fn submit(&self) -> Result<Submission<FinishedExport>, Failure> {
        Ok(Submission::Job(submit(self.client, &self.service.root, self.url_style, self.call).await?))
    }

    async fn job_finished(&self) -> Result<(), Failure> {
        self.ctx.finish_unit(self.step.job, 0, None).await?;
        self.ctx.begin_unit(self.step.file).await
    }

    async fn fetch(&self, done: &FinishedExport) -> Result<Downloaded, Failure> {
        let step = self.step;
        let report =
            |here: u64, all: Option<u64>| self.ctx.report(Progress::bytes(step.before + here, all.map(|n| step.before + n)));
        let (url, presigned) = find_file(self.client, self.ctx, self.service, &done.url, &done.state).await?;
        let (to, limit, secrets) = (step.to, step.limit.bytes, &self.service.secrets);
        let file = Download { url: &url, to, presigned, limit, secrets };
        let fetched = self.client.download_named(&self.service.root, file, report).await;
        fetched.map_err(|failure| step.limit.explain(failure))
    }

    async fn cancelled(&self, job: &ExportJob<'a>, failure: &Failure) -> Result<(), Failure> {
        if !self.ctx.rolls_back(failure) {
            return Ok(());
        }
        cancel(self.client, &job.url, &self.service.secrets).await;
        self.note(JOB_URL, "").await
    }
}

async fn submit(client: &ArcGisClient, root: &str, url_style: JobUrlStyle, call: &ServiceCall) -> Result<String, Failure> {
    let answer = client.json(call).await?;
    match answer.get("jobId").and_then(Value::as_str).filter(|id| !id.is_empty()) {
        Some(id) if id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '{' | '}')) => {
            let [first, _] = url_style.urls(root, id);
            Ok(first)
        }
        _ => {
            let message = format!("exportTiles of {root} answers without a job id");
            let failure = Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, FailureStage::Submit, message);
            Err(failure)
        }
    }
}

/// The other url at which a job may be polled.
fn other_url(job: &str) -> Option<String> {
    let (head, id) = job.rsplit_once("/jobs/")?;
    Some(match head.strip_suffix("/exportTiles") {
        Some(root) => format!("{root}/jobs/{id}"),
        None => format!("{head}/exportTiles/jobs/{id}"),
    })
}

/// Where a job that is done was found, and its last state.
struct FinishedExport {
    url: String,
    state: Value,
}

/// An export job.
struct ExportJob<'a> {
    client: &'a ArcGisClient,
    service: &'a TiledService,
    url: String,
    /// Whether it was seen, so that its url is the right one.
    seen: bool,
    is_forgotten: bool,
}

#[async_trait]
impl ServerJob for ExportJob<'_> {
    type Result = FinishedExport;

    fn name(&self) -> &'static str {
        "export job"
    }

    fn url(&self) -> &str {
        &self.url
    }

    fn is_forgotten(&self) -> bool {
        self.is_forgotten
    }

    async fn poll(&mut self, left: Duration) -> Result<Poll<FinishedExport>, Failure> {
        let ask = |url: &str| {
            let call = ServiceCall::get(url)?.with_secrets(&self.service.secrets).in_stage(FailureStage::Wait);
            Ok::<_, Failure>(call.within(left))
        };
        let mut state = self.client.job_json(&ask(&self.url)?).await;
        if !self.seen && state.as_ref().is_err_and(server_job::is_gone) {
            // The other family of servers keeps its jobs elsewhere.
            if let Some(other) = other_url(&self.url) {
                let nothing_there = state.as_ref().is_err_and(|f| f.kind == FailureKind::NotFound);
                match self.client.job_json(&ask(&other)?).await {
                    Ok(found) => (self.url, state) = (other, Ok(found)),
                    // A url that has nothing says less than one that fails.
                    Err(failure) if nothing_there => state = Err(failure),
                    Err(_) => {}
                }
            }
        }
        self.is_forgotten = state.as_ref().is_err_and(server_job::is_gone);
        let state = state?;
        self.seen = true;
        let word = ["jobStatus", "status"].iter().find_map(|k| state.get(*k).and_then(Value::as_str)).unwrap_or_default();
        match read_state(&state) {
            State::Done => return Ok(Poll::Done(FinishedExport { url: self.url.clone(), state })),
            State::Failed => return Err(job_failure(word, &state).with_url(&self.url)),
            State::Running => {}
        }
        let percent = state.pointer("/progress/percent").and_then(Value::as_f64);
        let message = last_message(&state).unwrap_or_else(|| word.to_owned());
        Ok(Poll::Running { message, done: percent.map(|p| p / 100.0) })
    }

    async fn abandon(&mut self) {
        cancel(self.client, &self.url, &self.service.secrets).await;
    }
}

/// What a job's answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    Done,
    Failed,
}

/// Reads `jobStatus`, else `status`. An unknown word is running, until the time limit. A bare `status` of `success` is the word
/// of the request, not of the job, unless a result comes with it.
fn read_state(answer: &Value) -> State {
    let word = |key: &str| answer.get(key).and_then(Value::as_str).map(str::to_ascii_lowercase);
    let has_result = ["output", "results"].iter().any(|key| answer.get(*key).is_some_and(|v| !v.is_null()));
    let (word, is_job) = match (word("jobStatus"), word("status")) {
        (Some(word), _) => (word, true),
        (None, Some(word)) => (word, false),
        (None, None) => return State::Running,
    };
    match word.strip_prefix("esrijob") {
        Some("succeeded") => State::Done,
        Some("failed" | "cancelled" | "timedout" | "deleted") => State::Failed,
        None if matches!(word.as_str(), "succeeded" | "success" | "completed") && (is_job || has_result) => State::Done,
        None if matches!(word.as_str(), "failed" | "failure" | "error") => State::Failed,
        _ => State::Running,
    }
}

fn last_message(state: &Value) -> Option<String> {
    let progress = state.pointer("/progress/message").and_then(Value::as_str);
    let list = state.get("messages").and_then(Value::as_array).and_then(|m| m.last());
    let words = progress.or_else(|| list.and_then(|m| m.get("description")).and_then(Value::as_str))?;
    (!words.is_empty()).then(|| body::cut(words))
}

/// Why a job failed: `error`, else the first error message, else `message`. No other part of an answer is quoted.
fn job_failure(word: &str, state: &Value) -> Failure {
    let message = format!("the service's export job ended as {word}");
    let failure = Failure::new(FailureOwner::Source, FailureKind::ServiceError, FailureStage::Wait, message);
    match body::job_message(state) {
        Some(message) if body::tile_limit(&message).is_some() => {
            body::ServiceError { code: 0, message }.into_failure(FailureStage::Wait)
        }
        Some(words) => failure.with_server_message(words),
        None => failure,
    }
}

/// The url of the package, and whether it carries its own signature.
async fn find_file(
    client: &ArcGisClient,
    ctx: &ExportContext,
    service: &TiledService,
    job: &str,
    done: &Value,
) -> Result<(String, bool), Failure> {
    let missing = |words: &str| {
        let message = format!("the export job succeeded, but {words}");
        Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, FailureStage::Download, message).with_url(job)
    };
    let output = done.pointer("/output/outputUrl");
    let output = output.and_then(|v| v.get(0).or(Some(v))).and_then(Value::as_str);
    if let Some(url) = output {
        return Ok((resolve(job, url)?.to_string(), true));
    }
    let result = done.pointer("/results/out_service_url/paramUrl").and_then(Value::as_str);
    let result = result.ok_or_else(|| missing("its answer names no result"))?;
    // Relative to the job, as to a folder.
    let result = resolve(&format!("{job}/"), result)?;
    let get = |url: &str| {
        let call = client.named(&service.root, url)?.with_secrets(&service.secrets);
        Ok::<_, Failure>(call.in_stage(FailureStage::Download))
    };
    let answer = client.json(&get(result.as_str())?).await?;
    let folder = answer.get("value").and_then(|v| v.as_str().or_else(|| v.get("url")?.as_str()));
    let folder = resolve(job, folder.ok_or_else(|| missing("its result has no value"))?)?;
    for look in 0..FOLDER_POLLS {
        let listing = client.json(&get(folder.as_str())?).await?;
        let files = listing.get("files").and_then(Value::as_array).cloned().unwrap_or_default();
        let is_package = |f: &&Value| {
            let name = f.get("name").and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
            [".tpk", ".tpkx", ".vtpk"].iter().any(|ending| name.ends_with(ending))
        };
        if let Some(file) = files.iter().find(is_package) {
            let url = file.get("url").and_then(Value::as_str).ok_or_else(|| missing("its file has no url"))?;
            return Ok((resolve(folder.as_str(), url)?.to_string(), false));
        }
        // The listing can be empty right after success.
        ctx.clock().sleep(client.options().poll_interval.mul_f64(f64::from(1_u32 << look))).await;
    }
    Err(missing("its folder holds no tile package"))
}

/// Cancels the jobs that a task left running on its service.
pub(crate) async fn rollback(client: &ArcGisClient, ctx: &ExportContext) {
    let units = match ctx.units().await {
        Ok(units) => units,
        Err(failure) => return tracing::debug!(%failure, "whether a job is left on the service cannot be told"),
    };
    let is_open = |u: &UnitRecord| u.id.starts_with(JOB_UNIT) && u.state != UnitState::Finished;
    for unit in units.into_iter().filter(is_open) {
        if let Ok(Some(job)) = ctx.ledger().noted(&unit.id, JOB_URL).await
            && !job.is_empty()
        {
            cancel(client, &job, ctx.secrets()).await;
            if let Err(failure) = ctx.ledger().note(&unit.id, JOB_URL, "").await {
                tracing::debug!(%failure, "a cancelled job could not be noted");
            }
        }
    }
}

/// Asks the service to cancel a job; nobody waits for the answer's meaning.
async fn cancel(client: &ArcGisClient, job: &str, secrets: &LayerSecrets) {
    let Ok(call) = ServiceCall::post(&format!("{job}/cancel")) else { return };
    let call = call.with_secrets(secrets).non_idempotent();
    match tokio::time::timeout(Duration::from_millis(700), client.job_json(&call)).await {
        Ok(Ok(_)) => tracing::debug!(job, "export job cancelled on the service"),
        Ok(Err(failure)) => tracing::debug!(%failure, "the service did not cancel its job"),
        Err(_) => tracing::debug!(job, "the service did not answer the cancel in time"),
    }
}

/// Reads an answer as a job's state, for fuzzing.
pub(crate) fn read_any_job_answer(answer: &Value) {
    let _ = (read_state(answer), last_message(answer), job_failure("failed", answer));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_job_has_two_homes() {
        let [first, second] = JobUrlStyle::Raster.urls("https://h/S/MapServer", "j1");
        assert_eq!(other_url(&first).as_deref(), Some(second.as_str()));
        assert_eq!(other_url(&second).as_deref(), Some(first.as_str()));
    }

    #[test]
    fn states_of_export_jobs_are_read_in_both_dialects() {
        for (answer, state) in [
            (json!({"jobStatus": "esriJobSubmitted"}), State::Running),
            (json!({"jobStatus": "esriJobExecuting"}), State::Running),
            (json!({"jobStatus": "esriJobCancelling"}), State::Running),
            (json!({"jobStatus": "something new"}), State::Running),
            (json!({"status": "success", "jobId": "1", "message": "success"}), State::Running),
            (json!({}), State::Running),
            (json!({"jobStatus": "esriJobSucceeded"}), State::Done),
            (json!({"status": "esriJobSucceeded"}), State::Done),
            (json!({"status": "success", "output": {"outputUrl": ["https://h/x.vtpk"]}}), State::Done),
            (json!({"jobStatus": "esriJobFailed"}), State::Failed),
            (json!({"jobStatus": "esriJobTimedOut"}), State::Failed),
            (json!({"jobStatus": "esriJobDeleted"}), State::Failed),
            (json!({"status": "failed", "message": "x"}), State::Failed),
        ] {
            assert_eq!(read_state(&answer), state, "{answer}");
        }
    }

    #[test]
    fn a_failed_job_tells_its_error_before_its_messages() {
        let state = json!({"jobStatus": "esriJobFailed", "messages": [
            {"type": "esriJobMessageTypeInformative", "description": "Submitted."},
            {"type": "esriJobMessageTypeError", "description": "ERROR 001564: Requested tile count(1225884) exceeds the maximum allowed number of tiles(150000) to be exported for service X."}]});
        let failure = job_failure("esriJobFailed", &state);
        assert_eq!(failure.kind, FailureKind::LimitExceeded);
        assert!(failure.message.contains("150000") && failure.message.contains("1225884"), "{failure}");
    }
}
