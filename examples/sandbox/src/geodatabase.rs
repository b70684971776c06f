//! Writes replicas: mobile geodatabases as ArcGIS servers make them, as far as the mobile map package reference B tells.
//!
//! Not written: the two virtual tables whose modules only Esri's extension has, and the triggers that call its functions.

use crate::data::{Attachment, Row, Shape};
use crate::feature::Layer;
use offmap_model::Envelope;
use offmap_model::geometry::signed_area;
use rusqlite::types::Value as Sql;
use rusqlite::{Connection, params, params_from_iter};
use serde_json::Value;
use std::path::Path;
use uuid::Uuid;

/// `application_id`: the four letters Esri.
const APPLICATION_ID: i32 = 0x4573_7269;
/// Grid of Web Mercator geometries (reference B.6).
const FALSE_X: f64 = -20_037_700.0;
const FALSE_Y: f64 = -30_241_100.0;
const XY_UNITS: f64 = 10_000.0;
const SRID: u32 = 3857;
/// First moment of a row as downloaded, and the moment at which a current row ends, as Julian days.
const FROM: f64 = 2_440_587.500_011_574;
const TO: f64 = 5_373_484.499_988_426;
/// Milliseconds of a day, and the Julian day of 1970-01-01.
const DAY: f64 = 86_400_000.0;
const EPOCH: f64 = 2_440_587.5;

/// One layer of a replica with the rows that were selected.
pub(crate) struct ReplicaLayer<'a> {
    pub(crate) layer: &'a Layer,
    pub(crate) rows: Vec<&'a Row>,
    pub(crate) description: Value,
    pub(crate) attachments: Option<Vec<&'a Attachment>>,
    pub(crate) query_option: String,
    pub(crate) filter: String,
}

/// What the replica's own records say.
pub(crate) struct ReplicaInfo<'a> {
    pub(crate) name: &'a str,
    /// `None` for `syncModel=none`.
    pub(crate) id: Option<&'a str>,
    pub(crate) service_url: &'a str,
    pub(crate) service: Value,
    pub(crate) is_download_only: bool,
    /// Whether GUIDs of rows are written in lower case without braces.
    pub(crate) bare_guids: bool,
}

/// A number of the geometry blob: first byte continue, sign, six bits; then continue, seven bits.
fn varint(mut n: u64, negative: bool, out: &mut Vec<u8>) {
    let mut byte = (n & 0x3f) as u8 | if negative { 0x40 } else { 0 };
    n >>= 6;
    while n > 0 {
        out.push(byte | 0x80);
        byte = (n & 0x7f) as u8;
        n >>= 7;
    }
    out.push(byte);
}

fn signed(n: i64, out: &mut Vec<u8>) {
    varint(n.unsigned_abs(), n < 0, out);
}

fn grid([x, y]: [f64; 2]) -> (i64, i64) {
    (((x - FALSE_X) * XY_UNITS).round() as i64, ((y - FALSE_Y) * XY_UNITS).round() as i64)
}

