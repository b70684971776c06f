//! What the store of jobs holds of them: all that was said, for as long as it was said, and no secret.

use crate::queue_bench::{Hands, Host, Service, builder, eventually, order, parameters, source, until};
use crate::support::{files_below, holds, layer_secrets};
use offmap::model::PortalItem;
use offmap::testing::Act;
use offmap::{
    FailureKind, FailureOwner, JobFilter, JobState, OfflineMapSource, OfflineMapTask, Order, Retention, WaitReason, WebMap,
};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

const HOUR: Duration = Duration::from_hours(1);

/// The value of a key of a map.
const KEY: &str = "map-key-0123456789";

/// A map whose layer needs a key, which is in its title as well.
fn keyed() -> OfflineMapSource {
    let mut map: Value = serde_json::to_value(&source(&[("a", Act::Succeed)]).web_map).expect("JSON");
    map["operationalLayers"][0]["customParameters"] = json!({"apiKey": KEY});
    map["operationalLayers"][0]["title"] = json!(format!("roads {KEY}"));
    let mut source = OfflineMapSource::from_web_map(WebMap::from_value(map).expect("a map"));
    let item = json!({"id": "0123456789abcdef0123456789abcdef", "type": "Web Map", "title": format!("map with {KEY}"),
        "description": format!("see https://x.example/?apiKey={KEY}")});
    source.item = Some(serde_json::from_value::<PortalItem>(item).expect("an item"));
    source
}

fn holds_key(dir: &Path) -> Vec<PathBuf> {
    let has = |path: &PathBuf| std::fs::read(path).is_ok_and(|b| holds(&b, KEY));
    let files = files_below(dir);
    assert!(files.iter().any(|f| f.ends_with("jobs.sqlite")), "{files:?}");
    files.into_iter().filter(has).collect()
}

