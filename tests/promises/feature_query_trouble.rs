//! Rows that come page by page while others edit, while the service lies, and while the program is stopped: nothing is missing that is not
//! named, nothing comes twice, and no page that is there is fetched again.

use crate::feature_query::{contents, job, map, take};
use crate::support::{Bench, run_to_end};
use offmap::exporters::feature_query::FeatureQueryParameters;
use offmap::{
    ExportState, FailureKind, FailureOwner, GenerateOfflineMapJob, GenerateOfflineMapParameterOverrides,
    GenerateOfflineMapResult, LayerNoteKind, LayerOutcome, OfflineMapParametersKey, StatusMessage,
};
use offmap_sandbox::{Colleague, Fault, FaultAction, LoggedRequest};
use serde_json::json;
use std::collections::BTreeMap;

fn layer<'a>(result: &'a GenerateOfflineMapResult, id: &str) -> &'a LayerOutcome {
    result.layers.iter().find(|l| l.id == id).expect("a layer")
}

/// The pages that were asked for, each by what was asked.
fn pages(requests: &[LoggedRequest]) -> BTreeMap<String, usize> {
    let mut all = BTreeMap::new();
    let is_page = |r: &&LoggedRequest| r.path.ends_with("/query") && r.parameters.contains_key("outfields");
    for request in requests.iter().filter(is_page) {
        let of = |key: &str| request.parameters.get(key).cloned().unwrap_or_default();
        let key = format!("{} {} {} {}", request.path, of("resultoffset"), of("objectids"), of("where"));
        *all.entry(key).or_default() += 1;
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_colleagues_delete_and_add_between_pages_cost_no_other_row() {
    for service in ["OpenData", "OpenDataPbf", "OpenDataOrdered", "OpenDataOld"] {
        let bench = Bench::new().await;
        let (plain, _) = contents(&take(&bench, map(&bench, service), &bench.dir.path().join("plain")).await.package);
        let places: Vec<i64> = plain.keys().filter(|(layer, _)| *layer == 0).map(|(_, id)| *id).collect();
        let (deleted, added) = (&places[..12], &places[places.len() - 3..]);
        bench.sandbox.withhold(service, 0, added);
        // One row goes before each page: all that stand behind it move up.
        bench.sandbox.colleague(Colleague {
            service: service.into(),
            before: format!("{}/featureserver/0/query", service.to_lowercase()),
            // The plan counts, the export counts and lists.
            skip: 3,
            at_a_time: 2,
            deletes: deleted.iter().copied().collect(),
            adds: added.iter().copied().collect(),
            ..Colleague::default()
        });
        let result = take(&bench, map(&bench, service), &bench.dir.path().join("edited")).await;
        let (rows, _) = contents(&result.package);
        let missing: Vec<i64> = places.iter().copied().filter(|id| !rows.contains_key(&(0, *id))).collect();
        assert!(missing.iter().all(|id| deleted.contains(id) || added.contains(id)), "{service}: {missing:?}");
        assert!(rows.iter().all(|(key, row)| plain.get(key) == Some(row)), "{service}");
        let places = layer(&result, "places");
        assert_eq!(places.contents.planned, Some(places.contents.got));
        let told = places.contents.notes.iter().any(|n| n.kind == LayerNoteKind::DataChanged);
        assert!(told && !missing.is_empty(), "{service}: {missing:?}, {:?}", places.contents.notes);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_knows_moments_gives_all_pages_of_one() {
    let bench = Bench::new().await;
    let service = "OpenDataMoments";
    let (plain, _) = contents(&take(&bench, map(&bench, service), &bench.dir.path().join("plain")).await.package);
    bench.sandbox.colleague(Colleague {
        service: service.into(),
        before: "opendatamoments/featureserver/0/query".into(),
        // The plan counts rows and attachments; the export counts now and at the moment.
        skip: 5,
        at_a_time: 1,
        deletes: (1..=20).collect(),
        ..Colleague::default()
    });
    let result = take(&bench, map(&bench, service), &bench.dir.path().join("edited")).await;
    let rows = contents(&result.package).0;
    assert_eq!(rows.keys().filter(|(l, _)| *l == 0).count(), plain.keys().filter(|(l, _)| *l == 0).count());
    // Attachments are asked for as they are now.
    let notes = &layer(&result, "places").contents.notes;
    assert!(notes.iter().all(|n| n.message.contains("attachments")), "{notes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_a_service_lists_and_never_sends_are_named_and_what_hangs_on_them_is_not_complete() {
    let bench = Bench::new().await;
    let job = job(&bench, map(&bench, "OpenDataWithheld"), Default::default(), &bench.destination());
    // Ids 3 and 5 are withheld of every layer; the inspections hang on the places, the measurements on the inspections.
    let error = run_to_end(&job).await.0.expect_err("no layer came");
    let failure = |id: &str| {
        let layer = error.layers.iter().find(|l| l.id == id).unwrap_or_else(|| panic!("{id}: {:?}", error.layers));
        layer.failure.clone().unwrap_or_else(|| panic!("{id}: {layer:?}"))
    };
    let places = failure("places");
    assert_eq!((places.owner, places.kind), (FailureOwner::Source, FailureKind::Incomplete));
    assert!(places.message.contains("it sends 48 and not 2 others") && places.message.contains("3, 5"), "{places}");
    let came = error.layers.iter().filter(|l| l.state == ExportState::Succeeded).collect::<Vec<_>>();
    assert!(came.is_empty(), "a table without the rows that it hangs on is not complete: {came:?}");
    assert!(!bench.destination().exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_counts_more_than_it_lists_is_caught_with_both_numbers() {
    let bench = Bench::new().await;
    let ids: Vec<i64> = (1..=100).collect();
    let list = json!({"objectIdFieldName": "OBJECTID", "objectIds": ids});
    for answer in [list, json!({"objectIdFieldName": "OBJECTID", "objectIds": null})] {
        bench.sandbox.heal();
        // Every question is answered with the list but for the counts, which come first.
        let at = "opendata/featureserver/0/query";
        bench.sandbox.fault(Fault::times(at, 3, FaultAction::Body(json!({"count": 4186}))));
        bench.sandbox.fault(Fault { skip: 0, ..Fault::always(at, FaultAction::Body(with_count(&answer))) });
        let to = bench.dir.path().join(format!("{}", answer["objectIds"].as_array().map_or(0, Vec::len)));
        let result = run_to_end(&job(&bench, map(&bench, "OpenData"), Default::default(), &to)).await.0.expect("a package");
        let failure = layer(&result, "places").failure.clone().expect("a failure");
        let listed = if answer["objectIds"].is_null() { "lists 0" } else { "lists 100" };
        assert!(failure.message.contains("counts 4186") && failure.message.contains(listed), "{failure}");
        assert_eq!((failure.owner, failure.kind), (FailureOwner::Source, FailureKind::Incomplete));
        assert_eq!(layer(&result, "countries").state, ExportState::Succeeded);
    }
}

/// An answer that is a list and a count at once.
fn with_count(answer: &serde_json::Value) -> serde_json::Value {
    let mut both = answer.clone();
    both["count"] = json!(4186);
    both
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_the_service_cannot_give_is_asked_for_in_halves() {
    let bench = Bench::new().await;
    let (plain, _) = contents(&take(&bench, map(&bench, "OpenData"), &bench.dir.path().join("plain")).await.package);
    let before = bench.sandbox.requests().len();
    // Too much to be read, and a failure of the service itself, for as long as the client bears it.
    let too_large = FaultAction::Body(json!({"features": vec![0; 600_000]}));
    let at = "opendata/featureserver/2/query";
    bench.sandbox.fault(Fault { skip: 3, ..Fault::times(at, 2, too_large) });
    let result = take(&bench, map(&bench, "OpenData"), &bench.dir.path().join("choking")).await;
    assert_eq!(contents(&result.package).0, plain);
    let requests = bench.sandbox.requests();
    let counts: Vec<&str> = requests[before..]
        .iter()
        .filter(|r| r.path.to_lowercase().contains("/2/query"))
        .filter_map(|r| r.parameters.get("resultrecordcount").map(String::as_str))
        .collect();
    // Pages run side by side: what is too large is one of 50 rows, or the last one of 34.
    assert!(counts.contains(&"50") && (counts.contains(&"25") || counts.contains(&"17")), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_stopped_goes_on_without_a_page_or_photo_that_is_there() {
    let bench = Bench::new().await;
    let plain = contents(&take(&bench, map(&bench, "OpenData"), &bench.dir.path().join("plain")).await.package);
    let before = bench.sandbox.requests().len();
    let first = job(&bench, map(&bench, "OpenData"), Default::default(), &bench.destination());
    let mut status = first.status();
    first.start();
    let mut stopped = false;
    while let Some(message) = status.next().await {
        let is_far = |m: &StatusMessage| m.progress.is_some_and(|p| p.completed >= 10);
        if !stopped && is_far(&message) {
            stopped = true;
            first.cancel_and_keep();
        }
    }
    assert!(stopped && first.result().await.is_err());
    let again = GenerateOfflineMapJob::resume(&bench.engine, bench.destination()).await.expect("a job");
    let result = run_to_end(&again).await.0.expect("a package");
    assert!(!result.has_errors(), "{:?}", result.layers);
    assert!(contents(&result.package) == plain, "the package is the one of a job that was never stopped");
    let requests = bench.sandbox.requests();
    let asked = pages(&requests[before..]);
    // What was under way when it was stopped is asked for again, at most one page for each that may run.
    let twice = asked.values().filter(|count| **count > 1).count();
    assert!(asked.len() >= 15 && twice <= bench.client.options().requests_per_host, "{twice} of {}", asked.len());
    let photos = requests[before..].iter().filter(|r| r.path.contains("/attachments/")).count();
    assert!(photos <= plain.1.len() + bench.client.options().requests_per_host, "{photos}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attachments_within_a_budget_come_smallest_first_and_the_others_are_named() {
    let bench = Bench::new().await;
    let service = format!("{}/arcgis/rest/services/OpenData/FeatureServer", bench.sandbox.url());
    let plan = {
        let task = offmap::OfflineMapTask::new(&bench.engine, map(&bench, "OpenData"));
        let area = offmap::AreaOfInterest::from_numbers(crate::feature_query::AREA).expect("an area");
        let mut parameters = task.default_parameters(area).expect("parameters");
        parameters.direct_download = offmap::DirectDownload::WhenNotExportable;
        parameters.return_layer_attachment_option = offmap::ReturnLayerAttachmentOption::AllLayers;
        task.plan(&parameters, &Default::default()).await.expect("a plan")
    };
    let planned = plan.tasks.iter().find(|t| t.exporter == "feature-query").expect("a task");
    let mut chosen: FeatureQueryParameters = serde_json::from_value(planned.parameters.clone()).expect("reads");
    let (_, all) = contents(&take(&bench, map(&bench, "OpenData"), &bench.dir.path().join("all")).await.package);
    let mut sizes: Vec<usize> = all.values().map(|(_, bytes)| bytes.len()).collect();
    sizes.sort_unstable();
    chosen.max_attachment_bytes = Some(sizes[..10].iter().sum::<usize>() as u64);
    let mut overrides = GenerateOfflineMapParameterOverrides::default();
    overrides.set(&OfflineMapParametersKey::new(&service, "featureQueryParameters"), &chosen).expect("sets");
    let job = job(&bench, map(&bench, "OpenData"), overrides, &bench.destination());
    let result = run_to_end(&job).await.0.expect("a package");
    let (_, some) = contents(&result.package);
    let mut came: Vec<usize> = some.values().map(|(_, bytes)| bytes.len()).collect();
    came.sort_unstable();
    assert_eq!(came, sizes[..10]);
    let notes = &layer(&result, "places").contents.notes;
    assert!(notes.iter().any(|n| n.kind == LayerNoteKind::Missing && n.message.contains("maxAttachmentBytes")), "{notes:?}");
}
