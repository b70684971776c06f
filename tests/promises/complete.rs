//! Completing a package: what is there is never lost, whatever the services, the credentials and the caller say meanwhile.

use crate::support::{Bench, area, files_below, run_to_end, scripted_engine};
use offmap::arcgis::ServiceCall;
use offmap::packager::{MobileMapPackage, verify};
use offmap::testing::{Act, Script, scripted_map};
use offmap::{
    Engine, ExportState, FailureKind, FailureOwner, GenerateOfflineMapJob, GenerateOfflineMapParameterOverrides,
    GenerateOfflineMapParameters, OfflineMapParametersKey, OfflineMapSource, OfflineMapTask, OnlineOnlyServicesOption,
    WebMap,
};
use offmap_sandbox::{FIELD_MAP, Fault, FaultAction, JobFault, MIXED_MAP};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Every file below a directory with all of its bytes.
fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    files_below(dir).into_iter().map(|f| (f.clone(), std::fs::read(f).expect("reads"))).collect()
}

/// What lies in a directory.
fn beside(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(dir).expect("lists").map(|e| e.expect("entry").path()).collect();
    paths.sort();
    paths
}

fn failed_job() -> FaultAction {
    FaultAction::Job(JobFault::Failed("Error in creating runtime geodatabase.".into()))
}

fn says(code: u32, message: &str) -> FaultAction {
    FaultAction::Body(json!({"error": {"code": code, "message": message, "details": []}}))
}

/// A package of the field map without its borders.
async fn without_borders() -> Bench {
    let bench = Bench::new().await;
    bench.sandbox.fault(Fault::always("reference/featureserver/createreplica", failed_job()));
    let first = bench.take(FIELD_MAP).await;
    assert_eq!(first.layer_errors().map(|l| l.id.as_str()).collect::<Vec<_>>(), ["borders"]);
    bench.sandbox.heal();
    bench
}

#[tokio::test]
async fn a_package_stays_byte_for_byte_as_it_is_when_nothing_new_can_be_fetched() {
    let rows = [
        ("/rest/services/", FaultAction::Reset, FailureOwner::Network),
        ("/rest/services/", says(499, "Token Required"), FailureOwner::Credentials),
        ("/rest/services/", says(498, "Invalid token."), FailureOwner::Credentials),
        (
            "reference/featureserver",
            says(403, "You do not have permissions to access this resource."),
            FailureOwner::Credentials,
        ),
        ("reference/featureserver/createreplica", says(499, "Token Required"), FailureOwner::Credentials),
    ];
    let bench = without_borders().await;
    let before = contents(&bench.destination());
    for (path, action, owner) in rows {
        bench.sandbox.fault(Fault::always(path, action));
        let job = GenerateOfflineMapJob::complete(&bench.engine, bench.destination()).await.expect("a job");
        let error = run_to_end(&job).await.0.expect_err("nothing new");
        assert_eq!(error.failure.owner, owner, "{path}: {error:?}");
        assert!(error.failure.message.contains("stays as it is"), "{error}");
        assert_eq!(contents(&bench.destination()), before, "{path}");
        assert_eq!(beside(bench.dir.path()), [bench.destination()], "{path}");
        bench.sandbox.heal();
    }
}

