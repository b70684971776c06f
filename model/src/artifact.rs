//! What an exporter has made.

use crate::failure::Failure;
use crate::layer_contents::LayerContents;
use crate::plan::{ExportTask, TaskLayer};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A file or folder that an exporter made below its work directory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactFile {
    /// Path below the work directory.
    pub path: PathBuf,
    /// Extension in the package without dot: `geodatabase`, `tpkx`, `tpk`, `vtpk`, …; empty for a folder.
    pub extension: String,
    /// Whether it is a folder of resources.
    pub is_folder: bool,
    /// Size in bytes of a file; the engine fills it in.
    #[serde(default)]
    pub bytes: u64,
    /// SHA-256 (hexadecimal) of a file, where it is known since it was written, as of a download that nobody changed afterwards. The
    /// packager compares it with what it packs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

impl ArtifactFile {
    /// A file and its extension in the package, without dot.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>, extension: impl Into<String>) -> Self {
        Self { path: path.into(), extension: extension.into(), is_folder: false, bytes: 0, sha256: None }
    }

    /// A folder of resources.
    #[must_use]
    pub fn folder(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), extension: String::new(), is_folder: true, bytes: 0, sha256: None }
    }

    /// The same with the SHA-256 of the file.
    #[must_use]
    pub fn with_sha256(mut self, sha256: impl Into<String>) -> Self {
        self.sha256 = Some(sha256.into());
        self
    }
}

/// How one layer is found in the artifact's files.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LayerArtifact {
    /// Id of the layer or table.
    pub id: String,
    /// Index of its file; `None` if nothing was fetched for it.
    pub file: Option<usize>,
    /// `GDB_ServiceItems.ItemId` in a geodatabase.
    pub item_id: Option<i64>,
    /// Index of a folder of item resources (style, sprites, fonts) that belongs to it.
    pub resources: Option<usize>,
    /// What is there of it, and what is missing.
    #[serde(flatten)]
    pub contents: LayerContents,
    /// Why this layer failed though others of the artifact did not.
    pub failure: Option<Failure>,
}

/// What one task has made.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Artifact {
    /// Files and folders.
    pub files: Vec<ArtifactFile>,
    /// One entry for each layer of the task.
    pub layers: Vec<LayerArtifact>,
    /// Things worth knowing that are no failures.
    pub warnings: Vec<String>,
}

impl Artifact {
    /// One file that all layers of a task share, each with so many features or items in it.
    #[must_use]
    pub fn one_file(task: &ExportTask, file: ArtifactFile, got: u64) -> Self {
        let contents = |planned| LayerContents { planned, got, ..LayerContents::default() };
        let layer = |layer: &TaskLayer| LayerArtifact {
            id: layer.id.clone(),
            file: Some(0),
            contents: contents(layer.expected),
            ..LayerArtifact::default()
        };
        Self { files: vec![file], layers: task.layers.iter().map(layer).collect(), warnings: Vec::new() }
    }
}
