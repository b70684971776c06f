//! An embedded ArcGIS server on loopback, for offmap's examples and tests.
//!
//! | path | what |
//! | --- | --- |
//! | `/portal` | portal: items and web maps, thumbnails, styles, `generateToken`, OAuth with pages to sign in, refresh tokens and their end |
//! | `/arcgis/rest/services` | services in the dialect of ArcGIS Server |
//! | `/hosted/rest/services` | the same services in the dialect of ArcGIS Online; exports end on another host, presigned |
//! | `/server/rest/services` | those of `/arcgis`, as a web adaptor of another name has them |
//! | `…/Fieldwork/FeatureServer` | editable, sync: places with photos, borders, countries, inspections, measurements |
//! | `…/Reference/FeatureServer` | read-only, sync |
//! | `…/OnlineOnly/FeatureServer` | no sync |
//! | `…/OpenData/FeatureServer`, `OpenDataPbf`, `OpenDataOrdered`, `OpenDataOld`, `OpenDataCut`, `OpenDataShortLists`, `OpenDataWithheld`, `OpenDataMoments`, `OpenDataFileIds`, `OpenDataSloppy` | no sync: the layers of field work with pages of 50 rows, each with other abilities and habits |
//! | `…/Assets/FeatureServer` | editable, sync, with a group layer |
//! | `…/Awkward/FeatureServer` | each layer breaks another rule for going offline |
//! | `…/Plenty/FeatureServer` | posts with one related row each, more than the keys of one count |
//! | `…/Surveys/FeatureServer` | tables related to themselves, in a circle, and with two origins |
//! | `…/Drafting/FeatureServer`, `…/PlainDrafting/FeatureServer` | annotations and dimensions, with and without the bits of `syncDataOptions` for them |
//! | `…/Network/FeatureServer`, `…/OldNetwork/FeatureServer`, `…/BareNetwork/FeatureServer` | utility networks of three servers: with topology, with system tables, without |
//! | `…/Relief/ImageServer`, `…/NoExport/MapServer` | the cache of an image service, and a tiled map without export |
//! | `…/Dynamic/MapServer`, `…/Scenes/ImageServer` | services that draw on demand and have no cache |
//! | `/wms` | a WMS, 1.1.1 and 1.3.0 |
//! | `…/StreetsReduced/VectorTileServer` | the same vector tiles, as a twin with fewer fonts |
//! | `…/World/MapServer` | raster tiles, drawn from the data |
//! | `…/Streets/VectorTileServer` | vector tiles with style, sprites and fonts |
//! | `…/Detail/MapServer`, `…/DetailStreets/VectorTileServer` | tiles of every level to 19, anywhere; each names its level, row and column |
//! | `…/Empty/FeatureServer` | sync, layers and a table without rows, and without an extent |
//! | `/files/places.geojson` | a file as any web server has it, for layers that are no ArcGIS service |
//!
//! The data are Natural Earth's (public domain); the inspections are made up. Every request is logged
//! ([`Sandbox::requests`]), faults are played on request ([`Sandbox::fault`]).
//!
//! What it is not: complete. There is no editing, no sync of edits, no exploded cache, no glyphs in the font of its own style.

mod answer;
mod archive_server;
mod browser;
mod colleague;
mod data;
mod draw;
mod drawn;
mod extent;
mod fault;
mod faulty_layer;
mod feature;
mod geodatabase;
mod ids;
mod jobs;
mod lock;
mod maps;
mod memory;
mod options;
mod pattern;
mod picture;
mod replica;
mod request;
mod routes;
mod sandbox;
mod server;
mod services;
mod sign_ins;
mod state;
mod tiles;
mod tls;

pub use archive_server::{ArchiveFault, ArchiveRequest, ArchiveServer};
pub use browser::{Browser, Page};
pub use colleague::Colleague;
pub use fault::Fault;
pub use faulty_layer::FaultyLayer;
pub use ids::{
    AWKWARD_MAP, CLIENT_ID, CLIENT_SECRET, DETAIL_MAP, FIELD_MAP, FULL_MAP, HOSTED_MAP, MIXED_MAP, PASSWORD, SERVICE_ITEM,
    STYLE_ITEM, USER, VISITOR, VISITOR_PASSWORD,
};
pub use memory::{prefer_memory, tempdir};
pub use offmap_engine::testing::{FaultAction, JobFault};
pub use options::{SandboxFont, SandboxOptions};
pub use pattern::{Pattern, pattern_colour};
pub use request::LoggedRequest;
pub use sandbox::Sandbox;
pub use tls::ServerCertificate;
