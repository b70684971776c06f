//! `createReplica`: submit, wait, fetch, and unregister.
//!
//! Source: `feature-service-rest` reference §3.2, §3.3, §4.2.

use super::edit_tokens::{self, GONE, REPLICA_ID};
use super::parameters::{GenerateGeodatabaseParameters, SyncModel};
use super::sync_data;
use super::units::{FILE_UNIT, JOB_UNIT};
use crate::download_limit::DownloadLimit;
use crate::feature_service::service::FeatureService;
use async_trait::async_trait;
use offmap_arcgis::server_job::{Poll, ServerJob, ServerTask, Submission};
use offmap_arcgis::{ArcGisClient, Download, Downloaded, ServiceCall, body, resolve, server_job, without_secret_query};
use offmap_disk::run_blocking;
use offmap_engine::ExportContext;
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage, Progress};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

/// How long a step of unregistering a replica may take, and how long after a cancel.
const UNREGISTER: Duration = Duration::from_secs(10);
const UNREGISTER_CANCELLED: Duration = Duration::from_millis(450);
/// Replicas of earlier submissions that are unregistered; each submission makes one, about 10 within the time of their retries.
const MOST_UNREGISTERED: usize = 20;
/// Notes the url of the job's state.
pub(super) const STATUS_URL: &str = "statusUrl";
/// Notes the name of the last replica that was asked for.
pub(super) const REPLICA_NAME: &str = "replicaName";
/// Names of replicas of earlier submissions, joined by commas.
const EARLIER: &str = "earlierNames";

/// Runs the job and fetches the geodatabase as `to`.
pub(super) async fn run(
    client: &ArcGisClient,
    ctx: &ExportContext,
    service: &FeatureService,
    parameters: &GenerateGeodatabaseParameters,
    to: &Path,
    limit: DownloadLimit,
) -> Result<Downloaded, Failure> {
    // A replica that was unregistered cannot be synchronised: its file is worth nothing, and so is what its job still has.
    if ctx.ledger().noted(JOB_UNIT, REPLICA_ID).await?.as_deref() == Some(GONE) {
        forget(to).await?;
        ctx.ledger().note(JOB_UNIT, STATUS_URL, "").await?;
    }
    if let Some(there) = ctx.finished_file(FILE_UNIT, to).await? {
        ctx.finish_unit(JOB_UNIT, 0, None).await?;
        ctx.begin_unit(FILE_UNIT).await?;
        return Ok(there.into());
    }
    let task = ReplicaTask { client, ctx, service, parameters, to, limit };
    let downloaded = server_job::run(client, ctx, &task).await?;
    unregister_earlier(client, ctx, service).await?;
    Ok(downloaded)
}

async fn forget(file: &Path) -> Result<(), Failure> {
    let file = file.to_owned();
    let removed = move || match std::fs::remove_file(&file) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::io(FailureStage::Run, format!("cannot remove {}", file.display()), &e))
        }
        _ => Ok(()),
    };
    run_blocking(removed).await
}

/// `createReplica` as [`server_job::run`] knows it.
struct ReplicaTask<'a> {
    client: &'a ArcGisClient,
    ctx: &'a ExportContext,
    service: &'a FeatureService,
    parameters: &'a GenerateGeodatabaseParameters,
    to: &'a Path,
    limit: DownloadLimit,
}

#[async_trait]
impl<'a> ServerTask for ReplicaTask<'a> {
    type Job = ReplicaJob<'a>;
    type Output = Downloaded;

    fn service_url(&self) -> &str {
        &self.service.root
    }

