//! What is always true of offmap: a test for each line, by its name.

use crate::support::{Bench, area, files_below, holds, run_scripted, run_to_end};
use offmap::arcgis::Credentials;
use offmap::packager::verify;
use offmap::testing::{Act, Script};
use offmap::{ExportState, FailureOwner, SubjectKind};
use offmap_sandbox::{
    CLIENT_ID, CLIENT_SECRET, FIELD_MAP, Fault, FaultAction, HOSTED_MAP, JobFault, PASSWORD, SandboxOptions, USER,
};
use serde_json::Value;
use std::time::{Duration, Instant};

#[tokio::test]
async fn the_destination_is_absent_or_whole_and_verified_never_half() {
    // Cancelled at every message of the job's story, one after another; `run_scripted` covers the failures.
    let mut at = 0;
    loop {
        let engine = crate::support::scripted_engine();
        let dir = offmap_sandbox::tempdir().expect("a directory");
        let destination = dir.path().join("p");
        let layers = [("a", Script { delay_ms: 40, ..Script::of(Act::Succeed) }), ("b", Script::of(Act::Succeed))];
        let task = crate::support::scripted_task(&engine, &layers);
        let parameters = offmap::GenerateOfflineMapParameters::new(area());
        let job = task.generate_offline_map(parameters, Default::default(), &destination);
        let mut status = job.status();
        job.start();
        let mut seen = 0;
        while let Some(message) = status.next().await {
            let whole = !destination.exists() || verify(&destination).is_ok_and(|v| v.ok && v.by_manifest);
            assert!(whole, "half a package at {message:?}");
            if seen == at {
                job.cancel();
            }
            seen += 1;
        }
        match job.result().await {
            Ok(_) => assert!(verify(&destination).expect("verifies").ok),
            Err(error) => {
                assert!(error.failure.is_cancelled(), "{error}");
                assert!(!destination.exists());
            }
        }
        crate::support::no_one_left(&engine).await;
        at += 1;
        if at > seen {
            break;
        }
    }
    assert!(at > 8, "the story has {at} messages");
}

#[tokio::test]
async fn nothing_planned_is_missing_without_a_failure_that_names_it() {
    let bench = Bench::new().await;
    // The replica of one service is damaged on its way, the tiles of another export fail.
    bench
        .sandbox
        .fault(Fault::always("streets/vectortileserver/exporttiles", FaultAction::Job(JobFault::Failed("no space".into()))));
    bench.sandbox.fault(Fault::always(".geodatabase", FaultAction::Cut(5000)));
    let job = bench.job(FIELD_MAP, |_| {}).await;
    let result = run_to_end(&job).await.0.expect("a package");
    let planned: Vec<String> = bench.task(FIELD_MAP).await.source().web_map.layers().iter().map(|l| l.id.clone()).collect();
    assert_eq!(result.layers.iter().map(|l| l.id.clone()).collect::<Vec<_>>(), planned, "every layer has an outcome");
    for layer in &result.layers {
        match (&layer.failure, layer.state) {
            (None, ExportState::Succeeded) => {
                assert!(layer.contents.got > 0 && layer.contents.planned.is_some(), "{layer:?}")
            }
            (Some(failure), ExportState::Failed) => {
                assert_eq!(failure.layer.as_deref(), Some(layer.id.as_str()));
                assert_eq!(failure.owner, FailureOwner::Source, "{failure}");
            }
            other => panic!("{other:?} of {}", layer.id),
        }
    }
    let failed: Vec<_> = result.layers.iter().filter(|l| l.is_error()).map(|l| l.id.as_str()).collect();
    assert_eq!(failed, ["countries", "borders", "places", "streets", "inspections", "measurements"]);
    assert_eq!(
        bench.sandbox.replicas("Fieldwork") + bench.sandbox.replicas("Reference"),
        0,
        "replicas nobody uses are gone"
    );
}

