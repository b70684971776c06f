//! The geodatabase out of what came.

use super::fit::FieldFit;
use super::layer_writer::{LayerWriter, go_on};
use super::stored::Page;
use super::written::{ReadyLayer, Written};
use crate::feature_service::service::FeatureService;
use offmap_formats::features::{Cardinality, FeatureSink as _, Field, LayerSchema, Relationship};
use offmap_formats::geodatabase::{GeodatabaseOptions, GeodatabaseSink};
use offmap_model::{Failure, FailureOwner};
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

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
    let mut writer = LayerWriter::begin(sink, schema)?;
    writer.put_pages(sink, &layer.pages, cancel)?;
    if let Some(fetched) = &layer.attachments {
        fetched.files.iter().try_for_each(|file| writer.put_attachments(sink, (file, fetched.highest), cancel))?;
    }
    writer.end(sink, layer, written)
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
