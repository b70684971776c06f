//! What happens to a job of the queue at an unlucky moment: nothing is stuck, lost or taken away.

use crate::queue_bench::{Hands, Service, builder, eventually, order, until};
use offmap::packager::MobileMapPackager;
use offmap::testing::Act;
use offmap::{JobFilter, JobState, Packager, RetryPolicy};
use std::time::{Duration, SystemTime};

const HOUR: Duration = Duration::from_hours(1);

#[tokio::test]
async fn a_job_whose_wait_is_over_before_it_begins_is_tried_again() {
    let (dir, service, clock) = (offmap_sandbox::tempdir().expect("a directory"), Service::default(), Hands::default());
    let engine = builder(dir.path(), &service).clock(clock.clone()).start().expect("starts");
    let retry = RetryPolicy { attempts: 3, first_wait: Duration::ZERO, ..RetryPolicy::default() };
    let job = engine.submit(order(&[("a", Act::Unreachable)]).retry(retry)).await.expect("is taken");
    let ended = tokio::time::timeout(Duration::from_secs(30), job.result()).await.expect("it is not stuck");
    ended.expect_err("it stays away");
    assert_eq!(job.snapshot().await.expect("a job").attempts, 3);
    engine.shutdown().await.expect("shuts down");
}

#[tokio::test]
async fn a_job_whose_time_comes_while_there_is_no_engine_goes_on_with_the_next_one() {
    let (dir, service, clock) = (offmap_sandbox::tempdir().expect("a directory"), Service::default(), Hands::default());
    let engine = builder(dir.path(), &service).clock(clock.clone()).start().expect("starts");
    let retry = RetryPolicy { attempts: 2, first_wait: HOUR, ..RetryPolicy::default() };
    let job = engine.submit(order(&[("a", Act::Unreachable)]).retry(retry)).await.expect("is taken");
    until(&job, JobState::Waiting).await;
    engine.shutdown().await.expect("shuts down");
    clock.advance(2 * HOUR);
    let engine = builder(dir.path(), &service).clock(clock).start().expect("starts");
    let job = engine.job(job.id()).await.expect("is there");
    let ended = tokio::time::timeout(Duration::from_secs(30), job.result()).await.expect("it is not stuck");
    ended.expect_err("it stays away");
    assert_eq!(job.snapshot().await.expect("a job").attempts, 2);
    engine.shutdown().await.expect("shuts down");
}

#[tokio::test]
async fn a_retry_takes_no_unique_key_away_from_a_job_that_lives() {
    let (dir, service) = (offmap_sandbox::tempdir().expect("a directory"), Service::default());
    let engine = builder(dir.path(), &service).start().expect("starts");
    service.lets("a", Act::Fail);
    let keyed = || order(&[("a", Act::Succeed)]).unique_key("k");
    let first = engine.submit(keyed()).await.expect("is taken");
    first.result().await.expect_err("fails");
    service.lets("a", Act::Hang);
    let second = engine.submit(keyed()).await.expect("is taken");
    assert_ne!(first.id(), second.id());
    let refused = first.retry().await.expect_err("the key is another job's");
    assert!(refused.message.contains(second.id()) && refused.message.contains("`k`"), "{refused}");
    assert_eq!(first.snapshot().await.expect("a job").state, JobState::Failed);
    assert_eq!(engine.submit(keyed()).await.expect("is known").id(), second.id());
    second.cancel().await.expect("is cancelled");
    first.retry().await.expect("runs again");
    assert_eq!(engine.submit(keyed()).await.expect("is known").id(), first.id());
    engine.shutdown().await.expect("shuts down");
}

#[tokio::test]
async fn a_list_says_of_the_jobs_that_wait_for_their_turn_how_many_are_before_them() {
    let (dir, service, clock) = (offmap_sandbox::tempdir().expect("a directory"), Service::default(), Hands::default());
    let engine = builder(dir.path(), &service).clock(clock.clone()).start().expect("starts");
    let hang = || order(&[("a", Act::Hang)]);
    let first = engine.submit(hang()).await.expect("is taken");
    until(&first, JobState::Running).await;
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_000) + HOUR;
    let mut jobs = vec![first];
    for order in [hang(), hang().priority(5), hang().not_before(time).priority(9), hang().tenant("other")] {
        jobs.push(engine.submit(order).await.expect("is taken"));
    }
    let positions = async || {
        let listed = engine.jobs(&JobFilter::default(), None, 10).await.expect("a list").jobs;
        let mut positions = Vec::new();
        for job in &jobs {
            let snapshot = job.snapshot().await.expect("a job");
            let listed = listed.iter().find(|l| l.id == job.id()).expect("is listed");
            assert_eq!((listed.state, listed.queue_position), (snapshot.state, snapshot.queue_position));
            positions.push(snapshot.queue_position);
        }
        positions
    };
    assert_eq!(positions().await, [None, Some(1), Some(0), None, Some(0)], "one runs, and one is not due yet");
    clock.advance(HOUR);
    eventually("its time has come", || engine.stats().queued == 4).await;
    until(&jobs[3], JobState::Queued).await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while jobs[3].snapshot().await.expect("a job").queue_position.is_none() {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    assert_eq!(positions().await, [None, Some(2), Some(1), Some(0), Some(0)]);
    engine.shutdown().await.expect("shuts down");
}

#[tokio::test]
async fn an_order_that_cannot_work_is_refused_when_it_is_submitted() {
    let (dir, service) = (offmap_sandbox::tempdir().expect("a directory"), Service::default());
    let engine = builder(dir.path(), &service).start().expect("starts");
    let hang = || order(&[("a", Act::Hang)]);
    let retry = RetryPolicy { attempts: 0, ..RetryPolicy::default() };
    let refused = engine.submit(hang().retry(retry)).await.expect_err("is never tried");
    assert!(refused.message.contains("0 times"), "{refused}");
    let refused = engine.submit(hang().label("", "x")).await.expect_err("has no name");
    assert!(refused.message.contains("empty key"), "{refused}");
    let place = dir.path().join("p");
    let placed = || hang().destination(&place).unique_key("k");
    let job = engine.submit(placed()).await.expect("there is nothing");
    until(&job, JobState::Running).await;
    // It has looked at its place, which it would refuse below.
    eventually("its export hangs", || service.registered() == 1).await;
    std::fs::create_dir(&place).expect("makes");
    std::fs::write(place.join("mine"), "x").expect("writes");
    assert_eq!(engine.submit(placed()).await.expect("it lives").id(), job.id(), "its own package is no obstacle");
    let refused = engine.submit(hang().destination(&place)).await.expect_err("is not empty");
    let expected = MobileMapPackager.check_destination(&place).expect_err("is not empty");
    assert_eq!((refused.kind, refused.message), (expected.kind, expected.message));
    assert_eq!(engine.stats().jobs, 1);
    engine.shutdown().await.expect("shuts down");
}
