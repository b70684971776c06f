//! Vector tiled layers: `exportTiles` to `.vtpk`, and the style, sprites and fonts of a style that lives on a portal item.

mod describe;
mod fetcher;
mod fonts;
mod forms;
mod parameters;
mod sprites;
mod style;

pub use parameters::ExportVectorTilesParameters;

use crate::file_etag;
use crate::tile_export::{self, export_package};
use crate::tile_service::{FILE_UNIT, JobUrlStyle, TiledService, layers_of};
use async_trait::async_trait;
use describe::{Described, LayerStyle, describe, is_own_style, item_style, no_twin, twin_of};
use offmap_arcgis::ArcGisClient;
use offmap_disk::{atomic_file, hash_result, run_blocking};
use offmap_engine::{ExportContext, Exporter, PlanContext, ServiceDescription, ServiceRequest, TaskPlan};
use offmap_formats::tile_package;
use offmap_formats::tile_package::{TilePackage, TilePackageKind};
use offmap_formats::tiles::{cut_to_layers, levels_in_range, levels_text};
use offmap_model::{
    Artifact, ArtifactFile, Capability, CapabilityReason, EsriVectorTilesDownloadOption, ExportTask, Failure, FailureKind,
    FailureOwner, FailureStage, LayerNote, LayerNoteKind, LayerType, MapLayer, OfflineMapSource, Unit,
};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use style::{Style, note};

/// Bytes of a vector tile, from nearly empty to rich; an estimate for plans.
const BYTES_PER_TILE: (u64, u64) = (200, 60_000);
/// The unit of a style with its sprites and fonts.
const STYLE_UNIT: &str = "style";
/// Their folder in the work directory.
const STYLE_FOLDER: &str = "resources";

/// Takes vector tiled layers.
#[derive(Debug, Clone)]
pub struct VectorTilesExporter {
    client: ArcGisClient,
}

impl VectorTilesExporter {
    /// Makes the exporter.
    #[must_use]
    pub fn new(client: ArcGisClient) -> Self {
        Self { client }
    }
}

#[async_trait]
impl Exporter for VectorTilesExporter {
    type Parameters = ExportVectorTilesParameters;
    type Service = Described;

