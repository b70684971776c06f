//! Jobs as they are seen of whom nothing is in memory.

use super::job_store::JobStore;
use super::record::JobRecord;
use offmap_model::{
    Failure, FailureKind, FailureOwner, FailureStage, GenerateOfflineMapResult, JobError, JobFilter, JobPage, JobSnapshot,
    LayerSnapshot, SubjectKind,
};
use std::collections::BTreeMap;

/// Most jobs of a page.
const MOST_LISTED: u32 = 1000;

pub(crate) fn no_job(id: &str) -> Failure {
    let shown: String = id.chars().take(80).flat_map(char::escape_default).collect();
    let message = format!("there is no job `{shown}`, or it is there no more; list the jobs");
    Failure::new(FailureOwner::Caller, FailureKind::NotFound, FailureStage::Run, message)
}

/// A job that has ended, with the layers of its result.
pub(crate) fn ended(record: &JobRecord, outcome: Option<&Result<GenerateOfflineMapResult, JobError>>) -> JobSnapshot {
    let (layers, warnings) = match outcome {
        Some(Ok(GenerateOfflineMapResult { layers, warnings, .. })) => (layers.as_slice(), warnings.clone()),
        Some(Err(error)) => (error.layers.as_slice(), Vec::new()),
        None => (&[] as &[_], Vec::new()),
    };
    let mut snapshot = record.snapshot(layers.iter().map(LayerSnapshot::from).collect());
    snapshot.warnings = warnings;
    snapshot
}

impl JobStore {
    /// A part of a list of jobs, the latest first.
    pub(crate) async fn page(&self, filter: &JobFilter, after: Option<u64>, most: u32) -> Result<JobPage, Failure> {
        let most = most.clamp(1, MOST_LISTED);
        let before = after.map_or(i64::MAX, |a| i64::try_from(a).unwrap_or(i64::MAX));
        let records = self.list(filter.clone(), before, most).await?;
        let next = records.last().filter(|_| records.len() == most as usize);
        let next = next.and_then(|r| u64::try_from(r.seq).ok());
        Ok(JobPage { jobs: records.iter().map(|r| r.snapshot(Vec::new())).collect(), next })
    }

    /// A job that has ended, with the layers of its result.
    pub(crate) async fn ended_job(&self, record: &JobRecord) -> Result<JobSnapshot, Failure> {
        Ok(ended(record, self.outcome(record.seq).await?.as_ref()))
    }

    /// A job that has not ended, with what its messages last said of its layers.
    pub(crate) async fn stored_job(&self, record: &JobRecord) -> Result<JobSnapshot, Failure> {
        let (mut after, mut layers) = (0, BTreeMap::new());
        loop {
            let messages = self.events(record.seq, after).await?;
            let Some(last) = messages.last().map(|m| m.seq) else { break };
            after = last;
            for m in messages.into_iter().filter(|m| matches!(m.subject.kind, SubjectKind::Layer | SubjectKind::Table)) {
                let is_table = m.subject.kind == SubjectKind::Table;
                let (id, title) = (m.subject.id.clone(), m.subject.title);
                let mut told = LayerSnapshot::new(m.subject.id, title, is_table, m.state, m.progress);
                told.failure = m.failure;
                layers.insert(id, told);
            }
        }
        Ok(record.snapshot(layers.into_values().collect()))
    }
}
