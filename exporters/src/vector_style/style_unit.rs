//! The units of a task that are styles: each a folder with a style, its sprites and fonts, fetched now or by an earlier run.

use super::fetcher::remove_folder;
use super::style::{LayerStyle, Style};
use crate::tile_service::TiledService;
use offmap_arcgis::ArcGisClient;
use offmap_disk::{atomic_file, hash_result};
use offmap_engine::ExportContext;
use offmap_model::{Artifact, ArtifactFile, Failure, FailureStage, LayerNote};
use std::path::{Path, PathBuf};

/// The unit of a style with its sprites and fonts.
pub(crate) const STYLE_UNIT: &str = "style";
/// Their folder in the work directory.
const STYLE_FOLDER: &str = "resources";
/// Notes what of a style was left out.
const LEFT_OUT: &str = "leftOut";

/// What was left out of a style when it was fetched: warnings, and notes of its layers about what is missing.
pub(crate) type LeftOut = (Vec<String>, Vec<LayerNote>);

/// The first is called by its name, the others are numbered from 2.
pub(crate) fn numbered(name: &str, index: usize) -> String {
    if index == 0 { name.to_owned() } else { format!("{name}-{}", index + 1) }
}

/// What was noted of a finished style; `None` if nobody noted it, or not in a way that can be read.
async fn left_out(ctx: &ExportContext, unit: &str) -> Result<Option<LeftOut>, Failure> {
    let noted = ctx.ledger().noted(unit, LEFT_OUT).await?;
    Ok(noted.and_then(|text| serde_json::from_str(&text).ok()))
}

/// The styles of a task.
pub(crate) struct StyleUnits<'a> {
    pub(crate) client: &'a ArcGisClient,
    pub(crate) ctx: &'a ExportContext,
    /// The service whose tiles they draw.
    pub(crate) service: &'a TiledService,
    /// Of the task.
    pub(crate) title: &'a str,
}

impl StyleUnits<'_> {
    /// Adds a style with its sprites and fonts to what comes, fetched now or by an earlier run.
    pub(crate) async fn add(&self, index: usize, drawn: &LayerStyle, artifact: &mut Artifact) -> Result<(), Failure> {
        let (unit, name) = (numbered(STYLE_UNIT, index), numbered(STYLE_FOLDER, index));
        let (warnings, notes) = self.folder(&drawn.style, &unit, &name).await?;
        artifact.warnings.extend(warnings);
        for layer in artifact.layers.iter_mut().filter(|l| drawn.layers.contains(&l.id)) {
            layer.resources = Some(artifact.files.len());
            layer.contents.notes.extend(notes.iter().cloned());
        }
        artifact.files.push(ArtifactFile::folder(name));
        Ok(())
    }

    /// Sees to it that a style is in a folder of the work directory, as `styles/`, `sprites/` and `fonts/`.
    pub(crate) async fn folder(&self, style: &Style, unit: &str, name: &str) -> Result<LeftOut, Failure> {
        let ctx = self.ctx;
        let folder = ctx.work_dir().join(name);
        // A style whose gaps nobody knows is not used: what is missing in it would be named by nobody.
        let noted = match ctx.finished_file(unit, &folder).await? {
            Some(_) => left_out(ctx, unit).await?,
            None => None,
        };
        let left_out = match noted {
            Some(noted) => noted,
            None => {
                ctx.begin_unit(unit).await?;
                self.fetch(style, unit, &folder).await?
            }
        };
        let hashed: PathBuf = folder.clone();
        let (bytes, sha256) = ctx.blocking(move || hash_result(&hashed)).await?;
        ctx.finish_file(unit, None, &folder, bytes, &sha256).await?;
        Ok(left_out)
    }

    /// Fetches a style with its sprites and fonts into a folder, which gets its name when all of it is there.
    async fn fetch(&self, style: &Style, unit: &str, folder: &Path) -> Result<LeftOut, Failure> {
        let (ctx, title) = (self.ctx, self.title);
        let new = atomic_file::beside(folder);
        // What an interrupted job left of it: its files are small.
        remove_folder(&new).await;
        remove_folder(folder).await;
        let fetched = style.download(self.client, self.service, ctx.secrets(), &new);
        let left_out: LeftOut = match ctx.or_cancelled(fetched).await {
            Ok(downloaded) => {
                tracing::debug!(title, bytes = downloaded.bytes, "the style is there");
                let warnings = downloaded.warnings.iter().map(|what| format!("of the style of \"{title}\", {what}"));
                (warnings.collect(), downloaded.notes)
            }
            Err(failure) => return Err(ctx.fail_unit(unit, failure).await),
        };
        let text = serde_json::to_string(&left_out).map_err(|e| Failure::internal(e.to_string()))?;
        ctx.ledger().note(unit, LEFT_OUT, &text).await?;
        let folder = folder.to_owned();
        ctx.blocking(move || {
            let failed = |e| Failure::io(FailureStage::Download, format!("cannot keep {}", folder.display()), &e);
            atomic_file::put(&new, &folder).map_err(failed)
        })
        .await?;
        Ok(left_out)
    }
}
