//! Spatial references and grids of layers that are written.
//!
//! Source: mobile map package reference B.6.

use crate::geometry::{GridAxis, PrecisionGrid};
use offmap_model::SpatialReference;
use rusqlite::{Connection, params};

/// Web Mercator on the grid of replicas needs no row of its own.
const WEB_MERCATOR: u32 = 3857;
/// The first number of those that have one; the one before stands for what is not known.
const FIRST_OWN: u32 = 300_001;
/// EPSG's numbers end here; Esri's begin above.
const LAST_EPSG: u32 = 32_767;
const WGS84_TEXT: &str = r#"GEOGCS["GCS_WGS_1984",DATUM["D_WGS_1984",SPHEROID["WGS_1984",6378137.0,298.257223563]],PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433],AUTHORITY["EPSG",4326]]"#;
const WEB_MERCATOR_TEXT: &str = r#"PROJCS["WGS_1984_Web_Mercator_Auxiliary_Sphere",GEOGCS["GCS_WGS_1984",DATUM["D_WGS_1984",SPHEROID["WGS_1984",6378137.0,298.257223563]],PRIMEM["Greenwich",0.0],UNIT["Degree",0.0174532925199433]],PROJECTION["Mercator_Auxiliary_Sphere"],PARAMETER["False_Easting",0.0],PARAMETER["False_Northing",0.0],PARAMETER["Central_Meridian",0.0],PARAMETER["Standard_Parallel_1",0.0],PARAMETER["Auxiliary_Sphere_Type",0.0],UNIT["Meter",1.0],AUTHORITY["EPSG",3857]]"#;

/// A spatial reference with its grid.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct NewReference {
    pub(super) wkid: Option<u32>,
    pub(super) latest_wkid: Option<u32>,
    pub(super) wkt: Option<String>,
    pub(super) is_geographic: bool,
    pub(super) grid: PrecisionGrid,
}

impl NewReference {
    /// That of a layer; the grid is the one that its coordinates lie on, else the one that ArcGIS gives such a layer.
    pub(super) fn of(reference: &SpatialReference, grid: Option<PrecisionGrid>) -> Self {
        let (is_mercator, is_wgs84) = (reference.is_web_mercator(), reference.is_wgs84());
        let known = if is_mercator { Some(WEB_MERCATOR_TEXT) } else { is_wgs84.then_some(WGS84_TEXT) };
        let wkt = reference.wkt.clone().or_else(|| known.map(str::to_owned));
        let number = if is_wgs84 { Some(4326) } else { reference.id() };
        let by_text = wkt.as_deref().map(|wkt| wkt.trim_start().to_ascii_uppercase().starts_with("GEOG"));
        // EPSG's geographic ones are there, and Esri's.
        let by_number = || number.is_some_and(|n| (4_000..5_000).contains(&n) || (104_000..105_000).contains(&n));
        let is_geographic = is_wgs84 || by_text.unwrap_or_else(by_number);
        let usual = if is_mercator { PrecisionGrid::web_mercator() } else { usual_grid(is_geographic) };
        let mut grid = grid.filter(|grid| grid.is_usable(false, false)).unwrap_or(usual);
        for (axis, usual) in [(&mut grid.z, usual.z), (&mut grid.m, usual.m)] {
            if !axis.is_usable() {
                *axis = usual;
            }
        }
        let latest_wkid = if is_mercator { Some(WEB_MERCATOR) } else { reference.latest_wkid.or(number) };
        let wkid = if is_mercator { Some(102_100) } else { reference.wkid.or(number) };
        Self { wkid, latest_wkid, wkt, is_geographic, grid }
    }

    /// Its number in the file, which lists those that are not built in.
    pub(super) fn number_in(&self, listed: &mut Vec<Self>) -> u32 {
        if self.latest_wkid == Some(WEB_MERCATOR) && self.grid == PrecisionGrid::web_mercator() {
            return WEB_MERCATOR;
        }
        let place = listed.iter().position(|known| known == self).unwrap_or_else(|| {
            listed.push(self.clone());
            listed.len() - 1
        });
        u32::try_from(place).unwrap_or(u32::MAX).saturating_add(FIRST_OWN)
    }

    /// Distances below which places are the same, by x and y.
    pub(super) fn tolerance(&self) -> f64 {
        // A millimetre.
        if self.is_geographic { 8.983_152_841_195_215e-9 } else { 0.001 }
    }
}

/// The grid of ArcGIS Pro for degrees, and the one of the system tables for a plane that is not known: tenths of millimetres.
fn usual_grid(is_geographic: bool) -> PrecisionGrid {
    let other = GridAxis::new(-100_000.0, 10_000.0);
    let xy = match is_geographic {
        true => GridAxis::new(-400.0, 11_258_999_068_426.24),
        false => GridAxis::new(-450_359_962_737.05, 10_000.0),
    };
    PrecisionGrid { x: xy, y: xy, z: other, m: other }
}

/// Writes the list.
pub(super) fn write_references(connection: &Connection, listed: &[NewReference]) -> rusqlite::Result<()> {
    let sql = "INSERT INTO st_aux_spatial_reference_systems VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, 0.001, 0.001, 1)";
    for (srid, reference) in (FIRST_OWN..).zip(listed) {
        let number = reference.latest_wkid.or(reference.wkid);
        let authority = if number.is_some_and(|n| n <= LAST_EPSG) { "EPSG" } else { "ESRI" };
        let PrecisionGrid { x, y, z, m } = &reference.grid;
        connection.execute(
            sql,
            params![
                srid,
                authority,
                number.unwrap_or(srid),
                reference.wkt.as_deref().unwrap_or("UNKNOWN"),
                x.origin(),
                y.origin(),
                x.scale(),
                z.origin(),
                z.scale(),
                m.origin(),
                m.scale(),
                reference.tolerance()
            ],
        )?;
    }
    Ok(())
}