    fn name(&self) -> &'static str {
        "vector-tiles"
    }

    fn parameters_type(&self) -> &'static str {
        "exportVectorTilesParameters"
    }

    fn supports(&self, layer: &MapLayer, source: &OfflineMapSource) -> Option<String> {
        if layer.layer_type != LayerType::VectorTile {
            return None;
        }
        let service = layer.service().filter(|s| s.kind() == "vectortileserver").map(|s| s.root().to_owned());
        // One service, one key, one package, whatever its layers are drawn by.
        service.or_else(|| layer.style_url.clone()).or_else(|| item_style(layer, source))
    }

    async fn describe(&self, request: &ServiceRequest, _: &PlanContext) -> Result<ServiceDescription<Described>, Failure> {
        let secrets = request.secrets();
        let mut title = request.layers.first().map(|l| l.title.clone()).unwrap_or_default();
        let mut refused: HashMap<&str, Capability> = HashMap::new();
        let mut described = Described::default();
        let is_service =
            |url: &str| offmap_model::service_url::ServiceUrl::parse(url).is_some_and(|s| s.kind() == "vectortileserver");
        let multiple = |title: &str, sources: usize| {
            let words = format!("the style of \"{title}\" has {sources} sources; only one can go offline as a package");
            Capability::refused(CapabilityReason::MultipleSources, words)
        };
        let by_service = is_service(&request.service_url);
        let mut root = by_service.then(|| request.service_url.clone());
        // 1. The styles, each once.
        let style_of = |l: &MapLayer| match &root {
            Some(root) => l.style_url.clone().filter(|style| !is_own_style(style, root)),
            None => Some(request.service_url.clone()),
        };
        let mut styles: BTreeMap<String, Vec<&MapLayer>> = BTreeMap::new();
        for layer in &request.layers {
            if let Some(style) = style_of(layer) {
                styles.entry(style).or_default().push(layer);
            }
        }
        for (url, layers) in styles {
            let fetched = Style::fetch(&self.client, &url, &secrets).await;
            let (style, roots) = match fetched.and_then(|style| style.service_roots().map(|roots| (style, roots))) {
                Ok(read) => read,
                Err(failure) if failure.is_cancelled() || !by_service => return Err(failure),
                // The service's other layers are drawn by other styles.
                Err(failure) => {
                    let capability = Capability::NotSupported(CapabilityReason::ServiceNotUsable, Box::new(failure));
                    refused.extend(layers.iter().map(|l| (l.id.as_str(), capability.clone())));
                    continue;
                }
            };
            match roots.as_slice() {
                [one] => {
                    let root = root.get_or_insert_with(|| one.clone());
                    if !is_own_style(&url, root) {
                        let layers = layers.iter().map(|l| l.id.clone()).collect();
                        described.styles.push(LayerStyle { layers, style });
                    }
                }
                roots => refused.extend(layers.iter().map(|l| (l.id.as_str(), multiple(&l.title, roots.len())))),
            }
        }
        // 2. The service, and its twin with fewer fonts where the caller knows one.
        let mut attribution = None;
        if let Some(root) = root.filter(|_| refused.len() < request.layers.len()) {
            let wants_twin = request.parameters.esri_vector_tiles_download_option
                == EsriVectorTilesDownloadOption::UseReducedFontsService;
            match twin_of(&root, &request.source) {
                Some(twin) => match describe(&self.client, twin, &request.source, &secrets).await.map(|a| a.service) {
                    Ok(Ok(service)) => described.reduced = Some(service),
                    Ok(Err((_, words))) => described.no_twin = Some(format!("{words}; the original one is taken")),
                    Err(failure) if failure.is_cancelled() => return Err(failure),
                    Err(failure) => described.no_twin = Some(format!("{failure}; the original one is taken")),
                },
                None => described.no_twin = no_twin(&root),
            }
            let has_twin = wants_twin && described.reduced.is_some();
            let all = |capability: Capability| request.layers.iter().map(move |l| (l.id.as_str(), capability.clone()));
            match describe(&self.client, &root, &request.source, &secrets).await {
                Ok(answer) => {
                    attribution = answer.attribution;
                    if by_service {
                        title = answer.title;
                    }
                    match answer.service {
                        Ok(service) => described.service = Some(service),
                        Err(_) if has_twin => {}
                        Err((reason, words)) => refused.extend(all(Capability::refused(reason, words))),
                    }
                }
                Err(failure) if failure.is_cancelled() || !has_twin => return Err(failure),
                Err(_) => {}
            }
        }
        // The style of the host that exports is in its package as well.
        if let Some(service) = &described.service {
            described.styles.retain(|s| !is_own_style(s.style.url(), &service.root));
        }
        let capability = |l: &MapLayer| (l.id.clone(), refused.get(l.id.as_str()).cloned().unwrap_or(Capability::Supported));
        let extent = described.service.as_ref().or(described.reduced.as_ref()).and_then(TiledService::extent_in);
        Ok(ServiceDescription {
            title,
            capabilities: request.layers.iter().map(capability).collect(),
            extent,
            service: described,
            attribution,
            edit_date: None,
        })
    }

    fn default_parameters(
        &self,
        request: &ServiceRequest,
        found: &ServiceDescription<Described>,
    ) -> Result<Self::Parameters, Failure> {
        let wanted = &request.parameters;
        let service = found.service.chosen(wanted.esri_vector_tiles_download_option)?;
        // Vector tiles ignore the minimum scale.
        let drawn: Vec<(f64, f64)> = request.layers.iter().map(|l| (0.0, l.max_scale.unwrap_or(0.0))).collect();
        let (_, max_scale) = cut_to_layers(0.0, wanted.max_scale, &drawn);
        let chosen = levels_in_range(&service.tile_info.lods, 0.0, max_scale);
        let cached = service.cached_levels();
        let max_level = cached.iter().map(|l| l.level).filter(|id| chosen.iter().any(|l| l.level == *id)).max();
        let max_level = max_level.and_then(|level| i32::try_from(level).ok()).ok_or_else(|| {
            Failure::invalid_parameter(format!(
                "no level of \"{}\" lies at or above maxScale {max_scale}; its levels with tiles are {:?}",
                found.title,
                cached.iter().map(|l| l.level).collect::<Vec<_>>()
            ))
        })?;
        Ok(ExportVectorTilesParameters {
            area_of_interest: Some(wanted.area_of_interest.clone()),
            max_level,
            esri_vector_tiles_download_option: wanted.esri_vector_tiles_download_option,
        })
    }

    async fn plan(
        &self,
        request: &ServiceRequest,
        found: &ServiceDescription<Described>,
        parameters: &Self::Parameters,
        _: &PlanContext,
    ) -> Result<TaskPlan, Failure> {
        parameters.check()?;
        let described = found.service.clone().with_secrets(&request.secrets());
        let service = described.chosen(parameters.esri_vector_tiles_download_option)?.clone();
        let level_ids = level_ids(&service, parameters)?;
        let layers: Vec<String> = request.layers.iter().map(|l| l.id.clone()).collect();
        let area = service.area(parameters.area_of_interest.as_ref())?;
        let moved = self.client.move_of(&service.root);
        let counted = move || service.task_plan(layers.into_iter(), &area, &level_ids, BYTES_PER_TILE);
        let mut plan = run_blocking(counted).await?;
        plan.warnings.extend(moved);
        for i in 0..described.styles.len() {
            plan.units.push(Unit::new(numbered(STYLE_UNIT, i), "resource", "the item's style with sprites and fonts"));
        }
        plan.warnings.extend(described.warnings(parameters));
        Ok(plan)
    }

    async fn export(
        &self,
        task: &ExportTask,
        described: &Described,
        parameters: &Self::Parameters,
        ctx: &ExportContext,
    ) -> Result<Artifact, Failure> {
        let described = described.clone().with_secrets(ctx.secrets());
        Self::new(self.client.for_task(ctx.clone())).run(task, &described, parameters, ctx).await
    }

    async fn rollback(&self, _: &ExportTask, _: &Described, ctx: &ExportContext) {
        tile_export::rollback(&self.client.for_task(ctx.clone()), ctx).await;
    }
}

