//! What a job reports while it runs.

use crate::failure::Failure;
use serde::{Deserialize, Serialize};

/// What a status message is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subject {
    /// Job, layer, table or package.
    pub kind: SubjectKind,
    /// Id in its kind.
    pub id: String,
    /// Title for people.
    pub title: String,
}

impl Subject {
    /// Makes a subject.
    #[must_use]
    pub fn new(kind: SubjectKind, id: impl Into<String>, title: impl Into<String>) -> Self {
        Self { kind, id: id.into(), title: title.into() }
    }

    /// The subject of a layer or table.
    #[must_use]
    pub fn layer(is_table: bool, id: &str, title: &str) -> Self {
        Self::new(if is_table { SubjectKind::Table } else { SubjectKind::Layer }, id, title)
    }
}

/// Kinds of subjects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SubjectKind {
    /// The whole job.
    Job,
    /// A layer of the map.
    Layer,
    /// A table of the map.
    Table,
    /// The mobile map package.
    Package,
}

/// State of a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ExportState {
    /// Waiting for its turn.
    NotStarted,
    /// Running.
    Started,
    /// Standing still until it is started again.
    Paused,
    /// Done, all that was planned is there.
    Succeeded,
    /// Failed.
    Failed,
    /// Cancelled.
    Cancelled,
    /// Not taken offline, and why is in the failure or message.
    Skipped,
}

impl ExportState {
    /// Whether no further state follows.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        match self {
            Self::NotStarted | Self::Started | Self::Paused => false,
            Self::Succeeded | Self::Failed | Self::Cancelled | Self::Skipped => true,
        }
    }

    /// The state in which something ends that was begun: with a failure, or without one. A cancelled job is no fault.
    #[must_use]
    pub fn ended(failure: Option<&Failure>) -> Self {
        match failure {
            None => Self::Succeeded,
            Some(failure) if failure.is_cancelled() => Self::Cancelled,
            Some(_) => Self::Failed,
        }
    }
}

/// What a progress counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum ProgressUnit {
    /// Hundredths.
    #[default]
    Percent,
    /// Bytes.
    Bytes,
    /// Features.
    Features,
    /// Tiles.
    Tiles,
    /// Files.
    Files,
}

/// How far a subject is.
///
/// `completed` never falls. `precise` is false while `required` is only known as a lower bound, or a percentage is an estimate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Done so far.
    pub completed: u64,
    /// To be done.
    pub required: u64,
    /// What is counted.
    pub unit: ProgressUnit,
    /// Whether `required` is final.
    pub precise: bool,
}

impl Progress {
    /// Per cent done.
    #[must_use]
    pub fn percent(completed: u64) -> Self {
        Self { completed: completed.min(100), required: 100, unit: ProgressUnit::Percent, precise: true }
    }

    /// Bytes done of a total that may be unknown: then what is done is the least that is to be done.
    #[must_use]
    pub fn bytes(completed: u64, required: Option<u64>) -> Self {
        Self { completed, required: required.unwrap_or(completed), unit: ProgressUnit::Bytes, precise: required.is_some() }
    }

    /// The part done, from 0 to 1; 0 while it is not known how much is to be done.
    #[must_use]
    pub fn fraction(&self) -> f64 {
        if self.required == 0 || !self.precise { 0.0 } else { (self.completed as f64 / self.required as f64).min(1.0) }
    }
}

/// How much a message matters.
#[doc(alias = "JobMessageSeverity")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MessageSeverity {
    /// Good to know.
    #[default]
    Info,
    /// Worth knowing; nothing is lost.
    Warning,
    /// Something failed.
    Error,
}

/// Who says it.
#[doc(alias = "JobMessageSource")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum MessageSource {
    /// offmap.
    #[default]
    Client,
    /// A service's own job.
    Service,
}

/// One entry of a job's event log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusMessage {
    /// Its number in the job, the same for every reader. Numbers rise; one that a reader does not get was progress that is out of date.
    /// The high half (`seq >> 32`) counts the runs of the job, from 0, and the low half its messages in that run: they rise over
    /// restarts and retries, and stay below 2^53 for the first two million runs, so that a number of JavaScript holds them.
    pub seq: u64,
    /// Milliseconds since 1970 UTC.
    pub time: i64,
    /// What it is about.
    pub subject: Subject,
    /// Its state.
    pub state: ExportState,
    /// How far it is.
    pub progress: Option<Progress>,
    /// A note for people, such as a service's own job message.
    pub message: Option<String>,
    /// How much it matters.
    #[serde(default)]
    pub severity: MessageSeverity,
    /// Who says it.
    #[serde(default)]
    pub source: MessageSource,
    /// Why it failed or was skipped.
    pub failure: Option<Failure>,
}
