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
use std::ops::Range;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Header and root directory lie within so many bytes (PMTiles v3, §4).
const FIRST_BYTES: u64 = 16_384;
/// Parts that are asked for one after the other until an archive is open, or its directories are here: more are not below each other.
const MOST_ROUNDS: usize = 8;
/// Most tiles that are taken of an archive, which a few bytes can say it has: each is a record on the disk while they are written.
const MOST_TILES: u64 = 1 << 26;
/// Bytes of such a record.
pub(super) const JOURNAL_RECORD: u64 = 32;

/// Which state of which archive: what is fetched of one is no part of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Identity {
    /// SHA-256 of what the server says of its state, which may be long and is nobody's else.
    state: String,
    /// The same of its first bytes: servers may say nothing of its state.
    first: String,
}

impl Identity {
    fn of(state: &FileState, first: &[u8]) -> Result<Self, Failure> {
        let said = serde_json::to_vec(state).map_err(|e| Failure::internal(e.to_string()))?;
        Ok(Self { state: sha256_of(&said), first: sha256_of(first) })
    }
}

/// See the module.
pub(super) struct Opened {
    pub(super) identity: Identity,
    pub(super) state: FileState,
    pub(super) reader: PmtilesReader,
    pub(super) pack: Arc<Pack>,
    /// Where the reader reads.
    source: PackSource,
}

/// What directories say of the tiles that are wanted.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Their bytes.
    pub(super) bytes: u64,
    /// What is asked for to have them.
    pub(super) requests: Vec<Range<u64>>,
    /// How many there are of each zoom.
    pub(super) tiles: BTreeMap<u8, u64>,
    pub(super) total: u64,
}

/// Reads directories, as far as they are here.
struct Scan {
    wanted: Arc<TileIds>,
    pack: Arc<Pack>,
    cancel: CancellationToken,
    missing: ByteRanges,
    ranges: ByteRanges,
    found: Found,
}

impl Scan {
    fn new(opened: &Opened, wanted: &Arc<TileIds>, cancel: &CancellationToken) -> Self {
        Self {
            wanted: Arc::clone(wanted),
            pack: Arc::clone(&opened.pack),
            cancel: cancel.clone(),
            missing: ByteRanges::default(),
            ranges: ByteRanges::default(),
            found: Found::default(),
        }
    }

    /// Reads what is here of the directories, and lists what is to be asked for: more of them, or else their tiles.
    fn run(&mut self, opened: &mut Opened) -> Result<Directories, Failure> {
        let walked = opened.reader.walk_directories(self);
        let beside = opened.source.take_missing();
        match walked {
            Err(failure) if failure.is_cancelled() || beside.is_empty() => return Err(failure),
            Err(_) => self.missing = beside,
            Ok(()) => {}
        }
        if !self.missing.is_empty() {
            return Ok(Directories::Missing(self.missing.requests()));
        }
        let (bytes, requests) = (self.ranges.bytes(), self.ranges.requests());
        Ok(Directories::Here(Found { bytes, requests, ..std::mem::take(&mut self.found) }))
    }

    fn goes_on(&self) -> Result<(), Failure> {
        if self.cancel.is_cancelled() { Err(Failure::cancelled()) } else { Ok(()) }
    }
}

/// Whether directories are here.
enum Directories {
    /// What they say.
    Here(Found),
    /// What is to be asked for first.
    Missing(Vec<Range<u64>>),
}

impl DirectoryVisitor for Scan {
    fn wanted(&self) -> &TileIds {
        &self.wanted
    }

    fn leaf(&mut self, at: u64, length: u64) -> Result<bool, Failure> {
        self.goes_on()?;
        let range = at..at.saturating_add(length);
        let is_here = self.pack.has(&range);
        if !is_here {
            self.missing.add(range)?;
        }
        Ok(is_here)
    }

