//! The system tables: items, their relationships, and the registry of tables and columns.

use super::contents::ReplicaInfo;
use rusqlite::{Connection, params};
use uuid::Uuid;

/// A name as SQL writes it.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A GUID in upper case and braces.
pub(crate) fn braces(id: Uuid) -> String {
    format!("{{{}}}", id.hyphenated().to_string().to_uppercase())
}

/// The geodatabase that is being written.
pub(crate) struct Writer<'a> {
    pub(crate) sql: &'a Connection,
    pub(crate) root: String,
    pub(crate) bare_guids: bool,
}

impl Writer<'_> {
    /// Root folder, workspace and the historical marker (rows 1 to 3 of every real file).
    pub(crate) fn system_items(&self) -> rusqlite::Result<()> {
        let xml = "<DEWorkspace xsi:type='typens:DEWorkspace' xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance' xmlns:xs='http://www.w3.org/2001/XMLSchema' xmlns:typens='http://www.esri.com/schemas/ArcGIS/10.5'><CatalogPath>\\</CatalogPath><Name></Name><WorkspaceType>esriRemoteDatabaseWorkspace</WorkspaceType></DEWorkspace>";
        let rows = [
            (self.root.as_str(), None, Some("\\"), None, "{F3783E6F-65CA-4514-8315-CE3985DAD3B1}"),
            ("", Some("Workspace"), None, Some(xml), "{C673FE0F-7280-404F-8532-20755DD8FC06}"),
            ("", Some("DEFAULT"), None, None, "{DC64B6E4-DC0F-43BD-B4F5-F22385DCF055}"),
        ];
        for (id, name, path, xml, kind) in rows {
            let id = if id.is_empty() { braces(Uuid::new_v4()) } else { id.to_owned() };
            self.sql.execute(
                "INSERT INTO GDB_Items(UUID, Type, Name, PhysicalName, Path, Properties, Definition) VALUES(?1,?2,?3,?4,?5,1,?6)",
                params![id, kind, name, name.map(str::to_uppercase), path, xml],
            )?;
        }
        Ok(())
    }

    pub(crate) fn item(
        &self,
        id: &str,
        kind: &str,
        name: &str,
        subtype: Option<i32>,
        info: Option<&str>,
        xml: &str,
    ) -> rusqlite::Result<()> {
        self.sql.execute(
            "INSERT INTO GDB_Items(UUID, Type, Name, PhysicalName, Path, Properties, DatasetSubtype1, DatasetSubtype2, DatasetInfo1, Definition)
             VALUES(?1,?2,?3,?4,?5,1,1,?6,?7,?8)",
            params![id, kind, name, name.to_uppercase(), format!("\\{name}"), subtype, info, xml],
        )?;
        Ok(())
    }

    pub(crate) fn relate(&self, kind: &str, origin: &str, destination: &str) -> rusqlite::Result<()> {
        self.sql.execute(
            "INSERT INTO GDB_ItemRelationships(UUID, Type, OriginID, DestID, Properties) VALUES(?1,?2,?3,?4,1)",
            params![braces(Uuid::new_v4()), kind, origin, destination],
        )?;
        Ok(())
    }

    pub(crate) fn replica(&self, item: &str, id: &str, info: &ReplicaInfo<'_>) -> rusqlite::Result<()> {
        let direction = if info.is_download_only { "esriSyncDirectionDownload" } else { "esriSyncDirectionBidirectional" };
        let xml = format!(
            "<GPSyncReplica xsi:type='typens:GPSyncReplica' xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance' xmlns:xs='http://www.w3.org/2001/XMLSchema' xmlns:typens='http://www.esri.com/schemas/ArcGIS/10.5'><ReplicaName>{}</ReplicaName><ReplicaID>{{{id}}}</ReplicaID><ServiceName>{}</ServiceName><Role>esriReplicaRoleChild</Role><SyncModel>esriSyncModelPerLayer</SyncModel><Direction>{direction}</Direction></GPSyncReplica>",
            info.name, info.service_url
        );
        self.sql.execute(
            "INSERT INTO GDB_Items(UUID, Type, Name, PhysicalName, Path, Properties, DatasetInfo1, Definition)
             VALUES(?1,'{5B966567-FB87-4DDE-938B-B4B37423539D}',?2,?3,?2,1,?4,?5)",
            params![item, info.name, info.name.to_uppercase(), info.service_url, xml],
        )?;
        Ok(())
    }

    pub(crate) fn register(&self, table: &str, rowid: &str, flags: i32, last_id: i64) -> rusqlite::Result<()> {
        self.sql.execute(
            "INSERT INTO GDB_TableRegistry(table_name, rowid_column, object_flags, registration_date, minimum_id) VALUES(?1,?2,?3,1704067200,1)",
            params![table, rowid, flags],
        )?;
        let id = self.sql.last_insert_rowid();
        self.sql.execute("INSERT INTO GDB_RowidGenerators VALUES(?1,?2,-1,?3)", params![id, last_id + 1, last_id])?;
        self.sql.execute("INSERT INTO GDB_Tables_Last_Modified VALUES(?1, 1)", [table])?;
        Ok(())
    }

    pub(crate) fn register_column(&self, table: &str, name: &str, kind: i32, size: u32, flags: i32) -> rusqlite::Result<()> {
        self.sql.execute(
            "INSERT INTO GDB_ColumnRegistry(table_name, column_name, sde_type, column_size, object_flags) VALUES(?1,?2,?3,?4,?5)",
            params![table, name, kind, size, flags],
        )?;
        Ok(())
    }
}
