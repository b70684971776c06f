//! Which hosts are asked is the host program's word; what comes from elsewhere is neither quoted nor kept.

use crate::stranger::Stranger;
use crate::support::{Bench, files_below, holds, run_to_end};
use offmap::LayerSecrets;
use offmap::arcgis::portal;
use offmap::arcgis::{ArcGisClient, ClientOptions, Credentials, Download, HostPolicy, ServiceCall};
use offmap::testing::VirtualClock;
use offmap::{Failure, FailureKind, FailureOwner};
use offmap_sandbox::{FIELD_MAP, Fault, FaultAction, HOSTED_MAP, Sandbox, SandboxOptions};
use serde_json::json;
use std::sync::Arc;

/// Words of an internal host that must not get out.
const SECRET: &str = "AKIA-internal-words";

fn client_for(hosts: HostPolicy) -> ArcGisClient {
    let options = ClientOptions { hosts, ..ClientOptions::default() };
    ArcGisClient::with_clock(options, Credentials::none(), Arc::new(VirtualClock::default())).expect("a client")
}

fn host_of(url: &str) -> String {
    url.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default().to_owned()
}

/// Asks for a url in all the ways that a client has.
async fn asked_in_every_way(client: &ArcGisClient, url: &str) -> Vec<(&'static str, Result<(), Failure>)> {
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let to = dir.path().join("file");
    let (get, post) = (ServiceCall::get(url).expect("a url"), ServiceCall::post(url).expect("a url"));
    let secrets = LayerSecrets::default();
    let download = |presigned| Download { url, to: &to, presigned, limit: 1 << 20, secrets: &secrets };
    let (file, presigned) = (download(false), download(true));
    vec![
        ("a download", client.download(file, |_, _| {}).await.map(drop)),
        ("a presigned download", client.download(presigned, |_, _| {}).await.map(drop)),
        ("words", client.json(&get).await.map(drop)),
        ("a form", client.json(&post.with("where", "1=1")).await.map(drop)),
        ("a long query", client.json(&get.clone().with("where", "x".repeat(3000))).await.map(drop)),
        ("a job", client.job_json(&get).await.map(drop)),
        ("a small file", client.bytes(&get, 1 << 20).await.map(drop)),
    ]
}

/// Whether a request goes as a form, which is sent on to no other origin in any case.
fn is_form(what: &str) -> bool {
    matches!(what, "a form" | "a long query")
}

fn assert_not_sent_on(what: &str, end: Result<(), Failure>) {
    let failure = end.expect_err(what);
    assert_eq!((failure.owner, failure.kind), (FailureOwner::Source, FailureKind::InvalidAnswer), "{what}: {failure}");
}

fn assert_refused(what: &str, end: Result<(), Failure>, words: &str) {
    let failure = end.expect_err(what);
    let found = (failure.owner, failure.kind, failure.retryable, failure.attempts);
    assert_eq!(found, (FailureOwner::Caller, FailureKind::NotSupported, false, 1), "{what}: {failure}");
    assert!(failure.message.contains(words), "{what}: {failure}");
}

#[tokio::test]
async fn a_client_that_may_ask_public_hosts_only_never_connects_to_this_machine() {
    let stranger = Stranger::start("application/json", json!({"a": 1}).to_string()).await;
    let ways = ["localhost", "127.0.0.1", "2130706433", "0x7f.1", "0177.0.0.1", "[::ffff:127.0.0.1]", "[::1]"];
    for way in ways {
        let url = format!("http://{way}:{}/rest", stranger.port);
        for (what, end) in asked_in_every_way(&client_for(HostPolicy::deny_private()), &url).await {
            assert_refused(&format!("{what} of {way}"), end, "its address is private");
        }
    }
    // Some resolvers do not know it by this name.
    let with_dot = format!("http://localhost.:{}/rest", stranger.port);
    for (what, end) in asked_in_every_way(&client_for(HostPolicy::deny_private()), &with_dot).await {
        assert!(end.is_err(), "{what}");
    }
    assert_eq!(stranger.asked(), 0);
    let url = stranger.url("rest");
    for (what, end) in asked_in_every_way(&client_for(HostPolicy::any()), &url).await {
        assert!(end.is_ok() || what.ends_with("download"), "{what}: {end:?}");
    }
    assert!(stranger.asked() >= 7, "it can be asked at all");
}

