//! The geodatabase of a task: written of the layers that came, without those whose data it refuses.

use super::made_of::{digest, made_of};
use super::units;
use super::write::{NotWritten, ReadyLayer, Written, relationships, write};
use crate::feature_service::service::FeatureService;
use offmap_engine::{ExportContext, FinishedFile};
use offmap_model::Failure;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The file in the work directory.
pub(super) const FILE: &str = "features.geodatabase";
/// Notes what became of the layers when the file was written.
const WRITTEN: &str = "written";

/// What became of the layers.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Outcome {
    pub(super) written: Written,
    /// Layers whose data cannot be written, and why.
    pub(super) failed: Vec<(u32, Failure)>,
}

/// Writes the file, unless an earlier run wrote it of the same results.
pub(super) async fn made(
    ctx: &ExportContext,
    service: &FeatureService,
    ready: &[ReadyLayer],
) -> Result<(FinishedFile, Outcome), Failure> {
    let layers = ready.iter().flat_map(|layer| [layer.id.to_string(), layer.digest.clone()]);
    made_of(ctx, units::FILE_UNIT, FILE, &digest(layers)).await?;
    let file = ctx.file_unit(units::FILE_UNIT, FILE, |path| written(ctx, service, ready, path)).await?;
    let noted = ctx.ledger().noted(units::FILE_UNIT, WRITTEN).await?;
    Ok((file, noted.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()))
}

/// Writes the file, again without a layer whose data it refuses.
async fn written(ctx: &ExportContext, service: &FeatureService, ready: &[ReadyLayer], path: PathBuf) -> Result<(), Failure> {
    let (mut ready, mut failed) = (ready.to_vec(), Vec::new());
    let written = loop {
        let (to, layers, cancel) = (path.clone(), ready.clone(), ctx.cancel_token().clone());
        let relationships = relationships(service, &layers);
        match ctx.blocking(move || Ok(write(&to, &layers, &relationships, &cancel))).await? {
            Ok(written) => break written,
            Err(NotWritten { layer: Some(layer), failure }) if ready.len() > 1 => {
                tracing::info!(%failure, layer, "a layer cannot be written");
                ready.retain(|one| one.id != layer);
                failed.push((layer, ctx.without_secrets(failure)));
            }
            Err(NotWritten { failure, .. }) => return Err(failure),
        }
    };
    let outcome = Outcome { written, failed };
    let text = serde_json::to_string(&outcome).map_err(|e| Failure::internal(e.to_string()))?;
    ctx.ledger().note(units::FILE_UNIT, WRITTEN, &text).await
}
