//! What tiled services say of themselves, raster and vector: levels, limits, the plan of an export and its parameters.
//!
//! Source: tile reference §2, §3, §5.

use offmap_arcgis::body::{cut, cut_attribution};
use offmap_formats::tile_package::{TilePackage, TilePackageKind};
use offmap_formats::tiles::TileRows;
use offmap_formats::tiles::{Lod, TileInfo};
use offmap_model::{
    AreaOfInterest, Envelope, ExportTask, Failure, FailureKind, FailureOwner, FailureStage, LayerArtifact, LayerContents,
    LayerSecrets, MOST_EXAMPLES, Missing, PlannedLevel, SpatialReference, TaskLayer, number,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Default of `maxExportTilesCount` where the service says nothing.
const DEFAULT_MAX_EXPORT_TILES: u64 = 100_000;
/// Most levels of a tiling scheme; Esri's have 24.
pub(crate) const MOST_LEVELS: usize = 100;
/// Keys of which every description of a tiled service has at least one.
pub(crate) const DESCRIPTION: &[&str] = &["tileInfo", "currentVersion", "capabilities", "layers"];
/// From this version on servers export raster tiles as `.tpkx`.
pub(crate) const DEFAULT_VERSION_OF_TPKX: f64 = 10.9;
/// The unit of the result file.
pub(crate) const FILE_UNIT: &str = "package";

/// The part of a tiled service's description that offmap needs; kept in the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TiledService {
    /// Root that exports; may be on another host than the map's.
    pub(crate) root: String,
    pub(crate) version: f64,
    pub(crate) tile_info: TileInfo,
    #[serde(default)]
    pub(crate) min_lod: Option<u32>,
    #[serde(default)]
    pub(crate) max_lod: Option<u32>,
    #[serde(default)]
    pub(crate) min_scale: f64,
    #[serde(default)]
    pub(crate) max_scale: f64,
    #[serde(default)]
    pub(crate) full_extent: Option<Envelope>,
    pub(crate) max_export_tiles: u64,
    /// Whether it says which tiles there are (`tilemap`).
    #[serde(default)]
    pub(crate) has_tilemap: bool,
    /// Where its vector tiles are, below the root, with `{z}`, `{y}` and `{x}`.
    #[serde(default)]
    pub(crate) vector_tiles: Option<String>,
    /// Parameters of the map's layer that go with every request; supplied anew whenever this is read back.
    #[serde(skip)]
    pub(crate) secrets: LayerSecrets,
}

/// Whether an extent says where tiles are: services without data have numbers that are none, or a point.
fn has_area(e: &Envelope) -> bool {
    let is_finite = [e.xmin, e.ymin, e.xmax, e.ymax].iter().all(|n| n.is_finite());
    is_finite && e.xmax > e.xmin && e.ymax > e.ymin
}

/// Raster services say it among their capabilities, vector services also by the place of the index.
fn has_tilemap(answer: &Value) -> bool {
    let words = answer.get("capabilities").and_then(Value::as_str).unwrap_or_default();
    let among = words.split(',').any(|word| word.trim().eq_ignore_ascii_case("tilemap"));
    among || answer.get("tileMap").is_some_and(Value::is_string)
}

impl TiledService {
    /// With the secrets of its layers, which no plan holds.
    pub(crate) fn with_secrets(self, secrets: &LayerSecrets) -> Self {
        Self { secrets: secrets.clone(), ..self }
    }

