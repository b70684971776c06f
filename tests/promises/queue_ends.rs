//! How jobs of the queue end: nothing stays on a service that nobody wants, nothing is told that is not written, and a run is known from
//! the one before.

use crate::queue_bench::{Host, Service, builder, eventually, order, parameters, source, until};
use offmap::testing::Act;
use offmap::{Engine, FailureOwner, GenerateOfflineMapJob, Job, JobState, OfflineMapTask, RetryPolicy};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A job that an engine was ended in the midst of: something of it is registered, and its work lies in the data directory.
async fn interrupted(data: &Path, service: &Service) -> String {
    let engine = builder(data, service).start().expect("starts");
    let job = engine.submit(order(&[("a", Act::Hang)])).await.expect("is taken");
    eventually("it is registered", || service.registered() == 1).await;
    engine.shutdown().await.expect("shuts down");
    assert_eq!(service.registered(), 1, "the next engine goes on with it");
    job.id().to_owned()
}

/// The next engine, and the job that is being made there while the host does not answer.
async fn taken_up(data: &Path, service: &Service, host: &Host, id: &str) -> (Engine, Job) {
    host.waits(true);
    let engine = builder(data, service).credential_provider(host.clone()).start().expect("starts");
    let job = engine.job(id).await.expect("is there");
    host.asked(1).await;
    (engine, job)
}

fn work_dir(data: &Path, id: &str) -> bool {
    data.join("packages").join(format!(".{id}.offmap")).exists()
}

/// Says a verb at once, and answers what came of it later.
fn soon<F>(verb: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    tokio::spawn(verb)
}

/// Waits until a verb is told: the host's other answers do not come before.
async fn is_told() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_job_that_is_cancelled_before_its_export_goes_on_leaves_nothing_of_its_earlier_run() {
    for discards in [false, true] {
        let (dir, service, host) = (offmap_sandbox::tempdir().expect("a directory"), Service::default(), Host::default());
        let id = interrupted(dir.path(), &service).await;
        let (engine, job) = taken_up(dir.path(), &service, &host, &id).await;
        let told = job.clone();
        let told = soon(async move { if discards { told.discard().await } else { told.cancel().await } });
        is_told().await;
        host.waits(false);
        host.let_answer();
        told.await.expect("no panic").expect("is cancelled");
        let snapshot = job.snapshot().await.expect("a job");
        assert_eq!((snapshot.state, snapshot.is_kept), (JobState::Cancelled, false), "{snapshot:?}");
        assert_eq!(service.registered(), 0, "it is rolled back");
        assert!(!work_dir(dir.path(), &id), "its work goes");
        engine.shutdown().await.expect("shuts down");
    }
}

#[tokio::test]
async fn an_engine_that_ends_while_a_job_is_being_made_keeps_what_the_job_has() {
    let (dir, service, host) = (offmap_sandbox::tempdir().expect("a directory"), Service::default(), Host::default());
    let id = interrupted(dir.path(), &service).await;
    let (engine, _) = taken_up(dir.path(), &service, &host, &id).await;
    let ending = soon(async move { engine.shutdown().await });
    is_told().await;
    host.waits(false);
    host.let_answer();
    ending.await.expect("no panic").expect("shuts down");
    assert_eq!((service.registered(), work_dir(dir.path(), &id)), (1, true));
    service.lets("a", Act::Succeed);
    let engine = builder(dir.path(), &service).start().expect("starts");
    engine.job(&id).await.expect("is there").result().await.expect("a package");
    engine.shutdown().await.expect("shuts down");
}

#[tokio::test]
async fn without_credentials_nothing_is_rolled_back_the_work_stays_and_the_job_says_the_way_out() {
    for waits in [false, true] {
        let (dir, service, host) = (offmap_sandbox::tempdir().expect("a directory"), Service::default(), Host::default());
        let id = interrupted(dir.path(), &service).await;
        let (engine, job) = taken_up(dir.path(), &service, &host, &id).await;
        host.has_credentials(false);
        if waits {
            host.waits(false);
            host.let_answer();
            until(&job, JobState::Waiting).await;
        }
        let told = job.clone();
        let told = soon(async move { told.cancel().await });
        is_told().await;
        host.waits(false);
        host.let_answer();
        let failure = told.await.expect("no panic").expect_err("nothing is rolled back");
        assert_eq!(failure.owner, FailureOwner::Credentials, "{failure}");
        assert!(failure.message.contains("discard"), "{failure}");
        let snapshot = job.snapshot().await.expect("a job");
        assert_eq!((snapshot.state, snapshot.is_kept), (JobState::Cancelled, true), "{snapshot:?}");
        assert!(snapshot.failure.expect("says why").message.contains("supply the credentials"));
        assert_eq!((service.registered(), work_dir(dir.path(), &id)), (1, true));
        job.discard().await.expect_err("still none");
        host.has_credentials(true);
        job.discard().await.expect("goes");
        let snapshot = job.snapshot().await.expect("a job");
        assert_eq!((snapshot.state, snapshot.is_kept), (JobState::Cancelled, false), "{snapshot:?}");
        assert_eq!((service.registered(), work_dir(dir.path(), &id)), (0, false));
        engine.shutdown().await.expect("shuts down");
    }
}

