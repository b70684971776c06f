//! The status of a replica's job.
//!
//! Written after the `feature-service-rest` reference §4.

use super::file_url::file_url;
use crate::answer::{Answer, Rest, RestError};
use crate::jobs::{JobKind, Poll};
use crate::request::Call;
use crate::state::{State, now_ms};
use serde_json::{Value, json};

/// A poll of a replica job.
pub(crate) fn status(state: &State, call: &Call, job: &str) -> Rest<Answer> {
    const STEPS: [&str; 4] = ["Pending", "ProvisioningReplica", "ExportingData", "ExportAttachments"];
    let answer = state.poll(job, |job, poll| {
        let JobKind::Replica { name, id } = &job.kind else { return None };
        let at = usize::try_from(job.polls.saturating_sub(1)).unwrap_or(0);
        let running = STEPS.get(at.min(STEPS.len() - 1)).copied().unwrap_or("InProgress");
        let (status, file, error) = match poll {
            Poll::Running => (running, String::new(), Value::Null),
            Poll::Done(path) => ("Completed", file_url(state, call, &path), Value::Null),
            Poll::WithErrors => ("CompletedWithErrors", String::new(), Value::Null),
            Poll::Failed(message) => ("Failed", String::new(), json!({"code": 500, "message": message, "details": []})),
            Poll::Cancelled => ("Failed", String::new(), json!({"code": 500, "message": "cancelled"})),
        };
        let known = !file.is_empty();
        let mut json = json!({
            "replicaName": name, "replicaID": id.as_deref().filter(|_| known).unwrap_or_default(),
            "responseType": "esriReplicaResponseTypeData", "transportType": "esriTransportTypeURL", "targetType": "client",
            "status": status, "resultUrl": file, "submissionTime": job.submitted, "lastUpdatedTime": now_ms(),
        });
        if let (false, Some(json)) = (error.is_null(), json.as_object_mut()) {
            json.insert("error".to_owned(), error);
        }
        Some(Answer::Json(json))
    });
    answer.flatten().ok_or_else(|| RestError::new(400, "Job not found."))
}
