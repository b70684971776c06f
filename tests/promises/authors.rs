//! What authors of exporters get: features page by page, units that are not done twice, reasons and budgets of their own.

use crate::support::{Bench, area, quick_client, run_to_end};
use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use offmap::arcgis::Credentials;
use offmap::exporter::*;
use offmap::testing::PlainPackager;
use offmap::{
    Allowance, Engine, ErrorBudget, GenerateOfflineMapJob, GenerateOfflineMapParameters, OfflineMapTask, WebMap, verify_deep,
};
use offmap_sandbox::{Fault, FaultAction, Sandbox, SandboxOptions};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

const LAYER: &str = "fieldwork/featureserver/0";
const QUERY: &str = "fieldwork/featureserver/0/query";

fn query(sandbox: &Sandbox) -> FeatureQuery {
    let query = FeatureQuery::new(&format!("{}/arcgis/rest/services/Fieldwork/FeatureServer/0", sandbox.url()));
    query.expect("a url").with("outFields", "*")
}

fn ids(features: &[Value]) -> BTreeSet<i64> {
    features.iter().filter_map(|f| f["attributes"]["OBJECTID"].as_i64()).collect()
}

async fn all(client: &ArcGisClient, query: FeatureQuery) -> Result<Vec<Value>, Failure> {
    client.features(query).try_collect().await
}

/// The layer as it describes itself, but for what an old server says.
fn without_pages() -> Value {
    json!({"name": "Places", "type": "Feature Layer", "maxRecordCount": 7,
        "fields": [{"name": "OBJECTID", "type": "esriFieldTypeOID"}]})
}

#[tokio::test]
async fn the_features_of_a_query_come_page_by_page_each_once_by_offset_and_by_object_ids() {
    let sandbox = Sandbox::start(SandboxOptions::default()).await.expect("a sandbox");
    let client = quick_client(Credentials::none());
    let count = client.count_features(&query(&sandbox).within(&area())).await.expect("a count");
    assert!(count > 7, "{count}");
    let whole = all(&client, query(&sandbox).within(&area())).await.expect("features");
    let (mut told, expected) = (Vec::new(), ids(&whole));
    assert_eq!((whole.len() as u64, expected.len() as u64), (count, count));
    assert!(whole.iter().all(|f| f["geometry"].is_object()), "each as the service wrote it");
    for has_pages in [true, false] {
        if !has_pages {
            sandbox.fault(Fault::always_at(LAYER, FaultAction::Body(without_pages())));
        }
        let before = sandbox.requests().len();
        let features = all(&client, query(&sandbox).within(&area()).with_page_of(7)).await.expect("features");
        assert_eq!((ids(&features), features.len() as u64), (expected.clone(), count), "has pages: {has_pages}");
        let requests = sandbox.requests();
        let pages =
            requests[before..].iter().filter(|r| r.path.ends_with("/query") && !r.parameters.contains_key("returnidsonly"));
        told.push(pages.clone().count() as u64);
        assert!(pages.clone().all(|r| r.parameters.contains_key("geometry")), "the area goes with every request");
        assert_eq!(pages.clone().any(|r| r.parameters.contains_key("resultoffset")), has_pages);
    }
    assert!(told.iter().all(|pages| *pages == count.div_ceil(7)), "{told:?} pages for {count} features");
}

#[tokio::test]
async fn pages_go_on_as_long_as_the_service_says_that_there_is_more_and_not_for_ever() {
    let client = quick_client(Credentials::none());
    let page = |features: Value, more: bool| FaultAction::Body(json!({"features": features, "exceededTransferLimit": more}));
    let feature = |id: i64| json!({"attributes": {"OBJECTID": id}});
    // An empty page and a short one in the middle.
    let sandbox = Sandbox::start(SandboxOptions::default()).await.expect("a sandbox");
    for (features, more) in [(json!([feature(1)]), true), (json!([]), true), (json!([feature(2), feature(3)]), false)] {
        sandbox.fault(Fault::times(QUERY, 1, page(features, more)));
    }
    let features = all(&client, query(&sandbox).with_page_of(10)).await.expect("features");
    assert_eq!(ids(&features), BTreeSet::from([1, 2, 3]));
    let offsets: Vec<_> = sandbox.requests().iter().filter_map(|r| r.parameters.get("resultoffset").cloned()).collect();
    assert_eq!(offsets, ["0", "1", "11"], "by what came, and by what was asked for where nothing came");
    // A service that knows no offset, and one that never ends.
    for (features, words) in [(json!([feature(1)]), "the same page again"), (json!([]), "have no features")] {
        sandbox.heal();
        sandbox.fault(Fault::always(QUERY, page(features, true)));
        let failure = all(&client, query(&sandbox)).await.expect_err("no end");
        assert_eq!((failure.owner, failure.kind), (FailureOwner::Source, FailureKind::InvalidAnswer), "{failure}");
        assert!(failure.message.contains(words), "{failure}");
    }
}

