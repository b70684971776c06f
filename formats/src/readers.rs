//! The readers of all formats that are here.

use crate::containers::Containers;
use crate::geodatabase::GeodatabaseReader;
use crate::open_containers::{GeoPackageReader, OpenTilesReader};
use crate::tile_package::TilePackageReader;

/// Readers of all formats that are here.
#[must_use]
pub fn containers() -> Containers {
    Containers::default().with(GeoPackageReader).with(OpenTilesReader).with(GeodatabaseReader).with(TilePackageReader)
}
