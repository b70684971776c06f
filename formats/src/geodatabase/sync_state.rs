//! By which replica and which state of its service a geodatabase was made.
//!
//! It is XML in `GDB_Items.Definition`: one item for the replica, one for each layer in it. Source: mobile map package reference
//! B.3, B.5.

use crate::foreign_sqlite::ForeignSqlite;
use offmap_model::Failure;
use quick_xml::Reader;
use quick_xml::events::Event;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use tokio_util::sync::CancellationToken;

/// Types of the items.
const SYNC_REPLICA: &str = "{5B966567-FB87-4DDE-938B-B4B37423539D}";
const SYNC_DATASET: &str = "{D86502F9-9758-45C6-9D23-6DD1A0107B47}";
/// Items of one of these types that are read: a layer has one, and one more for its attachments.
const MOST_ITEMS: usize = 20_000;
/// Bytes of the longest definition that is read.
const LONGEST_DEFINITION: usize = 4 << 20;

/// By which replica and which state of its service a geodatabase was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SyncState {
    /// Id of the replica, in lower case without braces; `None` where the file is no replica.
    pub replica_id: Option<String>,
    /// Generation of the service of a replica that is synchronised as a whole.
    pub server_gen: Option<i64>,
    /// Generations of the service by layer id, of a replica that is synchronised layer by layer.
    pub layer_server_gens: BTreeMap<i64, i64>,
}

impl SyncState {
    /// The generation of a layer.
    #[must_use]
    pub fn server_gen_of(&self, layer: i64) -> Option<i64> {
        self.layer_server_gens.get(&layer).copied().or(self.server_gen)
    }
}

/// Reads the state. Blocks. What is not there, or not as expected, is `None`: the data are good without it.
///
/// # Errors
/// If the file cannot be opened, or `cancel` was cancelled.
pub fn sync_state(path: &Path, cancel: &CancellationToken) -> Result<SyncState, Failure> {
    let file = ForeignSqlite::open(path, cancel)?;
    let tables = file.tables()?;
    let Some(table) = tables.get("gdb_items") else { return Ok(SyncState::default()) };
    let columns = file.columns(table)?;
    if !["uuid", "type", "definition"].iter().all(|name| columns.iter().any(|c| c == name)) {
        return Ok(SyncState::default());
    }
    let mut state = SyncState::default();
    if let Some((uuid, definition)) = definitions(&file, SYNC_REPLICA)?.into_iter().next() {
        let values = values(&definition, &["ReplicaID", "ReplicaServerGen"]);
        let own = values.get("ReplicaID").and_then(|id| plain_guid(id));
        // A package that was made ahead of time has zeros there.
        state.replica_id = own.or_else(|| plain_guid(&uuid));
        state.server_gen = values.get("ReplicaServerGen").and_then(|n| n.parse().ok());
    }
    for (_, definition) in definitions(&file, SYNC_DATASET)? {
        let values = values(&definition, &["LayerID", "ReplicaServerGen", "IsAttachment"]);
        let number = |name: &str| values.get(name).and_then(|n| n.parse::<i64>().ok());
        let is_attachment = values.get("IsAttachment").is_some_and(|word| word == "true");
        if let (Some(layer), Some(server_gen), false) = (number("LayerID"), number("ReplicaServerGen"), is_attachment) {
            state.layer_server_gens.insert(layer, server_gen);
        }
    }
    Ok(state)
}

/// Ids and definitions of the items of a type.
fn definitions(file: &ForeignSqlite, item_type: &str) -> Result<Vec<(String, String)>, Failure> {
    file.go_on()?;
    let failed = |e| file.failure(e);
    let sql = format!(
        "SELECT CAST(UUID AS TEXT), CAST(Definition AS TEXT) FROM GDB_Items WHERE Type = ?1 COLLATE NOCASE
         AND length(Definition) <= {LONGEST_DEFINITION} LIMIT {MOST_ITEMS}"
    );
    let mut statement = file.connection.prepare(&sql).map_err(failed)?;
    let mut rows = statement.query([item_type]).map_err(failed)?;
    let mut all = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        let uuid: Option<String> = row.get(0).map_err(failed)?;
        all.push((uuid.unwrap_or_default(), row.get(1).map_err(failed)?));
    }
    Ok(all)
}

