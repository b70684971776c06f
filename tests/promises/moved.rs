//! Services that moved: learnt once from a GET, named, and asked at the new place, forms as forms.

use crate::matrix::map_of;
use crate::support::{area, quick_client, run_to_end};
use offmap::arcgis::{ArcGisClient, ClientOptions, Credentials, ServiceCall};
use offmap::packager::MobileMapPackage;
use offmap::testing::VirtualClock;
use offmap::{FailureKind, FailureOwner, OfflineMapSource, OfflineMapTask, WebMap};
use offmap_sandbox::{Fault, FaultAction, Sandbox, SandboxOptions};
use serde_json::json;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// The old place of a server: it redirects each GET to the new origin and knows nothing of forms.
struct OldPlace {
    url: String,
    /// Method and path of each request.
    asked: Arc<Mutex<Vec<String>>>,
}

impl OldPlace {
    async fn of(new: &str, status: u16, change: fn(&str) -> String) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let url = format!("http://localhost:{}", listener.local_addr().expect("an address").port());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (kept, new) = (Arc::clone(&asked), new.to_owned());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (kept, new) = (Arc::clone(&kept), new.clone());
                tokio::spawn(async move {
                    let mut buffer = vec![0; 1 << 16];
                    let size = stream.read(&mut buffer).await.unwrap_or(0);
                    let text = String::from_utf8_lossy(&buffer[..size]).into_owned();
                    let mut line = text.lines().next().unwrap_or_default().split(' ');
                    let (method, path) = (line.next().unwrap_or_default(), line.next().unwrap_or_default());
                    kept.lock().expect("not poisoned").push(format!("{method} {path}"));
                    let head = match method {
                        "GET" => format!("HTTP/1.1 {status} Moved\r\nLocation: {new}{}\r\n", change(path)),
                        _ => "HTTP/1.1 405 Method Not Allowed\r\n".to_owned(),
                    };
                    // The other side may be gone already.
                    let _ =
                        stream.write_all(format!("{head}Content-Length: 0\r\nConnection: close\r\n\r\n").as_bytes()).await;
                });
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("not poisoned").clone()
    }
}

/// The map of a layer with another server in its urls.
fn moved_map(sandbox: &Sandbox, layer: &str, old: &str) -> WebMap {
    let text = json!(map_of(sandbox, layer).json()).to_string().replace(sandbox.url(), old);
    WebMap::from_value(serde_json::from_str(&text).expect("JSON")).expect("a map")
}

