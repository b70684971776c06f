//! Which tables of a file hold its tiles.

use crate::foreign_sqlite::{ForeignSqlite, quoted};
use offmap_model::Failure;

/// Tables of places and contents that lie under a view `tiles`, and the column that joins them: of mapbox, mb-util and tippecanoe,
/// and of planetiler.
const SHARED: [(&str, &str, &str); 2] = [("map", "images", "tile_id"), ("tiles_shallow", "tiles_data", "tile_data_id")];
/// Tables that hold place and content: of the specification, and of martin.
const FLAT: [&str; 2] = ["tiles", "tiles_with_hash"];
const PLACE: [&str; 3] = ["zoom_level", "tile_column", "tile_row"];

/// The statements that read tiles.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    /// Zoom, column, row from the bottom, and the number by which [`Layout::content`] finds the bytes.
    pub(super) places: String,
    /// Bytes if they are not more than the second parameter, and how many they are, by the number.
    pub(super) content: String,
    /// First and last zoom.
    pub(super) zooms: String,
}

impl Layout {
    /// Of a file.
    pub(super) fn of(file: &ForeignSqlite) -> Result<Self, Failure> {
        let tables = file.tables()?;
        let has = |table: &str, wanted: &[&str]| -> Result<Option<String>, Failure> {
            let Some(name) = tables.get(table) else { return Ok(None) };
            let columns = file.columns(name)?;
            Ok(wanted.iter().all(|w| columns.iter().any(|c| c == w)).then(|| quoted(name)))
        };
        let [z, x, y] = PLACE;
        let content = |table: &str| {
            format!(
                "SELECT CASE WHEN length(tile_data) <= ?2 THEN tile_data END, length(tile_data) FROM {table} WHERE rowid = ?1"
            )
        };
        for table in FLAT {
            if let Some(table) = has(table, &[z, x, y, "tile_data"])? {
                let places = format!("SELECT {z}, {x}, {y}, rowid FROM {table}");
                let zooms = format!("SELECT min({z}), max({z}) FROM {table}");
                return Ok(Self { places, content: content(&table), zooms });
            }
        }
        for (map, images, id) in SHARED {
            let (Some(map), Some(images)) = (has(map, &[z, x, y, id])?, has(images, &[id, "tile_data"])?) else { continue };
            let places = format!("SELECT m.{z}, m.{x}, m.{y}, i.rowid FROM {map} m JOIN {images} i ON i.{id} = m.{id}");
            let zooms = format!("SELECT min({z}), max({z}) FROM {map}");
            return Ok(Self { places, content: content(&images), zooms });
        }
        let named = FLAT.iter().chain(SHARED.iter().flat_map(|(map, images, _)| [map, images]));
        let known: Vec<&str> = named.copied().collect();
        Err(file.corrupt(format!("it has no tables of tiles; known are {}, each with its columns", known.join(", "))))
    }
}