#[tokio::test]
async fn a_verb_follows_where_nobody_waits_for_it() {
    let (dir, service) = (offmap_sandbox::tempdir().expect("a directory"), Service::default());
    let id = interrupted(dir.path(), &service).await;
    let engine = builder(dir.path(), &service).credential_provider(Host::default()).start().expect("starts");
    let job = engine.job(&id).await.expect("is there");
    job.suspend().await.expect("is suspended");
    // Polled once, then dropped.
    let cancel = job.cancel();
    tokio::select! { biased; _ = cancel => {}, () = std::future::ready(()) => {} }
    until(&job, JobState::Cancelled).await;
    assert_eq!(service.registered(), 0);
    engine.shutdown().await.expect("shuts down");
}

#[tokio::test]
async fn a_retry_that_completes_a_package_is_not_taken_for_finished_when_it_is_interrupted() {
    // Before it began, and in its midst.
    for waits in [true, false] {
        let (dir, service, host) = (offmap_sandbox::tempdir().expect("a directory"), Service::default(), Host::default());
        service.lets("b", Act::Fail);
        let engine = builder(dir.path(), &service).credential_provider(host.clone()).start().expect("starts");
        let job = engine.submit(order(&[("a", Act::Succeed), ("b", Act::Succeed)])).await.expect("is taken");
        assert!(job.result().await.expect("a package").has_errors());
        let asked = host.asked.load(Ordering::Acquire);
        service.lets("b", Act::Hang);
        let before = service.exports();
        host.waits(waits);
        job.retry().await.expect("runs again");
        host.asked(asked + 1).await;
        let id = job.id().to_owned();
        let ending = match waits {
            false => {
                eventually("b is fetched", || service.exports() > before).await;
                soon(async move { engine.shutdown().await })
            }
            true => {
                let ending = soon(async move { engine.shutdown().await });
                is_told().await;
                host.waits(false);
                host.let_answer();
                ending
            }
        };
        ending.await.expect("no panic").expect("shuts down");
        service.lets("b", Act::Succeed);
        let engine = builder(dir.path(), &service).credential_provider(host).start().expect("starts");
        let job = engine.job(&id).await.expect("is there");
        let result = job.result().await.expect("a package");
        assert!(!result.has_errors(), "{waits}: {:?}", result.layers);
        assert_eq!(job.snapshot().await.expect("a job").state, JobState::Succeeded);
        engine.shutdown().await.expect("shuts down");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cancels_a_job_does_not_wait_for_the_end_of_its_next_run() {
    let (dir, service) = (offmap_sandbox::tempdir().expect("a directory"), Service::default());
    let engine = builder(dir.path(), &service).start().expect("starts");
    let job = engine.submit(order(&[("a", Act::Hang)])).await.expect("is taken");
    for _ in 0..30 {
        until(&job, JobState::Running).await;
        let (told, again) = (job.clone(), job.clone());
        let told = soon(async move { told.cancel().await });
        let again = soon(async move {
            // It is refused by nothing: where the job lives, there is nothing to do.
            loop {
                if again.snapshot().await.expect("a job").state == JobState::Cancelled {
                    return again.retry().await;
                }
            }
        });
        let told = tokio::time::timeout(Duration::from_secs(30), told).await.expect("answers");
        told.expect("no panic").expect("is cancelled");
        again.await.expect("no panic").expect("runs again");
    }
    engine.shutdown().await.expect("shuts down");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_handles_of_one_job_one_starts_it_and_the_other_one_is_told_so() {
    let (dir, service) = (offmap_sandbox::tempdir().expect("a directory"), Service::default());
    let engine = builder(dir.path(), &service).start().expect("starts");
    let task = OfflineMapTask::new(&engine, source(&[("a", Act::Hang)]));
    for i in 0..20 {
        let destination = dir.path().join(format!("p{i}"));
        let text = task.generate_offline_map(parameters(), Default::default(), destination).to_json().expect("JSON");
        let handles = [0, 1].map(|_| GenerateOfflineMapJob::from_json(&engine, &text).expect("a job"));
        let both = Arc::new(std::sync::Barrier::new(2));
        let starts: Vec<_> = handles
            .iter()
            .map(|handle| {
                let (handle, both) = (handle.clone(), Arc::clone(&both));
                std::thread::spawn(move || {
                    both.wait();
                    handle.start();
                })
            })
            .collect();
        starts.into_iter().for_each(|start| start.join().expect("no panic"));
        let [first, second] = &handles;
        let refused = tokio::select! { r = first.result() => r, r = second.result() => r };
        let refused = refused.expect_err("runs already").failure;
        assert!(refused.message.contains("runs already"), "{refused}");
        assert_eq!(engine.stats().jobs, 1, "{refused}");
        engine.job(first.id()).await.expect("is there").cancel().await.expect("is cancelled");
    }
    engine.shutdown().await.expect("shuts down");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_starts_at_once_where_another_one_has_ended() {
    let (dir, service) = (offmap_sandbox::tempdir().expect("a directory"), Service::default());
    let mut ids = Vec::new();
    for i in 0..20 {
        // Nobody drops the engine that has ended.
        let engine = builder(dir.path(), &service).start().unwrap_or_else(|failure| panic!("{i}: {failure}"));
        let retry = RetryPolicy { attempts: 9, ..RetryPolicy::default() };
        let job = engine.submit(order(&[("a", Act::Hang)]).priority(i).retry(retry)).await.expect("is taken");
        until(&job, JobState::Running).await;
        job.pause().await.expect("pauses");
        ids.push((job.id().to_owned(), engine.clone()));
        engine.shutdown().await.expect("shuts down");
    }
    let engine = builder(dir.path(), &service).start().expect("starts");
    for (id, _) in &ids {
        assert_eq!(engine.job(id).await.expect("is there").snapshot().await.expect("a job").state, JobState::Paused);
    }
    engine.shutdown().await.expect("shuts down");
}
