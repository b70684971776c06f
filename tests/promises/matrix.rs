//! The fault matrix: every step of every exporter and of the portal, under every fault.
//!
//! Each cell is a job of one layer. Whatever happens: it ends in bounded time, the destination is absent or whole and verified,
//! what is missing is named by a failure with the right owner, and no token is anywhere but at its host.

use crate::support::{Bench, area, quick_client, run_to_end};
use offmap::exporters::client::{ArcGisClient, ClientOptions, Credentials};
use offmap::exporters::portal;
use offmap::packager::verify;
use offmap::testing::VirtualClock;
use offmap::{Failure, FailureKind, FailureOwner, OfflineMapSource, OfflineMapTask, WebMap};
use offmap_sandbox::{FIELD_MAP, Fault, FaultAction, HOSTED_MAP, JobFault, STYLE_ITEM, Sandbox, SandboxOptions};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// A layer to take, and the steps of its way: part of the path, and whether the step is a job, a file or words.
struct Way {
    layer: &'static str,
    steps: &'static [(&'static str, Kind)],
}

/// What a step answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A description or count.
    Words,
    /// The submission of a job.
    Submit,
    /// The state of a job.
    State,
    /// A result file.
    File,
}

const WAYS: [Way; 5] = [
    Way {
        layer: "replica",
        steps: &[
            ("reference/featureserver", Kind::Words),
            ("reference/featureserver/0", Kind::Words),
            ("reference/featureserver/0/query", Kind::Words),
            ("reference/featureserver/createreplica", Kind::Submit),
            ("reference/featureserver/jobs", Kind::State),
            (".geodatabase", Kind::File),
        ],
    },
    Way {
        layer: "raster",
        steps: &[
            ("world/mapserver", Kind::Words),
            ("world/mapserver/exporttiles", Kind::Submit),
            ("exporttiles/jobs", Kind::State),
            ("out_service_url", Kind::Words),
            ("world.tpkx", Kind::File),
        ],
    },
    Way {
        layer: "vector",
        steps: &[
            ("streets/vectortileserver", Kind::Words),
            ("streets/vectortileserver/exporttiles", Kind::Submit),
            ("vectortileserver/jobs", Kind::State),
            ("streets.vtpk", Kind::File),
        ],
    },
    Way {
        layer: "hosted",
        steps: &[("world/mapserver/exporttiles", Kind::Submit), ("mapserver/jobs", Kind::State), ("world.tpkx", Kind::File)],
    },
    Way {
        layer: "style",
        steps: &[
            ("styles/root.json", Kind::Words),
            ("sprites/sprite.json", Kind::Words),
            ("fonts/sandbox regular", Kind::Words),
        ],
    },
];

