//! One export of vector tiles: the package, then the styles of items with their sprites and fonts.

use super::describe::{Described, LayerStyle};
use super::style::{Style, note};
use crate::file_etag;
use crate::tile_parts::TileParts;
use crate::tile_service::{FILE_UNIT, JobUrlStyle, TiledService, layers_of};
use offmap_arcgis::{ArcGisClient, Downloaded};
use offmap_disk::{atomic_file, hash_result};
use offmap_engine::ExportContext;
use offmap_formats::style::Missing as MissingResource;
use offmap_formats::tile_package::{self, TilePackage, TilePackageKind};
use offmap_formats::tiles::levels_text;
use offmap_model::{
    AreaOfInterest, Artifact, ArtifactFile, ExportTask, Failure, FailureKind, FailureOwner, FailureStage, LayerArtifact,
    LayerNote, LayerNoteKind, Missing,
};
use std::path::{Path, PathBuf};

/// The unit of a style with its sprites and fonts.
pub(super) const STYLE_UNIT: &str = "style";
/// Their folder in the work directory.
const STYLE_FOLDER: &str = "resources";
/// Notes what of a style was left out.
const LEFT_OUT: &str = "leftOut";

/// What was left out of a style when it was fetched: warnings, and notes of its layers about what is missing.
type LeftOut = (Vec<String>, Vec<LayerNote>);

/// The first is called by its name, the others are numbered from 2.
pub(super) fn numbered(name: &str, index: usize) -> String {
    if index == 0 { name.to_owned() } else { format!("{name}-{}", index + 1) }
}

/// What was noted of a finished style; `None` if nobody noted it, or not in a way that can be read.
async fn left_out(ctx: &ExportContext, unit: &str) -> Result<Option<LeftOut>, Failure> {
    let noted = ctx.ledger().noted(unit, LEFT_OUT).await?;
    Ok(noted.and_then(|text| serde_json::from_str(&text).ok()))
}

/// A package that came, and what is missing in it.
struct Tiles {
    got: Downloaded,
    package: TilePackage,
    missing: Option<Missing>,
    /// What its own style needs and it does not hold.
    lacking: Vec<MissingResource>,
}

/// One export.
pub(super) struct Export<'a> {
    pub(super) client: &'a ArcGisClient,
    pub(super) task: &'a ExportTask,
    pub(super) described: &'a Described,
    /// The service that exports.
    pub(super) service: &'a TiledService,
    pub(super) level_ids: &'a [u32],
    pub(super) ctx: &'a ExportContext,
}

