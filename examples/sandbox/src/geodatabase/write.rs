//! Writes a replica.

use super::contents::{ReplicaInfo, ReplicaLayer};
use super::registry::{Writer, braces};
use rusqlite::{Connection, params};
use std::path::Path;
use uuid::Uuid;

/// `application_id`: the four letters Esri.
const APPLICATION_ID: i32 = 0x4573_7269;

/// Writes a replica to `path`, which must not exist.
pub(crate) fn write(path: &Path, info: &ReplicaInfo<'_>, layers: &[ReplicaLayer<'_>]) -> rusqlite::Result<()> {
    let mut connection = Connection::open(path)?;
    connection.pragma_update(None, "page_size", 4096)?;
    connection.pragma_update(None, "journal_mode", "OFF")?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    let transaction = connection.transaction()?;
    transaction.execute_batch(include_str!("tables.sql"))?;
    let writer = Writer { sql: &transaction, root: braces(Uuid::new_v4()), bare_guids: info.bare_guids };
    writer.system_items()?;
    let replica = info.id.map(|_| braces(Uuid::new_v4()));
    if let (Some(item), Some(id)) = (&replica, info.id) {
        writer.replica(item, id, info)?;
    }
    for layer in layers {
        writer.layer(layer, replica.as_deref(), info)?;
    }
    let service = ("GDB_ServiceItems", -1, 0, info.service.to_string());
    transaction.execute(
        "INSERT INTO GDB_ServiceItems(DatasetName, ItemType, ItemId, ItemInfo) VALUES(?1, ?3, ?2, ?4)",
        params![info.service_url.rsplit('/').nth(1).unwrap_or(service.0), service.1, service.2, service.3],
    )?;
    transaction.commit()?;
    connection.close().map_err(|(_, e)| e)
}
