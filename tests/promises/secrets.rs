//! No secret outside the requests that it is for: parameters and tokens of a map's layers, and what services repeat.

use crate::support::{Bench, area, files_below, quick_client, run_to_end};
use offmap::arcgis::portal;
use offmap::arcgis::{Credentials, ServiceCall};
use offmap::{
    ExportState, FailureKind, FailureOwner, GenerateOfflineMapJob, LayerItem, OfflineMapSource, OfflineMapTask,
    StatusMessage, WebMap,
};
use offmap_sandbox::{FIELD_MAP, Fault, FaultAction, HOSTED_MAP, JobFault, Sandbox, SandboxOptions};
use serde_json::{Value, json};
use std::path::Path;

/// The value of an API key; with a character that is escaped in urls.
const KEY: &str = "layer-key+/0123456789";
const NAME: &str = "apiKey";

fn with_key() -> SandboxOptions {
    SandboxOptions { api_key: Some((NAME.to_owned(), KEY.to_owned())), ..SandboxOptions::default() }
}

/// All forms in which a text may stand in a file.
fn forms(secret: &str) -> [String; 4] {
    let percent = secret.replace('+', "%2B").replace('/', "%2F");
    [secret.to_owned(), percent.clone(), percent.to_ascii_lowercase(), secret.replace('/', "\\/")]
}

fn holds(bytes: &[u8], secret: &str) -> bool {
    forms(secret).iter().any(|form| crate::support::holds(bytes, form))
}

/// No file below a directory holds the text; the names of the files do not either.
fn assert_nowhere_below(dir: &Path, secret: &str) {
    let files = files_below(dir);
    assert!(!files.is_empty(), "{} has files", dir.display());
    for file in files {
        assert!(!holds(file.to_string_lossy().as_bytes(), secret), "{}", file.display());
        // The log of a ledger goes when its last reader does.
        let Ok(bytes) = std::fs::read(&file) else { continue };
        assert!(!holds(&bytes, secret), "`{secret}` is in {}", file.display());
    }
}

/// Adds members to every layer and table of a map.
fn with_members(map: &WebMap, members: &Value) -> WebMap {
    fn add(layers: &mut Value, members: &Value) {
        for layer in layers.as_array_mut().into_iter().flatten() {
            if layer.get("layers").is_some_and(|_| layer["layerType"] == "GroupLayer") {
                add(&mut layer["layers"], members);
            } else if let (Some(layer), Some(members)) = (layer.as_object_mut(), members.as_object()) {
                layer.extend(members.clone());
            }
        }
    }
    let mut json = Value::Object(map.json().clone());
    add(&mut json["operationalLayers"], members);
    add(&mut json["tables"], members);
    add(&mut json["baseMap"]["baseMapLayers"], members);
    WebMap::from_value(json).expect("a map")
}

/// A job for a map of the sandbox whose layers all have an API key.
async fn keyed_job(bench: &Bench, item: &str) -> (GenerateOfflineMapJob, WebMap) {
    // The item's own map has no keys; they are what an author writes into it.
    let mut source = bench.task(item).await.source().clone();
    let popup = "<a href='https://tiles.example/?k=layer-key%2b%2F0123456789'>tiles</a> by LAYER-KEY+/0123456789";
    let members = json!({"customParameters": {NAME: KEY}, "popupInfo": {"description": popup}});
    let map = with_members(&source.web_map, &members);
    source.web_map = map.clone();
    // Authors paste addresses with their keys into descriptions.
    let layer_items = source.web_map.layers().iter().filter_map(|l| l.item_id.clone());
    let license_info = Some(format!("free with {KEY}"));
    let said = |id| LayerItem { id, license_info: license_info.clone(), ..LayerItem::default() };
    source.layer_items = layer_items.chain(["another".to_owned()]).map(said).collect();
    let item = source.item.as_mut().expect("an item");
    item.url = Some(format!("https://tiles.example/viewer?{NAME}={KEY}"));
    item.extra.insert("homepage".to_owned(), json!(format!("https://tiles.example/{KEY}/index.html")));
    item.extra.insert("properties".to_owned(), json!({"word": KEY, KEY: [KEY]}));
    item.extra.insert(KEY.to_owned(), json!(1));
    item.title = format!("{} {KEY}", item.title);
    item.description = Some(format!("tiles by https://tiles.example/?{NAME}={KEY}"));
    item.tags.push(KEY.to_owned());
    item.license_info = Some(format!("the key {KEY} is ours"));
    (job_of(bench, source), map)
}

