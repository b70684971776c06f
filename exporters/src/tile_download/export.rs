//! One download of tiles: blocks, styles, and the package that they become.

use super::fetch::Fetch;
use super::packed_style::put_style;
use super::parameters::TileDownloadParameters;
use super::source::TileSource;
use crate::tile_blocks::{BlockEnd, Blocks, Packed, Parts, Tally, finish_blocks, packed_before, planned_blocks};
use crate::tile_service::{FILE_UNIT, layers_of};
use crate::vector_style::{Style, StyleUnits};
use offmap_arcgis::ArcGisClient;
use offmap_engine::ExportContext;
use offmap_formats::tile_package::TilePackageKind;
use offmap_model::{
    Artifact, ArtifactFile, ExportTask, Failure, FailureKind, FailureOwner, FailureStage, LayerNote, LayerNoteKind,
};
use std::path::{Path, PathBuf};

/// The unit of the service's own style.
pub(super) const OWN_STYLE_UNIT: &str = "ownStyle";
/// Its folder, and that of the blocks, in the work directory.
const OWN_STYLE_FOLDER: &str = "own-style";
const BLOCKS_FOLDER: &str = "blocks";
/// Notes what of the own style is there, for runs that find the package finished.
const STYLE_NOTES: &str = "styleNotes";

/// One download.
pub(super) struct Export<'a> {
    pub(super) client: &'a ArcGisClient,
    pub(super) task: &'a ExportTask,
    pub(super) source: &'a TileSource,
    pub(super) parameters: &'a TileDownloadParameters,
    pub(super) ctx: &'a ExportContext,
}

/// The package, and what is known of its style.
struct Made {
    packed: Packed,
    notes: Vec<LayerNote>,
}

