//! The manifest says of each layer by which replica and which state of its service it was exported, so that what changed later can be
//! fetched alone.

use crate::support::{Bench, files_below, run_to_end};
use async_trait::async_trait;
use offmap::arcgis::ServiceCall;
use offmap::packager::MobileMapPackage;
use offmap::packager::manifest::ManifestLayer;
use offmap::{
    EarlierPackage, Engine, Failure, FailureKind, FailureOwner, FailureStage, GenerateOfflineMapJob, OfflineMapTask,
    PackRequest, Packager, Packed,
};
use offmap_sandbox::FIELD_MAP;
use std::path::Path;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// When the sandbox's data were last edited.
const EDITED: i64 = 1_704_153_600_000;

fn layers_of(package: &Path) -> Vec<ManifestLayer> {
    let opened = MobileMapPackage::open(package).expect("opens");
    opened.manifest().expect("a manifest").expect("a good one").layers.clone()
}

/// The ids of the replicas that the service of a layer lists.
async fn listed(bench: &Bench, layer: &ManifestLayer) -> Vec<String> {
    let url = layer.url.as_deref().and_then(|url| url.rsplit_once('/')).expect("the url of a layer").0;
    let call = ServiceCall::get(&format!("{url}/replicas")).expect("a call");
    let id = |replica: serde_json::Value| replica["replicaID"].as_str().map(str::to_lowercase);
    bench.client.list(&call, id).await.expect("lists")
}

/// Every layer of a geodatabase has the tokens of the one replica that its service lists; layers of tiles have none of them.
async fn check(bench: &Bench, package: &Path) {
    let layers = layers_of(package);
    let (replicated, others): (Vec<_>, Vec<_>) =
        layers.iter().partition(|l| l.file.as_ref().is_some_and(|f| f.ends_with(".geodatabase")));
    assert!(replicated.len() > 1 && !others.is_empty());
    for layer in replicated {
        let tokens = &layer.contents.edit_tokens;
        assert!(tokens.etag.is_some(), "{}", layer.id);
        assert_eq!(listed(bench, layer).await, tokens.replica_id.clone().into_iter().collect::<Vec<_>>(), "{}", layer.id);
        assert_eq!((tokens.server_gen, tokens.edit_date), (Some(1000), Some(EDITED)), "{}", layer.id);
    }
    for layer in others {
        let tokens = &layer.contents.edit_tokens;
        assert_eq!(tokens.etag.is_some(), layer.file.is_some(), "{}", layer.id);
        assert_eq!((&tokens.replica_id, tokens.server_gen), (&None, None), "{}", layer.id);
    }
}

#[tokio::test]
async fn a_manifest_has_replica_and_generation_of_each_layer_also_after_its_package_was_completed() {
    let bench = Bench::new().await;
    let package = bench.take(FIELD_MAP).await.package;
    check(&bench, &package).await;
    let tiles = files_below(&package).into_iter().find(|p| p.extension().is_some_and(|e| e == "tpkx"));
    std::fs::remove_file(tiles.expect("tiles")).expect("removes");
    let job = GenerateOfflineMapJob::complete(&bench.engine, &package).await.expect("a job");
    let completed = run_to_end(&job).await.0.expect("a package");
    assert!(completed.is_complete(), "{:?}", completed.layers);
    check(&bench, &completed.package).await;
}

/// A packager that cannot write.
#[derive(Debug)]
struct NoPackage;

#[async_trait]
impl Packager for NoPackage {
    fn check_destination(&self, _: &Path) -> Result<(), Failure> {
        Ok(())
    }

    fn read_package(&self, package: &Path) -> Result<EarlierPackage, Failure> {
        Err(Failure::not_supported(format!("{} is not read here", package.display())))
    }

    async fn pack(
        &self,
        _: PackRequest,
        _: Arc<dyn Fn(u64, u64) + Send + Sync>,
        _: CancellationToken,
    ) -> Result<Packed, Failure> {
        Err(Failure::new(FailureOwner::Storage, FailureKind::Io, FailureStage::Package, "the disk is full"))
    }
}

#[tokio::test]
async fn a_resumed_job_knows_replica_and_generation_of_what_was_exported_before() {
    let bench = Bench::new().await;
    let engine = offmap::exporters::register(Engine::builder(NoPackage), &bench.client).expect("registers");
    let engine = engine.start().expect("starts");
    let source = offmap::arcgis::portal::read_item(&bench.client, &bench.sandbox.portal_url(), FIELD_MAP).await;
    let task = OfflineMapTask::new(&engine, source.expect("a map"));
    let mut parameters = task.default_parameters(crate::support::area()).expect("parameters");
    parameters.max_scale = 20_000_000.0;
    let job = task.generate_offline_map(parameters, Default::default(), bench.destination());
    run_to_end(&job).await.0.expect_err("no package");
    let exported = bench.sandbox.requests().len();
    let job = GenerateOfflineMapJob::resume(&bench.engine, bench.destination()).await.expect("a job");
    let result = run_to_end(&job).await.0.expect("a package");
    let again = bench.sandbox.requests().split_off(exported);
    assert!(!again.iter().any(|r| r.path.to_lowercase().contains("createreplica")), "nothing is exported again");
    check(&bench, &result.package).await;
}
