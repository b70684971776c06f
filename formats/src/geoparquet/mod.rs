//! GeoParquet 1.1: one layer a file, shapes as well-known binary with a box of their own.
//!
//! Sources: GeoParquet 1.1.0 (file metadata, encoding, covering), Apache Parquet (format, logical types). Needs the feature `geoparquet`.
//!
//! | clause | what |
//! | --- | --- |
//! | geometry columns | WKB (ISO), x before y, lines and polygons always the multi type; heights; measures have no place there |
//! | `crs` | left out for WGS84 degrees, PROJJSON for Web Mercator and for UTM on WGS84; else `null`, and named |
//! | `covering` | the column `bbox` of four doubles, by which readers skip what is elsewhere |
//! | dates | timestamps of milliseconds in UTC; days as dates |
//!
//! Rows are written in groups, of which one is held. A group that was kept lies complete in a file beside, so that a half goes on; all
//! groups are joined at the end.

mod columns;
mod metadata;
mod parts;
mod sink;
#[cfg(test)]
mod tests;

pub use sink::GeoParquetSink;
