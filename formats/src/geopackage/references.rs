//! Spatial references of a GeoPackage.
//!
//! Source: OGC 12-128r19, 1.1.2. Numbers of Esri's that EPSG has under another one (102100 is 3857) are written as EPSG's; those that
//! only Esri has are written with the organization `ESRI`, and a spatial reference that has no number gets one of its own.

use super::definitions::{WEB_MERCATOR, WGS84};
use offmap_model::SpatialReference;
use rusqlite::{Connection, OptionalExtension as _, params};

/// The first number that is given to spatial references without one: above those of EPSG and Esri.
const FIRST_OWN: i64 = 300_000;
/// EPSG's numbers end here; Esri's begin above, with 37001 and 53001 and 102001.
const LAST_EPSG: u32 = 32_767;

/// The three that every GeoPackage has (requirement 11).
pub(super) fn add_required(connection: &Connection) -> rusqlite::Result<()> {
    let mut add = connection.prepare("INSERT INTO gpkg_spatial_ref_sys VALUES(?1, ?2, ?3, ?4, ?5, ?6)")?;
    let undefined = "undefined";
    add.execute(params![
        "Undefined Cartesian SRS",
        -1,
        "NONE",
        -1,
        undefined,
        "undefined Cartesian coordinate reference system"
    ])?;
    add.execute(params![
        "Undefined geographic SRS",
        0,
        "NONE",
        0,
        undefined,
        "undefined geographic coordinate reference system"
    ])?;
    add.execute(params![
        "WGS 84 geodetic",
        4326,
        "EPSG",
        4326,
        WGS84,
        "longitude/latitude coordinates in decimal degrees on the WGS 84 spheroid"
    ])?;
    Ok(())
}

/// The number of a spatial reference in the file, which is added where it is not there yet.
pub(super) fn add_reference(connection: &Connection, reference: &SpatialReference) -> rusqlite::Result<i32> {
    let number = match reference {
        r if r.is_web_mercator() => Some(3857),
        r if r.is_wgs84() => Some(4326),
        r => r.id(),
    };
    let name = reference.name();
    let Some(number) = number.and_then(|n| i32::try_from(n).ok()) else { return add_own(connection, reference, &name) };
    let known = "SELECT EXISTS(SELECT 1 FROM gpkg_spatial_ref_sys WHERE srs_id = ?1)";
    if connection.query_row(known, [number], |row| row.get(0))? {
        return Ok(number);
    }
    let definition = match number {
        3857 => WEB_MERCATOR,
        // Readers find EPSG's own definition by the number.
        _ => reference.wkt.as_deref().unwrap_or("undefined"),
    };
    let is_epsg = u32::try_from(number).is_ok_and(|n| n <= LAST_EPSG);
    let organization = if is_epsg { "EPSG" } else { "ESRI" };
    let name = if number == 3857 { "WGS 84 / Pseudo-Mercator" } else { &name };
    let add = "INSERT INTO gpkg_spatial_ref_sys VALUES(?1, ?2, ?3, ?2, ?4, NULL)";
    connection.execute(add, params![name, number, organization, definition])?;
    Ok(number)
}

fn add_own(connection: &Connection, reference: &SpatialReference, name: &str) -> rusqlite::Result<i32> {
    // Without a definition it is an undefined one of the plane.
    let Some(definition) = &reference.wkt else { return Ok(-1) };
    let same = "SELECT srs_id FROM gpkg_spatial_ref_sys WHERE definition = ?1";
    if let Some(known) = connection.query_row(same, [definition], |row| row.get(0)).optional()? {
        return Ok(known);
    }
    let next = "SELECT max(coalesce(max(srs_id), 0) + 1, ?1) FROM gpkg_spatial_ref_sys";
    let number: i32 = connection.query_row(next, [FIRST_OWN], |row| row.get(0))?;
    let add = "INSERT INTO gpkg_spatial_ref_sys VALUES(?1, ?2, 'NONE', ?2, ?3, NULL)";
    connection.execute(add, params![name, number, definition])?;
    Ok(number)
}
