//! Exporters of offmap. The ArcGIS REST client that they share is in [`offmap_arcgis`].
//!
//! | exporter | supports | asks | downloads | parameters in overrides |
//! | --- | --- | --- | --- | --- |
//! | [`GeodatabaseExporter`](geodatabase::GeodatabaseExporter) | feature layers, tables, subtype groups, annotation, dimensions of sync-enabled feature services | `createReplica` | `.geodatabase` | `generateGeodatabaseParameters` |
//! | [`FeatureQueryExporter`](feature_query::FeatureQueryExporter) | feature layers, tables, subtype groups of feature and map services, where `directDownload` allows it | `query`, page by page | `.geodatabase`, read only | `featureQueryParameters` |
//! | [`TileCacheExporter`](tile_cache::TileCacheExporter) | raster tiled layers | `exportTiles` | `.tpkx` or `.tpk` | `exportTileCacheParameters` |
//! | [`VectorTilesExporter`](vector_tiles::VectorTilesExporter) | vector tiled layers | `exportTiles` | `.vtpk`, and the style of an item with its sprites and fonts | `exportVectorTilesParameters` |
//! | [`TileDownloadExporter`](tile_download::TileDownloadExporter) | raster and vector tiled layers, where `directDownload` allows it | `tilemap`, tiles | `.tpkx`, `.vtpk`, styles as above | `tileDownloadParameters` |
//! | [`TileArchiveExporter`](tile_archive::TileArchiveExporter) | PMTiles archives on web servers, where `directDownload` allows it | ranges of bytes | `.pmtiles` | `tileArchiveParameters` |
//! | [`TileDrawExporter`](tile_draw::TileDrawExporter) | dynamic map and image services, WMS, where `drawTiles` allows it | `export`, `exportImage`, `GetMap` | `.tpkx` | `tileDrawParameters` |
//!
//! Each is built with an [`ArcGisClient`]; [`offmap_arcgis::portal`] reads the web map with the same client, so that
//! limits and connections are shared. Who asks is the session of the job, where it has one ([`offmap_arcgis::Session`]), else the
//! client's own.

mod download_limit;
mod export_parts;
pub mod feature_query;
mod feature_service;
mod file_etag;
pub mod geodatabase;
mod job_client;
mod raster_service;
pub mod tile_archive;
mod tile_blocks;
pub mod tile_cache;
pub mod tile_download;
pub mod tile_draw;
mod tile_export;
mod tile_levels;
mod tile_parts;
mod tile_service;
mod vector_service;
mod vector_style;
pub mod vector_tiles;

/// Reads an answer as every kind of service, for fuzzing: it must not panic.
#[doc(hidden)]
pub fn read_any_service(answer: &serde_json::Value) {
    geodatabase::read_any_service(answer);
    feature_query::read_any_layer(answer);
    export_parts::read_any_service(answer);
    let _ = offmap_formats::style::missing(answer, "styles/root.json", &std::collections::BTreeSet::new());
}

/// Reads bytes as features in every form, for fuzzing: it must not panic.
#[doc(hidden)]
pub fn read_any_features(bytes: &[u8]) {
    feature_query::read_any_features(bytes);
}

/// Reads bytes as the capabilities of a WMS, for fuzzing: it must not panic.
#[doc(hidden)]
pub fn read_any_capabilities(bytes: &[u8]) {
    tile_draw::read_any_capabilities(bytes);
}

/// Joins bytes as ranges of glyphs, for fuzzing: it must not panic, and what it makes is a range of glyphs.
#[doc(hidden)]
pub fn join_any_glyphs(fonts: &[Vec<u8>]) {
    let joined = offmap_formats::glyphs::join("A,B", "0-255", fonts);
    assert!(joined.is_none_or(|joined| offmap_formats::glyphs::is_glyphs(&joined)), "joined glyphs are glyphs");
}

/// Reads an answer as the state of every kind of job and as an error, for fuzzing: it must not panic.
#[doc(hidden)]
pub fn read_any_job_answer(answer: &serde_json::Value) {
    geodatabase::read_any_job_answer(answer);
    tile_export::read_any_job_answer(answer);
    offmap_arcgis::body::read_any_answer(answer);
}

pub use offmap_formats::geodatabase::GeodatabaseReader;
use offmap_formats::open_containers::OpenTilesReader;
pub use offmap_formats::readers::containers;
pub use offmap_formats::tile_package::TilePackageReader;

use offmap_arcgis::ArcGisClient;
use offmap_engine::EngineBuilder;
use offmap_model::Failure;

/// Adds all built-in exporters to an engine, and the readers of what they bring.
///
/// # Errors
/// If one of their names is taken.
pub fn register(builder: EngineBuilder, client: &ArcGisClient) -> Result<EngineBuilder, Failure> {
    builder
        .secrets(client.secrets().clone())
        .container_reader(GeodatabaseReader)
        .container_reader(TilePackageReader)
        .container_reader(OpenTilesReader)
        // The last one added is asked first; those that download directly or draw stand behind all others.
        .exporter(tile_draw::TileDrawExporter::new(client.clone()))?
        .exporter(tile_archive::TileArchiveExporter::new(client.clone()))?
        .exporter(feature_query::FeatureQueryExporter::new(client.clone()))?
        .exporter(tile_download::TileDownloadExporter::new(client.clone()))?
        .exporter(geodatabase::GeodatabaseExporter::new(client.clone()))?
        .exporter(tile_cache::TileCacheExporter::new(client.clone()))?
        .exporter(vector_tiles::VectorTilesExporter::new(client.clone()))
}