#[tokio::test]
async fn a_redirect_leads_to_no_host_that_is_not_allowed() {
    let stranger = Stranger::start("application/json", json!({"a": 1}).to_string()).await;
    let sandbox = Sandbox::start(SandboxOptions::default()).await.expect("a sandbox");
    let named = HostPolicy::allow_hosts([host_of(sandbox.url())]).expect("a host");
    let url = format!("{}/arcgis/rest/services/World/MapServer", sandbox.url());
    for target in ["http://127.0.0.1", "http://localhost", "http://[::ffff:127.0.0.1]", "http://user:pw@0x7f.1"] {
        sandbox
            .fault_first(Fault::always("world/mapserver", FaultAction::Redirect(format!("{target}:{}/x", stranger.port))));
        for (what, end) in asked_in_every_way(&client_for(named.clone()), &url).await {
            let cell = format!("{what} by {target}");
            match is_form(what) || target.contains('@') {
                true => assert_not_sent_on(&cell, end),
                false => assert_refused(&cell, end, "it is not among the hosts that may be asked"),
            }
        }
    }
    assert_eq!(stranger.asked(), 0);
    // A public host that leads to a metadata service, under the policy that allows most.
    sandbox.fault_first(Fault::always("world/mapserver", FaultAction::Redirect("http://169.254.169.254/latest".into())));
    for (what, end) in asked_in_every_way(&client_for(HostPolicy::any()), &url).await {
        match is_form(what) {
            true => assert_not_sent_on(what, end),
            false => assert_refused(what, end, "169.254.169.254 is not asked: link-local, metadata"),
        }
    }
}

#[tokio::test]
async fn a_map_is_taken_with_only_the_hosts_that_are_allowed_and_the_rest_is_named() {
    let sandbox = Sandbox::start(SandboxOptions::default()).await.expect("a sandbox");
    let (own, storage) = (host_of(sandbox.url()), host_of(sandbox.storage_url()));
    for (hosts, refused) in [(vec![&own], true), (vec![&own, &storage], false)] {
        let client = client_for(HostPolicy::allow_hosts(hosts).expect("hosts"));
        let engine = offmap::with_defaults(&client).expect("exporters").start().expect("starts");
        let dir = offmap_sandbox::tempdir().expect("a directory");
        let source = portal::read_item(&client, &sandbox.portal_url(), HOSTED_MAP).await.expect("a map");
        let task = offmap::OfflineMapTask::new(&engine, source);
        let mut parameters = task.default_parameters(crate::support::area()).expect("parameters");
        parameters.max_scale = 10_000_000.0;
        let asked_before = sandbox.requests().iter().filter(|r| r.host == storage).count();
        let job = task.generate_offline_map(parameters, Default::default(), dir.path().join("p"));
        let result = run_to_end(&job).await.0.expect("a package");
        let failed: Vec<_> = result.layers.iter().filter(|l| l.is_error()).collect();
        assert_eq!(!failed.is_empty(), refused, "{:?}", result.layers);
        for layer in failed {
            let failure = layer.failure.clone().expect("a failure");
            assert!(failure.message.contains(&format!("--allow-host {storage}")), "{failure}");
        }
        let asked = sandbox.requests().iter().filter(|r| r.host == storage).count() - asked_before;
        assert_eq!(asked == 0, refused);
    }
}

