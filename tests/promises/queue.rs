//! An engine is an orchestrator: orders wait fairly, survive its end, obey their verbs, and tell the same to every reader.

use crate::support::area;
use async_trait::async_trait;
use offmap::arcgis::{CredentialProvider, Credentials};
use offmap::packager::MobileMapPackager;
use offmap::testing::{Act, Script, ScriptedExporter, VirtualClock, scripted_map};
use offmap::{
    Engine, EngineBuilder, Failure, FailureKind, FailureOwner, GenerateOfflineMapParameters, Job, JobFilter, JobState,
    JobVerb, OfflineMapSource, Order, Retention, RetryPolicy, StatusMessage, VerbEffect, WaitReason,
};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Has credentials for everybody but `nobody`, until that one has signed in.
#[derive(Debug, Clone, Default)]
struct SignedIn(Arc<AtomicBool>);

#[async_trait]
impl CredentialProvider for SignedIn {
    async fn credentials(&self, tenant: &str, _: &str) -> Result<Option<Credentials>, Failure> {
        Ok((tenant != "nobody" || self.0.load(Ordering::Acquire)).then(Credentials::none))
    }
}

fn builder(data: &Path) -> EngineBuilder {
    let builder = Engine::builder(MobileMapPackager).exporter(ScriptedExporter).expect("registers");
    builder.data_dir(data).concurrent_jobs(1)
}

fn order(layers: &[(&str, Script)]) -> Order {
    let map = scripted_map(layers.iter().copied());
    Order::new(OfflineMapSource::from_web_map(map), GenerateOfflineMapParameters::new(area()))
}

fn one(act: Act) -> Order {
    order(&[("a", Script::of(act))])
}

/// Waits until a job is in one of some states.
async fn until(job: &Job, states: &[JobState]) -> JobState {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let snapshot = job.snapshot().await.expect("a job");
        let found = snapshot.state;
        if states.contains(&found) {
            return found;
        }
        assert!(!found.is_terminal(), "it ended, expected one of {states:?}: {snapshot:?}");
        assert!(tokio::time::Instant::now() < deadline, "it is {found:?}, expected one of {states:?}");
        tokio::task::yield_now().await;
    }
}

/// Waits until a job that hangs stays as it is: its layer has told all of its progress.
async fn until_it_hangs(job: &Job) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    let has_told = |snapshot: &offmap::JobSnapshot| {
        let mut of_layers = snapshot.layers.iter().filter_map(|layer| layer.progress.as_ref());
        snapshot.progress.is_some() && of_layers.any(|progress| progress.completed == progress.required)
    };
    while !has_told(&job.snapshot().await.expect("a job")) {
        assert!(tokio::time::Instant::now() < deadline, "it does not hang");
        tokio::task::yield_now().await;
    }
}

/// Brings a job of an engine into a state.
async fn job_in(engine: &Engine, state: JobState) -> Job {
    use JobState as S;
    let submit = |order: Order| async move { engine.submit(order).await.expect("is taken") };
    let job = match state {
        S::Queued => {
            let other = submit(one(Act::Hang).tenant("other")).await;
            until(&other, &[S::Running]).await;
            submit(one(Act::Hang)).await
        }
        S::Waiting => submit(one(Act::Succeed).tenant("nobody")).await,
        S::Succeeded => submit(one(Act::Succeed)).await,
        S::SucceededWithErrors => submit(order(&[("a", Script::of(Act::Succeed)), ("b", Script::of(Act::Fail))])).await,
        S::Failed => submit(one(Act::Fail)).await,
        _ => submit(one(Act::Hang)).await,
    };
    match state {
        S::Paused | S::Suspended | S::Cancelled => {
            until(&job, &[S::Running]).await;
            match state {
                S::Paused => {
                    until_it_hangs(&job).await;
                    job.pause().await.expect("pauses");
                }
                S::Suspended => job.suspend().await.expect("is suspended"),
                _ => job.cancel().await.expect("is cancelled"),
            }
        }
        _ => {}
    }
    until(&job, &[state]).await;
    if state == S::Running {
        until_it_hangs(&job).await;
    }
    job
}

