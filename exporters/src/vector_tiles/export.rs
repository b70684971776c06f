//! One export of vector tiles: the package, then the styles of items with their sprites and fonts.

use crate::file_etag;
use crate::tile_parts::TileParts;
use crate::tile_service::{FILE_UNIT, JobUrlStyle, TiledService, layers_of};
use crate::vector_service::Described;
use crate::vector_style::{StyleUnits, note};
use offmap_arcgis::{ArcGisClient, Downloaded};
use offmap_engine::ExportContext;
use offmap_formats::style::Missing as MissingResource;
use offmap_formats::tile_package::{self, TilePackage, TilePackageKind};
use offmap_model::{
    AreaOfInterest, Artifact, ArtifactFile, ExportTask, Failure, FailureKind, FailureOwner, FailureStage, LayerArtifact,
    LayerNote, LayerNoteKind, Missing,
};
use std::path::Path;

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
        let styles = StyleUnits { client: self.client, ctx, service: self.service, title: &task.title };
        for (index, style) in self.described.styles.iter().enumerate() {
            styles.add(index, style, &mut artifact).await?;
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
        let (asked, wanted, levels) = (service.clone(), area.clone(), level_ids.to_vec());
        let calls = ctx.blocking(move || asked.export_calls(&wanted, &levels, JobUrlStyle::Vector)).await?;
        // Sprites and fonts come after the tiles; how many bytes they have, nobody says before.
        let open = (!self.described.styles.is_empty()).then(|| ctx.with_more_to_follow());
        let first = open.as_ref().unwrap_or(ctx);
        let parts = TileParts { client, ctx: first, service, url_style: JobUrlStyle::Vector };
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
}

fn check(package: &TilePackage, task: &ExportTask) -> Result<(), Failure> {
    if package.kind != TilePackageKind::Vtpk {
        let message = format!("\"{}\" is a vector service and sent a .{}", task.title, package.kind);
        return Err(Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, FailureStage::Check, message));
    }
    Ok(())
}
