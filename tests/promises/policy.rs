//! Every row of the error policy's table (`engine/src/actor/job_supervisor.rs`).

use crate::support::{area, no_one_left, run_scripted, run_to_end, scripted_engine, scripted_task};
use offmap::testing::{Act, Script, ScriptedExporter, ScriptedParameters, scripted_map};
use offmap::{
    Engine, ExportState, Failure, FailureKind, FailureOwner, FailureStage, GenerateOfflineMapParameterOverrides,
    GenerateOfflineMapParameters, LayerOutcome, OfflineMapParametersKey, OfflineMapSource, OfflineMapTask, PackRequest,
    Packager, Packed,
};
use std::path::Path;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

fn states(layers: &[LayerOutcome]) -> Vec<(&str, ExportState)> {
    layers.iter().map(|l| (l.id.as_str(), l.state)).collect()
}

use ExportState::{Cancelled, Failed, Skipped, Succeeded};

#[tokio::test]
async fn invalid_parameters_are_refused_before_start_under_both_policies() {
    for continue_on_errors in [true, false] {
        let engine = scripted_engine();
        let task = scripted_task(&engine, &[("a", Script::of(Act::Succeed))]);
        let dir = offmap_sandbox::tempdir().expect("a directory");
        let mut parameters = GenerateOfflineMapParameters::new(area());
        parameters.continue_on_errors = continue_on_errors;
        parameters.min_scale = 1.0;
        parameters.max_scale = 2.0;
        let none = GenerateOfflineMapParameterOverrides::default();
        let job = task.generate_offline_map(parameters.clone(), none, dir.path().join("p"));
        let (result, messages) = run_to_end(&job).await;
        let failure = result.expect_err("refused").failure;
        assert_eq!((failure.owner, failure.kind), (FailureOwner::Caller, FailureKind::InvalidParameter));
        assert_eq!(messages.len(), 3, "queued, started and failed, nothing between: {messages:?}");

        parameters.min_scale = 0.0;
        let mut overrides = GenerateOfflineMapParameterOverrides::default();
        let key = OfflineMapParametersKey::new("https://nowhere.invalid/S", "scriptedParameters");
        overrides.set(&key, &ScriptedParameters::default()).expect("sets");
        let job = task.generate_offline_map(parameters, overrides, dir.path().join("p"));
        let failure = run_to_end(&job).await.0.expect_err("refused").failure;
        assert!(failure.message.contains("https://nowhere.invalid/S matches nothing"), "{failure}");
        assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), 0);
        no_one_left(&engine).await;
    }
}

#[tokio::test]
async fn a_layer_that_cannot_go_offline_fails_planning_when_the_job_stops_on_errors() {
    for act in [Act::Refuse, Act::Unreachable] {
        let ended = run_scripted(&[("good", Script::of(Act::Succeed)), ("bad", Script::of(act))], false).await;
        let error = ended.result.expect_err("failed");
        assert_eq!(error.failure.layer.as_deref(), Some("bad"));
        assert!(error.layers.is_empty(), "nothing was started");
    }
}

#[tokio::test]
async fn a_layer_that_cannot_go_offline_is_skipped_with_its_reason_when_the_job_continues() {
    let ended = run_scripted(&[("good", Script::of(Act::Succeed)), ("bad", Script::of(Act::Refuse))], true).await;
    let result = ended.result.expect("a package");
    assert_eq!(states(&result.layers), [("good", Succeeded), ("bad", Skipped)]);
    let missing: Vec<_> = result.layer_errors().collect();
    assert!(missing[0].failure.as_ref().expect("a reason").message.contains("the script refuses"));
}

#[tokio::test]
async fn the_first_failure_stops_the_job_and_cancels_what_runs() {
    let hang = Script::of(Act::Hang);
    let ended = run_scripted(&[("hangs", hang), ("fails", Script::of(Act::Fail)), ("also", hang)], false).await;
    let error = ended.result.expect_err("failed");
    assert!(error.failure.message.contains("the script says fail"), "{}", error.failure);
    assert_eq!(states(&error.layers), [("hangs", Cancelled), ("fails", Failed), ("also", Cancelled)]);
}