/// A shape as a geometry blob (reference B.6).
pub(crate) fn blob(shape: &Shape) -> Vec<u8> {
    let (class, entity, parts): (u8, u8, Vec<Vec<[f64; 2]>>) = match shape {
        Shape::Point(p) => (0x04, 0x01, vec![vec![*p]]),
        Shape::Lines(lines) => (0x14, 0x04, lines.clone()),
        Shape::Polygon(polygon) => {
            let mut rings = polygon.rings.clone();
            for ring in &mut rings {
                // All rings run counter-clockwise here, whatever REST does.
                if signed_area(ring) < 0.0 {
                    ring.reverse();
                }
            }
            (0x18, 0x08, rings)
        }
    };
    let multipart = parts.len() > 1;
    let points: usize = parts.iter().map(Vec::len).sum::<usize>() + parts.len().saturating_sub(1);
    let mut out = vec![0x64];
    out.extend_from_slice(SRID.to_le_bytes().get(..3).unwrap_or_default());
    out.extend_from_slice(&u32::try_from(points).unwrap_or(u32::MAX).to_le_bytes());
    out.push(class);
    out.push(entity | if multipart { 0x40 } else { 0 });
    if points > 10 {
        let envelope = Envelope::of(parts.iter().flatten().copied());
        for corner in envelope.iter().flat_map(|e| [[e.xmin, e.ymin], [e.xmax, e.ymax]]) {
            let (x, y) = grid(corner);
            signed(x, &mut out);
            signed(y, &mut out);
        }
        if multipart {
            varint(parts.len() as u64 - 1, false, &mut out);
            for part in parts.iter().take(parts.len() - 1) {
                varint(part.len() as u64 + 1, false, &mut out);
            }
        }
    }
    let mut coordinates = Vec::new();
    let mut last = (0, 0);
    let mut put = |point: (i64, i64)| {
        signed(point.0 - last.0, &mut coordinates);
        signed(point.1 - last.1, &mut coordinates);
        last = point;
    };
    for (i, part) in parts.iter().enumerate() {
        if i > 0 {
            put((-1, 0));
        }
        part.iter().for_each(|p| put(grid(*p)));
    }
    let mut length = Vec::new();
    varint(coordinates.len() as u64, false, &mut length);
    length.resize(4, 0);
    out.extend(length);
    out.extend([1, 0, 0, 0]);
    out.extend(coordinates);
    out
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Name of a layer's table.
fn table_name(layer: &Layer) -> String {
    layer.name.replace(' ', "_")
}

/// Declaration, `sde_type` and size of a field.
fn column(name: &str, kind: &str, length: u32) -> (String, i32, u32) {
    let range = |word: &str, low: i64, high: i64| {
        format!(
            "{word} check((typeof({name}) = 'integer' or typeof({name}) = 'null') and {name} >= {low} and {name} <= {high})"
        )
    };
    match kind {
        "esriFieldTypeInteger" => (range("int32", i64::from(i32::MIN), i64::from(i32::MAX)), 2, 0),
        "esriFieldTypeDouble" => (format!("float64 check(typeof({name}) = 'real' or typeof({name}) = 'null')"), 4, 0),
        "esriFieldTypeDate" => (
            format!(
                "realdate check((typeof({name}) = 'real' or typeof({name}) = 'null') and ({name} is null or {name} >= 0.0))"
            ),
            7,
            0,
        ),
        "esriFieldTypeGUID" => {
            let check = format!("(typeof({name}) = 'text' and length({name}) in (36, 38)) or typeof({name}) = 'null'");
            (format!("uuidtext check({check})"), 12, 38)
        }
        _ => {
            let check = format!("(typeof({name}) = 'text' or typeof({name}) = 'null') and not length({name}) > {length}");
            (format!("text({length}) check({check})"), 5, length)
        }
    }
}

/// A GUID as the replica spells it.
fn guid(text: &str, bare: bool) -> String {
    if bare { text.trim_matches(['{', '}']).to_lowercase() } else { text.to_owned() }
}

fn value(row: &Row, name: &str, kind: &str, bare_guids: bool) -> Sql {
    match (row.attributes.get(name), kind) {
        (Some(Value::Number(n)), "esriFieldTypeDate") => Sql::Real(n.as_f64().unwrap_or(0.0) / DAY + EPOCH),
        (Some(Value::Number(n)), "esriFieldTypeDouble") => Sql::Real(n.as_f64().unwrap_or(0.0)),
        (Some(Value::Number(n)), _) => Sql::Integer(n.as_i64().unwrap_or(0)),
        (Some(Value::String(text)), "esriFieldTypeGUID" | "esriFieldTypeGlobalID") => Sql::Text(guid(text, bare_guids)),
        (Some(Value::String(text)), _) => Sql::Text(text.clone()),
        _ => Sql::Null,
    }
}

fn braces(id: Uuid) -> String {
    format!("{{{}}}", id.hyphenated().to_string().to_uppercase())
}

struct Writer<'a> {
    sql: &'a Connection,
    root: String,
    bare_guids: bool,
}

