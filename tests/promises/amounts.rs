//! How much is fetched: no more than the plan gives reason for, and never the last of the disk.

use crate::stranger::Stranger;
use crate::support::{Bench, files_below, run_to_end};
use offmap::LayerSecrets;
use offmap::arcgis::{ArcGisClient, ClientOptions, Credentials, Download};
use offmap::testing::VirtualClock;
use offmap::{DiskReserve, Failure, FailureKind, FailureOwner, GenerateOfflineMapJob, LayerOutcome};
use offmap_sandbox::{FIELD_MAP, Fault, FaultAction, HOSTED_MAP};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const CHUNKED: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// One chunk of 64 KiB.
fn chunk() -> Vec<u8> {
    [b"10000\r\n".as_slice(), &[0; 1 << 16], b"\r\n"].concat()
}

fn failure_of(layers: &[LayerOutcome], id: &str) -> Failure {
    let layer = layers.iter().find(|l| l.id == id).expect("an outcome");
    layer.failure.clone().unwrap_or_else(|| panic!("{layer:?} has no failure"))
}

fn client_with(disk_reserve: DiskReserve) -> ArcGisClient {
    let options = ClientOptions { disk_reserve, attempts: 2, ..ClientOptions::default() };
    ArcGisClient::with_clock(options, Credentials::none(), Arc::new(VirtualClock::default())).expect("a client")
}

async fn fetch(client: &ArcGisClient, url: &str, to: &Path, limit: u64) -> Failure {
    client
        .download(Download { url, to, presigned: true, limit, secrets: &LayerSecrets::default() }, |_, _| {})
        .await
        .expect_err("it has no end")
}

#[tokio::test]
async fn a_result_that_never_ends_is_a_failure_of_its_layer_and_does_not_fill_the_disk() {
    let stranger = Stranger::without_end(CHUNKED, chunk()).await;
    let bench = Bench::new().await;
    let services = format!("{}/arcgis/rest/services", bench.sandbox.url());
    let map = json!({"operationalLayers": [
        {"id": "borders", "title": "Borders", "layerType": "ArcGISFeatureLayer", "url": format!("{services}/Reference/FeatureServer/0")},
        {"id": "world", "title": "World", "layerType": "ArcGISTiledMapServiceLayer", "url": format!("{services}/World/MapServer")},
        {"id": "streets", "title": "Streets", "layerType": "VectorTileLayer", "url": format!("{services}/Streets/VectorTileServer")}],
        "baseMap": {"baseMapLayers": [], "title": "None"}, "spatialReference": {"wkid": 102_100}, "version": "2.35"});
    let source = offmap::OfflineMapSource::from_web_map(offmap::WebMap::from_value(map).expect("a map"));
    let task = offmap::OfflineMapTask::new(&bench.engine, source);
    let mut parameters = task.default_parameters(crate::support::area()).expect("parameters");
    parameters.max_scale = 10_000_000.0;
    for path in ["/world.tpkx", ".geodatabase"] {
        bench.sandbox.fault(Fault::always(path, FaultAction::Redirect(stranger.url("x"))));
    }
    let job = task.generate_offline_map(parameters, Default::default(), bench.destination());
    let result = run_to_end(&job).await.0.expect("a package");
    for id in ["borders", "world"] {
        let failure = failure_of(&result.layers, id);
        assert_eq!((failure.owner, failure.kind), (FailureOwner::Source, FailureKind::LimitExceeded), "{failure}");
        assert!(failure.message.contains("the plan expects at most") && failure.message.contains("or more"), "{failure}");
        assert!(!failure.retryable && failure.attempts == 1, "{failure:?}");
    }
    assert_eq!(result.layer_errors().count(), 2, "the third layer is there");
}

#[tokio::test]
async fn a_result_that_says_that_it_is_too_large_is_refused_before_a_byte_is_written() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: 6000000000\r\n\r\n";
    let stranger = Stranger::without_end(head, vec![0; 1 << 16]).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let to = dir.path().join("file");
    let failure = fetch(&client_with(DiskReserve::default()), &stranger.url("x"), &to, 1 << 20).await;
    assert_eq!((failure.owner, failure.kind), (FailureOwner::Source, FailureKind::LimitExceeded), "{failure}");
    assert!(failure.message.contains("6000000000 bytes or more, 1048576 are allowed"), "{failure}");
    let full = DiskReserve::bytes(1 << 20).with_free_space(|_| Ok(6_000_000_000));
    let failure = fetch(&client_with(full), &stranger.url("x"), &to, 1 << 40).await;
    assert_eq!((failure.owner, failure.kind), (FailureOwner::Storage, FailureKind::StorageFull), "{failure}");
    assert!(failure.message.contains("6000000000 are free, and 1048576 of them are kept free"), "{failure}");
    let written: u64 = files_below(dir.path()).iter().map(|f| std::fs::metadata(f).expect("a file").len()).sum();
    assert!(written < 1000, "{written} bytes were written");
}

/// The free space of a disk that gets fuller each time somebody looks.
static LEFT: AtomicU64 = AtomicU64::new(0);

fn shrinking(_: &Path) -> std::io::Result<u64> {
    Ok(LEFT.fetch_sub(32 << 20, Ordering::SeqCst))
}

