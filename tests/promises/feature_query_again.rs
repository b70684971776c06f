//! Jobs of rows that are resumed after others edited: what came is of use as long as it belongs to the list that all is held to.

use crate::feature_query::{contents, job, map, take};
use crate::support::{Bench, files_below, run_to_end};
use offmap::{GenerateOfflineMapJob, GenerateOfflineMapResult, LayerNoteKind};
use offmap_sandbox::{Fault, FaultAction, LoggedRequest};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Begins a job, and stops it when all of its first layer is there: the list of the second one does not come.
async fn stopped(bench: &Bench) {
    let list = "opendata/featureserver/1/query?returnidsonly";
    bench.sandbox.fault(Fault::always(list, FaultAction::Delay(Duration::from_secs(3600))));
    let first = job(bench, map(bench, "OpenData"), Default::default(), &bench.destination());
    first.start();
    let is_it = |r: &LoggedRequest| r.path.ends_with("/1/query") && r.parameters.contains_key("returnidsonly");
    let deadline = Instant::now() + Duration::from_secs(60);
    while !bench.sandbox.requests().iter().any(is_it) {
        assert!(Instant::now() < deadline, "the list of the second layer is not asked for");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    first.cancel_and_keep();
    assert!(first.result().await.expect_err("cancelled").can_resume);
    bench.sandbox.heal();
}

async fn resumed(bench: &Bench) -> GenerateOfflineMapResult {
    let again = GenerateOfflineMapJob::resume(&bench.engine, bench.destination()).await.expect("a job");
    let result = run_to_end(&again).await.0.expect("a package");
    assert!(!result.has_errors(), "{:?}", result.layers);
    result
}

/// A file that the stopped job left.
fn left(bench: &Bench, name: &str) -> PathBuf {
    let is_it = |path: &PathBuf| path.file_name().is_some_and(|own| own == name);
    files_below(bench.dir.path()).into_iter().find(is_it).unwrap_or_else(|| panic!("{name} is left"))
}

/// Pages of places that were asked for.
fn pages(requests: &[LoggedRequest]) -> usize {
    let is_page = |r: &&LoggedRequest| r.path.ends_with("/0/query") && r.parameters.contains_key("returntruecurves");
    requests.iter().filter(is_page).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_is_made_anew_voids_the_pages_that_divided_the_old_one() {
    let bench = Bench::new().await;
    stopped(&bench).await;
    // All of places is there; its list is lost, and a row before them all is deleted.
    std::fs::remove_file(left(&bench, "0-ids")).expect("removes");
    left(&bench, "0-rows-00004");
    bench.sandbox.withhold("OpenData", 0, &[2]);
    let result = resumed(&bench).await;
    let fresh = take(&bench, map(&bench, "OpenData"), &bench.dir.path().join("fresh")).await;
    let (rows, fresh) = (contents(&result.package).0, contents(&fresh.package).0);
    let only = |a: &crate::feature_query::Rows, b: &crate::feature_query::Rows| {
        a.keys().filter(|key| key.0 == 0 && !b.contains_key(key)).copied().collect::<Vec<_>>()
    };
    assert_eq!((only(&rows, &fresh), only(&fresh, &rows)), (Vec::new(), Vec::new()), "none too many, none too few");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_layer_that_others_edit_is_gone_on_with_when_its_job_is_resumed() {
    let bench = Bench::new().await;
    stopped(&bench).await;
    left(&bench, "0-rows-00004");
    let before = bench.sandbox.requests().len();
    bench.sandbox.withhold("OpenData", 0, &[2]);
    let result = resumed(&bench).await;
    let requests = bench.sandbox.requests();
    assert_eq!(pages(&requests[before..]), 0, "no page of places is fetched again");
    let places = result.layers.iter().find(|l| l.id == "places").expect("a layer");
    assert_eq!(places.contents.planned, Some(places.contents.got));
    assert!(contents(&result.package).0.contains_key(&(0, 2)), "the row was there when it came");
    let told = |n: &offmap::LayerNote| n.kind == LayerNoteKind::DataChanged && n.message.contains("between the runs");
    assert!(places.contents.notes.iter().any(told), "{:?}", places.contents.notes);
}
