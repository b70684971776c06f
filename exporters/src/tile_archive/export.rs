//! One export: the parts of an archive that are wanted, and the archive that they become.

use super::describe::changed;
use super::kind::Kind;
use super::opened::{Found, Identity, JOURNAL_RECORD, Opened};
use super::pack::{self, Pack};
use super::parameters::TileArchiveParameters;
use super::remote::{Remote, Trouble};
use super::source::ArchiveSource;
use super::wanted::{is_world, wanted};
use crate::tile_service::{FILE_UNIT, layers_of};
use offmap_disk::{atomic_file, hash_file_until};
use offmap_engine::ExportContext;
use offmap_formats::convert::TileSelection;
use offmap_formats::pmtiles::{PmtilesSink, TileIds};
use offmap_formats::tiles::TileInfo;
use offmap_formats::{TileId, TileReader as _, TileSink, TileVisitor};
use offmap_model::{
    Artifact, ArtifactFile, ExportTask, Failure, FailureKind, FailureOwner, FailureStage, LayerNote, LayerNoteKind,
    Progress, ProgressUnit,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio_util::sync::CancellationToken;

/// The unit of the parts.
pub(super) const RANGES_UNIT: &str = "ranges";
/// Bytes of directories that an export reads: several times what an archive of the world has.
const MOST_DIRECTORIES: u64 = 1 << 30;
/// Notes what of the tiles is there, for runs that find the archive finished.
const TALLY: &str = "archiveTally";

/// What is known of the tiles.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Tally {
    /// Tiles of the area and the levels, where that is not all there is.
    asked: Option<u64>,
    got: u64,
}

/// See the module.
pub(super) struct Export<'a> {
    pub(super) remote: &'a Remote,
    pub(super) task: &'a ExportTask,
    pub(super) source: &'a ArchiveSource,
    pub(super) parameters: &'a TileArchiveParameters,
    pub(super) ctx: &'a ExportContext,
}