async fn tell(job: &Job, verb: JobVerb) -> Result<(), Failure> {
    match verb {
        JobVerb::Pause => job.pause().await,
        JobVerb::Resume => job.resume().await,
        JobVerb::Cancel => job.cancel().await,
        JobVerb::Suspend => job.suspend().await,
        JobVerb::Discard => job.discard().await,
        JobVerb::Retry => job.retry().await,
        JobVerb::Reprioritise => job.reprioritise(7).await,
    }
}

/// The states that a verb leads to where it acts.
fn leads_to(verb: JobVerb, state: JobState) -> Vec<JobState> {
    use JobState as S;
    match (verb, state) {
        (JobVerb::Pause, _) => vec![S::Paused],
        (JobVerb::Resume | JobVerb::Retry, S::Waiting) => vec![S::Waiting],
        (JobVerb::Resume, _) | (JobVerb::Retry, S::Cancelled) => vec![S::Running],
        (JobVerb::Suspend, _) => vec![S::Suspended],
        (JobVerb::Discard, S::Failed) | (JobVerb::Retry, S::Failed) => vec![S::Failed],
        (JobVerb::Cancel | JobVerb::Discard, _) => vec![S::Cancelled],
        (JobVerb::Retry | JobVerb::Reprioritise, state) => vec![state],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_verb_acts_in_each_state_that_allows_it_is_idempotent_and_is_refused_by_name_elsewhere() {
    for state in JobState::ALL {
        for verb in JobVerb::ALL {
            let what = format!("{} in {}", verb.name(), state.name());
            let dir = offmap_sandbox::tempdir().expect("a directory");
            let engine = builder(dir.path()).credential_provider(SignedIn::default()).start().expect("starts");
            let job = job_in(&engine, state).await;
            eprintln!("{what}");
            let before = job.snapshot().await.expect("a job");
            let told = tell(&job, verb).await;
            match verb.in_state(state) {
                VerbEffect::Refused => {
                    let failure = told.expect_err(&what);
                    assert!(failure.message.contains(state.name()) && failure.message.contains(verb.name()), "{failure}");
                    assert_eq!(job.snapshot().await.expect("a job").state, state, "{what}");
                }
                VerbEffect::Nothing => {
                    told.expect(&what);
                    assert_eq!(job.snapshot().await.expect("a job"), before, "{what}");
                }
                VerbEffect::Acts => {
                    told.expect(&what);
                    let after = until(&job, &leads_to(verb, state)).await;
                    let priority = job.snapshot().await.expect("a job").priority;
                    assert_eq!(priority, if verb == JobVerb::Reprioritise { 7 } else { 0 }, "{what}");
                    if verb.in_state(after) != VerbEffect::Refused && verb != JobVerb::Retry {
                        tell(&job, verb).await.expect("once more");
                        until(&job, &[after]).await;
                    }
                }
            }
            engine.shutdown().await.expect("shuts down");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_with_many_urgent_jobs_lets_others_go_next_and_priority_counts_within_a_tenant() {
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let engine = builder(dir.path()).clock(VirtualClock::default()).start().expect("starts");
    let first = engine.submit(one(Act::Hang).tenant("busy")).await.expect("is taken");
    until(&first, &[JobState::Running]).await;
    let slow = || order(&[("a", Script { delay_ms: 60_000, ..Script::of(Act::Succeed) })]);
    let mut jobs = Vec::new();
    for i in 0..10 {
        jobs.push(engine.submit(slow().tenant("many").priority(100).label("n", i.to_string())).await.expect("is taken"));
    }
    jobs.push(engine.submit(slow().tenant("few").label("n", "low")).await.expect("is taken"));
    jobs.push(engine.submit(slow().tenant("few").priority(1).label("n", "high")).await.expect("is taken"));
    assert_eq!(engine.stats().queued, 12);
    assert_eq!(jobs[10].snapshot().await.expect("a job").queue_position, Some(1));
    first.cancel().await.expect("is cancelled");
    let mut started = Vec::new();
    for job in &jobs {
        job.result().await.expect("a package");
        let snapshot = job.snapshot().await.expect("a job");
        started.push((snapshot.started.expect("began"), snapshot.labels["n"].clone()));
    }
    started.sort();
    let names: Vec<&str> = started.iter().map(|(_, n)| n.as_str()).collect();
    assert_eq!(names[..5], ["high", "0", "low", "1", "2"], "{names:?}");
    engine.shutdown().await.expect("shuts down");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_and_an_order_with_the_key_of_a_living_job_is_answered_with_it() {
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let engine = builder(dir.path()).max_queued_jobs(2).start().expect("starts");
    let first = engine.submit(one(Act::Hang).tenant("a").unique_key("k")).await.expect("is taken");
    let same = engine.submit(one(Act::Hang).tenant("a").unique_key("k")).await.expect("is taken");
    assert_eq!(same.id(), first.id());
    let other = engine.submit(one(Act::Hang).tenant("b").unique_key("k")).await.expect("is taken");
    assert_ne!(other.id(), first.id(), "keys are a tenant's own");
    let refused = engine.submit(one(Act::Succeed)).await.expect_err("full");
    assert_eq!((refused.owner, refused.kind), (FailureOwner::Limit, FailureKind::LimitExceeded), "{refused}");
    assert!(refused.retryable && refused.message.contains("at most 2"), "{refused}");
    first.cancel().await.expect("is cancelled");
    let next = engine.submit(one(Act::Hang).tenant("a").unique_key("k")).await.expect("there is room");
    assert_ne!(next.id(), first.id(), "the job with that key lives no more");
    engine.shutdown().await.expect("shuts down");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_submitted_survives_the_end_of_the_engine_in_every_state() {
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let long = || order(&[("a", Script { delay_ms: 86_400_000, ..Script::of(Act::Succeed) })]);
    let engine = builder(dir.path()).credential_provider(SignedIn::default()).start().expect("starts");
    let waiting = engine.submit(one(Act::Succeed).tenant("nobody").label("is", "waiting")).await.expect("is taken");
    until(&waiting, &[JobState::Waiting]).await;
    assert_eq!(waiting.snapshot().await.expect("a job").waits_for, Some(WaitReason::Credentials));
    let paused = engine.submit(long().label("is", "paused")).await.expect("is taken");
    until(&paused, &[JobState::Running]).await;
    paused.pause().await.expect("pauses");
    let suspended = engine.submit(long().label("is", "suspended")).await.expect("is taken");
    until(&suspended, &[JobState::Running]).await;
    suspended.suspend().await.expect("is suspended");
    let running = engine.submit(long().label("is", "running")).await.expect("is taken");
    until(&running, &[JobState::Running]).await;
    let queued = engine.submit(long().label("is", "queued")).await.expect("is taken");
    let ids = [waiting, paused, suspended, running, queued].map(|job| job.id().to_owned());
    let busy = builder(dir.path()).start().expect_err("one engine at a time");
    assert!(busy.message.contains("another engine"), "{busy}");
    engine.shutdown().await.expect("shuts down");
    drop(engine);

    let provider = SignedIn::default();
    let engine = builder(dir.path()).clock(VirtualClock::default()).credential_provider(provider.clone()).start();
    let engine = engine.expect("starts again");
    provider.0.store(true, Ordering::Release);
    engine.credentials_changed("nobody").await.expect("goes on");
    for (i, id) in ids.iter().enumerate() {
        let job = engine.job(id).await.expect("is there");
        if i == 1 || i == 2 {
            let expected = if i == 1 { JobState::Paused } else { JobState::Suspended };
            assert_eq!(job.snapshot().await.expect("a job").state, expected);
            job.resume().await.expect("goes on");
        }
        let result = job.result().await.expect("a package");
        assert!(result.package.starts_with(dir.path()) && result.package.is_dir(), "{result:?}");
    }
    let page = engine.jobs(&JobFilter::default(), None, 3).await.expect("lists");
    let next = engine.jobs(&JobFilter::default(), page.next, 3).await.expect("lists");
    let labels: Vec<_> = page.jobs.iter().chain(&next.jobs).map(|j| j.labels["is"].as_str()).collect();
    assert_eq!(labels, ["queued", "running", "suspended", "paused", "waiting"], "the latest first");
    let filter = JobFilter { labels: [("is".to_owned(), "paused".to_owned())].into(), ..JobFilter::default() };
    assert_eq!(engine.jobs(&filter, None, 10).await.expect("lists").jobs.len(), 1);
    engine.shutdown().await.expect("shuts down");
}

async fn all_events(job: &Job, after: u64) -> Vec<StatusMessage> {
    let mut events = job.events(after).await.expect("events");
    let mut all = Vec::new();
    while let Some(message) = events.next().await.expect("a message") {
        all.push(message);
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn events_have_the_same_numbers_for_every_reader_and_after_a_restart() {
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let engine = builder(dir.path()).start().expect("starts");
    let job =
        engine.submit(order(&[("a", Script { delay_ms: 86_400_000, ..Script::of(Act::Succeed) })])).await.expect("is taken");
    let mut reader = job.events(0).await.expect("events");
    until(&job, &[JobState::Running]).await;
    let mut before = Vec::new();
    while before.last().is_none_or(|m: &StatusMessage| m.subject.id != "a" || m.state != offmap::ExportState::Started) {
        before.push(reader.next().await.expect("reads").expect("a message"));
    }
    let id = job.id().to_owned();
    drop((reader, job));
    engine.shutdown().await.expect("shuts down");
    drop(engine);
    let engine = builder(dir.path()).clock(VirtualClock::default()).start().expect("starts again");
    let job = engine.job(&id).await.expect("is there");
    let last = before.last().expect("messages").seq;
    let rest = all_events(&job, last).await;
    let again = all_events(&job, 0).await;
    assert!(again.is_sorted_by(|a, b| a.seq < b.seq));
    let lasting = |m: &&StatusMessage| m.progress.is_none();
    for message in before.iter().filter(lasting).chain(rest.iter().filter(lasting)) {
        assert!(again.contains(message), "{message:?} is not in {again:?}");
    }
    let end = rest.last().expect("an end");
    assert!(end.subject.kind == offmap::SubjectKind::Job && end.state == offmap::ExportState::Succeeded, "{end:?}");
    assert!(all_events(&job, end.seq).await.is_empty());
    engine.shutdown().await.expect("shuts down");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_that_passes_is_tried_again_as_often_as_its_order_says() {
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let engine = builder(dir.path()).clock(VirtualClock::default()).start().expect("starts");
    let retry = RetryPolicy { attempts: 3, ..RetryPolicy::default() };
    let job = engine.submit(one(Act::Unreachable).retry(retry)).await.expect("is taken");
    let failure = job.result().await.expect_err("it stays away").failure;
    let snapshot = job.snapshot().await.expect("a job");
    assert!(failure.may_succeed_later(), "{failure}");
    assert_eq!((snapshot.state, snapshot.attempts), (JobState::Failed, 3), "{snapshot:?}");
    let fails = engine.submit(one(Act::Panic).retry(retry)).await.expect("is taken");
    fails.result().await.expect_err("a bug");
    assert_eq!(fails.snapshot().await.expect("a job").attempts, 1, "what does not pass is not tried again");
    engine.shutdown().await.expect("shuts down");
}

#[tokio::test(flavor = "multi_thread")]
async fn ended_jobs_go_with_their_packages_but_for_those_that_the_host_took_over() {
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let retention = Retention { most: Some(1), ..Retention::default() };
    let engine = builder(dir.path()).retention(retention).start().expect("starts");
    let mut packages = Vec::new();
    for taken in [false, true, false] {
        let job = engine.submit(one(Act::Succeed)).await.expect("is taken");
        packages.push(job.result().await.expect("a package").package);
        if taken {
            job.take_over().await.expect("is the host's");
        }
    }
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while packages[0].exists() || engine.jobs(&JobFilter::default(), None, 9).await.expect("lists").jobs.len() > 1 {
        assert!(tokio::time::Instant::now() < deadline, "{packages:?}");
        tokio::task::yield_now().await;
    }
    assert!(packages[1].is_dir() && packages[2].is_dir());
    engine.shutdown().await.expect("shuts down");
}
