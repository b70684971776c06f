//! One drawing of tiles: blocks, and the package that they become.

use super::draw::Draw;
use super::parameters::TileDrawParameters;
use super::source::DrawSource;
use crate::tile_blocks::{Blocks, Packed, Parts, Tally, finish_blocks, packed_before, planned_blocks};
use crate::tile_service::{FILE_UNIT, layers_of};
use offmap_arcgis::ArcGisClient;
use offmap_engine::ExportContext;
use offmap_formats::tile_package::TilePackageKind;
use offmap_model::{Artifact, ArtifactFile, ExportTask, Failure, FailureKind, FailureOwner, FailureStage};
use std::path::Path;

/// The folder of the blocks in the work directory.
const BLOCKS_FOLDER: &str = "blocks";

/// See the module.
pub(super) struct Export<'a> {
    pub(super) client: &'a ArcGisClient,
    pub(super) task: &'a ExportTask,
    pub(super) source: &'a DrawSource,
    pub(super) parameters: &'a TileDrawParameters,
    pub(super) ctx: &'a ExportContext,
}

impl Export<'_> {
    pub(super) async fn run(&self) -> Result<Artifact, Failure> {
        let Self { ctx, task, .. } = *self;
        let path = ctx.work_dir().join("package");
        let purpose = self.source.purpose(FILE_UNIT);
        let packed = match packed_before(ctx, &path, &purpose).await? {
            Some(packed) => {
                ctx.begin_unit(FILE_UNIT).await?;
                packed
            }
            None => self.make(&path, purpose).await?,
        };
        finish_blocks(ctx, task).await?;
        ctx.finish_file(FILE_UNIT, None, &path, packed.bytes, &packed.sha256).await?;
        let tally = packed.tally;
        let mut layers = layers_of(task, tally.got, tally.missing().as_ref(), None);
        for layer in &mut layers {
            layer.contents.planned = Some(tally.existing());
            layer.contents.notes.extend(tally.note_of_empty());
        }
        let file = ArtifactFile::file("package", TilePackageKind::Tpkx.extension()).with_sha256(packed.sha256);
        Ok(Artifact { files: vec![file], layers, warnings: Vec::new() })
    }

    /// Has drawn what is not there, and makes the package.
    async fn make(&self, path: &Path, purpose: [u8; 32]) -> Result<Packed, Failure> {
        let Self { ctx, source, parameters, .. } = *self;
        let area = source.service.area(parameters.area_of_interest.as_ref())?;
        let (planned, blocks) = planned_blocks(ctx, &source.service, area, &parameters.level_ids).await?;
        let draw = Draw::new(self.client, ctx, (source, self.task), planned);
        let folder = ctx.work_dir().join(BLOCKS_FOLDER);
        let (blocks, tally) = Blocks::new(ctx, &draw, planned).all(blocks, &folder, std::future::pending()).await?;
        self.check(&tally)?;
        let tile_set = source.tile_set(&parameters.level_ids);
        let parts = Parts { tile_set, purpose, blocks, folders: vec![folder], notes: Vec::new() };
        parts.pack((ctx, self.client.options().disk_reserve), tally, path, |_| Ok(())).await
    }

    /// A package without a tile is never a success.
    fn check(&self, tally: &Tally) -> Result<(), Failure> {
        if tally.got > 0 {
            return Ok(());
        }
        let title = &self.task.title;
        let (kind, message) = match tally.existing() {
            0 => (
                FailureKind::NotFound,
                format!(
                    "\"{title}\" draws nothing on any of the {} tiles of the area; take another area or other levels, or switch on \
                     the layers of it that are to be seen",
                    tally.planned
                ),
            ),
            asked => (
                FailureKind::Incomplete,
                format!("of \"{title}\", {asked} tiles of the area were to be drawn, and none came"),
            ),
        };
        Err(Failure::new(FailureOwner::Source, kind, FailureStage::Check, message))
    }
}
