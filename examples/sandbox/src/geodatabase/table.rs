//! The table of a layer, and its rows.

use super::blob::blob;
use super::column::{column, value};
use super::contents::ReplicaLayer;
use super::registry::{Writer, quoted};
use crate::data::{Row, Shape};
use crate::feature::Layer;
use rusqlite::types::Value as Sql;
use rusqlite::{params, params_from_iter};

/// First moment of a row as downloaded, and the moment at which a current row ends, as Julian days.
pub(crate) const FROM: f64 = 2_440_587.500_011_574;
pub(crate) const TO: f64 = 5_373_484.499_988_426;

/// Name of a layer's table.
pub(crate) fn table_name(layer: &Layer) -> String {
    layer.name.replace(' ', "_")
}

impl Writer<'_> {
    /// Declares and registers the columns.
    fn columns(&self, layer: &Layer, table: &str, tracked: bool) -> rusqlite::Result<Vec<String>> {
        let key = if tracked { "OBJECTID int32 not null" } else { "OBJECTID integer primary key not null" };
        let mut columns = vec![
            key.to_owned(),
            "GlobalID uuidtext check(typeof(GlobalID) = 'text' and length(GlobalID) in (36, 38)) not null".to_owned(),
        ];
        self.register_column(table, "OBJECTID", 2, 0, 3)?;
        self.register_column(table, "GlobalID", 12, 38, 256)?;
        for (name, kind, length, _) in &layer.fields {
            let (declaration, sde_type, size) = column(name, kind, *length);
            columns.push(format!("{} {declaration}", quoted(name)));
            self.register_column(table, name, sde_type, size, 4)?;
        }
        if layer.geometry.is_some() {
            let check =
                "(typeof(Shape) = 'blob' and length(Shape) >= 18 and substr(Shape, 1, 1) = x'64') or typeof(Shape) = 'null'";
            columns.push(format!("Shape geometryblob check({check})"));
            self.register_column(table, "Shape", 8, 0, 32772)?;
        }
        if tracked {
            columns.push("gdb_archive_oid integer primary key not null".to_owned());
            columns.push("gdb_from_date realdate not null".to_owned());
            columns.push("gdb_to_date realdate not null".to_owned());
            for name in ["gdb_archive_oid", "gdb_from_date", "gdb_to_date"] {
                self.register_column(table, name, if name == "gdb_archive_oid" { 2 } else { 7 }, 0, 536_870_912)?;
            }
        }
        Ok(columns)
    }

    /// Makes the table and writes the rows.
    pub(crate) fn table(&self, replica_layer: &ReplicaLayer<'_>, table: &str, tracked: bool) -> rusqlite::Result<()> {
        let layer = replica_layer.layer;
        let columns = self.columns(layer, table, tracked)?;
        self.sql.execute_batch(&format!("CREATE TABLE {}({})", quoted(table), columns.join(", ")))?;
        let last = layer.rows.last().map_or(0, Row::id);
        let flags = match (tracked, layer.geometry.is_some()) {
            (true, true) => 278_535,
            (true, false) => 262_147,
            (false, true) => 16_391,
            (false, false) => 3,
        };
        self.register(table, "OBJECTID", flags, last)?;
        if layer.geometry.is_some() {
            let index = quoted(&format!("st_spindex__{table}_Shape"));
            self.sql.execute_batch(&format!("CREATE VIRTUAL TABLE {index} USING rtree(pkid, minx, maxx, miny, maxy)"))?;
        }
        self.rows(replica_layer, table, tracked)?;
        if tracked {
            let q = quoted(table);
            self.sql.execute_batch(&format!(
                "CREATE UNIQUE INDEX {0} ON {q}(OBJECTID, gdb_to_date);
                 CREATE INDEX {1} ON {q}(gdb_from_date, gdb_to_date);
                 CREATE VIEW {2} AS SELECT * FROM {q} WHERE gdb_to_date > 5373484.0;",
                quoted(&format!("{table}_oid_to")),
                quoted(&format!("{table}_from_to")),
                quoted(&format!("{table}_evw")),
            ))?;
        }
        Ok(())
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
}
