//! What came of tiles.

use offmap_formats::TileId;
use offmap_model::Failure;

/// What a tile's url had.
pub(super) enum Came {
    Tile(Vec<u8>),
    None,
    /// It did not come; why is logged.
    Lost,
}

/// What became of a tile; the failure of one that the layers cannot do without.
pub(super) type Arrived = Result<(TileId, Came), Failure>;
