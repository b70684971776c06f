//! Which tiles an export asks for.

use super::scheme::{TileScheme, tile_extent, tile_width};
use crate::answer::{Rest, RestError};
use crate::extent::{from_numbers, web_mercator_json, world_extent};
use crate::request::Call;
use offmap_model::geometry::{WEB_MERCATOR_HALF, to_wgs84};
use offmap_model::{AreaOfInterest, Envelope, Polygon, SpatialReference};
use serde_json::{Value, json};

/// What is exported.
#[derive(Debug, Clone)]
pub(crate) struct Cut {
    pub(crate) levels: Vec<u32>,
    pub(crate) extent: Envelope,
    pub(crate) polygon: Option<Polygon>,
    /// Tiles of the deepest level that are lost.
    pub(crate) lost: u64,
}

impl Cut {
    /// Rows and columns of the tiles on a level, by the envelope.
    fn range(&self, scheme: &TileScheme, level: u32) -> (std::ops::RangeInclusive<u64>, std::ops::RangeInclusive<u64>) {
        let half = WEB_MERCATOR_HALF;
        let width = tile_width(level);
        let last = (1_u64 << level) - 1;
        let edge = width / f64::from(scheme.pixels) * 1e-3;
        let index = |distance: f64| ((distance / width).floor().max(0.0) as u64).min(last);
        let columns = index(self.extent.xmin + edge + half)..=index(self.extent.xmax - edge + half);
        let rows = index(half - self.extent.ymax + edge)..=index(half - self.extent.ymin - edge);
        (rows, columns)
    }

    /// How many tiles there are at most. Those of a polygon over very many are not checked one by one.
    pub(crate) fn count(&self, scheme: &TileScheme) -> u64 {
        const CHECKED: u64 = 1 << 20;
        let side = |range: std::ops::RangeInclusive<u64>| (range.end() + 1).saturating_sub(*range.start());
        let ranges = self.levels.iter().map(|level| self.range(scheme, *level));
        let inside: u64 =
            ranges.map(|(rows, columns)| side(rows).saturating_mul(side(columns))).fold(0, u64::saturating_add);
        if self.polygon.is_none() || inside > CHECKED { inside } else { self.tiles(scheme).count() as u64 }
    }

    /// All tiles, level by level.
    pub(crate) fn tiles(&self, scheme: &TileScheme) -> impl Iterator<Item = (u32, u64, u64)> + '_ {
        let scheme = scheme.clone();
        self.levels
            .iter()
            .flat_map(move |level| {
                let (rows, columns) = self.range(&scheme, *level);
                rows.flat_map(move |row| columns.clone().map(move |column| (*level, row, column)))
            })
            .filter(|(level, row, column)| {
                self.polygon.as_ref().is_none_or(|p| p.intersects_envelope(&tile_extent(*level, *row, *column)))
            })
    }

    pub(crate) fn wgs84(&self) -> Value {
        let ([xmin, ymin], [xmax, ymax]) =
            (to_wgs84([self.extent.xmin, self.extent.ymin]), to_wgs84([self.extent.xmax, self.extent.ymax]));
        json!({"xmin": xmin, "ymin": ymin, "xmax": xmax, "ymax": ymax, "spatialReference": {"wkid": 4326, "latestWkid": 4326}})
    }

    pub(crate) fn web_mercator(&self) -> Value {
        web_mercator_json(&self.extent)
    }
}

fn parse_levels(text: &str) -> Option<Vec<u32>> {
    let mut levels = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        levels.extend(first..=last);
    }
    (!levels.is_empty()).then_some(levels)
}

fn to_polygon(value: Value) -> Option<Polygon> {
    let area: AreaOfInterest = serde_json::from_value(value).ok()?;
    Some(area.project(&SpatialReference::web_mercator()).ok()?.polygon())
}

fn refused(detail: &str) -> RestError {
    RestError::with_detail(400, "Unable to complete operation.", detail)
}

/// The extent of an `exportTiles` in Web Mercator; without a spatial reference the numbers are in the service's own.
fn extent_of(call: &Call) -> Rest<Envelope> {
    let invalid = || refused("'exportExtent' parameter is invalid");
    match call.text("exportExtent").or_else(|| call.text("extent")) {
        None | Some("DEFAULT") => serde_json::from_value(world_extent()).map_err(|_| refused("no extent")),
        Some(text) if text.trim_start().starts_with('{') => {
            let mut extent: Envelope = serde_json::from_str(text).map_err(|_| invalid())?;
            extent.spatial_reference.get_or_insert_with(SpatialReference::web_mercator);
            let area = AreaOfInterest::Envelope(extent).project(&SpatialReference::web_mercator());
            area.ok().and_then(|a| a.envelope()).ok_or_else(invalid)
        }
        Some(text) => from_numbers(text, SpatialReference::web_mercator()).ok_or_else(invalid),
    }
}

/// What an `exportTiles` asks for.
pub(crate) fn cut_of(call: &Call, scheme: &TileScheme) -> Rest<Cut> {
    if !call.text("exportBy").unwrap_or("levelId").eq_ignore_ascii_case("levelId") {
        return Err(refused("only exportBy=levelId is offered here"));
    }
    let levels = call.text("levels").and_then(parse_levels).ok_or_else(|| refused("'levels' parameter is invalid"))?;
    if levels.iter().any(|l| *l > scheme.max_lod) {
        return Err(refused("a level without tiles was asked for"));
    }
    let extent = extent_of(call)?;
    let feature = call.json("areaOfInterest").and_then(|v| v.pointer("/features/0/geometry").cloned());
    let polygon = feature.or_else(|| call.json("polygon")).and_then(to_polygon);
    Ok(Cut { levels, extent, polygon, lost: 0 })
}
