//! Tiles that come piece by piece, whoever they come from: blocks of them as units, each in a file of its own, and the package that they
//! become.

mod block;
mod block_file;
mod package;
mod run;
mod spare;
mod tally;
mod writer;

pub(crate) use block::{Block, blocks_of, units};
pub(crate) use block_file::{BlockFile, Presence, place_in_block};
pub(crate) use package::{Packed, Parts, finish_blocks, packed_before};
pub(crate) use run::{BlockEnd, BlockSource, Blocks, TileProgress, planned_blocks};
pub(crate) use spare::Spare;
pub(crate) use tally::{Tally, shown};
pub(crate) use writer::BlockWriter;
