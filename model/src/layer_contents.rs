//! What is known of the data of one layer: one value for an artifact, an outcome and a manifest.

use crate::budget::Missing;
use crate::edit_tokens::EditTokens;
use crate::note::{LayerNote, LayerNoteKind};
use serde::{Deserialize, Serialize};

/// How much of a layer was planned and is there, what is missing of it, and what is worth knowing. In JSON its keys stand beside those
/// of the struct that it is part of.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerContents {
    /// How many features, tiles or items were planned, where that was known.
    pub planned: Option<u64>,
    /// How many are there.
    pub got: u64,
    /// How many attachments are there, where the layer has some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attachments: Option<u64>,
    /// Features that are missing of those that were counted; judged by the layer's error budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_features: Option<Missing>,
    /// Tiles that are missing, where it is known; judged by the layer's error budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_tiles: Option<Missing>,
    /// Attachments that are missing; judged by the layer's error budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_attachments: Option<Missing>,
    /// What is worth knowing of it and is no failure: what was not counted, what was edited meanwhile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<LayerNote>,
    /// By which state of the service it was exported.
    #[serde(flatten)]
    pub edit_tokens: EditTokens,
}

impl LayerContents {
    /// What is missing, in words: features, tiles, attachments, and what notes say is missing.
    pub fn missing(&self) -> impl Iterator<Item = String> + '_ {
        let features = self.missing_features.as_ref().map(|m| m.words("features"));
        let tiles = self.missing_tiles.as_ref().map(|m| m.words("tiles"));
        let attachments = self.missing_attachments.as_ref().map(|m| m.words("attachments"));
        let others = self.notes.iter().filter(|n| n.kind == LayerNoteKind::Missing).map(|n| n.message.clone());
        features.into_iter().chain(tiles).chain(attachments).chain(others)
    }
}
