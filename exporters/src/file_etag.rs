//! The `ETag` of a downloaded file, remembered for runs that find the file finished.

use offmap_arcgis::Downloaded;
use offmap_engine::ExportContext;
use offmap_model::{Failure, LayerArtifact};

/// Notes hash and `ETag` of the unit's file.
const ETAG: &str = "etag";

/// Gives the layers of a file its `ETag`: the one that came with it in this run, else the one that was noted for the same bytes.
pub(crate) async fn give(
    ctx: &ExportContext,
    unit: &str,
    file: &Downloaded,
    layers: &mut [LayerArtifact],
) -> Result<(), Failure> {
    let etag = match &file.etag {
        Some(etag) => {
            ctx.ledger().note(unit, ETAG, &format!("{} {etag}", file.sha256)).await?;
            Some(etag.clone())
        }
        None => {
            let noted = ctx.ledger().noted(unit, ETAG).await?;
            noted.and_then(|text| Some(text.strip_prefix(&file.sha256)?.strip_prefix(' ')?.to_owned()))
        }
    };
    for layer in layers {
        layer.contents.edit_tokens.etag.clone_from(&etag);
    }
    Ok(())
}