#[tokio::test]
async fn nothing_is_started_after_the_failure_that_stops_the_job() {
    let engine = Engine::builder(offmap::packager::MobileMapPackager).exporter(ScriptedExporter).expect("registers");
    let engine = engine.concurrent_exports(1).start().expect("starts");
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let task = scripted_task(&engine, &[("fails", Script::of(Act::Fail)), ("later", Script::of(Act::Succeed))]);
    let mut parameters = GenerateOfflineMapParameters::new(area());
    parameters.continue_on_errors = false;
    let none = GenerateOfflineMapParameterOverrides::default();
    let (result, messages) = run_to_end(&task.generate_offline_map(parameters, none, dir.path().join("p"))).await;
    assert_eq!(states(&result.expect_err("failed").layers), [("fails", Failed), ("later", Cancelled)]);
    assert!(!messages.iter().any(|m| m.subject.id == "later" && m.state == ExportState::Started));
    no_one_left(&engine).await;
}

#[tokio::test]
async fn a_failed_layer_is_recorded_and_the_package_holds_the_rest() {
    let ended = run_scripted(&[("good", Script::of(Act::Succeed)), ("bad", Script::of(Act::Fail))], true).await;
    let result = ended.result.expect("a package");
    assert_eq!(states(&result.layers), [("good", Succeeded), ("bad", Failed)]);
    assert!(result.has_errors());
    let package = offmap::packager::MobileMapPackage::open(&ended.destination).expect("opens");
    let ids: Vec<_> = package.maps()[0].layers.iter().map(|l| l.id.as_str()).collect();
    assert_eq!(ids, ["good"]);
    let manifest = package.manifest().expect("a manifest").expect("a good one");
    assert!(!manifest.complete);
    assert!(manifest.layers.iter().any(|l| l.id == "bad" && l.failure.is_some()));
}

#[tokio::test]
async fn panic_and_silence_count_as_failures() {
    for (act, kind) in [
        (Act::Panic, FailureKind::Panicked),
        (Act::Nothing, FailureKind::Incomplete),
        (Act::Short, FailureKind::Incomplete),
        (Act::Unfinished, FailureKind::Incomplete),
    ] {
        let ended = run_scripted(&[("good", Script::of(Act::Succeed)), ("bad", Script::of(act))], true).await;
        let result = ended.result.expect("a package");
        assert_eq!(states(&result.layers), [("good", Succeeded), ("bad", Failed)], "{act:?}");
        let failure = result.layers[1].failure.as_ref().expect("a failure");
        assert_eq!(failure.kind, kind, "{failure}");
        let stopped = run_scripted(&[("good", Script::of(Act::Succeed)), ("bad", Script::of(act))], false).await;
        assert_eq!(stopped.result.expect_err("failed").failure.kind, kind);
    }
}

#[tokio::test]
async fn when_every_layer_fails_the_job_fails_under_both_policies() {
    for continue_on_errors in [true, false] {
        let layers = [("a", Script::of(Act::Fail)), ("b", Script::of(Act::Panic))];
        let error = run_scripted(&layers, continue_on_errors).await.result.expect_err("failed");
        assert!(error.layers.iter().all(|l| l.state != Succeeded));
    }
    let refused = run_scripted(&[("a", Script::of(Act::Refuse))], true).await.result.expect_err("failed");
    assert!(refused.failure.message.contains("no layer could be taken offline"), "{}", refused.failure);
}

/// Fails or waits where the package should be made.
#[derive(Debug)]
struct BadPackager {
    waits: bool,
}

#[async_trait::async_trait]
impl Packager for BadPackager {
    fn check_destination(&self, _: &Path) -> Result<(), Failure> {
        Ok(())
    }

