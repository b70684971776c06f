//! Mobile geodatabases (`.geodatabase`), the SQLite files that feature services make of replicas: checked, rows counted, keys read,
//! and their features read with all that belongs to them ([`Geodatabase`]).

mod catalog;
mod current_rows;
mod definition;
mod domains;
#[cfg(test)]
pub(crate) mod feature_tests;
mod features;
pub(crate) mod foreign_sqlite;
mod keys;
mod layer_table;
mod precision_grid;
mod reader;
mod replica;
mod service_items;
mod shape_blob;
mod shape_blob_writer;
#[cfg(test)]
mod shape_tests;
mod sync_state;

pub use features::{Geodatabase, RefusedLayer};
pub use keys::key_literals;
pub use precision_grid::{GridAxis, PrecisionGrid};
pub use reader::GeodatabaseReader;
pub use replica::{ReplicaLayer, describe};
pub use service_items::{ServiceItem, service_items};
pub use shape_blob::{ShapeHead, read_shape, read_shape_head};
pub use shape_blob_writer::ShapeBlobWriter;
pub use sync_state::{SyncState, sync_state};
