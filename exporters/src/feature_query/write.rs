//! The geodatabase out of the pages that came.
//!
//! Rows are read on one thread and written on another, a few batches of them in memory. They are written in the order of their object
//! ids, so that the same rows make the same file.

use super::attachment_file::{AttachmentBytes, places};
use super::attachment_list::Listed;
use super::attachments::Fetched;
use super::fit::FieldFit;
use super::left_out::LeftOut;
use super::stored::{Page, fill};
use crate::feature_service::service::FeatureService;
use offmap_formats::features::{
    Attachment, Cardinality, Feature, FeatureSink, Field, FieldType, LayerSchema, Relationship, TakeFeature, read_and_write,
};
use offmap_formats::geodatabase::{GeodatabaseOptions, GeodatabaseSink};
use offmap_model::{Failure, FailureOwner};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// Rows, and bytes of attachments, between two moments at which what was written leaves the memory.
const KEEP_ROWS: u64 = 50_000;
const KEEP_BYTES: u64 = 64 << 20;

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

/// Why the file was not written, and the layer whose data it was.
#[derive(Debug)]
pub(super) struct NotWritten {
    pub(super) layer: Option<u32>,
    pub(super) failure: Failure,
}

impl From<Failure> for NotWritten {
    fn from(failure: Failure) -> Self {
        Self { layer: None, failure }
    }
}

/// The fields of a layer as the values of some pages need them; what changed of them, in words.
pub(super) fn settled_fields(schema: &LayerSchema, pages: &[PathBuf]) -> Result<(Vec<Field>, Vec<String>), Failure> {
    let mut fits = vec![FieldFit::default(); schema.fields.len()];
    for path in pages {
        for (own, new) in fits.iter_mut().zip(Page::head(path)?.fits) {
            *own = own.with(new);
        }
    }
    let settled = schema.fields.iter().zip(fits).map(|(field, fit)| fit.settle(field));
    let (fields, changed): (Vec<Field>, Vec<Option<String>>) = settled.unzip();
    let words = changed.into_iter().flatten().map(|changed| format!("of layer \"{}\", {changed}", schema.title));
    Ok((fields, words.collect()))
}

/// The schema of a layer as its values need it; what changed of it is added, in words.
pub(super) fn settled(layer: &ReadyLayer, words: &mut Vec<String>) -> Result<LayerSchema, Failure> {
    let (fields, changed) = settled_fields(&layer.schema, &layer.pages)?;
    words.extend(changed);
    let left_out = layer.left_out.iter().map(|name| {
        format!("field `{name}` of layer \"{}\" is left out: a query gives no values of its type", layer.schema.title)
    });
    words.extend(left_out);
    let has_attachments = layer.attachments.is_some();
    Ok(LayerSchema { fields, has_attachments, ..layer.schema.clone() })
}

/// Writes the file. Blocks.
pub(super) fn write(
    to: &Path,
    layers: &[ReadyLayer],
    relationships: &[Relationship],
    cancel: &CancellationToken,
) -> Result<Written, NotWritten> {
    let mut written = Written::default();
    let mut sink = GeodatabaseSink::create(to, &GeodatabaseOptions::default())?;
    for layer in layers {
        put_layer(&mut sink, layer, &mut written, cancel).map_err(|failure| {
            let is_of_layer = failure.owner == FailureOwner::Source && !failure.is_cancelled();
            NotWritten { layer: is_of_layer.then_some(layer.id), failure }
        })?;
    }
    written.words.extend(sink.put_relationships(relationships)?);
    go_on(cancel)?;
    sink.finish_file()?;
    Ok(written)
}

fn put_layer(
    sink: &mut GeodatabaseSink,
    layer: &ReadyLayer,
    written: &mut Written,
    cancel: &CancellationToken,
) -> Result<(), Failure> {
    let schema = settled(layer, &mut written.words)?;
    sink.begin_layer(&schema)?;
    let rows = put_rows(sink, &mut layer.pages.iter().cloned(), &schema, cancel)?;
    put_rest(sink, layer, &schema, rows, (written, cancel))
}

/// Adds what belongs to a layer whose rows are written, and notes what was written of it.
pub(super) fn put_rest(
    sink: &mut GeodatabaseSink,
    layer: &ReadyLayer,
    schema: &LayerSchema,
    (rows, left_out): (u64, LeftOut),
    (written, cancel): (&mut Written, &CancellationToken),
) -> Result<(), Failure> {
    let mut counts = Counts { rows, attachments: None };
    let left_out = left_out.notes(&schema.fields);
    if !left_out.is_empty() {
        written.left_out.insert(layer.id, left_out);
    }
    if let Some(attachments) = &layer.attachments {
        let (count, renumbered) = put_attachments(sink, attachments, cancel)?;
        counts.attachments = Some(count);
        if renumbered > 0 {
            let (title, above) = (&schema.title, attachments.highest);
            written.words.push(format!(
                "of layer \"{title}\", {renumbered} attachments have ids that attachments of other rows have: here they have ids above {above}"
            ));
        }
    }
    written.counts.insert(layer.id, counts);
    sink.keep()
}