/// What may come of a cell: a whole package, or a failure of one of these owners.
type Ends = (bool, &'static [FailureOwner]);

/// A fault, which kinds of steps it is for, how often it strikes (0: always), and what may come of it.
struct Row {
    name: &'static str,
    action: fn(&str) -> FaultAction,
    kinds: &'static [Kind],
    times: u32,
    ends: Ends,
}

const ALL: &[Kind] = &[Kind::Words, Kind::Submit, Kind::State, Kind::File];
const ANSWERS: &[Kind] = &[Kind::Words, Kind::Submit, Kind::State];
const NOBODY: &[FailureOwner] = &[];
const SOURCE: &[FailureOwner] = &[FailureOwner::Source];
const NETWORK: &[FailureOwner] = &[FailureOwner::Network];
const CREDENTIALS: &[FailureOwner] = &[FailureOwner::Credentials];

fn error(code: i64, message: &str) -> Value {
    json!({"error": {"code": code, "message": message, "details": []}})
}

fn zip_of(name: &str) -> Vec<u8> {
    use std::io::Write as _;
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    zip.start_file(name, stored).expect("an entry");
    zip.write_all(b"{}").expect("writes");
    zip.finish().expect("a zip").into_inner()
}

fn rows() -> Vec<Row> {
    let row = |name, kinds, times, ends, action| Row { name, action, kinds, times, ends };
    vec![
        row("429 once with Retry-After", ALL, 1, (true, NOBODY), |_| FaultAction::Status(429, "slow".into(), Some(3))),
        row("429 twice without", ALL, 2, (true, NOBODY), |_| FaultAction::Status(429, String::new(), None)),
        row("429 always", ALL, 0, (false, SOURCE), |_| FaultAction::Status(429, String::new(), Some(1))),
        row("503 once", ALL, 1, (true, NOBODY), |_| FaultAction::Status(503, "busy".into(), Some(2))),
        row("503 always", ALL, 0, (false, SOURCE), |_| FaultAction::Status(503, "busy".into(), None)),
        row("500 once", ALL, 1, (true, NOBODY), |_| FaultAction::Status(500, String::new(), None)),
        row("500 in 200 once", ALL, 1, (true, NOBODY), |_| {
            FaultAction::Body(error(500, "Error performing query operation"))
        }),
        row("500 in 200 always", ALL, 0, (false, SOURCE), |_| FaultAction::Body(error(500, "Unable to create replica."))),
        row("400 in 200", ALL, 0, (false, SOURCE), |_| FaultAction::Body(error(400, "Invalid URL"))),
        row("403 in 200", ALL, 0, (false, CREDENTIALS), |_| FaultAction::Body(error(403, "You do not have permissions"))),
        row("error without code", ANSWERS, 0, (false, SOURCE), |_| FaultAction::Body(json!({"error": {"message": "No."}}))),
        row("flat error", ANSWERS, 0, (false, SOURCE), |_| {
            FaultAction::Body(json!({"code": 400, "message": "Unable to complete", "status": "failure"}))
        }),
        row("HTML with 200", ALL, 0, (false, SOURCE), |_| FaultAction::Html),
        row("498 once", ALL, 1, (true, NOBODY), |_| FaultAction::Body(error(498, "Invalid token."))),
        row("499 always", ALL, 0, (false, CREDENTIALS), |_| FaultAction::Body(error(499, "Token Required"))),
        row("connection reset once", ALL, 1, (true, NOBODY), |_| FaultAction::Reset),
        row("connection reset always", ALL, 0, (false, NETWORK), |_| FaultAction::Reset),
        row("truncated body once", ALL, 1, (true, NOBODY), |_| FaultAction::Truncate(30)),
        row("file cut short", &[Kind::File], 0, (false, SOURCE), |_| FaultAction::Cut(5000)),
        row("slow drip", &[Kind::File], 0, (true, NOBODY), |_| FaultAction::Drip(200_000, Duration::from_millis(2))),
        row("hang", &[Kind::Submit, Kind::State], 0, (false, NETWORK), |_| FaultAction::Delay(Duration::from_secs(900))),
        // The other host says that it knows nobody.
        row("redirect to another host", ALL, 0, (false, &[FailureOwner::Source, FailureOwner::Credentials]), |storage| {
            FaultAction::Redirect(format!("{storage}/elsewhere"))
        }),
        row("result gone", &[Kind::File], 0, (false, SOURCE), |_| FaultAction::Status(404, "gone".into(), None)),
        row("result gone once", &[Kind::File], 1, (true, NOBODY), |_| FaultAction::Status(404, "gone".into(), None)),
        row("job stuck", &[Kind::Submit], 0, (false, SOURCE), |_| FaultAction::Job(JobFault::Stuck)),
        row("job failed", &[Kind::Submit], 0, (false, SOURCE), |_| FaultAction::Job(JobFault::Failed("no licence".into()))),
        row("job completed with errors", &[Kind::Submit], 0, (false, SOURCE), |_| {
            FaultAction::Job(JobFault::CompletedWithErrors)
        }),
        row("corrupt file", &[Kind::File], 0, (false, SOURCE), |_| {
            FaultAction::Replace(b"SQLite format 3\0 and rubbish".to_vec())
        }),
        row("zip that leaves its folder", &[Kind::File], 0, (false, SOURCE), |_| FaultAction::Replace(zip_of("../../evil"))),
        row("zip without a package", &[Kind::File], 0, (false, SOURCE), |_| FaultAction::Replace(zip_of("readme.txt"))),
        row("JSON where a file was expected", &[Kind::File], 0, (false, SOURCE), |_| {
            FaultAction::Body(json!({"status": "ok"}))
        }),
        row("empty object", ANSWERS, 0, (false, SOURCE), |_| FaultAction::Body(json!({}))),
        row("a list", ANSWERS, 0, (false, SOURCE), |_| FaultAction::Body(json!([1, 2]))),
        row("oversized JSON", &[Kind::Words], 0, (false, SOURCE), |_| {
            FaultAction::Replace(format!("\"{}\"", "x".repeat(65 << 20)).into_bytes())
        }),
    ]
}

/// The map of one layer.
fn map_of(sandbox: &Sandbox, layer: &str) -> WebMap {
    let url = |folder: &str, path: &str| format!("{}/{folder}/rest/services/{path}", sandbox.url());
    let layer = match layer {
        "replica" => json!({"layerType": "ArcGISFeatureLayer", "url": url("arcgis", "Reference/FeatureServer/0")}),
        "raster" => json!({"layerType": "ArcGISTiledMapServiceLayer", "url": url("arcgis", "World/MapServer")}),
        "vector" => json!({"layerType": "VectorTileLayer", "url": url("arcgis", "Streets/VectorTileServer")}),
        "hosted" => json!({"layerType": "ArcGISTiledMapServiceLayer", "url": url("hosted", "World/MapServer")}),
        _ => json!({"layerType": "VectorTileLayer", "styleUrl":
            format!("{}/sharing/rest/content/items/{STYLE_ITEM}/resources/styles/root.json", sandbox.portal_url())}),
    };
    let mut layer = layer;
    layer["id"] = json!("it");
    WebMap::from_value(json!({"operationalLayers": [layer], "spatialReference": {"wkid": 102_100}})).expect("a map")
}

/// A cell that did not end as it should.
fn judge(row: &Row, step: &str, failure: Option<&Failure>) -> Option<String> {
    let (may_succeed, owners) = row.ends;
    // An empty object is a good index of no sprites.
    let may_succeed = may_succeed || (row.name == "empty object" && step.contains("sprite"));
    match failure {
        None if may_succeed => None,
        None => Some(format!("{} at {step}: a package, though that cannot be", row.name)),
        Some(f) if owners.contains(&f.owner) && f.message.len() > 10 => None,
        Some(f) => Some(format!("{} at {step}: {:?} {:?}: {f}", row.name, f.owner, f.kind)),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_of_a_replica_and_a_style_ends_rightly_under_every_fault() {
    every_cell(&["replica", "style"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_step_of_tiles_ends_rightly_under_every_fault() {
    every_cell(&["raster", "vector", "hosted"]).await;
}

async fn every_cell(layers: &[&str]) {
    let rows = rows();
    let options = SandboxOptions { secured: true, looks: 1, ..SandboxOptions::default() };
    let sandbox = Sandbox::start(options).await.expect("a sandbox");
    let credentials = || {
        Credentials::user(&sandbox.portal_url(), offmap_sandbox::USER, offmap_sandbox::PASSWORD, "https://app")
            .expect("credentials")
    };
    let client = ArcGisClient::with_clock(
        // A silence is told after a moment; a job that is stuck after an hour of virtual time.
        ClientOptions {
            poll_interval: Duration::from_secs(1),
            request_timeout: Duration::from_millis(1000),
            job_timeout: Duration::from_secs(8 * 3600),
            ..ClientOptions::default()
        },
        credentials(),
        Arc::new(VirtualClock::default()),
    )
    .expect("a client");
    let builder = offmap::with_defaults(&client).expect("exporters").clock(VirtualClock::default());
    let engine = builder.start().expect("starts");
    let dir = tempfile::tempdir().expect("a directory");
    let mut cells = 0;
    let mut wrong = Vec::new();
    for way in WAYS.iter().filter(|w| layers.contains(&w.layer)) {
        let task = OfflineMapTask::new(&engine, OfflineMapSource::from_web_map(map_of(&sandbox, way.layer)));
        for (step, kind) in way.steps {
            // Storage with signed addresses knows no tokens.
            let knows_tokens = (way.layer, *kind) != ("hosted", Kind::File);
            for row in rows.iter().filter(|r| r.kinds.contains(kind) && (knows_tokens || r.name != "498 once")) {
                cells += 1;
                sandbox.heal();
                let action = (row.action)(sandbox.storage_url());
                sandbox.fault(match row.times {
                    0 => Fault::always_at(step, action),
                    times => Fault { times: Some(times), ..Fault::always_at(step, action) },
                });
                let mut parameters = task.default_parameters(area()).expect("parameters");
                parameters.max_scale = 250_000_000.0;
                let out = dir.path().join(format!("cell-{cells}"));
                let job = task.generate_offline_map(parameters, Default::default(), &out);
                let ended = tokio::time::timeout(Duration::from_secs(30), run_to_end(&job)).await;
                let Ok((result, story)) = ended else {
                    wrong.push(format!("{} at {step}: no end in bounded time", row.name));
                    job.cancel();
                    continue;
                };
                let failure = match &result {
                    Ok(result) => result.layers[0].failure.clone(),
                    Err(error) => Some(error.failure.clone()),
                };
                wrong.extend(judge(row, step, failure.as_ref()));
                // Always true, whatever happened.
                match &result {
                    Ok(result) => assert!(verify(&result.package).expect("verifies").ok, "{} at {step}", row.name),
                    Err(_) => assert!(!out.exists(), "{} at {step}: half a destination", row.name),
                }
                assert!(story.last().is_some_and(|m| m.subject.kind == offmap::SubjectKind::Job && m.state.is_terminal()));
                let beside = std::fs::read_dir(dir.path()).expect("lists").filter_map(Result::ok);
                let hidden = beside.filter(|e| e.file_name().to_string_lossy().starts_with('.')).count();
                assert_eq!(hidden, 0, "{} at {step}: a work directory is left", row.name);
            }
        }
    }
    let own = sandbox.url().split("://").nth(1).expect("a host");
    let leaks = sandbox.requests().iter().filter(|r| r.has_token && r.host != own).count();
    println!("{cells} cells, {} wrong, {leaks} tokens at a foreign host", wrong.len());
    assert_eq!(leaks, 0, "no token at a foreign host");
    assert!(wrong.is_empty(), "{} of {cells} cells: {wrong:#?}", wrong.len());
}

#[tokio::test]
async fn the_portal_s_steps_end_rightly_under_every_fault() {
    let bench = Bench::new().await;
    let client = quick_client(Credentials::none());
    let mut wrong = Vec::new();
    for row in rows().iter().filter(|r| r.kinds.contains(&Kind::Words) && !r.name.starts_with("hang")) {
        for (step, item) in [("/data", FIELD_MAP), (HOSTED_MAP, HOSTED_MAP)] {
            bench.sandbox.heal();
            let action = (row.action)(bench.sandbox.storage_url());
            bench.sandbox.fault(match row.times {
                0 => Fault::always(step, action),
                times => Fault::times(step, times, action),
            });
            let read = portal::read_item(&client, &bench.sandbox.portal_url(), item).await;
            // Without credentials an old token is nobody's to renew.
            let renewed = row.name == "498 once" && read.as_ref().is_err_and(|f| f.owner == FailureOwner::Credentials);
            let said = judge(row, step, read.as_ref().err());
            let caller =
                read.as_ref().is_err_and(|f| f.owner == FailureOwner::Caller && f.kind == FailureKind::InvalidAnswer);
            wrong.extend(said.filter(|_| !renewed && !caller));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