/// Writes a replica to `path`, which must not exist.
pub(crate) fn write(path: &Path, info: &ReplicaInfo<'_>, layers: &[ReplicaLayer<'_>]) -> rusqlite::Result<()> {
    let mut connection = Connection::open(path)?;
    connection.pragma_update(None, "page_size", 4096)?;
    connection.pragma_update(None, "journal_mode", "OFF")?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    let transaction = connection.transaction()?;
    transaction.execute_batch(include_str!("geodatabase.sql"))?;
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

impl Writer<'_> {
    /// Root folder, workspace and the historical marker (rows 1 to 3 of every real file).
    fn system_items(&self) -> rusqlite::Result<()> {
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

    fn item(
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

    fn relate(&self, kind: &str, origin: &str, destination: &str) -> rusqlite::Result<()> {
        self.sql.execute(
            "INSERT INTO GDB_ItemRelationships(UUID, Type, OriginID, DestID, Properties) VALUES(?1,?2,?3,?4,1)",
            params![braces(Uuid::new_v4()), kind, origin, destination],
        )?;
        Ok(())
    }

    fn replica(&self, item: &str, id: &str, info: &ReplicaInfo<'_>) -> rusqlite::Result<()> {
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

    fn register(&self, table: &str, rowid: &str, flags: i32, last_id: i64) -> rusqlite::Result<()> {
        self.sql.execute(
            "INSERT INTO GDB_TableRegistry(table_name, rowid_column, object_flags, registration_date, minimum_id) VALUES(?1,?2,?3,1704067200,1)",
            params![table, rowid, flags],
        )?;
        let id = self.sql.last_insert_rowid();
        self.sql.execute("INSERT INTO GDB_RowidGenerators VALUES(?1,?2,-1,?3)", params![id, last_id + 1, last_id])?;
        self.sql.execute("INSERT INTO GDB_Tables_Last_Modified VALUES(?1, 1)", [table])?;
        Ok(())
    }

    fn register_column(&self, table: &str, name: &str, kind: i32, size: u32, flags: i32) -> rusqlite::Result<()> {
        self.sql.execute(
            "INSERT INTO GDB_ColumnRegistry(table_name, column_name, sde_type, column_size, object_flags) VALUES(?1,?2,?3,?4,?5)",
            params![table, name, kind, size, flags],
        )?;
        Ok(())
    }

    fn layer(
        &self,
        replica_layer: &ReplicaLayer<'_>,
        replica: Option<&str>,
        info: &ReplicaInfo<'_>,
    ) -> rusqlite::Result<()> {
        let layer = replica_layer.layer;
        let table = table_name(layer);
        let tracked = replica.is_some();
        let key = if tracked { "OBJECTID int32 not null" } else { "OBJECTID integer primary key not null" };
        let mut columns = vec![
            key.to_owned(),
            "GlobalID uuidtext check(typeof(GlobalID) = 'text' and length(GlobalID) in (36, 38)) not null".to_owned(),
        ];
        self.register_column(&table, "OBJECTID", 2, 0, 3)?;
        self.register_column(&table, "GlobalID", 12, 38, 256)?;
        for (name, kind, length, _) in &layer.fields {
            let (declaration, sde_type, size) = column(name, kind, *length);
            columns.push(format!("{} {declaration}", quoted(name)));
            self.register_column(&table, name, sde_type, size, 4)?;
        }
        if layer.geometry.is_some() {
            let check =
                "(typeof(Shape) = 'blob' and length(Shape) >= 18 and substr(Shape, 1, 1) = x'64') or typeof(Shape) = 'null'";
            columns.push(format!("Shape geometryblob check({check})"));
            self.register_column(&table, "Shape", 8, 0, 32772)?;
        }
        if tracked {
            columns.push("gdb_archive_oid integer primary key not null".to_owned());
            columns.push("gdb_from_date realdate not null".to_owned());
            columns.push("gdb_to_date realdate not null".to_owned());
            for name in ["gdb_archive_oid", "gdb_from_date", "gdb_to_date"] {
                self.register_column(&table, name, if name == "gdb_archive_oid" { 2 } else { 7 }, 0, 536_870_912)?;
            }
        }
        self.sql.execute_batch(&format!("CREATE TABLE {}({})", quoted(&table), columns.join(", ")))?;
        let last = layer.rows.last().map_or(0, Row::id);
        let flags = match (tracked, layer.geometry.is_some()) {
            (true, true) => 278_535,
            (true, false) => 262_147,
            (false, true) => 16_391,
            (false, false) => 3,
        };
        self.register(&table, "OBJECTID", flags, last)?;
        if layer.geometry.is_some() {
            let index = quoted(&format!("st_spindex__{table}_Shape"));
            self.sql.execute_batch(&format!("CREATE VIRTUAL TABLE {index} USING rtree(pkid, minx, maxx, miny, maxy)"))?;
        }
        self.rows(replica_layer, &table, tracked)?;
        if tracked {
            let q = quoted(&table);
            self.sql.execute_batch(&format!(
                "CREATE UNIQUE INDEX {0} ON {q}(OBJECTID, gdb_to_date);
                 CREATE INDEX {1} ON {q}(gdb_from_date, gdb_to_date);
                 CREATE VIEW {2} AS SELECT * FROM {q} WHERE gdb_to_date > 5373484.0;",
                quoted(&format!("{table}_oid_to")),
                quoted(&format!("{table}_from_to")),
                quoted(&format!("{table}_evw")),
            ))?;
        }
        self.records(replica_layer, &table, replica, info)
    }

    fn rows(&self, replica_layer: &ReplicaLayer<'_>, table: &str, tracked: bool) -> rusqlite::Result<()> {
        let layer = replica_layer.layer;
        let mut names: Vec<String> = layer.field_names().iter().map(|n| quoted(n)).collect();
        if layer.geometry.is_some() {
            names.push("Shape".to_owned());
        }
        if tracked {
            names.extend(["gdb_from_date".to_owned(), "gdb_to_date".to_owned()]);
        }
        let marks = vec!["?"; names.len()].join(",");
        let mut insert = self.sql.prepare(&format!("INSERT INTO {}({}) VALUES({marks})", quoted(table), names.join(",")))?;
        let index = format!("INSERT INTO {} VALUES(?1,?2,?3,?4,?5)", quoted(&format!("st_spindex__{table}_Shape")));
        let bare = self.bare_guids;
        for row in &replica_layer.rows {
            let mut values = vec![
                value(row, "OBJECTID", "esriFieldTypeOID", bare),
                value(row, "GlobalID", "esriFieldTypeGlobalID", bare),
            ];
            values.extend(layer.fields.iter().map(|(name, kind, ..)| value(row, name, kind, bare)));
            if layer.geometry.is_some() {
                values.push(row.shape.as_ref().map_or(Sql::Null, |s| Sql::Blob(blob(s))));
            }
            if tracked {
                values.extend([Sql::Real(FROM), Sql::Real(TO)]);
            }
            insert.execute(params_from_iter(values))?;
            let rowid = self.sql.last_insert_rowid();
            if let Some(e) = row.shape.as_ref().and_then(Shape::envelope) {
                self.sql.prepare_cached(&index)?.execute(params![rowid, e.xmin, e.xmax, e.ymin, e.ymax])?;
            }
        }
        Ok(())
    }

    /// Items, registrations, service items, attachments and relationship classes of a layer.
    fn records(
        &self,
        replica_layer: &ReplicaLayer<'_>,
        table: &str,
        replica: Option<&str>,
        info: &ReplicaInfo<'_>,
    ) -> rusqlite::Result<()> {
        let layer = replica_layer.layer;
        let item = braces(Uuid::new_v4());
        let (kind, subtype, root) = match layer.geometry {
            Some("esriGeometryPoint") => ("{70737809-852C-4A03-9E22-2CECEA5B9BFA}", Some(1), "DEFeatureClassInfo"),
            Some("esriGeometryPolyline") => ("{70737809-852C-4A03-9E22-2CECEA5B9BFA}", Some(3), "DEFeatureClassInfo"),
            Some(_) => ("{70737809-852C-4A03-9E22-2CECEA5B9BFA}", Some(4), "DEFeatureClassInfo"),
            None => ("{CD06BC3B-789D-4C51-AAFA-A467912B8965}", None, "DETableInfo"),
        };
        let reference = "<SpatialReference><WKID>102100</WKID><LatestWKID>3857</LatestWKID><XOrigin>-20037700</XOrigin><YOrigin>-30241100</YOrigin><XYScale>10000</XYScale></SpatialReference>";
        let xml = format!(
            "<{root} xsi:type='typens:{root}' xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance' xmlns:xs='http://www.w3.org/2001/XMLSchema' xmlns:typens='http://www.esri.com/schemas/ArcGIS/10.5'><CatalogPath>\\main.{table}</CatalogPath><Name>main.{table}</Name><HasOID>true</HasOID><OIDFieldName>OBJECTID</OIDFieldName><HasGlobalID>true</HasGlobalID><GlobalIDFieldName>GlobalID</GlobalIDFieldName>{}</{root}>",
            if layer.geometry.is_some() { reference } else { "" }
        );
        self.item(&item, kind, &format!("main.{table}"), subtype, layer.geometry.map(|_| "Shape"), &xml)?;
        self.relate("{DC78F1AB-34E4-43AC-BA47-1C4EABD0E7C7}", &self.root, &item)?;
        if layer.geometry.is_some() {
            self.spatial(replica_layer, table)?;
        }
        self.sql.execute(
            "INSERT INTO GDB_ServiceItems(DatasetName, ItemType, ItemId, ItemInfo) VALUES(?1, 1, ?2, ?3)",
            params![table, layer.id, replica_layer.description.to_string()],
        )?;
        if let Some(replica) = replica {
            let dataset = braces(Uuid::new_v4());
            let option = match replica_layer.query_option.as_str() {
                "none" => "esriRowsTypeNone",
                "all" => "esriRowsTypeAll",
                _ => "esriRowsTypeFilter",
            };
            let xml = format!(
                "<GPSyncDataset xsi:type='typens:GPSyncDataset' xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance' xmlns:xs='http://www.w3.org/2001/XMLSchema' xmlns:typens='http://www.esri.com/schemas/ArcGIS/10.5'><DatasetName>{table}</DatasetName><LayerID>{}</LayerID><LayerName>{}</LayerName><ReplicaServerGen>1000</ReplicaServerGen><ReplicaClientDownloadGen>1000</ReplicaClientDownloadGen><ReplicaClientUploadGen>1000</ReplicaClientUploadGen><Where>{}</Where><QueryOption>{option}</QueryOption></GPSyncDataset>",
                layer.id,
                layer.name,
                replica_layer.filter.replace('&', "&amp;").replace('<', "&lt;")
            );
            self.item(
                &dataset,
                "{D86502F9-9758-45C6-9D23-6DD1A0107B47}",
                &format!("{}\\{table}", info.name),
                None,
                None,
                &xml,
            )?;
            self.relate("{CC28387C-441F-4D7C-A802-41A160317FE0}", replica, &dataset)?;
            self.relate("{79CC71C8-B7D9-4141-9014-B6373E236ABB}", &dataset, &item)?;
        }
        if let Some(attachments) = &replica_layer.attachments {
            self.attachments(attachments, table, &item, replica.is_some())?;
        }
        Ok(())
    }

    fn spatial(&self, replica_layer: &ReplicaLayer<'_>, table: &str) -> rusqlite::Result<()> {
        let (kind, flags) = match replica_layer.layer.geometry {
            Some("esriGeometryPoint") => (1, 0x02),
            Some("esriGeometryPolyline") => (5, 0x4_000C),
            _ => (6, 0x4_0010),
        };
        let corners = replica_layer.rows.iter().filter_map(|r| r.shape.as_ref()?.envelope());
        let corners = corners.flat_map(|e| [[e.xmin, e.ymin], [e.xmax, e.ymax]]);
        let e = Envelope::of(corners).unwrap_or(Envelope {
            xmin: 0.0,
            ymin: 0.0,
            xmax: 0.0,
            ymax: 0.0,
            spatial_reference: None,
        });
        self.sql.execute(
            "INSERT INTO st_geometry_columns(f_table_name, f_geometry_column, geometry_type, coord_dimension, srid, spatial_index_type)
             VALUES(?1, 'Shape', ?2, 2, 3857, 'RTREEXY')",
            params![table, kind],
        )?;
        self.sql.execute(
            "INSERT INTO GDB_Layers(table_name, spatial_column, eflags, layer_mask, minx, miny, maxx, maxy, cdate, minimum_id, srid, base_layer_id)
             VALUES(?1, 'Shape', ?2, 0, ?3, ?4, ?5, ?6, 1704067200, 1, 3857, 0)",
            params![table, flags, e.xmin, e.ymin, e.xmax, e.ymax],
        )?;
        Ok(())
    }

    fn attachments(&self, attachments: &[&Attachment], table: &str, parent: &str, tracked: bool) -> rusqlite::Result<()> {
        let name = format!("{table}__ATTACH");
        let (key, more) = if tracked {
            (
                "ATTACHMENTID int32 not null",
                ", gdb_archive_oid integer primary key not null, gdb_from_date realdate not null, gdb_to_date realdate not null",
            )
        } else {
            ("ATTACHMENTID integer primary key not null", "")
        };
        self.sql.execute_batch(&format!(
            "CREATE TABLE {}({key}, GLOBALID uuidtext not null, REL_GLOBALID uuidtext not null, CONTENT_TYPE text(150) not null,
             ATT_NAME text(250) not null, DATA_SIZE int32 not null, DATA blob{more})",
            quoted(&name)
        ))?;
        let dates = if tracked { (", gdb_from_date, gdb_to_date", format!(", {FROM}, {TO}")) } else { ("", String::new()) };
        let mut insert = self.sql.prepare(&format!(
            "INSERT INTO {}(ATTACHMENTID, GLOBALID, REL_GLOBALID, CONTENT_TYPE, ATT_NAME, DATA_SIZE, DATA{}) VALUES(?1,?2,?3,'image/png',?4,?5,?6{})",
            quoted(&name), dates.0, dates.1
        ))?;
        for a in attachments {
            insert.execute(params![
                a.id,
                guid(&a.global_id, self.bare_guids),
                guid(&a.parent_global_id, self.bare_guids),
                a.name,
                i64::try_from(a.bytes.len()).unwrap_or(0),
                a.bytes
            ])?;
        }
        self.register(
            &name,
            "ATTACHMENTID",
            if tracked { 262_147 } else { 3 },
            attachments.iter().map(|a| a.id).max().unwrap_or(0),
        )?;
        let (item, relation) = (braces(Uuid::new_v4()), braces(Uuid::new_v4()));
        self.item(&item, "{CD06BC3B-789D-4C51-AAFA-A467912B8965}", &format!("main.{name}"), None, None, "<DETableInfo/>")?;
        let xml = "<DERelationshipClassInfo><IsComposite>true</IsComposite><IsAttachmentRelationship>true</IsAttachmentRelationship></DERelationshipClassInfo>";
        self.item(
            &relation,
            "{B606A7E1-FA5B-439C-849C-6E9C2481537B}",
            &format!("main.{table}__ATTACHREL"),
            Some(0),
            None,
            xml,
        )?;
        self.relate("{725BADAB-3452-491B-A795-55F32D67229C}", parent, &relation)?;
        self.relate("{725BADAB-3452-491B-A795-55F32D67229C}", &item, &relation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_written_as_the_worked_example_of_a_real_file() {
        let x = 68_621_644_124.0 / XY_UNITS + FALSE_X;
        let y = 342_698_193_708.0 / XY_UNITS + FALSE_Y;
        let hex: String = blob(&Shape::Point([x, y])).iter().map(|b| format!("{b:02X}")).collect();
        assert_eq!(hex, "64110F000100000004010C000000010000009CC5D9A2FF03ACCCBBA6F913");
    }
}