fn job_of(bench: &Bench, source: OfflineMapSource) -> GenerateOfflineMapJob {
    let task = OfflineMapTask::new(&bench.engine, source);
    let mut parameters = task.default_parameters(area()).expect("parameters");
    parameters.max_scale = 10_000_000.0;
    task.generate_offline_map(parameters, Default::default(), bench.destination())
}

/// Runs a job until a message is the wished one, then cancels and keeps.
async fn stop_when(job: &GenerateOfflineMapJob, wished: impl Fn(&StatusMessage) -> bool) {
    let mut status = job.status();
    job.start();
    while let Some(message) = status.next().await {
        if wished(&message) {
            job.cancel_and_keep();
        }
    }
    let error = job.result().await.expect_err("cancelled");
    assert!(error.can_resume, "{error:?}");
}

#[tokio::test]
async fn custom_parameters_go_with_every_request_to_their_own_origin_and_to_no_other() {
    for item in [FIELD_MAP, HOSTED_MAP] {
        let bench = Bench::with(with_key(), |_| Credentials::none()).await;
        let (job, _) = keyed_job(&bench, item).await;
        let (result, messages) = run_to_end(&job).await;
        let result = result.expect("a package");
        assert!(!result.has_errors(), "{:?}", result.layers);
        let own = bench.sandbox.url().split("://").nth(1).expect("a host").to_owned();
        let requests = bench.sandbox.requests();
        for request in &requests {
            let key = request.parameters.get("apikey").map(String::as_str);
            if request.host != own {
                assert_eq!(key, None, "{request:?}");
            } else if !request.path.starts_with("/portal") {
                assert_eq!(key, Some(KEY), "{request:?}");
            }
        }
        let abroad = requests.iter().filter(|r| r.host != own).count();
        assert_eq!(abroad > 0, item == HOSTED_MAP, "results of the hosted dialect are on another host");
        assert_nowhere_below(&result.package, KEY);
        assert!(!holds(format!("{messages:?} {result:?}").as_bytes(), KEY));
    }
}

#[tokio::test]
async fn a_parameter_that_is_an_ordinary_word_is_sent_and_takes_no_word_out_of_a_title() {
    let bench = Bench::new().await;
    let mut source = bench.task(FIELD_MAP).await.source().clone();
    source.web_map = with_members(&source.web_map, &json!({"customParameters": {"region": "Switzerland"}}));
    source.item.as_mut().expect("an item").title = "Map of Switzerland".to_owned();
    let (result, messages) = run_to_end(&job_of(&bench, source)).await;
    let result = result.expect("a package");
    assert!(!result.has_errors(), "{:?}", result.layers);
    assert!(messages.iter().any(|m| m.subject.title == "Map of Switzerland"), "{messages:?}");
    let info = std::fs::read_to_string(result.package.join("esriinfo/iteminfo.xml")).expect("reads");
    assert!(info.contains("Map of Switzerland"), "{info}");
    let map = std::fs::read_to_string(result.package.join("p13/mobile_map.mmap")).expect("reads");
    assert!(!map.contains("customParameters"), "the map has none of them");
    let asked = bench.sandbox.requests();
    assert!(asked.iter().any(|r| r.parameters.get("region").map(String::as_str) == Some("Switzerland")), "{asked:?}");
}

#[tokio::test]
async fn what_the_items_of_a_map_repeat_is_taken_out_once_for_all_jobs_of_a_task() {
    let bench = Bench::new().await;
    let mut source = bench.task(FIELD_MAP).await.source().clone();
    source.web_map = with_members(&source.web_map, &json!({"customParameters": {NAME: KEY}}));
    source.item.as_mut().expect("an item").title = format!("by {KEY}");
    let task = OfflineMapTask::new(&bench.engine, source);
    assert_eq!(task.source().map_title(), "by …");
    let parameters = task.default_parameters(area()).expect("parameters");
    for name in ["a", "b"] {
        let job = task.generate_offline_map(parameters.clone(), Default::default(), bench.dir.path().join(name));
        assert!(std::ptr::eq(job.online_map(), &task.source().web_map), "its map is not copied");
    }
}