    fn url_note(&self) -> &'static str {
        STATUS_URL
    }

    async fn noted(&self, name: &str) -> Result<Option<String>, Failure> {
        self.ctx.ledger().noted(JOB_UNIT, name).await
    }

    async fn note(&self, name: &str, value: &str) -> Result<(), Failure> {
        self.ctx.ledger().note(JOB_UNIT, name, value).await
    }

    fn job(&self, status: String) -> ReplicaJob<'a> {
        ReplicaJob { client: self.client, ctx: self.ctx, service: self.service, status, is_forgotten: false }
    }

    async fn prepare(&self) -> Result<(), Failure> {
        self.ctx.begin_unit(JOB_UNIT).await?;
        self.remove_submitted().await
    }

    async fn submit(&self) -> Result<Submission<String>, Failure> {
        // Each submission has a name of its own, by which what it made is found.
        submit(self.client, self.ctx, self.service, self.parameters).await
    }

    async fn remove_submitted(&self) -> Result<(), Failure> {
        unregister_submitted(self.client, self.ctx, self.service).await
    }

    async fn job_finished(&self) -> Result<(), Failure> {
        self.ctx.finish_unit(JOB_UNIT, 0, None).await?;
        self.ctx.begin_unit(FILE_UNIT).await
    }

    async fn fetch(&self, file: &String) -> Result<Downloaded, Failure> {
        let report = |here, all| self.ctx.report(Progress::bytes(here, all));
        let (to, limit, secrets) = (self.to, self.limit.bytes, &self.service.secrets);
        let file = Download { url: file, to, presigned: false, limit, secrets };
        let fetched = self.client.download_named(&self.service.root, file, report).await;
        fetched.map_err(|failure| self.limit.explain(failure))
    }
}

/// Unregisters the replica of an earlier submission whose end nobody knows, so that only one stays.
async fn unregister_submitted(client: &ArcGisClient, ctx: &ExportContext, service: &FeatureService) -> Result<(), Failure> {
    if ctx.ledger().noted(JOB_UNIT, REPLICA_NAME).await?.is_none() {
        return Ok(());
    }
    unregister(client, ctx, service).await;
    ctx.ledger().note(JOB_UNIT, REPLICA_ID, "").await
}

/// Unregisters replicas of earlier submissions that the service registered after it had forgotten their jobs.
async fn unregister_earlier(client: &ArcGisClient, ctx: &ExportContext, service: &FeatureService) -> Result<(), Failure> {
    let earlier = ctx.ledger().noted(JOB_UNIT, EARLIER).await?.unwrap_or_default();
    if earlier.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = earlier.split(',').collect();
    for id in listed(client, service, &names).await.unwrap_or_default().into_iter().take(MOST_UNREGISTERED) {
        unregister_replica(client, service, &id, UNREGISTER).await;
    }
    Ok(())
}

/// Ids of the service's replicas that have one of the names.
async fn listed(client: &ArcGisClient, service: &FeatureService, names: &[&str]) -> Result<Vec<String>, Failure> {
    let call = ServiceCall::get(&format!("{}/replicas", service.root))?.with_secrets(&service.secrets);
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let own = move |replica: Value| {
        let text = |key: &str| replica.get(key).and_then(Value::as_str);
        text("replicaName").filter(|name| names.iter().any(|own| own == name))?;
        text("replicaID").map(str::to_owned)
    };
    client.list(&call, own).await
}

/// Unregisters one replica; answers whether the service has.
async fn unregister_replica(client: &ArcGisClient, service: &FeatureService, id: &str, limit: Duration) -> bool {
    let call = ServiceCall::post(&format!("{}/unRegisterReplica", service.root));
    let Ok(call) = call.map(|c| c.with_secrets(&service.secrets).with("replicaID", id)) else { return false };
    match tokio::time::timeout(limit, client.json(&call)).await {
        Ok(Ok(_)) => true,
        Ok(Err(failure)) => {
            tracing::warn!(%failure, replica = %id, "a replica could not be unregistered");
            false
        }
        Err(_) => {
            tracing::warn!(replica = %id, service = %service.root, "a replica could not be unregistered in time");
            false
        }
    }
}