impl Export<'_> {
    pub(super) async fn run(&self) -> Result<Artifact, Failure> {
        let ctx = self.ctx;
        let path = ctx.work_dir().join("package");
        let (bytes, sha256, tally) = match self.made_before(&path).await? {
            Some(made) => made,
            None => self.make(&path).await?,
        };
        ctx.finish_file(FILE_UNIT, None, &path, bytes, &sha256).await?;
        let mut layers = layers_of(self.task, tally.got, None, None);
        let lacking = tally.asked.map(|asked| (asked, asked.saturating_sub(tally.got))).filter(|(_, none)| *none > 0);
        for layer in &mut layers {
            layer.contents.planned = Some(tally.got);
            layer.contents.notes.extend(lacking.map(|(asked, none)| {
                let message = format!("{none} of {asked} tiles of the area do not exist in the archive");
                LayerNote::new(LayerNoteKind::NotExisting, message)
            }));
        }
        let file = ArtifactFile::file("package", "pmtiles").with_sha256(sha256);
        Ok(Artifact { files: vec![file], layers, warnings: Vec::new() })
    }

    /// What an earlier run made: its parts are not needed any more.
    async fn made_before(&self, path: &Path) -> Result<Option<(u64, String, Tally)>, Failure> {
        let ctx = self.ctx;
        let Some((bytes, sha256)) = ctx.finished_file(FILE_UNIT, path).await? else { return Ok(None) };
        let noted = ctx.ledger().noted(FILE_UNIT, TALLY).await?;
        let Some(tally) = noted.and_then(|text| serde_json::from_str(&text).ok()) else { return Ok(None) };
        ctx.begin_unit(FILE_UNIT).await?;
        ctx.finish_unit(RANGES_UNIT, 0, None).await?;
        Ok(Some((bytes, sha256, tally)))
    }

    /// Fetches what is not there, and makes the archive.
    async fn make(&self, path: &Path) -> Result<(u64, String, Tally), Failure> {
        let (ctx, of, service) = (self.ctx, self.parameters.clone(), self.source.service.clone());
        let asked = move || {
            let area = of.area_of_interest.as_ref();
            let ids = wanted(&service, area, &of.level_ids)?;
            let part = match area {
                Some(area) if !is_world(&service, area)? => {
                    Some(TileInfo::total(&service.tile_info.count(area, None, &service.lods(&of.level_ids))?))
                }
                _ => None,
            };
            Ok((Arc::new(ids), part))
        };
        let (ids, asked) = ctx.blocking(asked).await?;
        ctx.begin_unit(RANGES_UNIT).await?;
        let fetched = match self.fetch(&ids).await {
            Err(Trouble::Changed(words)) => {
                ctx.log(format!("the archive changed while it was read ({words}); it is read once more from its beginning"));
                self.fetch(&ids).await
            }
            fetched => fetched,
        };
        let (opened, got) = match fetched {
            Ok(fetched) => fetched,
            Err(Trouble::Changed(words)) => {
                return Err(ctx.fail_unit(RANGES_UNIT, changed(self.remote, &words)).await);
            }
            Err(Trouble::Failed(failure)) if failure.is_cancelled() => return Err(failure),
            Err(Trouble::Failed(failure)) => return Err(ctx.fail_unit(RANGES_UNIT, failure).await),
        };
        let tally = Tally { asked, got };
        let noted = serde_json::to_string(&tally).map_err(|e| Failure::internal(e.to_string()))?;
        ctx.begin_unit(FILE_UNIT).await?;
        ctx.ledger().note(FILE_UNIT, TALLY, &noted).await?;
        let (bytes, sha256) = self.pack((opened, got), ids, path).await?;
        ctx.finish_unit(RANGES_UNIT, 0, None).await?;
        Ok((bytes, sha256, tally))
    }

    /// What is planned for holds for an archive that took the place of the one that was planned, or else it is refused.
    fn judge(&self, opened: &Opened) -> Result<(), Failure> {
        let now = Kind::of(opened.reader.info(), &self.source.title);
        let Some(words) = now.map_or_else(Some, |now| self.source.kind.difference(&now)) else { return Ok(()) };
        let message = format!(
            "the archive {} is not the one any more that was planned: {words}; make a new plan",
            self.remote.name().display()
        );
        let failure = Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, FailureStage::Check, message);
        Err(failure.with_url(&self.remote.url))
    }

    /// Fetches directories and tiles; answers the archive, all of which that is wanted is here, and how many tiles that are.
    async fn fetch(&self, ids: &Arc<TileIds>) -> Result<(Opened, u64), Trouble> {
        let (ctx, remote) = (self.ctx, self.remote);
        let (dir, url) = (ctx.work_dir().to_owned(), remote.url.clone());
        let open = move |identity: &Identity| {
            let purpose = purpose(&url, identity)?;
            let path = pack::path_for(&dir, &purpose);
            pack::make_room(&dir, &path)?;
            Pack::open(&path, &purpose)
        };
        let opened = Opened::open(remote, open).await?;
        self.judge(&opened)?;
        if opened.identity != self.source.identity {
            ctx.log("the archive is not the one any more that was planned; its tiles are those that it has now");
        }
        let (opened, found) = opened.directories(remote, ids, MOST_DIRECTORIES).await?;
        let title = &self.source.title;
        let Found { requests, bytes, total, .. } = found.ok_or_else(|| too_many_directories(title))?;
        if total == 0 {
            return Err(no_tiles(title, FailureStage::Check).into());
        }
        let required = requests.iter().map(|range| range.end - range.start).sum();
        ctx.log(format!(
            "{} tiles in {} bytes are asked for in {} requests of {required} bytes",
            total,
            bytes,
            requests.len()
        ));
        let done = AtomicU64::new(0);
        let came = |bytes: u64| {
            let completed = done.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
            ctx.report(Progress { completed, required, unit: ProgressUnit::Bytes, precise: true });
        };
        remote.fetch((requests, &opened.state), &opened.pack, &came).await?;
        Ok((opened, total))
    }

    /// Makes the archive of the parts of so many tiles, and removes them.
    async fn pack(&self, (opened, tiles): (Opened, u64), ids: Arc<TileIds>, to: &Path) -> Result<(u64, String), Failure> {
        let (dir, to, cancel) = (self.ctx.work_dir().to_owned(), to.to_owned(), self.ctx.cancel_token().clone());
        let parts = pack::path_for(&dir, &purpose(&self.remote.url, &opened.identity)?);
        let reserve = self.remote.client.options().disk_reserve;
        let selection = TileSelection {
            levels: Some(self.parameters.level_ids.iter().copied().collect()),
            area: self.parameters.area_of_interest.clone(),
        };
        let made = move || {
            let Opened { mut reader, .. } = opened;
            let bytes = std::fs::metadata(&parts).map_or(0, |metadata| metadata.len());
            let journal = tiles.saturating_mul(JOURNAL_RECORD);
            reserve.check(to.parent().unwrap_or(&to), bytes.saturating_add(journal))?;
            // A half that a process left that ended meanwhile is of no use: without a checkpoint nothing of it counts.
            let _ = std::fs::remove_file(atomic_file::beside(&to));
            let mut put = Put { sink: Box::new(PmtilesSink::open(&to, &selection.describe(reader.info()))?), cancel };
            reader.for_each_of(&ids, &mut put)?;
            let Put { sink, cancel } = put;
            sink.finish()?;
            let hashed = hash_file_until(&to, &cancel)?;
            drop(reader);
            pack::remove_all(&dir)?;
            Ok(hashed)
        };
        self.ctx.blocking(made).await
    }
}

/// The failure where an archive has nothing that is wanted.
pub(super) fn no_tiles(title: &str, stage: FailureStage) -> Failure {
    let message = format!(
        "\"{title}\" has none of the tiles of the area on these levels: its directories say so; take another area or other levels"
    );
    Failure::new(FailureOwner::Source, FailureKind::NotFound, stage, message)
}

fn too_many_directories(title: &str) -> Failure {
    let message = format!(
        "the directories of \"{title}\" have more than {MOST_DIRECTORIES} bytes for the tiles of the area; take fewer levels or a smaller area, or \
         download it as a whole and take them from that (offmap convert)"
    );
    Failure::new(FailureOwner::Limit, FailureKind::LimitExceeded, FailureStage::Download, message)
}

/// What the file of parts is for.
fn purpose(url: &str, identity: &Identity) -> Result<[u8; 32], Failure> {
    let said = serde_json::to_string(&(url, identity)).map_err(|e| Failure::internal(e.to_string()))?;
    Ok(Sha256::digest(said.as_bytes()).into())
}

/// Puts what is read.
struct Put {
    sink: Box<PmtilesSink>,
    cancel: CancellationToken,
}

impl TileVisitor for Put {
    fn wants(&mut self, _: TileId) -> Result<bool, Failure> {
        if self.cancel.is_cancelled() { Err(Failure::cancelled()) } else { Ok(true) }
    }

    fn visit(&mut self, places: &[TileId], bytes: &[u8]) -> Result<(), Failure> {
        self.sink.put(places, bytes)
    }
}
