//! Services whose answers nobody can use as they are: what cannot be written or fetched costs itself, and it is told.

use crate::feature_query::{AREA, Attached, contents, job, map, take};
use crate::support::{Bench, run_to_end};
use offmap::{
    Allowance, AreaOfInterest, DirectDownload, ErrorBudget, ExportState, FailureKind, GenerateOfflineMapJob,
    GenerateOfflineMapResult, LayerNoteKind, LayerOutcome, OfflineMapTask, ReturnLayerAttachmentOption,
};
use offmap_sandbox::{Colleague, Fault, FaultAction};

fn layer<'a>(result: &'a GenerateOfflineMapResult, id: &str) -> &'a LayerOutcome {
    result.layers.iter().find(|l| l.id == id).expect("a layer")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_no_geodatabase_holds_comes_without_what_cannot_be_written() {
    let bench = Bench::new().await;
    let (plain, photos) = contents(&take(&bench, map(&bench, "OpenData"), &bench.dir.path().join("plain")).await.package);
    let job = job(&bench, map(&bench, "OpenDataOdd"), Default::default(), &bench.destination());
    let result = run_to_end(&job).await.0.expect("a package");
    assert!(result.layers.iter().all(|layer| layer.state == ExportState::Succeeded), "{:#?}", result.layers);
    let (rows, attached) = contents(&result.package);
    assert_eq!(rows.keys().collect::<Vec<_>>(), plain.keys().collect::<Vec<_>>(), "every row is there");
    for (key, row) in &rows {
        let is_odd = [3, 5].contains(&key.1);
        let before = plain.get(key).expect("the same rows");
        // A row that has neither has nothing odd.
        let is_as_it_was = !is_odd || before.1.is_none() && !before.0.contains_key("SEEN");
        assert_eq!(before == row, is_as_it_was, "{key:?}: {before:?} {row:?}");
        assert!(!is_odd || row.1.is_none(), "no shape: {key:?}");
        assert!(!is_odd || row.0.get("SEEN").is_none_or(|seen| seen == "NULL" || seen == "Null"), "{row:?}");
    }
    let notes = &layer(&result, "places").contents.notes;
    for words in ["2 shapes", "2 values of field `SEEN`", "row 3"] {
        assert!(notes.iter().any(|n| n.kind == LayerNoteKind::Missing && n.message.contains(words)), "{words}: {notes:?}");
    }
    // Lists without sizes that name each file twice.
    assert!(attached == photos, "{} attachments of {}", attached.len(), photos.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_service_states_and_refuses_is_not_asked_for_again() {
    let bench = Bench::new().await;
    let plain = contents(&take(&bench, map(&bench, "OpenData"), &bench.dir.path().join("plain")).await.package);
    let before = bench.sandbox.requests().len();
    let result = take(&bench, map(&bench, "OpenDataStated"), &bench.destination()).await;
    assert!(contents(&result.package) == plain);
    let requests = bench.sandbox.requests();
    let pages = requests[before..].iter().filter(|r| r.path.contains("/0/query") && r.parameters.contains_key("outfields"));
    let refused =
        pages.filter(|r| r.parameters.get("f").is_some_and(|f| f == "pbf") || r.parameters.contains_key("historicmoment"));
    // Pages that were under way when the first one was refused, each in all ways.
    let most = 3 * bench.client.options().requests_per_host;
    assert!((2..=most).contains(&refused.count()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn attachments_whose_ids_are_unique_in_their_rows_only_come_all() {
    let bench = Bench::new().await;
    let (_, photos) = contents(&take(&bench, map(&bench, "OpenData"), &bench.dir.path().join("plain")).await.package);
    let (_, attached) = contents(&take(&bench, map(&bench, "OpenDataFileIds"), &bench.destination()).await.package);
    assert!(photos.len() > 60);
    let sorted = |all: Attached| {
        let mut all: Vec<_> = all.into_values().collect();
        all.sort();
        all
    };
    assert!(sorted(attached) == sorted(photos), "each with its row and its bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_whose_attachments_are_never_listed_costs_only_them() {
    let bench = Bench::new().await;
    let (_, row) = a_photo(&bench).await;
    let list = format!("opendataold/featureserver/0/{row}/attachments");
    bench.sandbox.fault(Fault::always(&list, FaultAction::Status(500, String::new(), None)));
    let result = run_to_end(&job_with_budget(&bench, "OpenDataOld", Some(5))).await.0.expect("a package");
    let places = layer(&result, "places");
    assert_eq!(places.state, ExportState::Succeeded, "{:?}", places.failure);
    let missing = places.contents.missing_attachments.clone().expect("some are missing");
    assert!(missing.examples.contains(&format!("{row}/?")), "{missing:?}");
    let told = |n: &offmap::LayerNote| n.kind == LayerNoteKind::Missing && n.message.contains(&format!("row {row}"));
    assert!(places.contents.notes.iter().any(told), "{:?}", places.contents.notes);
    assert!(places.contents.attachments.is_some_and(|there| there > 10), "{:?}", places.contents);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_whose_attachments_are_never_listed_fails_its_layer_where_no_budget_allows_it() {
    let bench = Bench::new().await;
    let (_, row) = a_photo(&bench).await;
    let list = format!("opendataold/featureserver/0/{row}/attachments");
    bench.sandbox.fault(Fault::always(&list, FaultAction::Status(500, String::new(), None)));
    let result = run_to_end(&job_with_budget(&bench, "OpenDataOld", None)).await.0.expect("a package of the other layers");
    let failure = layer(&result, "places").failure.clone().expect("a failure");
    assert_eq!(failure.kind, FailureKind::ServiceError, "{failure}");
}

/// The path of some photo of the places, and the place.
async fn a_photo(bench: &Bench) -> (String, i64) {
    take(bench, map(bench, "OpenData"), &bench.dir.path().join("first")).await;
    let requests = bench.sandbox.requests();
    let of = |path: &str| {
        let (_, rest) = path.split_once("/FeatureServer/0/")?;
        let (row, _) = rest.split_once("/attachments/")?;
        Some((path.to_ascii_lowercase(), row.parse().ok()?))
    };
    // One whose path is not how another one begins.
    let is_begun = |path: &str| requests.iter().filter(|r| r.path.to_ascii_lowercase().starts_with(path)).count() > 1;
    let mut photos = requests.iter().filter_map(|request| of(&request.path));
    photos.find(|(path, _)| !is_begun(path)).expect("a photo")
}

fn with_budget(bench: &Bench, allowed: Option<u64>) -> GenerateOfflineMapJob {
    job_with_budget(bench, "OpenData", allowed)
}

fn job_with_budget(bench: &Bench, service: &str, allowed: Option<u64>) -> GenerateOfflineMapJob {
    let task = OfflineMapTask::new(&bench.engine, map(bench, service));
    let mut parameters = task.default_parameters(AreaOfInterest::from_numbers(AREA).expect("an area")).expect("parameters");
    parameters.direct_download = DirectDownload::WhenNotExportable;
    parameters.return_layer_attachment_option = ReturnLayerAttachmentOption::AllLayers;
    if let Some(count) = allowed {
        let missing_attachments = Some(Allowance::Count(count));
        let budget = ErrorBudget { missing_attachments, ..ErrorBudget::default() };
        parameters.error_budgets.insert("places".to_owned(), budget);
    }
    task.generate_offline_map(parameters, Default::default(), bench.destination())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attachment_that_never_comes_is_missing_as_far_as_the_budget_allows_it() {
    for status in [403, 500] {
        let bench = Bench::new().await;
        let (photo, _) = a_photo(&bench).await;
        bench.sandbox.fault(Fault::always(&photo, FaultAction::Status(status, String::new(), None)));
        let result = run_to_end(&with_budget(&bench, Some(1))).await.0.expect("a package");
        let places = layer(&result, "places");
        assert_eq!(places.state, ExportState::Succeeded, "{status}: {:?}", places.failure);
        let missing = places.contents.missing_attachments.clone().expect("one is missing");
        assert_eq!((missing.count, missing.examples.len()), (1, 1), "{status}");
        assert_eq!(places.contents.attachments, Some(missing.of - 1), "{status}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_attachment_that_never_comes_fails_its_layer_by_its_own_words_where_no_budget_allows_it() {
    let bench = Bench::new().await;
    let (photo, _) = a_photo(&bench).await;
    bench.sandbox.fault(Fault::always(&photo, FaultAction::Status(500, String::new(), None)));
    let result = run_to_end(&with_budget(&bench, None)).await.0.expect("a package of the other layers");
    let failure = layer(&result, "places").failure.clone().expect("a failure");
    assert_eq!(failure.kind, FailureKind::ServiceError, "{failure}");
    assert_eq!(layer(&result, "countries").state, ExportState::Succeeded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_is_deleted_before_its_photos_come_takes_only_them_with_it() {
    let bench = Bench::new().await;
    let (photo, row) = a_photo(&bench).await;
    bench.sandbox.colleague(Colleague {
        service: "OpenData".into(),
        before: photo,
        deletes: [row].into(),
        ..Colleague::default()
    });
    let result = run_to_end(&with_budget(&bench, None)).await.0.expect("a package");
    let places = layer(&result, "places");
    assert_eq!(places.state, ExportState::Succeeded, "{:?}", places.failure);
    let told =
        |n: &offmap::LayerNote| n.kind == LayerNoteKind::DataChanged && n.message.contains("attachments were deleted");
    assert!(places.contents.notes.iter().any(told), "{:?}", places.contents.notes);
    assert!(places.contents.missing_attachments.is_none());
}
