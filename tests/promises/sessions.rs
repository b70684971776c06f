//! Credentials belong to a job: one engine, its exporters and its client work for many users at once.

use crate::support::{Bench, area, holds, quick_client, run_to_end};
use offmap::arcgis::{ArcGisClient, ClientOptions, Credentials, ServiceCall, Session};
use offmap::{GenerateOfflineMapJob, OfflineMapSource, OfflineMapTask, WebMap};
use offmap_sandbox::{Fault, FaultAction, JobFault, LoggedRequest, PASSWORD, Sandbox, SandboxOptions, USER};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

fn secured() -> SandboxOptions {
    SandboxOptions { secured: true, ..SandboxOptions::default() }
}

const TILES: (&str, &str) = ("ArcGISTiledMapServiceLayer", "World/MapServer");
const VECTOR: (&str, &str) = ("VectorTileLayer", "Streets/VectorTileServer");
const PLACES: (&str, &str) = ("ArcGISFeatureLayer", "Fieldwork/FeatureServer/0");

/// A job for a map of some layers, that asks with a session.
fn job(bench: &Bench, session: &Session, layers: &[(&str, &str)], package: &str) -> GenerateOfflineMapJob {
    let layer = |(kind, service): &(&str, &str)| {
        let url = format!("{}/arcgis/rest/services/{service}", bench.sandbox.url());
        json!({"id": service, "layerType": kind, "url": url})
    };
    let layers: Vec<_> = layers.iter().map(layer).collect();
    let map = WebMap::from_value(json!({"operationalLayers": layers, "spatialReference": {"wkid": 102_100}}));
    let task = OfflineMapTask::new(&bench.engine, OfflineMapSource::from_web_map(map.expect("a map")));
    let task = task.with_session(session.clone());
    let mut parameters = task.default_parameters(area()).expect("parameters");
    parameters.max_scale = 50_000_000.0;
    task.generate_offline_map(parameters, Default::default(), bench.dir.path().join(package))
}

fn session_of(sandbox: &Sandbox, token: &str) -> Session {
    Session::new(Credentials::token(token).for_url(sandbox.url()).expect("a url"))
}

/// The tokens that a service saw.
fn seen<'a>(requests: &'a [LoggedRequest], service: &str) -> Vec<&'a str> {
    let there = requests.iter().filter(|r| r.path.contains(service));
    there.map(|r| r.parameters.get("token").map_or("none", String::as_str)).collect()
}

/// Whether a file below a directory holds a text.
fn is_in_a_file(dir: &Path, text: &str) -> bool {
    std::fs::read_dir(dir).expect("lists").any(|entry| {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            return is_in_a_file(&path, text);
        }
        let bytes = std::fs::read(&path).expect("reads");
        holds(&bytes, text)
    })
}

#[tokio::test]
async fn two_users_of_one_engine_ask_each_with_their_own_token_in_every_step_and_it_is_in_no_file() {
    let bench = Bench::with(secured(), |_| Credentials::none()).await;
    let (anna, bert) = (bench.sandbox.token(), bench.sandbox.token());
    let of_anna = job(&bench, &session_of(&bench.sandbox, &anna), &[TILES, VECTOR], "anna");
    let of_bert = job(&bench, &session_of(&bench.sandbox, &bert), &[PLACES], "bert");
    let ((of_anna, _), (of_bert, _)) = tokio::join!(run_to_end(&of_anna), run_to_end(&of_bert));
    for result in [of_anna, of_bert] {
        let result = result.expect("a package");
        assert!(!result.has_errors(), "{:?}", result.layers);
    }
    let requests = bench.sandbox.requests();
    for (service, token) in [("World/MapServer", &anna), ("Streets/VectorTileServer", &anna), ("Fieldwork/", &bert)] {
        let seen = seen(&requests, service);
        assert!(seen.len() > 3 && seen.iter().all(|t| t == token), "{service}: {seen:?}");
    }
    for token in [&anna, &bert] {
        assert!(!is_in_a_file(bench.dir.path(), token), "a token is in a file");
    }
}

#[tokio::test]
async fn what_a_cancelled_job_left_on_services_is_rolled_back_with_the_token_of_the_job() {
    let bench = Bench::with(secured(), |_| Credentials::none()).await;
    let token = bench.sandbox.token();
    bench.sandbox.fault(Fault::always("exporttiles", FaultAction::Job(JobFault::Stuck)));
    let job = job(&bench, &session_of(&bench.sandbox, &token), &[PLACES, TILES, VECTOR], "package");
    job.start();
    let deadline = Instant::now() + Duration::from_secs(20);
    let polls =
        |service: &str| bench.sandbox.requests().iter().any(|r| r.path.contains(service) && r.path.contains("/jobs/"));
    while bench.sandbox.replicas("Fieldwork") == 0 || !polls("World/MapServer") || !polls("Streets/VectorTileServer") {
        assert!(Instant::now() < deadline, "the job does not get going");
        tokio::task::yield_now().await;
    }
    job.cancel_and_discard();
    job.result().await.expect_err("cancelled");
    assert_eq!((bench.sandbox.replicas("Fieldwork"), bench.sandbox.cancelled_jobs()), (0, 2));
    let requests = bench.sandbox.requests();
    let seen = seen(&requests, "/services/");
    assert!(seen.iter().all(|t| *t == token), "{seen:?}");
}

