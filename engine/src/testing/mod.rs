//! For tests of exporters and of services that embed offmap: a scripted exporter, a plain packager, a virtual clock and the
//! exporter conformance suite with its fault matrix (feature `testing`).

mod faults;

pub use faults::{
    FaultAction, FaultEnds, FaultMatrix, FaultReport, FaultRow, FaultStep, FaultyService, JobFault, StepKind, fault_rows,
};

use crate::context::ExportContext;
use crate::event_log::EventLog;
use crate::exporter::{Exporter, LayerPlan, PlanContext, ServiceDescription, ServiceRequest, TaskPlan};
use crate::ledger::Ledger;
use crate::packager::{PackRequest, Packager, Packed};
use crate::planner;
use crate::registry::ExporterRegistry;
use async_trait::async_trait;
use offmap_model::{
    Artifact, ArtifactFile, Capability, CapabilityReason, Clock, CountUnit, ExportTask, Failure, FailureKind, FailureOwner,
    FailureStage, GenerateOfflineMapParameterOverrides, GenerateOfflineMapParameters, LayerArtifact, LayerContents,
    LayerSecrets, MapLayer, OfflineMapParametersKey, OfflineMapSource, Progress, ProgressUnit, SecretRegistry, Subject,
    SubjectKind, Unit, WebMap, system_now_ms,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// A clock whose waits take no time: each moves the hands on and lets other tasks run.
#[derive(Debug)]
pub struct VirtualClock {
    now: AtomicI64,
}

impl Default for VirtualClock {
    fn default() -> Self {
        Self { now: AtomicI64::new(1_700_000_000_000) }
    }
}

#[async_trait]
impl Clock for VirtualClock {
    fn now_ms(&self) -> i64 {
        self.now.load(Ordering::Acquire)
    }

    async fn sleep(&self, duration: Duration) {
        self.now.fetch_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX), Ordering::AcqRel);
        tokio::task::yield_now().await;
    }
}

/// What a scripted layer does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Act {
    /// Brings home all items.
    #[default]
    Succeed,
    /// Fails.
    Fail,
    /// Panics.
    Panic,
    /// Works until it is cancelled.
    Hang,
    /// Brings home one item too few.
    Short,
    /// Brings home nothing and says that all is well.
    Nothing,
    /// Cannot go offline.
    Refuse,
    /// Never finishes its unit.
    Unfinished,
    /// Its service does not answer.
    Unreachable,
}

/// The script of a layer, kept in the map as its `layerDefinition.definitionExpression`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Script {
    /// What it does.
    pub act: Act,
    /// Items that it plans and, if all goes well, brings home.
    pub items: u64,
    /// Milliseconds that it takes, by the engine's clock.
    pub delay_ms: u64,
}

impl Script {
    /// An act with ten items and no delay.
    #[must_use]
    pub fn of(act: Act) -> Self {
        Self { act, items: 10, delay_ms: 0 }
    }
}

/// A web map of scripted layers, one service each, named by their ids.
#[must_use]
pub fn scripted_map<'a>(layers: impl IntoIterator<Item = (&'a str, Script)>) -> WebMap {
    let layers: Vec<Value> = layers
        .into_iter()
        .map(|(id, script)| {
            json!({"id": id, "title": id, "layerType": "Scripted", "url": format!("https://scripted.invalid/{id}/Server"),
                "layerDefinition": {"definitionExpression": json!(script).to_string()}})
        })
        .collect();
    let map = json!({"operationalLayers": layers, "baseMap": {"baseMapLayers": []}, "version": "2.35",
        "spatialReference": {"wkid": 102_100}, "kept": {"unknown": [1, 2, 3]}});
    match WebMap::from_value(map) {
        Ok(map) => map,
        Err(failure) => panic!("a scripted map is a map: {failure}"),
    }
}

/// Parameters of [`ScriptedExporter`].
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ScriptedParameters {
    /// In place of the map's script.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<Script>,
}

/// Takes layers of the type `Scripted` and does what their [`Script`] says.
#[derive(Debug, Clone, Default)]
pub struct ScriptedExporter;

