//! The indexes of tables that are written.
//!
//! Source: mobile map package reference B.1, B.2.

use super::new_layer::{NewLayer, on_grid};
use super::shape_blob::read_shape;
use crate::feature_writing::{IndexedRows, MOST_HELD, fill_index};
use crate::foreign_sqlite::quoted;
use crate::geometry::Geometry;
use rusqlite::Connection;

/// The spatial index of a layer with its triggers, and the indexes by which rows are found.
pub(super) fn add_indexes(connection: &Connection, layer: &mut NewLayer) -> rusqlite::Result<()> {
    let table = layer.table.clone();
    if let Some((global_id, _)) = &layer.global_id {
        let name = quoted(&format!("{table}_{global_id}_idx"));
        connection.execute_batch(&format!("CREATE INDEX {name} ON {} ({} ASC)", quoted(&table), quoted(global_id)))?;
    }
    if let Some(attached) = layer.attachment_table() {
        let name = quoted(&format!("{attached}_REL_GLOBALID_idx"));
        connection.execute_batch(&format!("CREATE INDEX {name} ON {} (REL_GLOBALID ASC)", quoted(&attached)))?;
    }
    let Some(shape) = &layer.shape else { return Ok(()) };
    let index = format!("st_spindex__{table}_{}", shape.name);
    connection.execute_batch(&format!("CREATE VIRTUAL TABLE {} USING RTREE (pkid,minx,maxx,miny,maxy)", quoted(&index)))?;
    let (key, column) = (quoted(&layer.key), quoted(&shape.name));
    let sql = format!("SELECT {key}, {column} FROM {} WHERE {column} NOT NULL ORDER BY {key}", quoted(&table));
    let grid = shape.reference.grid;
    let envelope_of = |bytes: &[u8], shape: &mut Geometry| {
        read_shape(bytes, &grid, shape).ok()?;
        on_grid(shape.extent(), &grid)
    };
    fill_index(connection, &index, &IndexedRows { sql: &sql, envelope_of: &envelope_of }, &mut layer.envelopes, MOST_HELD)?;
    connection.execute_batch(&index_triggers(&table, &shape.name))
}

/// The triggers of real files, which call functions of Esri's. Source: B.1.
pub(super) fn index_triggers(table: &str, column: &str) -> String {
    let (t, c) = (quoted(table), quoted(column));
    let index = quoted(&format!("st_spindex__{table}_{column}"));
    let trigger = |word: &str| quoted(&format!("st_{word}_trigger_{table}_{column}"));
    let entry = |word: &str| format!("SELECT {word}IndexEntry ({index},NEW.{c},NEW._ROWID_,2);");
    let gone = format!("DELETE FROM {index} WHERE pkid = OLD._ROWID_;");
    format!(
        "CREATE TRIGGER {} AFTER INSERT ON {t} FOR EACH ROW BEGIN {} END;
         CREATE TRIGGER {} AFTER DELETE ON {t} FOR EACH ROW BEGIN {gone} END;
         CREATE TRIGGER {} AFTER UPDATE OF {c} ON {t} WHEN OLD._ROWID_ = NEW._ROWID_ BEGIN {} END;
         CREATE TRIGGER {} AFTER UPDATE OF {c} ON {t} WHEN OLD._ROWID_ != NEW._ROWID_ BEGIN {gone} {} END;",
        trigger("insert"),
        entry("Insert"),
        trigger("delete"),
        trigger("update"),
        entry("Update"),
        trigger("update1"),
        entry("Update"),
    )
}