/// Takes a layer whose service moved; the warnings of its package.
async fn take(client: &ArcGisClient, map: WebMap) -> Vec<String> {
    let builder = offmap::with_defaults(client).expect("exporters").clock(VirtualClock::default());
    let engine = builder.start().expect("starts");
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let task = OfflineMapTask::new(&engine, OfflineMapSource::from_web_map(map));
    let mut parameters = task.default_parameters(area()).expect("parameters");
    parameters.max_scale = 250_000_000.0;
    let job = task.generate_offline_map(parameters, Default::default(), dir.path().join("p"));
    let result = run_to_end(&job).await.0.expect("a package");
    assert!(!result.has_errors(), "{:?}", result.layers);
    let package = MobileMapPackage::open(&result.package).expect("opens");
    package.manifest().expect("there").expect("whole").warnings.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_moved_to_https_gets_its_forms_there() {
    for layer in ["replica", "raster", "vector"] {
        for status in [301, 302, 308] {
            let sandbox =
                Sandbox::start(SandboxOptions { tls: true, ..SandboxOptions::default() }).await.expect("a sandbox");
            let old = OldPlace::of(sandbox.url(), status, str::to_owned).await;
            let options = ClientOptions {
                poll_interval: Duration::from_millis(10),
                ca_certificates: vec![sandbox.ca_certificate().expect("a certificate").as_bytes().to_vec()],
                ..ClientOptions::default()
            };
            let clock = Arc::new(VirtualClock::default());
            let client = ArcGisClient::with_clock(options, Credentials::none(), clock).expect("a client");
            let warnings = take(&client, moved_map(&sandbox, layer, &old.url)).await;
            let named = warnings.iter().filter(|w| w.contains("has moved to https://localhost:")).count();
            assert_eq!(named, 1, "{layer} {status}: {warnings:?}");
            let asked = old.asked();
            assert!(asked.iter().all(|a| a.starts_with("GET ")), "{layer} {status}: {asked:?}");
            assert_eq!(asked.len(), 1, "{layer} {status}: learnt once: {asked:?}");
            assert!(sandbox.requests().iter().any(|r| r.method == "POST"), "{layer}: forms went to the new place");
        }
    }
}

#[tokio::test]
async fn a_service_that_moved_to_another_path_of_its_host_gets_its_forms_there() {
    let sandbox = Sandbox::start(SandboxOptions::default()).await.expect("a sandbox");
    let new = "/arcgis/rest/services/Reference/FeatureServer?f=json".to_owned();
    // The old place answers a GET of the root, and nothing else.
    sandbox.fault(Fault::always_at("/old/rest/services/reference/featureserver", FaultAction::RedirectWith(301, new)));
    let text = json!(map_of(&sandbox, "replica").json()).to_string().replace("/arcgis/", "/old/");
    let map = WebMap::from_value(serde_json::from_str(&text).expect("JSON")).expect("a map");
    let warnings = take(&quick_client(Credentials::none()), map).await;
    let named = warnings.iter().filter(|w| w.contains("/old/rest/services/Reference/FeatureServer has moved to")).count();
    assert_eq!(named, 1, "{warnings:?}");
    let requests = sandbox.requests();
    let old: Vec<_> = requests.iter().filter(|r| r.path.starts_with("/old/")).collect();
    assert!(old.len() == 1 && old[0].method == "GET", "{old:?}");
    let submitted = requests.iter().find(|r| r.path.ends_with("createReplica")).expect("a submission");
    assert_eq!((submitted.method.as_str(), submitted.path.starts_with("/arcgis/")), ("POST", true));
}

#[tokio::test]
async fn a_token_goes_to_the_new_place_only_if_it_is_for_it() {
    let sandbox = Sandbox::start(SandboxOptions { secured: true, ..SandboxOptions::default() }).await.expect("a sandbox");
    // A place that repeats the query repeats the token, which is refused.
    let without_query = |path: &str| path.split('?').next().unwrap_or_default().to_owned();
    let old = OldPlace::of(sandbox.url(), 301, without_query).await;
    let token = sandbox.token();
    let call = ServiceCall::get(&format!("{}/arcgis/rest/services/World/MapServer", old.url)).expect("a url");
    // The token is for the old port only, where somebody else may listen now.
    let client = quick_client(Credentials::token(&token).for_url(&old.url).expect("a url"));
    let failure = client.json(&call).await.expect_err("no token, no answer");
    assert_eq!((failure.owner, failure.kind), (FailureOwner::Credentials, FailureKind::Unauthorized), "{failure}");
    assert!(sandbox.requests().iter().all(|r| !r.has_token));
    let both = Credentials::token(&token).for_url(&old.url).expect("a url");
    let client = quick_client(both.for_url(sandbox.url()).expect("a url"));
    client.json(&call).await.expect("the new place may see it");
}

#[tokio::test]
async fn a_service_that_wants_https_says_so_where_nobody_knows_its_port() {
    let sandbox = Sandbox::start(SandboxOptions::default()).await.expect("a sandbox");
    let refused = json!({"error": {"code": 403, "subcode": 4, "message": "Forbidden", "details": []}});
    sandbox.fault(Fault::always("world/mapserver", FaultAction::Body(refused)));
    let call = ServiceCall::get(&format!("{}/arcgis/rest/services/World/MapServer", sandbox.url())).expect("a url");
    let failure = quick_client(Credentials::none()).json(&call).await.expect_err("it wants https");
    assert_eq!((failure.owner, failure.kind), (FailureOwner::Source, FailureKind::NotSupported), "{failure}");
    assert!(failure.message.contains("by https only (SSL required)"), "{failure}");
    assert_eq!(sandbox.requests().len(), 1, "asking again would not help");
}

#[tokio::test]
async fn a_move_that_another_host_names_is_not_learnt() {
    let sandbox = Sandbox::start(SandboxOptions::default()).await.expect("a sandbox");
    let new = sandbox.url().replace("127.0.0.1", "localhost");
    let stranger = OldPlace::of(&new, 301, str::to_owned).await;
    // `localhost` leads to another name, and that one back to `localhost`.
    let old = OldPlace::of(&stranger.url.replace("localhost", "127.0.0.1"), 301, str::to_owned).await;
    let client = quick_client(Credentials::none());
    let root = format!("{}/arcgis/rest/services/World/MapServer", old.url);
    client.json(&ServiceCall::get(&root).expect("a url")).await.expect("a GET is followed");
    assert_eq!(client.move_of(&root), None, "a stranger chose the place");
    // Without the stranger it is learnt.
    let old = OldPlace::of(&new, 301, str::to_owned).await;
    let root = format!("{}/arcgis/rest/services/World/MapServer", old.url);
    client.json(&ServiceCall::get(&root).expect("a url")).await.expect("a GET is followed");
    assert!(client.move_of(&root).is_some_and(|words| words.contains(&new)));
}