#[tokio::test]
async fn no_token_outside_the_request_it_was_made_for() {
    for (item, kind) in [(FIELD_MAP, "user"), (HOSTED_MAP, "application"), (HOSTED_MAP, "token")] {
        let options = SandboxOptions { secured: true, ..SandboxOptions::default() };
        let bench = Bench::with(options, |sandbox| match kind {
            "user" => {
                Credentials::user(&sandbox.portal_url(), USER, PASSWORD, "https://field.example").expect("credentials")
            }
            "application" => Credentials::application(&sandbox.portal_url(), CLIENT_ID, CLIENT_SECRET).expect("credentials"),
            _ => Credentials::token(sandbox.token()).for_url(sandbox.url()).expect("a url"),
        })
        .await;
        // A result that leads to another host, a redirect to another host, and an error that repeats what was asked.
        let elsewhere = format!("{}/presigned/nothing?sig=x", bench.sandbox.storage_url());
        bench.sandbox.fault(Fault::times("info/thumbnail", 1, FaultAction::Redirect(elsewhere)));
        let job = bench.job(item, |_| {}).await;
        let (result, messages) = run_to_end(&job).await;
        let result = result.expect("a package");
        assert!(!result.has_errors(), "{:?}", result.layers);
        let storage = bench.sandbox.storage_url().split("://").nth(1).expect("a host").to_owned();
        let requests = bench.sandbox.requests();
        let abroad: Vec<_> = requests.iter().filter(|r| r.host == storage).collect();
        assert!(!abroad.is_empty(), "some request went to the other host");
        assert!(abroad.iter().all(|r| !r.has_token), "{abroad:?}");
        let tokens: std::collections::BTreeSet<String> =
            requests.iter().filter_map(|r| r.parameters.get("token").cloned()).collect();
        assert!(!tokens.is_empty());
        let told = format!("{messages:?} {result:?}");
        assert!(!tokens.iter().any(|t| told.contains(t)), "a token is in a message or the result");
        for file in files_below(&result.package) {
            let bytes = std::fs::read(&file).expect("reads");
            for token in &tokens {
                let found = holds(&bytes, token);
                assert!(!found, "a token is in {}", file.display());
            }
        }
    }
}

#[tokio::test]
async fn cancel_is_quiet_within_a_second_and_leaves_nothing_on_the_services() {
    let bench = Bench::new().await;
    bench.sandbox.fault(Fault::always("exporttiles", FaultAction::Job(JobFault::Stuck)));
    let job = bench.job(FIELD_MAP, |_| {}).await;
    let mut status = job.status();
    job.start();
    let mut replicas = 0;
    let mut cancelled = None;
    while let Some(message) = status.next().await {
        let geodatabase = ["countries", "borders"].contains(&message.subject.id.as_str());
        replicas += u32::from(geodatabase && message.state == ExportState::Succeeded);
        if replicas == 2 && cancelled.is_none() {
            assert_eq!(bench.sandbox.replicas("Fieldwork") + bench.sandbox.replicas("Reference"), 2);
            cancelled = Some(Instant::now());
            job.cancel();
        }
    }
    let error = job.result().await.expect_err("cancelled");
    assert!(error.failure.is_cancelled());
    let took = cancelled.expect("it came to the cancel").elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    let after = bench.sandbox.requests().len();
    assert_eq!(bench.sandbox.replicas("Fieldwork") + bench.sandbox.replicas("Reference"), 0, "replicas are unregistered");
    assert_eq!(bench.sandbox.cancelled_jobs(), 2, "both export jobs are cancelled on the service");
    bench.engine.shutdown().await.expect("shuts down");
    assert_eq!(bench.sandbox.requests().len(), after, "no request after the end");
    assert!(!bench.destination().exists());
}

#[tokio::test]
async fn the_web_map_s_unknown_keys_survive_into_the_offline_map() {
    let bench = Bench::new().await;
    let result = bench.take(FIELD_MAP).await;
    let online = bench.task(FIELD_MAP).await.source().web_map.clone();
    let package = offmap::packager::MobileMapPackage::open(&result.package).expect("opens");
    let offline = &package.maps()[0].map;
    let changed = ["version", "authoringApp", "authoringAppVersion", "initialState", "referenceScale"];
    survives(&Value::Object(online.json().clone()), &Value::Object(offline.json().clone()), "", &changed);
    assert_eq!(offline.json()["offmapSandbox"]["kept"][1], "unknown");
}

/// Every member of `before` is in `after` with the same value, but for the members that the offline map changes.
fn survives(before: &Value, after: &Value, at: &str, changed: &[&str]) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => {
            for (key, value) in before.iter().filter(|(key, _)| !changed.contains(&key.as_str())) {
                let kept = after.get(key).unwrap_or_else(|| panic!("{at}/{key} is lost"));
                survives(value, kept, &format!("{at}/{key}"), changed);
            }
        }
        (Value::Array(before), Value::Array(after)) => {
            assert_eq!(before.len(), after.len(), "{at}");
            before.iter().zip(after).enumerate().for_each(|(i, (b, a))| survives(b, a, &format!("{at}/{i}"), changed));
        }
        (before, after) => assert_eq!(before, after, "{at}"),
    }
}

#[tokio::test]
async fn a_scripted_job_says_what_the_package_holds() {
    let ended = run_scripted(&[("a", Script::of(Act::Succeed))], true).await;
    assert!(ended.messages.iter().any(|m| m.subject.kind == SubjectKind::Package && m.state == ExportState::Succeeded));
}