#[tokio::test]
async fn what_succeeded_is_carried_over_without_asking_its_services() {
    let bench = without_borders().await;
    let before =
        MobileMapPackage::open(&bench.destination()).expect("opens").manifest().expect("one").expect("good").clone();
    for gone in ["fieldwork/featureserver", "mapserver", "vectortileserver"] {
        bench.sandbox.fault(Fault::always(gone, FaultAction::Reset));
    }
    let asked = bench.sandbox.requests().len();
    let job = GenerateOfflineMapJob::complete(&bench.engine, bench.destination()).await.expect("a job");
    let result = run_to_end(&job).await.0.expect("a package");
    assert!(!result.has_errors(), "{:?}", result.layers);
    let requests = bench.sandbox.requests();
    let strange: Vec<_> = requests[asked..].iter().filter(|r| !r.path.contains("Reference")).map(|r| &r.path).collect();
    assert!(!strange.iter().any(|p| p.contains("/services/")), "{strange:?}");
    let after = MobileMapPackage::open(&bench.destination()).expect("opens").manifest().expect("one").expect("good").clone();
    assert!(after.complete && verify(&bench.destination()).expect("verifies").ok);
    for (old, new) in before.layers.iter().zip(&after.layers) {
        assert_eq!(old.id, new.id);
        if old.state == ExportState::Succeeded {
            let mut old = old.clone();
            old.file.clone_from(&new.file);
            assert_eq!(old, *new, "all that the manifest says of a carried layer stays");
        }
    }
    let sizes = |m: &offmap::packager::manifest::Manifest| -> Vec<(String, u64)> {
        m.layers.iter().filter(|l| l.id != "borders").map(|l| (l.id.clone(), l.contents.got)).collect()
    };
    assert_eq!(sizes(&before), sizes(&after));
}

/// Two layers of one scripted service and one of another, as a package in which `b` failed; `b` would succeed now.
async fn half_a_service(
    engine: &Engine,
    destination: &Path,
    change: impl FnOnce(&mut GenerateOfflineMapParameters),
    overrides: GenerateOfflineMapParameterOverrides,
) {
    let script = |act| Script { act, items: 10, delay_ms: 0 };
    let map = scripted_map([("a", script(Act::Succeed)), ("b", script(Act::Short)), ("c", script(Act::Succeed))]);
    let mut map = Value::Object(map.json().clone());
    map["operationalLayers"][1]["url"] = map["operationalLayers"][0]["url"].clone();
    let map = WebMap::from_value(map).expect("a map");
    let task = OfflineMapTask::new(engine, OfflineMapSource::from_web_map(map));
    let mut parameters = GenerateOfflineMapParameters::new(area());
    change(&mut parameters);
    let job = task.generate_offline_map(parameters, overrides, destination);
    let result = run_to_end(&job).await.0.expect("a package");
    let states: Vec<_> = result.layers.iter().map(|l| (l.id.as_str(), l.state)).collect();
    assert_eq!(states, [("a", ExportState::Succeeded), ("b", ExportState::Failed), ("c", ExportState::Succeeded)]);
}

/// Rewrites the job that a package was made by.
fn edit_job(destination: &Path, edit: impl FnOnce(&mut Value)) {
    let path = destination.join("offmap/job.json");
    let mut job: Value = serde_json::from_slice(&std::fs::read(&path).expect("reads")).expect("JSON");
    edit(&mut job);
    std::fs::write(&path, job.to_string()).expect("writes");
}

/// Lets a layer's script act otherwise.
fn set_act(job: &mut Value, layer: usize, act: &str) {
    let expression = &mut job["source"]["webMap"]["operationalLayers"][layer]["layerDefinition"]["definitionExpression"];
    let mut script: Value = serde_json::from_str(expression.as_str().expect("a script")).expect("JSON");
    script["act"] = json!(act);
    *expression = json!(script.to_string());
}

