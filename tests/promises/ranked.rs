//! Exporters are a ranked list that is judged after the service described itself: a layer that the first one cannot export goes to the
//! next one that supports it, and its siblings stay where they are.

use crate::support::{area, run_to_end};
use async_trait::async_trait;
use offmap::testing::{Act, PlainPackager, Script, ScriptedExporter, ScriptedParameters, scripted_map};
use offmap::{
    Artifact, Capability, CapabilityReason, DirectDownload, Engine, ExportContext, ExportState, ExportTask, Exporter,
    Failure, FailureKind, FailureOwner, FailureStage, GenerateOfflineMapParameterOverrides, GenerateOfflineMapParameters,
    MapLayer, OfflineMapPlan, OfflineMapSource, OfflineMapTask, PlanContext, ServiceDescription, ServiceRequest, TaskPlan,
    WebMap,
};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The scripted exporter under another name, which refuses some layers after it described their service.
#[derive(Debug, Clone)]
struct Picky {
    name: &'static str,
    parameters_type: &'static str,
    /// The layers that it supports; empty for all.
    supports: Vec<&'static str>,
    refuses: Vec<&'static str>,
    described: Arc<AtomicUsize>,
    /// Its service answers so many times.
    answers: usize,
    /// Its description is so large that no plan has room for it after so many times.
    grows_after: usize,
    /// Whether it downloads directly.
    direct: bool,
}

impl Picky {
    fn new(name: &'static str, parameters_type: &'static str, refuses: &[&'static str]) -> Self {
        let (refuses, described) = (refuses.to_vec(), Arc::default());
        Self {
            name,
            parameters_type,
            supports: Vec::new(),
            refuses,
            described,
            answers: usize::MAX,
            grows_after: usize::MAX,
            direct: false,
        }
    }

    fn direct(name: &'static str, parameters_type: &'static str, refuses: &[&'static str]) -> Self {
        Self { direct: true, ..Self::new(name, parameters_type, refuses) }
    }
}

#[async_trait]
impl Exporter for Picky {
    type Parameters = ScriptedParameters;
    type Service = <ScriptedExporter as Exporter>::Service;

    fn name(&self) -> &'static str {
        self.name
    }

    fn parameters_type(&self) -> &'static str {
        self.parameters_type
    }

    fn downloads_directly(&self) -> bool {
        self.direct
    }

    fn supports(&self, layer: &MapLayer, source: &OfflineMapSource) -> Option<String> {
        let is_own = self.supports.is_empty() || self.supports.contains(&layer.id.as_str());
        ScriptedExporter.supports(layer, source).filter(|_| is_own)
    }

    async fn describe(
        &self,
        request: &ServiceRequest,
        ctx: &PlanContext,
    ) -> Result<ServiceDescription<Self::Service>, Failure> {
        let before = self.described.fetch_add(1, Ordering::AcqRel);
        if before >= self.answers {
            let message = format!("the service of {} does not answer", self.name);
            return Err(Failure::new(FailureOwner::Network, FailureKind::Unavailable, FailureStage::Plan, message));
        }
        let mut found = ScriptedExporter.describe(request, ctx).await?;
        for (id, capability) in &mut found.capabilities {
            if self.refuses.contains(&id.as_str()) {
                let message = format!("{} does not export {id}", self.name);
                *capability = Capability::refused(CapabilityReason::ExportTilesNotAllowed, message);
            }
        }
        if before >= self.grows_after {
            found.service.extend((0..400_000).map(|i| (format!("filler{i}"), Script::default())));
        }
        Ok(found)
    }

    fn default_parameters(
        &self,
        request: &ServiceRequest,
        found: &ServiceDescription<Self::Service>,
    ) -> Result<Self::Parameters, Failure> {
        ScriptedExporter.default_parameters(request, found)
    }

    async fn plan(
        &self,
        request: &ServiceRequest,
        found: &ServiceDescription<Self::Service>,
        parameters: &Self::Parameters,
        ctx: &PlanContext,
    ) -> Result<TaskPlan, Failure> {
        ScriptedExporter.plan(request, found, parameters, ctx).await
    }

