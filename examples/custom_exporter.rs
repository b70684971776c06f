//! Adds a layer kind that offmap does not know, from outside: GeoJSON layers, downloaded as files.
//!
//! 1. Implement `Exporter`. 2. Check it with the conformance suite. 3. Register it; offmap's own exporters stay. 4. Play the fault
//!    matrix: every fault of the net at every step of the server.
//!
//! ```text
//! cargo run --release --example custom_exporter
//! ```

use async_trait::async_trait;
use offmap::arcgis::{ArcGisClient, ClientOptions, Credentials, Download, ServiceCall};
use offmap::packager::{MobileMapPackage, verify};
use offmap::testing::{
    FaultEnds, FaultMatrix, FaultReport, FaultStep, StepKind, VirtualClock, exporter_conformance, fault_rows,
};
use offmap::{
    AreaOfInterest, Artifact, ArtifactFile, CountUnit, ExportContext, ExportTask, Exporter, Failure, FailureKind,
    FailureOwner, FailureStage, GenerateOfflineMapParameterOverrides, GenerateOfflineMapParameters, LayerArtifact,
    LayerContents, LayerPlan, LayerType, MapLayer, OfflineMapSource, OfflineMapTask, PlanContext, Progress,
    ServiceDescription, ServiceRequest, TaskPlan, Unit, WebMap,
};
use offmap_sandbox::{FaultyLayer, Sandbox, SandboxOptions};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Largest file that is taken, in bytes.
const LARGEST: usize = 64 << 20;

/// Takes layers of the type `GeoJSON`.
#[derive(Debug, Clone)]
struct GeoJsonExporter {
    client: ArcGisClient,
}

/// Its parameters; a host can override them per file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GeoJsonParameters {
    /// Fail if the file has fewer features.
    #[serde(default)]
    at_least: u64,
}

/// What it knows of a file before it is exported.
#[derive(Debug, Serialize, Deserialize)]
struct GeoJsonFile {
    /// How many features the file has.
    features: u64,
}

fn features(bytes: &[u8]) -> Result<u64, Failure> {
    let json: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let features = json.get("features").and_then(Value::as_array);
    features.map(|f| f.len() as u64).ok_or_else(|| {
        let message = "the file is not a GeoJSON feature collection";
        Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, FailureStage::Check, message)
    })
}

#[async_trait]
impl Exporter for GeoJsonExporter {
    type Parameters = GeoJsonParameters;
    type Service = GeoJsonFile;

    fn name(&self) -> &'static str {
        "geojson"
    }

    fn parameters_type(&self) -> &'static str {
        "geoJsonParameters"
    }

    fn supports(&self, layer: &MapLayer, _: &OfflineMapSource) -> Option<String> {
        (layer.layer_type == LayerType::Other("GeoJSON".to_owned())).then(|| layer.url.clone()).flatten()
    }

    async fn describe(&self, request: &ServiceRequest, _: &PlanContext) -> Result<ServiceDescription<GeoJsonFile>, Failure> {
        let call = ServiceCall::get(&request.service_url)?.in_stage(FailureStage::Plan);
        let bytes = self.client.bytes(&call, LARGEST).await?.unwrap_or_default();
        let title = request.layers.first().map(|l| l.title.clone()).unwrap_or_default();
        Ok(ServiceDescription::new(title, GeoJsonFile { features: features(&bytes)? }, request.all_supported()))
    }

    fn default_parameters(
        &self,
        _: &ServiceRequest,
        _: &ServiceDescription<GeoJsonFile>,
    ) -> Result<GeoJsonParameters, Failure> {
        Ok(GeoJsonParameters::default())
    }

    async fn plan(
        &self,
        request: &ServiceRequest,
        found: &ServiceDescription<GeoJsonFile>,
        parameters: &GeoJsonParameters,
        _: &PlanContext,
    ) -> Result<TaskPlan, Failure> {
        let expected = found.service.features;
        if expected < parameters.at_least {
            return Err(Failure::invalid_parameter(format!("{expected} features, atLeast is {}", parameters.at_least)));
        }
        let plan =
            |l: &MapLayer| LayerPlan { id: l.id.clone(), expected: Some(expected), exact: true, ..LayerPlan::default() };
        Ok(TaskPlan {
            units: vec![Unit::new("file", "resultFile", "the GeoJSON file")],
            layers: request.layers.iter().map(plan).collect(),
            count_unit: CountUnit::Features,
            ..TaskPlan::default()
        })
    }

    async fn export(
        &self,
        task: &ExportTask,
        _: &GeoJsonFile,
        _: &GeoJsonParameters,
        ctx: &ExportContext,
    ) -> Result<Artifact, Failure> {
        ctx.begin_unit("file").await?;
        let to = ctx.work_dir().join("data.geojson");
        let (url, secrets) = (&task.key.service_url, ctx.secrets());
        let download = Download { url, to: &to, presigned: false, limit: LARGEST as u64, secrets };
        let fetch = self.client.download(download, |here, all| ctx.report(Progress::bytes(here, all)));
        let file = ctx.or_cancelled(fetch).await?;
        let got = ctx
            .blocking(move || {
                let bytes = std::fs::read(&to).map_err(|e| Failure::io(FailureStage::Check, "cannot read the file", &e))?;
                features(&bytes)
            })
            .await?;
        ctx.finish_unit("file", file.bytes, Some(&file.sha256)).await?;
        let layer = |l: &offmap::TaskLayer| LayerArtifact {
            id: l.id.clone(),
            file: Some(0),
            contents: LayerContents { planned: l.expected, got, ..LayerContents::default() },
            ..LayerArtifact::default()
        };
        Ok(Artifact {
            files: vec![ArtifactFile::file("data.geojson", "geojson")],
            layers: task.layers.iter().map(layer).collect(),
            warnings: Vec::new(),
        })
    }
}

