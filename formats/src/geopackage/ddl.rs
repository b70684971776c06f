//! The tables of every GeoPackage, and those of its extensions, as the standard writes them.
//!
//! Source: OGC 12-128r19 annex C (core, schema extension), F.3 (R-tree); OGC 18-000 annex A (related tables).

/// 12-128r19 1.1.1.1.1: "GPKG", and version 1.4.0.
pub(super) const APPLICATION_ID: i32 = 0x4750_4B47;
pub(super) const VERSION: i32 = 10_400;

/// Core tables: C.1, C.2, C.3, C.9.
pub(super) const CORE: &str = "
CREATE TABLE gpkg_spatial_ref_sys (srs_name TEXT NOT NULL, srs_id INTEGER PRIMARY KEY, organization TEXT NOT NULL, organization_coordsys_id INTEGER NOT NULL, definition TEXT NOT NULL, description TEXT);
CREATE TABLE gpkg_contents (table_name TEXT NOT NULL PRIMARY KEY, data_type TEXT NOT NULL, identifier TEXT UNIQUE, description TEXT DEFAULT '', last_change DATETIME NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')), min_x DOUBLE, min_y DOUBLE, max_x DOUBLE, max_y DOUBLE, srs_id INTEGER, CONSTRAINT fk_gc_r_srs_id FOREIGN KEY (srs_id) REFERENCES gpkg_spatial_ref_sys(srs_id));
CREATE TABLE gpkg_geometry_columns (table_name TEXT NOT NULL, column_name TEXT NOT NULL, geometry_type_name TEXT NOT NULL, srs_id INTEGER NOT NULL, z TINYINT NOT NULL, m TINYINT NOT NULL, CONSTRAINT pk_geom_cols PRIMARY KEY (table_name, column_name), CONSTRAINT uk_gc_table_name UNIQUE (table_name), CONSTRAINT fk_gc_tn FOREIGN KEY (table_name) REFERENCES gpkg_contents(table_name), CONSTRAINT fk_gc_srs FOREIGN KEY (srs_id) REFERENCES gpkg_spatial_ref_sys (srs_id));
CREATE TABLE gpkg_extensions (table_name TEXT, column_name TEXT, extension_name TEXT NOT NULL, definition TEXT NOT NULL, scope TEXT NOT NULL, CONSTRAINT ge_tce UNIQUE (table_name, column_name, extension_name));
";

/// Schema extension: C.6, C.7.
pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS gpkg_data_columns (table_name TEXT NOT NULL, column_name TEXT NOT NULL, name TEXT, title TEXT, description TEXT, mime_type TEXT, constraint_name TEXT, CONSTRAINT pk_gdc PRIMARY KEY (table_name, column_name), CONSTRAINT gdc_tn UNIQUE (table_name, name));
CREATE TABLE IF NOT EXISTS gpkg_data_column_constraints (constraint_name TEXT NOT NULL, constraint_type TEXT NOT NULL, value TEXT, min NUMERIC, min_is_inclusive BOOLEAN, max NUMERIC, max_is_inclusive BOOLEAN, description TEXT, CONSTRAINT gdcc_ntv UNIQUE (constraint_name, constraint_type, value));
";

/// Related tables.
pub(super) const RELATIONS: &str = "
CREATE TABLE IF NOT EXISTS gpkgext_relations (id INTEGER PRIMARY KEY AUTOINCREMENT, base_table_name TEXT NOT NULL, base_primary_column TEXT NOT NULL DEFAULT 'id', related_table_name TEXT NOT NULL, related_primary_column TEXT NOT NULL DEFAULT 'id', relation_name TEXT NOT NULL, mapping_table_name TEXT NOT NULL UNIQUE);
";

/// Which extension, and where it is described.
pub(super) const RTREE_EXTENSION: (&str, &str) = ("gpkg_rtree_index", "http://www.geopackage.org/spec140/#extension_rtree");
pub(super) const SCHEMA_EXTENSION: (&str, &str) = ("gpkg_schema", "http://www.geopackage.org/spec140/#extension_schema");
pub(super) const RELATED_EXTENSION: (&str, &str) = ("gpkg_related_tables", "http://www.opengis.net/doc/IS/gpkg-rte/1.0");

/// A name as an SQL identifier.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The triggers that keep the R-tree of a table (`t`), its geometry column (`c`) and its key (`i`) up to date: F.3, requirement 77,
/// with those of version 1.4: `update1` and `update3` are deprecated.
pub(super) fn index_triggers(table: &str, column: &str, key: &str) -> String {
    let (t, c, i) = (quoted(table), quoted(column), quoted(key));
    let index = format!("rtree_{table}_{column}");
    let r = quoted(&index);
    let trigger = |name: &str| quoted(&format!("{index}_{name}"));
    let full = format!("NEW.{c} NOTNULL AND NOT ST_IsEmpty(NEW.{c})");
    let empty = format!("NEW.{c} ISNULL OR ST_IsEmpty(NEW.{c})");
    let values = format!("NEW.{i}, ST_MinX(NEW.{c}), ST_MaxX(NEW.{c}), ST_MinY(NEW.{c}), ST_MaxY(NEW.{c})");
    let same = format!("OLD.{i} = NEW.{i}");
    let other = format!("OLD.{i} != NEW.{i}");
    format!(
        "CREATE TRIGGER {insert} AFTER INSERT ON {t} WHEN (new.{c} NOT NULL AND NOT ST_IsEmpty(NEW.{c})) BEGIN INSERT OR REPLACE INTO {r} VALUES ({values}); END;
         CREATE TRIGGER {update2} AFTER UPDATE OF {c} ON {t} WHEN {same} AND ({empty}) BEGIN DELETE FROM {r} WHERE id = OLD.{i}; END;
         CREATE TRIGGER {update4} AFTER UPDATE ON {t} WHEN {other} AND ({empty}) BEGIN DELETE FROM {r} WHERE id IN (OLD.{i}, NEW.{i}); END;
         CREATE TRIGGER {update5} AFTER UPDATE ON {t} WHEN {other} AND ({full}) BEGIN DELETE FROM {r} WHERE id = OLD.{i}; INSERT OR REPLACE INTO {r} VALUES ({values}); END;
         CREATE TRIGGER {update6} AFTER UPDATE OF {c} ON {t} WHEN {same} AND ({full}) AND (OLD.{c} NOTNULL AND NOT ST_IsEmpty(OLD.{c})) BEGIN UPDATE {r} SET minx = ST_MinX(NEW.{c}), maxx = ST_MaxX(NEW.{c}), miny = ST_MinY(NEW.{c}), maxy = ST_MaxY(NEW.{c}) WHERE id = NEW.{i}; END;
         CREATE TRIGGER {update7} AFTER UPDATE OF {c} ON {t} WHEN {same} AND ({full}) AND (OLD.{c} ISNULL OR ST_IsEmpty(OLD.{c})) BEGIN INSERT INTO {r} VALUES ({values}); END;
         CREATE TRIGGER {delete} AFTER DELETE ON {t} WHEN old.{c} NOT NULL BEGIN DELETE FROM {r} WHERE id = OLD.{i}; END;",
        insert = trigger("insert"),
        update2 = trigger("update2"),
        update4 = trigger("update4"),
        update5 = trigger("update5"),
        update6 = trigger("update6"),
        update7 = trigger("update7"),
        delete = trigger("delete"),
    )
}
