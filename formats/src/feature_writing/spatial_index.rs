//! The spatial index of a layer, built when all its rows are there.

use super::index_nodes::{Builder, Entry};
use crate::geometry::Geometry;
use rusqlite::Connection;
use rusqlite::types::ValueRef;

/// Entries that are held in memory: 24 MiB, and 16 more while they are written. A layer of more rows is read again for its index.
pub(crate) const MOST_HELD: usize = 1 << 20;

/// The envelopes of a layer's rows, while they are few enough.
#[derive(Debug, Default)]
pub(crate) struct Envelopes {
    held: Vec<Entry>,
    is_incomplete: bool,
}

impl Envelopes {
    /// Those of a layer of which an earlier process wrote rows.
    pub(crate) fn incomplete() -> Self {
        Self { held: Vec::new(), is_incomplete: true }
    }

    pub(crate) fn note(&mut self, row: i64, envelope: [f64; 4]) {
        if self.held.len() >= MOST_HELD {
            *self = Self::incomplete();
        }
        if !self.is_incomplete {
            self.held.push(Entry::of(row, envelope));
        }
    }
}

/// The envelope of a stored shape, which is read into a shape that is there; `None` for the empty one.
type EnvelopeOf<'a> = dyn Fn(&[u8], &mut Geometry) -> Option<[f64; 4]> + 'a;

/// Where the envelopes of rows are read again.
pub(crate) struct IndexedRows<'a> {
    /// Reads number and shape of every row that has one, in the order of the numbers.
    pub(crate) sql: &'a str,
    pub(crate) envelope_of: &'a EnvelopeOf<'a>,
}

/// Fills an R-tree that was made and is empty.
pub(crate) fn fill_index(
    connection: &Connection,
    index: &str,
    rows: &IndexedRows<'_>,
    envelopes: &mut Envelopes,
    held: usize,
) -> rusqlite::Result<()> {
    let mut builder = Builder::new(connection, index)?;
    match envelopes.is_incomplete {
        true => add_all(connection, rows, &mut builder, held)?,
        false => builder.add(&mut envelopes.held, true)?,
    }
    *envelopes = Envelopes::default();
    builder.complete()
}

/// Reads the envelopes out of the table, so many at a time.
fn add_all(connection: &Connection, of: &IndexedRows<'_>, builder: &mut Builder<'_>, held: usize) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(of.sql)?;
    let mut rows = statement.query([])?;
    let (mut entries, mut shape) = (Vec::new(), Geometry::default());
    while let Some(row) = rows.next()? {
        let ValueRef::Blob(bytes) = row.get_ref(1)? else { continue };
        if let Some(envelope) = (of.envelope_of)(bytes, &mut shape) {
            if entries.len() >= held {
                builder.add(&mut entries, false)?;
                entries.clear();
            }
            entries.push(Entry::of(row.get(0)?, envelope));
        }
    }
    builder.add(&mut entries, true)
}