impl Export<'_> {
    pub(super) async fn run(&self) -> Result<Artifact, Failure> {
        let Self { ctx, task, source, .. } = *self;
        let path = ctx.work_dir().join("package");
        let made = match self.made_before(&path).await? {
            Some(made) => made,
            None => self.make(&path).await?,
        };
        let Made { packed, notes } = made;
        ctx.finish_file(FILE_UNIT, None, &path, packed.bytes, &packed.sha256).await?;
        let kind = if source.is_vector() { TilePackageKind::Vtpk } else { TilePackageKind::Tpkx };
        let mut layers = layers_of(task, packed.tally.got, packed.tally.missing().as_ref(), None);
        for layer in &mut layers {
            layer.contents.planned = Some(packed.tally.existing());
            layer.contents.notes.extend(packed.tally.note());
        }
        let file = ArtifactFile::file("package", kind.extension()).with_sha256(packed.sha256);
        let mut artifact = Artifact { files: vec![file], layers, warnings: Vec::new() };
        let styles = self.styles();
        for (index, style) in source.vector.iter().flat_map(|v| &v.styles).enumerate() {
            styles.add(index, style, &mut artifact).await?;
        }
        // The others are drawn by the package's own style.
        for layer in artifact.layers.iter_mut().filter(|l| l.resources.is_none()) {
            layer.contents.notes.extend(notes.iter().cloned());
        }
        Ok(artifact)
    }

    fn styles(&self) -> StyleUnits<'_> {
        StyleUnits { client: self.client, ctx: self.ctx, service: &self.source.service, title: &self.task.title }
    }

    /// A package that an earlier run made.
    async fn made_before(&self, path: &Path) -> Result<Option<Made>, Failure> {
        let ctx = self.ctx;
        let Some(packed) = packed_before(ctx, path, &self.source.purpose(FILE_UNIT)).await? else { return Ok(None) };
        let notes = ctx.ledger().noted(FILE_UNIT, STYLE_NOTES).await?;
        let notes = notes.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
        ctx.begin_unit(FILE_UNIT).await?;
        self.finish_parts().await?;
        Ok(Some(Made { packed, notes }))
    }

    /// Finishes the units whose files are part of the package by now.
    async fn finish_parts(&self) -> Result<(), Failure> {
        finish_blocks(self.ctx, self.task).await?;
        if self.task.units.iter().any(|u| u.id == OWN_STYLE_UNIT) {
            self.ctx.finish_unit(OWN_STYLE_UNIT, 0, None).await?;
        }
        Ok(())
    }

    /// Fetches what is not there, and makes the package.
    async fn make(&self, path: &Path) -> Result<Made, Failure> {
        let Self { ctx, source, parameters, .. } = *self;
        let area = source.service.area(parameters.area_of_interest.as_ref())?;
        let (planned, blocks) = planned_blocks(ctx, &source.service, area, &parameters.level_ids).await?;
        let fetch = Fetch::new(self.client, ctx, (source, self.task), planned);
        let folder = ctx.work_dir().join(BLOCKS_FOLDER);
        let mut workers = fetch.workers();
        let (ends, tally) = Blocks::new(ctx, &fetch, planned).all(blocks, &folder, workers.panicked()).await?;
        drop(workers);
        self.check(&tally)?;
        let (style, notes) = self.own_style().await?;
        let packed = self.pack((ends, folder), style, &notes, tally, path).await?;
        self.finish_parts().await?;
        Ok(Made { packed, notes })
    }

    /// Zero tiles are never a success; nor is a level without any, unless the service says which tiles it has or the layers say how
    /// many may be missing.
    fn check(&self, tally: &Tally) -> Result<(), Failure> {
        let title = &self.task.title;
        let failed = |kind, message: String| Err(Failure::new(FailureOwner::Source, kind, FailureStage::Check, message));
        if tally.is_nothing() {
            return failed(
                FailureKind::NotFound,
                format!(
                    "\"{title}\" has none of the {} tiles of the area: its tilemap says so; take another area or other levels",
                    tally.planned
                ),
            );
        }
        if tally.got == 0 {
            let message = format!("of \"{title}\", {} tiles of the area were asked for, and none came", tally.existing());
            return failed(FailureKind::Incomplete, message);
        }
        let has_budget = self.task.layers.iter().all(|l| self.ctx.error_budget(&l.id).missing_tiles.is_some());
        let empty = tally.empty_levels();
        if empty.is_empty() || has_budget || self.source.is_vector() {
            return Ok(());
        }
        let message = format!(
            "\"{title}\" answers that it has no tile at all of levels {empty:?} in the area; leave those levels out"
        );
        failed(FailureKind::Incomplete, message)
    }

    /// The service's own style with its sprites and fonts; a service without one has a note.
    async fn own_style(&self) -> Result<(Option<PathBuf>, Vec<LayerNote>), Failure> {
        let (ctx, service) = (self.ctx, &self.source.service);
        if self.source.vector.is_none() {
            return Ok((None, Vec::new()));
        }
        let folder = ctx.work_dir().join(OWN_STYLE_FOLDER);
        let url = format!("{}/resources/styles/root.json", service.root);
        let fetched = ctx.or_cancelled(Style::fetch(self.client, &url, &service.secrets)).await;
        match fetched {
            Ok(style) => {
                let (warnings, mut notes) = self.styles().folder(&style, OWN_STYLE_UNIT, OWN_STYLE_FOLDER).await?;
                notes.extend(style.foreign_sources(&service.root));
                warnings.into_iter().for_each(|warning| ctx.log(warning));
                Ok((Some(folder), notes))
            }
            Err(failure) if failure.kind == FailureKind::NotFound => {
                let words = "its style: the service has none of its own; a plain one is in its place";
                Ok((None, vec![LayerNote::new(LayerNoteKind::Missing, words)]))
            }
            Err(failure) => Err(ctx.fail_unit(OWN_STYLE_UNIT, failure).await),
        }
    }

    /// Makes the package of the blocks, and removes them.
    async fn pack(
        &self,
        (blocks, folder): (Vec<BlockEnd>, PathBuf),
        style: Option<PathBuf>,
        notes: &[LayerNote],
        tally: Tally,
        to: &Path,
    ) -> Result<Packed, Failure> {
        let notes = serde_json::to_string(notes).map_err(|e| Failure::internal(e.to_string()))?;
        let parts = Parts {
            tile_set: self.source.tile_set(&self.parameters.level_ids),
            purpose: self.source.purpose(FILE_UNIT),
            blocks,
            folders: std::iter::once(folder).chain(style.clone()).collect(),
            notes: vec![(STYLE_NOTES, notes)],
        };
        let (root, reserve) = (self.source.service.root.clone(), self.client.options().disk_reserve);
        parts
            .pack((self.ctx, reserve), tally, to, move |sink| match style {
                Some(folder) => put_style(sink, &folder, &root),
                None => Ok(()),
            })
            .await
    }
}