#[tokio::test]
async fn a_sprite_glyph_or_picture_that_is_something_else_is_neither_kept_nor_quoted() {
    let page = format!("{{\"Code\": \"Success\", \"SecretAccessKey\": \"{SECRET}\"}}");
    let nested = format!("{{\"dot\": {{\"secret\": \"{SECRET}\"}}}}");
    // A PNG with words behind its end, and bytes that begin like glyphs.
    let png =
        [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89".as_slice(), SECRET.as_bytes()];
    let lines = format!("\n{SECRET}\n");
    let answers: [(&str, &str, Vec<u8>); 8] = [
        ("sprite.json", "application/json", page.clone().into_bytes()),
        ("sprite.json", "application/json", nested.into_bytes()),
        ("sprite.json", "text/plain", SECRET.into()),
        ("sprite.png", "text/plain", SECRET.into()),
        ("sprite.png", "image/png", png.concat()),
        ("0-255.pbf", "text/plain", lines.into_bytes()),
        ("0-255.pbf", "text/plain", SECRET.into()),
        ("info/thumbnail", "image/png", page.into_bytes()),
    ];
    for (path, kind, body) in answers {
        let shown = format!("{path}: {}", String::from_utf8_lossy(&body));
        let stranger = Stranger::start(kind, body).await;
        let bench = Bench::new().await;
        bench.sandbox.fault(Fault::always(path, FaultAction::Redirect(stranger.url("latest"))));
        let (result, messages) = run_to_end(&bench.job(HOSTED_MAP, |_| {}).await).await;
        let result = result.expect("a package");
        assert!(stranger.asked() > 0, "{shown}");
        let streets = result.layers.iter().find(|l| l.id == "streets").expect("an outcome");
        match path {
            // A picture is worth having, not worth failing for.
            "info/thumbnail" => assert!(!result.has_errors(), "{shown}: {streets:?}"),
            _ => {
                let failure = streets.failure.clone().unwrap_or_else(|| panic!("{shown} was kept"));
                assert_eq!((failure.owner, failure.kind), (FailureOwner::Source, FailureKind::InvalidAnswer), "{failure}");
            }
        }
        assert_eq!(result.layer_errors().count(), usize::from(path != "info/thumbnail"), "no other layer suffers");
        assert!(!format!("{messages:?}{result:?}").contains(SECRET), "{shown}");
        for file in files_below(bench.dir.path()) {
            let bytes = std::fs::read(&file).expect("reads");
            assert!(!holds(&bytes, SECRET), "{shown}: {}", file.display());
        }
    }
}

#[tokio::test]
async fn an_answer_of_another_form_is_never_quoted() {
    let bench = Bench::new().await;
    let as_json = FaultAction::Body(json!({"SecretAccessKey": SECRET, "jobStatus": "esriJobFailed"}));
    let result = FaultAction::Body(json!({"SecretAccessKey": SECRET}));
    let faults = [
        ("world/mapserver", FaultAction::Replace(SECRET.into())),
        ("world/mapserver", FaultAction::Status(500, SECRET.into(), None)),
        ("world/mapserver/exporttiles", FaultAction::Replace(SECRET.into())),
        ("world/mapserver/exporttiles", result.clone()),
        ("world/mapserver/exporttiles/jobs", as_json),
        ("results/out_service_url", result.clone()),
        ("results/out_service_url", FaultAction::Body(json!({"value": 7, "SecretAccessKey": SECRET}))),
        ("directories/arcgisoutput", result),
        (".tpkx", FaultAction::Replace(SECRET.repeat(100).into_bytes())),
        (".geodatabase", FaultAction::Replace(SECRET.repeat(100).into_bytes())),
    ];
    for (path, action) in faults {
        let shown = format!("{path} {action:?}");
        bench.sandbox.fault_first(Fault::always_at(path, action));
        let (result, messages) = run_to_end(&bench.job(FIELD_MAP, |_| {}).await).await;
        assert!(result.as_ref().map_or(true, |result| result.has_errors()), "{shown}: the fault struck");
        assert!(!format!("{messages:?}{result:?}").contains("AKIA"), "{shown}");
        bench.sandbox.heal();
        if let Ok(result) = result {
            std::fs::remove_dir_all(&result.package).expect("removes");
        }
    }
}

#[tokio::test]
async fn a_thumbnail_s_address_cannot_leave_the_item() {
    let stranger = Stranger::start("image/png", "x").await;
    let (full, short) = (stranger.url("a.png"), format!("//localhost:{}/a.png", stranger.port));
    let bad = [
        "../../../../../arcgis/rest/services",
        "thumbnail/../../data",
        "thumbnail/%2e%2e/%2E%2E/data",
        "..\\..\\data",
        "thumbnail/a.png?token=x",
        "thumbnail/a.png#x",
        "/portal/sharing/rest/portals/self",
        "\u{9}/../../data",
        "./../data",
        "data:image/png;base64,AAAA",
        "",
        full.as_str(),
        short.as_str(),
    ];
    for thumbnail in bad.into_iter().chain(["thumbnail/map.png", "thumbnail/Karte Süd (1).png"]) {
        let bench = Bench::new().await;
        let mut item = json!({"id": FIELD_MAP, "type": "Web Map", "title": "t", "extent": []});
        item["thumbnail"] = json!(thumbnail);
        bench.sandbox.fault(Fault::always_at(&format!("content/items/{FIELD_MAP}"), FaultAction::Body(item)));
        // Only the item itself: what lies below it answers as ever.
        let source = portal::read_item(&bench.client, &bench.sandbox.portal_url(), FIELD_MAP).await.expect("a map");
        let inside = format!("/portal/sharing/rest/content/items/{FIELD_MAP}/info/thumbnail/");
        let good = thumbnail.starts_with("thumbnail/") && thumbnail.ends_with(".png") && !thumbnail.contains("..");
        let requests = bench.sandbox.requests();
        let asked: Vec<_> = requests.iter().filter(|r| r.path.contains("/info/")).map(|r| r.path.clone()).collect();
        assert_eq!(asked.len(), usize::from(good), "{thumbnail:?}: {asked:?}");
        assert!(asked.iter().all(|path| path.starts_with(&inside)), "{asked:?}");
        assert_eq!(source.thumbnail.is_some(), good, "{thumbnail:?}");
        let known = ["/data", "/portals/self", &format!("/items/{FIELD_MAP}"), "/info/thumbnail/", "/items/"];
        assert!(requests.iter().all(|r| known.iter().any(|k| r.path.contains(k))), "{thumbnail:?}: {requests:?}");
    }
    assert_eq!(stranger.asked(), 0);
}
