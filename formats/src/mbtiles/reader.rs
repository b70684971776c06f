//! Reads a file: first all places, sorted, then each content by its number.

use super::layout::Layout;
use super::metadata;
use super::sorted_keys::{Key, KeysInOrder, SortedKeys};
use crate::compact_cache::LARGEST_TILE;
use crate::foreign_sqlite::ForeignSqlite;
use crate::sinks::TileId;
use crate::tile_reader::{SharedPlaces, TileReader, TileVisitor, unsupported};
use crate::tile_set::TileSetInfo;
use crate::tiles::{DEEPEST_ZOOM, tile_id, tile_of_id};
use offmap_model::Failure;
use rusqlite::OptionalExtension as _;
use rusqlite::types::ValueRef;
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// Tiles of a file: more would not be read in the time that there is for it.
const MOST_TILES: u64 = 1 << 32;

/// Reads MBTiles. SQLite's page cache of 16 MiB and a piece of the places of 16 MiB are what is held, whatever the file's size.
pub struct MbtilesReader {
    path: PathBuf,
    file: ForeignSqlite,
    layout: Layout,
    info: TileSetInfo,
}

impl std::fmt::Debug for MbtilesReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MbtilesReader").field("path", &self.path).finish_non_exhaustive()
    }
}

impl MbtilesReader {
    /// Opens a file and reads its description. Blocks; whatever is done with it ends once `cancel` is cancelled.
    ///
    /// # Errors
    /// If it is no SQLite file, has no tables of tiles, or no tile.
    pub fn open(path: &Path, cancel: &CancellationToken) -> Result<Self, Failure> {
        Self::of_file(path, ForeignSqlite::open(path, cancel)?)
    }

    pub(crate) fn of_file(path: &Path, file: ForeignSqlite) -> Result<Self, Failure> {
        let layout = Layout::of(&file)?;
        let failed = |e| file.failure(e);
        let zooms: (Option<i64>, Option<i64>) =
            file.connection.query_row(&layout.zooms, [], |row| Ok((row.get(0)?, row.get(1)?))).map_err(failed)?;
        let zoom = |zoom: Option<i64>| {
            let zoom = zoom.ok_or_else(|| file.corrupt("it has no tile"))?;
            u8::try_from(zoom)
                .ok()
                .filter(|zoom| *zoom <= DEEPEST_ZOOM)
                .ok_or_else(|| file.corrupt(format!("it has a tile of zoom {zoom}, expected 0 to {DEEPEST_ZOOM}")))
        };
        let zooms = (zoom(zooms.0)?, zoom(zooms.1)?);
        let sql = format!("{} LIMIT 1", layout.places);
        let first: Option<i64> = file.connection.query_row(&sql, [], |row| row.get(3)).optional().map_err(failed)?;
        let mut bytes = Vec::new();
        if let Some(number) = first {
            content(&file, &layout, number, &mut bytes)?;
        }
        let rows = metadata::rows(&file)?;
        let Some(info) = metadata::read(&rows, &bytes, zooms) else {
            let said = rows.get("format").map_or("nothing", String::as_str).escape_debug().to_string();
            return Err(unsupported(
                path,
                format!("its metadata say the format {said}, and its tiles are no images known here"),
            ));
        };
        Ok(Self { path: path.to_owned(), file, layout, info })
    }

    /// All places, in order.
    fn places(&self) -> Result<KeysInOrder, Failure> {
        let failed = |e| self.file.failure(e);
        let mut keys = SortedKeys::default();
        let mut statement = self.file.connection.prepare(&self.layout.places).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        let mut count = 0;
        while let Some(row) = rows.next().map_err(failed)? {
            count += 1;
            let number = |i| row.get::<_, i64>(i).map_err(failed);
            keys.push(self.key([number(0)?, number(1)?, number(2)?], number(3)?)?)?;
            if count > MOST_TILES {
                return Err(self.file.corrupt(format!("it has more than {MOST_TILES} tiles")));
            }
        }
        keys.in_order()
    }

    /// A place as its id, rows counted from the top.
    fn key(&self, [zoom, column, row]: [i64; 3], number: i64) -> Result<Key, Failure> {
        let id = u8::try_from(zoom).ok().filter(|zoom| *zoom <= DEEPEST_ZOOM).and_then(|zoom| {
            let from_top = (1_u64 << zoom).checked_sub(1)?.checked_sub(u64::try_from(row).ok()?)?;
            tile_id(zoom, u64::try_from(column).ok()?, from_top)
        });
        let id = id.ok_or_else(|| self.file.corrupt(format!("there is no tile {zoom}/{column}/{row}")))?;
        Ok((id, number))
    }
}

/// The bytes of a number.
fn content(file: &ForeignSqlite, layout: &Layout, number: i64, bytes: &mut Vec<u8>) -> Result<(), Failure> {
    let failed = |e| file.failure(e);
    let mut statement = file.connection.prepare_cached(&layout.content).map_err(failed)?;
    let mut rows = statement.query((number, LARGEST_TILE.cast_signed())).map_err(failed)?;
    let Some(row) = rows.next().map_err(failed)? else {
        return Err(file.corrupt(format!("content {number} of its tiles is not there")));
    };
    bytes.clear();
    match row.get_ref(0).map_err(failed)? {
        ValueRef::Blob(found) | ValueRef::Text(found) if !found.is_empty() => bytes.extend_from_slice(found),
        _ => {
            let size: Option<i64> = row.get(1).map_err(failed)?;
            let size = size.unwrap_or_default();
            return Err(
                file.corrupt(format!("content {number} of its tiles has {size} bytes, expected 1 to {LARGEST_TILE}"))
            );
        }
    }
    Ok(())
}

impl TileReader for MbtilesReader {
    fn info(&self) -> &TileSetInfo {
        &self.info
    }

    fn for_each_tile(&mut self, visitor: &mut dyn TileVisitor) -> Result<(), Failure> {
        self.file.begin_reading()?;
        let mut places = self.places()?;
        let (mut shared, mut bytes, mut held) = (SharedPlaces::default(), Vec::new(), None);
        let mut before = None;
        while let Some((id, number)) = places.next_key()? {
            // A place that is there twice is what it was first.
            if before.replace(id) == Some(id) {
                continue;
            }
            let Some((zoom, column, row)) = tile_of_id(id) else { continue };
            let place = TileId { level: u32::from(zoom), row: u64::from(row), column: u64::from(column) };
            if !self.file.hand_on(|| visitor.wants(place))? {
                continue;
            }
            if held != Some(number) {
                self.file.hand_on(|| shared.give(&bytes, visitor))?;
                content(&self.file, &self.layout, number, &mut bytes)?;
                held = Some(number);
            }
            self.file.hand_on(|| shared.add(place, &bytes, visitor))?;
        }
        self.file.hand_on(|| shared.give(&bytes, visitor))
    }
}