#[tokio::test]
async fn no_secret_of_a_map_gets_into_store_or_package_with_its_title_its_item_or_its_failure() {
    let (dir, service, host) = (offmap_sandbox::tempdir().expect("a directory"), Service::default(), Host::default());
    assert_eq!(layer_secrets("https://scripted.invalid/a/Server", &[("apiKey", KEY)]).values().next(), Some(KEY));
    let engine = builder(dir.path(), &service).credential_provider(host.clone()).start().expect("starts");
    host.waits(true);
    let job = engine.submit(Order::new(keyed(), parameters())).await.expect("is taken");
    host.asked(1).await;
    assert_eq!(holds_key(dir.path()), Vec::<PathBuf>::new());
    assert!(!job.snapshot().await.expect("a job").title.contains(KEY));
    host.waits(false);
    host.let_answer();
    job.result().await.expect("a package");
    service.lets("a", Act::Hang);
    let destination = dir.path().join("of-a-handle");
    let handle = OfflineMapTask::new(&engine, keyed()).generate_offline_map(parameters(), Default::default(), destination);
    handle.start();
    until(&engine.job(handle.id()).await.expect("is there"), JobState::Running).await;
    engine.shutdown().await.expect("shuts down");
    assert_eq!(holds_key(dir.path()), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_retry_takes_the_secrets_of_its_map_from_the_host_or_says_the_way_out() {
    let (dir, service, host) = (offmap_sandbox::tempdir().expect("a directory"), Service::default(), Host::default());
    let engine = builder(dir.path(), &service).credential_provider(host.clone()).start().expect("starts");
    service.lets("a", Act::Fail);
    let job = engine.submit(Order::new(keyed(), parameters())).await.expect("is taken");
    job.result().await.expect_err("it fails");
    service.lets("a", Act::Succeed);
    job.retry().await.expect("runs again");
    // Its key is in no file, and the host may have it later.
    until(&job, JobState::Waiting).await;
    let failure = job.snapshot().await.expect("a job").failure.expect("why it waits");
    assert_eq!((failure.owner, failure.kind), (FailureOwner::Credentials, FailureKind::Unauthorized), "{failure}");
    assert!(failure.message.contains("CredentialProvider::web_map"), "{failure}");
    host.knows(keyed().web_map);
    job.resume().await.expect("asks again");
    job.result().await.expect("a package");
    engine.shutdown().await.expect("shuts down");
}

#[cfg(unix)]
#[tokio::test]
async fn a_destination_that_cannot_be_written_down_is_refused_by_name() {
    use std::os::unix::ffi::OsStrExt as _;
    let (dir, service) = (offmap_sandbox::tempdir().expect("a directory"), Service::default());
    let engine = builder(dir.path(), &service).start().expect("starts");
    let destination = dir.path().join(std::ffi::OsStr::from_bytes(b"p\xff"));
    let refused = engine.submit(order(&[("a", Act::Succeed)]).destination(&destination)).await.expect_err("is refused");
    let task = OfflineMapTask::new(&engine, source(&[("a", Act::Succeed)]));
    let job = task.generate_offline_map(parameters(), Default::default(), destination);
    for failure in [refused, job.start().result().await.expect_err("is refused").failure] {
        assert_eq!(failure.kind, FailureKind::InvalidParameter, "{failure}");
        assert!(failure.message.contains("UTF-8") && failure.message.contains("/p"), "{failure}");
    }
    assert_eq!(engine.stats().jobs, 0);
    engine.shutdown().await.expect("shuts down");
}

#[tokio::test]
async fn the_time_of_an_order_holds_over_pause_suspend_and_retry_until_it_has_come() {
    let (dir, service, clock) = (offmap_sandbox::tempdir().expect("a directory"), Service::default(), Hands::default());
    let engine = builder(dir.path(), &service).clock(clock.clone()).start().expect("starts");
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_000) + 2 * HOUR;
    let job = engine.submit(order(&[("a", Act::Hang)]).not_before(time)).await.expect("is taken");
    let waits = async |what: &str| {
        let snapshot = job.snapshot().await.expect("a job");
        assert_eq!(snapshot.state, JobState::Queued, "{what}");
        assert_eq!(snapshot.not_before, Some(1_700_007_200_000), "{what}");
    };
    waits("submitted").await;
    job.pause().await.expect("pauses");
    assert_eq!(job.snapshot().await.expect("a job").not_before, None, "it does not go on by itself");
    job.resume().await.expect("goes on");
    waits("paused and resumed").await;
    job.suspend().await.expect("is suspended");
    let id = job.id().to_owned();
    engine.shutdown().await.expect("shuts down");
    let engine = builder(dir.path(), &service).clock(clock.clone()).start().expect("starts");
    let job = engine.job(&id).await.expect("is there");
    job.resume().await.expect("goes on");
    job.cancel().await.expect("is cancelled");
    job.retry().await.expect("runs again");
    assert_eq!(job.snapshot().await.expect("a job").not_before, Some(1_700_007_200_000));
    clock.advance(2 * HOUR);
    until(&job, JobState::Running).await;
    job.pause().await.expect("pauses");
    job.resume().await.expect("goes on");
    until(&job, JobState::Running).await;
    engine.shutdown().await.expect("shuts down");
}

#[tokio::test]
async fn the_time_limit_of_an_order_counts_while_it_runs_and_not_while_it_stands_still() {
    let (dir, service, clock) = (offmap_sandbox::tempdir().expect("a directory"), Service::default(), Hands::default());
    let engine = builder(dir.path(), &service).clock(clock.clone()).start().expect("starts");
    let job = engine.submit(order(&[("a", Act::Hang)]).time_limit(HOUR)).await.expect("is taken");
    eventually("it runs", || service.registered() == 1).await;
    clock.advance(HOUR / 2);
    job.pause().await.expect("pauses");
    clock.advance(3 * HOUR);
    job.resume().await.expect("goes on");
    until(&job, JobState::Running).await;
    job.suspend().await.expect("is suspended");
    clock.advance(3 * HOUR);
    job.resume().await.expect("goes on");
    until(&job, JobState::Running).await;
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(job.snapshot().await.expect("a job").state, JobState::Running, "half of its time is left");
    clock.advance(HOUR / 2);
    let error = job.result().await.expect_err("its time is over");
    assert!(error.failure.kind == FailureKind::TimedOut && error.can_resume, "{error:?}");
    engine.shutdown().await.expect("shuts down");
}

#[tokio::test]
async fn what_was_said_to_a_handle_holds_in_the_next_engine() {
    let (dir, service) = (offmap_sandbox::tempdir().expect("a directory"), Service::default());
    let place = |name: &str| dir.path().join(name);
    let engine = builder(dir.path(), &service).start().expect("starts");
    let make = |name: &str| {
        let task = OfflineMapTask::new(&engine, source(&[("a", Act::Succeed)]));
        task.generate_offline_map(parameters(), Default::default(), place(name))
    };
    make("there").start().result().await.expect("a package");
    service.lets("a", Act::Hang);
    // They wait for their turn.
    let other = engine.submit(order(&[("a", Act::Succeed)])).await.expect("is taken");
    until(&other, JobState::Running).await;
    let (replaces, keeps) = (make("there"), make("kept"));
    replaces.overwrite();
    let jobs = [&replaces, &keeps].map(|job| job.start().id().to_owned());
    keeps.keep_unfinished();
    engine.shutdown().await.expect("shuts down");

    service.lets("a", Act::Fail);
    let engine = builder(dir.path(), &service).start().expect("starts");
    let job = engine.job(&jobs[1]).await.expect("is there");
    let error = job.result().await.expect_err("it fails");
    assert!(error.can_resume, "its work is kept: {error:?}");
    let error = engine.job(&jobs[0]).await.expect("is there").result().await.expect_err("it fails");
    assert_ne!(error.failure.kind, FailureKind::DestinationNotUsable, "it is to be overwritten: {error:?}");
    engine.shutdown().await.expect("shuts down");
}

#[tokio::test]
async fn the_time_limit_of_a_handle_counts_from_its_start_also_in_the_next_engine() {
    let (dir, service, clock) = (offmap_sandbox::tempdir().expect("a directory"), Service::default(), Hands::default());
    let engine = builder(dir.path(), &service).clock(clock.clone()).start().expect("starts");
    let task = OfflineMapTask::new(&engine, source(&[("a", Act::Hang)]));
    let job = task.generate_offline_map(parameters(), Default::default(), dir.path().join("p"));
    job.limit_time(2 * HOUR);
    job.count_time(HOUR);
    job.start();
    eventually("it runs", || service.registered() == 1).await;
    engine.shutdown().await.expect("shuts down");
    clock.advance(HOUR / 2);
    let engine = builder(dir.path(), &service).clock(clock.clone()).start().expect("starts");
    let job = engine.job(job.id()).await.expect("is there");
    until(&job, JobState::Running).await;
    clock.advance(HOUR / 2);
    let error = job.result().await.expect_err("its time is over");
    assert!(error.failure.kind == FailureKind::TimedOut && error.can_resume, "{error:?}");
    engine.shutdown().await.expect("shuts down");
}

async fn listed(engine: &offmap::Engine) -> usize {
    engine.jobs(&JobFilter::default(), None, 100).await.expect("lists").jobs.len()
}

async fn until_listed(engine: &offmap::Engine, jobs: usize) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while listed(engine).await != jobs {
        assert!(tokio::time::Instant::now() < deadline, "{} jobs, expected {jobs}", listed(engine).await);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn jobs_go_when_their_time_is_over_though_nothing_else_happens_and_at_the_start_of_an_engine() {
    let (dir, service, clock) = (offmap_sandbox::tempdir().expect("a directory"), Service::default(), Hands::default());
    let retention = Retention { longest: Some(HOUR), ..Retention::default() };
    let start = || builder(dir.path(), &service).clock(clock.clone()).retention(retention).start().expect("starts");
    let engine = start();
    let submit = async || engine.submit(order(&[("a", Act::Succeed)])).await.expect("is taken");
    let package = submit().await.result().await.expect("a package").package;
    clock.advance(HOUR / 2);
    submit().await.result().await.expect("a package");
    clock.advance(HOUR / 2);
    until_listed(&engine, 1).await;
    assert!(!package.exists());
    clock.advance(HOUR / 2);
    until_listed(&engine, 0).await;
    submit().await.result().await.expect("a package");
    engine.shutdown().await.expect("shuts down");
    clock.advance(HOUR);
    let engine = start();
    until_listed(&engine, 0).await;
    engine.shutdown().await.expect("shuts down");
}

#[cfg(unix)]
#[tokio::test]
async fn a_package_that_cannot_be_removed_keeps_its_job_until_it_can() {
    let (dir, service, clock) = (offmap_sandbox::tempdir().expect("a directory"), Service::default(), Hands::default());
    let retention = Retention { longest: Some(HOUR), ..Retention::default() };
    let engine = builder(dir.path(), &service).clock(clock.clone()).retention(retention).start().expect("starts");
    let job = engine.submit(order(&[("a", Act::Succeed)])).await.expect("is taken");
    job.result().await.expect("a package");
    // The directory of the packages is not the one that the engine made.
    let (packages, aside) = (dir.path().join("packages"), dir.path().join("aside"));
    std::fs::rename(&packages, &aside).expect("renames");
    std::fs::write(&packages, "a file").expect("writes");
    clock.advance(HOUR);
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(listed(&engine).await, 1, "what is not removed is not forgotten");
    std::fs::remove_file(&packages).expect("removes");
    std::fs::rename(&aside, &packages).expect("renames");
    clock.advance(HOUR);
    until_listed(&engine, 0).await;
    engine.shutdown().await.expect("shuts down");
}

#[tokio::test]
async fn thousands_that_wait_for_their_jobs_wake_with_those_only() {
    let (dir, service) = (offmap_sandbox::tempdir().expect("a directory"), Service::default());
    let engine = builder(dir.path(), &service).start().expect("starts");
    service.lets("a", Act::Hang);
    let first = engine.submit(order(&[("a", Act::Succeed)])).await.expect("is taken");
    until(&first, JobState::Running).await;
    let mut jobs = Vec::new();
    for _ in 0..2_000 {
        jobs.push(engine.submit(order(&[("a", Act::Succeed)])).await.expect("is taken"));
    }
    let begun = std::time::Instant::now();
    let waiting: Vec<_> = jobs
        .iter()
        .map(|job| {
            let job = job.clone();
            tokio::spawn(async move { job.result().await })
        })
        .collect();
    for job in &jobs {
        job.cancel().await.expect("is cancelled");
    }
    for waits in waiting {
        assert!(waits.await.expect("no panic").expect_err("is cancelled").failure.is_cancelled());
    }
    println!("2,000 jobs were cancelled and told to those who waited in {} ms", begun.elapsed().as_millis());
    engine.shutdown().await.expect("shuts down");
}

#[tokio::test]
async fn thousands_of_jobs_whose_time_comes_at_once_go_on_together() {
    let (dir, service, clock) = (offmap_sandbox::tempdir().expect("a directory"), Service::default(), Hands::default());
    let engine = builder(dir.path(), &service).clock(clock.clone()).start().expect("starts");
    service.lets("a", Act::Hang);
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_000) + HOUR;
    for _ in 0..2_000 {
        engine.submit(order(&[("a", Act::Succeed)]).not_before(time)).await.expect("is taken");
    }
    let begun = std::time::Instant::now();
    clock.advance(HOUR);
    eventually("one runs", || engine.stats().running == 1).await;
    println!("2,000 jobs whose time came were written, and one was begun, in {} ms", begun.elapsed().as_millis());
    engine.shutdown().await.expect("shuts down");
}

#[tokio::test]
async fn a_job_that_waits_for_credentials_says_so_and_asks_again() {
    let (dir, service, host, clock) =
        (offmap_sandbox::tempdir().expect("a directory"), Service::default(), Host::default(), Hands::default());
    let engine =
        builder(dir.path(), &service).clock(clock.clone()).credential_provider(host.clone()).start().expect("starts");
    host.has_credentials(false);
    let job = engine.submit(order(&[("a", Act::Succeed)])).await.expect("is taken");
    until(&job, JobState::Waiting).await;
    let snapshot = job.snapshot().await.expect("a job");
    assert_eq!((snapshot.waits_for, snapshot.attempts), (Some(WaitReason::Credentials), 0), "{snapshot:?}");
    host.has_credentials(true);
    clock.advance(HOUR);
    job.result().await.expect("a package");
    engine.shutdown().await.expect("shuts down");
}
