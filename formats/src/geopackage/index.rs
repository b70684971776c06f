//! The spatial index of a layer: the R-tree of clause F.3, built when all rows are there.

use super::binary::read_header;
use super::ddl::{RTREE_EXTENSION, index_triggers, quoted};
use super::related::add_extension;
use crate::feature_writing::{Envelopes, IndexedRows, fill_index};
use crate::geometry::{Geometry, wkb};
use rusqlite::Connection;

/// A table with its geometry column and key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Indexed<'a> {
    pub(super) table: &'a str,
    pub(super) column: &'a str,
    pub(super) key: &'a str,
}

/// Makes the index, its triggers and its entry among the extensions.
pub(super) fn build(
    connection: &Connection,
    of: Indexed<'_>,
    envelopes: &mut Envelopes,
    held: usize,
) -> rusqlite::Result<()> {
    let index = format!("rtree_{}_{}", of.table, of.column);
    connection.execute_batch(&format!("CREATE VIRTUAL TABLE {} USING rtree(id, minx, maxx, miny, maxy)", quoted(&index)))?;
    let (table, column, key) = (quoted(of.table), quoted(of.column), quoted(of.key));
    let sql = format!("SELECT {key}, {column} FROM {table} WHERE {column} NOT NULL ORDER BY {key}");
    fill_index(connection, &index, &IndexedRows { sql: &sql, envelope_of: &envelope_of }, envelopes, held)?;
    connection.execute_batch(&index_triggers(of.table, of.column, of.key))?;
    add_extension(connection, (Some(of.table), Some(of.column)), RTREE_EXTENSION, "write-only")
}

/// The envelope of a stored shape; `None` for the empty one.
pub(super) fn envelope_of(bytes: &[u8], shape: &mut Geometry) -> Option<[f64; 4]> {
    let header = read_header(bytes).ok()?;
    if header.is_empty {
        return None;
    }
    header.envelope.or_else(|| {
        wkb::read(&bytes[header.size..], shape).ok()?;
        shape.extent()
    })
}
