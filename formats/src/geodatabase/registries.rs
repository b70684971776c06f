//! The rows that list what is in a geodatabase that is being written: tables, columns, columns of shapes.
//!
//! Source: mobile map package reference B.2, B.3, B.5.

use super::items::{ATTACHMENT_ID, Written, add_items, attachment_columns};
use super::new_fields::{NewColumn, Stored};
use super::new_layer::NewLayer;
use super::service_json::add_services;
use super::system_tables;
use crate::foreign_sqlite::quoted;
use crate::geometry::GeometryKind;
use rusqlite::{Connection, params};

/// `GDB_TableRegistry.object_flags`.
const PLAIN: i64 = 3;
const WITH_SHAPES: i64 = 16_391;
/// `GDB_ColumnRegistry.object_flags`.
const OBJECT_ID: i64 = 3;
const NULLABLE: i64 = 4;
const GLOBAL_ID: i64 = 256;
const SHAPE: i64 = 32_772;
/// `GDB_Layers.eflags`: what all layers have, kinds, heights, measures, many parts.
const EFLAGS: i64 = 0x0440_0081;
const EFLAG_Z: i64 = 0x1_0000;
const EFLAG_M: i64 = 0x2_0000;
const EFLAG_PARTS: i64 = 0x4_0000;
const ITEMS: &str = "GDB_Items";

/// The number of a kind of shapes with its heights and measures, as the OGC numbers them.
pub(super) fn geometry_type(kind: GeometryKind, has_z: bool, has_m: bool) -> i64 {
    let base = match kind {
        GeometryKind::Point => 1,
        GeometryKind::Multipoint => 4,
        GeometryKind::Line => 5,
        GeometryKind::Polygon => 6,
    };
    base + if has_z { 1_000 } else { 0 } + if has_m { 2_000 } else { 0 }
}

fn eflags(kind: GeometryKind, has_z: bool, has_m: bool) -> i64 {
    let kind = match kind {
        GeometryKind::Point => 0x02,
        GeometryKind::Multipoint => 0x02 | EFLAG_PARTS,
        GeometryKind::Line => 0x0C | EFLAG_PARTS,
        GeometryKind::Polygon => 0x10 | EFLAG_PARTS,
    };
    EFLAGS | kind | if has_z { EFLAG_Z } else { 0 } | if has_m { EFLAG_M } else { 0 }
}

/// Lists tables and columns that are there from the beginning.
pub(super) fn register_system(connection: &Connection, moment: i64) -> rusqlite::Result<()> {
    let seconds = moment.div_euclid(1_000);
    for (table, key, flags) in system_tables::REGISTERED {
        connection.execute(ADD_TABLE, params![table, key, flags, seconds])?;
    }
    let add = "INSERT INTO GDB_ColumnRegistry VALUES(?1, ?2, ?3, ?4, NULL, NULL, ?5, ?6)";
    for (table, column, kind, size, flags) in system_tables::COLUMNS {
        let layer = (flags == SHAPE).then_some(1);
        connection.prepare_cached(add)?.execute(params![table, column, kind, size, flags, layer])?;
    }
    for (place, [id, name, parent]) in (1_i64..).zip(system_tables::ITEM_TYPES) {
        connection.execute("INSERT INTO GDB_ItemTypes VALUES(?1, ?2, ?3, ?4)", params![place, id, name, parent])?;
    }
    let add = "INSERT INTO GDB_ItemRelationshipTypes VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    for (place, ([id, name, forward, back, from, to], contains)) in (1_i64..).zip(system_tables::LINK_TYPES) {
        connection.execute(add, params![place, id, name, forward, back, from, to, contains])?;
    }
    Ok(())
}

const ADD_TABLE: &str = "INSERT INTO GDB_TableRegistry(table_name, rowid_column, object_flags, registration_date, minimum_id) VALUES(?1, ?2, ?3, ?4, 1)";

/// Lists one table with its columns, and the next id that a row of it would get.
fn register(
    connection: &Connection,
    (table, key): (&str, &str),
    columns: &[NewColumn],
    (flags, seconds): (i64, i64),
) -> rusqlite::Result<()> {
    connection.execute(ADD_TABLE, params![table, key, flags, seconds])?;
    let id = connection.last_insert_rowid();
    let add = "INSERT INTO GDB_ColumnRegistry VALUES(?1, ?2, ?3, ?4, ?5, NULL, ?6, NULL)";
    let mut add = connection.prepare_cached(add)?;
    add.execute(params![table, key, 2, 0, None::<i64>, OBJECT_ID])?;
    for column in columns {
        let (kind, size, digits) = column.stored.registered();
        let flags = match column.stored {
            Stored::GlobalId => GLOBAL_ID,
            _ if column.is_nullable => NULLABLE,
            _ => 0,
        };
        add.execute(params![table, column.name, kind, size, digits, flags])?;
    }
    let next = format!(
        "INSERT INTO GDB_RowidGenerators SELECT ?1, n, -1, n FROM (SELECT coalesce(max({}), 0) + 1 AS n FROM {})",
        quoted(key),
        quoted(table)
    );
    connection.execute(&next, [id])?;
    Ok(())
}

