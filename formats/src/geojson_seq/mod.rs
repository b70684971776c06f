//! GeoJSON text sequences: one feature a line, each behind the character 0x1E.
//!
//! Sources: RFC 8142 (sequences), RFC 7946 (GeoJSON): coordinates are WGS84 degrees, longitude first, then height in metres (clause 3.1.1,
//! 4); outer rings run counter-clockwise, holes clockwise (3.1.6); dates are text as RFC 3339 writes them. Web Mercator is projected, to
//! nine decimals or a tenth of a millimetre; other spatial references are refused by name. Lines and polygons are always the multi
//! type. Shapes that cross the dateline are written as they are, not cut (3.1.9 only recommends that).
//!
//! One file holds all layers: each feature names its own as the foreign member `layer` (6.1). Measures, attachments and relationships
//! have no place in GeoJSON; blobs are written as hexadecimal text. Where the name of the file ends with `.geojson` it is one
//! `FeatureCollection` (RFC 7946, 3.3), which programs that draw read whole.

mod features_json;
mod sink;
#[cfg(test)]
mod tests;

pub use sink::GeoJsonSequenceSink;
