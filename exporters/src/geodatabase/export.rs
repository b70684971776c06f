//! One export: the replica is downloaded, and each layer of it verified against what the service counts.

use super::edit_tokens;
use super::job;
use super::parameters::GenerateGeodatabaseParameters;
use super::plan::for_wire;
use super::refused_layer::layer_in;
use super::units::{FILE_UNIT, JOB_UNIT};
use super::verification::Verification;
use crate::download_limit::DownloadLimit;
use crate::feature_service::service::FeatureService;
use crate::file_etag;
use offmap_arcgis::{ArcGisClient, Downloaded};
use offmap_engine::ExportContext;
use offmap_formats::geodatabase;
use offmap_model::{Artifact, ArtifactFile, ExportTask, Failure, FailureKind, LayerArtifact, LayerContents};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Most bytes of an attachment that are typical.
const BYTES_PER_ATTACHMENT: u64 = 5 << 20;
/// Bytes that related rows are planned with, which are not counted beforehand: a result may have twenty times as many.
const UNCOUNTED: u64 = 50 << 20;
/// The same with attachments.
const UNCOUNTED_ATTACHED: u64 = 500 << 20;
/// Notes which layers the service refused by name.
const REFUSED: &str = "refusedLayers";
/// Notes that the highest object ids before the first submission are noted.
const HIGHEST_IDS: &str = "highestIds";

/// A layer that the service refused by name, and its words.
#[derive(Serialize, Deserialize)]
struct RefusedLayer {
    layer: u32,
    failure: Failure,
}

/// One export.
#[derive(Clone, Copy)]
pub(super) struct Export<'a> {
    pub(super) client: &'a ArcGisClient,
    pub(super) task: &'a ExportTask,
    pub(super) service: &'a FeatureService,
    pub(super) parameters: &'a GenerateGeodatabaseParameters,
    pub(super) ctx: &'a ExportContext,
    /// Where the geodatabase goes.
    pub(super) path: &'a Path,
}

/// The most bytes that a replica is expected to have, with its attachments: as many as were counted, else one for each row. `None` where
/// not even the rows were counted.
fn most_bytes(export: &Export<'_>) -> Option<u64> {
    let Export { task, service, parameters, ctx, .. } = *export;
    let mut most = ctx.planned_bytes()?.max;
    for layer in &task.layers {
        let has_attachments =
            layer.service_layer_id.and_then(|id| service.layers.get(&id)).is_some_and(|l| l.has_attachments);
        let Some(rows) = layer.expected else {
            let uncounted = if parameters.return_attachments && has_attachments { UNCOUNTED_ATTACHED } else { UNCOUNTED };
            most = most.saturating_add(uncounted);
            continue;
        };
        if parameters.return_attachments && has_attachments {
            most = most.saturating_add(layer.attachments.unwrap_or(rows).saturating_mul(BYTES_PER_ATTACHMENT));
        }
    }
    Some(most)
}

