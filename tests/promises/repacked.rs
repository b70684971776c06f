//! A package that an earlier run made of other tiles is never handed out as the one that is asked for.

use crate::support::{Bench, area};
use async_trait::async_trait;
use offmap::exporters::tile_download::TileDownloadExporter;
use offmap::exporters::tile_draw::TileDrawExporter;
use offmap::testing::exporter_conformance;
use offmap::{
    Artifact, DirectDownload, ExportContext, ExportTask, Exporter, Failure, GenerateOfflineMapParameters, MapLayer,
    OfflineMapSource, PlanContext, ServiceDescription, ServiceRequest, TaskPlan, WebMap, hash_file,
};
use serde_json::{Value, json};

/// Changes what the tiles of a service are of.
type Change = fn(&mut Value);

/// An exporter that makes its package several times in the same place: of other tiles, of other tiles with a fault on the way to the
/// package's name, and of those that are asked for.
#[derive(Debug, Clone)]
struct Remade<E> {
    inner: E,
    change: Change,
}

#[async_trait]
impl<E: Exporter + Clone> Exporter for Remade<E> {
    type Parameters = E::Parameters;
    type Service = E::Service;

    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn parameters_type(&self) -> &'static str {
        self.inner.parameters_type()
    }

    fn downloads_directly(&self) -> bool {
        self.inner.downloads_directly()
    }

    fn draws_tiles(&self) -> bool {
        self.inner.draws_tiles()
    }

    fn supports(&self, layer: &MapLayer, source: &OfflineMapSource) -> Option<String> {
        self.inner.supports(layer, source)
    }

    async fn describe(
        &self,
        request: &ServiceRequest,
        ctx: &PlanContext,
    ) -> Result<ServiceDescription<Self::Service>, Failure> {
        self.inner.describe(request, ctx).await
    }

    fn default_parameters(
        &self,
        request: &ServiceRequest,
        found: &ServiceDescription<Self::Service>,
    ) -> Result<Self::Parameters, Failure> {
        self.inner.default_parameters(request, found)
    }

    async fn plan(
        &self,
        request: &ServiceRequest,
        found: &ServiceDescription<Self::Service>,
        parameters: &Self::Parameters,
        ctx: &PlanContext,
    ) -> Result<TaskPlan, Failure> {
        self.inner.plan(request, found, parameters, ctx).await
    }

    async fn export(
        &self,
        task: &ExportTask,
        service: &Self::Service,
        parameters: &Self::Parameters,
        ctx: &ExportContext,
    ) -> Result<Artifact, Failure> {
        let wrong = |words: &str| Failure::internal(words.to_owned());
        let path = ctx.work_dir().join("package");
        let hash = || hash_file(&path).map(|(_, sha256)| sha256);
        let mut json = serde_json::to_value(service).map_err(|e| wrong(&e.to_string()))?;
        (self.change)(&mut json);
        let other: Self::Service = serde_json::from_value(json).map_err(|e| wrong(&e.to_string()))?;
        self.inner.export(task, &other, parameters, ctx).await?;
        let of_others = hash()?;
        self.inner.export(task, &other, parameters, ctx).await?;
        assert_eq!(hash()?, of_others, "the same is taken again");
        // Where the package is written until it is complete.
        let half = offmap_disk::atomic_file::beside(&path);
        std::fs::create_dir_all(half.join("in the way")).map_err(|e| wrong(&e.to_string()))?;
        if self.inner.export(task, service, parameters, ctx).await.is_ok() {
            return Err(wrong("a package was made where none can be written: it is that of the other tiles"));
        }
        std::fs::remove_dir_all(&half).map_err(|e| wrong(&e.to_string()))?;
        let artifact = self.inner.export(task, service, parameters, ctx).await?;
        match hash()? == of_others {
            true => Err(wrong("the package of the other tiles was handed out")),
            false => Ok(artifact),
        }
    }
}

fn source_of(layer: Value) -> OfflineMapSource {
    let map = json!({"operationalLayers": [layer], "spatialReference": {"wkid": 102_100}});
    OfflineMapSource::from_web_map(WebMap::from_value(map).expect("a map"))
}

fn parameters() -> GenerateOfflineMapParameters {
    let mut parameters = GenerateOfflineMapParameters::new(area());
    parameters.max_scale = 30_000_000.0;
    parameters.direct_download = DirectDownload::Always;
    parameters.draw_tiles = true;
    parameters
}

#[tokio::test]
async fn a_package_of_other_pictures_is_not_handed_out_whatever_failed_before() {
    let bench = Bench::new().await;
    let layer = json!({"id": "map", "title": "Map", "layerType": "ArcGISMapServiceLayer", "visibleLayers": [0, 1, 3],
        "url": format!("{}/arcgis/rest/services/Dynamic/MapServer", bench.sandbox.url())});
    let inner = TileDrawExporter::new(bench.client.clone());
    let change: Change = |json| {
        assert!(json["drawing"]["map"]["layers"].is_string(), "{json}");
        (json["drawing"]["map"]["layers"], json["title"]) = (json!("show:0"), json!("Other"));
    };
    assert_eq!(exporter_conformance(Remade { inner, change }, source_of(layer), parameters()).await, Ok(()));
}

#[tokio::test]
async fn a_package_of_other_tiles_is_not_handed_out_whatever_failed_before() {
    let bench = Bench::new().await;
    let layer = json!({"id": "xyz", "title": "XYZ", "layerType": "WebTiledLayer",
        "templateUrl": format!("{}/xyz/{{z}}/{{x}}/{{y}}.png", bench.sandbox.url())});
    let inner = TileDownloadExporter::new(bench.client.clone());
    let change: Change = |json| {
        let url = json["template"]["url"].as_str().expect("a template").to_owned();
        (json["template"]["url"], json["title"]) = (json!(format!("{url}?time=2020")), json!("Other"));
    };
    assert_eq!(exporter_conformance(Remade { inner, change }, source_of(layer), parameters()).await, Ok(()));
}