async fn submit(
    client: &ArcGisClient,
    ctx: &ExportContext,
    service: &FeatureService,
    parameters: &GenerateGeodatabaseParameters,
) -> Result<Submission<String>, Failure> {
    let name = format!("offmap_{}", uuid::Uuid::new_v4().simple());
    if parameters.sync_model != SyncModel::None {
        if let Some(before) = ctx.ledger().noted(JOB_UNIT, REPLICA_NAME).await? {
            let earlier = ctx.ledger().noted(JOB_UNIT, EARLIER).await?.filter(|e| !e.is_empty());
            let all = earlier.map_or_else(|| before.clone(), |e| format!("{e},{before}"));
            ctx.ledger().note(JOB_UNIT, EARLIER, &all).await?;
        }
        ctx.ledger().note(JOB_UNIT, REPLICA_NAME, &name).await?;
    }
    let url = format!("{}/createReplica", service.root);
    let mut call = ServiceCall::post(&url)?.with_secrets(&service.secrets).in_stage(FailureStage::Submit).non_idempotent();
    for (key, value) in parameters.form(service, &name, sync_data::wanted(parameters)) {
        call = call.with(key, value);
    }
    let answer = client.json(&call).await?;
    edit_tokens::forget_generations(ctx).await?;
    edit_tokens::note(ctx, &answer).await?;
    let text = |keys: &[&str]| {
        keys.iter().find_map(|k| answer.get(*k).and_then(Value::as_str)).filter(|t| !t.is_empty()).map(str::to_owned)
    };
    if let Some(status) = text(&["statusUrl", "statusURL"]) {
        return Ok(Submission::Job(without_secret_query(&resolve(&url, &status)?, &service.secrets)));
    }
    if let Some(file) = text(&["resultUrl", "responseUrl", "URL"]) {
        return Ok(Submission::Done(resolve(&url, &file)?.to_string()));
    }
    let message = "createReplica answers without statusUrl, resultUrl, responseUrl and URL";
    let failure = Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, FailureStage::Submit, message);
    Err(failure.with_url(&url).with_server_message(answer.to_string().chars().take(300).collect::<String>()))
}

/// What a state word means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    Done,
    Failed,
}

/// A state word without letter case, spaces, underscores and the prefix of geoprocessing jobs.
fn plain(word: &str) -> String {
    let plain: String = word.chars().filter(char::is_ascii_alphabetic).collect::<String>().to_ascii_lowercase();
    plain.strip_prefix("esrijob").unwrap_or(&plain).to_owned()
}

/// Reads a state in all its spellings. An unknown state is running, until the time limit.
fn read_state(word: &str) -> State {
    match plain(word).as_str() {
        "completed" | "succeeded" => State::Done,
        // `CompletedWithErrors` of a createReplica is no replica to trust.
        "completedwitherrors" | "failed" | "failure" | "error" | "timedout" | "cancelled" | "deleted" => State::Failed,
        _ => State::Running,
    }
}

/// Part of the work that a state stands for; there is no percentage.
fn phase(word: &str) -> f64 {
    match plain(word).as_str() {
        "pending" => 0.05,
        "provisioningreplica" => 0.15,
        "exportingdata" | "exportingsnapshot" | "exportchanges" => 0.4,
        "exportattachments" => 0.7,
        _ => 0.1,
    }
}

/// A replica job; its result is the file's url.
struct ReplicaJob<'a> {
    client: &'a ArcGisClient,
    ctx: &'a ExportContext,
    service: &'a FeatureService,
    status: String,
    is_forgotten: bool,
}

#[async_trait]
impl ServerJob for ReplicaJob<'_> {
    type Result = String;

    fn name(&self) -> &'static str {
        "replica job"
    }

    fn url(&self) -> &str {
        &self.status
    }

    fn is_forgotten(&self) -> bool {
        self.is_forgotten
    }

    async fn poll(&mut self, left: Duration) -> Result<Poll<String>, Failure> {
        let status = self.status.as_str();
        let call = self.client.named(&self.service.root, status)?;
        let call = call.with_secrets(&self.service.secrets).in_stage(FailureStage::Wait);
        let state = self.client.job_json(&call.within(left)).await;
        self.is_forgotten = state.as_ref().is_err_and(server_job::is_gone);
        let state = state?;
        edit_tokens::note(self.ctx, &state).await?;
        let word = ["status", "jobStatus"].iter().find_map(|k| state.get(*k).and_then(Value::as_str)).unwrap_or_default();
        match read_state(word) {
            State::Done => {
                let file = ["resultUrl", "responseUrl", "URL"].iter().find_map(|k| state.get(*k).and_then(Value::as_str));
                let file = file.filter(|f| !f.is_empty()).ok_or_else(|| {
                    let message = "the replica job is completed and names no result";
                    Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, FailureStage::Wait, message)
                        .with_url(status)
                })?;
                Ok(Poll::Done(resolve(status, file)?.to_string()))
            }
            State::Failed => Err(job_failure(word, &state).with_url(status)),
            State::Running => Ok(Poll::Running { message: body::cut(word), done: Some(phase(word)) }),
        }
    }
}