#[tokio::test]
async fn a_layer_that_failed_is_fetched_beside_the_layers_of_its_service_that_succeeded() {
    let (engine, dir) = (scripted_engine(), offmap_sandbox::tempdir().expect("a directory"));
    let destination = dir.path().join("package");
    half_a_service(&engine, &destination, |_| {}, Default::default()).await;
    let before = MobileMapPackage::open(&destination).expect("opens").manifest().expect("one").expect("good").clone();
    edit_job(&destination, |job| {
        set_act(job, 1, "succeed");
        // Asked again, these would be lost.
        set_act(job, 0, "fail");
        set_act(job, 2, "unreachable");
    });
    let job = GenerateOfflineMapJob::complete(&engine, &destination).await.expect("a job");
    let (result, messages) = run_to_end(&job).await;
    let result = result.expect("a package");
    assert!(!result.has_errors(), "{:?}", result.layers);
    assert!(verify(&destination).expect("verifies").ok);
    let after = MobileMapPackage::open(&destination).expect("opens").manifest().expect("one").expect("good").clone();
    let hash = |m: &offmap::packager::manifest::Manifest, id: &str| {
        let file = m.layers.iter().find(|l| l.id == id).and_then(|l| l.file.clone()).expect("a file");
        m.files.iter().find(|f| f.path == file).map(|f| f.sha256.clone())
    };
    assert_eq!((hash(&before, "a"), hash(&before, "c")), (hash(&after, "a"), hash(&after, "c")));
    for id in ["a", "b", "c"] {
        let ends = messages.iter().filter(|m| m.subject.id == id && m.state.is_terminal()).count();
        assert_eq!(ends, 1, "one terminal message for {id}");
    }
}

#[tokio::test]
async fn a_completing_job_that_stops_on_errors_leaves_the_package_as_it_is() {
    for act in ["short", "fail", "unreachable", "refuse", "panic"] {
        let (engine, dir) = (scripted_engine(), offmap_sandbox::tempdir().expect("a directory"));
        let destination = dir.path().join("package");
        half_a_service(&engine, &destination, |_| {}, Default::default()).await;
        edit_job(&destination, |job| {
            set_act(job, 1, act);
            job["parameters"]["continueOnErrors"] = json!(false);
        });
        let before = contents(&destination);
        let job = GenerateOfflineMapJob::complete(&engine, &destination).await.expect("a job");
        run_to_end(&job).await.0.expect_err("it stops on errors");
        assert_eq!(contents(&destination), before, "{act}");
        assert_eq!(beside(dir.path()), [&*destination], "{act}");
    }
}

#[tokio::test]
async fn overrides_of_a_service_hold_for_what_is_fetched_and_harm_nothing_that_is_there() {
    let (engine, dir) = (scripted_engine(), offmap_sandbox::tempdir().expect("a directory"));
    let destination = dir.path().join("package");
    let mut overrides = GenerateOfflineMapParameterOverrides::default();
    for url in ["https://scripted.invalid/a/Server", "https://scripted.invalid/c/Server"] {
        overrides.set(&OfflineMapParametersKey::new(url, "scriptedParameters"), &json!({})).expect("an override");
    }
    half_a_service(&engine, &destination, |_| {}, overrides).await;
    edit_job(&destination, |job| {
        set_act(job, 1, "succeed");
        set_act(job, 2, "unreachable");
    });
    let job = GenerateOfflineMapJob::complete(&engine, &destination).await.expect("a job");
    let result = run_to_end(&job).await.0.expect("a package");
    assert!(!result.has_errors(), "{:?}", result.layers);
}

#[tokio::test]
async fn a_package_is_never_replaced_by_one_that_holds_less() {
    let (engine, dir) = (scripted_engine(), offmap_sandbox::tempdir().expect("a directory"));
    let destination = dir.path().join("package");
    half_a_service(&engine, &destination, |_| {}, Default::default()).await;
    // The job that is written in the package knows nothing of `c`.
    edit_job(&destination, |job| {
        set_act(job, 1, "succeed");
        job["source"]["webMap"]["operationalLayers"].as_array_mut().expect("a list").remove(2);
    });
    let before = contents(&destination);
    let job = GenerateOfflineMapJob::complete(&engine, &destination).await.expect("a job");
    let error = run_to_end(&job).await.0.expect_err("it would hold less");
    assert!(error.failure.message.contains("\"c\"") && error.failure.message.contains("stays as it is"), "{error}");
    assert_eq!(contents(&destination), before);
    assert_eq!(beside(dir.path()), [&*destination]);
}

