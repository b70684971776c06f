//! An exporter that does what a script in the map says.

use crate::context::ExportContext;
use crate::exporter::{Exporter, LayerPlan, PlanContext, ServiceDescription, ServiceRequest, TaskPlan};
use async_trait::async_trait;
use offmap_disk::sha256_of;
use offmap_model::{
    Artifact, ArtifactFile, Capability, CapabilityReason, CountUnit, ExportTask, Failure, FailureKind, FailureOwner,
    FailureStage, LayerArtifact, LayerContents, MapLayer, OfflineMapSource, Progress, ProgressUnit, Unit, WebMap,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// What a scripted layer does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Act {
    /// Downloads all items.
    #[default]
    Succeed,
    /// Fails.
    Fail,
    /// Panics.
    Panic,
    /// Works until it is cancelled.
    Hang,
    /// Downloads one item too few.
    Short,
    /// Downloads nothing and says that all is well.
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
    /// Items that it plans and, if all goes well, downloads.
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

    /// Whether its layer comes to an end by itself, with a file.
    fn succeeds(self) -> bool {
        matches!(self.act, Act::Succeed | Act::Short | Act::Nothing)
    }

    /// How many items come.
    fn got(self) -> u64 {
        match self.act {
            Act::Short => self.items.saturating_sub(1),
            Act::Nothing => 0,
            _ => self.items,
        }
    }
}

/// A web map of scripted layers, one service each, named by their ids.
#[must_use]
pub fn scripted_map<'a>(layers: impl IntoIterator<Item = (&'a str, Script)>) -> WebMap {
    scripted_map_of(layers.into_iter().map(|(id, script)| (id, id, script)))
}

/// A web map of scripted layers: the service of each, its id, and what it does. Layers of one service are one task.
#[must_use]
pub fn scripted_map_of<'a>(layers: impl IntoIterator<Item = (&'a str, &'a str, Script)>) -> WebMap {
    let layers: Vec<Value> = layers
        .into_iter()
        .map(|(service, id, script)| {
            json!({"id": id, "title": id, "layerType": "Scripted", "url": format!("https://scripted.invalid/{service}/Server"),
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

/// Exports layers of the type `Scripted` and does what their [`Script`] says.
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
        let scripts = request.layers.iter().map(|l| (l.id.clone(), script_of(l))).collect();
        let description = ServiceDescription::new(request.service_url.clone(), scripts, capabilities);
        Ok(description.with_attribution(Some("scripted data".to_owned())))
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
            let name = format!("{i}.json");
            let write = file(ctx.work_dir().join(&name), layer.id.clone());
            let (got, sha256) = if script.delay_ms == 0 && script.succeeds() {
                report_all(script, ctx);
                let got = script.got();
                (got, ctx.blocking_unit(&layer.id, move || write(got)).await?)
            } else {
                ctx.begin_unit(&layer.id).await?;
                let got = play(script, &layer.id, ctx).await?;
                let (bytes, sha256) = ctx.blocking(move || write(got)).await?;
                if script.act != Act::Unfinished {
                    ctx.finish_unit(&layer.id, bytes, sha256.as_deref()).await?;
                }
                (got, sha256)
            };
            artifact.files.push(ArtifactFile { sha256, ..ArtifactFile::file(name, "json") });
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

/// Writes the file of a layer with so many items; answers its size and hash, as exporters of real services do.
fn file(path: PathBuf, layer: String) -> impl FnOnce(u64) -> Result<(u64, Option<String>), Failure> + Send {
    move |got| {
        let text = json!({"layer": layer, "items": got}).to_string();
        let failed = |e| Failure::io(FailureStage::Run, "cannot write a scripted file", &e);
        std::fs::write(path, &text).map_err(failed)?;
        Ok((text.len() as u64, Some(sha256_of(text.as_bytes()))))
    }
}

/// How often a layer reports its progress.
const STEPS: u64 = 4;

fn report(script: Script, step: u64, ctx: &ExportContext) {
    let completed = script.items * step / STEPS;
    ctx.report(Progress { completed, required: script.items, unit: ProgressUnit::Files, precise: true });
}

fn report_all(script: Script, ctx: &ExportContext) {
    (1..=STEPS).for_each(|step| report(script, step, ctx));
}

/// Takes the time of a script, then acts; answers how many items come.
async fn play(script: Script, layer: &str, ctx: &ExportContext) -> Result<u64, Failure> {
    for step in 1..=STEPS {
        if script.delay_ms > 0 {
            let pause = ctx.clock().sleep(Duration::from_millis(script.delay_ms / STEPS));
            ctx.or_cancelled(async {
                let _: () = pause.await;
                Ok(())
            })
            .await?;
        }
        report(script, step, ctx);
    }
    match script.act {
        Act::Fail => {
            let message = "the script says fail";
            let failure = Failure::new(FailureOwner::Source, FailureKind::ServiceError, FailureStage::Run, message);
            Err(ctx.fail_unit(layer, failure).await)
        }
        Act::Panic => panic!("the script says panic"),
        Act::Hang => {
            ctx.cancelled().await;
            Err(Failure::cancelled())
        }
        Act::Short | Act::Nothing | Act::Succeed | Act::Refuse | Act::Unfinished | Act::Unreachable => Ok(script.got()),
    }
}