#[tokio::test]
async fn all_tasks_of_a_job_share_one_sign_in() {
    let bench = Bench::with(secured(), |_| Credentials::none()).await;
    let credentials = Credentials::user(&bench.sandbox.portal_url(), USER, PASSWORD, "https://app.example");
    let session = Session::new(credentials.expect("credentials"));
    let (result, _) = run_to_end(&job(&bench, &session, &[TILES, VECTOR, PLACES], "package")).await;
    let result = result.expect("a package");
    assert!(!result.has_errors(), "{:?}", result.layers);
    let requests = bench.sandbox.requests();
    assert_eq!(requests.iter().filter(|r| r.path.ends_with("generateToken")).count(), 1);
    assert!(!is_in_a_file(bench.dir.path(), PASSWORD), "the password is in a file");
}

#[tokio::test]
async fn tokens_of_one_session_never_go_out_with_requests_of_another() {
    let sandbox = Sandbox::start(secured()).await.expect("a sandbox");
    let (anna, bert) = (sandbox.token(), sandbox.token());
    let client = quick_client(Credentials::none());
    let clients = [&anna, &bert].map(|token| client.for_session(&session_of(&sandbox, token)));
    let asked = (0..20).map(|i| {
        let (client, service) = (&clients[i % 2], ["World/MapServer", "Fieldwork/FeatureServer"][i % 2]);
        let call = ServiceCall::get(&format!("{}/arcgis/rest/services/{service}", sandbox.url())).expect("a url");
        async move { client.json(&call).await }
    });
    let answers = futures_util::future::join_all(asked).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    let requests = sandbox.requests();
    assert!(
        seen(&requests, "World/").iter().all(|t| *t == anna) && seen(&requests, "Fieldwork/").iter().all(|t| *t == bert)
    );
    let call = ServiceCall::get(&format!("{}/arcgis/rest/services/World/MapServer", sandbox.url())).expect("a url");
    client.json(&call).await.expect_err("the client itself has no token");
    // What the one knows as secret, the other may say.
    assert_eq!(clients[0].secrets().scrub(&format!("{anna} {bert}")), format!("… {bert}"));
}

/// Counts the requests that are under way at a time; answers each when there are too many, or when that has not happened for a while.
async fn count_together(listener: TcpListener, most: usize, together: Arc<AtomicUsize>) {
    let (running, too_many) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    while let Ok((stream, _)) = listener.accept().await {
        let (running, too_many, together) = (Arc::clone(&running), Arc::clone(&too_many), Arc::clone(&together));
        tokio::spawn(async move {
            let answer = async |mut stream: TcpStream| -> std::io::Result<()> {
                let mut buffer = vec![0; 8192];
                while stream.read(&mut buffer).await? > 0 {
                    let now = running.fetch_add(1, Ordering::AcqRel) + 1;
                    together.fetch_max(now, Ordering::AcqRel);
                    if now > most {
                        too_many.notify_waiters();
                    }
                    let _ = timeout(Duration::from_millis(30), too_many.notified()).await;
                    running.fetch_sub(1, Ordering::AcqRel);
                    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
                    stream.write_all(head.as_bytes()).await?;
                }
                Ok(())
            };
            let _ = answer(stream).await;
        });
    }
}

#[tokio::test]
async fn the_limit_of_requests_to_a_host_holds_for_all_sessions_together() {
    const MOST: usize = 2;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/arcgis/rest/services/S/FeatureServer", listener.local_addr().expect("an address"));
    let together = Arc::new(AtomicUsize::new(0));
    let server = tokio::spawn(count_together(listener, MOST, Arc::clone(&together)));
    let options = ClientOptions { requests_per_host: MOST, ..ClientOptions::default() };
    let client = ArcGisClient::new(options, Credentials::none()).expect("a client");
    let clients = [(); 2].map(|()| client.for_session(&Session::new(Credentials::none())));
    let call = ServiceCall::get(&url).expect("a url");
    let answers = futures_util::future::join_all((0..10).map(|i| clients[i % 2].json(&call))).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(together.load(Ordering::Acquire), MOST, "so many at a time, of both sessions together");
    server.abort();
}
