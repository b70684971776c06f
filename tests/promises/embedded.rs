//! The service of `examples/embed_in_service` as a process of its own: killed and started again it loses nothing, and its tenants see nothing of
//! each other.
#![cfg(unix)]

use crate::support::{files_below, holds};
use offmap::packager::verify;
use offmap_sandbox::{FIELD_MAP, Fault, FaultAction, JobFault, PASSWORD, Sandbox, SandboxOptions, USER};
use offmap_sandbox::{VISITOR, VISITOR_PASSWORD};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// The example as `cargo test` built it. `cargo test --test promises` builds no examples: where it is missing or older than its source, it is
/// built here.
fn example() -> &'static Path {
    static EXAMPLE: OnceLock<PathBuf> = OnceLock::new();
    EXAMPLE.get_or_init(|| {
        let test = std::env::current_exe().expect("a program");
        let example = test.parent().and_then(Path::parent).expect("a profile").join("examples/embed_in_service");
        let changed = |path: &Path| std::fs::metadata(path).and_then(|m| m.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut sources = std::fs::read_dir(root.join("examples/embed_in_service")).expect("the example");
        if sources.any(|source| changed(&source.expect("a source").path()) > changed(&example)) {
            let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            // What cargo tells a test of its package would make scripts of other packages run again.
            for (name, _) in std::env::vars_os() {
                let of_package =
                    ["CARGO_PKG_", "CARGO_MANIFEST", "CARGO_BIN", "CARGO_CRATE", "CARGO_PRIMARY", "LD_LIBRARY_PATH"];
                if of_package.iter().any(|start| name.to_string_lossy().starts_with(start)) {
                    build.env_remove(name);
                }
            }
            build.current_dir(root).args(["build", "--quiet", "--offline", "--example", "embed_in_service"]);
            assert!(build.status().expect("cargo").success(), "the example cannot be built");
        }
        example
    })
}

/// The service, and where it keeps what it has.
struct Service {
    child: Child,
    at: String,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }
}

impl Service {
    fn start(dir: &Path, portal: &str, more: &[&str]) -> Self {
        let mut command = Command::new(example());
        command
            .args(["--serve", "0", "--allow-host", "localhost:*", "--portal", portal])
            .arg("--data")
            .arg(dir.join("data"));
        command.arg("--tenants").arg(dir.join("tenants.json")).args(more).stdout(Stdio::piped());
        let mut child = command.spawn().expect("starts");
        let line = BufReader::new(child.stdout.take().expect("a pipe")).lines().next().expect("a line").expect("reads");
        let at = line.strip_prefix("listening on http://").expect(&line).to_owned();
        Self { child, at }
    }

    async fn send(&self, key: &str, what: &str, head: &str, body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.at).await.expect("connects");
        // The body of an answer to 1.0 ends with the connection.
        let head = format!("{what} HTTP/1.0\r\nx-api-key: {key}\r\ncontent-type: application/json\r\n{head}");
        let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).await.expect("sends");
        stream
    }

    async fn ask(&self, key: &str, what: &str, body: &str) -> Answer {
        let mut all = Vec::new();
        self.send(key, what, "", body).await.read_to_end(&mut all).await.expect("answers");
        let end = all.windows(4).position(|four| four == b"\r\n\r\n").expect("an answer") + 4;
        let body = all.split_off(end);
        let head = String::from_utf8(all).expect("text");
        Answer { status: head[9..12].parse().expect("a status"), head, body }
    }

    /// Orders something; answers the id of the job.
    async fn order(&self, key: &str, order: &Value) -> String {
        let answer = self.ask(key, "POST /jobs", &order.to_string()).await;
        assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.body));
        answer.json()["id"].as_str().expect("an id").to_owned()
    }

    async fn tell(&self, key: &str, id: &str, verb: &str) {
        let answer = self.ask(key, &format!("POST /jobs/{id}/{verb}"), "").await;
        assert_eq!(answer.status, 200, "{verb}: {}", String::from_utf8_lossy(&answer.body));
    }

    async fn job(&self, key: &str, id: &str) -> Value {
        self.ask(key, &format!("GET /jobs/{id}"), "").await.json()
    }

    /// Waits until a job is as is wished.
    async fn until(&self, key: &str, id: &str, wished: impl Fn(&Value) -> bool) -> Value {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        loop {
            let job = self.job(key, id).await;
            if wished(&job) {
                return job;
            }
            assert!(tokio::time::Instant::now() < deadline, "it never came to that: {job:#}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn until_state(&self, key: &str, id: &str, state: &str) -> Value {
        self.until(key, id, |job| job["state"] == state).await
    }

    /// The events of a job after a number, as they come, until the stream ends.
    async fn events(&self, key: &str, id: &str, after: u64) -> UnboundedReceiver<Value> {
        let stream = self.send(key, &format!("GET /jobs/{id}/events"), &format!("last-event-id: {after}\r\n"), "").await;
        let (sender, events) = unbounded_channel();
        tokio::spawn(async move {
            let (mut lines, mut number) = (tokio::io::BufReader::new(stream).lines(), None);
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(id) = line.strip_prefix("id: ") {
                    number = id.parse::<u64>().ok();
                } else if let Some(data) = line.strip_prefix("data: ") {
                    let message: Value = serde_json::from_str(data).expect("JSON");
                    assert_eq!(message["seq"].as_u64(), number, "the id is the number of the message");
                    let _ = sender.send(message);
                }
            }
        });
        events
    }

    /// Fetches the package of a job, and verifies it.
    async fn has_whole_package(&self, key: &str, id: &str, dir: &Path) {
        let package = self.ask(key, &format!("GET /jobs/{id}/package"), "").await;
        assert_eq!(package.status, 200, "{}", String::from_utf8_lossy(&package.body));
        let file = dir.join(format!("{id}.mmpk"));
        std::fs::write(&file, &package.body).expect("writes");
        let found = verify(&file).expect("a package");
        assert!(found.ok && found.complete == Some(true), "{:?} {:?}", found.problems, found.missing);
    }
}

