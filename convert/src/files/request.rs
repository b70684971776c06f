//! What is asked for, what is said meanwhile, and what was done.

use offmap_model::{Envelope, Failure};
use serde::{Serialize, Serializer};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// What is converted into what.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The source: a file, or a directory that is laid out like a tile package.
    pub from: PathBuf,
    /// The file that is written; its ending tells the format.
    pub to: PathBuf,
    /// Layers and tables by name or title; all of them where none is named. Of features only.
    pub layers: Vec<String>,
    /// Tiles that meet this area, and features whose extent meets it. Tables have no place and are copied whole.
    pub area: Option<Envelope>,
    /// Level ids of the source. Of tiles only.
    pub levels: Option<RangeInclusive<u32>>,
    /// Whether a file at `to` is replaced, once the new one is complete.
    pub overwrite: bool,
    /// Whether what was done stays beside `to` after a failure or a cancel, for the next call with the same request.
    pub keep: bool,
}

impl Request {
    /// All of a file.
    #[must_use]
    pub fn new(from: impl Into<PathBuf>, to: impl Into<PathBuf>) -> Self {
        let (from, to) = (from.into(), to.into());
        Self { from, to, layers: Vec::new(), area: None, levels: None, overwrite: false, keep: false }
    }

    /// What must be the same for the half of a file to be used again: the source in its state, and what is chosen of it.
    pub(super) fn order(&self, state: &str) -> Result<String, Failure> {
        let from = std::path::absolute(&self.from).unwrap_or_else(|_| self.from.clone());
        let order = serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"),
            // A name that is no UTF-8 is told apart by the state.
            "from": from.to_string_lossy(),
            "state": state,
            "layers": self.layers,
            "area": self.area,
            "levels": self.levels,
        });
        serde_json::to_string(&order).map_err(|e| Failure::internal(e.to_string()))
    }
}

/// How far a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum FileProgress {
    /// Bytes of tiles that were read, and about how many there are, where that is known.
    Bytes {
        /// Read so far.
        done: u64,
        /// The source's.
        of: Option<u64>,
    },
    /// Rows that were read.
    Rows {
        /// Read so far.
        done: u64,
    },
}

/// A layer or table of the new file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConvertedLayer {
    /// Its name.
    pub name: String,
    /// Its rows.
    pub features: u64,
    /// Its attachments.
    pub attachments: u64,
}

/// A path as text, also one that is no UTF-8.
fn shown<S: Serializer>(path: &Path, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&path.display())
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Converted {
    /// The file.
    #[serde(serialize_with = "shown")]
    pub file: PathBuf,
    /// Its bytes.
    pub bytes: u64,
    /// Its tiles, of a file of tiles.
    pub tiles: Option<u64>,
    /// Its layers and tables, of a file of features.
    pub layers: Vec<ConvertedLayer>,
    /// Tiles or rows that an interrupted call had written before.
    pub resumed: u64,
    /// What of the source was asked for and is not in the file, in words.
    pub left_out: Vec<String>,
    /// What is worth knowing beside that.
    pub notes: Vec<String>,
}
