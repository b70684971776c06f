//! The spatial index of a layer: the R-tree of clause F.3, built when all rows are there.

use super::binary::read_header;
use super::ddl::{RTREE_EXTENSION, index_triggers, quoted};
use super::index_nodes::{Builder, Entry};
use super::related::add_extension;
use crate::geometry::{Geometry, wkb};
use rusqlite::Connection;
use rusqlite::types::ValueRef;

/// Entries that are held in memory: 24 MiB, and 16 more while they are written. A layer of more rows is read again for its index.
pub(super) const MOST_HELD: usize = 1 << 20;

/// The envelopes of a layer's rows, while they are few enough.
#[derive(Debug, Default)]
pub(super) struct Envelopes {
    held: Vec<Entry>,
    is_incomplete: bool,
}

impl Envelopes {
    /// Those of a layer of which an earlier process wrote rows.
    pub(super) fn incomplete() -> Self {
        Self { held: Vec::new(), is_incomplete: true }
    }

    pub(super) fn note(&mut self, row: i64, envelope: [f64; 4]) {
        if self.held.len() >= MOST_HELD {
            *self = Self::incomplete();
        }
        if !self.is_incomplete {
            self.held.push(Entry::of(row, envelope));
        }
    }
}

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
    let mut builder = Builder::new(connection, &index)?;
    match envelopes.is_incomplete {
        true => add_all(connection, of, &mut builder, held)?,
        false => builder.add(&mut envelopes.held, true)?,
    }
    *envelopes = Envelopes::default();
    builder.complete()?;
    connection.execute_batch(&index_triggers(of.table, of.column, of.key))?;
    add_extension(connection, (Some(of.table), Some(of.column)), RTREE_EXTENSION, "write-only")
}

/// Reads the envelopes out of the table, so many at a time.
fn add_all(connection: &Connection, of: Indexed<'_>, builder: &mut Builder<'_>, held: usize) -> rusqlite::Result<()> {
    let (table, column, key) = (quoted(of.table), quoted(of.column), quoted(of.key));
    let mut statement =
        connection.prepare(&format!("SELECT {key}, {column} FROM {table} WHERE {column} NOT NULL ORDER BY {key}"))?;
    let mut rows = statement.query([])?;
    let (mut entries, mut shape) = (Vec::new(), Geometry::default());
    while let Some(row) = rows.next()? {
        let ValueRef::Blob(bytes) = row.get_ref(1)? else { continue };
        if let Some(envelope) = envelope_of(bytes, &mut shape) {
            if entries.len() >= held {
                builder.add(&mut entries, false)?;
                entries.clear();
            }
            entries.push(Entry::of(row.get(0)?, envelope));
        }
    }
    builder.add(&mut entries, true)
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
