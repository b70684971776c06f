//! A file of features that ends when it becomes too large for those who read it whole.

use offmap_formats::features::{Attachment, Feature, FeatureSink, LayerSchema, Relationship, Resume, Value};
use offmap_model::Failure;
use std::io::Read;

/// A sink, and about how many bytes of text may still be put into it.
pub(super) struct Capped<S> {
    sink: S,
    left: u64,
    rows: u64,
    /// Whether it became too large.
    pub(super) is_full: bool,
}

/// Bytes of a feature without its values, and of a position.
const FEATURE: u64 = 90;
const POSITION: u64 = 30;
const NUMBER: u64 = 12;

fn text_of(feature: &Feature) -> u64 {
    let value = |value: &Value| match value {
        Value::Text(text) => text.len() as u64 + 2,
        Value::Blob(bytes) => bytes.len() as u64 * 2 + 2,
        Value::Date(_) => 26,
        Value::Null | Value::Integer(_) | Value::Real(_) => NUMBER,
    };
    let values: u64 = feature.values.iter().map(value).sum();
    let points = feature.geometry().map_or(0, |shape| shape.xy().len() as u64);
    FEATURE + values + points * POSITION
}

impl<S: FeatureSink> Capped<S> {
    /// Takes at most so many rows, and about so many bytes.
    pub(super) fn new(sink: S, rows: u64, bytes: u64) -> Self {
        Self { sink, left: bytes, rows, is_full: false }
    }

    pub(super) fn into_sink(self) -> S {
        self.sink
    }
}

impl<S: FeatureSink> FeatureSink for Capped<S> {
    fn begin_layer(&mut self, layer: &LayerSchema) -> Result<(Resume, Resume), Failure> {
        let there = self.sink.begin_layer(layer)?;
        self.rows = self.rows.saturating_sub(there.0.rows);
        Ok(there)
    }

    fn put_feature(&mut self, feature: &Feature) -> Result<(), Failure> {
        let size = text_of(feature);
        if self.rows == 0 || self.left < size {
            self.is_full = true;
            return Err(Failure::not_supported("the file becomes too large"));
        }
        (self.rows, self.left) = (self.rows - 1, self.left - size);
        self.sink.put_feature(feature)
    }

    fn put_attachment(&mut self, attachment: &Attachment, bytes: &mut dyn Read) -> Result<(), Failure> {
        self.sink.put_attachment(attachment, bytes)
    }

    fn put_relationships(&mut self, relationships: &[Relationship]) -> Result<Vec<String>, Failure> {
        self.sink.put_relationships(relationships)
    }

    fn keep(&mut self) -> Result<(), Failure> {
        self.sink.keep()
    }

    fn finish_file(self) -> Result<(), Failure> {
        self.sink.finish_file()
    }
}
