//! What is worth knowing of a layer that came and is no failure.

use crate::failure::{LONGEST_SERVER_MESSAGE, shortened};
use serde::{Deserialize, Serialize};

/// What a note is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum LayerNoteKind {
    /// The service cannot count something, so that it came unverified.
    NotCounted,
    /// The data were edited while they were exported; what came is one state of them.
    DataChanged,
    /// Tiles of the area that do not exist on the service, by its own word.
    NotExisting,
    /// Something that goes with the layer is missing, such as fonts of its style: the layer is there and not complete.
    Missing,
}

impl LayerNoteKind {
    /// The kind in words for people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::NotCounted => "not counted",
            Self::DataChanged => "data changed",
            Self::NotExisting => "not existing",
            Self::Missing => "missing",
        }
    }
}

/// One note.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerNote {
    /// What it is about.
    pub kind: LayerNoteKind,
    /// One sentence for people.
    pub message: String,
}

impl LayerNote {
    /// Makes a note.
    #[must_use]
    pub fn new(kind: LayerNoteKind, message: impl Into<String>) -> Self {
        Self { kind, message: shortened(message.into(), LONGEST_SERVER_MESSAGE) }
    }
}
