//! Mobile geodatabases (`.geodatabase`), the SQLite files that feature services make of replicas: checked, rows counted, keys read.

mod current_rows;
pub(crate) mod foreign_sqlite;
mod keys;
mod reader;
mod replica;
mod sync_state;

pub use keys::key_literals;
pub use reader::GeodatabaseReader;
pub use replica::{ReplicaLayer, describe};
pub use sync_state::{SyncState, sync_state};