    fn run(&mut self, run: TileRun) -> Result<(), Failure> {
        self.goes_on()?;
        let mut ids = run.ids;
        self.found.total = self.found.total.saturating_add(ids.end - ids.start);
        if self.found.total > MOST_TILES {
            let message = format!(
                "the archive has more than {MOST_TILES} tiles of the area; take fewer levels or a smaller area, or download it as a whole and \
                 take them from that (offmap convert)"
            );
            return Err(Failure::new(FailureOwner::Limit, FailureKind::LimitExceeded, FailureStage::Plan, message));
        }
        // A run may go on in the next zoom.
        while ids.start < ids.end {
            let Some((zoom, ..)) = tile_of_id(ids.start) else { break };
            let until = tile_id(zoom + 1, 0, 0).unwrap_or(u64::MAX).min(ids.end);
            *self.found.tiles.entry(zoom).or_default() += until - ids.start;
            ids.start = until;
        }
        self.ranges.add(run.at..run.at.saturating_add(u64::from(run.length)))
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
        let said = state.clone();
        let packed = run_blocking(move || {
            let identity = Identity::of(&said, &bytes)?;
            let pack = pack_of(&identity)?;
            pack.put(0, &bytes)?;
            Ok((identity, Arc::new(pack)))
        });
        let (identity, pack) = packed.await?;
        for _ in 0..MOST_ROUNDS {
            let (source, name) = (PackSource::new(&pack, size), remote.name().to_owned());
            let lent = source.clone();
            let opened = run_blocking(move || PmtilesReader::of_source(&name, Box::new(lent))).await;
            let missing = source.take_missing();
            match opened {
                Ok(reader) => return Ok(Self { identity, state, reader, pack, source }),
                Err(failure) if missing.is_empty() => {
                    return Err(failure.in_stage(remote.stage).with_url(&remote.url).into());
                }
                Err(_) => remote.fetch((missing.requests(), &state), &pack, &|_| {}).await?,
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
            let mut scan = Scan::new(&self, wanted, &remote.cancel);
            let work = run_blocking(move || {
                let scanned = scan.run(&mut self);
                Ok((self, scanned))
            });
            let scanned;
            (self, scanned) = work.await?;
            let requests = match scanned.map_err(|failure| failure.in_stage(remote.stage).with_url(&remote.url))? {
                Directories::Here(found) => return Ok((self, Some(found))),
                Directories::Missing(requests) => requests,
            };
            let bytes = requests.iter().map(|range| range.end - range.start).fold(0, u64::saturating_add);
            if bytes > left {
                return Ok((self, None));
            }
            left -= bytes;
            remote.fetch((requests, &self.state), &self.pack, &|_| {}).await?;
        }
        Err(Failure::internal("an archive has directories below directories without end").into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_server_says_of_a_state_is_told_apart_and_kept_by_nobody() {
        let state = |etag: &str| -> FileState {
            serde_json::from_value(json!({ "etag": etag, "modified": null, "total": 9 })).expect("a state")
        };
        let long = "0123456789abcdef-key".repeat(9_000);
        let identity = Identity::of(&state(&long), b"first").expect("is made");
        let kept = serde_json::to_string(&identity).expect("is written");
        assert!(kept.len() < 300 && !kept.contains("abcdef-key"), "{kept}");
        assert_eq!(identity, Identity::of(&state(&long), b"first").expect("is made"));
        assert_ne!(identity, Identity::of(&state("another"), b"first").expect("is made"));
        assert_ne!(identity, Identity::of(&state(&long), b"second").expect("is made"));
    }

    fn scan(cancel: CancellationToken) -> Scan {
        Scan {
            wanted: Arc::new(TileIds::all()),
            pack: Arc::new(Pack::in_memory()),
            cancel,
            missing: ByteRanges::default(),
            ranges: ByteRanges::default(),
            found: Found::default(),
        }
    }

    #[test]
    fn a_few_bytes_do_not_say_more_tiles_than_can_be_written() {
        let mut scan = scan(CancellationToken::new());
        let start = tile_id(14, 0, 0).expect("a tile");
        let run = |tiles: u64| TileRun { ids: start..start + tiles, at: 0, length: 4 };
        DirectoryVisitor::run(&mut scan, run(MOST_TILES)).expect("as many as there may be");
        let failure = DirectoryVisitor::run(&mut scan, run(1)).expect_err("one more");
        assert_eq!(failure.kind, FailureKind::LimitExceeded);
        // Each of them is a record of a journal: what a hostile archive can make of the disk is known.
        const { assert!(MOST_TILES * JOURNAL_RECORD <= 2 << 30) };
    }

    #[test]
    fn a_walk_through_directories_ends_when_nobody_wants_it_any_more() {
        let cancel = CancellationToken::new();
        let mut scan = scan(cancel.clone());
        assert!(!scan.leaf(0, 9).expect("goes on"));
        cancel.cancel();
        assert!(scan.leaf(9, 9).expect_err("ends").is_cancelled());
        let run = TileRun { ids: 0..1, at: 0, length: 4 };
        assert!(DirectoryVisitor::run(&mut scan, run).expect_err("ends").is_cancelled());
    }
}