fn script_of(layer: &MapLayer) -> Script {
    layer.definition_expression.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

#[async_trait]
impl Exporter for ScriptedExporter {
    type Parameters = ScriptedParameters;
    type Service = BTreeMap<String, Script>;

    fn name(&self) -> &'static str {
        "scripted"
    }

    fn parameters_type(&self) -> &'static str {
        "scriptedParameters"
    }

    fn supports(&self, layer: &MapLayer, _: &OfflineMapSource) -> Option<String> {
        (layer.layer_type.to_string() == "Scripted").then(|| layer.url.clone()).flatten()
    }

    async fn describe(
        &self,
        request: &ServiceRequest,
        _: &PlanContext,
    ) -> Result<ServiceDescription<Self::Service>, Failure> {
        let mut capabilities = Vec::new();
        for layer in &request.layers {
            capabilities.push((
                layer.id.clone(),
                match script_of(layer).act {
                    Act::Refuse => Capability::refused(CapabilityReason::SyncNotEnabled, "the script refuses"),
                    Act::Unreachable => {
                        let message = "the scripted service does not answer";
                        return Err(Failure::new(
                            FailureOwner::Network,
                            FailureKind::Unavailable,
                            FailureStage::Plan,
                            message,
                        ));
                    }
                    _ => Capability::Supported,
                },
            ));
        }
        Ok(ServiceDescription {
            title: request.service_url.clone(),
            service: request.layers.iter().map(|l| (l.id.clone(), script_of(l))).collect(),
            capabilities,
            extent: None,
            attribution: Some("scripted data".to_owned()),
            edit_date: None,
        })
    }

    fn default_parameters(
        &self,
        _: &ServiceRequest,
        _: &ServiceDescription<Self::Service>,
    ) -> Result<ScriptedParameters, Failure> {
        Ok(ScriptedParameters::default())
    }

    async fn plan(
        &self,
        request: &ServiceRequest,
        _: &ServiceDescription<Self::Service>,
        parameters: &ScriptedParameters,
        _: &PlanContext,
    ) -> Result<TaskPlan, Failure> {
        let layers = request.layers.iter().map(|l| LayerPlan {
            attachments: None,
            id: l.id.clone(),
            service_layer_id: None,
            expected: Some(parameters.script.unwrap_or_else(|| script_of(l)).items),
            exact: true,
        });
        Ok(TaskPlan {
            units: request.layers.iter().map(|l| Unit::new(&l.id, "scripted", &l.title)).collect(),
            layers: layers.collect(),
            count_unit: CountUnit::Items,
            ..TaskPlan::default()
        })
    }

    async fn export(
        &self,
        task: &ExportTask,
        scripts: &Self::Service,
        parameters: &ScriptedParameters,
        ctx: &ExportContext,
    ) -> Result<Artifact, Failure> {
        let mut artifact = Artifact::default();
        for (i, layer) in task.layers.iter().enumerate() {
            let script = parameters.script.or_else(|| scripts.get(&layer.id).copied()).unwrap_or_default();
            ctx.begin_unit(&layer.id).await?;
            let steps = 4;
            for step in 1..=steps {
                if script.delay_ms > 0 {
                    let pause = ctx.clock().sleep(Duration::from_millis(script.delay_ms / steps));
                    ctx.or_cancelled(async {
                        let _: () = pause.await;
                        Ok(())
                    })
                    .await?;
                }
                let completed = script.items * step / steps;
                ctx.report(Progress { completed, required: script.items, unit: ProgressUnit::Files, precise: true });
            }
            match script.act {
                Act::Fail => {
                    let message = "the script says fail";
                    let failure = Failure::new(FailureOwner::Source, FailureKind::ServiceError, FailureStage::Run, message);
                    return Err(ctx.fail_unit(&layer.id, failure).await);
                }
                Act::Panic => panic!("the script says panic"),
                Act::Hang => {
                    ctx.cancelled().await;
                    return Err(Failure::cancelled());
                }
                _ => {}
            }
            let got = match script.act {
                Act::Short => script.items.saturating_sub(1),
                Act::Nothing => 0,
                _ => script.items,
            };
            let name = format!("{i}.json");
            let text = json!({"layer": layer.id, "items": got}).to_string();
            tokio::fs::write(ctx.work_dir().join(&name), &text)
                .await
                .map_err(|e| Failure::io(FailureStage::Run, "cannot write a scripted file", &e))?;
            if script.act != Act::Unfinished {
                ctx.finish_unit(&layer.id, text.len() as u64, None).await?;
            }
            artifact.files.push(ArtifactFile::file(name, "json"));
            artifact.layers.push(LayerArtifact {
                id: layer.id.clone(),
                file: Some(i),
                contents: LayerContents { planned: Some(script.items), got, ..LayerContents::default() },
                ..LayerArtifact::default()
            });
        }
        Ok(artifact)
    }
}

/// Packs by moving what came home into the destination; for tests that do not care about the package.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlainPackager;

