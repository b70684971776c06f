//! Redirects: whatever the status, no secret goes to another origin, and nothing that signs in goes anywhere else at all.
//!
//! The stranger is a bare TCP listener: what is asserted are the bytes that it received.

use crate::matrix::{map_of, steps};
use crate::support::{area, layer_secrets, quick_client};
use offmap::arcgis::{ArcGisClient, ClientOptions, Credentials, ServiceCall};
use offmap::packager::verify;
use offmap::testing::{FaultEnds, FaultMatrix, FaultRow, StepKind, VirtualClock};
use offmap::{Failure, FailureKind, FailureOwner, OfflineMapSource, OfflineMapTask};
use offmap_sandbox::{CLIENT_ID, CLIENT_SECRET, Fault, FaultAction, FaultyLayer, PASSWORD, Sandbox, SandboxOptions, USER};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Statuses of redirects.
const STATUSES: [u16; 5] = [301, 302, 303, 307, 308];
/// A key that a map's layer carries in its custom parameters.
const API_KEY: &str = "AAPK-0123456789abcdef";

/// A host that nobody has business with. It keeps every byte, and answers the same to everybody.
struct Stranger {
    url: String,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Stranger {
    /// `head` is a status line, with further headers behind it where there are any.
    async fn answering(head: &str, body: &Value) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let body = body.to_string();
        let answer = format!(
            "HTTP/1.1 {head}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        let kept = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(receive(stream, Arc::clone(&kept), answer.clone()));
            }
        });
        Self { url, seen }
    }

    /// One who would gladly take a sign-in for the portal's.
    async fn glad() -> Self {
        let token =
            json!({"token": "strange", "access_token": "strange", "expires_in": 3600, "expires": 4_102_444_800_000_i64});
        Self::answering("200 OK", &token).await
    }

    async fn refusing() -> Self {
        Self::answering("403 Forbidden", &json!("no")).await
    }

    fn seen(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().expect("not poisoned")).into_owned()
    }
}

