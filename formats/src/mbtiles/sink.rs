//! Writes a file: contents and places as they come, the index of places and the description at the end.

use super::metadata;
use crate::sinks::{Finished, Resumed, TileId, TileSink};
use crate::tile_set::TileSetInfo;
use crate::tile_writing::{Limit, PackedTile, TileLog, cannot_write, degrees, fingerprint};
use crate::tiles::WebMercatorLevels;
use offmap_disk::{atomic_file, safe_path};
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::fmt::Display;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// What the file is at its start.
const SCHEMA: &str = "
    PRAGMA application_id = 0x4d504258;
    BEGIN;
    CREATE TABLE metadata (name TEXT, value TEXT);
    CREATE TABLE map (zoom_level INTEGER, tile_column INTEGER, tile_row INTEGER, tile_id INTEGER);
    CREATE TABLE images (tile_id INTEGER PRIMARY KEY, tile_data BLOB);
    CREATE VIEW tiles AS SELECT map.zoom_level AS zoom_level, map.tile_column AS tile_column, map.tile_row AS tile_row,
        images.tile_data AS tile_data FROM map JOIN images ON images.tile_id = map.tile_id;
    COMMIT;";
/// Of every connection. A page holds several tiles, so that few are in pieces. The cache is of 16 MiB, in pages: in KiB SQLite would
/// count with the pages that it knows before the file has any. What is committed is on the disk, and what is not is undone after a kill or a power cut.
const PRAGMAS: &str =
    "PRAGMA page_size = 32768; PRAGMA journal_mode = TRUNCATE; PRAGMA synchronous = FULL; PRAGMA cache_size = 512;
    PRAGMA locking_mode = EXCLUSIVE; PRAGMA foreign_keys = OFF;";
const ADD_CONTENT: &str = "INSERT INTO images (tile_id, tile_data) VALUES (?1, ?2)";
const ADD_PLACE: &str = "INSERT INTO map (zoom_level, tile_column, tile_row, tile_id) VALUES (?1, ?2, ?3, ?4)";
const HOLDS: &str = "SELECT tile_data = ?2 FROM images WHERE tile_id = ?1";
/// Where SQLite counts the changes of a file, and for which count its version is valid: how often was committed would show there.
const CHANGE_COUNTERS: [u64; 2] = [24, 92];

/// Takes tiles of a web scheme in any order.
#[derive(Debug)]
pub struct MbtilesSink {
    to: PathBuf,
    beside: PathBuf,
    info: TileSetInfo,
    levels: WebMercatorLevels,
    connection: Connection,
    log: TileLog,
}

fn failed(to: &Path, error: &dyn Display, is_full: bool) -> Failure {
    let kind = if is_full { FailureKind::StorageFull } else { FailureKind::Io };
    let message = format!("cannot write {}: {error}", to.display());
    Failure::new(FailureOwner::Storage, kind, FailureStage::Package, message)
}

fn sql_failed(to: &Path, error: &rusqlite::Error) -> Failure {
    failed(to, error, error.sqlite_error_code() == Some(ErrorCode::DiskFull))
}

/// How many contents and places an unfinished file has; nothing if it is none.
fn counts(beside: &Path) -> Option<(u64, u64)> {
    let connection = connect(beside).ok()?;
    let count = |table| -> Option<u64> {
        let sql = format!("SELECT coalesce(max(rowid), 0) FROM {table}");
        connection.query_row(&sql, [], |row| row.get::<_, i64>(0)).ok()?.try_into().ok()
    };
    Some((count("images")?, count("map")?))
}

fn connect(beside: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(beside, flags)?;
    connection.execute_batch(PRAGMAS)?;
    Ok(connection)
}

/// Nothing of an earlier process counts: the file begins anew.
fn begin_anew(to: &Path, beside: &Path) -> Result<(), Failure> {
    let cleared = safe_path::open_to_write(beside).and_then(|file| file.set_len(0));
    cleared.map_err(|e| cannot_write(to, &e))?;
    let mut rollback = beside.as_os_str().to_owned();
    rollback.push("-journal");
    match std::fs::remove_file(PathBuf::from(rollback)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(cannot_write(to, &error)),
        _ => Ok(()),
    }
}

impl MbtilesSink {
    /// Opens a sink for the file `to`, or the half of it that an earlier process left.
    ///
    /// # Errors
    /// If the tiling scheme is not the web's, the format has no word in MBTiles, or the disk refuses.
    pub fn open(to: &Path, info: &TileSetInfo) -> Result<Self, Failure> {
        let levels = WebMercatorLevels::of_levels(&info.scheme, info.levels)?;
        info.compression.check()?;
        let print = fingerprint(&[b"mbtiles", format!("{info:?}").as_bytes()]);
        let beside = atomic_file::beside(to);
        // SQLite undoes what was not committed, so that what is there is what one of the marks says.
        let (contents, places) = if beside.exists() { counts(&beside).unwrap_or_default() } else { (0, 0) };
        let limit = Limit { length: contents, tiles: places };
        let opened = TileLog::open(to, &print, limit, &mut |_| Ok(()))?;
        let sql = |e: &rusqlite::Error| sql_failed(to, e);
        let has_all = opened.length == contents && opened.log.done().tiles == places;
        let log = match has_all && places > 0 {
            true => opened.log,
            false => {
                begin_anew(to, &beside)?;
                TileLog::open(to, &print, Limit { length: 0, tiles: 0 }, &mut |_| Ok(()))?.log
            }
        };
        let connection = connect(&beside).map_err(|e| sql(&e))?;
        if log.done().tiles == 0 {
            connection.execute_batch(SCHEMA).map_err(|e| sql(&e))?;
        }
        connection.execute_batch("BEGIN").map_err(|e| sql(&e))?;
        Ok(Self { to: to.to_owned(), beside, info: info.clone(), levels, connection, log })
    }

