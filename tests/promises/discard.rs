//! What a job kept can be discarded, at any time: then it is rolled back on the services, too.

use crate::support::{Bench, files_below, run_to_end};
use offmap::{GenerateOfflineMapJob, Leftover};
use offmap_sandbox::{FIELD_MAP, Fault, FaultAction, JobFault, MIXED_MAP};
use std::time::Duration;

/// A job whose replicas are registered and whose tiles are being exported.
async fn got_going() -> (Bench, GenerateOfflineMapJob) {
    let bench = Bench::new().await;
    bench.sandbox.fault(Fault::always("exporttiles", FaultAction::Job(JobFault::Stuck)));
    let job = bench.job(FIELD_MAP, |_| {}).await;
    job.start();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    let begun = || {
        let asked = bench.sandbox.requests();
        ["World/MapServer", "Streets/VectorTileServer"]
            .iter()
            .all(|service| asked.iter().any(|r| r.path.contains(service) && r.path.contains("/jobs/")))
    };
    while bench.sandbox.replicas("Fieldwork") + bench.sandbox.replicas("Reference") < 2 || !begun() {
        assert!(tokio::time::Instant::now() < deadline, "the job does not get going");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    (bench, job)
}

fn registered(bench: &Bench) -> usize {
    bench.sandbox.replicas("Fieldwork") + bench.sandbox.replicas("Reference")
}

fn nothing_is_left(bench: &Bench, what: &str) {
    assert_eq!(registered(bench), 0, "{what}: replicas");
    assert_eq!(bench.sandbox.cancelled_jobs(), 2, "{what}: jobs");
    let left = files_below(bench.dir.path());
    assert!(left.is_empty(), "{what}: {left:?}");
}

#[tokio::test]
async fn a_cancel_that_discards_has_the_last_word_over_one_that_keeps() {
    // Said before, and said right after.
    for is_cancelled_first in [false, true] {
        let (bench, job) = got_going().await;
        match is_cancelled_first {
            true => job.cancel_and_keep(),
            false => job.keep_unfinished(),
        }
        job.cancel_and_discard();
        let error = job.result().await.expect_err("cancelled");
        assert!(error.failure.is_cancelled() && !error.can_resume, "{error:?}");
        nothing_is_left(&bench, &format!("cancelled first: {is_cancelled_first}"));
    }
}

#[tokio::test]
async fn what_a_cancel_kept_is_taken_back_when_it_is_discarded_later() {
    for is_other_process in [false, true] {
        let (bench, job) = got_going().await;
        job.cancel_and_keep();
        let error = job.result().await.expect_err("cancelled");
        assert!(error.failure.is_cancelled() && error.can_resume, "{error:?}");
        assert_eq!((registered(&bench), bench.sandbox.cancelled_jobs()), (2, 0), "kept on the services, too");
        let place = bench.destination();
        assert!(Leftover::find(&place).expect("finds").iter().any(|l| l.can_resume));
        let job = match is_other_process {
            true => {
                let other = offmap::with_defaults(&bench.client).expect("exporters").start().expect("starts");
                GenerateOfflineMapJob::resume(&other, &place).await.expect("a job")
            }
            false => job,
        };
        job.discard().await.expect("discards");
        nothing_is_left(&bench, &format!("other process: {is_other_process}"));
        job.discard().await.expect("once more changes nothing");
    }
}

#[tokio::test]
async fn discarding_takes_no_package_away() {
    let bench = Bench::new().await;
    let job = bench.job(MIXED_MAP, |_| {}).await;
    let (result, _) = run_to_end(&job).await;
    let package = result.expect("a package").package;
    let before = files_below(&package);
    job.discard().await.expect("discards");
    assert_eq!(files_below(&package), before);
    assert!(registered(&bench) > 0, "the replicas are the package's");
    // One that completes it has nothing of its own yet.
    let job = GenerateOfflineMapJob::complete(&bench.engine, &package).await.expect("a job");
    job.discard().await.expect("discards");
    assert_eq!(files_below(&package), before);
}