#[tokio::test]
async fn a_parameter_that_is_too_long_stops_its_layer_only() {
    let bench = Bench::new().await;
    let mut source = bench.task(FIELD_MAP).await.source().clone();
    let mut json = Value::Object(source.web_map.json().clone());
    let long = "0123456789abcdefGHIJ".repeat(50_000);
    json["operationalLayers"][0]["customParameters"] = json!({NAME: long});
    source.web_map = WebMap::from_value(json).expect("a map");
    let (result, _) = run_to_end(&job_of(&bench, source)).await;
    let result = result.expect("a package");
    let failed: Vec<_> = result.layers.iter().filter(|l| l.is_error()).collect();
    assert_eq!(failed.iter().map(|l| l.id.as_str()).collect::<Vec<_>>(), ["countries"]);
    let why = failed[0].failure.as_ref().expect("a failure");
    assert_eq!((why.owner, why.kind), (FailureOwner::Caller, FailureKind::LimitExceeded));
    assert!(why.message.contains("`apiKey`") && why.message.contains("at most 4096"), "{why}");
    assert!(!bench.sandbox.requests().iter().any(|r| r.parameters.contains_key("apikey")), "it is never sent");
    assert_nowhere_below(&result.package, &long[..200]);
}

#[tokio::test]
async fn custom_parameters_do_not_follow_a_redirect_to_another_origin() {
    let bench = Bench::new().await;
    let elsewhere = Sandbox::start(SandboxOptions::default()).await.expect("a sandbox");
    let to = format!("{}/arcgis/rest/services/World/MapServer", elsewhere.url());
    bench.sandbox.fault(Fault::always("world/mapserver", FaultAction::Redirect(to)));
    let (job, _) = keyed_job(&bench, FIELD_MAP).await;
    run_to_end(&job).await.0.expect("a package");
    let seen = elsewhere.requests();
    assert!(seen.iter().all(|r| !r.parameters.contains_key("apikey")), "{seen:?}");
}

#[tokio::test]
async fn what_cancels_a_server_job_or_unregisters_a_replica_carries_the_custom_parameters() {
    let bench = Bench::with(with_key(), |_| Credentials::none()).await;
    bench.sandbox.fault(Fault::always("exporttiles", FaultAction::Job(JobFault::Stuck)));
    let (job, _) = keyed_job(&bench, FIELD_MAP).await;
    let mut status = job.status();
    job.start();
    let mut replicas = 0;
    while let Some(message) = status.next().await {
        let geodatabase = ["countries", "borders"].contains(&message.subject.id.as_str());
        replicas += u32::from(geodatabase && message.state.is_terminal());
        if replicas == 2 {
            job.cancel();
        }
    }
    job.result().await.expect_err("cancelled");
    assert_eq!(bench.sandbox.cancelled_jobs(), 2, "both export jobs are cancelled on the service");
    assert_eq!(bench.sandbox.replicas("Fieldwork") + bench.sandbox.replicas("Reference"), 0);
    let cancels: Vec<_> = bench.sandbox.requests().into_iter().filter(|r| r.path.ends_with("/cancel")).collect();
    assert!(!cancels.is_empty() && cancels.iter().all(|r| r.parameters.get("apikey").map(String::as_str) == Some(KEY)));
}

#[tokio::test]
async fn the_ledger_of_a_job_holds_no_custom_parameter() {
    let bench = Bench::with(with_key(), |_| Credentials::none()).await;
    bench.sandbox.fault(Fault::always("createreplica", FaultAction::Job(JobFault::Stuck)));
    let (job, _) = keyed_job(&bench, FIELD_MAP).await;
    stop_when(&job, |m| m.message.as_deref() == Some("Pending")).await;
    assert_nowhere_below(&bench.dir.path().join(".package.offmap"), KEY);
    assert!(!holds(job.to_json().expect("JSON").as_bytes(), KEY));
}

