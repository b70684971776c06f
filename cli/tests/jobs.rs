//! `offmap jobs` and `offmap status`: the jobs of a service from its data directory, and those of `offmap take` beside their destinations.

use crate::support::{AREA, offmap, run, sandbox, words};
use offmap::arcgis::{ArcGisClient, ClientOptions, Credentials, portal};
use offmap::{
    AreaOfInterest, Engine, GenerateOfflineMapParameters, Job, JobState, OfflineMapSource, OfflineMapTask, Order, WebMap,
};
use offmap_sandbox::{FIELD_MAP, Fault, FaultAction, JobFault, MIXED_MAP, Sandbox, SandboxOptions};
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, SystemTime};

fn engine(sandbox: &Sandbox, data: &Path) -> (Engine, ArcGisClient) {
    let options = ClientOptions { poll_interval: Duration::from_millis(20), ..ClientOptions::default() };
    let client = ArcGisClient::new(options, Credentials::none()).expect("a client");
    let engine = offmap::with_defaults(&client).expect("an engine").data_dir(data).start().expect("starts");
    assert!(sandbox.url().starts_with("http://localhost"));
    (engine, client)
}

async fn order(sandbox: &Sandbox, (engine, client): &(Engine, ArcGisClient), item: &str) -> Order {
    let source = portal::read_item(client, &sandbox.portal_url(), item).await.expect("reads");
    let task = OfflineMapTask::new(engine, source);
    let area = AreaOfInterest::from_numbers("2,43,20,52").expect("an area");
    let mut parameters = task.default_parameters(area).expect("parameters");
    parameters.max_scale = 20_000_000.0;
    Order::new(task.source().clone(), parameters)
}

/// A map of which nothing can go offline.
fn hopeless(sandbox: &Sandbox) -> Order {
    let url = format!("{}/arcgis/rest/services/OnlineOnly/FeatureServer/0", sandbox.url());
    let map =
        json!({"operationalLayers": [{"id": "o", "title": "Online only", "layerType": "ArcGISFeatureLayer", "url": url}]});
    let map = WebMap::from_value(map).expect("a map");
    let area = AreaOfInterest::from_numbers("2,43,20,52").expect("an area");
    Order::new(OfflineMapSource::from_web_map(map), GenerateOfflineMapParameters::new(area))
}

async fn ended(job: &Job) -> JobState {
    let _ = job.result().await;
    job.snapshot().await.expect("a job").state
}

fn jobs(data: &Path, more: &[&str]) -> Output {
    let mut command = offmap(&["jobs", "--data"]);
    command.arg(data).args(more);
    run(command)
}

