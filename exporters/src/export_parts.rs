//! What an export of tiles asks for: parts that each keep below the service's limit, their units, and the parameters of `exportTiles`.
//!
//! An area that crosses the dateline has two parts. One of more tiles than the service exports at once is split: raster tiles first by
//! levels, the deepest by itself, and what is too many of one level into strips that meet between two columns of tiles; vector tiles into
//! strips of all levels, since a package without level 0 says nothing of the levels below. The packages are joined. Where the limit cannot
//! be kept so, nothing is split: what is counted here is an upper bound of what the service counts.
//!
//! Source: tile reference §5, §10, §11.

use crate::tile_service::{DEFAULT_VERSION_OF_TPKX, FILE_UNIT, JobUrlStyle, TiledService};
use offmap_arcgis::ServiceCall;
use offmap_engine::{LayerPlan, TaskPlan};
use offmap_formats::tiles::{TileInfo, levels_text};
use offmap_model::area::LONGEST_GEOMETRY;
use offmap_model::json::json_bytes;
use offmap_model::{AreaOfInterest, CountUnit, Failure, FailureStage, LayerSecrets, ServiceLimit, Unit};
use serde_json::{Value, json};

/// Since this version of the server a polygon is understood by `exportTiles`.
const POLYGON_SINCE: f64 = 10.7;
/// The unit of the server's job.
pub(crate) const JOB_UNIT: &str = "exportTiles";
/// Parts that an export is split into at most.
const MOST_PARTS: usize = 64;
/// Part of a pixel by which two strips keep apart, so that no column is in both.
const APART: f64 = 0.01;

/// What one job of the service exports.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ExportPart {
    pub(crate) area: AreaOfInterest,
    pub(crate) level_ids: Vec<u32>,
}

/// An area as the service takes it.
fn sent_area(service: &TiledService, area: AreaOfInterest, home: JobUrlStyle) -> AreaOfInterest {
    let takes_polygons = service.version >= POLYGON_SINCE || home == JobUrlStyle::Raster;
    let envelope = area.envelope().filter(|_| !takes_polygons);
    envelope.map_or(area, AreaOfInterest::Envelope)
}

fn is_short(area: &AreaOfInterest) -> bool {
    match area {
        AreaOfInterest::Polygon(polygon) => json_bytes(polygon) <= LONGEST_GEOMETRY,
        AreaOfInterest::Envelope(_) => true,
    }
}

/// The parts of an export, each with the area that is sent for it.
pub(crate) fn export_parts(
    service: &TiledService,
    area: &AreaOfInterest,
    level_ids: &[u32],
    home: JobUrlStyle,
) -> Result<Vec<ExportPart>, Failure> {
    let sides = area.parts_in(&service.tile_info.spatial_reference)?.into_iter().map(|side| sent_area(service, side, home));
    let side = |area: AreaOfInterest| ExportPart { area, level_ids: level_ids.to_vec() };
    let sides: Vec<ExportPart> = sides.map(side).collect();
    let mut split = Vec::new();
    // The older packages cannot be joined.
    let can_join = home == JobUrlStyle::Vector || service.version >= DEFAULT_VERSION_OF_TPKX;
    let mut is_split = can_join;
    for part in sides.iter().filter(|_| can_join) {
        is_split = is_split && split_part(service, part.clone(), home, &mut split)?;
    }
    let short = |part: ExportPart| ExportPart { area: part.area.simplified(LONGEST_GEOMETRY), ..part };
    Ok(if is_split && !split.is_empty() { split } else { sides.into_iter().map(short).collect() })
}