#[tokio::test]
async fn a_page_that_is_too_large_is_asked_for_in_halves() {
    let sandbox = Sandbox::start(SandboxOptions::default()).await.expect("a sandbox");
    let client = quick_client(Credentials::none());
    let expected = all(&client, query(&sandbox)).await.expect("features");
    let before = sandbox.requests().len();
    sandbox.fault(Fault::times(QUERY, 1, FaultAction::Body(json!({"features": vec![0; 600_000]}))));
    let features = all(&client, query(&sandbox).with_page_of(40)).await.expect("features");
    assert_eq!(ids(&features), ids(&expected));
    let requests = sandbox.requests();
    let asked: Vec<_> = requests[before..].iter().filter_map(|r| r.parameters.get("resultrecordcount")).take(3).collect();
    assert_eq!(asked, ["40", "20", "20"]);
}

/// Takes layers of two files: the second one's unit comes after the first one's.
#[derive(Debug, Clone)]
struct TwoFiles(ArcGisClient);

fn any(file: &Path) -> Result<u64, Failure> {
    let bytes = std::fs::read(file).map_err(|e| Failure::io(FailureStage::Check, "cannot read the file", &e))?;
    Ok(u64::from(!bytes.is_empty()))
}

#[async_trait]
impl Exporter for TwoFiles {
    type Parameters = NoParameters;
    type Service = ();

    fn name(&self) -> &'static str {
        "two-files"
    }

    fn parameters_type(&self) -> &'static str {
        "twoFilesParameters"
    }

    fn supports(&self, layer: &MapLayer, _: &OfflineMapSource) -> Option<String> {
        layer.url.clone()
    }

    async fn describe(&self, request: &ServiceRequest, _: &PlanContext) -> Result<ServiceDescription<()>, Failure> {
        let version = request.layers.first().and_then(|l| request.layer_json(l)?["formatVersion"].as_i64());
        let capabilities = match version {
            Some(1) => {
                let words = "the layer is of version 1 of the format, expected 2; save it again";
                request.layers.iter().map(|l| (l.id.clone(), Capability::refused(CapabilityReason::Other, words))).collect()
            }
            _ => request.all_supported(),
        };
        Ok(ServiceDescription::new("Files", (), capabilities))
    }

    fn default_parameters(&self, _: &ServiceRequest, _: &ServiceDescription<()>) -> Result<NoParameters, Failure> {
        Ok(NoParameters {})
    }

    async fn plan(
        &self,
        request: &ServiceRequest,
        _: &ServiceDescription<()>,
        _: &NoParameters,
        _: &PlanContext,
    ) -> Result<TaskPlan, Failure> {
        let units =
            vec![Unit::new("one", "resultFile", "the first file"), Unit::new("two", "resultFile", "the second file")];
        Ok(TaskPlan::exactly(request, units, 1, CountUnit::Items))
    }

    async fn export(&self, task: &ExportTask, (): &(), _: &NoParameters, ctx: &ExportContext) -> Result<Artifact, Failure> {
        covers_its_area(ctx).await?;
        let from = RemoteFile { url: &task.key.service_url, limit: 1 << 20 };
        let (one, got) = ctx.download_unit(&self.0, "one", from, "one.json", any).await?;
        let second = task.key.service_url.replace("files/places.geojson", "arcgis/rest/services/World/MapServer/tile/0/0/0");
        let from = RemoteFile { url: &second, limit: 1 << 20 };
        ctx.download_unit(&self.0, "two", from, "two.png", any).await?;
        Ok(Artifact::one_file(task, one.artifact("json"), got))
    }
}

/// The tiles of the job's area that the context lends are those that the scheme counts for it.
async fn covers_its_area(ctx: &ExportContext) -> Result<(), Failure> {
    let half = 20_037_508.342_787;
    let lod = |level: i32| json!({"level": level, "resolution": 2.0 * half / 256.0 / 2_f64.powi(level), "scale": 1.0});
    let scheme = json!({"rows": 256, "cols": 256, "origin": {"x": -half, "y": half}, "spatialReference": {"wkid": 102_100},
        "lods": [lod(3), lod(6)]});
    let scheme: TileInfo = serde_json::from_value(scheme).expect("a scheme");
    let cover = ctx.tile_cover(&scheme, None, &scheme.lods).await?.expect("few tiles");
    let counted = scheme.count(ctx.area(), None, &scheme.lods)?;
    let listed: Vec<u64> = cover.values().map(TileRows::tiles).collect();
    assert_eq!(listed, counted.iter().map(|level| level.tiles).collect::<Vec<_>>());
    assert!(listed.iter().all(|tiles| *tiles > 0), "{listed:?}");
    Ok(())
}

