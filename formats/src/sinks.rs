//! Where tiles go: the counterpart of [`ContainerReader`](crate::ContainerReader).

use offmap_model::Failure;

/// A place in a tiling scheme. Rows grow downwards, columns to the right; the level is an identifier, not a zoom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TileId {
    /// Level id.
    pub level: u32,
    /// Row in the level.
    pub row: u64,
    /// Column in the level.
    pub column: u64,
}

/// Writes tiles into a file of some format. Who fetches or joins tiles knows no format beyond this trait.
///
/// **Invariants**: tiles come in any order; a tile that was put stays what it was first; nothing is complete before
/// [`finish`](TileSink::finish) has returned; a sink that is dropped instead leaves nothing that is trusted. At most one tile's
/// bytes are held in memory.
pub trait TileSink {
    /// Adds the tiles of some places that have the same bytes, as the format stores them (compressed, where it wants that). Blocks.
    ///
    /// # Errors
    /// If a place does not belong into the file, the bytes are more than the format can hold, or the disk refuses.
    fn put(&mut self, places: &[TileId], bytes: &[u8]) -> Result<(), Failure>;

    /// Completes the file. Blocks.
    ///
    /// # Errors
    /// If the disk refuses.
    fn finish(self) -> Result<(), Failure>
    where
        Self: Sized;
}