impl VectorTilesExporter {
    async fn run(
        &self,
        task: &ExportTask,
        described: &Described,
        parameters: &ExportVectorTilesParameters,
        ctx: &ExportContext,
    ) -> Result<Artifact, Failure> {
        let service = described.chosen(parameters.esri_vector_tiles_download_option)?;
        let level_ids = level_ids(service, parameters)?;
        let area = service.area(parameters.area_of_interest.as_ref())?;
        let (asked, whole, levels) = (service.clone(), area.clone(), levels_text(&level_ids));
        let calls = ctx.blocking(move || asked.export_calls(&whole, &levels, JobUrlStyle::Vector)).await?;
        let path = ctx.work_dir().join("package");
        // Sprites and fonts come after the tiles; how many bytes they have, nobody says before.
        let open = (!described.styles.is_empty()).then(|| ctx.with_more_to_follow());
        let tiles = open.as_ref().unwrap_or(ctx);
        let got = export_package(&self.client, tiles, service, JobUrlStyle::Vector, calls, &level_ids, &path).await?;
        let asked = service.clone();
        let (package, missing, lacking) = {
            let path = path.clone();
            let opened = move || {
                let package = tile_package::open(&path)?;
                let lacking = tile_package::missing_resources(&path)?;
                // Without an index nobody can tell a tile that is missing from one that was empty.
                let missing = match package.promised {
                    Some(_) => asked.missing(&area, &level_ids, &package)?,
                    None => None,
                };
                Ok((package, missing, lacking))
            };
            ctx.blocking(opened).await?
        };
        check(&package, task)?;
        let mut warnings = Vec::new();
        if let Some(missing) = &missing {
            warnings.push(format!("of what the index of \"{}\" promises, {}", task.title, missing.words("tiles")));
        }
        ctx.finish_file(FILE_UNIT, None, &path, (got.bytes, &got.sha256)).await?;
        let mut files = vec![ArtifactFile::file("package", TilePackageKind::Vtpk.extension()).with_sha256(&got.sha256)];
        let mut layers = layers_of(task, package.total(), missing.as_ref(), None);
        file_etag::give(ctx, FILE_UNIT, &got, &mut layers).await?;
        if package.promised.is_none() {
            // Unverified is not verified. A budget counts what is not there against the plan.
            let counted = |id: &str| ctx.error_budget(id).missing_tiles.is_some();
            let words = "tiles: the package has no index, so one that is missing cannot be told from an empty one";
            let note = LayerNote::new(LayerNoteKind::NotCounted, words);
            layers.iter_mut().filter(|l| !counted(&l.id)).for_each(|l| l.contents.notes.push(note.clone()));
        }
        for (i, LayerStyle { layers: drawn, style }) in described.styles.iter().enumerate() {
            let (unit, name) = (numbered(STYLE_UNIT, i), numbered(STYLE_FOLDER, i));
            let folder = ctx.work_dir().join(&name);
            // A style that nobody knows the gaps of is not used: what it lacks would be told by nobody.
            let noted = match ctx.finished_file(&unit, &folder).await? {
                Some(_) => left_out(ctx, &unit).await?,
                None => None,
            };
            let (left_out, notes) = match noted {
                Some(noted) => noted,
                None => {
                    ctx.begin_unit(&unit).await?;
                    self.fetch_style(style, service, ctx, (&unit, &folder), &task.title).await?
                }
            };
            let hashed = folder.clone();
            let (bytes, sha256) = ctx.blocking(move || hash_result(&hashed)).await?;
            ctx.finish_file(&unit, None, &folder, (bytes, &sha256)).await?;
            warnings.extend(left_out);
            for layer in layers.iter_mut().filter(|l| drawn.contains(&l.id)) {
                layer.resources = Some(files.len());
                layer.contents.notes.extend(notes.iter().cloned());
            }
            files.push(ArtifactFile::folder(name));
        }
        // The others are drawn by the package's own style.
        for layer in layers.iter_mut().filter(|l| l.resources.is_none()) {
            layer.contents.notes.extend(lacking.iter().map(|what| note(what, "")));
        }
        Ok(Artifact { files, layers, warnings })
    }
}

