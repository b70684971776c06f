//! A server behind a proxy names itself by its inner name in its answers: what it names is asked where the service was asked.

use crate::support::{Bench, files_below, run_to_end};
use offmap::exporters::client::{ClientOptions, Credentials, HostPolicy};
use offmap::{
    FailureKind, FailureOwner, GenerateOfflineMapParameterOverrides as Overrides, GenerateOfflineMapResult, OfflineMapTask,
};
use offmap_sandbox::{FIELD_MAP, Fault, FaultAction, HOSTED_MAP, SandboxOptions};

/// No name server knows it, and its port is that of ArcGIS Server.
const INNER: &str = "http://gisserver01.invalid:6080";
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
    bench.client =
        offmap::exporters::client::ArcGisClient::with_clock(options, Credentials::none(), clock).expect("a client");
    bench.engine = offmap::with_defaults(&bench.client).expect("exporters").start().expect("starts");
    let result = bench.take(FIELD_MAP).await;
    assert!(!result.has_errors(), "{:?}", result.layers);
}

#[tokio::test]
async fn the_same_place_is_not_looked_for_with_every_request() {
    let bench = behind_a_proxy(UNREACHABLE).await;
    bench.sandbox.fault(Fault::times("/jobs/", 1, FaultAction::Status(404, "not here".into(), None)));
    let result = bench.take(FIELD_MAP).await;
    assert!(!result.has_errors(), "one answer that is odd costs nothing: {:?}", result.layers);
}

#[tokio::test]
async fn where_both_places_fail_the_reason_says_what_was_found_at_both() {
    let bench = behind_a_proxy(INNER).await;
    bench.sandbox.fault(Fault::always("/FeatureServer/jobs/", FaultAction::Status(403, "<html>closed</html>".into(), None)));
    let result = bench.take(FIELD_MAP).await;
    let failure = result.layers.iter().find(|l| l.id == "places").and_then(|l| l.failure.as_ref()).expect("a failure");
    let words = failure.to_string();
    let outer = bench.sandbox.url().split("://").nth(1).expect("a host");
    for part in [outer, "gisserver01.invalid:6080", "WebContextURL", "403", "cannot be reached"] {
        assert!(words.contains(part), "{part}: {words}");
    }
    assert_eq!((failure.owner, failure.kind), (FailureOwner::Credentials, FailureKind::Unauthorized), "{words}");
    assert!(!words.contains("network; try again"), "{words}");
    assert!(result.layers.iter().filter(|l| l.id == "world").all(|l| l.failure.is_none()), "tiles have no part in it");
}

#[tokio::test]
async fn a_token_goes_to_the_outer_origin_only() {
    let options = SandboxOptions { secured: true, inner_host: Some(INNER.to_owned()), ..SandboxOptions::default() };
    let bench = Bench::with(options, |sandbox| {
        Credentials::token(sandbox.token()).for_portal(&sandbox.portal_url()).expect("credentials")
    })
    .await;
    let result = bench.take(HOSTED_MAP).await;
    assert!(!result.has_errors(), "{:?}", result.layers);
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
