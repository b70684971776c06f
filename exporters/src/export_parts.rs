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

/// The parts of an export.
pub(crate) fn export_parts(
    service: &TiledService,
    area: &AreaOfInterest,
    level_ids: &[u32],
) -> Result<Vec<ExportPart>, Failure> {
    let sides = area.parts_in(&service.tile_info.spatial_reference)?;
    let side = |area: AreaOfInterest| ExportPart { area, level_ids: level_ids.to_vec() };
    let whole: Vec<ExportPart> = sides.into_iter().map(side).collect();
    // The older packages cannot be joined.
    if !service.is_vector() && service.version < DEFAULT_VERSION_OF_TPKX {
        return Ok(whole);
    }
    let mut split = Vec::new();
    for part in &whole {
        if !split_part(service, part.clone(), &mut split)? {
            return Ok(whole);
        }
    }
    Ok(if split.is_empty() { whole } else { split })
}

/// Splits a part until all of it keeps below the limit; answers whether it does.
fn split_part(service: &TiledService, part: ExportPart, to: &mut Vec<ExportPart>) -> Result<bool, Failure> {
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
    let mut levels = part.level_ids.clone();
    levels.sort_unstable();
    let deepest = if service.is_vector() { levels.last().copied() } else { levels.pop() };
    let Some(deepest) = deepest else { return Ok(false) };
    if !service.is_vector() && !levels.is_empty() {
        let coarser = ExportPart { level_ids: levels, area: part.area.clone() };
        let last = ExportPart { level_ids: vec![deepest], area: part.area };
        return Ok(split_part(service, coarser, to)? && split_part(service, last, to)?);
    }
    let Some(halves) = halves(service, &part, deepest) else { return Ok(false) };
    for half in halves {
        if !split_part(service, half, to)? {
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
        area: &AreaOfInterest,
        level_ids: &[u32],
        bytes_per_tile: (u64, u64),
    ) -> Result<TaskPlan, Failure> {
        let levels = self.planned_levels(area, level_ids)?;
        let total = TileInfo::total(&levels);
        let limit = ServiceLimit { name: "maxExportTilesCount".to_owned(), limit: self.max_export_tiles, needed: total };
        let all = export_parts(self, area, level_ids)?;
        let (parts, mut warnings) = (all.len(), Vec::new());
        if limit.needed > limit.limit {
            let (root, needed, most) = (&self.root, limit.needed, limit.limit);
            let fits = |part: &ExportPart| Ok::<_, Failure>(self.planned_tiles(&part.area, &part.level_ids)? <= most);
            let all_fit = all.iter().map(fits).collect::<Result<Vec<_>, _>>()?.into_iter().all(|fits| fits);
            warnings.push(match all_fit {
                true => format!(
                    "up to {needed} tiles are needed of {root}, which exports at most {most} at once: they are asked for in {parts} parts"
                ),
                false => format!("{root} may refuse: up to {needed} tiles are needed, it exports at most {most} at once"),
            });
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
            let call = self.export_call(&part.area, &levels_text(&part.level_ids), home)?;
            Ok(PartCall { call, part })
        };
        export_parts(self, area, level_ids)?.into_iter().map(call).collect()
    }

    fn export_call(&self, area: &AreaOfInterest, levels: &str, home: JobUrlStyle) -> Result<ServiceCall, Failure> {
        let area = area.simplified(LONGEST_GEOMETRY);
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
        if let AreaOfInterest::Polygon(polygon) = &area {
            call = match (self.version >= POLYGON_SINCE, home) {
                (true, _) => call.with("polygon", json!(polygon)),
                (false, JobUrlStyle::Raster) => call.with("areaOfInterest", json!({"features": [{"geometry": polygon}]})),
                // Older vector services know envelopes only.
                (false, JobUrlStyle::Vector) => call,
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
            let _ = service.task_plan(std::iter::empty(), &area, &levels, (1, 2));
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
                let parts = export_parts(&service, area, &levels).expect("parts");
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
            export_parts(service, &area, &(0..=deepest).collect::<Vec<_>>()).expect("parts").len()
        };
        assert_eq!(parts(&service(100_000, false), 10), 1);
        assert_eq!(parts(&service(1, true), 10), 1, "more parts than are asked for");
        let old = TiledService { version: 10.7, ..service(60, false) };
        assert_eq!(parts(&old, 10), 1, "older packages cannot be joined");
        assert_eq!(parts(&old, 3), 1);
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
