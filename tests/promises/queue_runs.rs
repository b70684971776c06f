//! What a run of a job holds, and what becomes of it where its host, its exporters or its process do not do their part.

use crate::queue_bench::{Hands, Host, Service, builder, eventually, order, parameters, until};
use offmap::testing::{Act, Script, scripted_map_of};
use offmap::{Engine, FailureOwner, JobFilter, JobState, OfflineMapSource, Order, Retention, RetryPolicy, WaitReason};
use std::time::Duration;

const HOUR: Duration = Duration::from_hours(1);

/// What comes to its end by itself.
async fn soon<T>(what: &str, work: impl Future<Output = T>) -> T {
    match tokio::time::timeout(Duration::from_secs(30), work).await {
        Ok(done) => done,
        Err(_) => panic!("{what}"),
    }
}

async fn listed(engine: &Engine) -> usize {
    engine.jobs(&JobFilter::default(), None, 9).await.expect("lists").jobs.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_job_gives_the_permit_of_its_export_back() {
    let (dir, service, clock) = (offmap_sandbox::tempdir().expect("a directory"), Service::default(), Hands::default());
    let engine = builder(dir.path(), &service).concurrent_exports(1).clock(clock.clone()).start().expect("starts");
    let slow = Script { delay_ms: 4_000, ..Script::of(Act::Succeed) };
    let source = OfflineMapSource::from_web_map(scripted_map_of([("s", "a", slow), ("s", "b", slow)]));
    let first = engine.submit(Order::new(source, parameters())).await.expect("is taken");
    eventually("an export runs", || service.exports() == 1).await;
    let second = engine.submit(order(&[("c", Act::Succeed)])).await.expect("is taken");
    first.pause().await.expect("pauses");
    // Its first layer is finished, the second one is not begun.
    for _ in 0..8 {
        clock.advance(Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    soon("the other one has the permit", second.result()).await.expect("a package");
    assert_eq!(first.snapshot().await.expect("a job").state, JobState::Paused);
    first.resume().await.expect("goes on");
    let ended = first.result();
    tokio::pin!(ended);
    let package = soon("it goes on", async {
        loop {
            clock.advance(Duration::from_secs(1));
            tokio::select! {
                package = &mut ended => break package,
                () = tokio::time::sleep(Duration::from_millis(1)) => {}
            }
        }
    });
    package.await.expect("a package");
    assert_eq!(engine.stats().exports, 0);
    engine.shutdown().await.expect("shuts down");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_roll_back_that_panics_ends_no_more_than_its_job() {
    let (dir, service, host) = (offmap_sandbox::tempdir().expect("a directory"), Service::default(), Host::default());
    let start = || builder(dir.path(), &service).credential_provider(host.clone()).start().expect("starts");
    let engine = start();
    service.lets("a", Act::Hang);
    let job = engine.submit(order(&[("a", Act::Succeed)])).await.expect("is taken");
    eventually("an export runs", || service.exports() == 1).await;
    engine.shutdown().await.expect("shuts down");
    host.waits(true);
    service.panics();
    let engine = start();
    let job = engine.job(job.id()).await.expect("is there");
    host.asked(2).await;
    // It is made without a turn, and stands still before it opens its work.
    job.pause().await.expect("pauses");
    host.let_answer();
    host.waits(false);
    let other = engine.submit(order(&[("b", Act::Succeed)])).await.expect("is taken");
    soon("the other one has the turn", other.result()).await.expect("a package");
    let _ = soon("it is cancelled", job.cancel()).await;
    let error = soon("it ends", job.result()).await.expect_err("is cancelled");
    assert!(error.can_resume && error.failure.message.contains("the roll-back panics"), "{error:?}");
    engine.shutdown().await.expect("shuts down");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_does_not_answer_holds_neither_a_cancel_nor_the_end_of_the_engine() {
    let (dir, service, host) = (offmap_sandbox::tempdir().expect("a directory"), Service::default(), Host::default());
    let start = || builder(dir.path(), &service).credential_provider(host.clone()).start().expect("starts");
    let engine = start();
    host.waits(true);
    let cancelled = engine.submit(order(&[("a", Act::Succeed)])).await.expect("is taken");
    host.asked(1).await;
    soon("it is cancelled", cancelled.cancel()).await.expect("is cancelled");
    assert!(cancelled.result().await.expect_err("is cancelled").failure.is_cancelled());
    let job = engine.submit(order(&[("a", Act::Succeed)])).await.expect("is taken");
    host.asked(2).await;
    tokio::time::timeout(Duration::from_secs(10), engine.shutdown()).await.expect("at once").expect("shuts down");
    host.waits(false);
    let engine = start();
    engine.job(job.id()).await.expect("is there").result().await.expect("a package");
    engine.shutdown().await.expect("shuts down");
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_credentials_are_not_tried_again_before_the_host_has_others() {
    let (dir, service, host, clock) =
        (offmap_sandbox::tempdir().expect("a directory"), Service::default(), Host::default(), Hands::default());
    let start =
        || builder(dir.path(), &service).clock(clock.clone()).credential_provider(host.clone()).start().expect("starts");
    let engine = start();
    service.refuses(true);
    let retry = RetryPolicy { attempts: 5, ..RetryPolicy::default() };
    let job = engine.submit(order(&[("a", Act::Succeed)]).retry(retry)).await.expect("is taken");
    until(&job, JobState::Waiting).await;
    let snapshot = job.snapshot().await.expect("a job");
    let found = (snapshot.waits_for, snapshot.not_before, snapshot.attempts);
    assert_eq!(found, (Some(WaitReason::Credentials), None, 0), "{snapshot:?}");
    assert_eq!(snapshot.failure.map(|f| f.owner), Some(FailureOwner::Credentials));
    engine.shutdown().await.expect("shuts down");
    for _ in 0..2 {
        let engine = start();
        clock.advance(HOUR * 9);
        // One that is run behind it shows that it had its turn.
        service.refuses(false);
        engine.submit(order(&[("b", Act::Succeed)])).await.expect("is taken").result().await.expect("a package");
        let job = engine.job(job.id()).await.expect("is there");
        assert_eq!(job.snapshot().await.expect("a job").state, JobState::Waiting);
        engine.shutdown().await.expect("shuts down");
    }
    assert_eq!(service.exports(), 3, "one of the job, and those of two others");
    let engine = start();
    engine.credentials_changed("").await.expect("asks again");
    engine.job(job.id()).await.expect("is there").result().await.expect("a package");
    engine.shutdown().await.expect("shuts down");
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_credentials_fail_a_job_whose_host_has_no_provider() {
    let (dir, service) = (offmap_sandbox::tempdir().expect("a directory"), Service::default());
    let engine = builder(dir.path(), &service).start().expect("starts");
    service.refuses(true);
    let retry = RetryPolicy { attempts: 5, first_wait: Duration::from_millis(1), ..RetryPolicy::default() };
    let job = engine.submit(order(&[("a", Act::Succeed)]).retry(retry)).await.expect("is taken");
    let failure = soon("it fails", job.result()).await.expect_err("is refused").failure;
    assert_eq!((failure.owner, service.exports()), (FailureOwner::Credentials, 1), "{failure}");
    engine.shutdown().await.expect("shuts down");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interruption_is_no_try() {
    let (dir, service) = (offmap_sandbox::tempdir().expect("a directory"), Service::default());
    let start = || builder(dir.path(), &service).start().expect("starts");
    let mut engine = start();
    service.lets("a", Act::Hang);
    let job = engine.submit(order(&[("a", Act::Succeed)])).await.expect("is taken");
    let id = job.id().to_owned();
    for run in 1..=3 {
        eventually("an export runs", || service.exports() == run).await;
        engine.shutdown().await.expect("shuts down");
        engine = start();
    }
    eventually("an export runs", || service.exports() == 4).await;
    let job = engine.job(&id).await.expect("is there");
    job.suspend().await.expect("is suspended");
    assert_eq!(job.snapshot().await.expect("a job").attempts, 0);
    service.lets("a", Act::Succeed);
    job.resume().await.expect("goes on");
    job.result().await.expect("a package");
    assert_eq!(job.snapshot().await.expect("a job").attempts, 1);
    engine.shutdown().await.expect("shuts down");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_goes_takes_the_work_that_it_keeps_with_it() {
    let (dir, service, clock) = (offmap_sandbox::tempdir().expect("a directory"), Service::default(), Hands::default());
    let retention = Retention { longest: Some(HOUR), ..Retention::default() };
    let engine = builder(dir.path(), &service).clock(clock.clone()).retention(retention).start().expect("starts");
    let limited = order(&[("a", Act::Hang)]).time_limit(HOUR / 2);
    let job = engine.submit(limited).await.expect("is taken");
    eventually("an export runs", || service.exports() == 1).await;
    clock.advance(HOUR / 2);
    assert!(soon("its time is over", job.result()).await.expect_err("its time is over").can_resume);
    assert_eq!((listed(&engine).await, service.registered()), (1, 1));
    clock.advance(HOUR);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while listed(&engine).await > 0 {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(service.registered(), 0, "nobody would know of it any more");
    let left: Vec<_> = std::fs::read_dir(dir.path().join("packages")).expect("reads").collect();
    assert!(left.is_empty(), "{left:?}");
    engine.shutdown().await.expect("shuts down");
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_come_while_the_host_says_that_it_has_none_are_asked_for_at_once() {
    let (dir, service, host, clock) =
        (offmap_sandbox::tempdir().expect("a directory"), Service::default(), Host::default(), Hands::default());
    let engine = builder(dir.path(), &service).clock(clock).credential_provider(host.clone()).start().expect("starts");
    host.has_credentials(false);
    host.waits(true);
    let job = engine.submit(order(&[("a", Act::Succeed)])).await.expect("is taken");
    host.asked(1).await;
    engine.credentials_changed("").await.expect("is heard");
    host.waits(false);
    host.let_answer();
    host.asked(2).await;
    until(&job, JobState::Waiting).await;
    let snapshot = job.snapshot().await.expect("a job");
    assert_eq!((snapshot.waits_for, snapshot.attempts), (Some(WaitReason::Credentials), 0), "{snapshot:?}");
    host.has_credentials(true);
    engine.credentials_changed("").await.expect("is heard");
    soon("it goes on", job.result()).await.expect("a package");
    engine.shutdown().await.expect("shuts down");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_host_lets_it_wait_says_so_and_is_tried_again_at_its_time() {
    let (dir, service, clock) = (offmap_sandbox::tempdir().expect("a directory"), Service::default(), Hands::default());
    let engine = builder(dir.path(), &service).clock(clock.clone()).start().expect("starts");
    service.throttles(true);
    let retry = RetryPolicy { attempts: 3, ..RetryPolicy::default() };
    let job = engine.submit(order(&[("a", Act::Succeed)]).retry(retry)).await.expect("is taken");
    until(&job, JobState::Waiting).await;
    let snapshot = job.snapshot().await.expect("a job");
    assert_eq!((snapshot.waits_for, snapshot.attempts), (Some(WaitReason::ThrottledHost), 1), "{snapshot:?}");
    assert!(snapshot.not_before.is_some(), "{snapshot:?}");
    service.throttles(false);
    clock.advance(HOUR);
    soon("it is tried again", job.result()).await.expect("a package");
    engine.shutdown().await.expect("shuts down");
}