#[tokio::test]
async fn a_changed_file_stops_the_completing_and_one_that_is_gone_is_fetched_again() {
    let (engine, dir) = (scripted_engine(), offmap_sandbox::tempdir().expect("a directory"));
    let destination = dir.path().join("package");
    half_a_service(&engine, &destination, |_| {}, Default::default()).await;
    let manifest = MobileMapPackage::open(&destination).expect("opens").manifest().expect("one").expect("good").clone();
    let file = manifest.layers.iter().find(|l| l.id == "c").and_then(|l| l.file.clone()).expect("a file");
    let path = destination.join(&file);
    let damaged = std::fs::read_to_string(&path).expect("reads").replace("10", "11");
    std::fs::write(&path, damaged).expect("writes");
    edit_job(&destination, |job| set_act(job, 1, "succeed"));
    // What was changed may be somebody's edits: nothing is touched.
    let before = contents(&destination);
    let job = GenerateOfflineMapJob::complete(&engine, &destination).await.expect("a job");
    let failure = run_to_end(&job).await.0.expect_err("is refused").failure;
    assert!(failure.message.contains("was changed since it was made") && failure.message.contains(&file), "{failure}");
    assert_eq!(contents(&destination), before);
    let added = destination.join("p13/notes.txt");
    std::fs::write(&added, "mine").expect("writes");
    std::fs::remove_file(&path).expect("removes");
    let job = GenerateOfflineMapJob::complete(&engine, &destination).await.expect("a job");
    let failure = run_to_end(&job).await.0.expect_err("is refused").failure;
    assert!(failure.message.contains("notes.txt was added") && added.exists(), "{failure}");
    // A file that is gone is fetched again.
    std::fs::remove_file(&added).expect("removes");
    let job = GenerateOfflineMapJob::complete(&engine, &destination).await.expect("a job");
    let result = run_to_end(&job).await.0.expect("a package");
    assert!(!result.has_errors() && verify(&destination).expect("verifies").ok, "{:?}", result.layers);
    let text = std::fs::read_to_string(
        destination.join(
            MobileMapPackage::open(&destination)
                .expect("opens")
                .manifest()
                .expect("one")
                .expect("good")
                .layers
                .iter()
                .find(|l| l.id == "c")
                .and_then(|l| l.file.clone())
                .expect("a file"),
        ),
    );
    assert!(text.expect("reads").contains("10"));
}

#[tokio::test]
async fn a_completing_job_that_was_interrupted_goes_on_with_all_that_it_carries() {
    let bench = without_borders().await;
    bench.sandbox.fault(Fault::always("reference/featureserver/createreplica", FaultAction::Job(JobFault::Stuck)));
    let job = GenerateOfflineMapJob::complete(&bench.engine, bench.destination()).await.expect("a job");
    let mut status = job.status();
    job.start();
    while let Some(message) = status.next().await {
        if message.subject.id == "borders" && message.message.as_deref() == Some("Pending") {
            job.cancel_and_keep();
        }
    }
    assert!(job.result().await.expect_err("cancelled").can_resume);
    bench.sandbox.heal();
    bench.sandbox.unstick();
    // The services of what is carried are away now.
    for gone in ["fieldwork/featureserver", "mapserver", "vectortileserver"] {
        bench.sandbox.fault(Fault::always(gone, FaultAction::Reset));
    }
    let again = GenerateOfflineMapJob::resume(&bench.engine, bench.destination()).await.expect("a job");
    let result = run_to_end(&again).await.0.expect("a package");
    assert!(!result.has_errors() && verify(&result.package).expect("verifies").ok, "{:?}", result.layers);
    assert_eq!(beside(bench.dir.path()), [bench.destination()]);
}

