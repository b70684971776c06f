//! An archive that is open: what it says of itself, and where its tiles are.

use super::byte_ranges::ByteRanges;
use super::pack::{Pack, PackSource};
use super::remote::{Remote, Trouble};
use offmap_arcgis::FileState;
use offmap_disk::{run_blocking, sha256_of};
use offmap_formats::pmtiles::{DirectoryVisitor, PmtilesReader, TileIds, TileRun};
use offmap_formats::tiles::{tile_id, tile_of_id};
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Header and root directory lie within so many bytes (PMTiles v3, §4).
const FIRST_BYTES: u64 = 16_384;
/// Parts that are asked for one after the other until an archive is open, or its directories are here: more are not below each other.
const MOST_ROUNDS: usize = 8;
/// Most tiles that are taken of an archive, which a few bytes can say it has.
const MOST_TILES: u64 = 1 << 30;

/// Which state of which archive: what is fetched of one is no part of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Identity {
    pub(super) state: FileState,
    /// SHA-256 of its first bytes: servers may say nothing of its state.
    first: String,
}

/// See the module.
pub(super) struct Opened {
    pub(super) identity: Identity,
    pub(super) reader: PmtilesReader,
    pub(super) pack: Arc<Pack>,
    /// Where the reader reads.
    source: PackSource,
}

/// What directories say of the tiles that are wanted.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Where their bytes are.
    pub(super) ranges: ByteRanges,
    /// How many there are of each zoom.
    pub(super) tiles: BTreeMap<u8, u64>,
    pub(super) total: u64,
}

/// Reads directories, as far as they are here.
struct Scan {
    wanted: Arc<TileIds>,
    pack: Arc<Pack>,
    missing: ByteRanges,
    found: Found,
}

impl DirectoryVisitor for Scan {
    fn wanted(&self) -> &TileIds {
        &self.wanted
    }

    fn leaf(&mut self, at: u64, length: u64) -> Result<bool, Failure> {
        let range = at..at.saturating_add(length);
        let is_here = self.pack.has(&range);
        if !is_here {
            self.missing.add(range)?;
        }
        Ok(is_here)
    }

    fn run(&mut self, run: TileRun) -> Result<(), Failure> {
        let mut ids = run.ids;
        self.found.total = self.found.total.saturating_add(ids.end - ids.start);
        if self.found.total > MOST_TILES {
            let message = format!("the archive has more than {MOST_TILES} tiles of the area; take fewer levels or a smaller area");
            return Err(Failure::new(FailureOwner::Limit, FailureKind::LimitExceeded, FailureStage::Plan, message));
        }
        // A run may go on in the next zoom.
        while ids.start < ids.end {
            let Some((zoom, ..)) = tile_of_id(ids.start) else { break };
            let until = tile_id(zoom + 1, 0, 0).unwrap_or(u64::MAX).min(ids.end);
            *self.found.tiles.entry(zoom).or_default() += until - ids.start;
            ids.start = until;
        }
        self.found.ranges.add(run.at..run.at.saturating_add(u64::from(run.length)))
    }
}

impl Opened {
    /// Asks for the first bytes, and for what they say is needed to open it. `pack_of` makes the pack for what is fetched of it.
    pub(super) async fn open(
        remote: &Remote,
        pack_of: impl FnOnce(&Identity) -> Result<Pack, Failure> + Send + 'static,
    ) -> Result<Self, Trouble> {
        let (bytes, state) = remote.part(0..FIRST_BYTES, None).await?;
        let size = state.total().unwrap_or(bytes.len() as u64);
        let identity = Identity { state, first: sha256_of(&bytes) };
        let named = identity.clone();
        let pack = run_blocking(move || {
            let pack = pack_of(&named)?;
            pack.put(0, &bytes)?;
            Ok(Arc::new(pack))
        });
        let pack = pack.await?;
        for _ in 0..MOST_ROUNDS {
            let (source, name) = (PackSource::new(&pack, size), remote.name().to_owned());
            let lent = source.clone();
            let opened = run_blocking(move || PmtilesReader::of_source(&name, Box::new(lent))).await;
            let missing = source.take_missing();
            match opened {
                Ok(reader) => return Ok(Self { identity, reader, pack, source }),
                Err(failure) if missing.is_empty() => return Err(failure.in_stage(remote.stage).with_url(&remote.url).into()),
                Err(_) => remote.fetch((&missing, &identity.state), &pack, &|_| {}).await?,
            }
        }
        Err(Failure::internal("an archive wants ever more bytes to be opened").into())
    }

    /// Fetches the directories that have tiles that are wanted, level by level, and reads them; `None` where they have more than `most`
    /// bytes.
    pub(super) async fn directories(
        mut self,
        remote: &Remote,
        wanted: &Arc<TileIds>,
        most: u64,
    ) -> Result<(Self, Option<Found>), Trouble> {
        let mut left = most;
        for _ in 0..MOST_ROUNDS {
            let scan = Scan {
                wanted: Arc::clone(wanted),
                pack: Arc::clone(&self.pack),
                missing: ByteRanges::default(),
                found: Found::default(),
            };
            let scanned = run_blocking(move || {
                let mut scan = scan;
                let walked = self.reader.walk_directories(&mut scan);
                Ok((self, scan, walked))
            });
            let (scan, walked);
            (self, scan, walked) = scanned.await?;
            let mut missing = scan.missing;
            if let Err(failure) = walked {
                missing = self.source.take_missing();
                if missing.is_empty() {
                    return Err(failure.in_stage(remote.stage).with_url(&remote.url).into());
                }
            } else if missing.is_empty() {
                return Ok((self, Some(scan.found)));
            }
            let bytes = missing.bytes();
            if bytes > left {
                return Ok((self, None));
            }
            left -= bytes;
            remote.fetch((&missing, &self.identity.state), &self.pack, &|_| {}).await?;
        }
        Err(Failure::internal("an archive has directories below directories without end").into())
    }
}