fn status(data: &Path, id: &str, more: &[&str]) -> Output {
    let mut command = offmap(&["status", id, "--data"]);
    command.arg(data).args(more);
    run(command)
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", words(output)))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_jobs_of_a_service_that_has_ended_are_listed_and_shown_with_their_ways_out() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let data = dir.path().join("data");
    let none = jobs(&data, &[]);
    assert_eq!(none.status.code(), Some(2), "{}", words(&none));
    assert!(words(&none).contains("there is no `jobs.sqlite` in it") && !data.exists(), "{}", words(&none));
    let unnamed = run(offmap(&["jobs"]));
    assert_eq!(unnamed.status.code(), Some(2), "{}", words(&unnamed));
    assert!(words(&unnamed).contains("give --data DIR, or OFFMAP_DATA"), "{}", words(&unnamed));

    let service = engine(&sandbox, &data);
    let whole = service
        .0
        .submit(order(&sandbox, &service, FIELD_MAP).await.tenant("forestry").label("team", "north"))
        .await
        .expect("taken");
    let mixed = service.0.submit(order(&sandbox, &service, MIXED_MAP).await.tenant("water")).await.expect("taken");
    let failed = service.0.submit(hopeless(&sandbox).tenant("water")).await.expect("taken");
    let later = SystemTime::now() + Duration::from_hours(1);
    let later = service
        .0
        .submit(order(&sandbox, &service, FIELD_MAP).await.tenant("forestry").not_before(later))
        .await
        .expect("taken");
    assert_eq!(ended(&whole).await, JobState::Succeeded);
    assert_eq!(ended(&mixed).await, JobState::SucceededWithErrors);
    assert_eq!(ended(&failed).await, JobState::Failed);
    // The service has it.
    let busy = jobs(&data, &[]);
    assert_eq!(busy.status.code(), Some(2), "{}", words(&busy));
    let holder = format!("another engine (process {}) has it; ask its host", std::process::id());
    assert!(words(&busy).contains(&holder), "{}", words(&busy));
    service.0.shutdown().await.expect("ends");
    let ids = [&later, &failed, &mixed, &whole].map(|job| job.id().to_owned());
    // It is over with the last handle.
    drop((service, whole, mixed, failed, later));

    let all = jobs(&data, &[]);
    assert_eq!(all.status.code(), Some(0), "{}", words(&all));
    let lines: Vec<String> = words(&all).lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert!(lines.iter().zip(&ids).all(|(line, id)| line.contains(id.as_str())), "the latest first: {lines:?}");
    assert!(lines[3].starts_with("succeeded ") && lines[3].contains("forestry") && lines[3].contains("Field inspection"));
    let listed = |more: &[&str]| -> Vec<String> {
        let answer = json_of(&jobs(&data, more));
        answer["jobs"].as_array().expect("jobs").iter().map(|j| j["id"].as_str().expect("an id").to_owned()).collect()
    };
    assert_eq!(listed(&["--json", "--tenant", "water"]), ids[1..3]);
    assert_eq!(listed(&["--json", "--state", "failed", "--state", "queued"]), ids[..2]);
    let odd = jobs(&data, &["--state", "asleep"]);
    assert!(odd.status.code() == Some(2) && words(&odd).contains("succeededWithErrors"), "{}", words(&odd));

    for (id, code, said) in [
        (&ids[3], 0, vec!["state     succeeded", "team=north", "done      Places", "tenant    forestry"]),
        (&ids[2], 3, vec!["skipped   Online only", "sync is not enabled", "whose: Source; what to do: keep it online"]),
        (&ids[1], 1, vec!["state     failed", "whose: Source"]),
        (&ids[0], 0, vec!["state     queued, not before ", "it goes on when the service starts again"]),
    ] {
        let shown = status(&data, id, &[]);
        assert_eq!(shown.status.code(), Some(code), "{}", words(&shown));
        for said in said {
            assert!(words(&shown).contains(said), "{said}: {}", words(&shown));
        }
        assert!(!words(&shown).contains("a retry"), "none is offered that cannot help: {}", words(&shown));
        let answer = json_of(&status(&data, id, &["--json"]));
        assert_eq!(answer["job"]["id"], json!(id));
    }
    let nobody = status(&data, "7c0dd0a2-6c5f-4a0e-9d52-0a4c5a2b7a11", &[]);
    assert_eq!(nobody.status.code(), Some(2), "{}", words(&nobody));
    let no_id = status(&data, "alps", &[]);
    assert!(no_id.status.code() == Some(2) && words(&no_id).contains("is no id of a job"), "{}", words(&no_id));
    let mut by_environment = offmap(&["jobs", "--json"]);
    by_environment.env("OFFMAP_DATA", &data);
    assert_eq!(json_of(&run(by_environment))["jobs"].as_array().map(Vec::len), Some(4));
    // Who looks changes nothing.
    let (again, _) = engine(&sandbox, &data);
    assert_eq!(again.job(&ids[0]).await.expect("a job").snapshot().await.expect("a job").state, JobState::Queued);
    again.shutdown().await.expect("ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_of_take_is_shown_while_it_runs_when_it_was_killed_and_when_its_package_is_there() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    sandbox.fault(Fault::always("fieldwork/featureserver/createreplica", FaultAction::Job(JobFault::Stuck)));
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let out = dir.path().join("out").to_string_lossy().into_owned();
    let nothing = run(offmap(&["status", &out]));
    assert_eq!(nothing.status.code(), Some(2), "{}", words(&nothing));
    assert!(words(&nothing).contains("neither a package nor an unfinished job"), "{}", words(&nothing));
    let portal = sandbox.portal_url();
    let mut take = offmap(&["take", "--portal", &portal, "--item", FIELD_MAP, "--out", &out, "--progress", "json"]);
    take.args(AREA);
    let mut child = take.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("starts");
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let is_world = |line: &Value| line["subject"]["id"] == "world" && line["state"] == "succeeded";
    let mut read = lines.map_while(Result::ok).filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    assert!(read.any(|line| is_world(&line)), "it comes to that");
    let runs = run(offmap(&["status", &out]));
    assert_eq!(runs.status.code(), Some(0), "{}", words(&runs));
    assert!(words(&runs).contains("another process runs it"), "{}", words(&runs));
    child.kill().expect("kills");
    child.wait().expect("ends");
    let left = run(offmap(&["status", &out]));
    assert_eq!(left.status.code(), Some(0), "{}", words(&left));
    for said in ["Field inspection", "state     suspended", "done      World", "started   Places", "offmap resume "] {
        assert!(words(&left).contains(said), "{said}: {}", words(&left));
    }
    let answer = json_of(&run(offmap(&["status", &out, "--json"])));
    let progress = answer["job"]["progress"]["completed"].as_u64().expect("a progress");
    assert!((1..100).contains(&progress) && answer["job"]["isKept"] == true, "{answer}");
    sandbox.heal();
    sandbox.unstick();
    let resumed = run(offmap(&["resume", &out, "--progress", "off"]));
    assert_eq!(resumed.status.code(), Some(0), "{}", words(&resumed));
    let done = run(offmap(&["status", &out]));
    assert_eq!(done.status.code(), Some(0), "{}", words(&done));
    assert!(words(&done).contains("state     succeeded") && words(&done).contains("done      Places"), "{}", words(&done));
}