#[tokio::test]
async fn a_package_behind_a_link_is_not_completed() {
    let (engine, dir) = (scripted_engine(), offmap_sandbox::tempdir().expect("a directory"));
    let destination = dir.path().join("package");
    half_a_service(&engine, &destination, |_| {}, Default::default()).await;
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(&destination, &link).expect("links");
    for named in [link.clone(), dir.path().join("link/")] {
        let failure = GenerateOfflineMapJob::complete(&engine, &named).await.expect_err("a link");
        assert!(failure.message.contains("is a link") && failure.kind != FailureKind::Internal, "{failure}");
    }
    assert!(std::fs::symlink_metadata(&link).expect("is there").is_symlink());
}

#[tokio::test]
async fn data_that_changed_since_are_told_and_what_is_there_is_kept() {
    let bench = Bench::new().await;
    // The service counts otherwise than it gives: only this layer of its replica fails.
    bench.sandbox.fault(Fault::always("fieldwork/featureserver/0/query", FaultAction::Body(json!({"count": 999}))));
    let first = run_to_end(&bench.job(FIELD_MAP, |p| p.include_basemap = false).await).await.0.expect("a package");
    assert_eq!(first.layer_errors().map(|l| l.id.as_str()).collect::<Vec<_>>(), ["places"], "{:?}", first.layers);
    bench.sandbox.heal();
    let root = format!("{}/arcgis/rest/services/Fieldwork/FeatureServer/0", bench.sandbox.url());
    let mut edited = bench.client.json(&ServiceCall::get(&root).expect("a url")).await.expect("a description");
    edited["editingInfo"]["lastEditDate"] = json!(1_795_000_000_000_i64);
    bench.sandbox.fault(Fault::always("fieldwork/featureserver/0", FaultAction::Body(edited)));
    // The description is asked, the query is not broken by it.
    bench.sandbox.fault_first(Fault::always("fieldwork/featureserver/0/query", FaultAction::Delay(Duration::ZERO)));
    let job = GenerateOfflineMapJob::complete(&bench.engine, bench.destination()).await.expect("a job");
    let result = run_to_end(&job).await.0.expect("a package");
    assert!(!result.has_errors() && verify(&result.package).expect("verifies").ok, "{:?}", result.layers);
    let told =
        result.warnings.iter().any(|w| w.contains("changed since the package was made") && w.contains("\"Countries\""));
    assert!(told, "{:?}", result.warnings);
    let package = MobileMapPackage::open(&result.package).expect("opens");
    let file = |id: &str| {
        let layer = package.maps()[0].layers.iter().find(|l| l.id == id).expect("a layer");
        layer.data.as_ref().map(|d| d.path.clone()).expect("data")
    };
    assert!(file("places") != file("countries") && file("countries") == file("inspections"), "beside, and shared as before");
}

#[tokio::test]
async fn what_stays_online_does_so_though_its_service_is_away() {
    let bench = Bench::new().await;
    bench.sandbox.fault(Fault::always("reference/featureserver/createreplica", failed_job()));
    let online = |p: &mut GenerateOfflineMapParameters| {
        p.include_basemap = false;
        p.online_only_services_option = OnlineOnlyServicesOption::Include;
    };
    let first = run_to_end(&bench.job(MIXED_MAP, online).await).await.0.expect("a package");
    bench.sandbox.heal();
    let layers = |package: &Path| -> Vec<String> {
        let package = MobileMapPackage::open(package).expect("opens");
        package.maps()[0].layers.iter().map(|l| l.id.clone()).collect()
    };
    let before = layers(&first.package);
    assert!(before.contains(&"online".to_owned()) && !before.contains(&"borders".to_owned()), "{before:?}");
    bench.sandbox.fault(Fault::always("onlineonly", FaultAction::Reset));
    let job = GenerateOfflineMapJob::complete(&bench.engine, bench.destination()).await.expect("a job");
    let result = run_to_end(&job).await.0.expect("a package");
    assert!(!result.has_errors() && verify(&result.package).expect("verifies").ok, "{:?}", result.layers);
    let after = layers(&result.package);
    assert!(before.iter().all(|id| after.contains(id)) && after.contains(&"borders".to_owned()), "{after:?}");
}
