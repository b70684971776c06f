//! What writes features into a file.

use super::feature::{Attachment, Feature};
use super::schema::{LayerSchema, Relationship};
use offmap_model::Failure;
use std::io::Read;

/// What an earlier process has written of a layer, or of its attachments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resume {
    /// The row behind which it goes on; `None` where nothing is there.
    pub after: Option<i64>,
    /// Rows that are there.
    pub rows: u64,
}

/// Writes features into a file of some format.
///
/// Call, for each layer in turn: [`begin_layer`](Self::begin_layer), [`put_feature`](Self::put_feature) for each row and
/// [`put_attachment`](Self::put_attachment) for each attachment; then [`put_relationships`](Self::put_relationships), and
/// [`finish_file`](Self::finish_file). [`keep`](Self::keep) where as much should be kept as was put.
///
/// **Invariants**: the file has its name when it is complete, and not before; what was put before a `keep` that returned survives the
/// end of the process, and a sink that is opened to resume says by [`begin_layer`](Self::begin_layer) behind which row it goes on; the
/// same calls make the same bytes. At most one row is held in memory beside what its format's index needs. Blocks.
pub trait FeatureSink {
    /// Begins a layer or table, or goes on with it. What is there of its rows and of its attachments is returned.
    ///
    /// # Errors
    /// If the format cannot hold such a layer, an earlier process wrote another one of this name, or the disk refuses.
    fn begin_layer(&mut self, layer: &LayerSchema) -> Result<(Resume, Resume), Failure>;

    /// Adds a row to the layer that was begun last.
    ///
    /// # Errors
    /// If the format cannot hold it, or the disk refuses.
    fn put_feature(&mut self, feature: &Feature) -> Result<(), Failure>;

    /// Adds an attachment to the layer that was begun last.
    ///
    /// # Errors
    /// As [`put_feature`](Self::put_feature), and if the stream has not as many bytes as was said.
    fn put_attachment(&mut self, attachment: &Attachment, bytes: &mut dyn Read) -> Result<(), Failure>;

    /// Adds relationships between layers that were written, once all are. What the format cannot hold is returned in words.
    ///
    /// # Errors
    /// As [`put_feature`](Self::put_feature).
    fn put_relationships(&mut self, relationships: &[Relationship]) -> Result<Vec<String>, Failure>;

    /// Keeps what was put so far, come what may.
    ///
    /// # Errors
    /// If the disk refuses.
    fn keep(&mut self) -> Result<(), Failure>;

    /// Completes the file, and gives it its name.
    ///
    /// # Errors
    /// If the disk refuses.
    fn finish_file(self) -> Result<(), Failure>
    where
        Self: Sized;
}