async fn all(mut events: UnboundedReceiver<Value>) -> Vec<Value> {
    let mut all = Vec::new();
    while let Some(event) = events.recv().await {
        all.push(event);
    }
    all
}

/// The numbers of messages.
fn numbers(events: &[Value]) -> Vec<u64> {
    events.iter().map(|e| e["seq"].as_u64().expect("a number")).collect()
}

/// Whether a message is progress only, which is not kept.
fn is_progress(event: &Value) -> bool {
    let is_open = ["notStarted", "started"].contains(&event["state"].as_str().unwrap_or_default());
    is_open && event["message"].is_null() && event["failure"].is_null() && !event["progress"].is_null()
}

fn write_tenants(dir: &Path, water: &Value) {
    let forestry = json!({"tenant": "forestry", "user": USER, "password": PASSWORD});
    let tenants = json!({"key-of-forestry": forestry, "key-of-water": water});
    std::fs::write(dir.join("tenants.json"), tenants.to_string()).expect("writes");
}

const FORESTRY: &str = "key-of-forestry";
const WATER: &str = "key-of-water";

fn field_map(label: &str) -> Value {
    let labels = json!({"name": label});
    json!({"item": FIELD_MAP, "area": "2,43,20,52", "maxScale": 20_000_000, "labels": labels, "uniqueKey": label})
}

