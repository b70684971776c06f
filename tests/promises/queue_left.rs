//! What an engine does with what another one left, whatever ended that: nothing that was told is forgotten, nothing that is there is lost, and
//! nobody works as somebody else.

use crate::queue_bench::{Hands, Host, Service, builder, eventually, killed, order, parameters, source, started, until};
use crate::support::files_below;
use offmap::arcgis::{Credentials, Session};
use offmap::testing::Act;
use offmap::{Engine, GenerateOfflineMapJob, JobFilter, JobState, OfflineMapTask, Retention, WaitReason};
use std::path::{Path, PathBuf};
use std::time::Duration;

const HOUR: Duration = Duration::from_hours(1);

fn session() -> Session {
    let credentials = Credentials::token("the token of a user").for_url("https://scripted.invalid").expect("a url");
    Session::new(credentials)
}

/// A job of a handle, in a session of its user.
fn job_of_a_user(engine: &Engine, destination: &Path) -> GenerateOfflineMapJob {
    let task = OfflineMapTask::new(engine, source(&[("a", Act::Hang)])).with_session(session());
    let job = task.generate_offline_map(parameters(), Default::default(), destination);
    job.start();
    job
}

fn work_dir(destination: &Path) -> PathBuf {
    let name = format!(".{}.offmap", destination.file_name().expect("a name").to_string_lossy());
    destination.with_file_name(name)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_with_a_session_of_its_own_is_exported_and_rolled_back_in_no_other() {
    let (dir, service) = (offmap_sandbox::tempdir().expect("a directory"), Service::default());
    let destination = dir.path().join("map");
    let start = || builder(&dir.path().join("data"), &service).start();
    let engine = start().expect("starts");
    let handle = job_of_a_user(&engine, &destination);
    eventually("it runs", || service.exports() == 1).await;
    let job = engine.job(handle.id()).await.expect("is there");
    job.suspend().await.expect("is suspended");
    job.resume().await.expect("goes on");
    eventually("it runs again", || service.exports() == 2).await;
    job.suspend().await.expect("is suspended");
    assert_eq!(service.in_session(), [true, true]);
    engine.shutdown().await.expect("shuts down");
    // The session is in no file.
    let engine = started(start).await;
    let job = engine.job(handle.id()).await.expect("is there");
    job.resume().await.expect("goes on");
    until(&job, JobState::Waiting).await;
    assert_eq!(job.snapshot().await.expect("a job").waits_for, Some(WaitReason::Credentials));
    let failure = job.cancel().await.expect_err("nobody can roll it back");
    assert!(failure.message.contains("session of the job"), "{failure}");
    assert_eq!((service.exports(), service.in_session().len(), service.registered()), (2, 2, 1));
    assert!(job.snapshot().await.expect("a job").is_kept);
    engine.shutdown().await.expect("shuts down");
    let host = Host::default();
    let engine = started(|| builder(&dir.path().join("data"), &service).credential_provider(host.clone()).start()).await;
    engine.job(handle.id()).await.expect("is there").discard().await.expect("the provider has credentials");
    assert_eq!((service.in_session(), service.registered()), (vec![true; 3], 0));
    engine.shutdown().await.expect("shuts down");
}

/// A job that an engine interrupts while it runs; answers its destination.
async fn interrupted(engine: &Engine, service: &Service, destination: &Path) {
    let task = OfflineMapTask::new(engine, source(&[("a", Act::Hang)]));
    let job = task.generate_offline_map(parameters(), Default::default(), destination);
    let before = service.exports();
    job.start();
    eventually("it runs", || service.exports() > before).await;
    job.cancel_and_keep();
    job.result().await.expect_err("is cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_keeps_keeps_what_an_earlier_run_left_also_before_its_turn() {
    let (dir, service) = (offmap_sandbox::tempdir().expect("a directory"), Service::default());
    let destination = dir.path().join("map");
    let engine = builder(&dir.path().join("data"), &service).start().expect("starts");
    interrupted(&engine, &service, &destination).await;
    service.lets("b", Act::Hang);
    let first = engine.submit(order(&[("b", Act::Succeed)])).await.expect("is taken");
    until(&first, JobState::Running).await;
    let job = GenerateOfflineMapJob::resume(&engine, &destination).await.expect("resumes");
    job.start();
    until(&engine.job(job.id()).await.expect("is there"), JobState::Queued).await;
    job.cancel_and_keep();
    let error = job.result().await.expect_err("is cancelled");
    assert!(error.can_resume && work_dir(&destination).is_dir(), "{error:?}");
    eventually("the first one runs", || service.exports() == 2).await;
    let asked = service.in_session().len();
    let job = GenerateOfflineMapJob::resume(&engine, &destination).await.expect("resumes");
    job.start();
    job.cancel_and_discard();
    job.result().await.expect_err("is cancelled");
    eventually("it is rolled back", || service.in_session().len() == asked + 1 && !work_dir(&destination).exists()).await;
    engine.shutdown().await.expect("shuts down");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_ends_a_resumed_job_before_its_turn_keeps_its_work() {
    let (dir, service, clock) = (offmap_sandbox::tempdir().expect("a directory"), Service::default(), Hands::default());
    let destination = dir.path().join("map");
    let engine = builder(&dir.path().join("data"), &service).clock(clock.clone()).start().expect("starts");
    interrupted(&engine, &service, &destination).await;
    service.lets("b", Act::Hang);
    let first = engine.submit(order(&[("b", Act::Succeed)])).await.expect("is taken");
    until(&first, JobState::Running).await;
    let handle = GenerateOfflineMapJob::resume(&engine, &destination).await.expect("resumes");
    handle.limit_time(HOUR);
    handle.start();
    until(&engine.job(handle.id()).await.expect("is there"), JobState::Queued).await;
    let ended = handle.result();
    tokio::pin!(ended);
    let ended = async {
        loop {
            clock.advance(HOUR);
            tokio::select! {
                result = &mut ended => break result,
                () = tokio::time::sleep(Duration::from_millis(5)) => {}
            }
        }
    };
    let ended = tokio::time::timeout(Duration::from_secs(30), ended).await.expect("it ends");
    let error = ended.expect_err("its time is over");
    assert!(error.can_resume && work_dir(&destination).is_dir(), "{error:?}");
    eventually("the first one runs", || service.exports() == 2).await;
    let before = service.in_session().len();
    engine.job(handle.id()).await.expect("is there").discard().await.expect("is rolled back");
    assert_eq!((service.in_session().len(), work_dir(&destination).exists()), (before + 1, false));
    engine.shutdown().await.expect("shuts down");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_without_data_directory_rolls_back_what_its_jobs_left_when_it_ends() {
    let (dir, service) = (offmap_sandbox::tempdir().expect("a directory"), Service::default());
    let engine = Engine::builder(offmap::packager::MobileMapPackager).exporter(service.clone()).expect("registers");
    let engine = engine.start().expect("starts");
    let destination = dir.path().join("map");
    let job = engine.submit(order(&[("a", Act::Hang)]).destination(&destination)).await.expect("is taken");
    eventually("it runs", || service.exports() == 1).await;
    job.suspend().await.expect("is suspended");
    assert_eq!(service.registered(), 1);
    engine.shutdown().await.expect("shuts down");
    assert_eq!((service.registered(), work_dir(&destination).exists()), (0, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_somebody_has_in_hands_is_waited_for_and_work_that_is_rubbish_is_not() {
    let (dir, service, clock) = (offmap_sandbox::tempdir().expect("a directory"), Service::default(), Hands::default());
    let data = dir.path().join("data");
    let start = || builder(&data, &service).clock(clock.clone()).start();
    let engine = start().expect("starts");
    let job = engine.submit(order(&[("a", Act::Succeed)])).await.expect("is taken");
    job.result().await.expect("a package");
    service.lets("b", Act::Hang);
    let job = engine.submit(order(&[("b", Act::Succeed)])).await.expect("is taken");
    eventually("it runs", || service.exports() == 2).await;
    engine.shutdown().await.expect("shuts down");
    service.lets("b", Act::Succeed);
    let lock = files_below(&data).into_iter().find(|f| f.ends_with("lock") && f.to_string_lossy().contains(job.id()));
    let lock = std::fs::File::open(lock.expect("a lock")).expect("opens");
    lock.try_lock().expect("nobody has it");
    let engine = started(start).await;
    let job = engine.job(job.id()).await.expect("is there");
    until(&job, JobState::Waiting).await;
    drop(lock);
    clock.advance(HOUR);
    job.result().await.expect("a package");
    service.lets("c", Act::Hang);
    let job = engine.submit(order(&[("c", Act::Succeed)])).await.expect("is taken");
    eventually("it runs", || service.exports() == 4).await;
    engine.shutdown().await.expect("shuts down");
    for file in files_below(&data).into_iter().filter(|f| f.to_string_lossy().contains(job.id())) {
        if file.to_string_lossy().contains("ledger.sqlite") {
            std::fs::write(&file, "no ledger at all, ".repeat(500)).expect("writes");
        }
    }
    let engine = started(start).await;
    let job = engine.job(job.id()).await.expect("is there");
    let error = tokio::time::timeout(Duration::from_secs(30), job.result()).await.expect("it ends").expect_err("no ledger");
    assert!(error.can_resume && error.failure.message.contains("offmap clean"), "{error:?}");
    engine.shutdown().await.expect("shuts down");
}

#[test]
fn what_a_job_was_told_holds_after_the_end_of_the_process() {
    let (dir, service) = (offmap_sandbox::tempdir().expect("a directory"), Service::default());
    let start = || builder(dir.path(), &service).concurrent_jobs(2).start();
    for layer in ["a", "b"] {
        service.lets(layer, Act::Hang);
    }
    service.holds_roll_backs(true);
    let (cancelled, suspended) = killed(start, async |engine| {
        let cancelled = engine.submit(order(&[("a", Act::Succeed)])).await.expect("is taken");
        let suspended = engine.submit(order(&[("b", Act::Succeed)])).await.expect("is taken");
        eventually("both run", || service.exports() == 2).await;
        suspended.suspend().await.expect("is suspended");
        let cancels = cancelled.clone();
        let told = tokio::spawn(async move { cancels.cancel().await });
        eventually("it is rolled back", || service.in_session().len() == 3).await;
        assert!(!told.is_finished());
        // What is read now is read after what was written before.
        engine.jobs(&JobFilter::default(), None, 9).await.expect("lists");
        (cancelled.id().to_owned(), suspended.id().to_owned())
    });
    service.holds_roll_backs(false);
    killed(start, async |engine| {
        let job = engine.job(&cancelled).await.expect("is there");
        until(&job, JobState::Cancelled).await;
        let job = engine.job(&suspended).await.expect("is there");
        assert_eq!(job.snapshot().await.expect("a job").state, JobState::Suspended);
        // Two exports, and the roll-back of the one twice.
        assert_eq!((service.exports(), service.in_session().len()), (2, 4));
        engine.shutdown().await.expect("shuts down");
    });
}

#[test]
fn a_job_under_which_the_process_ends_again_and_again_is_not_begun_for_ever() {
    let (dir, service) = (offmap_sandbox::tempdir().expect("a directory"), Service::default());
    let start = || builder(dir.path(), &service).start();
    service.lets("a", Act::Hang);
    let mut ids = Vec::new();
    for run in 1..=10 {
        killed(start, async |engine| {
            if run == 1 {
                for layer in ["a", "b"] {
                    ids.push(engine.submit(order(&[(layer, Act::Succeed)])).await.expect("is taken").id().to_owned());
                }
            }
            eventually("it runs", || service.exports() == run).await;
            // What the store has is what is so: one runs, the other one waits for its turn.
            let page = engine.jobs(&JobFilter::default(), None, 9).await.expect("lists");
            let states: Vec<_> = page.jobs.iter().map(|job| (job.id == ids[0], job.state)).collect();
            assert_eq!(states, [(false, JobState::Queued), (true, JobState::Running)]);
        });
    }
    killed(start, async |engine| {
        let [job, other] = [&ids[0], &ids[1]];
        engine.job(other).await.expect("is there").result().await.expect("a package");
        let job = engine.job(job).await.expect("is there");
        let snapshot = job.snapshot().await.expect("a job");
        assert_eq!(snapshot.state, JobState::Suspended, "{snapshot:?}");
        assert!(snapshot.failure.is_some_and(|f| f.message.contains("10 times in a row")));
        assert_eq!(service.exports(), 11, "ten of the one, and one of the other");
        service.lets("a", Act::Succeed);
        job.resume().await.expect("goes on");
        job.result().await.expect("a package");
        engine.shutdown().await.expect("shuts down");
    });
}

#[test]
fn a_list_after_the_end_of_the_process_says_what_is_so() {
    let (dir, service) = (offmap_sandbox::tempdir().expect("a directory"), Service::default());
    for layer in ["a", "b"] {
        service.lets(layer, Act::Hang);
    }
    let start = |jobs: usize| builder(dir.path(), &service).concurrent_jobs(jobs).start();
    killed(
        || start(2),
        async |engine| {
            for layer in ["a", "b"] {
                engine.submit(order(&[(layer, Act::Succeed)])).await.expect("is taken");
            }
            eventually("both run", || service.exports() == 2).await;
        },
    );
    killed(
        || start(1),
        async |engine| {
            eventually("one runs", || service.exports() == 3).await;
            let filter = JobFilter { states: vec![JobState::Queued], ..JobFilter::default() };
            let queued = engine.jobs(&filter, None, 9).await.expect("lists").jobs.len();
            assert_eq!((queued, engine.stats().running), (1, 1));
        },
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resume_that_comes_while_a_job_is_being_suspended_is_not_lost() {
    for pauses in [false, true] {
        let (dir, service) = (offmap_sandbox::tempdir().expect("a directory"), Service::default());
        let engine = builder(dir.path(), &service).start().expect("starts");
        service.lets("a", Act::Hang);
        let job = engine.submit(order(&[("a", Act::Succeed)])).await.expect("is taken");
        eventually("it runs", || service.exports() == 1).await;
        if pauses {
            job.pause().await.expect("pauses");
        }
        service.lets("a", Act::Succeed);
        // Both are told before the run can end.
        let (suspended, resumed) = tokio::join!(biased; job.suspend(), job.resume());
        suspended.expect("is suspended");
        resumed.expect("goes on");
        tokio::time::timeout(Duration::from_secs(30), job.result()).await.expect("it goes on").expect("a package");
        engine.shutdown().await.expect("shuts down");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_does_not_answer_for_one_job_keeps_no_turn_from_another() {
    let (dir, service, host) = (offmap_sandbox::tempdir().expect("a directory"), Service::default(), Host::default());
    let engine = builder(dir.path(), &service).credential_provider(host.clone()).start().expect("starts");
    host.waits(true);
    let hangs = engine.submit(order(&[("a", Act::Succeed)])).await.expect("is taken");
    host.asked(1).await;
    host.waits(false);
    let other = engine.submit(order(&[("b", Act::Succeed)])).await.expect("is taken");
    tokio::time::timeout(Duration::from_secs(30), other.result()).await.expect("it has its turn").expect("a package");
    let snapshot = hangs.snapshot().await.expect("a job");
    assert_eq!((snapshot.state, snapshot.waits_for), (JobState::Waiting, Some(WaitReason::Credentials)), "{snapshot:?}");
    host.let_answer();
    hangs.result().await.expect("a package");
    assert_eq!(host.asked.load(std::sync::atomic::Ordering::Acquire), 2, "it was asked once a job");
    engine.shutdown().await.expect("shuts down");
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_are_cancelled_before_their_turn_are_let_go_as_well() {
    let (dir, service) = (offmap_sandbox::tempdir().expect("a directory"), Service::default());
    let retention = Retention { most: Some(3), ..Retention::default() };
    let engine = builder(dir.path(), &service).retention(retention).start().expect("starts");
    service.lets("a", Act::Hang);
    let hangs = engine.submit(order(&[("a", Act::Succeed)])).await.expect("is taken");
    eventually("it runs", || service.exports() == 1).await;
    for _ in 0..12 {
        let job = engine.submit(order(&[("b", Act::Succeed)])).await.expect("is taken");
        job.cancel().await.expect("is cancelled");
    }
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        let found = engine.jobs(&JobFilter::default(), None, 99).await.expect("lists").jobs.len();
        if found == 4 {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{found} jobs are there");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    hangs.cancel().await.expect("is cancelled");
    engine.shutdown().await.expect("shuts down");
}
