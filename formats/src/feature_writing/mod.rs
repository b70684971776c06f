//! What the sinks share that write features into SQLite files: the file beside its destination, how far it has come, its spatial index.

mod bound;
mod index_nodes;
pub(crate) mod progress;
mod spatial_index;
mod sqlite_file;
mod stage;

pub(crate) use bound::Bound;
pub(crate) use spatial_index::{Envelopes, IndexedRows, MOST_HELD, fill_index};
pub(crate) use sqlite_file::{NewFile, put_in_place, write_failure};
pub(crate) use stage::{Stage, all_rows, count_rows};
