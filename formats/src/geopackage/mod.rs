//! GeoPackage 1.4 (OGC 12-128r19): features written and read.
//!
//! | clause | what | where |
//! | --- | --- | --- |
//! | 1.1.1 to 1.1.3 | application id, version, spatial references, contents | [`GeoPackageSink`] |
//! | 2.1.3 | shapes: header with envelope, then well-known binary | [`binary`] |
//! | 2.1.5, 2.1.6, 2.4 | feature tables and attribute tables | [`GeoPackageSink`], [`GeoPackage`] |
//! | F.3 | R-tree with the triggers of 1.4, built at once when all rows are there | [`GeoPackageSink`] |
//! | F.9 | aliases and domains: the schema extension | [`GeoPackageSink`], [`GeoPackage`] |
//! | OGC 18-000 | attachments as media, relationships: the related tables extension | [`GeoPackageSink`], [`GeoPackage`] |
//! | | `layer_styles`, as QGIS and GDAL read it | [`LayerStyle`] |
//!
//! Axis order is x, y whatever the spatial reference says (clause 2.1.3.1.1). Units are those of the spatial reference.

mod attachments;
pub mod binary;
mod columns;
#[cfg(test)]
mod complete_tests;
mod constraints;
mod contents_of_columns;
mod ddl;
mod definitions;
mod global_ids;
mod index;
mod layer;
mod reader;
mod references;
mod related;
#[cfg(test)]
mod related_tests;
mod relations;
mod sink;
mod styles;
#[cfg(test)]
mod tests;

pub use reader::GeoPackage;
pub use sink::{GeoPackageOptions, GeoPackageSink};
pub use styles::LayerStyle;
