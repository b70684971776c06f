//! Mobile geodatabases (`.geodatabase`), the SQLite files that feature services make of replicas: checked, rows counted, keys read.

mod current_rows;
mod foreign_sqlite;
mod keys;
mod reader;
mod replica;

pub use keys::key_literals;
pub use reader::GeodatabaseReader;
pub use replica::{ReplicaLayer, describe};
