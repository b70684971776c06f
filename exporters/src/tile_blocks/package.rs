//! Makes one tile package of the files of blocks.

use super::block_file::BlockFile;
use super::run::BlockEnd;
use super::tally::Tally;
use crate::tile_service::FILE_UNIT;
use offmap_disk::{DiskReserve, atomic_file, hash_file_until, hex};
use offmap_engine::ExportContext;
use offmap_formats::compact_cache::PACKET_SIZE;
use offmap_formats::tile_package::TilePackageSink;
use offmap_formats::{TileId, TileSetInfo, TileSink as _};
use offmap_model::{ExportTask, Failure, FailureStage};
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// Notes what of the tiles is there, for runs that find the package finished.
const TALLY: &str = "tally";
/// Notes by a digest what its tiles are of: a run of other parameters makes a package of its own.
const MADE_OF: &str = "madeOf";

/// A package, and what is known of its tiles.
pub(crate) struct Packed {
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
    pub(crate) tally: Tally,
}

/// A package that an earlier run made for the same `purpose`: its blocks are not needed any more. One that was made for another one is
/// not taken, and stays until the next is made.
pub(crate) async fn packed_before(ctx: &ExportContext, path: &Path, purpose: &[u8]) -> Result<Option<Packed>, Failure> {
    let made_of = ctx.ledger().noted(FILE_UNIT, MADE_OF).await?;
    if made_of.is_none_or(|made_of| made_of != hex(purpose)) {
        return Ok(None);
    }
    let Some((bytes, sha256)) = ctx.finished_file(FILE_UNIT, path).await? else { return Ok(None) };
    let noted = ctx.ledger().noted(FILE_UNIT, TALLY).await?;
    let tally = noted.and_then(|text| serde_json::from_str(&text).ok());
    Ok(tally.map(|tally| Packed { bytes, sha256, tally }))
}

/// Removes a package of whatever was noted before: its notes must never be read as those of another one.
async fn remove_package(ctx: &ExportContext, path: &Path) -> Result<(), Failure> {
    let path = path.to_owned();
    let removed = move || match std::fs::remove_file(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::io(FailureStage::Check, format!("cannot remove {}", path.display()), &e))
        }
        _ => Ok(()),
    };
    ctx.blocking(removed).await
}

/// Finishes the units of blocks, whose files are part of the package by now.
pub(crate) async fn finish_blocks(ctx: &ExportContext, task: &ExportTask) -> Result<(), Failure> {
    for unit in task.units.iter().filter(|u| u.id.starts_with("tiles-")) {
        ctx.finish_unit(&unit.id, 0, None).await?;
    }
    Ok(())
}

/// What a package is made of.
pub(crate) struct Parts {
    pub(crate) tile_set: TileSetInfo,
    /// The digest of what its tiles are of.
    pub(crate) purpose: [u8; 32],
    pub(crate) blocks: Vec<BlockEnd>,
    /// Folders that are part of it by then, and are removed.
    pub(crate) folders: Vec<PathBuf>,
    /// What is noted with its unit beside the tally.
    pub(crate) notes: Vec<(&'static str, String)>,
}

impl Parts {
    /// Makes the package, with what `resources` adds to its tiles, and removes what it is made of. The unit of the package is begun here.
    pub(crate) async fn pack(
        self,
        (ctx, reserve): (&ExportContext, DiskReserve),
        tally: Tally,
        to: &Path,
        resources: impl FnOnce(&mut TilePackageSink) -> Result<(), Failure> + Send + 'static,
    ) -> Result<Packed, Failure> {
        remove_package(ctx, to).await?;
        ctx.begin_unit(FILE_UNIT).await?;
        let noted = serde_json::to_string(&tally).map_err(|e| Failure::internal(e.to_string()))?;
        ctx.ledger().note(FILE_UNIT, TALLY, &noted).await?;
        ctx.ledger().note(FILE_UNIT, MADE_OF, &hex(self.purpose)).await?;
        for (name, text) in &self.notes {
            ctx.ledger().note(FILE_UNIT, name, text).await?;
        }
        let (to, cancel) = (to.to_owned(), ctx.cancel_token().clone());
        let made = move || {
            // The blocks stay until the package is there.
            let bytes = self.blocks.iter().map(|end| end.bytes).fold(0, u64::saturating_add);
            reserve.check(to.parent().unwrap_or(&to), bytes)?;
            // A half that a process left that ended meanwhile is of no use: without a checkpoint nothing of it counts.
            let _ = std::fs::remove_file(atomic_file::beside(&to));
            self.write(&to, &cancel, resources)?;
            let hashed = hash_file_until(&to, &cancel)?;
            for used in &self.folders {
                let failed = |e| Failure::io(FailureStage::Check, format!("cannot remove {}", used.display()), &e);
                std::fs::remove_dir_all(used).map_err(failed)?;
            }
            Ok(hashed)
        };
        let (bytes, sha256) = ctx.blocking(made).await?;
        Ok(Packed { bytes, sha256, tally })
    }

    /// All tiles of a block before the next, each block row by row, so that the same tiles make the same package whatever came first.
    /// Blocks.
    fn write(
        &self,
        to: &Path,
        cancel: &CancellationToken,
        resources: impl FnOnce(&mut TilePackageSink) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut sink = Box::new(TilePackageSink::open(to, &self.tile_set)?);
        for BlockEnd { block, path, purpose, .. } in &self.blocks {
            let mut file = BlockFile::read(path, purpose)?;
            file.each(&mut |place, bytes| {
                if cancel.is_cancelled() {
                    return Err(Failure::cancelled());
                }
                let (row, column) = (u64::from(place) / PACKET_SIZE, u64::from(place) % PACKET_SIZE);
                let place = TileId { level: block.level, row: block.row + row, column: block.column + column };
                sink.put(&[place], bytes)
            })?;
        }
        resources(&mut sink)?;
        sink.finish().map(drop)
    }
}