    async fn export(
        &self,
        task: &ExportTask,
        scripts: &Self::Service,
        parameters: &Self::Parameters,
        ctx: &ExportContext,
    ) -> Result<Artifact, Failure> {
        ScriptedExporter.export(task, scripts, parameters, ctx).await
    }
}

/// An engine whose first exporter refuses some layers, whose second one refuses others, and that has no third one.
fn engine(first: &[&'static str], second: &[&'static str]) -> (Engine, Picky, Picky) {
    engine_of(Picky::new("first", "firstParameters", first), Picky::new("second", "secondParameters", second))
}

fn engine_of(first: Picky, second: Picky) -> (Engine, Picky, Picky) {
    // The last one added is asked first.
    let builder = Engine::builder(PlainPackager).exporter(second.clone()).and_then(|b| b.exporter(first.clone()));
    let engine = builder.expect("registers").start().expect("starts");
    assert_eq!(engine.exporters(), ["first", "second"]);
    (engine, first, second)
}

/// A map whose layers are all of one service.
fn one_service(ids: &[&str]) -> OfflineMapSource {
    let map = scripted_map(ids.iter().map(|id| (*id, Script::of(Act::Succeed))));
    let mut map: Value = serde_json::to_value(map).expect("JSON");
    for layer in map["operationalLayers"].as_array_mut().expect("layers") {
        layer["url"] = json!("https://scripted.invalid/all/Server");
    }
    OfflineMapSource::from_web_map(WebMap::from_value(map).expect("a map"))
}

fn tasks(plan: &OfflineMapPlan) -> Vec<(&str, Vec<&str>)> {
    plan.tasks.iter().map(|t| (t.exporter.as_str(), t.layers.iter().map(|l| l.id.as_str()).collect())).collect()
}

#[tokio::test]
async fn a_layer_that_the_first_exporter_refuses_goes_to_the_next_one_and_takes_no_sibling_with_it() {
    let (engine, ..) = engine(&["b"], &[]);
    let task = OfflineMapTask::new(&engine, one_service(&["a", "b", "c"]));
    let parameters = GenerateOfflineMapParameters::new(area());
    let plan = task.plan(&parameters, &Default::default()).await.expect("a plan");
    assert_eq!(tasks(&plan), [("first", vec!["a", "c"]), ("second", vec!["b"])]);
    assert_eq!(plan.skipped, []);
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let job = task.generate_offline_map(parameters, Default::default(), dir.path().join("p"));
    let result = run_to_end(&job).await.0.expect("a package");
    let got: Vec<_> = result.layers.iter().map(|l| (l.id.as_str(), l.state, l.contents.got)).collect();
    assert_eq!(got, ["a", "b", "c"].map(|id| (id, ExportState::Succeeded, 10)));
    engine.shutdown().await.expect("shuts down");
}

#[tokio::test]
async fn where_no_exporter_can_the_reason_of_the_first_one_is_the_layers() {
    let (engine, first, second) = engine(&["b", "c"], &["b"]);
    let task = OfflineMapTask::new(&engine, one_service(&["a", "b", "c"]));
    let parameters = GenerateOfflineMapParameters::new(area());
    let plan = task.plan(&parameters, &Default::default()).await.expect("a plan");
    assert_eq!(tasks(&plan), [("first", vec!["a"]), ("second", vec!["c"])]);
    let [skipped] = plan.skipped.as_slice() else { panic!("{:?}", plan.skipped) };
    let failure = skipped.failure.as_ref().expect("a reason");
    assert_eq!((skipped.id.as_str(), skipped.reason), ("b", CapabilityReason::ExportTilesNotAllowed));
    assert_eq!(failure.message, "first does not export b");
    let asked = [&first, &second].map(|e| e.described.load(Ordering::Acquire));
    assert_eq!(asked, [1, 1], "each exporter is asked once for all layers of the service");
    let strict = GenerateOfflineMapParameters { continue_on_errors: false, ..parameters };
    let failure = task.plan(&strict, &Default::default()).await.expect_err("stops at the first reason");
    assert_eq!(failure.message, "first does not export b");
    engine.shutdown().await.expect("shuts down");
}

