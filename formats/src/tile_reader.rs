//! Where tiles come from: one trait for every file that holds some.

use crate::sinks::TileId;
use crate::tile_set::TileSetInfo;
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use std::fmt::Display;
use std::path::Path;

/// Most places that one call of [`TileVisitor::visit`] names.
pub const MOST_PLACES: usize = 1024;

/// Takes a resource: its path below `resources`, and its bytes.
pub type OnResource<'a> = &'a mut dyn FnMut(&str, &[u8]) -> Result<(), Failure>;

/// Takes the tiles of a [`TileReader`].
pub trait TileVisitor {
    /// Whether the tile of a place is wanted. Asked for every tile in order, before its bytes are read.
    ///
    /// # Errors
    /// If nothing more is wanted, such as after a cancel; reading ends with it.
    fn wants(&mut self, place: TileId) -> Result<bool, Failure>;

    /// Whether any tile of a square may be wanted: its first row and column, and how many rows and columns it has. Asked before the
    /// tiles of a long run that share their bytes are named one by one.
    ///
    /// # Errors
    /// As [`TileVisitor::wants`].
    fn wants_some(&mut self, _first: TileId, _side: u64) -> Result<bool, Failure> {
        Ok(true)
    }

    /// Whether long runs of tiles that share their bytes are taken as one, whichever they are ([`TileVisitor::visit_run`]).
    fn takes_runs(&self) -> bool {
        false
    }

    /// Takes a long run: its first tile, how many there are, and their bytes. Only where they are taken.
    ///
    /// # Errors
    /// As [`TileVisitor::visit`].
    fn visit_run(&mut self, first: TileId, _tiles: u64, bytes: &[u8]) -> Result<(), Failure> {
        self.visit(&[first], bytes)
    }

    /// Takes the bytes of a tile that is wanted, for all neighbours in the order that share them.
    ///
    /// # Errors
    /// Of whatever it does with them; reading ends with it.
    fn visit(&mut self, places: &[TileId], bytes: &[u8]) -> Result<(), Failure>;
}

/// Reads the tiles of a file, one after the other.
///
/// **Invariants**: tiles come level by level, from coarse to fine, and in each level along the Hilbert curve whose order is the web
/// zoom (PMTiles v3, §4.1), or 32 in a grid that is none of the web's: so every block of 128 × 128 tiles comes as a whole, too. No
/// place comes twice. At most one tile's bytes, one bundle's index or one directory is held in memory.
pub trait TileReader {
    /// What the file says of itself.
    fn info(&self) -> &TileSetInfo;

    /// Gives every tile that is wanted to `visitor`, in order. Blocks.
    ///
    /// # Errors
    /// If the file is damaged or cannot be read, or `visitor` refuses.
    fn for_each_tile(&mut self, visitor: &mut dyn TileVisitor) -> Result<(), Failure>;

    /// Gives every file that goes with the tiles (style, sprites, fonts) to `visit`, by its path below `resources`. Most formats
    /// have none. Blocks.
    ///
    /// # Errors
    /// As [`for_each_tile`](TileReader::for_each_tile).
    fn for_each_resource(&mut self, _visit: OnResource<'_>) -> Result<(), Failure> {
        Ok(())
    }
}

/// Neighbours in the order that share their bytes, until they are given away.
#[derive(Debug, Default)]
pub(crate) struct SharedPlaces {
    places: Vec<TileId>,
}

impl SharedPlaces {
    /// Adds a place; gives all away when they are many.
    pub(crate) fn add(&mut self, place: TileId, bytes: &[u8], visitor: &mut dyn TileVisitor) -> Result<(), Failure> {
        self.places.push(place);
        if self.places.len() >= MOST_PLACES { self.give(bytes, visitor) } else { Ok(()) }
    }

    /// Gives away what there is.
    pub(crate) fn give(&mut self, bytes: &[u8], visitor: &mut dyn TileVisitor) -> Result<(), Failure> {
        if self.places.is_empty() {
            return Ok(());
        }
        let given = visitor.visit(&self.places, bytes);
        self.places.clear();
        given
    }
}

/// A file of tiles whose content is not what it must be.
pub(crate) fn damaged(path: &Path, what: impl Display) -> Failure {
    let message = format!("{} is damaged: {what}", path.file_name().unwrap_or_default().display());
    Failure::new(FailureOwner::Source, FailureKind::Corrupt, FailureStage::Check, message)
}

/// A file of tiles that is right and is not read here.
pub(crate) fn unsupported(path: &Path, what: impl Display) -> Failure {
    let message = format!("{}: {what}", path.file_name().unwrap_or_default().display());
    Failure::new(FailureOwner::Source, FailureKind::NotSupported, FailureStage::Check, message)
}

/// What an error of reading a file means: damage where the file is too short or wrong, else the disk's.
pub(crate) fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    use std::io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    match error.kind() {
        InvalidData | InvalidInput | UnexpectedEof => damaged(path, error),
        _ => Failure::io(FailureStage::Check, format!("cannot read {}", path.display()), error),
    }
}
