//! Vector tiled layers: `exportTiles` to `.vtpk`, and the style, sprites and fonts of a style that lives on a portal item.

mod parameters;
mod style;

pub use parameters::ExportVectorTilesParameters;

use crate::client::body::expect_description;
use crate::client::{AnswerKind, ArcGisClient, ServiceCall};
use crate::tile_export::export_package;
use crate::tile_package::{self, TilePackage};
use crate::tile_service::{
    DESCRIPTION, FILE_UNIT, JobHome, TiledService, export_not_allowed, export_root, layers_of, read_service,
    reference_not_supported, text, title_of,
};
use crate::tiling::{levels_in_range, levels_text};
use async_trait::async_trait;
use offmap_engine::{
    Artifact, ArtifactFile, Capability, CapabilityReason, EsriVectorTilesDownloadOption, Examination, ExportContext,
    ExportTask, Exporter, Failure, FailureKind, FailureOwner, FailureStage, LayerType, MapLayer, OfflineMapSource,
    PlanContext, ServiceRequest, TaskPlan, Unit, run_blocking, service_key,
};
use serde_json::{Value, json};
use style::Style;

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

impl VectorTilesExporter {
    /// The service to export from under `esriVectorTilesDownloadOption`: the layer's own or its twin with fewer fonts. The option
    /// is for Esri's vector base maps; others stay as they are.
    fn wanted_fonts(&self, root: String, request: &ServiceRequest) -> (String, Option<String>) {
        if request.parameters.esri_vector_tiles_download_option == EsriVectorTilesDownloadOption::UseOriginalService {
            return (root, None);
        }
        let twin = request.source.reduced_fonts_services.iter().find(|t| service_key(&t.service_url) == service_key(&root));
        let is_esri = url::Url::parse(&root).ok().and_then(|u| u.host_str().map(|h| h.ends_with(".arcgis.com")));
        match twin {
            Some(twin) => (twin.reduced_fonts_url.clone(), None),
            None if is_esri == Some(true) => {
                let words = format!("no service with reduced fonts is known for {root}; the original one is taken");
                (root, Some(words))
            }
            None => (root, None),
        }
    }
}

/// The address of the style on a portal item.
fn item_style(layer: &MapLayer, source: &OfflineMapSource) -> Option<String> {
    let (portal, id) = (source.portal_url.as_ref()?, layer.item_id.as_ref()?);
    let plain = id.chars().all(|c| c.is_ascii_alphanumeric());
    plain.then(|| format!("{portal}/sharing/rest/content/items/{id}/resources/styles/root.json"))
}

#[async_trait]
impl Exporter for VectorTilesExporter {
    type Parameters = ExportVectorTilesParameters;

