//! A server behind a proxy names itself by its inner name in its answers: what it names is asked where the service was asked.

use crate::support::{Bench, files_below, run_to_end};
use offmap::arcgis::{ClientOptions, Credentials, HostPolicy};
use offmap::{
    FailureKind, FailureOwner, GenerateOfflineMapParameterOverrides as Overrides, GenerateOfflineMapResult, JobError,
    OfflineMapSource, OfflineMapTask, WebMap,
};
use offmap_sandbox::{FIELD_MAP, Fault, FaultAction, HOSTED_MAP, SandboxOptions};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// No name server knows it, and its port is that of ArcGIS Server.
const INNER: &str = "http://gisserver01.invalid:6080";
/// The same without a name: nothing is looked up, which takes its time where the machine is busy.
const CLOSED: &str = "http://127.0.0.1:6080";
/// Nothing in it says that it is an inner one; nothing listens there.
const UNREACHABLE: &str = "http://127.0.0.1:9";

async fn behind_a_proxy(inner: &str) -> Bench {
    let options = SandboxOptions { inner_host: Some(inner.to_owned()), ..SandboxOptions::default() };
    Bench::with(options, |_| Credentials::none()).await
}

/// Takes the map with its services under another context than the server's own.
async fn take_by(bench: &Bench, map: &str, context: &str) -> GenerateOfflineMapResult {
    let mut source = bench.task(map).await.source().clone();
    let text = serde_json::to_string(&source.web_map)
        .expect("JSON")
        .replace("/arcgis/rest/services", &format!("/{context}/rest/services"));
    source.web_map = offmap::WebMap::from_json(&text).expect("a map");
    let task = OfflineMapTask::new(&bench.engine, source);
    let mut parameters = task.default_parameters(crate::support::area()).expect("parameters");
    parameters.max_scale = 10_000_000.0;
    let job = task.generate_offline_map(parameters, Overrides::default(), bench.destination());
    run_to_end(&job).await.0.expect("a package")
}

/// Takes a map with one layer, so that the requests of its service go one after another, and no other one finds out where it is.
async fn take_one(bench: &Bench, layer: &str) -> Result<GenerateOfflineMapResult, JobError> {
    let url = format!("{}/arcgis/rest/services/{layer}", bench.sandbox.url());
    let map = serde_json::json!({"operationalLayers": [
        {"id": "one", "title": "One", "layerType": "ArcGISFeatureLayer", "url": url}]});
    let task = OfflineMapTask::new(&bench.engine, OfflineMapSource::from_web_map(WebMap::from_value(map).expect("a map")));
    let parameters = task.default_parameters(crate::support::area()).expect("parameters");
    let job = task.generate_offline_map(parameters, Overrides::default(), bench.destination());
    run_to_end(&job).await.0
}

#[tokio::test]
async fn what_an_inner_name_stands_for_is_fetched_from_the_outer_origin() {
    for inner in [INNER, UNREACHABLE] {
        for map in [FIELD_MAP, HOSTED_MAP] {
            let bench = behind_a_proxy(inner).await;
            let result = bench.take(map).await;
            assert!(!result.has_errors(), "{inner} {map}: {:?}", result.layers);
            let text =
                files_below(&bench.destination()).into_iter().filter(|p| p.extension().is_some_and(|e| e == "geodatabase"));
            assert_eq!(text.count(), 2, "both feature services came by their replicas");
        }
    }
}

#[tokio::test]
async fn a_web_adaptor_may_have_another_name_than_the_server_behind_it() {
    let bench = behind_a_proxy(INNER).await;
    // What the server calls `/arcgis` is not there from outside.
    bench.sandbox.fault(Fault::always("/arcgis/", FaultAction::Status(404, "<html>not here</html>".into(), None)));
    let result = take_by(&bench, FIELD_MAP, "server").await;
    assert!(!result.has_errors(), "{:?}", result.layers);
}

#[tokio::test]
async fn an_inner_host_that_the_policy_refuses_is_not_needed() {
    let options = SandboxOptions { inner_host: Some("https://gis.city.example".to_owned()), ..SandboxOptions::default() };
    let mut bench = Bench::with(options, |_| Credentials::none()).await;
    let outer = bench.sandbox.url().split("://").nth(1).expect("a host").to_owned();
    let options = ClientOptions {
        hosts: HostPolicy::allow_hosts([outer]).expect("a policy"),
        poll_interval: std::time::Duration::from_millis(10),
        ..ClientOptions::default()
    };
    let clock = std::sync::Arc::new(offmap::testing::VirtualClock::default());
    bench.client = offmap::arcgis::ArcGisClient::with_clock(options, Credentials::none(), clock).expect("a client");
    bench.engine = offmap::with_defaults(&bench.client).expect("exporters").start().expect("starts");
    let result = bench.take(FIELD_MAP).await;
    assert!(!result.has_errors(), "{:?}", result.layers);
}

#[tokio::test]
async fn one_answer_that_is_odd_costs_no_layer() {
    let bench = behind_a_proxy(UNREACHABLE).await;
    bench.sandbox.fault(Fault::times("/jobs/", 1, FaultAction::Status(404, "not here".into(), None)));
    let result = bench.take(FIELD_MAP).await;
    assert!(!result.has_errors(), "{:?}", result.layers);
}