/// Lists the column of shapes of a table.
fn register_shapes(connection: &Connection, layer: &NewLayer, seconds: i64) -> rusqlite::Result<()> {
    let (Some(geometry), Some(shape)) = (&layer.schema.geometry, &layer.shape) else { return Ok(()) };
    let (kind, has_z, has_m) = (geometry.kind, geometry.has_z, geometry.has_m);
    let dimension = 2 + i64::from(has_z) + i64::from(has_m);
    let add = "INSERT INTO st_geometry_columns(f_table_name, f_geometry_column, geometry_type, coord_dimension, srid, spatial_index_type)
         VALUES(?1, ?2, ?3, ?4, ?5, 'RTREEXY')";
    connection.execute(add, params![layer.table, shape.name, geometry_type(kind, has_z, has_m), dimension, shape.srid])?;
    let extent = layer.progress.extent.unwrap_or([0.0; 4]);
    add_layer(connection, (&layer.table, &shape.name), eflags(kind, has_z, has_m), extent, (seconds, shape.srid))?;
    let id = connection.last_insert_rowid();
    let add = "INSERT INTO GDB_ColumnRegistry VALUES(?1, ?2, 8, NULL, NULL, NULL, ?3, ?4)";
    connection.execute(add, params![layer.table, shape.name, SHAPE, id])?;
    Ok(())
}

fn add_layer(
    connection: &Connection,
    (table, column): (&str, &str),
    eflags: i64,
    [xmin, ymin, xmax, ymax]: [f64; 4],
    (seconds, srid): (i64, u32),
) -> rusqlite::Result<()> {
    let add = "INSERT INTO GDB_Layers(table_name, spatial_column, eflags, layer_mask, minx, miny, maxx, maxy, cdate, minimum_id, srid, base_layer_id)
         VALUES(?1, ?2, ?3, 0, ?4, ?5, ?6, ?7, ?8, 1, ?9, 0)";
    connection.execute(add, params![table, column, eflags, xmin, ymin, xmax, ymax, seconds, srid])?;
    Ok(())
}

/// Lists all that was written.
pub(super) fn register_all(connection: &Connection, written: &Written<'_>) -> rusqlite::Result<()> {
    let seconds = written.moment.div_euclid(1_000);
    let add = "INSERT INTO st_geometry_columns(f_table_name, f_geometry_column, geometry_type, coord_dimension, srid, spatial_index_type)
         VALUES('GDB_Items', 'Shape', 6, 2, 4326, 'RTREEXY')";
    connection.execute(add, [])?;
    // Its extent is that of the items.
    add_layer(connection, (ITEMS, "Shape"), eflags(GeometryKind::Polygon, false, false), [0.0; 4], (seconds, 4326))?;
    for layer in written.layers {
        let columns: Vec<NewColumn> = layer.columns.iter().cloned().chain(layer.own_global_id()).collect();
        let flags = if layer.shape.is_some() { WITH_SHAPES } else { PLAIN };
        register(connection, (&layer.table, &layer.key), &columns, (flags, seconds))?;
        register_shapes(connection, layer, seconds)?;
        if let Some(attached) = layer.attachment_table() {
            register(connection, (&attached, ATTACHMENT_ID), &attachment_columns(), (PLAIN, seconds))?;
        }
    }
    add_services(connection, written.layers, written.relationships)?;
    connection.execute(ADD_TABLE, params!["GDB_ServiceItems", "OBJECTID", PLAIN, seconds])?;
    let services = connection.last_insert_rowid();
    add_items(connection, written)?;
    let last = |table: &str| {
        connection.query_row(&format!("SELECT coalesce(max(ObjectID), 0) FROM {table}"), [], |r| r.get::<_, i64>(0))
    };
    let counted = [
        (2, last(ITEMS)?),
        (3, last("GDB_ItemRelationships")?),
        (4, last("GDB_ItemTypes")?),
        (5, last("GDB_ItemRelationshipTypes")?),
        (6, 0),
        (services, last("GDB_ServiceItems")?),
    ];
    for (id, last) in counted {
        connection.execute("INSERT INTO GDB_RowidGenerators VALUES(?1, ?2, -1, ?3)", [id, last + 1, last.max(1)])?;
    }
    Ok(())
}