/// A sandbox and an engine with the exporter, and a task for a map of one layer.
async fn two_files(bench: &Bench, extra: &Value) -> (Engine, OfflineMapTask) {
    let engine = Engine::builder(PlainPackager).exporter(TwoFiles(bench.client.clone())).expect("registers");
    let engine = engine.start().expect("starts");
    let mut layer =
        json!({"id": "files", "layerType": "Files", "url": format!("{}/files/places.geojson", bench.sandbox.url())});
    layer.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
    let map = WebMap::from_value(json!({"operationalLayers": [layer]})).expect("a map");
    let task = OfflineMapTask::new(&engine, OfflineMapSource::from_web_map(map));
    (engine, task)
}

#[tokio::test]
async fn a_finished_unit_is_skipped_while_its_file_has_its_hash_and_done_again_where_it_has_not() {
    for is_changed in [false, true] {
        let bench = Bench::new().await;
        let (engine, task) = two_files(&bench, &json!({})).await;
        let job =
            task.generate_offline_map(GenerateOfflineMapParameters::new(area()), Default::default(), bench.destination());
        job.keep_unfinished();
        bench.sandbox.fault(Fault::always("world/mapserver/tile", FaultAction::Status(403, "no".to_owned(), None)));
        run_to_end(&job).await.0.expect_err("the second unit fails");
        let fetched = || bench.sandbox.requests().iter().filter(|r| r.path.ends_with("places.geojson")).count();
        assert_eq!(fetched(), 1);
        if is_changed {
            let found = crate::support::files_below(bench.dir.path());
            let file = found.iter().find(|f| f.ends_with("one.json")).expect("it is there");
            std::fs::write(bench.dir.path().join(file), b"{}").expect("writes");
        }
        bench.sandbox.heal();
        let job = GenerateOfflineMapJob::resume(&engine, bench.destination()).await.expect("resumes");
        let result = run_to_end(&job).await.0.expect("a package");
        assert!(!result.has_errors(), "{:?}", result.layers);
        assert_eq!(fetched(), if is_changed { 2 } else { 1 }, "changed: {is_changed}");
        engine.shutdown().await.expect("shuts down");
    }
}

#[tokio::test]
async fn an_exporter_reads_the_layer_as_its_author_wrote_it_and_refuses_it_for_a_reason_of_its_own() {
    let bench = Bench::new().await;
    let (engine, task) = two_files(&bench, &json!({"formatVersion": 1})).await;
    let found = task.capabilities(&GenerateOfflineMapParameters::new(area())).await.expect("capabilities");
    let layer = &found.layer_capabilities[0];
    assert_eq!(layer.reason, Some(CapabilityReason::Other), "{layer:?}");
    assert!(layer.failure.as_ref().is_some_and(|f| f.message.contains("save it again")), "{layer:?}");
    assert_eq!(serde_json::to_value(layer).expect("json")["reason"], "other");
    engine.shutdown().await.expect("shuts down");
}

#[tokio::test]
async fn within_its_budget_a_layer_may_miss_features_and_what_it_misses_is_told() {
    for (allowance, is_taken) in [
        (None, false),
        (Some(Allowance::Count(1)), false),
        (Some(Allowance::Count(2)), true),
        (Some(Allowance::Share(0.5)), true),
    ] {
        let bench = Bench::new().await;
        let count = bench.client.count_features(&query(&bench.sandbox).within(&area())).await.expect("a count");
        // The service counts two more than come.
        bench.sandbox.fault(Fault::always(QUERY, FaultAction::Body(json!({"count": count + 2}))));
        let url = format!("{}/arcgis/rest/services/Fieldwork/FeatureServer/0", bench.sandbox.url());
        let layers = json!([{"id": "places", "title": "Places", "layerType": "ArcGISFeatureLayer", "url": url}]);
        let map = WebMap::from_value(json!({"operationalLayers": layers, "spatialReference": {"wkid": 102_100}}));
        let task = OfflineMapTask::new(&bench.engine, OfflineMapSource::from_web_map(map.expect("a map")));
        let mut parameters = task.default_parameters(area()).expect("parameters");
        let budget = ErrorBudget { missing_features: allowance, ..ErrorBudget::default() };
        parameters.error_budgets.insert("places".to_owned(), budget);
        let job = task.generate_offline_map(parameters, Default::default(), bench.destination());
        let result = run_to_end(&job).await.0;
        if !is_taken {
            let failure = result.expect_err("two are too many").failure;
            assert_eq!((failure.owner, failure.kind), (FailureOwner::Source, FailureKind::Incomplete), "{failure}");
            continue;
        }
        let result = result.expect("a package");
        let missing = result.layers[0].contents.missing_features.clone().expect("two are missing");
        assert_eq!((missing.count, missing.of, result.layers[0].contents.got), (2, count + 2, count));
        assert!(!result.has_errors() && !result.is_complete(), "{:?}", result.layers);
        let verification = verify_deep(&result.package).expect("verifies");
        assert!(verification.ok && verification.complete == Some(false), "{verification:?}");
        assert!(verification.missing.iter().any(|w| w.contains(&format!("2 of {} features are missing", count + 2))));
    }
}
