//! What a sink knows of the tiles that it has: the journal on the disk, and the little that is kept in memory of it.

use super::journal;
use super::journal::{Journal, Limit, Record};
use super::repeats::Repeats;
use super::tile_extents::TileExtents;
use crate::sinks::Resumed;
use crate::tile_set::TileFormat;
use offmap_model::Failure;
use std::path::{Path, PathBuf};

/// Formats by their numbers in the journal.
const FORMATS: [TileFormat; 7] = [
    TileFormat::Png,
    TileFormat::Jpeg,
    TileFormat::WebP,
    TileFormat::Avif,
    TileFormat::Lerc,
    TileFormat::Mixed,
    TileFormat::Mvt,
];

/// The tiles of a file that is being written.
#[derive(Debug)]
pub(crate) struct TileLog {
    journal: Journal,
    /// What is kept in memory of them.
    pub(crate) known: Known,
}

/// What is kept in memory of the tiles: it depends on their records alone, in order.
#[derive(Debug, Default)]
pub(crate) struct Known {
    repeats: Repeats,
    /// Where they are.
    pub(crate) extents: TileExtents,
    /// Their format: [`TileFormat::Mixed`] if they have several.
    pub(crate) format: Option<TileFormat>,
    /// How many contents they have.
    pub(crate) contents: u64,
    /// Where the last new content is; contents are in the order in which they came.
    newest: Option<u64>,
}

impl Known {
    fn note(&mut self, record: &Record) {
        self.repeats.note(record.crc, record.length, record.at);
        self.extents.add(record.place);
        self.format = joined(self.format, record.format);
        if self.newest.is_none_or(|newest| record.at > newest) {
            (self.contents, self.newest) = (self.contents + 1, Some(record.at));
        }
    }
}

/// A log that was opened.
pub(crate) struct OpenedLog {
    pub(crate) log: TileLog,
    /// Where the file of tiles is written.
    pub(crate) beside: PathBuf,
    /// How much of it counts; zero where nothing does.
    pub(crate) length: u64,
}

impl TileLog {
    /// Opens the log of the file `to`, and tells of every tile that it has already.
    pub(crate) fn open(
        to: &Path,
        fingerprint: &[u8; 32],
        limit: Limit,
        known: &mut dyn FnMut(&Record) -> Result<(), Failure>,
    ) -> Result<OpenedLog, Failure> {
        let mut opened = journal::open(to, fingerprint, limit)?;
        let mut kept = Known::default();
        opened.journal.replay(&mut |record| {
            kept.note(record);
            known(record)
        })?;
        let log = Self { journal: opened.journal, known: kept };
        Ok(OpenedLog { log, beside: opened.beside, length: opened.length })
    }

    /// What it has already.
    pub(crate) fn done(&self) -> Resumed {
        self.journal.done
    }

    /// Where contents are that may be the same.
    pub(crate) fn candidates(&self, crc: u32, length: u32) -> impl Iterator<Item = u64> + use<> {
        self.known.repeats.candidates(crc, length)
    }

    /// Adds a tile.
    pub(crate) fn add(&mut self, record: &Record) -> Result<(), Failure> {
        self.journal.add(record)?;
        self.known.note(record);
        Ok(())
    }

    /// Marks that so much of the file of tiles is on the disk.
    pub(crate) fn mark(&mut self, length: u64) -> Result<(), Failure> {
        self.journal.mark(length)
    }

    /// Tells of every tile again, in order.
    pub(crate) fn replay(&mut self, visit: &mut dyn FnMut(&Record) -> Result<(), Failure>) -> Result<(), Failure> {
        self.journal.replay(visit)
    }

    /// The file has its name.
    pub(crate) fn remove(self) {
        self.journal.remove();
    }

    /// The number of a tile's format: of what it is, or of what is said of its set.
    pub(crate) fn format_of(bytes: &[u8], said: TileFormat) -> u32 {
        let found = if said.is_vector() { None } else { TileFormat::of_image(bytes) };
        let at = FORMATS.iter().position(|format| *format == found.unwrap_or(said));
        // Seven of them.
        at.and_then(|at| u32::try_from(at).ok()).unwrap_or(u32::MAX)
    }
}

/// The format of tiles of both.
fn joined(before: Option<TileFormat>, number: u32) -> Option<TileFormat> {
    let format = usize::try_from(number).ok().and_then(|number| FORMATS.get(number)).copied();
    match (before, format) {
        (None, format) => format,
        (Some(before), Some(format)) if before == format => Some(before),
        (Some(_), _) => Some(TileFormat::Mixed),
    }
}