#[tokio::test]
async fn what_a_service_repeats_of_a_secret_is_in_no_message_no_ledger_and_no_package() {
    let options = SandboxOptions { secured: true, echo: true, ..with_key() };
    let bench =
        Bench::with(options, |sandbox| Credentials::token(sandbox.token()).for_url(sandbox.url()).expect("a url")).await;
    let (job, _) = keyed_job(&bench, FIELD_MAP).await;
    let token = bench.sandbox.requests().iter().find_map(|r| r.parameters.get("token").cloned()).expect("a token");
    // The words of an error, of a job and of a status address come from the service, too.
    let words = format!("no export with {token} and {KEY}");
    bench
        .sandbox
        .fault(Fault::always("streets/vectortileserver/exporttiles", FaultAction::Job(JobFault::Failed(words.clone()))));
    bench.sandbox.fault(Fault::always("reference/featureserver/createreplica", FaultAction::Body(json!({"error":
        {"code": 400, "message": words, "details": [format!("https://h/x?token={token}&apiKey={}", KEY.replace('+', "%2b"))]}}))));
    let messages = told_while_the_ledger_holds_none(&bench, &job, &[&token, KEY]).await;
    let result = job.result().await.expect("a package");
    let failed: Vec<_> = result.layers.iter().filter(|l| l.is_error()).collect();
    assert_eq!(failed.iter().map(|l| l.id.as_str()).collect::<Vec<_>>(), ["borders", "streets"]);
    let told = format!("{messages:?} {result:?}");
    assert!(!holds(told.as_bytes(), &token) && !holds(told.as_bytes(), KEY), "{told}");
    assert!(failed.iter().all(|l| l.failure.as_ref().is_some_and(|f| f.to_string().contains("no export with … and …"))));
    for secret in [token.as_str(), KEY] {
        assert_nowhere_below(&result.package, secret);
    }
    let manifest = std::fs::read_to_string(result.package.join("offmap/manifest.json")).expect("reads");
    assert!(manifest.contains("Natural Earth, public domain (asked with …"), "what is left of the attribution stays");
    // The same holds for a job that completes the package.
    let again = GenerateOfflineMapJob::complete(&bench.engine, &result.package).await.expect("a job");
    let again = again.with_secrets_of(job.online_map());
    let submitted = |bench: &Bench| bench.sandbox.requests().iter().filter(|r| r.path.ends_with("exportTiles")).count();
    let before = submitted(&bench);
    told_while_the_ledger_holds_none(&bench, &again, &[&token, KEY]).await;
    assert!(submitted(&bench) > before, "what failed is asked for again");
}

/// Runs a job to its end; whenever something is told, no secret is in its ledger or the ledger's log.
async fn told_while_the_ledger_holds_none(
    bench: &Bench,
    job: &GenerateOfflineMapJob,
    secrets: &[&str],
) -> Vec<StatusMessage> {
    let mut status = job.status();
    let work_dir = bench.dir.path().join(".package.offmap");
    job.start();
    let mut messages = Vec::new();
    while let Some(message) = status.next().await {
        for file in ["ledger.sqlite", "ledger.sqlite-wal"] {
            let bytes = std::fs::read(work_dir.join(file)).unwrap_or_default();
            assert!(!secrets.iter().any(|secret| holds(&bytes, secret)), "{file} at {message:?}");
        }
        messages.push(message);
    }
    messages
}

#[tokio::test]
async fn a_token_in_a_url_of_the_map_is_neither_sent_nor_kept() {
    let bench = Bench::new().await;
    let services = format!("{}/arcgis/rest/services", bench.sandbox.url());
    let text = include_str!("../cases/webmap-odd-addresses.json");
    // Of the case only the layers: the author's setting in it is not understood.
    let text = text.replace("$SERVICES/Assets", &format!("{services}/Fieldwork")).replace("everythingNew", "features");
    let job = job_of(&bench, OfflineMapSource::from_web_map(WebMap::from_json(&text).expect("a map")));
    let told = job.to_json().expect("JSON");
    bench.sandbox.fault(Fault::always("createreplica", FaultAction::Job(JobFault::Stuck)));
    stop_when(&job, |m| m.message.as_deref() == Some("Pending")).await;
    assert_nowhere_below(&bench.dir.path().join(".package.offmap"), "NOT-TO-BE-KEPT");
    bench.sandbox.heal();
    bench.sandbox.unstick();
    let again = GenerateOfflineMapJob::resume(&bench.engine, bench.destination()).await.expect("a job");
    let (result, messages) = run_to_end(&again).await;
    let result = result.expect("a package");
    let token = result.layers.iter().find(|l| l.id == "token").expect("the layer");
    assert_eq!(token.state, ExportState::Succeeded, "{token:?}");
    assert_nowhere_below(&result.package, "NOT-TO-BE-KEPT");
    let told = format!("{told} {messages:?} {result:?} {:?}", bench.sandbox.requests());
    assert!(!told.contains("NOT-TO-BE-KEPT"), "{told}");
}

