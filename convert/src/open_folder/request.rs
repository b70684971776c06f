//! What is asked for, what is said meanwhile, and what was made.

use super::manifest::{ManifestLayer, ManifestMap};
use crate::files::FileProgress;
use offmap_model::Failure;
use serde::{Serialize, Serializer};
use std::path::{Path, PathBuf};

/// In which form tiled layers lie in the folder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum TileForm {
    /// As PMTiles for MapLibre, and as MBTiles for QGIS.
    #[default]
    Both,
    /// As PMTiles: the project of QGIS is without them.
    Pmtiles,
    /// As MBTiles: the style names them by `mbtiles://`, which MapLibre Native reads and MapLibre GL JS does not.
    Mbtiles,
}

/// Which package becomes which folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderRequest {
    /// The package: its directory, or the `.mmpk`.
    pub from: PathBuf,
    /// The folder, absent or empty.
    pub to: PathBuf,
    /// In which form tiles are wanted.
    pub tiles: TileForm,
    /// Whether a folder that was made here is replaced, once the new one is complete.
    pub overwrite: bool,
    /// Whether what was done stays beside `to` after a failure or a cancel, for the next call with the same request.
    pub keep: bool,
}

impl FolderRequest {
    /// All of a package, tiles in both forms.
    #[must_use]
    pub fn new(from: impl Into<PathBuf>, to: impl Into<PathBuf>) -> Self {
        Self { from: from.into(), to: to.into(), tiles: TileForm::default(), overwrite: false, keep: false }
    }

    /// What must be the same for the half of a folder to be used again.
    pub(super) fn order(&self, state: &str) -> Result<String, Failure> {
        let from = std::path::absolute(&self.from).unwrap_or_else(|_| self.from.clone());
        let order = serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"),
            "folder": "open",
            "from": from.to_string_lossy(),
            "state": state,
            "tiles": self.tiles,
        });
        serde_json::to_string(&order).map_err(|e| Failure::internal(e.to_string()))
    }
}

/// How far a folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FolderProgress<'a> {
    /// The file that is written, by its path in the folder.
    pub part: &'a str,
    /// Its number among the large files, from 1 on.
    pub number: usize,
    /// How many large files there are.
    pub of: usize,
    /// How far it is.
    #[serde(flatten)]
    pub done: FileProgress,
}

/// Something of the package that is not in the folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LeftOut {
    /// The layer's title, or what else it is.
    pub layer: String,
    /// Why.
    pub reason: String,
}

fn shown<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&path.display())
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenFolder {
    /// The folder.
    #[serde(serialize_with = "shown")]
    pub folder: PathBuf,
    /// Its files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Its maps.
    pub maps: Vec<ManifestMap>,
    /// Its layers and tables.
    pub layers: Vec<ManifestLayer>,
    /// How many things are drawn more simply: `approximations.json` names them.
    pub approximations: u64,
    /// What of the package is not in the folder.
    pub left_out: Vec<LeftOut>,
}
