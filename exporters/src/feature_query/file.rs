//! The geodatabase of a task: written of the layers that came, without those whose data it refuses.

use super::early::Early;
use super::made_of::{digest, made_of};
use super::units;
use super::write::{NotWritten, relationships, write};
use super::written::{Counts, ReadyLayer, Written};
use crate::feature_service::service::FeatureService;
use offmap_engine::{ExportContext, FinishedFile};
use offmap_formats::geodatabase;
use offmap_model::Failure;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Notes what became of the layers when the file was written.
const WRITTEN: &str = "written";

/// What became of the layers.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Outcome {
    pub(super) written: Written,
    /// Layers whose data cannot be written, and why.
    pub(super) failed: Vec<(u32, Failure)>,
    /// The digest of what the file was made of.
    #[serde(default)]
    of: String,
}

/// Writes the file, unless an earlier run wrote it of the same results.
pub(super) async fn made(
    ctx: &ExportContext,
    service: &FeatureService,
    ready: &[ReadyLayer],
    early: Option<Early>,
) -> Result<(FinishedFile, Outcome), Failure> {
    let layers = ready.iter().flat_map(|layer| [layer.id.to_string(), layer.digest.clone()]);
    let of = &digest(layers);
    made_of(ctx, units::FILE_UNIT, units::FILE, of).await?;
    let file = ctx.file_unit(units::FILE_UNIT, units::FILE, |path| written(ctx, service, (ready, of), early, path)).await?;
    let noted = ctx.ledger().noted(units::FILE_UNIT, WRITTEN).await?;
    let noted = noted.and_then(|text| serde_json::from_str::<Outcome>(&text).ok()).unwrap_or_default();
    if noted.of == *of && !noted.written.counts.is_empty() {
        return Ok((file, noted));
    }
    // A process ended between the file and the note of it.
    let (path, cancel) = (file.path.clone(), ctx.cancel_token().clone());
    let found = ctx.blocking(move || geodatabase::describe(&path, &cancel)).await?.into_iter();
    let counts = found.filter_map(|layer| {
        Some((u32::try_from(layer.item_id).ok()?, Counts { rows: layer.rows, attachments: layer.attachments }))
    });
    let written = Written { counts: counts.collect(), ..Written::default() };
    Ok((file, Outcome { written, ..Outcome::default() }))
}

/// Writes the file, or completes what was written of it while its pages came.
async fn written(
    ctx: &ExportContext,
    service: &FeatureService,
    (ready, of): (&[ReadyLayer], &str),
    early: Option<Early>,
    path: PathBuf,
) -> Result<(), Failure> {
    let early = match early {
        Some(early) => early.finish(relationships(service, ready), path.clone()).await?,
        None => None,
    };
    let outcome = match early {
        Some(written) => Outcome { written, of: of.to_owned(), ..Outcome::default() },
        None => written_anew(ctx, service, (ready, of), path).await?,
    };
    let text = serde_json::to_string(&outcome).map_err(|e| Failure::internal(e.to_string()))?;
    ctx.ledger().note(units::FILE_UNIT, WRITTEN, &text).await
}

/// Writes the file of all that came, again without a layer whose data it refuses.
async fn written_anew(
    ctx: &ExportContext,
    service: &FeatureService,
    (ready, of): (&[ReadyLayer], &str),
    path: PathBuf,
) -> Result<Outcome, Failure> {
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
    Ok(Outcome { written, failed, of: of.to_owned() })
}