#[tokio::test]
async fn while_a_file_comes_the_reserve_of_the_disk_stays_free_and_the_work_is_kept() {
    // At first there is room for all of it.
    let head = format!("HTTP/1.1 200 OK\r\netag: \"a\"\r\ncontent-length: {}\r\n\r\n", 110 << 20);
    let stranger = Stranger::without_end(&head, vec![0; 1 << 16]).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let to = dir.path().join("file");
    LEFT.store(512 << 20, Ordering::SeqCst);
    let reserve = DiskReserve::bytes(400 << 20).with_free_space(shrinking);
    let failure = fetch(&client_with(reserve), &stranger.url("x"), &to, 1 << 40).await;
    assert_eq!((failure.owner, failure.kind), (FailureOwner::Storage, FailureKind::StorageFull), "{failure}");
    let part = std::fs::metadata(dir.path().join("file.part")).expect("the half that came").len();
    assert!((64 << 20..=112 << 20).contains(&part), "{part} bytes came before the reserve was reached");
    assert!(dir.path().join("file.part.json").exists(), "and can be resumed");
}

#[tokio::test]
async fn a_full_disk_ends_the_job_and_keeps_its_work() {
    let bench = Bench::new().await;
    let client = client_with(DiskReserve::bytes(1 << 20).with_free_space(|_| Ok(1 << 20)));
    let engine = offmap::with_defaults(&client).expect("exporters").start().expect("starts");
    let source = bench.task(FIELD_MAP).await.source().clone();
    let task = offmap::OfflineMapTask::new(&engine, source);
    let mut parameters = task.default_parameters(crate::support::area()).expect("parameters");
    parameters.max_scale = 10_000_000.0;
    let job = task.generate_offline_map(parameters, Default::default(), bench.destination());
    let error = run_to_end(&job).await.0.expect_err("the disk is full");
    assert_eq!(error.failure.kind, FailureKind::StorageFull, "{error}");
    assert!(error.can_resume && !bench.destination().exists());
    let job = GenerateOfflineMapJob::resume(&bench.engine, bench.destination()).await.expect("a job");
    assert!(!run_to_end(&job).await.0.expect("a package").has_errors());
}

/// A third host that has every font in every range.
async fn font_server() -> Stranger {
    Stranger::start("application/x-protobuf", b"\x0a\x12\x0a\x09Some font\x12\x050-255").await
}

/// A style with other fonts, from a third host.
fn style_with(bench: &Bench, server: &Stranger, fonts: impl IntoIterator<Item = Value>) -> FaultAction {
    let source = format!("{}/hosted/rest/services/Streets/VectorTileServer", bench.sandbox.url());
    let layers: Vec<Value> = fonts
        .into_iter()
        .map(|font| json!({"type": "symbol", "layout": {"text-field": "{name}", "text-font": font}}))
        .collect();
    FaultAction::Body(
        json!({"version": 8, "sprite": "../sprites/sprite", "glyphs": server.url("fonts/{fontstack}/{range}.pbf"),
        "sources": {"esri": {"type": "vector", "url": source}}, "layers": layers}),
    )
}

#[tokio::test]
async fn a_thousand_font_stacks_are_not_thirty_thousand_requests_and_the_rest_is_named() {
    let bench = Bench::new().await;
    let server = font_server().await;
    let fonts = (0..1000).map(|i| json!([format!("Font {i:04}")]));
    bench.sandbox.fault(Fault::always("styles/root.json", style_with(&bench, &server, fonts)));
    let result = bench.take(HOSTED_MAP).await;
    assert!(!result.has_errors(), "{:?}", result.layers);
    assert_eq!(server.asked(), 32 * 256);
    let streets = result.layers.iter().find(|l| l.id == "streets").expect("an outcome");
    let words: Vec<&str> = streets.contents.notes.iter().map(|n| n.message.as_str()).collect();
    assert!(
        words.iter().any(|w| w.contains("`Font 0032`") && w.contains("1000 fonts are named, 32 are fetched")),
        "{words:?}"
    );
    assert!(words.len() < 30 && words.iter().any(|w| w.contains("948 more fonts")), "{words:?}");
    let package = offmap::packager::MobileMapPackage::open(&result.package).expect("opens");
    let manifest = package.manifest().expect("a manifest").expect("a good one");
    assert_eq!(manifest.layers.iter().find(|l| l.id == "streets").map(|l| &l.contents.notes), Some(&streets.contents.notes));
}

#[tokio::test]
async fn a_font_name_that_cannot_be_a_file_costs_its_labels_and_not_the_job() {
    for name in ["a\0b".to_owned(), "x".repeat(5000), "ü".repeat(130), "a/../../b".into(), "\u{1b}[2J".into()] {
        let bench = Bench::new().await;
        let server = font_server().await;
        let fonts = [json!([name]), json!(["Sandbox Regular"])];
        bench.sandbox.fault(Fault::always("styles/root.json", style_with(&bench, &server, fonts)));
        let (result, messages) = run_to_end(&bench.job(HOSTED_MAP, |_| {}).await).await;
        let result = result.expect("a package");
        assert!(!result.has_errors(), "{name:?}: {:?}", result.layers);
        let notes: Vec<&str> = result.layers.iter().flat_map(|l| &l.contents.notes).map(|n| n.message.as_str()).collect();
        let [note] = notes.as_slice() else { panic!("{name:?}: {notes:?}") };
        assert!(note.contains("its name cannot be a file"), "{name:?}: {note}");
        assert!(note.len() < 500 && !note.contains(char::is_control), "{note:?}");
        assert!(!format!("{messages:?}").contains(&"x".repeat(300)));
        assert_eq!(server.asked(), 256, "{name:?}");
        let fonts: Vec<_> =
            files_below(&result.package).into_iter().filter(|f| f.to_string_lossy().contains("fonts")).collect();
        assert!(fonts.iter().all(|f| f.to_string_lossy().contains("Sandbox Regular")) && fonts.len() == 256, "{fonts:?}");
    }
}
