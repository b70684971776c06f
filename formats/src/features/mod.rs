//! Features of vector layers, whatever format they lie in: what a layer is, what a row is, and the two traits between formats and
//! those who use them.
//!
//! | what | where |
//! | --- | --- |
//! | fields, domains, subtypes, relationships of a layer | [`LayerSchema`] |
//! | one row, its memory used again for the next one | [`Feature`], [`Value`] |
//! | what reads features out of a file | [`FeatureReader`] |
//! | what writes them into one, and goes on after it was killed | [`FeatureSink`] |
//! | from one to the other | [`copy_features`] |
//! | dates as text | [`date_text`], [`read_date`] |
//!
//! Readers: [`Geodatabase`](crate::geodatabase::Geodatabase), [`GeoPackage`](crate::geopackage::GeoPackage). Sinks:
//! [`GeoPackageSink`](crate::geopackage::GeoPackageSink), [`GeodatabaseSink`](crate::geodatabase::GeodatabaseSink),
//! [`GeoJsonSequenceSink`](crate::geojson_seq::GeoJsonSequenceSink), and with the feature `geoparquet` that of GeoParquet.
//!
//! Axis order is x, y: longitude first. Dates are milliseconds since 1970-01-01 UTC.

mod batches;
mod copy;
mod dates;
mod feature;
mod reader;
mod schema;
mod sink;
mod value;

pub use batches::read_and_write;
pub use copy::{Copied, CopiedLayer, CopyOptions, copy_features};
pub use dates::{date_text, read_date};
pub use feature::{Attachment, Feature};
pub use reader::{FeatureReader, TakeAttachment, TakeFeature};
pub use schema::{
    Cardinality, Domain, DomainCode, DomainRule, Field, FieldType, GeometryField, LayerSchema, Relationship, Subtype,
    Subtypes,
};
pub use sink::{FeatureSink, Resume};
pub use value::Value;