/// Notes words about what of a style was left out.
const LEFT_OUT: &str = "leftOut";

/// What was said of a style when it was fetched: warnings, and notes of its layers about what is missing.
type LeftOut = (Vec<String>, Vec<LayerNote>);

/// What was noted of a finished style; `None` if nobody noted it, or not in a way that can be read.
async fn left_out(ctx: &ExportContext, unit: &str) -> Result<Option<LeftOut>, Failure> {
    let noted = ctx.ledger().noted(unit, LEFT_OUT).await?;
    Ok(noted.and_then(|text| serde_json::from_str(&text).ok()))
}

impl VectorTilesExporter {
    /// Fetches a style with its sprites and fonts into a folder, which gets its name when all of it is there.
    async fn fetch_style(
        &self,
        style: &Style,
        service: &TiledService,
        ctx: &ExportContext,
        (unit, folder): (&str, &Path),
        title: &str,
    ) -> Result<LeftOut, Failure> {
        let new = atomic_file::beside(folder);
        // What an interrupted job left of it: its files are small.
        let _ = tokio::fs::remove_dir_all(&new).await;
        let _ = tokio::fs::remove_dir_all(folder).await;
        let fetched = style.download(&self.client, service, ctx.secrets(), &new);
        let left_out: LeftOut = match ctx.or_cancelled(fetched).await {
            Ok(downloaded) => {
                tracing::debug!(title, bytes = downloaded.bytes, "the style is there");
                let warnings = downloaded.warnings.iter().map(|words| format!("of the style of \"{title}\", {words}"));
                (warnings.collect(), downloaded.notes)
            }
            Err(failure) => return Err(ctx.fail_unit(unit, failure).await),
        };
        let text = serde_json::to_string(&left_out).map_err(|e| Failure::internal(e.to_string()))?;
        ctx.ledger().note(unit, LEFT_OUT, &text).await?;
        let folder = folder.to_owned();
        ctx.blocking(move || {
            let failed = |e| Failure::io(FailureStage::Download, format!("cannot keep {}", folder.display()), &e);
            atomic_file::put(&new, &folder).map_err(failed)
        })
        .await?;
        Ok(left_out)
    }
}

/// The first is called by its name, the others are numbered from 2.
fn numbered(name: &str, index: usize) -> String {
    if index == 0 { name.to_owned() } else { format!("{name}-{}", index + 1) }
}

/// `minLOD`..the wanted level.
fn level_ids(service: &TiledService, parameters: &ExportVectorTilesParameters) -> Result<Vec<u32>, Failure> {
    let deepest = u32::try_from(parameters.max_level).unwrap_or(u32::MAX);
    let ids: Vec<u32> = service.cached_levels().iter().map(|l| l.level).filter(|id| *id <= deepest).collect();
    if ids.is_empty() {
        let message = format!("{} has no level at or below maxLevel {}", service.root, parameters.max_level);
        return Err(Failure::invalid_parameter(message));
    }
    Ok(ids)
}

fn check(package: &TilePackage, task: &ExportTask) -> Result<(), Failure> {
    if package.kind != TilePackageKind::Vtpk {
        let message = format!("\"{}\" is a vector service and sent a .{}", task.title, package.kind);
        return Err(Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, FailureStage::Check, message));
    }
    Ok(())
}