    /// Reads the service's description. The version may be text on emulators.
    pub(crate) fn read(root: &str, answer: &Value, secrets: &LayerSecrets) -> Result<Self, Failure> {
        let invalid = |words: String| {
            let message = format!("the description of {root} cannot be understood: {words}");
            Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, FailureStage::Plan, message)
        };
        let tile_info = answer.get("tileInfo").cloned().unwrap_or(Value::Null);
        let tile_info: TileInfo = serde_json::from_value(tile_info).map_err(|e| invalid(format!("tileInfo: {e}")))?;
        if tile_info.lods.len() > MOST_LEVELS {
            return Err(invalid(format!(
                "tileInfo: it has {} levels, expected at most {MOST_LEVELS}",
                tile_info.lods.len()
            )));
        }
        let number = |key: &str| answer.get(key).and_then(number::read::<f64>);
        let level = |key: &str| number::member::<u32>(answer, key).map_err(|e| invalid(e.to_string()));
        let most = number::member::<u64>(answer, "maxExportTilesCount").map_err(|e| invalid(e.to_string()))?;
        let extent = answer.get("fullExtent").cloned().and_then(|v| serde_json::from_value::<Envelope>(v).ok());
        Ok(Self {
            root: root.to_owned(),
            version: number("currentVersion").unwrap_or(0.0),
            tile_info,
            min_lod: level("minLOD")?,
            max_lod: level("maxLOD")?,
            min_scale: number("minScale").unwrap_or(0.0),
            max_scale: number("maxScale").unwrap_or(0.0),
            full_extent: extent.filter(has_area),
            max_export_tiles: most.unwrap_or(DEFAULT_MAX_EXPORT_TILES),
            has_tilemap: has_tilemap(answer),
            vector_tiles: answer.pointer("/tiles/0").and_then(Value::as_str).map(cut),
            secrets: secrets.clone(),
        })
    }

    /// Tiles that no service describes: those of a template, in a scheme that the map says.
    pub(crate) fn of_template(template: &str, tile_info: TileInfo, extent: Option<&Value>) -> Self {
        let extent = extent.and_then(|v| serde_json::from_value::<Envelope>(v.clone()).ok());
        Self {
            root: template.to_owned(),
            version: 0.0,
            tile_info,
            min_lod: None,
            max_lod: None,
            min_scale: 0.0,
            max_scale: 0.0,
            full_extent: extent.filter(has_area),
            max_export_tiles: 0,
            has_tilemap: false,
            vector_tiles: None,
            secrets: LayerSecrets::default(),
        }
    }

    /// Levels that really have tiles: `minLOD`..`maxLOD`, or on a service without them those inside its range of scales.
    pub(crate) fn cached_levels(&self) -> Vec<Lod> {
        let all = &self.tile_info.lods;
        if let (Some(min), Some(max)) = (self.min_lod, self.max_lod) {
            return all.iter().filter(|l| (min..=max).contains(&l.level)).copied().collect();
        }
        offmap_formats::tiles::levels_in_range(all, self.min_scale, self.max_scale)
    }

    pub(crate) fn extent_in(&self) -> Option<Envelope> {
        let mut extent = self.full_extent.clone()?;
        extent.spatial_reference.get_or_insert_with(|| self.tile_info.spatial_reference.clone());
        Some(extent)
    }

    /// The area of an export: the one that is given, else the service's full extent.
    pub(crate) fn area(&self, given: Option<&AreaOfInterest>) -> Result<AreaOfInterest, Failure> {
        if let Some(area) = given {
            return Ok(area.clone());
        }
        self.extent_in().map(AreaOfInterest::Envelope).ok_or_else(|| {
            Failure::invalid_parameter(format!(
                "areaOfInterest is null and {} names no full extent; give an area",
                self.root
            ))
        })
    }

    /// The tiles of an area, level by level.
    pub(crate) fn planned_levels(&self, area: &AreaOfInterest, level_ids: &[u32]) -> Result<Vec<PlannedLevel>, Failure> {
        let lods = self.lods(level_ids);
        if let Some(unknown) = level_ids.iter().find(|id| !lods.iter().any(|l| l.level == **id)) {
            let known: Vec<u32> = self.tile_info.lods.iter().map(|l| l.level).collect();
            return Err(Failure::invalid_parameter(format!(
                "{} has no level {unknown}; its levels are {known:?}",
                self.root
            )));
        }
        let levels: Vec<PlannedLevel> = self.tile_info.count(area, self.extent_in().as_ref(), &lods)?;
        if TileInfo::total(&levels) == 0 {
            return Err(Failure::invalid_parameter(format!(
                "the area lies outside {}: no tile of levels {level_ids:?} meets it",
                self.root
            )));
        }
        Ok(levels)
    }

    /// The tiles of an area that a package misses: of those that its own index promises, where it has one. `None` where none is
    /// missing. What cannot be listed is counted against the plan.
    pub(crate) fn missing(
        &self,
        area: &AreaOfInterest,
        level_ids: &[u32],
        package: &TilePackage,
    ) -> Result<Option<Missing>, Failure> {
        let lods = self.lods(level_ids);
        let extent = self.extent_in();
        // A `.tpk` may count its folders from zero, so its tiles cannot be told by their levels.
        let cover = match package.kind {
            TilePackageKind::Tpk => None,
            _ => self.tile_info.cover(area, extent.as_ref(), &lods)?,
        };
        let Some(cover) = cover else {
            return Ok(Missing::between(self.planned_tiles(area, level_ids)?, package.total()));
        };
        let none = TileRows::default();
        let mut missing = Missing::default();
        for (level, tiles) in cover {
            let promised = package.promised.as_ref().map(|levels| levels.get(&level).unwrap_or(&none));
            let wanted = promised.map_or_else(|| tiles.clone(), |promised| promised.intersection(&tiles));
            let lacking = wanted.difference(package.stored.get(&level).unwrap_or(&none));
            missing.of += wanted.tiles();
            missing.count += lacking.tiles();
            let room = MOST_EXAMPLES.saturating_sub(missing.examples.len());
            missing.examples.extend(lacking.each().take(room).map(|(row, column)| format!("{level}/{row}/{column}")));
        }
        Ok((missing.count > 0).then_some(missing))
    }

    pub(crate) fn planned_tiles(&self, area: &AreaOfInterest, level_ids: &[u32]) -> Result<u64, Failure> {
        let levels = self.tile_info.count(area, self.extent_in().as_ref(), &self.lods(level_ids))?;
        Ok(TileInfo::total(&levels))
    }

    pub(crate) fn lods(&self, level_ids: &[u32]) -> Vec<Lod> {
        self.tile_info.lods.iter().filter(|l| level_ids.contains(&l.level)).copied().collect()
    }
}