async fn receive(mut stream: TcpStream, kept: Arc<Mutex<Vec<u8>>>, answer: String) {
    let (mut request, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
    while let Ok(size @ 1..) = stream.read(&mut buffer).await {
        request.extend_from_slice(&buffer[..size]);
        kept.lock().expect("not poisoned").extend_from_slice(&buffer[..size]);
        let text = String::from_utf8_lossy(&request).to_ascii_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|l| l.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
        if body.len() >= length.unwrap_or(0) {
            // The other side may be gone already.
            let _ = stream.write_all(answer.as_bytes()).await;
            return;
        }
    }
}

async fn secured() -> Sandbox {
    Sandbox::start(SandboxOptions { secured: true, polls: 1, ..SandboxOptions::default() }).await.expect("a sandbox")
}

fn service(sandbox: &Sandbox, path: &str) -> String {
    format!("{}/arcgis/rest/services/{path}", sandbox.url())
}

/// Asks for a service whose host wants a token, so that the client signs in first.
async fn sign_in(sandbox: &Sandbox, how: &str) -> Failure {
    let portal = sandbox.portal_url();
    let (credentials, url) = match how {
        "generateToken" => (Credentials::user(&portal, USER, PASSWORD, "https://app"), service(sandbox, "World/MapServer")),
        "oauth2/token" => (Credentials::application(&portal, CLIENT_ID, CLIENT_SECRET), service(sandbox, "World/MapServer")),
        _ => (
            Credentials::token(sandbox.token()).for_portal(&portal),
            format!("{}/arcgis/rest/services/World/MapServer", sandbox.federated_url()),
        ),
    };
    let client = quick_client(credentials.expect("credentials"));
    client.json(&ServiceCall::get(&url).expect("a url")).await.expect_err("cannot sign in")
}

#[tokio::test]
async fn a_sign_in_follows_no_redirect_and_the_failure_names_the_place() {
    let stranger = Stranger::glad().await;
    for status in STATUSES {
        for (how, step) in [
            ("generateToken", "generatetoken"),
            ("oauth2/token", "oauth2/token"),
            ("generateToken with serverUrl", "generatetoken"),
        ] {
            for to in [format!("{}/portal/sharing/rest/{step}", stranger.url), "/portal/sharing/rest/moved".to_owned()] {
                let sandbox = secured().await;
                sandbox.fault(Fault::always(step, FaultAction::RedirectWith(status, format!("{to}?a=b"))));
                let failure = sign_in(&sandbox, how).await;
                let cell = format!("{status} of {how} to {to}");
                assert_eq!(stranger.seen(), "", "{cell}: not even a connection");
                assert!(sandbox.requests().iter().all(|r| !r.path.ends_with("moved")), "{cell}");
                let kind = (failure.owner, failure.kind);
                assert_eq!(kind, (FailureOwner::Credentials, FailureKind::InvalidAnswer), "{cell}: {failure}");
                let place = if to.starts_with('/') { sandbox.url() } else { &stranger.url };
                let words = failure.to_string();
                assert!(words.contains(place) && words.contains("as the portal"), "{cell}: {words}");
                assert!(!words.contains("a=b") && !words.contains(PASSWORD) && !words.contains(CLIENT_SECRET), "{words}");
                let asked = sandbox.requests().iter().filter(|r| r.path.to_ascii_lowercase().ends_with(step)).count();
                assert_eq!(asked, 1, "{cell}: it is not tried again");
            }
        }
    }
}

#[tokio::test]
async fn a_request_with_a_secret_takes_it_to_no_other_origin() {
    for status in STATUSES {
        for how in ["GET", "POST", "long GET", "address"] {
            let (sandbox, stranger) = (secured().await, Stranger::glad().await);
            let token = sandbox.token();
            let client = quick_client(Credentials::token(&token).for_url(sandbox.url()).expect("a url"));
            let url = service(&sandbox, "Fieldwork/FeatureServer/0/query");
            let call = match how {
                "GET" => ServiceCall::get(&url),
                "POST" => ServiceCall::post(&url),
                "long GET" => ServiceCall::get(&url).map(|c| c.with("where", format!("1=1 {}", " ".repeat(2000)))),
                _ => ServiceCall::get(&format!("{url}?apiKey={API_KEY}&where=1=1")),
            };
            let call = call.expect("a url").with_secrets(&layer_secrets(&url, &[("apiKey", API_KEY)]));
            let to = format!("{}/elsewhere?f=json", stranger.url);
            sandbox.fault(Fault::always("/query", FaultAction::RedirectWith(status, to)));
            let answer = client.json(&call).await;
            let seen = stranger.seen();
            let cell = format!("{status} of {how}");
            assert!(!seen.contains(&token) && !seen.contains(API_KEY), "{cell}: {seen}");
            if matches!(how, "GET" | "address") {
                assert!(seen.starts_with("GET /elsewhere?f=json HTTP/1.1"), "{cell}: is followed as it stands: {seen}");
                answer.expect("an answer");
            } else {
                assert_eq!(seen, "", "{cell}: a form stays where it is");
                let failure = answer.expect_err("is refused");
                let kind = (failure.owner, failure.kind);
                assert_eq!(kind, (FailureOwner::Source, FailureKind::InvalidAnswer), "{cell}: {failure}");
                assert!(failure.message.contains(&stranger.url), "{cell}: {failure}");
            }
        }
    }
}

#[tokio::test]
async fn a_redirect_that_repeats_a_secret_to_another_origin_is_not_followed() {
    let (sandbox, stranger) = (secured().await, Stranger::glad().await);
    let token = sandbox.token();
    let client = quick_client(Credentials::token(&token).for_url(sandbox.url()).expect("a url"));
    let secrets = layer_secrets(sandbox.url(), &[("apiKey", API_KEY), ("lang", "en")]);
    let call = ServiceCall::get(&format!("{}?access_token=of-the-address", service(&sandbox, "World/MapServer")));
    let call = call.expect("a url").with_secrets(&secrets);
    let spelt: String = API_KEY.bytes().map(|b| format!("%{b:02x}")).collect();
    for echo in [
        format!("x?f=json&token={token}"),
        format!("x?a={API_KEY}"),
        format!("x/{spelt}/y"),
        format!("x#{API_KEY}"),
        "x?lang=en".to_owned(),
        "x?key=of-the-address".to_owned(),
    ] {
        sandbox.heal();
        let to = format!("{}/{echo}", stranger.url);
        sandbox.fault(Fault::always("world/mapserver", FaultAction::RedirectWith(302, to)));
        let failure = client.json(&call).await.expect_err("is refused");
        assert_eq!(stranger.seen(), "", "{echo}");
        assert_eq!((failure.owner, failure.kind), (FailureOwner::Source, FailureKind::InvalidAnswer), "{failure}");
        let words = failure.to_string();
        assert!(words.contains(&stranger.url), "{echo}: {words}");
        assert!(![token.as_str(), API_KEY, &spelt].iter().any(|s| words.contains(s)), "{echo}: {words}");
    }
}

#[tokio::test]
async fn a_stranger_on_the_way_gets_no_token_attached_to_what_it_chooses() {
    let sandbox = secured().await;
    let token = sandbox.token();
    let back = format!("{}?chosen=1", service(&sandbox, "Streets/VectorTileServer"));
    let stranger = Stranger::answering(&format!("302 Found\r\nLocation: {back}"), &json!({})).await;
    let client = quick_client(Credentials::token(&token).for_url(sandbox.url()).expect("a url"));
    sandbox.fault(Fault::always("world/mapserver", FaultAction::Redirect(format!("{}/there", stranger.url))));
    let call = ServiceCall::get(&service(&sandbox, "World/MapServer")).expect("a url");
    client.json(&call).await.expect_err("no token, no answer");
    assert!(stranger.seen().contains("/there") && !stranger.seen().contains(&token));
    let requests = sandbox.requests();
    let chosen: Vec<_> = requests.iter().filter(|r| r.parameters.contains_key("chosen")).collect();
    assert!(!chosen.is_empty() && chosen.iter().all(|r| !r.has_token), "{chosen:?}");
}

#[tokio::test]
async fn a_redirect_within_an_origin_keeps_method_and_form_and_only_303_drops_them() {
    for status in STATUSES {
        let sandbox = secured().await;
        let client = quick_client(Credentials::token(sandbox.token()).for_url(sandbox.url()).expect("a url"));
        let to = "/arcgis/rest/services/Fieldwork/FeatureServer/0/query?moved=1&where=2=2&f=json".to_owned();
        let once = |to: &str| Fault::times("/query", 1, FaultAction::RedirectWith(status, to.to_owned()));
        let call = ServiceCall::post(&service(&sandbox, "Fieldwork/FeatureServer/0/query")).expect("a url");
        sandbox.fault(once(&to));
        client.json(&call.with("where", "1=1")).await.expect("an answer");
        let last = sandbox.requests().pop().expect("a request");
        let form = if status == 303 { ("GET", "2=2") } else { ("POST", "1=1") };
        assert_eq!((last.method.as_str(), last.parameters["where"].as_str()), form, "{status}");
        assert!(last.has_token && last.parameters.contains_key("moved"), "{status}: {last:?}");
        // A GET keeps its parameters, and what the address has more.
        sandbox.fault(once("query?moved=2"));
        let call = ServiceCall::get(&service(&sandbox, "Fieldwork/FeatureServer/0/query")).expect("a url");
        client.json(&call.with("where", "3=3")).await.expect("an answer");
        let last = sandbox.requests().pop().expect("a request");
        assert_eq!((last.method.as_str(), last.parameters["where"].as_str()), ("GET", "3=3"), "{status}");
        assert_eq!(last.parameters["moved"], "2", "{status}");
    }
}

/// Every status at every step of a layer that carries a token and an API key.
async fn every_step(layers: &[&str]) {
    let (sandbox, stranger) = (secured().await, Stranger::refusing().await);
    let token = sandbox.token();
    let credentials = Credentials::token(&token).for_url(sandbox.url()).expect("a url");
    let options = ClientOptions {
        poll_interval: Duration::from_secs(1),
        request_timeout: Duration::from_secs(5),
        job_timeout: Duration::from_hours(8),
        ..ClientOptions::default()
    };
    let client = ArcGisClient::with_clock(options, credentials, Arc::new(VirtualClock::default())).expect("a client");
    let builder = offmap::with_defaults(&client).expect("exporters").clock(VirtualClock::default());
    let engine = builder.start().expect("starts");
    let all = [StepKind::Description, StepKind::Submit, StepKind::State, StepKind::File];
    // A form is refused here; a GET is followed with nothing, and is refused there.
    let ends = FaultEnds::fails([
        (FailureOwner::Source, FailureKind::InvalidAnswer),
        (FailureOwner::Credentials, FailureKind::Unauthorized),
    ]);
    let to = |status: u16| FaultAction::RedirectWith(status, format!("{}/elsewhere", stranger.url));
    let row = |status| FaultRow::always(&format!("{status} to a stranger"), &all, to(status), ends.clone());
    let rows = STATUSES.map(row);
    let proven = |package: &Path| match verify(package) {
        Ok(verification) if verification.ok => Ok(()),
        other => Err(format!("{other:?}")),
    };
    for layer in layers {
        let mut map = map_of(&sandbox, layer).json().clone();
        map["operationalLayers"][0]["customParameters"] = json!({"apiKey": API_KEY});
        let map = offmap::WebMap::from_value(Value::Object(map)).expect("a map");
        let task = OfflineMapTask::new(&engine, OfflineMapSource::from_web_map(map));
        let mut parameters = task.default_parameters(area()).expect("parameters");
        parameters.max_scale = 250_000_000.0;
        let service = FaultyLayer { sandbox: &sandbox, steps: steps(layer), other_ends: |_, _| None };
        let longest = Duration::from_secs(30);
        let matrix = FaultMatrix { task: &task, parameters, service: &service, rows: &rows, verify: &proven, longest };
        let report = matrix.run().await.expect("a directory");
        println!("{layer}: {} cells", report.cells);
        assert!(report.cells >= 15 && report.wrong.is_empty(), "{report:#?}");
        let seen = stranger.seen();
        assert!(seen.contains("GET /elsewhere"), "the redirects were played");
        let secrets = seen.lines().find(|l| l.contains(&token) || l.contains(API_KEY));
        assert_eq!(secrets, None, "{layer}");
    }
    let key = sandbox.requests().iter().filter(|r| r.parameters.get("apikey").is_some_and(|k| k == API_KEY)).count();
    assert!(key > 20, "the key went where it belongs {key} times");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_of_a_layer_with_an_api_key_keeps_it_from_strangers_whatever_the_status() {
    every_step(&["replica", "raster", "vector", "hosted", "style"]).await;
}