/// A host that keeps every byte that it receives and answers as a proxy does that has nothing behind it.
struct Recorder {
    url: String,
    received: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Recorder {
    async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let received = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&received);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let all = Arc::clone(&all);
                tokio::spawn(async move {
                    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
                    // A request without a body; what came of a broken one is kept as well.
                    while !request.ends_with(b"\r\n\r\n") {
                        match stream.read(&mut buffer).await {
                            Ok(size) if size > 0 => request.extend_from_slice(&buffer[..size]),
                            _ => break,
                        }
                    }
                    all.lock().expect("not poisoned").push(request);
                    let answer = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                    let _ = stream.write_all(answer.as_bytes()).await;
                });
            }
        });
        Self { url, received }
    }

    /// The requests so far, as text.
    fn requests(&self) -> Vec<String> {
        let received = self.received.lock().expect("not poisoned");
        received.iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect()
    }
}

#[tokio::test]
async fn the_same_place_is_not_looked_for_with_every_request() {
    let inner = Recorder::start().await;
    let options = SandboxOptions { inner_host: Some(inner.url.clone()), polls: 12, ..SandboxOptions::default() };
    let bench = Bench::with(options, |_| Credentials::none()).await;
    let result = take_one(&bench, "Reference/FeatureServer/0").await.expect("a package");
    assert!(!result.has_errors(), "{:?}", result.layers);
    let asked = bench.sandbox.requests();
    let named = asked.iter().filter(|r| r.path.contains("/jobs/") || r.path.contains("/arcgisoutput/"));
    assert!(named.count() > 12, "the state of the job, again and again, and its file");
    let lines: Vec<String> = inner.requests().iter().filter_map(|r| r.lines().next().map(str::to_owned)).collect();
    assert_eq!(lines.len(), 1, "once it is known where the service is, the inner host is not asked: {lines:?}");
    assert!(lines[0].starts_with("GET /arcgis/rest/services/Reference/FeatureServer/jobs/"), "{lines:?}");
}

#[tokio::test]
async fn where_both_places_fail_the_reason_says_what_was_found_at_both() {
    let bench = behind_a_proxy(CLOSED).await;
    bench.sandbox.fault(Fault::always("/FeatureServer/jobs/", FaultAction::Status(403, "<html>closed</html>".into(), None)));
    let failure = take_one(&bench, "Fieldwork/FeatureServer/0").await.expect_err("its only layer fails").failure;
    let words = failure.to_string();
    let outer = bench.sandbox.url().split("://").nth(1).expect("a host");
    for part in [outer, "127.0.0.1:6080", "WebContextURL", "403", "cannot be reached"] {
        assert!(words.contains(part), "{part}: {words}");
    }
    assert_eq!((failure.owner, failure.kind), (FailureOwner::Credentials, FailureKind::Unauthorized), "{words}");
    assert!(!words.contains("network; try again"), "{words}");

    let bench = behind_a_proxy(CLOSED).await;
    bench.sandbox.fault(Fault::always("/FeatureServer/jobs/", FaultAction::Status(403, "<html>closed</html>".into(), None)));
    let result = bench.take(FIELD_MAP).await;
    let failed = |id: &str| result.layers.iter().find(|l| l.id == id).expect("is in the map").failure.is_some();
    assert!(failed("places") && !failed("world"), "tiles have no part in it: {:?}", result.layers);
}

#[tokio::test]
async fn a_token_goes_to_the_outer_origin_only() {
    for map in [FIELD_MAP, HOSTED_MAP] {
        let inner = Recorder::start().await;
        let options = SandboxOptions { secured: true, inner_host: Some(inner.url.clone()), ..SandboxOptions::default() };
        let mut token = String::new();
        let bench = Bench::with(options, |sandbox| {
            token = sandbox.token();
            Credentials::token(token.clone()).for_portal(&sandbox.portal_url()).expect("credentials")
        })
        .await;
        let result = bench.take(map).await;
        assert!(!result.has_errors(), "{map}: {:?}", result.layers);
        let requests = bench.sandbox.requests();
        let named = requests.iter().filter(|r| r.path.contains("/jobs/") || r.path.contains("/arcgisoutput/"));
        assert!(named.inspect(|r| assert!(r.has_token, "{map}: {}", r.path)).count() > 0, "{map}: the outer origin gets it");
        let received = inner.requests();
        assert!(
            received.iter().any(|r| r.starts_with("GET /") && r.contains("/rest/services/")),
            "{map}: it was asked: {received:?}"
        );
        assert!(token.len() > 10 && token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)), "{token}");
        for request in received {
            let has_secret = request.contains(&token) || request.to_ascii_lowercase().contains("authorization");
            assert!(!has_secret && !request.contains("token="), "{map}: {request}");
        }
    }
}

#[tokio::test]
async fn storage_is_asked_as_it_is_named_and_the_service_is_not_asked_for_its_files() {
    let bench = Bench::new().await;
    let result = bench.take(HOSTED_MAP).await;
    assert!(!result.has_errors(), "{:?}", result.layers);
    let own = bench.sandbox.url().split("://").nth(1).expect("a host");
    let presigned = bench.sandbox.requests().into_iter().filter(|r| r.path.starts_with("/presigned/"));
    assert!(presigned.inspect(|r| assert_ne!(r.host, own)).count() >= 2);
}