impl Export<'_> {
    /// Downloads the replica and verifies each layer of it.
    pub(super) async fn download(&self) -> Result<Artifact, Failure> {
        let Self { client, task, service, ctx, path, .. } = *self;
        let (downloaded, parameters, refused) = self.replica().await?;
        // It stays also if what follows fails, which asks the service only.
        ctx.finish_file(FILE_UNIT, Some(JOB_UNIT), path, downloaded.bytes, &downloaded.sha256).await?;
        let (file, cancel) = (path.to_owned(), ctx.cancel_token().clone());
        let read = move || Ok((geodatabase::describe(&file, &cancel)?, edit_tokens::of_file(&file, &cancel)?));
        let (found, state) = match ctx.blocking(read).await {
            Ok(read) => read,
            Err(failure) if failure.kind == FailureKind::Corrupt => return Err(ctx.fail_unit(FILE_UNIT, failure).await),
            Err(failure) => return Err(failure),
        };
        let state = edit_tokens::complete(ctx, state).await?;
        let area = for_wire(&parameters).await?;
        let file = ArtifactFile::file("replica.geodatabase", "geodatabase").with_sha256(&downloaded.sha256);
        let mut artifact = Artifact { files: vec![file], ..Artifact::default() };
        let verification = Verification { client, service, parameters: &parameters, area: &area, ctx, path, found: &found };
        for layer in &task.layers {
            let own = refused.iter().find(|r| Some(r.layer) == layer.service_layer_id);
            if let Some(RefusedLayer { failure, .. }) = own {
                let failure = Some(failure.clone().for_layer(&layer.id));
                let planned = layer.expected;
                artifact.layers.push(LayerArtifact {
                    id: layer.id.clone(),
                    contents: LayerContents { planned, ..LayerContents::default() },
                    failure,
                    ..LayerArtifact::default()
                });
                continue;
            }
            let highest = match layer.service_layer_id {
                Some(id) => ctx.ledger().noted(JOB_UNIT, &highest_key(id)).await?.and_then(|text| text.parse().ok()),
                None => None,
            };
            match ctx.or_cancelled(verification.layer(layer, highest)).await {
                Ok(mut verified) => {
                    verified.contents.edit_tokens = edit_tokens::of_layer(&state, service, layer.service_layer_id);
                    artifact.layers.push(verified);
                }
                Err(failure) if failure.kind == FailureKind::Corrupt => return Err(ctx.fail_unit(FILE_UNIT, failure).await),
                Err(failure) => return Err(failure),
            }
        }
        file_etag::give(ctx, FILE_UNIT, &downloaded, &mut artifact.layers).await?;
        Ok(artifact)
    }

    /// Downloads the replica; a layer that the service refuses by name is left out of the set, which is submitted again.
    async fn replica(&self) -> Result<(Downloaded, GenerateGeodatabaseParameters, Vec<RefusedLayer>), Failure> {
        let Self { client, task, service, parameters, ctx, path } = *self;
        let mut refused: Vec<RefusedLayer> = match ctx.ledger().noted(JOB_UNIT, REFUSED).await? {
            Some(text) => serde_json::from_str(&text).unwrap_or_default(),
            None => Vec::new(),
        };
        let limit = DownloadLimit::of_plan(most_bytes(self));
        let planned = |id: u32| task.layers.iter().any(|l| l.service_layer_id == Some(id));
        loop {
            let mut parameters = parameters.clone();
            parameters.layer_options.retain(|o| planned(o.layer_id) && !refused.iter().any(|r| r.layer == o.layer_id));
            self.note_highest_ids(&parameters).await?;
            let failure = match job::run(client, ctx, service, &parameters, path, limit).await {
                Ok(downloaded) => return Ok((downloaded, parameters, refused)),
                Err(failure) => failure,
            };
            let left: Vec<u32> = parameters.layer_options.iter().map(|o| o.layer_id).collect();
            match layer_in(service, &failure, &left).filter(|_| left.len() > 1) {
                Some(layer) => {
                    ctx.log(format!("the service refuses layer {layer} of the set; the others are asked for without it"));
                    refused.push(RefusedLayer { layer, failure: ctx.without_secrets(failure) });
                    let text = serde_json::to_string(&refused).map_err(|e| Failure::internal(e.to_string()))?;
                    ctx.ledger().note(JOB_UNIT, REFUSED, &text).await?;
                    ctx.ledger().note(JOB_UNIT, job::STATUS_URL, "").await?;
                }
                None => return Err(failure),
            }
        }
    }

    /// Notes what the highest object ids are before the submission, once.
    async fn note_highest_ids(&self, parameters: &GenerateGeodatabaseParameters) -> Result<(), Failure> {
        let Self { client, service, ctx, .. } = *self;
        if ctx.ledger().noted(JOB_UNIT, HIGHEST_IDS).await?.is_some() {
            return Ok(());
        }
        for option in &parameters.layer_options {
            let asked = async { Ok(service.highest_id(client, option.layer_id).await) };
            if let Some(highest) = ctx.or_cancelled(asked).await? {
                ctx.ledger().note(JOB_UNIT, &highest_key(option.layer_id), &highest.to_string()).await?;
            }
        }
        ctx.ledger().note(JOB_UNIT, HIGHEST_IDS, "1").await
    }
}

fn highest_key(layer: u32) -> String {
    format!("highestId:{layer}")
}
