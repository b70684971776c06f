//! What reads features out of a file.

use super::feature::{Attachment, Feature};
use super::schema::{LayerSchema, Relationship};
use offmap_model::Failure;
use std::io::Read;

/// Takes one feature; an error ends the reading.
pub type TakeFeature<'a> = dyn FnMut(&Feature) -> Result<(), Failure> + 'a;
/// Takes one attachment with the stream of its bytes; an error ends the reading.
pub type TakeAttachment<'a> = dyn FnMut(&Attachment, &mut dyn Read) -> Result<(), Failure> + 'a;

/// Reads features out of a file of some format, one at a time. Who uses them knows no format beyond this trait.
///
/// **Invariants**: rows are handed on in ascending order of [`Feature::row_id`], so that reading can begin again behind any of them;
/// one row is held in memory, and no attachment. Blocks.
pub trait FeatureReader {
    /// The layers and tables of the file.
    fn layers(&self) -> &[LayerSchema];

    /// Which of their rows belong to which.
    fn relationships(&self) -> &[Relationship];

    /// Hands on the rows of a layer, by its place in [`layers`](Self::layers), behind the row `after` or all of them. How many they
    /// were is returned.
    ///
    /// # Errors
    /// If the file is damaged: the message names layer and row, what was found and what was expected. Or what `take` says.
    fn read_features(&self, layer: usize, after: Option<i64>, take: &mut TakeFeature<'_>) -> Result<u64, Failure>;

    /// Hands on the attachments of a layer in the same manner.
    ///
    /// # Errors
    /// As [`read_features`](Self::read_features).
    fn read_attachments(&self, layer: usize, after: Option<i64>, take: &mut TakeAttachment<'_>) -> Result<u64, Failure>;
}