    async fn pack(
        &self,
        request: PackRequest,
        _: Arc<dyn Fn(u64, u64) + Send + Sync>,
        cancel: CancellationToken,
    ) -> Result<Packed, Failure> {
        std::fs::create_dir_all(&request.staging_dir).expect("stages");
        if self.waits {
            cancel.cancelled().await;
            return Err(Failure::cancelled());
        }
        Err(Failure::new(FailureOwner::Engine, FailureKind::Internal, FailureStage::Package, "no idea"))
    }
}

#[tokio::test]
async fn when_the_packager_fails_or_the_host_cancels_the_destination_is_untouched() {
    for (waits, continue_on_errors) in [(false, true), (false, false), (true, true), (true, false)] {
        let engine =
            Engine::builder(BadPackager { waits }).exporter(ScriptedExporter).expect("registers").start().expect("starts");
        let dir = offmap_sandbox::tempdir().expect("a directory");
        let destination = dir.path().join("empty");
        std::fs::create_dir(&destination).expect("makes");
        let source = OfflineMapSource::from_web_map(scripted_map([("a", Script::of(Act::Succeed))]));
        let task = OfflineMapTask::new(&engine, source);
        let mut parameters = GenerateOfflineMapParameters::new(area());
        parameters.continue_on_errors = continue_on_errors;
        let job = task.generate_offline_map(parameters, GenerateOfflineMapParameterOverrides::default(), &destination);
        let mut status = job.status();
        job.start();
        while let Some(message) = status.next().await {
            let packs = message.subject.kind == offmap::SubjectKind::Package && message.state == ExportState::Started;
            if waits && packs {
                job.cancel();
            }
        }
        let failure = job.result().await.expect_err("no package").failure;
        assert_eq!(failure.kind, if waits { FailureKind::Cancelled } else { FailureKind::Internal });
        assert_eq!(std::fs::read_dir(&destination).expect("still there").count(), 0);
        assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), 1, "no work directory is left");
        no_one_left(&engine).await;
    }
}

#[tokio::test]
async fn a_panicking_a_hanging_and_a_succeeding_exporter_have_three_right_outcomes_and_no_actor_is_left() {
    let engine = scripted_engine();
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let layers =
        [("panics", Script::of(Act::Panic)), ("hangs", Script::of(Act::Hang)), ("succeeds", Script::of(Act::Succeed))];
    let task = scripted_task(&engine, &layers);
    let none = GenerateOfflineMapParameterOverrides::default();
    let job = task.generate_offline_map(GenerateOfflineMapParameters::new(area()), none, dir.path().join("p"));
    let mut status = job.status();
    job.start();
    let mut ended = 0;
    while let Some(message) = status.next().await {
        ended += u32::from(message.state.is_terminal() && message.subject.kind == offmap::SubjectKind::Layer);
        if ended == 2 {
            job.cancel();
        }
    }
    let error = job.result().await.expect_err("cancelled");
    assert!(error.failure.is_cancelled());
    assert_eq!(states(&error.layers), [("panics", Failed), ("hangs", Cancelled), ("succeeds", Succeeded)]);
    let panic = error.layers[0].failure.as_ref().expect("a failure");
    assert!(panic.message.contains("the script says panic"), "{panic}");
    no_one_left(&engine).await;
    assert_eq!(engine.stats().actors, 0);
}

#[tokio::test]
async fn several_jobs_at_once_do_not_touch_each_other() {
    let engine = scripted_engine();
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let jobs: Vec<_> = (0..20)
        .map(|i| {
            let act = if i % 4 == 0 { Act::Fail } else { Act::Succeed };
            let task = scripted_task(&engine, &[("a", Script::of(act)), ("b", Script::of(Act::Succeed))]);
            let none = GenerateOfflineMapParameterOverrides::default();
            let job =
                task.generate_offline_map(GenerateOfflineMapParameters::new(area()), none, dir.path().join(format!("p{i}")));
            job.start();
            job
        })
        .collect();
    for (i, job) in jobs.iter().enumerate() {
        let result = job.result().await.expect("a package");
        assert_eq!(result.has_errors(), i % 4 == 0);
        assert!(job.destination().join("package.info").exists());
    }
    no_one_left(&engine).await;
}