    /// The number of bytes, which are stored if they are not there yet.
    fn store(&mut self, tile: &PackedTile<'_>) -> Result<u64, Failure> {
        let bytes: &[u8] = &tile.bytes;
        let to = &self.to;
        let sql = |e: rusqlite::Error| sql_failed(to, &e);
        for at in tile.candidates(&self.log) {
            let mut holds = self.connection.prepare_cached(HOLDS).map_err(sql)?;
            if holds.query_row((at.cast_signed(), bytes), |row| row.get(0)).map_err(sql)? {
                return Ok(at);
            }
        }
        let at = self.log.known.contents + 1;
        let mut add = self.connection.prepare_cached(ADD_CONTENT).map_err(sql)?;
        add.execute((at.cast_signed(), bytes)).map_err(sql)?;
        Ok(at)
    }

    /// The word for the format of the tiles.
    fn format(&self) -> Result<&'static str, Failure> {
        let format = self.log.known.format.unwrap_or(self.info.format);
        metadata::word_of(format).ok_or_else(|| {
            let message =
                format!("MBTiles names one format of all tiles, and these are {format:?}; .pmtiles and .tpkx hold them");
            Failure::not_supported(message)
        })
    }

    /// The index of places and the description, unless an earlier process came so far.
    fn describe(&self) -> Result<(), Failure> {
        let sql = |e: rusqlite::Error| match e.sqlite_error_code() {
            Some(ErrorCode::ConstraintViolation) => Failure::internal("a tile was put twice"),
            _ => sql_failed(&self.to, &e),
        };
        let format = self.format()?;
        let (first, last) = self.log.known.extents.levels().unwrap_or_default();
        let (first, last) = (self.levels.zoom(first)?, self.levels.zoom(last)?);
        let bounds = self.log.known.extents.bounds(&self.info.scheme, self.info.bounds.as_ref());
        let stem = self.to.file_stem().unwrap_or_default().to_string_lossy();
        let zooms = (first.min(last), first.max(last));
        let rows = metadata::write(&self.info, &stem, format, zooms, bounds.as_ref().and_then(degrees));
        let index = "CREATE UNIQUE INDEX IF NOT EXISTS map_index ON map (zoom_level, tile_column, tile_row);
                     DELETE FROM metadata;";
        self.connection.execute_batch(index).map_err(sql)?;
        for row in rows {
            let mut add =
                self.connection.prepare_cached("INSERT INTO metadata (name, value) VALUES (?1, ?2)").map_err(sql)?;
            add.execute(row).map_err(sql)?;
        }
        self.connection.execute_batch("COMMIT").map_err(sql)
    }
}

impl TileSink for MbtilesSink {
    fn resumed(&self) -> Resumed {
        self.log.done()
    }

    fn put(&mut self, places: &[TileId], bytes: &[u8]) -> Result<(), Failure> {
        let tile = PackedTile::of(places, bytes, self.info.format)?;
        let mut at = None;
        for place in places {
            let (zoom, column, row) = self.levels.zoom_column_row(*place)?;
            let stored = match at {
                Some(at) => at,
                None => self.store(&tile)?,
            };
            at = Some(stored);
            let from_bottom = (1_u64 << zoom) - 1 - u64::from(row);
            let to = &self.to;
            let sql = |e: rusqlite::Error| sql_failed(to, &e);
            let mut add = self.connection.prepare_cached(ADD_PLACE).map_err(sql)?;
            add.execute((zoom, column, from_bottom.cast_signed(), stored.cast_signed())).map_err(sql)?;
            drop(add);
            self.log.add(&tile.record(*place, stored))?;
        }
        // Said as soon as it is known, and not when the last tile has come.
        self.format().map(|_| ())
    }

    fn checkpoint(&mut self) -> Result<(), Failure> {
        // First the mark: one that says more than the database has does not count.
        self.log.mark(self.log.known.contents)?;
        self.connection.execute_batch("COMMIT; BEGIN").map_err(|e| sql_failed(&self.to, &e))
    }

    fn finish(self: Box<Self>) -> Result<Finished, Failure> {
        let Resumed { tiles, .. } = self.log.done();
        let contents = self.log.known.contents;
        if tiles == 0 {
            return Err(Failure::not_supported("there is no tile to write"));
        }
        self.describe()?;
        let Self { to, beside, connection, log, .. } = *self;
        connection.close().map_err(|(_, e)| sql_failed(&to, &e))?;
        let bytes = set_change_counters(&beside).and_then(|bytes| {
            atomic_file::put(&beside, &to)?;
            Ok(bytes)
        });
        let bytes = bytes.map_err(|e| cannot_write(&to, &e))?;
        let mut rollback = beside.into_os_string();
        rollback.push("-journal");
        // Empty, and of a file that is not there any more.
        let _ = std::fs::remove_file(PathBuf::from(rollback));
        log.remove();
        Ok(Finished { tiles, contents, bytes })
    }
}

/// Both counters the same, as in a file that was committed once; answers its bytes.
fn set_change_counters(path: &Path) -> std::io::Result<u64> {
    let mut file = safe_path::open_to_write(path)?;
    for at in CHANGE_COUNTERS {
        file.seek(SeekFrom::Start(at))?;
        file.write_all(&1_u32.to_be_bytes())?;
    }
    Ok(file.metadata()?.len())
}