    fn name(&self) -> &'static str {
        "vector-tiles"
    }

    fn parameters_type(&self) -> &'static str {
        "exportVectorTilesParameters"
    }

    fn takes(&self, layer: &MapLayer, source: &OfflineMapSource) -> Option<String> {
        if layer.layer_type != LayerType::VectorTile {
            return None;
        }
        let service = layer.service().filter(|s| s.kind() == "vectortileserver").map(|s| s.root().to_owned());
        // Layers that differ in style are different packages-with-resources even on one service.
        layer.style_url.clone().or(service).or_else(|| item_style(layer, source))
    }

    async fn examine(&self, request: &ServiceRequest, _: &PlanContext) -> Result<Examination, Failure> {
        let custom = request.layers.first().map(|l| l.custom_parameters.clone()).unwrap_or_default();
        let all = |capability: Capability| request.layers.iter().map(|l| (l.id.clone(), capability.clone())).collect();
        let mut title = request.layers.first().map(|l| l.title.clone()).unwrap_or_default();
        let refuse = |title: String, reason: CapabilityReason, words: String| Examination {
            title,
            service: Value::Null,
            capabilities: all(Capability::refused(reason, words)),
            extent: None,
            attribution: None,
            edit_date: None,
        };
        let is_service =
            |address: &str| offmap_engine::ServiceUrl::parse(address).is_some_and(|s| s.kind() == "vectortileserver");
        let (root, style) = if is_service(&request.service_url) {
            (request.service_url.clone(), None)
        } else {
            let style = Style::fetch(&self.client, &request.service_url, &custom).await?;
            match style.service_roots()?.as_slice() {
                [root] => (root.clone(), Some(style)),
                roots => {
                    let words = format!(
                        "the style of \"{title}\" has {} sources; only one can go offline as a package",
                        roots.len()
                    );
                    return Ok(refuse(title, CapabilityReason::MultipleSources, words));
                }
            }
        };
        let (root, warning) = self.wanted_fonts(root, request);
        let root = export_root(&root, &request.source.export_hosts);
        let call = ServiceCall::get(&root)?.with_all(&custom).in_stage(FailureStage::Plan).answer(AnswerKind::Description);
        let answer = self.client.json(&call).await?;
        expect_description(&answer, &root, "a vector tile service", DESCRIPTION)?;
        if style.is_none() {
            title = title_of(&root, &answer);
        }
        if !answer.get("exportTilesAllowed").and_then(Value::as_bool).unwrap_or(false) {
            let words = export_not_allowed(&title);
            return Ok(refuse(title, CapabilityReason::ExportTilesNotAllowed, words));
        }
        let service = TiledService::read(&root, &answer, &custom)?;
        if let Some(words) = reference_not_supported(&title, &service.tile_info.spatial_reference) {
            return Ok(refuse(title, CapabilityReason::SpatialReferenceNotSupported, words));
        }
        Ok(Examination {
            title,
            capabilities: all(Capability::Supported),
            extent: service.extent_in(),
            service: json!({"service": service, "style": style, "warning": warning}),
            attribution: text(&answer, "copyrightText"),
            edit_date: None,
        })
    }

    fn default_parameters(&self, request: &ServiceRequest, found: &Examination) -> Result<Self::Parameters, Failure> {
        let service = read_service(found.service.get("service").unwrap_or(&Value::Null))?;
        let wanted = &request.parameters;
        // Vector tiles ignore the minimum scale.
        let chosen = levels_in_range(&service.tile_info.lods, 0.0, wanted.max_scale);
        let cached = service.cached_levels();
        let max_level = cached.iter().map(|l| l.level).filter(|id| chosen.iter().any(|l| l.level == *id)).max();
        let max_level = max_level.ok_or_else(|| {
            Failure::invalid_parameter(format!(
                "no level of \"{}\" lies at or above maxScale {}; its levels with tiles are {:?}",
                found.title,
                wanted.max_scale,
                cached.iter().map(|l| l.level).collect::<Vec<_>>()
            ))
        })?;
        Ok(ExportVectorTilesParameters { area_of_interest: wanted.area_of_interest.clone(), max_level })
    }

    async fn plan(
        &self,
        request: &ServiceRequest,
        found: &Examination,
        parameters: &Self::Parameters,
        _: &PlanContext,
    ) -> Result<TaskPlan, Failure> {
        parameters.check()?;
        let service = read_service(found.service.get("service").unwrap_or(&Value::Null))?;
        let level_ids = level_ids(&service, parameters)?;
        let layers: Vec<String> = request.layers.iter().map(|l| l.id.clone()).collect();
        let area = parameters.area_of_interest.clone();
        let counted = move || service.task_plan(layers.into_iter(), &area, &level_ids, BYTES_PER_TILE);
        let mut plan = run_blocking(counted).await?;
        if !found.service.get("style").is_none_or(Value::is_null) {
            plan.units.push(Unit::new(STYLE_UNIT, "resource", "the item's style with sprites and fonts"));
        }
        plan.warnings.extend(found.service.get("warning").and_then(Value::as_str).map(str::to_owned));
        Ok(plan)
    }

    async fn export(
        &self,
        task: &ExportTask,
        parameters: &Self::Parameters,
        ctx: &ExportContext,
    ) -> Result<Artifact, Failure> {
        let service = read_service(task.service.get("service").unwrap_or(&Value::Null))?;
        let level_ids = level_ids(&service, parameters)?;
        let (asked, area, levels) = (service.clone(), parameters.area_of_interest.clone(), levels_text(&level_ids));
        let calls = ctx.blocking(move || asked.export_calls(&area, &levels, JobHome::Vector)).await?;
        let path = ctx.work_dir().join("package");
        let got = export_package(&self.client, ctx, &service, JobHome::Vector, calls, &level_ids, &path).await?;
        let (asked, area) = (service.clone(), parameters.area_of_interest.clone());
        let (package, missing) = {
            let path = path.clone();
            let opened = move || {
                let package = tile_package::open(&path)?;
                // Without an index nobody can tell a tile that is missing from one that was empty.
                let missing = match package.promised {
                    Some(_) => asked.missing(&area, &level_ids, &package)?,
                    None => None,
                };
                Ok((package, missing))
            };
            ctx.blocking(opened).await?
        };
        check(&package, task)?;
        let mut warnings = Vec::new();
        if let Some(missing) = &missing {
            warnings.push(format!("of what the index of \"{}\" promises, {}", task.title, missing.words("tiles")));
        }
        ctx.finish_unit(FILE_UNIT, got.bytes, Some(&got.sha256)).await?;
        let mut files = vec![ArtifactFile::file("package", "vtpk")];
        let style = task.service.get("style").filter(|s| !s.is_null()).cloned();
        let mut resources = None;
        if let Some(style) = style {
            let style: Style = serde_json::from_value(style).map_err(|e| Failure::internal(e.to_string()))?;
            let folder = ctx.work_dir().join(STYLE_FOLDER);
            // Half a folder of an interrupted job begins anew: its files are small.
            let _ = tokio::fs::remove_dir_all(&folder).await;
            ctx.begin_unit(STYLE_UNIT).await?;
            let brought = ctx.or_cancelled(style.bring_home(&self.client, &service, &folder)).await;
            let bytes = match brought {
                Ok(bytes) => bytes,
                Err(failure) => return Err(ctx.fail_unit(STYLE_UNIT, failure).await),
            };
            ctx.finish_unit(STYLE_UNIT, bytes, None).await?;
            resources = Some(files.len());
            files.push(ArtifactFile::folder(STYLE_FOLDER));
        }
        Ok(Artifact { files, layers: layers_of(task, package.total(), missing.as_ref(), resources), warnings })
    }
}

/// `minLOD`..the wanted level.
fn level_ids(service: &TiledService, parameters: &ExportVectorTilesParameters) -> Result<Vec<u32>, Failure> {
    let ids: Vec<u32> = service.cached_levels().iter().map(|l| l.level).filter(|id| *id <= parameters.max_level).collect();
    if ids.is_empty() {
        let message = format!("{} has no level at or below maxLevel {}", service.root, parameters.max_level);
        return Err(Failure::invalid_parameter(message));
    }
    Ok(ids)
}

fn check(package: &TilePackage, task: &ExportTask) -> Result<(), Failure> {
    if package.kind != "vtpk" {
        let message = format!("\"{}\" is a vector service and sent a .{}", task.title, package.kind);
        return Err(Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, FailureStage::Check, message));
    }
    Ok(())
}