/// The texts of those children of the root element that have one of the names; what comes behind something malformed is not read.
fn values(xml: &str, names: &[&'static str]) -> HashMap<&'static str, String> {
    let mut found: HashMap<&'static str, String> = HashMap::new();
    let mut reader = Reader::from_str(xml);
    let mut depth = 0_usize;
    let mut inside = None;
    while let Ok(event) = reader.read_event() {
        match event {
            Event::Start(start) => {
                depth += 1;
                let is_child = depth == 2;
                inside = names.iter().copied().find(|name| is_child && start.local_name().as_ref() == *name);
            }
            Event::Text(text) => {
                if let Some(name) = inside {
                    found.entry(name).or_default().push_str(text.trim());
                }
            }
            Event::End(_) => {
                depth = depth.saturating_sub(1);
                inside = None;
            }
            Event::Eof => break,
            _ => {}
        }
    }
    found
}

/// A GUID in lower case without braces; `None` for anything else, and for zeros.
fn plain_guid(text: &str) -> Option<String> {
    let guid = uuid::Uuid::try_parse(text.trim()).ok().filter(|guid| !guid.is_nil())?;
    Some(guid.hyphenated().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::Connection;

    const REPLICA: &str = "0b7c1bd5-1e9b-4a57-a9f0-3a3f1f0c6a11";

    fn file(items: &[(&str, &str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a directory");
        let connection = Connection::open(dir.path().join("r")).expect("opens");
        connection.execute_batch("CREATE TABLE GDB_Items(UUID TEXT, Type TEXT, Definition TEXT)").expect("makes");
        for (uuid, kind, xml) in items {
            connection.execute("INSERT INTO GDB_Items VALUES(?1, ?2, ?3)", [uuid, kind, xml]).expect("inserts");
        }
        dir
    }

    fn read(items: &[(&str, &str, &str)]) -> SyncState {
        let dir = file(items);
        sync_state(&dir.path().join("r"), &CancellationToken::new()).expect("reads")
    }

    #[test]
    fn the_replica_and_the_generation_of_each_layer_are_read() {
        let braces = format!("{{{}}}", REPLICA.to_uppercase());
        let replica = format!("<GPSyncReplica><ReplicaName>a</ReplicaName><ReplicaID>{braces}</ReplicaID></GPSyncReplica>");
        let dataset = "<GPSyncDataset><LayerID>3</LayerID><ReplicaServerGen>8459361</ReplicaServerGen></GPSyncDataset>";
        let photos = "<GPSyncDataset><LayerID>3</LayerID><ReplicaServerGen>7</ReplicaServerGen><IsAttachment>true</IsAttachment></GPSyncDataset>";
        let state = read(&[("{x}", SYNC_REPLICA, &replica), ("", SYNC_DATASET, dataset), ("", SYNC_DATASET, photos)]);
        assert_eq!(state.replica_id.as_deref(), Some(REPLICA));
        assert_eq!((state.server_gen_of(3), state.server_gen_of(4)), (Some(8_459_361), None));
    }

    #[test]
    fn a_replica_of_one_generation_has_it_for_every_layer_and_its_item_s_id_where_its_own_is_zero() {
        let inner = "<GPSyncDatasets><GPSyncDataset><ReplicaServerGen>9</ReplicaServerGen></GPSyncDataset></GPSyncDatasets>";
        let replica = format!(
            "<r:GPSyncReplica xmlns:r='x'><ReplicaID>{{00000000-0000-0000-0000-000000000000}}</ReplicaID>{inner}<ReplicaServerGen>54</ReplicaServerGen></r:GPSyncReplica>"
        );
        let state = read(&[(&format!("{{{REPLICA}}}"), SYNC_REPLICA, &replica)]);
        assert_eq!((state.replica_id.as_deref(), state.server_gen_of(0)), (Some(REPLICA), Some(54)));
    }

    #[test]
    fn what_is_no_replica_or_malformed_has_no_state() {
        assert_eq!(read(&[]), SyncState::default());
        let state = read(&[("no guid", SYNC_REPLICA, "<GPSyncReplica><ReplicaID>&bad"), ("", SYNC_DATASET, "<a><b")]);
        assert_eq!(state, SyncState::default());
    }

    #[test]
    fn a_real_geodatabase_that_is_no_replica_has_no_state() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/samples/webmaps/la-trails.geodatabase");
        let Ok(path) = path.canonicalize() else {
            eprintln!("skipped: the sample is not there");
            return;
        };
        // Made in a desktop program, so it is no replica.
        assert_eq!(sync_state(&path, &CancellationToken::new()), Ok(SyncState::default()));
    }
}
