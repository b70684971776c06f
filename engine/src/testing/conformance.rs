//! Checks an exporter against its contract.

use crate::context::ExportContext;
use crate::event_log::EventLog;
use crate::exporter::{Exporter, PlanContext};
use crate::ledger::{Ledger, UnitState};
use crate::plan::{PlanInputs, plan};
use crate::registry::ExporterRegistry;
use offmap_model::{
    Clock, ExportTask, Failure, FailureKind, GenerateOfflineMapParameterOverrides, GenerateOfflineMapParameters,
    OfflineMapParametersKey, OfflineMapPlan, OfflineMapSource, SecretRegistry, Subject, SubjectKind, SystemClock,
    system_now_ms,
};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Checks an exporter against the contract of [`Exporter`]. `source` must hold layers that it supports and can export.
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
        return Err(vec![format!("`{name}` supports no layer of the map that it is checked with")]);
    }
    if layers.iter().any(|l| exporter.supports(l, &source) != exporter.supports(l, &source)) {
        broken.push("`supports` answers the same question in two ways".to_owned());
    }
    let mut registry = ExporterRegistry::default();
    if let Err(failure) = registry.register(exporter.clone()) {
        return Err(vec![failure.to_string()]);
    }
    let ctx = PlanContext::new(CancellationToken::new(), Arc::new(SystemClock), Default::default(), None);
    let none = GenerateOfflineMapParameterOverrides::default();
    let inputs = PlanInputs { registry: &registry, source: &source, parameters: &parameters, overrides: &none };
    let planned = plan(inputs, None, &ctx).await;
    let first = match planned {
        Ok(plan) if !plan.tasks.is_empty() => plan,
        Ok(plan) => return Err(vec![format!("nothing was planned; skipped: {:?}", plan.skipped)]),
        Err(failure) => return Err(vec![format!("planning failed: {failure}")]),
    };
    match plan(inputs, None, &ctx).await {
        Ok(again) if again.tasks.iter().map(|t| &t.units).eq(first.tasks.iter().map(|t| &t.units)) => {}
        _ => broken.push("planning twice gives other units".to_owned()),
    }
    for task in &first.tasks {
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
        if let Err(words) = export_and_look(&registry, &first, task).await {
            broken.extend(words);
        }
        if let Err(words) = cancel_and_look(&registry, &first, task).await {
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
    match plan(PlanInputs { registry, source, parameters, overrides: &overrides }, None, ctx).await {
        Err(failure) if failure.kind == FailureKind::InvalidParameter => {}
        other => broken.push(format!("an unknown override key is not refused: {:?}", other.map(|p| p.tasks.len()))),
    }
}

async fn context_for(
    plan: &OfflineMapPlan,
    task: &ExportTask,
    dir: &Path,
) -> Result<(ExportContext, CancellationToken), Vec<String>> {
    let words = |failure: Failure| vec![failure.to_string()];
    let ledger = Ledger::open(&dir.join("ledger.sqlite")).await.map_err(words)?;
    ledger.put_plan(plan, system_now_ms()).await.map_err(words)?;
    let work_dir = dir.join("work");
    std::fs::create_dir_all(&work_dir).map_err(|e| vec![e.to_string()])?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let cancel = CancellationToken::new();
    let ctx = ExportContext {
        pause: Arc::default(),
        permit: None,
        keep: Arc::default(),
        task: task.id.as_str().into(),
        subjects: ExportContext::subjects_of(task),
        work_dir: work_dir.into(),
        cancel: cancel.clone(),
        clock: Arc::clone(&clock),
        ledger: ledger.task(&task.id),
        plan: Arc::new(plan.clone()),
        planned: task.bytes,
        only_unit: ExportContext::only_unit_of(task),
        secrets: Arc::default(),
        known_secrets: SecretRegistry::default(),
        session: None,
        more_follows: false,
        event_log: EventLog::after(
            0,
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

async fn export_and_look(registry: &ExporterRegistry, plan: &OfflineMapPlan, task: &ExportTask) -> Result<(), Vec<String>> {
    let mut broken = Vec::new();
    let dir = tempfile::tempdir().map_err(|e| vec![e.to_string()])?;
    let (ctx, _) = context_for(plan, task, dir.path()).await?;
    let exporter = registry.by_name(&task.exporter).map_err(|f| vec![f.to_string()])?;
    let artifact = match exporter.export(task, &ctx).await {
        Ok(artifact) => artifact,
        Err(failure) => return Err(vec![format!("export failed: {failure}")]),
    };
    for unit in ctx.units().await.map_err(|f| vec![f.to_string()])? {
        if unit.state != UnitState::Finished {
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

async fn cancel_and_look(registry: &ExporterRegistry, plan: &OfflineMapPlan, task: &ExportTask) -> Result<(), Vec<String>> {
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