#[tokio::test]
async fn custom_parameters_with_the_name_of_a_call_s_own_are_not_sent_and_are_named() {
    let bench = Bench::new().await;
    let mut source = bench.task(FIELD_MAP).await.source().clone();
    let custom = json!({"REPLICAID": "theirs", "Token": "theirs", "where": "1=0", "f": "html", "vendor": "kept"});
    source.web_map = with_members(&source.web_map, &json!({"customParameters": custom}));
    let (result, messages) = run_to_end(&job_of(&bench, source)).await;
    let result = result.expect("a package");
    assert!(!result.has_errors(), "{:?}", result.layers);
    let requests = bench.sandbox.requests();
    assert!(!requests.iter().any(|r| r.parameters.values().any(|v| v == "theirs" || v == "1=0" || v == "html")));
    assert!(requests.iter().any(|r| r.parameters.get("vendor").map(String::as_str) == Some("kept")));
    let told: Vec<_> = messages.iter().filter_map(|m| m.message.as_deref()).collect();
    for name in ["REPLICAID", "Token", "where", "f"] {
        let named = told.iter().any(|m| m.contains("\"Countries\"") && m.contains(&format!("`{name}`")));
        assert!(named, "{name}: {told:?}");
    }
}

#[tokio::test]
async fn user_name_and_password_in_a_url_are_refused_wherever_it_stands_and_never_shown() {
    let bench = Bench::new().await;
    let with_user = |url: &str| url.replacen("://", "://someone:hunter2-hunter2@", 1);
    let portal_url = with_user(&bench.sandbox.portal_url());
    let refused = [
        portal::portal_root(&portal_url).expect_err("refused"),
        portal::read_item(&bench.client, &portal_url, FIELD_MAP).await.expect_err("refused"),
        Credentials::token("t").for_portal(&portal_url).expect_err("refused"),
        Credentials::token("t").for_url(&portal_url).expect_err("refused"),
        ServiceCall::get(&portal_url).expect_err("refused"),
        portal::portal_root("http://someone:hunter2-hunter2@host:99999/").expect_err("refused"),
        {
            let source =
                OfflineMapSource { portal_url: Some(portal_url.clone()), ..bench.task(FIELD_MAP).await.source().clone() };
            run_to_end(&job_of(&bench, source)).await.0.expect_err("refused").failure
        },
    ];
    for failure in refused {
        assert_eq!((failure.owner, failure.kind), (FailureOwner::Caller, FailureKind::InvalidParameter), "{failure}");
        assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
    }
    // In a layer's url: that layer alone stays behind.
    let mut source = bench.task(FIELD_MAP).await.source().clone();
    let mut json = Value::Object(source.web_map.json().clone());
    let url = json["operationalLayers"][0]["url"].as_str().map(with_user);
    json["operationalLayers"][0]["url"] = json!(url);
    source.web_map = WebMap::from_value(json).expect("a map");
    let (result, messages) = run_to_end(&job_of(&bench, source)).await;
    let result = result.expect("a package");
    let failed: Vec<_> = result.layers.iter().filter(|l| l.is_error()).map(|l| l.id.as_str()).collect();
    assert_eq!(failed, ["countries"], "{:?}", result.layers);
    let why = result.layers.iter().find_map(|l| l.failure.as_ref()).expect("a failure").to_string();
    assert!(why.contains("user name and password"), "{why}");
    assert_nowhere_below(&result.package, "hunter2");
    assert!(!format!("{messages:?} {result:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_url_with_a_password_in_an_answer_is_a_failure_of_the_source() {
    let bench = Bench::new().await;
    let to = bench.sandbox.url().replacen("://", "://someone:hunter2-hunter2@", 1);
    bench.sandbox.fault(Fault::always("world/mapserver", FaultAction::Redirect(format!("{to}/elsewhere"))));
    let client = quick_client(Credentials::none());
    let call = ServiceCall::get(&format!("{}/arcgis/rest/services/World/MapServer", bench.sandbox.url())).expect("a call");
    let failure = client.json(&call).await.expect_err("refused");
    assert_eq!((failure.owner, failure.kind), (FailureOwner::Source, FailureKind::InvalidAnswer), "{failure}");
    assert!(!format!("{failure:?}").contains("hunter2"), "{failure:?}");
    assert!(!bench.sandbox.requests().iter().any(|r| r.path == "/elsewhere"));
}

#[tokio::test]
async fn a_job_that_goes_on_without_the_secrets_of_its_map_says_so_and_with_them_it_ends_well() {
    for supplied in [true, false] {
        let bench = Bench::with(with_key(), |_| Credentials::none()).await;
        bench.sandbox.fault(Fault::always("fieldwork/featureserver/createreplica", FaultAction::Job(JobFault::Stuck)));
        let (job, map) = keyed_job(&bench, FIELD_MAP).await;
        stop_when(&job, |m| m.subject.id == "borders" && m.state == ExportState::Succeeded).await;
        bench.sandbox.heal();
        bench.sandbox.unstick();
        let again = GenerateOfflineMapJob::resume(&bench.engine, bench.destination()).await.expect("a job");
        assert!(again.layers_without_secrets().contains(&"Borders".to_owned()), "{:?}", again.layers_without_secrets());
        assert_eq!(again.portal_item(), Some((bench.sandbox.portal_url().as_str(), FIELD_MAP)));
        let again = if supplied { again.with_secrets_of(&map) } else { again };
        assert_eq!(again.id(), job.id());
        assert_eq!(again.layers_without_secrets().is_empty(), supplied);
        let before = bench.sandbox.requests().len();
        let result = run_to_end(&again).await.0.expect("a package");
        assert_nowhere_below(&result.package, KEY);
        assert!(result.layers.iter().any(|l| l.id == "borders" && l.state == ExportState::Succeeded), "what is done stays");
        if supplied {
            assert!(!result.has_errors(), "{:?}", result.layers);
            continue;
        }
        let failed = result.layers.iter().find(|l| l.id == "countries").and_then(|l| l.failure.clone()).expect("a failure");
        assert_eq!(failed.owner, FailureOwner::Credentials, "{failed}");
        assert!(failed.message.contains("`apiKey`") && failed.message.contains("--web-map"), "{failed}");
        assert!(bench.sandbox.requests().iter().skip(before).all(|r| !r.path.ends_with("createReplica")));
        // The package is completed once the map is at hand.
        let completed = GenerateOfflineMapJob::complete(&bench.engine, bench.destination()).await.expect("a job");
        let result = run_to_end(&completed.with_secrets_of(&map)).await.0.expect("a package");
        assert!(!result.has_errors(), "{:?}", result.layers);
        assert_nowhere_below(&result.package, KEY);
    }
}

#[tokio::test]
async fn an_answer_that_repeats_a_secret_in_a_url_sends_it_to_no_other_host() {
    let bench = Bench::with(SandboxOptions { secured: true, ..with_key() }, |sandbox| {
        Credentials::token(sandbox.token()).for_url(sandbox.url()).expect("a url")
    })
    .await;
    let elsewhere = Sandbox::start(SandboxOptions::default()).await.expect("a sandbox");
    let (job, _) = keyed_job(&bench, FIELD_MAP).await;
    let token = bench.sandbox.requests().iter().find_map(|r| r.parameters.get("token").cloned()).expect("a token");
    let at = format!(
        "{}/arcgis/rest/services/World/MapServer?x={token}&v=1&apiKey={}",
        elsewhere.url(),
        "layer-key%2B%2F0123456789"
    );
    bench.sandbox.fault(Fault::always("world/mapserver", FaultAction::Redirect(at.clone())));
    let status = json!({"statusUrl": at.replace("World/MapServer", "Reference/FeatureServer/jobs/1")});
    elsewhere.fault(Fault::always("reference/featureserver/jobs", FaultAction::Body(json!({"status": "Failed"}))));
    bench.sandbox.fault(Fault::always("fieldwork/featureserver/createreplica", FaultAction::Body(status)));
    run_to_end(&job).await.0.expect("a package");
    let seen = elsewhere.requests();
    let at = |path: &str| seen.iter().find(|r| r.path.ends_with(path));
    assert!(at("World/MapServer").is_none(), "a redirect that repeats a secret is not followed: {seen:?}");
    let status = at("Reference/FeatureServer/jobs/1").expect("the status url is asked");
    assert_eq!(status.parameters.get("v").map(String::as_str), Some("1"), "the rest of the query stays: {seen:?}");
    assert!(!seen.iter().any(|r| r.has_token || r.parameters.values().any(|v| v == &token || v == KEY)), "{seen:?}");
}