/// A map of a service that everybody may see.
fn reference_map(sandbox: &Sandbox) -> Value {
    let url = format!("{}/arcgis/rest/services/Reference/FeatureServer/0", sandbox.url());
    let layer = json!({"id": "r", "title": "Reference", "layerType": "ArcGISFeatureLayer", "url": url});
    json!({"webMap": {"operationalLayers": [layer], "baseMap": {"baseMapLayers": []}}, "area": "2,43,20,52"})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_killed_goes_on_with_all_that_its_tenants_ordered_and_its_streams_have_no_gap() {
    let sandbox = Sandbox::start(SandboxOptions { secured: true, polls: 1, ..SandboxOptions::default() }).await;
    let sandbox = sandbox.expect("a sandbox");
    let dir = offmap_sandbox::tempdir().expect("a directory");
    write_tenants(dir.path(), &json!({"tenant": "water"}));
    sandbox.fault(Fault::always("fieldwork/featureserver/createreplica", FaultAction::Job(JobFault::Stuck)));
    let service = Service::start(dir.path(), &sandbox.portal_url(), &[]);

    // Two run at a time.
    let paused = service.order(FORESTRY, &field_map("paused")).await;
    let watched = service.order(FORESTRY, &field_map("watched")).await;
    service.until_state(FORESTRY, &paused, "running").await;
    service.tell(FORESTRY, &paused, "pause").await;
    let running = service.order(FORESTRY, &field_map("running")).await;
    let queued = service.order(FORESTRY, &field_map("queued")).await;
    assert_eq!(service.order(FORESTRY, &field_map("queued")).await, queued, "the key makes an order unique");
    let waiting = service.order(WATER, &reference_map(&sandbox)).await;
    let mut stream = service.events(FORESTRY, &watched, 0).await;
    let mut seen = Vec::new();
    while !seen.iter().any(|e: &Value| e["subject"]["id"] == "world" && e["state"] == "succeeded") {
        seen.push(stream.recv().await.expect("an event"));
    }
    let is_all_but_the_replica = |job: &Value| {
        let layers = job["layers"].as_array().expect("layers");
        ["world", "streets"].iter().all(|id| layers.iter().any(|l| l["id"] == *id && l["state"] == "succeeded"))
    };
    for id in [&watched, &running] {
        service.until(FORESTRY, id, is_all_but_the_replica).await;
    }
    let states = [(&paused, "paused"), (&watched, "running"), (&running, "running"), (&queued, "queued")];
    for (id, state) in states {
        assert_eq!(service.job(FORESTRY, id).await["state"], state);
    }
    let waits = service.until_state(WATER, &waiting, "waiting").await;
    assert_eq!(waits["waitsFor"], "credentials");

    // `kill -9`.
    drop(service);
    seen.extend(all(stream).await);
    let asked = sandbox.requests().len();
    let service = Service::start(dir.path(), &sandbox.portal_url(), &[]);
    service.until_state(WATER, &waiting, "waiting").await;
    assert_eq!(service.job(FORESTRY, &paused).await["state"], "paused", "it stays paused");
    let last = numbers(&seen).last().copied().expect("a number");
    let stream = service.events(FORESTRY, &watched, last).await;
    sandbox.heal();
    sandbox.unstick();
    service.tell(FORESTRY, &paused, "resume").await;
    write_tenants(dir.path(), &json!({"tenant": "water", "user": VISITOR, "password": VISITOR_PASSWORD}));
    service.tell(WATER, &waiting, "resume").await;
    for (key, id) in
        [(FORESTRY, &paused), (FORESTRY, &watched), (FORESTRY, &running), (FORESTRY, &queued), (WATER, &waiting)]
    {
        service.until_state(key, id, "succeeded").await;
        service.has_whole_package(key, id, dir.path()).await;
    }
    seen.extend(all(stream).await);
    let kept = all(service.events(FORESTRY, &watched, 0).await).await;
    assert!(numbers(&seen).is_sorted_by(|a, b| a < b), "numbers rise, and none comes twice: {:?}", numbers(&seen));
    let life: Vec<Value> = seen.into_iter().filter(|e| !is_progress(e)).collect();
    let kept_life: Vec<Value> = kept.into_iter().filter(|e| !is_progress(e)).collect();
    let strange: Vec<&Value> = life.iter().filter(|e| !kept_life.contains(e)).collect();
    assert!(strange.is_empty(), "what the reader of both streams saw is what is kept: {strange:?}");
    assert_eq!(life, kept_life);
    let end = life.last().expect("an end");
    assert_eq!((&end["subject"]["kind"], &end["state"]), (&json!("job"), &json!("succeeded")));
    let again = |path: &str| sandbox.requests()[asked..].iter().filter(|r| r.path.ends_with(path)).count();
    // Two had it; one was paused early, one was queued.
    assert!(again("World/MapServer/exportTiles") <= 2, "what was there is not fetched again");

    let secrets = sandbox.requests().into_iter().filter_map(|mut r| r.parameters.remove("token"));
    let secrets: BTreeSet<String> = secrets.chain([PASSWORD, VISITOR_PASSWORD].map(str::to_owned)).collect();
    for path in files_below(&dir.path().join("data")) {
        let bytes = std::fs::read(&path).expect("reads");
        assert!(!secrets.iter().any(|secret| holds(&bytes, secret)), "a secret is in {}", path.display());
    }

    let mut told = service;
    let pid = told.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kills").success());
    let ended = tokio::task::spawn_blocking(move || told.child.wait()).await.expect("waits").expect("ends");
    assert!(ended.success(), "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_see_their_own_jobs_only_and_each_failure_is_an_answer_by_its_owner() {
    let sandbox = Sandbox::start(SandboxOptions { secured: true, polls: 1, ..SandboxOptions::default() }).await;
    let sandbox = sandbox.expect("a sandbox");
    let dir = offmap_sandbox::tempdir().expect("a directory");
    write_tenants(dir.path(), &json!({"tenant": "water", "user": VISITOR, "password": VISITOR_PASSWORD}));
    sandbox.fault(Fault::always("featureserver/createreplica", FaultAction::Job(JobFault::Stuck)));
    let service = Service::start(dir.path(), &sandbox.portal_url(), &["--most-jobs", "2"]);
    let own = service.order(FORESTRY, &field_map("own")).await;
    // The same map for who may see less of it.
    let less = service.order(WATER, &field_map("less")).await;
    let full = service.ask(FORESTRY, "POST /jobs", &field_map("third").to_string()).await;
    assert_eq!((full.status, &full.json()["owner"]), (503, &json!("limit")));
    assert!(full.head.contains("retry-after: 30"), "{}", full.head);
    for what in
        ["GET /jobs/{}", "GET /jobs/{}/events", "GET /jobs/{}/package", "POST /jobs/{}/cancel", "POST /jobs/{}/pause"]
    {
        let answer = service.ask(WATER, &what.replace("{}", &own), "").await;
        assert_eq!(answer.status, 404, "{what}");
    }
    sandbox.heal();
    // A request that was on its way when the fault went may have it still.
    let has_ended = |job: &Value| {
        sandbox.unstick();
        !job["ended"].is_null()
    };
    let job = service.until(FORESTRY, &own, has_ended).await;
    assert_eq!(job["state"], "succeeded", "{job:#}");
    assert_eq!((&job["tenant"], &job["labels"]["name"]), (&json!("forestry"), &json!("own")));
    service.has_whole_package(FORESTRY, &own, dir.path()).await;
    let job = service.until(WATER, &less, has_ended).await;
    assert_eq!(job["state"], "succeededWithErrors", "{job:#}");
    let failed: Vec<&Value> = job["layers"].as_array().expect("layers").iter().filter(|l| !l["failure"].is_null()).collect();
    assert!(!failed.is_empty() && failed.iter().all(|l| l["failure"]["owner"] == "credentials"), "{failed:?}");
    let world = json!("succeeded");
    assert!(job["layers"].as_array().expect("layers").iter().any(|l| l["id"] == "world" && l["state"] == world));

    let two = service.order(FORESTRY, &reference_map(&sandbox)).await;
    let ids = |page: &Value| -> Vec<String> {
        let jobs = page["jobs"].as_array().expect("jobs").iter();
        jobs.map(|job| job["id"].as_str().expect("an id").to_owned()).collect()
    };
    let page = service.ask(FORESTRY, "GET /jobs?most=1", "").await.json();
    assert_eq!(ids(&page), std::slice::from_ref(&two));
    let next = service.ask(FORESTRY, &format!("GET /jobs?most=1&after={}", page["next"]), "").await.json();
    assert_eq!(ids(&next), std::slice::from_ref(&own), "that of the other tenant, which lies between, is passed over");
    assert_eq!(ids(&service.ask(WATER, "GET /jobs", "").await.json()), std::slice::from_ref(&less));
    assert!(ids(&service.ask(WATER, "GET /jobs?state=queued", "").await.json()).is_empty());

    let bad_area = json!({"item": FIELD_MAP, "area": "9,9"}).to_string();
    let no_item = json!({"item": "0123", "area": "2,43,20,52"}).to_string();
    let (pause, odd) = (format!("POST /jobs/{own}/pause"), format!("POST /jobs/{own}/fly"));
    for (key, what, body, status) in [
        ("nobody's", "GET /jobs", "", 401),
        (FORESTRY, "POST /jobs", bad_area.as_str(), 400),
        (FORESTRY, "POST /jobs", "{\"area\": \"2,43,20,52\"}", 400),
        (FORESTRY, "POST /jobs", no_item.as_str(), 404),
        (FORESTRY, "GET /jobs/0123", "", 404),
        (FORESTRY, pause.as_str(), "", 409),
        (FORESTRY, odd.as_str(), "", 400),
    ] {
        let answer = service.ask(key, what, body).await;
        assert_eq!(answer.status, status, "{what} {body}: {}", String::from_utf8_lossy(&answer.body));
        if status != 401 {
            let failure = answer.json();
            assert!(failure["owner"].is_string() && failure["message"].is_string(), "{failure}");
        }
    }
}