fn go_on(cancel: &CancellationToken) -> Result<(), Failure> {
    if cancel.is_cancelled() { Err(Failure::cancelled()) } else { Ok(()) }
}

/// Adds the rows of pages; answers how many they are, and what they are without.
pub(super) fn put_rows(
    sink: &mut GeodatabaseSink,
    pages: &mut dyn Iterator<Item = PathBuf>,
    schema: &LayerSchema,
    cancel: &CancellationToken,
) -> Result<(u64, LeftOut), Failure> {
    let (mut values, mut shapes) = (LeftOut::default(), LeftOut::default());
    let types: Vec<FieldType> = schema.fields.iter().map(|field| field.field_type).collect();
    let kind = schema.geometry.as_ref().map(|geometry| (geometry.kind, geometry.has_z, geometry.has_m));
    let read = |take: &mut TakeFeature<'_>| {
        let (mut feature, mut count) = (Feature::with_fields(types.len()), 0_u64);
        for path in pages {
            go_on(cancel)?;
            let mut page = Page::open(&path)?;
            while let Some(row) = page.next_row()? {
                fill(row, &types, kind, &mut feature, &mut values);
                take(&feature)?;
                count += 1;
            }
        }
        Ok(count)
    };
    let mut count = 0_u64;
    let write = |feature: &mut Feature| {
        if let Some(why) = sink.put_feature_without_wrong_shape(feature)? {
            shapes.shape(feature.row_id, &why);
        }
        count += 1;
        if count.is_multiple_of(KEEP_ROWS) { sink.keep() } else { Ok(()) }
    };
    let rows = read_and_write(read, write)?;
    Ok((rows, values.with_shapes_of(shapes)))
}

/// Adds the attachments in the order of their ids; answers how many they are, and how many of them got an id of their own, because the
/// service has theirs twice.
fn put_attachments(
    sink: &mut GeodatabaseSink,
    fetched: &Fetched,
    cancel: &CancellationToken,
) -> Result<(u64, u64), Failure> {
    let (mut bytes, mut ids, mut count, mut renumbered) = (0_u64, HashSet::new(), 0_u64, 0_u64);
    for path in &fetched.files {
        let mut file = AttachmentBytes::open(path)?;
        // What was deleted meanwhile or did not come has no bytes.
        for place in places(path)?.iter().filter(|place| !place.kept.is_gone) {
            go_on(cancel)?;
            let Listed { id: own, object_id, name, content_type, .. } = place.kept.listed.clone();
            let mut id = own;
            if !ids.insert(own) {
                renumbered += 1;
                id = fetched.highest.saturating_add(i64::try_from(renumbered).unwrap_or(i64::MAX));
            }
            let size = place.kept.bytes;
            let attachment = Attachment { row_id: id, id, object_id: Some(object_id), name, content_type, size };
            file.hand_on(place, |stream| sink.put_attachment(&attachment, stream))?;
            (count, bytes) = (count + 1, bytes + size);
            if bytes >= KEEP_BYTES {
                bytes = 0;
                sink.keep()?;
            }
        }
    }
    Ok((count, renumbered))
}

/// The relationships between layers that came.
pub(super) fn relationships(service: &FeatureService, layers: &[ReadyLayer]) -> Vec<Relationship> {
    let mut all: Vec<Relationship> = Vec::new();
    for origin in layers {
        let described = service.layers.get(&origin.id).map(|l| l.relationships.as_slice()).unwrap_or_default();
        for own in described.iter().filter(|r| !r.is_destination()) {
            let Some(destination) = layers.iter().find(|l| i64::from(l.id) == own.related_table_id) else { continue };
            let other = service.layers.get(&destination.id).map(|l| l.relationships.as_slice()).unwrap_or_default();
            let Some(other) = other.iter().find(|r| r.id == own.id && r.is_destination()) else { continue };
            let cardinality = match own.cardinality.as_str() {
                _ if own.is_many_to_many() => Cardinality::ManyToMany,
                "esriRelCardinalityOneToOne" => Cardinality::OneToOne,
                _ => Cardinality::OneToMany,
            };
            let plain = format!("{}_{}", origin.schema.name, destination.schema.name);
            let name = if own.name.is_empty() { plain } else { own.name.clone() };
            let is_taken = all.iter().any(|r| r.name.eq_ignore_ascii_case(&name));
            all.push(Relationship {
                name: if is_taken { format!("{name} {}", own.id) } else { name },
                origin: origin.schema.name.clone(),
                origin_key: own.key_field.clone(),
                destination: destination.schema.name.clone(),
                destination_key: other.key_field.clone(),
                cardinality,
                is_composite: own.composite,
            });
        }
    }
    all
}