#[async_trait]
impl Packager for PlainPackager {
    fn check_destination(&self, destination: &Path) -> Result<(), Failure> {
        if destination.exists() {
            return Err(Failure::invalid_parameter(format!("{} exists", destination.display())));
        }
        Ok(())
    }

    async fn pack(
        &self,
        request: PackRequest,
        report: Arc<dyn Fn(u64, u64) + Send + Sync>,
        cancel: CancellationToken,
    ) -> Result<Packed, Failure> {
        if cancel.is_cancelled() {
            return Err(Failure::cancelled());
        }
        offmap_disk::run_blocking(move || {
            let failed = |e: std::io::Error| Failure::io(FailureStage::Package, "cannot pack", &e);
            std::fs::create_dir_all(&request.staging_dir).map_err(failed)?;
            let mut files = 0;
            for task in &request.artifacts {
                for file in &task.artifact.files {
                    let to = request.staging_dir.join(format!("{files}.{}", file.extension));
                    std::fs::rename(task.work_dir.join(&file.path), to).map_err(failed)?;
                    files += 1;
                    report(files, files);
                }
            }
            std::fs::rename(&request.staging_dir, &request.destination).map_err(failed)?;
            Ok(Packed { path: request.destination, bytes: 0, files })
        })
        .await
    }
}

/// Checks an exporter against the contract of [`Exporter`]. `source` must hold layers that it takes and can bring home.
///
/// # Errors
/// Every broken promise, in words.
pub async fn exporter_conformance<E: Exporter + Clone>(
    exporter: E,
    source: OfflineMapSource,
    parameters: GenerateOfflineMapParameters,
) -> Result<(), Vec<String>> {
    let mut broken = Vec::new();
    let name = exporter.name();
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
        broken.push(format!("name `{name}` is not kebab-case"));
    }
    let source = Arc::new(source);
    let layers = source.web_map.layers();
    if !layers.iter().any(|l| exporter.supports(l, &source).is_some()) {
        return Err(vec![format!("`{name}` takes no layer of the map that it is checked with")]);
    }
    if layers.iter().any(|l| exporter.supports(l, &source) != exporter.supports(l, &source)) {
        broken.push("`takes` answers the same question in two ways".to_owned());
    }
    let mut registry = ExporterRegistry::default();
    if let Err(failure) = registry.register(exporter.clone()) {
        return Err(vec![failure.to_string()]);
    }
    let ctx = PlanContext {
        cancel: CancellationToken::new(),
        clock: Arc::new(offmap_model::SystemClock),
        secrets: Default::default(),
    };
    let none = GenerateOfflineMapParameterOverrides::default();
    let planned = planner::plan(&registry, &source, &parameters, &none, &ctx).await;
    let plan = match planned {
        Ok(plan) if !plan.tasks.is_empty() => plan,
        Ok(plan) => return Err(vec![format!("nothing was planned; skipped: {:?}", plan.skipped)]),
        Err(failure) => return Err(vec![format!("planning failed: {failure}")]),
    };
    match planner::plan(&registry, &source, &parameters, &none, &ctx).await {
        Ok(again) if again.tasks.iter().map(|t| &t.units).eq(plan.tasks.iter().map(|t| &t.units)) => {}
        _ => broken.push("planning twice gives other units".to_owned()),
    }
    for task in &plan.tasks {
        misspelt_override(&registry, &source, &parameters, task, &ctx, &mut broken).await;
        if task.units.is_empty() {
            broken.push(format!("task {} has no units", task.id));
        }
        let mut ids: Vec<_> = task.units.iter().map(|u| &u.id).collect();
        ids.sort();
        ids.dedup();
        if ids.len() != task.units.len() {
            broken.push(format!("units of task {} have equal ids", task.id));
        }
        if let Err(words) = export_and_look(&registry, &plan, task).await {
            broken.extend(words);
        }
        if let Err(words) = cancel_and_look(&registry, &plan, task).await {
            broken.extend(words);
        }
    }
    if broken.is_empty() { Ok(()) } else { Err(broken) }
}

async fn misspelt_override(
    registry: &ExporterRegistry,
    source: &Arc<OfflineMapSource>,
    parameters: &GenerateOfflineMapParameters,
    task: &ExportTask,
    ctx: &PlanContext,
    broken: &mut Vec<String>,
) {
    let mut overrides = GenerateOfflineMapParameterOverrides::default();
    let key = OfflineMapParametersKey::new(&task.key.service_url, &task.key.parameters_type);
    if overrides.set(&key, &json!({"noSuchKey": 1})).is_err() {
        return;
    }
    match planner::plan(registry, source, parameters, &overrides, ctx).await {
        Err(failure) if failure.kind == FailureKind::InvalidParameter => {}
        other => broken.push(format!("an unknown override key is not refused: {:?}", other.map(|p| p.tasks.len()))),
    }
}