fn job_failure(word: &str, state: &Value) -> Failure {
    let message = format!("the service's replica job ended as {word}");
    let failure = Failure::new(FailureOwner::Source, FailureKind::ServiceError, FailureStage::Wait, message);
    match body::job_message(state) {
        Some(words) => failure.with_server_message(words),
        None => failure,
    }
}

/// Unregisters the replica that the task made, where one was registered. Failures are logged: the service's owner can
/// unregister it as well.
pub(super) async fn unregister(client: &ArcGisClient, ctx: &ExportContext, service: &FeatureService) {
    let limit = if ctx.is_cancelled() { UNREGISTER_CANCELLED } else { UNREGISTER };
    let id = match tokio::time::timeout(limit, replica_id(client, ctx, service)).await {
        Ok(Ok(Some(id))) => id,
        Ok(Ok(None)) => return,
        Ok(Err(failure)) => return tracing::debug!(%failure, "whether there is a replica cannot be told"),
        Err(_) => return tracing::debug!(service = %service.root, "the service did not list its replicas in time"),
    };
    if unregister_replica(client, service, &id, limit).await
        && let Err(failure) = ctx.ledger().note(JOB_UNIT, REPLICA_ID, GONE).await
    {
        tracing::debug!(%failure, "an unregistered replica could not be noted");
    }
}

/// The id of the task's replica: as the job told it, else by its name in the service's list, since a job tells the id only at
/// its end.
async fn replica_id(
    client: &ArcGisClient,
    ctx: &ExportContext,
    service: &FeatureService,
) -> Result<Option<String>, Failure> {
    if let Some(id) = ctx.ledger().noted(JOB_UNIT, REPLICA_ID).await?.filter(|id| !id.is_empty()) {
        return Ok((id != GONE).then_some(id));
    }
    let Some(name) = ctx.ledger().noted(JOB_UNIT, REPLICA_NAME).await? else { return Ok(None) };
    Ok(listed(client, service, &[name.as_str()]).await?.pop())
}

/// Reads an answer as a job's state, for fuzzing.
pub(super) fn read_any_answer(answer: &Value) {
    let word = answer.get("status").and_then(Value::as_str).unwrap_or_default();
    let _ = (read_state(word), phase(word), job_failure(word, answer));
}

#[cfg(test)]
mod tests {
    use super::*;
    use offmap_model::LayerSecrets;

    #[test]
    fn states_are_read_in_all_their_spellings() {
        for word in ["Completed", "completed", "esriJobSucceeded"] {
            assert_eq!(read_state(word), State::Done, "{word}");
        }
        let failed = ["Failed", "CompletedWithErrors", "Completed With Errors", "Completed_With_Errors", "esriJobFailed"];
        for word in failed.into_iter().chain(["esriJobTimedOut", "esriJobCancelled"]) {
            assert_eq!(read_state(word), State::Failed, "{word}");
        }
        let running = ["Pending", "InProgress", "ImportChanges", "ExportChanges", "ExportingData", "ExportingSnapshot"];
        let more =
            ["ExportAttachments", "ImportAttachments", "ProvisioningReplica", "UnRegisteringReplica", "esriJobExecuting"];
        for word in running.into_iter().chain(more).chain(["", "SomethingNew", "Failed ImportChanges"]) {
            assert_eq!(read_state(word), State::Running, "{word}");
        }
    }

    #[test]
    fn a_status_url_keeps_its_query_and_loses_its_token() {
        let url =
            url::Url::parse("https://h/FeatureServer/createReplica/1?statusId=1&token=secret&APIKEY=layer-key&x=layer-key")
                .expect("a url");
        let mut secrets = LayerSecrets::default();
        secrets.add(&url, "apiKey", "layer-key");
        assert_eq!(without_secret_query(&url, &secrets), "https://h/FeatureServer/createReplica/1?statusId=1");
    }
}
