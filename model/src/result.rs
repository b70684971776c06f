//! How a job ended.

use crate::failure::Failure;
use crate::layer_contents::LayerContents;
use crate::plan::CountUnit;
use crate::status::ExportState;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// How one layer or table ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerOutcome {
    /// Id in the map.
    pub id: String,
    /// Title.
    pub title: String,
    /// Whether it is a table.
    pub is_table: bool,
    /// How it ended.
    pub state: ExportState,
    /// What is there of it, and what is missing.
    #[serde(flatten)]
    pub contents: LayerContents,
    /// What is counted.
    pub count_unit: CountUnit,
    /// Size of the file that holds it; a file that several layers share counts for each.
    pub bytes: u64,
    /// Why it failed or was skipped.
    pub failure: Option<Failure>,
}

impl LayerOutcome {
    /// Whether the layer is missing from the offline map though nobody asked for that.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.failure.is_some()
    }

    /// What is missing of a layer that came, in words; empty for one that did not come.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let came = self.state == ExportState::Succeeded;
        self.contents.missing().filter(|_| came).collect()
    }
}

/// What a job that ended well has made.
///
/// A result with errors is a success: the package is there without those layers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GenerateOfflineMapResult {
    /// The package's directory.
    #[doc(alias = "mobileMapPackage")]
    pub package: PathBuf,
    /// Its size on disk.
    pub bytes: u64,
    /// Every layer and table of the map.
    pub layers: Vec<LayerOutcome>,
    /// Things worth knowing that are no errors.
    pub warnings: Vec<String>,
}

impl GenerateOfflineMapResult {
    /// Layers that are missing, with the reason.
    pub fn layer_errors(&self) -> impl Iterator<Item = &LayerOutcome> {
        self.layers.iter().filter(|l| !l.is_table && l.is_error())
    }

    /// Tables that are missing, with the reason.
    pub fn table_errors(&self) -> impl Iterator<Item = &LayerOutcome> {
        self.layers.iter().filter(|l| l.is_table && l.is_error())
    }

    /// Whether any layer or table is missing.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.layers.iter().any(LayerOutcome::is_error)
    }

    /// Whether nothing is missing: no layer or table, and nothing of those that came. offmap's own: the SDK knows whole layers only.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        !self.has_errors() && self.layers.iter().all(|l| l.missing().is_empty())
    }
}

/// A job that made no package.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{failure}")]
#[serde(rename_all = "camelCase")]
pub struct JobError {
    /// Whether the job's work was kept, so that it can go on.
    pub can_resume: bool,
    /// Why.
    #[source]
    pub failure: Failure,
    /// How each layer and table ended, as far as it came to that.
    pub layers: Vec<LayerOutcome>,
}

impl From<Failure> for JobError {
    fn from(failure: Failure) -> Self {
        Self { can_resume: false, failure, layers: Vec::new() }
    }
}
