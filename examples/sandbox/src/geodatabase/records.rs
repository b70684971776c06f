//! Records about a layer: items, registrations, service items and relationship classes.

use super::contents::{ReplicaInfo, ReplicaLayer};
use super::registry::{Writer, braces};
use super::table::table_name;
use offmap_model::Envelope;
use rusqlite::params;
use uuid::Uuid;

impl Writer<'_> {
    /// Writes a layer with all that belongs to it.
    pub(crate) fn layer(
        &self,
        replica_layer: &ReplicaLayer<'_>,
        replica: Option<&str>,
        info: &ReplicaInfo<'_>,
    ) -> rusqlite::Result<()> {
        let layer = replica_layer.layer;
        let table = table_name(layer);
        let tracked = replica.is_some();
        self.table(replica_layer, &table, tracked)?;
        self.records(replica_layer, &table, replica, info)
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
        let spatial_reference = "<SpatialReference><WKID>102100</WKID><LatestWKID>3857</LatestWKID><XOrigin>-20037700</XOrigin><YOrigin>-30241100</YOrigin><XYScale>10000</XYScale></SpatialReference>";
        let xml = format!(
            "<{root} xsi:type='typens:{root}' xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance' xmlns:xs='http://www.w3.org/2001/XMLSchema' xmlns:typens='http://www.esri.com/schemas/ArcGIS/10.5'><CatalogPath>\\main.{table}</CatalogPath><Name>main.{table}</Name><HasOID>true</HasOID><OIDFieldName>OBJECTID</OIDFieldName><HasGlobalID>true</HasGlobalID><GlobalIDFieldName>GlobalID</GlobalIDFieldName>{}</{root}>",
            if layer.geometry.is_some() { spatial_reference } else { "" }
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
            self.dataset(replica_layer, table, (replica, &item), info)?;
        }
        if let Some(attachments) = &replica_layer.attachments {
            self.attachments(attachments, table, &item, replica.is_some())?;
        }
        Ok(())
    }

    /// The part of the replica that is this layer: which item, and by which query.
    fn dataset(
        &self,
        replica_layer: &ReplicaLayer<'_>,
        table: &str,
        (replica, item): (&str, &str),
        info: &ReplicaInfo<'_>,
    ) -> rusqlite::Result<()> {
        let layer = replica_layer.layer;
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
        self.item(&dataset, "{D86502F9-9758-45C6-9D23-6DD1A0107B47}", &format!("{}\\{table}", info.name), None, None, &xml)?;
        self.relate("{CC28387C-441F-4D7C-A802-41A160317FE0}", replica, &dataset)?;
        self.relate("{79CC71C8-B7D9-4141-9014-B6373E236ABB}", &dataset, item)
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
}