async fn context_for(
    plan: &offmap_model::OfflineMapPlan,
    task: &ExportTask,
    dir: &Path,
) -> Result<(ExportContext, CancellationToken), Vec<String>> {
    let words = |failure: Failure| vec![failure.to_string()];
    let ledger = Ledger::open(&dir.join("ledger.sqlite")).await.map_err(words)?;
    ledger.put_plan(plan, system_now_ms()).await.map_err(words)?;
    let work_dir = dir.join("work");
    std::fs::create_dir_all(&work_dir).map_err(|e| vec![e.to_string()])?;
    let clock: Arc<dyn Clock> = Arc::new(offmap_model::SystemClock);
    let cancel = CancellationToken::new();
    let ctx = ExportContext {
        pause: Arc::default(),
        keep: Arc::default(),
        task: task.id.clone(),
        subjects: ExportContext::subjects_of(task),
        work_dir,
        cancel: cancel.clone(),
        clock: Arc::clone(&clock),
        ledger: ledger.task(&task.id),
        plan: Arc::new(plan.clone()),
        secrets: LayerSecrets::default(),
        known_secrets: SecretRegistry::default(),
        more_follows: false,
        event_log: EventLog::new(
            Subject::new(SubjectKind::Job, "conformance", "conformance"),
            clock,
            SecretRegistry::default(),
        ),
    };
    Ok((ctx, cancel))
}

/// Files below a directory, but for the work directory given.
fn files_outside(dir: &Path, work_dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path());
    entries.filter(|p| p != work_dir && !p.to_string_lossy().contains("ledger.sqlite")).collect()
}

async fn export_and_look(
    registry: &ExporterRegistry,
    plan: &offmap_model::OfflineMapPlan,
    task: &ExportTask,
) -> Result<(), Vec<String>> {
    let mut broken = Vec::new();
    let dir = tempfile::tempdir().map_err(|e| vec![e.to_string()])?;
    let (ctx, _) = context_for(plan, task, dir.path()).await?;
    let exporter = registry.by_name(&task.exporter).map_err(|f| vec![f.to_string()])?;
    let artifact = match exporter.export(task, &ctx).await {
        Ok(artifact) => artifact,
        Err(failure) => return Err(vec![format!("export failed: {failure}")]),
    };
    for unit in ctx.units().await.map_err(|f| vec![f.to_string()])? {
        if unit.state != "finished" {
            broken.push(format!("unit `{}` is {} after a good export", unit.id, unit.state));
        }
    }
    for layer in &task.layers {
        match artifact.layers.iter().find(|a| a.id == layer.id) {
            None => broken.push(format!("layer `{}` is not in the artifact", layer.id)),
            Some(a) if a.failure.is_some() => broken.push(format!("layer `{}` failed: {:?}", layer.id, a.failure)),
            Some(a) if layer.exact && a.contents.planned != Some(a.contents.got) => {
                broken.push(format!("layer `{}`: planned {:?}, got {}", layer.id, a.contents.planned, a.contents.got));
            }
            Some(_) => {}
        }
    }
    for file in &artifact.files {
        if !ctx.work_dir().join(&file.path).exists() {
            broken.push(format!("{} is in the artifact and not on disk", file.path.display()));
        }
    }
    for stray in files_outside(dir.path(), ctx.work_dir()) {
        broken.push(format!("{} was written outside the work directory", stray.display()));
    }
    if broken.is_empty() { Ok(()) } else { Err(broken) }
}

async fn cancel_and_look(
    registry: &ExporterRegistry,
    plan: &offmap_model::OfflineMapPlan,
    task: &ExportTask,
) -> Result<(), Vec<String>> {
    let dir = tempfile::tempdir().map_err(|e| vec![e.to_string()])?;
    let (ctx, cancel) = context_for(plan, task, dir.path()).await?;
    let exporter = registry.by_name(&task.exporter).map_err(|f| vec![f.to_string()])?;
    cancel.cancel();
    let began = Instant::now();
    let outcome = tokio::time::timeout(Duration::from_secs(5), exporter.export(task, &ctx)).await;
    match outcome {
        Err(_) => Err(vec!["a cancelled export has not ended after five seconds".to_owned()]),
        Ok(_) if began.elapsed() > Duration::from_secs(1) => {
            Err(vec![format!("a cancelled export took {:?} to end, expected under a second", began.elapsed())])
        }
        Ok(_) => Ok(()),
    }
}