#[tokio::test]
async fn the_author_s_online_layers_stay_online_when_the_caller_wants_the_author_s_word() {
    use offmap::OnlineOnlyServicesOption as Option;
    for (option, kept, got) in [(Option::UseAuthoredSettings, true, 0), (Option::Exclude, false, 10)] {
        let engine = scripted_engine();
        let map = scripted_map([("a", Script::of(Act::Succeed)), ("b", Script::of(Act::Succeed))]);
        let mut json = serde_json::to_value(&map).expect("JSON");
        json["applicationProperties"] = serde_json::json!({"offline": {"connectedOnlineLayers": [{"id": "b"}]}});
        let source = OfflineMapSource::from_web_map(offmap::WebMap::from_value(json).expect("a map"));
        let task = OfflineMapTask::new(&engine, source);
        let dir = offmap_sandbox::tempdir().expect("a directory");
        let mut parameters = GenerateOfflineMapParameters::new(area());
        parameters.online_only_services_option = option;
        let none = GenerateOfflineMapParameterOverrides::default();
        let job = task.generate_offline_map(parameters, none, dir.path().join("p"));
        let result = run_to_end(&job).await.0.expect("a package");
        assert!(!result.has_errors(), "{:?}", result.layers);
        assert_eq!(result.layers[1].contents.got, got);
        let package = offmap::packager::MobileMapPackage::open(&result.package).expect("opens");
        let layers = &package.maps()[0].layers;
        assert_eq!(layers.len(), 2, "the layer is in the map either way");
        assert_eq!(layers[1].data.is_none() && layers[1].url.is_some(), kept);
        no_one_left(&engine).await;
    }
}

#[tokio::test]
async fn a_required_layer_stops_the_job_and_an_optional_one_never_does() {
    use offmap::LayerImportance::{Optional, Required};
    // Under each policy: which layer fails, what is said of it, whether there is a package.
    for (continue_on_errors, act, importance, packed) in [
        (true, Act::Fail, Some(Required), false),
        (true, Act::Refuse, Some(Required), false),
        (true, Act::Fail, None, true),
        (false, Act::Fail, Some(Optional), true),
        (false, Act::Refuse, Some(Optional), true),
        (false, Act::Fail, None, false),
    ] {
        let engine = scripted_engine();
        let task = scripted_task(&engine, &[("good", Script::of(Act::Succeed)), ("bad", Script::of(act))]);
        let dir = offmap_sandbox::tempdir().expect("a directory");
        let mut parameters = GenerateOfflineMapParameters::new(area());
        parameters.continue_on_errors = continue_on_errors;
        parameters.layer_importance.extend(importance.map(|i| ("bad".to_owned(), i)));
        let job = task.generate_offline_map(parameters, Default::default(), dir.path().join("p"));
        let (result, _) = run_to_end(&job).await;
        assert_eq!(result.is_ok(), packed, "{continue_on_errors} {act:?} {importance:?}: {result:?}");
        assert_eq!(dir.path().join("p").exists(), packed);
        match result {
            Ok(result) => assert_eq!(result.layer_errors().map(|l| l.id.as_str()).collect::<Vec<_>>(), ["bad"]),
            Err(error) => assert_eq!(error.failure.layer.as_deref(), Some("bad")),
        }
    }
    let engine = scripted_engine();
    let task = scripted_task(&engine, &[("good", Script::of(Act::Succeed))]);
    let mut parameters = GenerateOfflineMapParameters::new(area());
    parameters.layer_importance.insert("nobody".to_owned(), Required);
    let failure = task.plan(&parameters, &Default::default()).await.expect_err("refused");
    assert!(failure.message.contains("layerImportance names `nobody`"), "{failure}");
}