/// Jobs of one GeoJSON layer under every fault. The clocks are virtual, so that nobody waits between two tries.
async fn under_every_fault(sandbox: &Sandbox) -> Result<FaultReport, Box<dyn Error>> {
    let clock = Arc::new(VirtualClock::default());
    let client = ArcGisClient::with_clock(ClientOptions::default(), Credentials::none(), clock)?;
    let exporter = GeoJsonExporter { client: client.clone() };
    let engine = offmap::with_defaults(&client)?.exporter(exporter)?.start()?;
    let layer = json!({"id": "places", "layerType": "GeoJSON", "url": format!("{}/files/places.geojson", sandbox.url())});
    let map = WebMap::from_value(json!({"operationalLayers": [layer]}))?;
    let task = OfflineMapTask::new(&engine, OfflineMapSource::from_web_map(map));
    let service = FaultyLayer {
        sandbox,
        steps: vec![FaultStep::new("files/places.geojson", StepKind::Words)],
        // Without credentials there is no token to renew.
        other_ends: |_, row| {
            let unauthorized = || FaultEnds::fails([(FailureOwner::Credentials, FailureKind::Unauthorized)]);
            (row.name == "498 once").then(unauthorized)
        },
    };
    let verified = |package: &Path| match verify(package) {
        Ok(verification) if verification.ok => Ok(()),
        other => Err(format!("{other:?}")),
    };
    let matrix = FaultMatrix {
        task: &task,
        parameters: GenerateOfflineMapParameters::new(AreaOfInterest::from_numbers("2,43,20,52")?),
        service: &service,
        rows: &fault_rows(&format!("{}/elsewhere", sandbox.storage_url())),
        verify: &verified,
        longest: Duration::from_secs(30),
    };
    let report = matrix.run().await?;
    engine.shutdown().await?;
    Ok(report)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let sandbox = Sandbox::start(SandboxOptions::default()).await?;
    let client = ArcGisClient::new(ClientOptions::default(), Credentials::none())?;
    let exporter = GeoJsonExporter { client: client.clone() };
    let places = format!("{}/files/places.geojson", sandbox.url());
    let borders = format!("{}/arcgis/rest/services/Reference/FeatureServer/0", sandbox.url());
    let map = WebMap::from_value(json!({"operationalLayers": [
        {"id": "places", "title": "Places", "layerType": "GeoJSON", "url": places},
        {"id": "borders", "title": "Borders", "layerType": "ArcGISFeatureLayer", "url": borders}]}))?;
    let source = OfflineMapSource::from_web_map(map);
    let parameters = GenerateOfflineMapParameters::new(AreaOfInterest::from_numbers("2,43,20,52")?);

    match exporter_conformance(exporter.clone(), source.clone(), parameters.clone()).await {
        Ok(()) => println!("the exporter keeps the contract"),
        Err(broken) => return Err(broken.join("; ").into()),
    }

    let faults = under_every_fault(&sandbox).await?;
    println!("the exporter ends rightly in {} cells of the fault matrix", faults.cells);
    if !faults.wrong.is_empty() {
        return Err(faults.wrong.join("; ").into());
    }

    let engine = offmap::with_defaults(&client)?.exporter(exporter)?.start()?;
    println!("exporters: {}", engine.exporters().join(", "));
    let dir = tempfile::tempdir()?;
    let task = OfflineMapTask::new(&engine, source);
    let none = GenerateOfflineMapParameterOverrides::default();
    let job = task.generate_offline_map(parameters, none, dir.path().join("package"));
    let result = job.start().result().await?;
    engine.shutdown().await?;
    for layer in MobileMapPackage::open(&result.package)?.maps().iter().flat_map(|m| &m.layers) {
        println!("{:<8} {}", layer.title, layer.data.as_ref().map_or("online", |d| d.path.as_str()));
    }
    if result.has_errors() {
        return Err("a layer is missing".into());
    }
    Ok(())
}
