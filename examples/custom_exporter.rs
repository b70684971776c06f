//! Adds a layer kind that offmap does not know, from outside: GeoJSON layers, downloaded as files.
//!
//! 1. Implement `Exporter`. 2. Check it with the conformance suite. 3. Register it; offmap's own exporters stay. 4. Play the fault
//!    matrix: every fault of the net at every step of the server.
//!
//! ```text
//! cargo run --release --example custom_exporter
//! ```

use offmap::exporter::*;
use offmap::testing::{FaultMatrix, FaultyFile, VirtualClock, exporter_conformance, fault_rows};
use offmap::{ClientOptions, Credentials, OfflineMapTask, WebMap, packager};
use serde_json::{Value, json};
use std::{error::Error, path::Path, sync::Arc, time::Duration};

/// Largest file that is taken, in bytes.
const LARGEST: usize = 64 << 20;

/// Takes layers of the type `GeoJSON`.
#[derive(Debug, Clone)]
struct GeoJsonExporter(ArcGisClient);

fn features(bytes: &[u8]) -> Result<u64, Failure> {
    let json: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let wrong = "the file is not a GeoJSON feature collection";
    let wrong = || Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, FailureStage::Check, wrong);
    json["features"].as_array().map(|f| f.len() as u64).ok_or_else(wrong)
}

fn features_in(file: &Path) -> Result<u64, Failure> {
    features(&std::fs::read(file).map_err(|e| Failure::io(FailureStage::Check, "cannot read the file", &e))?)
}

#[async_trait]
impl Exporter for GeoJsonExporter {
    type Parameters = NoParameters;
    /// How many features the file has.
    type Service = u64;

    fn name(&self) -> &'static str {
        "geojson"
    }

    fn parameters_type(&self) -> &'static str {
        "geoJsonParameters"
    }

    fn supports(&self, layer: &MapLayer, _: &OfflineMapSource) -> Option<String> {
        layer.url.clone().filter(|_| layer.layer_type == LayerType::Other("GeoJSON".to_owned()))
    }

    async fn describe(&self, request: &ServiceRequest, ctx: &PlanContext) -> Result<ServiceDescription<u64>, Failure> {
        let call = ServiceCall::get(&request.service_url)?.with_secrets(&request.secrets()).in_stage(FailureStage::Plan);
        let bytes = ctx.client(&self.0).bytes(&call, LARGEST).await?.unwrap_or_default();
        Ok(ServiceDescription::new("GeoJSON", features(&bytes)?, request.all_supported()))
    }

    fn default_parameters(&self, _: &ServiceRequest, _: &ServiceDescription<u64>) -> Result<NoParameters, Failure> {
        Ok(NoParameters {})
    }

    async fn plan(
        &self,
        request: &ServiceRequest,
        found: &ServiceDescription<u64>,
        _: &NoParameters,
        _: &PlanContext,
    ) -> Result<TaskPlan, Failure> {
        let file = Unit::new("file", "resultFile", "the GeoJSON file");
        Ok(TaskPlan::exactly(request, vec![file], found.service, CountUnit::Features))
    }

    async fn export(&self, task: &ExportTask, _: &u64, _: &NoParameters, ctx: &ExportContext) -> Result<Artifact, Failure> {
        let from = RemoteFile { url: &task.key.service_url, limit: LARGEST as u64 };
        let (file, got) = ctx.download_unit(&self.0, "file", from, "data.geojson", features_in).await?;
        Ok(Artifact::one_file(task, file.artifact("geojson"), got))
    }
}

/// Reads `.geojson` files of packages again, so that `verify --deep` counts them.
#[derive(Debug)]
struct GeoJsonReader;

impl ContainerReader for GeoJsonReader {
    fn extensions(&self) -> &'static [&'static str] {
        &["geojson"]
    }

    fn read(&self, path: &Path, reading: &Reading<'_>) -> Result<Contents, Failure> {
        reading.go_on(0)?;
        Ok(Contents { counted: Counted::Items(features_in(path)?), ..Contents::default() })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let server = FaultyFile::serve("places.geojson", include_bytes!("sandbox/data/places.geojson")).await?;
    // A virtual clock, so that nobody waits between two tries.
    let clock = Arc::new(VirtualClock::default());
    let client = ArcGisClient::with_clock(ClientOptions::default(), Credentials::none(), Arc::clone(&clock))?;
    let exporter = GeoJsonExporter(client.clone());
    let layer = json!({"id": "places", "layerType": "GeoJSON", "url": server.url()});
    let source = OfflineMapSource::from_web_map(WebMap::from_value(json!({"operationalLayers": [layer]}))?);
    let parameters = GenerateOfflineMapParameters::new(AreaOfInterest::from_numbers("2,43,20,52")?);

    exporter_conformance(exporter.clone(), source.clone(), parameters.clone()).await.map_err(|broken| broken.join("; "))?;
    println!("the exporter keeps the contract");

    let builder = offmap::with_defaults(&client)?.clock(clock);
    let engine = builder.exporter(exporter)?.container_reader(GeoJsonReader).start()?;
    let task = OfflineMapTask::new(&engine, source);
    let containers = offmap::exporters::containers().with(GeoJsonReader);
    let matrix = FaultMatrix {
        task: &task,
        parameters: parameters.clone(),
        service: &server,
        rows: &fault_rows(server.elsewhere()),
        verify: &|package| match packager::verify_deep(package, &containers) {
            Ok(found) if found.ok && found.not_read.is_empty() => Ok(()),
            other => Err(format!("{other:?}")),
        },
        longest: Duration::from_secs(30),
    };
    let faults = matrix.run().await?;
    println!("the exporter ends rightly in {} cells of the fault matrix", faults.cells);
    if !faults.wrong.is_empty() || faults.leaked_tokens > 0 {
        return Err(faults.wrong.join("; ").into());
    }

    let dir = tempfile::tempdir()?;
    let job = task.generate_offline_map(parameters, Default::default(), dir.path().join("package"));
    let result = job.start().result().await?;
    println!("{} of {}", result.layers[0].title, result.package.display());
    Ok(engine.shutdown().await?)
}