impl Export<'_> {
    pub(super) async fn run(&self, area: Option<&AreaOfInterest>) -> Result<Artifact, Failure> {
        let Self { ctx, task, .. } = *self;
        let path = ctx.work_dir().join("package");
        let tiles = self.tiles(area, &path).await?;
        ctx.finish_file(FILE_UNIT, None, &path, tiles.got.bytes, &tiles.got.sha256).await?;
        let mut artifact = Artifact {
            files: vec![ArtifactFile::file("package", TilePackageKind::Vtpk.extension()).with_sha256(&tiles.got.sha256)],
            layers: layers_of(task, tiles.package.total(), tiles.missing.as_ref(), None),
            warnings: Vec::new(),
        };
        if let Some(missing) = &tiles.missing {
            let what = missing.words("tiles");
            artifact.warnings.push(format!("of what the index of \"{}\" promises, {what}", task.title));
        }
        file_etag::give(ctx, FILE_UNIT, &tiles.got, &mut artifact.layers).await?;
        if tiles.package.promised.is_none() {
            self.note_not_counted(&mut artifact.layers);
        }
        for (index, style) in self.described.styles.iter().enumerate() {
            self.add_style(index, style, &mut artifact).await?;
        }
        // The others are drawn by the package's own style.
        for layer in artifact.layers.iter_mut().filter(|l| l.resources.is_none()) {
            layer.contents.notes.extend(tiles.lacking.iter().map(|what| note(what, "")));
        }
        Ok(artifact)
    }

    /// Exports and reads the package.
    async fn tiles(&self, area: Option<&AreaOfInterest>, path: &Path) -> Result<Tiles, Failure> {
        let Self { client, service, level_ids, ctx, .. } = *self;
        let area = service.area(area)?;
        let (asked, wanted, levels) = (service.clone(), area.clone(), levels_text(level_ids));
        let calls = ctx.blocking(move || asked.export_calls(&wanted, &levels, JobUrlStyle::Vector)).await?;
        // Sprites and fonts come after the tiles; how many bytes they have, nobody says before.
        let open = (!self.described.styles.is_empty()).then(|| ctx.with_more_to_follow());
        let first = open.as_ref().unwrap_or(ctx);
        let parts = TileParts { client, ctx: first, service, url_style: JobUrlStyle::Vector, level_ids };
        let got = parts.export(calls, path).await?;
        let (asked, level_ids, path) = (service.clone(), level_ids.to_vec(), path.to_owned());
        let opened = move || {
            let package = tile_package::open(&path)?;
            let lacking = tile_package::missing_resources(&path)?;
            // Without an index nobody can tell a tile that is missing from one that was empty.
            let missing = match package.promised {
                Some(_) => asked.missing(&area, &level_ids, &package)?,
                None => None,
            };
            Ok((package, missing, lacking))
        };
        let (package, missing, lacking) = ctx.blocking(opened).await?;
        check(&package, self.task)?;
        Ok(Tiles { got, package, missing, lacking })
    }

    /// Unverified is not verified. A budget counts what is not there against the plan.
    fn note_not_counted(&self, layers: &mut [LayerArtifact]) {
        let counted = |id: &str| self.ctx.error_budget(id).missing_tiles.is_some();
        let message = "tiles: the package has no index, so one that is missing cannot be told from an empty one";
        let note = LayerNote::new(LayerNoteKind::NotCounted, message);
        layers.iter_mut().filter(|l| !counted(&l.id)).for_each(|l| l.contents.notes.push(note.clone()));
    }

    /// Adds a style with its sprites and fonts to what comes, fetched now or by an earlier run.
    async fn add_style(&self, index: usize, drawn: &LayerStyle, artifact: &mut Artifact) -> Result<(), Failure> {
        let (unit, name) = (numbered(STYLE_UNIT, index), numbered(STYLE_FOLDER, index));
        let ctx = self.ctx;
        let folder = ctx.work_dir().join(&name);
        // A style whose gaps nobody knows is not used: what is missing in it would be named by nobody.
        let noted = match ctx.finished_file(&unit, &folder).await? {
            Some(_) => left_out(ctx, &unit).await?,
            None => None,
        };
        let (warnings, notes) = match noted {
            Some(noted) => noted,
            None => {
                ctx.begin_unit(&unit).await?;
                self.fetch_style(&drawn.style, &unit, &folder).await?
            }
        };
        let hashed: PathBuf = folder.clone();
        let (bytes, sha256) = ctx.blocking(move || hash_result(&hashed)).await?;
        ctx.finish_file(&unit, None, &folder, bytes, &sha256).await?;
        artifact.warnings.extend(warnings);
        for layer in artifact.layers.iter_mut().filter(|l| drawn.layers.contains(&l.id)) {
            layer.resources = Some(artifact.files.len());
            layer.contents.notes.extend(notes.iter().cloned());
        }
        artifact.files.push(ArtifactFile::folder(name));
        Ok(())
    }

    /// Fetches a style with its sprites and fonts into a folder, which gets its name when all of it is there.
    async fn fetch_style(&self, style: &Style, unit: &str, folder: &Path) -> Result<LeftOut, Failure> {
        let (ctx, title) = (self.ctx, &self.task.title);
        let new = atomic_file::beside(folder);
        // What an interrupted job left of it: its files are small.
        let _ = tokio::fs::remove_dir_all(&new).await;
        let _ = tokio::fs::remove_dir_all(folder).await;
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

fn check(package: &TilePackage, task: &ExportTask) -> Result<(), Failure> {
    if package.kind != TilePackageKind::Vtpk {
        let message = format!("\"{}\" is a vector service and sent a .{}", task.title, package.kind);
        return Err(Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, FailureStage::Check, message));
    }
    Ok(())
}
