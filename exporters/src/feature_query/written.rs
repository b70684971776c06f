//! Layers that came, and what of them the geodatabase holds.

use super::attachments::Fetched;
use offmap_formats::features::LayerSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A layer that came.
#[derive(Debug, Clone)]
pub(super) struct ReadyLayer {
    pub(super) id: u32,
    /// As its service describes it.
    pub(super) schema: LayerSchema,
    /// Fields of which a query gives no values.
    pub(super) left_out: Vec<String>,
    pub(super) pages: Vec<PathBuf>,
    pub(super) attachments: Option<Fetched>,
    /// Rows that the list had, and those of them that went meanwhile.
    pub(super) listed: u64,
    pub(super) gone: u64,
    /// Whether rows of it were edited between the runs in which they came.
    pub(super) is_edited: bool,
    /// What tells its results from others.
    pub(super) digest: String,
}

/// What the file does not hold of the layers that are in it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Written {
    /// Of their schemas and relationships, in words.
    pub(super) words: Vec<String>,
    /// Of their rows, in words for each layer.
    pub(super) left_out: BTreeMap<u32, Vec<String>>,
    /// Rows and attachments of each layer.
    #[serde(default)]
    pub(super) counts: BTreeMap<u32, Counts>,
}

/// What was written of a layer. Whether the file holds it, its reader says before the task is done.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Counts {
    pub(super) rows: u64,
    /// `None` where they do not come.
    pub(super) attachments: Option<u64>,
}
