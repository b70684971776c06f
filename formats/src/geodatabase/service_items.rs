//! What the service of a replica says of its layers and tables: how they are drawn, labelled and related.
//!
//! Source: mobile map package reference B.5.

use super::catalog::{Budget, each_row, text, whole};
use super::domains::bare;
use crate::foreign_sqlite::ForeignSqlite;
use offmap_model::{Failure, json};
use serde_json::Value;
use std::path::Path;
use tokio_util::sync::CancellationToken;

/// Bytes of all descriptions of a file together, and memory that each of them may need.
const MOST_BYTES: usize = 32 << 20;
const MEMORY: u64 = 128 << 20;

/// A layer or table as its service describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceItem {
    /// `GDB_ServiceItems.ItemId`, by which a map names it.
    pub item_id: i64,
    /// Its table.
    pub table: String,
    /// The service's description of the layer; null where there is none that can be read.
    pub description: Value,
}

/// Reads the descriptions of all layers and tables. Several may lie in one table. Blocks, as
/// [`Geodatabase::open`](super::Geodatabase::open) does.
///
/// # Errors
/// If the file is no SQLite file, or damaged.
pub fn service_items(path: &Path, cancel: &CancellationToken) -> Result<Vec<ServiceItem>, Failure> {
    let file = ForeignSqlite::open(path, cancel)?;
    let tables = file.tables()?;
    let mut budget = Budget(MOST_BYTES);
    let mut items = Vec::new();
    let columns = ["DatasetName", "ItemType", "ItemId", "ItemInfo"];
    each_row(&file, &tables, ("GDB_ServiceItems", &columns), |row| {
        if let (Some(name), Some(1), Some(item_id)) = (text(row, 0)?, whole(row, 1)?, whole(row, 2)?) {
            let description = text(row, 3)?.filter(|description| budget.take(description));
            let description = description.and_then(|text| json::read(text.as_bytes(), MEMORY).ok()).unwrap_or(Value::Null);
            let table = tables.get(&bare(&name).to_lowercase()).cloned().unwrap_or(name);
            items.push(ServiceItem { item_id, table, description });
        }
        Ok(())
    })?;
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::Connection;

    #[test]
    fn each_item_has_its_table_and_what_cannot_be_read_is_null() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("x.geodatabase");
        let file = Connection::open(&path).expect("opens");
        let rows = "CREATE TABLE Peaks (OBJECTID integer primary key);
            CREATE TABLE GDB_ServiceItems (DatasetName text, ItemType int, ItemId int, ItemInfo text);
            INSERT INTO GDB_ServiceItems VALUES ('service', 0, -1, '{}'), ('main.peaks', 1, 4, '{\"name\":\"High\"}'),
            ('main.peaks', 1, 5, 'no JSON'), ('gone', 1, 6, NULL)";
        file.execute_batch(rows).expect("makes");
        drop(file);
        let items = service_items(&path, &CancellationToken::new()).expect("reads");
        let of = |item: &ServiceItem| (item.item_id, item.table.clone(), item.description.get("name").cloned());
        let found: Vec<_> = items.iter().map(of).collect();
        assert_eq!(found, [(4, "Peaks".into(), Some("High".into())), (5, "Peaks".into(), None), (6, "gone".into(), None)]);
    }
}