/// An area or `null`. A key that is missing is an error: the whole extent is nothing to ask for by mistake.
pub(crate) fn area_or_null<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<AreaOfInterest>, D::Error> {
    Option::deserialize(deserializer)
}

/// Words for a service that does not allow export.
pub(crate) fn export_not_allowed(title: &str) -> String {
    format!("\"{title}\" does not allow tiles to be exported (exportTilesAllowed); its owner can switch that on")
}

/// Words for a service whose tiles are in a reference that areas cannot be brought into; `None` where they can.
pub(crate) fn spatial_reference_not_supported(title: &str, spatial_reference: &SpatialReference) -> Option<String> {
    let failure = spatial_reference.check().err()?;
    Some(format!("the tiles of \"{title}\" are in {}", failure.message))
}

/// Where a service's jobs are looked at, the likelier url first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JobUrlStyle {
    /// `{root}/exportTiles/jobs/{id}`, then `{root}/jobs/{id}`.
    Raster,
    /// The other way round.
    Vector,
}

impl JobUrlStyle {
    pub(crate) fn urls(self, root: &str, id: &str) -> [String; 2] {
        let (long, short) = (format!("{root}/exportTiles/jobs/{id}"), format!("{root}/jobs/{id}"));
        match self {
            Self::Raster => [long, short],
            Self::Vector => [short, long],
        }
    }
}

/// One artifact entry for each layer of a tile task; all share the package.
pub(crate) fn layers_of(
    task: &ExportTask,
    got: u64,
    missing: Option<&Missing>,
    resources: Option<usize>,
) -> Vec<LayerArtifact> {
    let layer = |l: &TaskLayer| LayerArtifact {
        id: l.id.clone(),
        file: Some(0),
        resources,
        contents: LayerContents { planned: l.expected, got, missing_tiles: missing.cloned(), ..LayerContents::default() },
        ..LayerArtifact::default()
    };
    task.layers.iter().map(layer).collect()
}

/// The service's own title, else its name, else the one in its url. `mapName` is none of them: it is `Layers` on most servers.
pub(crate) fn title_of(root: &str, answer: &Value) -> String {
    let mut own = ["/documentInfo/Title", "/documentInfo/title", "/name"].into_iter().filter_map(|at| answer.pointer(at));
    let own = own.find_map(|t| t.as_str().filter(|t| !t.trim().is_empty())).map(|t| cut(t.trim()));
    own.unwrap_or_else(|| root.rsplit('/').nth(1).unwrap_or(root).to_owned())
}

pub(crate) fn text(answer: &Value, key: &str) -> Option<String> {
    answer.get(key).and_then(Value::as_str).filter(|t| !t.trim().is_empty()).map(cut_attribution)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_levels_of_a_service_are_those_that_have_tiles() {
        let text = std::fs::read_to_string(
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/samples/tiles/service-json/imageserver-cached.json"),
        );
        let Ok(text) = text else {
            eprintln!("skipped: the sample services are not there");
            return;
        };
        let answer: Value = serde_json::from_str(&text).expect("JSON");
        let service = TiledService::read("https://h/ImageServer", &answer, &LayerSecrets::default()).expect("reads");
        assert_eq!(service.version, 10.91);
        let cached = service.cached_levels();
        assert!(!cached.is_empty() && cached.len() <= service.tile_info.lods.len());
        assert_eq!(service.max_export_tiles, DEFAULT_MAX_EXPORT_TILES);
    }
}
