//! One layer on its way into the geodatabase, page after page and file of attachments after file, as they are at hand.
//!
//! Rows are read on one thread and written on another, a few batches of them in memory. They are written in the order of their object
//! ids, and attachments in the order of theirs, so that the same ones make the same file, however they came.

use super::attachment_file::{AttachmentBytes, places};
use super::attachment_list::Listed;
use super::left_out::LeftOut;
use super::stored::{Page, fill};
use super::written::{Counts, ReadyLayer, Written};
use offmap_formats::features::{Attachment, Feature, FeatureSink as _, FieldType, LayerSchema, TakeFeature, read_and_write};
use offmap_formats::geodatabase::GeodatabaseSink;
use offmap_model::Failure;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// Rows, and bytes of attachments, between two moments at which what was written leaves the memory.
const KEEP_ROWS: u64 = 50_000;
const KEEP_BYTES: u64 = 64 << 20;

/// What of a layer is written.
#[derive(Debug)]
pub(super) struct LayerWriter {
    /// As its columns were made.
    schema: LayerSchema,
    rows: u64,
    /// What the rows are without; both threads write their own.
    values: LeftOut,
    shapes: LeftOut,
    attachments: PutAttachments,
}

/// The attachments that are written.
#[derive(Debug, Default)]
struct PutAttachments {
    ids: HashSet<i64>,
    /// Further ones that got an id of their own, because the service has theirs twice.
    renumbered: u64,
    /// Bytes that are in memory.
    bytes: u64,
}

/// Fails where the job is cancelled.
pub(super) fn go_on(cancel: &CancellationToken) -> Result<(), Failure> {
    if cancel.is_cancelled() { Err(Failure::cancelled()) } else { Ok(()) }
}

impl LayerWriter {
    /// Makes the tables of a layer. All of it blocks.
    pub(super) fn begin(sink: &mut GeodatabaseSink, schema: LayerSchema) -> Result<Self, Failure> {
        sink.begin_layer(&schema)?;
        let (values, shapes) = (LeftOut::default(), LeftOut::default());
        Ok(Self { schema, rows: 0, values, shapes, attachments: PutAttachments::default() })
    }

    /// Whether its columns are those of a schema.
    pub(super) fn is_of(&self, schema: &LayerSchema) -> bool {
        self.schema == *schema
    }

    /// Adds the rows of its next pages.
    pub(super) fn put_pages(
        &mut self,
        sink: &mut GeodatabaseSink,
        pages: &[PathBuf],
        cancel: &CancellationToken,
    ) -> Result<(), Failure> {
        let Self { schema, rows, values, shapes, .. } = self;
        let types: Vec<FieldType> = schema.fields.iter().map(|field| field.field_type).collect();
        let kind = schema.geometry.as_ref().map(|geometry| (geometry.kind, geometry.has_z, geometry.has_m));
        let read = |take: &mut TakeFeature<'_>| {
            let (mut feature, mut count) = (Feature::with_fields(types.len()), 0_u64);
            for path in pages {
                go_on(cancel)?;
                let mut page = Page::open(path)?;
                while let Some(row) = page.next_row()? {
                    fill(row, &types, kind, &mut feature, values);
                    take(&feature)?;
                    count += 1;
                }
            }
            Ok(count)
        };
        let write = |feature: &mut Feature| {
            if let Some(why) = sink.put_feature_without_wrong_shape(feature)? {
                shapes.shape(feature.row_id, &why);
            }
            *rows += 1;
            if rows.is_multiple_of(KEEP_ROWS) { sink.keep() } else { Ok(()) }
        };
        read_and_write(read, write).map(drop)
    }

    /// Adds the attachments of the next file of them; those whose id is taken get one above `above`.
    pub(super) fn put_attachments(
        &mut self,
        sink: &mut GeodatabaseSink,
        (path, above): (&Path, i64),
        cancel: &CancellationToken,
    ) -> Result<(), Failure> {
        let put = &mut self.attachments;
        let mut file = AttachmentBytes::open(path)?;
        // What was deleted meanwhile or did not come has no bytes.
        for place in places(path)?.iter().filter(|place| !place.kept.is_gone) {
            go_on(cancel)?;
            let Listed { id: own, object_id, name, content_type, .. } = place.kept.listed.clone();
            let mut id = own;
            if !put.ids.insert(own) {
                put.renumbered += 1;
                id = above.saturating_add(i64::try_from(put.renumbered).unwrap_or(i64::MAX));
            }
            let size = place.kept.bytes;
            let attachment = Attachment { row_id: id, id, object_id: Some(object_id), name, content_type, size };
            file.hand_on(place, |stream| sink.put_attachment(&attachment, stream))?;
            put.bytes += size;
            if put.bytes >= KEEP_BYTES {
                put.bytes = 0;
                sink.keep()?;
            }
        }
        Ok(())
    }

    /// Notes what was written of the layer.
    pub(super) fn end(self, sink: &mut GeodatabaseSink, layer: &ReadyLayer, written: &mut Written) -> Result<(), Failure> {
        let Self { schema, rows, values, shapes, attachments: put } = self;
        let left_out = values.with_shapes_of(shapes).notes(&schema.fields);
        if !left_out.is_empty() {
            written.left_out.insert(layer.id, left_out);
        }
        let (title, PutAttachments { ids, renumbered, .. }) = (&schema.title, put);
        if let Some(above) = layer.attachments.as_ref().map(|fetched| fetched.highest).filter(|_| renumbered > 0) {
            written.words.push(format!(
                "of layer \"{title}\", {renumbered} attachments have ids that attachments of other rows have: here they have ids above {above}"
            ));
        }
        let attachments = layer.attachments.as_ref().map(|_| ids.len() as u64 + renumbered);
        written.counts.insert(layer.id, Counts { rows, attachments });
        sink.keep()
    }
}