#[tokio::test]
async fn an_override_of_the_next_exporter_is_known_and_a_dictionary_without_an_entry_leaves_its_layers_to_the_first_reason()
{
    let (engine, ..) = engine(&["b"], &[]);
    let task = OfflineMapTask::new(&engine, one_service(&["a", "b"]));
    let parameters = GenerateOfflineMapParameters::new(area());
    let read = |text: &str| GenerateOfflineMapParameterOverrides::from_json(text).expect("reads");
    let three = r#"{"secondParameters": {"https://scripted.invalid/all/Server": {"script": {"items": 3}}}}"#;
    let plan = task.plan(&parameters, &read(three)).await.expect("a plan");
    let expected: Vec<_> = plan.tasks.iter().flat_map(|t| &t.layers).map(|l| (l.id.as_str(), l.expected)).collect();
    assert_eq!(expected, [("a", Some(10)), ("b", Some(3))]);
    let plan = task.plan(&parameters, &read(r#"{"secondParameters": {}}"#)).await.expect("a plan");
    assert_eq!(tasks(&plan), [("first", vec!["a"])]);
    let reasons: Vec<_> = plan.skipped.iter().filter_map(|s| s.failure.as_ref()).map(|f| f.message.as_str()).collect();
    assert_eq!(reasons, ["first does not export b"]);
    engine.shutdown().await.expect("shuts down");
}

#[tokio::test]
async fn a_layer_that_is_passed_on_in_vain_costs_no_layer_that_was_planned_before() {
    let first = Picky { supports: vec!["a"], ..Picky::new("first", "firstParameters", &["a"]) };
    for (answers, grows_after, reason) in [
        (1, 2, "does not answer the second time"),
        (2, 1, "describes too much the second time"),
        (2, 2, "takes it the second time"),
    ] {
        let second = Picky { answers, grows_after, ..Picky::new("second", "secondParameters", &[]) };
        let (engine, ..) = engine_of(first.clone(), second);
        let task = OfflineMapTask::new(&engine, one_service(&["a", "b"]));
        let plan = task.plan(&GenerateOfflineMapParameters::new(area()), &Default::default()).await.expect("a plan");
        let skipped: Vec<_> =
            plan.skipped.iter().map(|s| (s.id.as_str(), s.failure.as_ref().map(|f| f.message.as_str()))).collect();
        match answers.min(grows_after) {
            1 => {
                assert_eq!(tasks(&plan), [("second", vec!["b"])], "{reason}");
                assert_eq!(skipped, [("a", Some("first does not export a"))], "the reason of the first one");
            }
            _ => {
                assert_eq!(tasks(&plan), [("second", vec!["b", "a"])], "{reason}");
                assert_eq!(skipped, []);
            }
        }
        engine.shutdown().await.expect("shuts down");
    }
}

/// An engine whose first exporter refuses some layers, and whose second one downloads directly.
fn with_direct(first: &[&'static str], direct: &[&'static str]) -> (Engine, Picky, Picky) {
    engine_of(Picky::new("first", "firstParameters", first), Picky::direct("second", "secondParameters", direct))
}

fn parameters(direct_download: DirectDownload) -> GenerateOfflineMapParameters {
    GenerateOfflineMapParameters { direct_download, ..GenerateOfflineMapParameters::new(area()) }
}

#[tokio::test]
async fn exporters_that_download_directly_are_asked_never_behind_the_others_or_before_them() {
    for (direct, expected, asked) in [
        (DirectDownload::Never, vec![("first", vec!["a"])], [1, 0]),
        (DirectDownload::WhenNotExportable, vec![("first", vec!["a"]), ("second", vec!["b"])], [1, 1]),
        (DirectDownload::Always, vec![("second", vec!["a", "b"])], [0, 1]),
    ] {
        let (engine, first, second) = with_direct(&["b"], &[]);
        let task = OfflineMapTask::new(&engine, one_service(&["a", "b"]));
        let plan = task.plan(&parameters(direct), &Default::default()).await.expect("a plan");
        assert_eq!(tasks(&plan), expected, "{direct:?}");
        assert_eq!([&first, &second].map(|e| e.described.load(Ordering::Acquire)), asked, "{direct:?}");
        assert!(plan.tasks.iter().all(|t| t.direct_download == (t.exporter == "second")), "{direct:?}");
        let kept = GenerateOfflineMapParameterOverrides::from_plan(&plan);
        let again = task.plan(&parameters(DirectDownload::Never), &kept).await.expect("a plan");
        assert_eq!(tasks(&again), expected, "a template of the plan gives the same plan");
        engine.shutdown().await.expect("shuts down");
    }
}

#[tokio::test]
async fn what_could_be_downloaded_directly_is_said_when_it_is_asked_what_can_go_offline() {
    let (engine, ..) = with_direct(&["b", "c"], &["c"]);
    let task = OfflineMapTask::new(&engine, one_service(&["a", "b", "c"]));
    let offered = async |direct| {
        let all = task.capabilities(&parameters(direct)).await.expect("capabilities");
        all.layer_capabilities.into_iter().map(|c| (c.id, c.supports_offline, c.direct_download)).collect::<Vec<_>>()
    };
    let said = |id: &str, offline, direct: Option<&str>| (id.to_owned(), offline, direct.map(str::to_owned));
    let expected = [said("a", true, None), said("b", false, Some("second")), said("c", false, None)];
    assert_eq!(offered(DirectDownload::Never).await, expected, "c is refused by both");
    let expected = [said("a", true, None), said("b", true, None), said("c", false, None)];
    assert_eq!(offered(DirectDownload::WhenNotExportable).await, expected);
    engine.shutdown().await.expect("shuts down");
}

#[tokio::test]
async fn where_a_direct_download_comes_to_nothing_the_reason_of_the_first_exporter_stays_and_its_own_is_a_warning() {
    let (engine, ..) = with_direct(&["b"], &["b"]);
    let task = OfflineMapTask::new(&engine, one_service(&["a", "b"]));
    let plan = task.plan(&parameters(DirectDownload::WhenNotExportable), &Default::default()).await.expect("a plan");
    let reasons: Vec<_> = plan.skipped.iter().filter_map(|s| s.failure.as_ref()).map(|f| f.message.as_str()).collect();
    assert_eq!(reasons, ["first does not export b"]);
    assert!(plan.warnings.iter().any(|w| w.contains("directly either: second does not export b")), "{:?}", plan.warnings);
    engine.shutdown().await.expect("shuts down");
}

#[tokio::test]
async fn the_overrides_say_of_single_layers_whether_they_are_downloaded_directly() {
    let (engine, ..) = with_direct(&["b", "c"], &[]);
    let task = OfflineMapTask::new(&engine, one_service(&["a", "b", "c"]));
    let read = |text: &str| GenerateOfflineMapParameterOverrides::from_json(text).expect("reads");
    let overrides = read(r#"{"directDownload": {"a": "always", "b": "whenNotExportable"}}"#);
    let plan = task.plan(&parameters(DirectDownload::Never), &overrides).await.expect("a plan");
    assert_eq!(tasks(&plan), [("second", vec!["a", "b"])]);
    assert_eq!(plan.skipped.iter().map(|s| s.id.as_str()).collect::<Vec<_>>(), ["c"]);
    for (text, words) in [
        (r#"{"directDownload": {"x": "always"}}"#, "directDownload names `x`, which is not in the map; known are: a, b, c"),
        (
            r#"{"secondParameters": {"https://scripted.invalid/all/Server": {"script": {"items": 3}}}}"#,
            "downloads directly, which `directDownload` has to allow",
        ),
    ] {
        let failure = task.plan(&parameters(DirectDownload::Never), &read(text)).await.expect_err("refused");
        assert!(failure.message.contains(words), "{failure}");
    }
    assert!(GenerateOfflineMapParameterOverrides::from_json(r#"{"directDownload": {"a": "sometimes"}}"#).is_err());
    engine.shutdown().await.expect("shuts down");
}