/// Splits a part until all of it keeps below the limits; answers whether it does.
fn split_part(
    service: &TiledService,
    mut part: ExportPart,
    home: JobUrlStyle,
    to: &mut Vec<ExportPart>,
) -> Result<bool, Failure> {
    let is_vector = home == JobUrlStyle::Vector;
    let mut levels = part.level_ids.clone();
    levels.sort_unstable();
    let Some(mut deepest) = levels.last().copied() else { return Ok(false) };
    if !is_short(&part.area) {
        match halves(service, &part, deepest) {
            Some(halves) if to.len() < MOST_PARTS => return split_halves(service, halves, home, to),
            _ => part.area = part.area.simplified(LONGEST_GEOMETRY),
        }
    }
    let tiles = service.planned_tiles(&part.area, &part.level_ids)?;
    // A part beyond the service has nothing to export.
    if tiles == 0 {
        return Ok(true);
    }
    if tiles <= service.max_export_tiles {
        to.push(part);
        return Ok(to.len() <= MOST_PARTS);
    }
    if to.len() >= MOST_PARTS {
        return Ok(false);
    }
    if !is_vector && levels.len() > 1 {
        deepest = levels.pop().unwrap_or(deepest);
        let coarser = ExportPart { level_ids: levels, area: part.area.clone() };
        let last = ExportPart { level_ids: vec![deepest], area: part.area };
        return Ok(split_part(service, coarser, home, to)? && split_part(service, last, home, to)?);
    }
    match halves(service, &part, deepest) {
        Some(halves) => split_halves(service, halves, home, to),
        None => Ok(false),
    }
}

