//! How a job ended.

use crate::budget::Missing;
use crate::failure::Failure;
use crate::note::{LayerNote, LayerNoteKind};
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
    /// How many features, tiles or items were planned, where that was known.
    pub planned: Option<u64>,
    /// How many came home.
    pub got: u64,
    /// How many attachments came home, where the layer has some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attachments: Option<u64>,
    /// Tiles that are missing from a layer that was taken all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_tiles: Option<Missing>,
    /// Attachments that are missing from a layer that was taken all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_attachments: Option<Missing>,
    /// What is counted.
    pub count_unit: CountUnit,
    /// Size of the file that holds it; a file that several layers share counts for each.
    pub bytes: u64,
    /// What is worth knowing of it and is no failure: what was not counted, what was edited meanwhile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<LayerNote>,
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
    pub fn lacking(&self) -> Vec<String> {
        let came = self.state == ExportState::Succeeded;
        let words = lacking(self.missing_tiles.as_ref(), self.missing_attachments.as_ref(), &self.notes);
        words.filter(|_| came).collect()
    }
}

/// What is missing of a layer that came, in words: tiles, attachments, and what notes say is missing.
pub fn lacking<'a>(
    missing_tiles: Option<&'a Missing>,
    missing_attachments: Option<&'a Missing>,
    notes: &'a [LayerNote],
) -> impl Iterator<Item = String> + 'a {
    let tiles = missing_tiles.map(|m| m.words("tiles"));
    let attachments = missing_attachments.map(|m| m.words("attachments"));
    let others = notes.iter().filter(|n| n.kind == LayerNoteKind::Missing).map(|n| n.message.clone());
    tiles.into_iter().chain(attachments).chain(others)
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
        !self.has_errors() && self.layers.iter().all(|l| l.lacking().is_empty())
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
