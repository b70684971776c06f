//! Where tiles go: the counterpart of [`TileReader`](crate::TileReader).

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

/// What a sink has already, when it was opened on the half of a file that an earlier process left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resumed {
    /// How many tiles were put before the last checkpoint.
    pub tiles: u64,
    /// The last one of them: the caller goes on behind it, in the order in which it put.
    pub last: Option<TileId>,
}

/// What is in a file that is complete.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Finished {
    /// Tiles.
    pub tiles: u64,
    /// Different contents that are stored for them.
    pub contents: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// Writes tiles into a file of some format. Who fetches or joins tiles knows no format beyond this trait.
///
/// Tiles come in the order in which a [`TileReader`](crate::TileReader) gives them: level by level, in each along the Hilbert curve.
/// A sink may accept other orders; one that cannot refuses the tile by name.
///
/// **Invariants**: nothing has the file's name before [`finish`](TileSink::finish) has returned; what was put before a
/// [`checkpoint`](TileSink::checkpoint) survives the process, and a sink that is opened again for the same file and the same
/// description tells in [`resumed`](TileSink::resumed) up to where that is. The bytes of the file depend on the description, the
/// tiles and, where a format wants a name, the file's own alone: not on checkpoints, and not on how often the writing was
/// interrupted. At most one tile's bytes are held in memory.
pub trait TileSink {
    /// What it has from an earlier process. The caller skips as many tiles.
    fn resumed(&self) -> Resumed;

    /// Adds the tiles of some places that have the same bytes, as the source stores them. Vector tiles that are not compressed are
    /// compressed here, where the format wants that. Blocks.
    ///
    /// # Errors
    /// If a place does not belong into the file or comes out of order, the bytes are none that the format can hold, or the disk
    /// refuses.
    fn put(&mut self, places: &[TileId], bytes: &[u8]) -> Result<(), Failure>;

    /// Adds a file that goes with the tiles, such as a style, its sprites or fonts; `name` is its path below `resources`. A format
    /// that holds none drops it. After the last tile, and again after a resume. Blocks.
    ///
    /// # Errors
    /// If the disk refuses.
    fn put_resource(&mut self, _name: &str, _bytes: &[u8]) -> Result<(), Failure> {
        Ok(())
    }

    /// Forces what was put to the disk, so that it is there after a kill. Blocks.
    ///
    /// # Errors
    /// If the disk refuses.
    fn checkpoint(&mut self) -> Result<(), Failure>;

    /// Completes the file: writes its indexes, forces it to the disk and gives it its name. Blocks.
    ///
    /// # Errors
    /// If there is no tile in it, or the disk refuses.
    fn finish(self: Box<Self>) -> Result<Finished, Failure>;
}