fn split_halves(
    service: &TiledService,
    halves: [ExportPart; 2],
    home: JobUrlStyle,
    to: &mut Vec<ExportPart>,
) -> Result<bool, Failure> {
    for half in halves {
        if !split_part(service, half, home, to)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Two strips of a part that meet between two columns of its deepest level; `None` where it has one column only.
fn halves(service: &TiledService, part: &ExportPart, deepest: u32) -> Option<[ExportPart; 2]> {
    let info = &service.tile_info;
    let lod = info.lods.iter().find(|lod| lod.level == deepest)?;
    let width = lod.resolution * f64::from(info.cols);
    let e = part.area.envelope()?;
    let column = |x: f64| ((x - info.origin.x) / width).floor();
    let (first, last) = (column(e.xmin + lod.resolution * APART), column(e.xmax - lod.resolution * APART));
    if !(width > 0.0 && last > first) {
        return None;
    }
    let between = info.origin.x + (((first + last) / 2.0).floor() + 1.0) * width;
    let apart = lod.resolution * APART;
    let strip = |left, right| {
        let area = part.area.strip(left, right)?;
        Some(ExportPart { area, level_ids: part.level_ids.clone() })
    };
    Some([strip(e.xmin, between - apart)?, strip(between + apart, e.xmax)?])
}

impl TiledService {
    /// The plan of one export: tiles per level, the limit, and the two units that every export has.
    pub(crate) fn task_plan(
        &self,
        layers: impl Iterator<Item = String>,
        (area, level_ids): (&AreaOfInterest, &[u32]),
        home: JobUrlStyle,
        bytes_per_tile: (u64, u64),
    ) -> Result<TaskPlan, Failure> {
        let levels = self.planned_levels(area, level_ids)?;
        let total = TileInfo::total(&levels);
        let sent = sent_area(self, area.clone(), home);
        // What the service counts may be more than what is wanted.
        let needed = if sent == *area { total } else { self.planned_tiles(&sent, level_ids)?.max(total) };
        let limit = ServiceLimit { name: "maxExportTilesCount".to_owned(), limit: self.max_export_tiles, needed };
        let all = export_parts(self, area, level_ids, home)?;
        let (parts, mut warnings, mut may_be_refused) = (all.len(), Vec::new(), None);
        if limit.needed > limit.limit {
            let (root, needed, most) = (&self.root, limit.needed, limit.limit);
            let fits = |part: &ExportPart| Ok::<_, Failure>(self.planned_tiles(&part.area, &part.level_ids)? <= most);
            let all_fit = all.iter().map(fits).collect::<Result<Vec<_>, _>>()?.into_iter().all(|fits| fits);
            let words = match all_fit {
                true => format!(
                    "up to {needed} tiles are needed of {root}, which exports at most {most} at once: they are asked for in {parts} parts"
                ),
                false => format!("{root} may refuse: up to {needed} tiles are needed, it exports at most {most} at once"),
            };
            may_be_refused = (!all_fit).then(|| format!("{words}; drop the deepest level or make the area smaller"));
            warnings.push(words);
        }
        Ok(TaskPlan {
            units: units(parts),
            layers: layers.map(|id| LayerPlan { id, expected: Some(total), ..LayerPlan::default() }).collect(),
            count_unit: CountUnit::Tiles,
            // For each part: submit, one look, find the file, fetch it.
            requests: 4 * parts as u64,
            levels,
            bytes: Some(offmap_model::ByteRange {
                min: total.saturating_mul(bytes_per_tile.0),
                max: total.saturating_mul(bytes_per_tile.1),
            }),
            limits: vec![limit],
            may_be_refused,
            warnings,
            ..TaskPlan::default()
        })
    }

    /// The parameters of `exportTiles` that raster and vector services share, once for each part of the export ([`export_parts`]).
    pub(crate) fn export_calls(
        &self,
        area: &AreaOfInterest,
        level_ids: &[u32],
        home: JobUrlStyle,
    ) -> Result<Vec<PartCall>, Failure> {
        let call = |part: ExportPart| {
            let call = self.export_call(&part.area, &levels_text(&part.level_ids))?;
            Ok(PartCall { call, part })
        };
        export_parts(self, area, level_ids, home)?.into_iter().map(call).collect()
    }

    /// Asks for the area of a part, which is one that the service takes.
    fn export_call(&self, area: &AreaOfInterest, levels: &str) -> Result<ServiceCall, Failure> {
        let mut envelope = area.envelope().ok_or_else(|| Failure::invalid_parameter("the area of interest is empty"))?;
        if let Some(world) = self.tile_info.spatial_reference.world() {
            envelope.ymin = envelope.ymin.max(world.ymin);
            envelope.ymax = envelope.ymax.min(world.ymax);
        }
        let mut call = ServiceCall::post(&format!("{}/exportTiles", self.root))?
            .with_secrets(&self.secrets)
            .with("exportBy", "levelId")
            .with("levels", levels)
            // With its spatial reference: bare numbers would be read in the service's own.
            .with("exportExtent", json!(envelope))
            .in_stage(FailureStage::Submit)
            .non_idempotent();
        if let AreaOfInterest::Polygon(polygon) = area {
            call = match self.version >= POLYGON_SINCE {
                true => call.with("polygon", json!(polygon)),
                false => call.with("areaOfInterest", json!({"features": [{"geometry": polygon}]})),
            };
        }
        Ok(call)
    }
}

/// A part of an export, and what asks for its tiles.
#[derive(Debug)]
pub(crate) struct PartCall {
    pub(crate) part: ExportPart,
    pub(crate) call: ServiceCall,
}

/// The units of an export: a job and a file for each part, and the file that the parts become.
pub(crate) fn units(parts: usize) -> Vec<Unit> {
    let mut units = Vec::new();
    for part in 0..parts {
        units.push(Unit::new(job_unit(part, parts), "serverJob", "the service's export job"));
        if parts > 1 {
            units.push(Unit::new(part_unit(part), "resultFile", "the tile package of a part"));
        }
    }
    units.push(Unit::new(FILE_UNIT, "resultFile", "the tile package"));
    units
}

pub(crate) fn job_unit(part: usize, parts: usize) -> String {
    if parts > 1 { format!("{JOB_UNIT}-{}", part + 1) } else { JOB_UNIT.to_owned() }
}

pub(crate) fn part_unit(part: usize) -> String {
    format!("{FILE_UNIT}-{}", part + 1)
}

/// Reads an answer as a service's description, for fuzzing.
pub(crate) fn read_any_service(answer: &Value) {
    if let Ok(service) = TiledService::read("https://h/rest/services/S/MapServer", answer, &LayerSecrets::default()) {
        let levels: Vec<u32> = service.cached_levels().iter().map(|l| l.level).collect();
        if let Ok(area) = AreaOfInterest::from_numbers("175,-22,-170,-10") {
            let _ = service.task_plan(std::iter::empty(), (&area, &levels), JobUrlStyle::Raster, (1, 2));
            let _ = service.export_calls(&area, &levels, JobUrlStyle::Raster);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offmap_formats::tiles::web_mercator_scheme;
    use std::collections::BTreeSet;
    use std::path::Path;

    fn service(most: u64, is_vector: bool) -> TiledService {
        let mut service = TiledService::of_template("https://h/S/MapServer", web_mercator_scheme(256, 12), None);
        (service.max_export_tiles, service.version) = (most, 11.2);
        service.vector_tiles = is_vector.then(|| "tile/{z}/{y}/{x}.pbf".to_owned());
        service
    }

    fn tiles(service: &TiledService, area: &AreaOfInterest, level_ids: &[u32]) -> BTreeSet<(u32, u64, u64)> {
        let cover = service.tile_info.cover(area, None, &service.lods(level_ids)).expect("covers").expect("lists");
        let of_level = |(level, rows): (&u32, &offmap_formats::tiles::TileRows)| {
            rows.each().map(|(row, column)| (*level, row, column)).collect::<Vec<_>>()
        };
        cover.iter().flat_map(of_level).collect()
    }

    #[test]
    fn an_export_over_the_limit_is_split_and_no_tile_is_lost_or_new() {
        let star = r#"{"rings":[[[5,45],[7,49],[12,50],[8,47],[11,44],[7.5,46],[5,45]]],"spatialReference":{"wkid":4326}}"#;
        let areas = [
            AreaOfInterest::from_numbers("5.9,45.8,10.5,47.8").expect("an area"),
            AreaOfInterest::from_numbers("175,-22,-170,-10").expect("an area"),
            AreaOfInterest::from_json(star).expect("an area"),
        ];
        let levels: Vec<u32> = (0..=10).collect();
        for area in &areas {
            for is_vector in [false, true] {
                let all = tiles(&service(1, is_vector), area, &levels);
                // Each strip of vector tiles has all levels.
                let most = all.len() as u64 / 4;
                let service = service(most, is_vector);
                let home = if is_vector { JobUrlStyle::Vector } else { JobUrlStyle::Raster };
                let parts = export_parts(&service, area, &levels, home).expect("parts");
                assert!(parts.len() > 3, "{} tiles in {} parts", all.len(), parts.len());
                let mut joined = BTreeSet::new();
                for part in &parts {
                    let own = tiles(&service, &part.area, &part.level_ids);
                    assert!(own.len() as u64 <= most, "{} tiles of {most}", own.len());
                    assert!(!is_vector || part.level_ids == levels, "a package of vector tiles has level 0");
                    joined.extend(own);
                }
                assert!(joined == all, "{is_vector}: {} of {}", joined.len(), all.len());
            }
        }
    }

    #[test]
    fn what_keeps_below_the_limit_or_cannot_is_not_split() {
        let area = AreaOfInterest::from_numbers("5.9,45.8,10.5,47.8").expect("an area");
        let parts = |service: &TiledService, deepest: u32| {
            let home = if service.vector_tiles.is_some() { JobUrlStyle::Vector } else { JobUrlStyle::Raster };
            export_parts(service, &area, &(0..=deepest).collect::<Vec<_>>(), home).expect("parts").len()
        };
        assert_eq!(parts(&service(100_000, false), 10), 1);
        assert_eq!(parts(&service(1, true), 10), 1, "more parts than are asked for");
        let old = TiledService { version: 10.7, ..service(60, false) };
        assert_eq!(parts(&old, 10), 1, "older packages cannot be joined");
        assert_eq!(parts(&old, 3), 1);
    }

    /// A ring of so many vertices around Switzerland.
    fn ring(vertices: u32) -> AreaOfInterest {
        let vertex = |i: u32| {
            let angle = -f64::from(i) / f64::from(vertices) * std::f64::consts::TAU;
            let radius = 2.0 + 0.05 * f64::from(i % 2);
            format!("[{},{}]", 8.0 + radius * angle.cos(), 46.5 + radius * angle.sin())
        };
        let ring: Vec<String> = (0..vertices).chain([0]).map(vertex).collect();
        let json = format!(r#"{{"rings":[[{}]],"spatialReference":{{"wkid":4326}}}}"#, ring.join(","));
        AreaOfInterest::from_json(&json).expect("an area")
    }

    #[test]
    fn counted_is_the_area_that_is_sent() {
        let star = r#"{"rings":[[[5,45],[5.1,49],[12,49.1],[5,45]]],"spatialReference":{"wkid":4326}}"#;
        let area = AreaOfInterest::from_json(star).expect("an area");
        let levels: Vec<u32> = (0..=10).collect();
        let most = tiles(&service(1, true), &area, &levels).len() as u64;
        // The triangle keeps below the limit, its envelope does not.
        for (version, parts_from) in [(11.2, 1), (10.4, 2)] {
            let service = TiledService { version, ..service(most, true) };
            let parts = export_parts(&service, &area, &levels, JobUrlStyle::Vector).expect("parts");
            assert!(parts.len() >= parts_from && (parts.len() == 1) == (parts_from == 1), "{version}: {}", parts.len());
            for part in &parts {
                let sent = service.export_call(&part.area, "0").expect("a call");
                assert_eq!(format!("{sent:?}").contains("polygon="), version >= POLYGON_SINCE, "{version}");
                let counted = service.planned_tiles(&part.area, &part.level_ids).expect("counts");
                assert!(counted <= most, "{version}: {counted} of {most}");
            }
            let plan = service.task_plan(["l".to_owned()].into_iter(), (&area, &levels), JobUrlStyle::Vector, (1, 2));
            let limit = &plan.expect("a plan").limits[0];
            assert_eq!(limit.needed > most, version < POLYGON_SINCE, "{version}: {limit:?}");
        }
    }

    #[test]
    fn an_area_that_is_too_long_is_split_and_none_of_its_tiles_is_lost() {
        let (area, levels) = (ring(6_000), (0..=9).collect::<Vec<u32>>());
        assert!(!is_short(&area));
        for is_vector in [false, true] {
            let home = if is_vector { JobUrlStyle::Vector } else { JobUrlStyle::Raster };
            let service = service(1_000_000, is_vector);
            let parts = export_parts(&service, &area, &levels, home).expect("parts");
            assert!(parts.len() > 1 && parts.iter().all(|part| is_short(&part.area)), "{}", parts.len());
            let joined: BTreeSet<_> = parts.iter().flat_map(|p| tiles(&service, &p.area, &p.level_ids)).collect();
            assert!(joined == tiles(&service, &area, &levels), "every tile of the area itself");
            // With one column of tiles there is nothing to split.
            let coarse = export_parts(&service, &area, &[0], home).expect("parts");
            assert!(coarse.len() == 1 && is_short(&coarse[0].area));
        }
        let old = TiledService { version: 10.6, ..service(1_000_000, false) };
        let parts = export_parts(&old, &area, &levels, JobUrlStyle::Raster).expect("parts");
        assert!(parts.len() == 1 && is_short(&parts[0].area), "older packages cannot be joined");
    }

    #[test]
    fn a_polygon_goes_in_the_form_that_the_version_understands() {
        let text = std::fs::read_to_string(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../../shared/samples/tiles/service-json/vectortileserver-docs-example.json"),
        );
        let Ok(text) = text else {
            eprintln!("skipped: the sample services are not there");
            return;
        };
        let mut answer: Value = serde_json::from_str(&text).expect("JSON");
        let area = AreaOfInterest::from_json(r#"{"rings":[[[0,0],[1,9],[9,0],[0,0]]],"spatialReference":{"wkid":4326}}"#);
        let area = area.expect("an area");
        let mut words = |version: f64, home: JobUrlStyle| {
            answer["currentVersion"] = json!(version);
            let service =
                TiledService::read("https://h/VectorTileServer", &answer, &LayerSecrets::default()).expect("reads");
            format!("{:?}", service.export_calls(&area, &[0, 1, 2, 3], home).expect("calls"))
        };
        assert!(words(11.2, JobUrlStyle::Vector).contains("\"polygon="));
        assert!(!words(10.4, JobUrlStyle::Vector).contains("\"polygon="));
        assert!(words(10.4, JobUrlStyle::Raster).contains("\"areaOfInterest="));
    }
}
