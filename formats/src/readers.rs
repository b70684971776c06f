//! The readers of all formats that are here.

use crate::containers::Containers;
use crate::geodatabase::GeodatabaseReader;
use crate::tile_package::TilePackageReader;

/// Readers of all formats that the built-in exporters write.
#[must_use]
pub fn containers() -> Containers {
    Containers::default().with(GeodatabaseReader).with(TilePackageReader)
}
