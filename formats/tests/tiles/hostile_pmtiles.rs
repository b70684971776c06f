//! PMTiles that want to cost more than they are worth, or point where nothing is.

use crate::support::try_read;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write as _;
use std::time::{Duration, Instant};

fn push(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Id step, run, length, place plus one (or zero).
fn directory(entries: &[[u64; 4]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    push(&mut bytes, entries.len() as u64);
    (0..4).for_each(|column| entries.iter().for_each(|entry| push(&mut bytes, entry[column])));
    bytes
}

struct File {
    root: Vec<u8>,
    leaves: Vec<u8>,
    tiles: Vec<u8>,
    metadata: Vec<u8>,
    compression: u8,
}

impl Default for File {
    fn default() -> Self {
        Self { root: Vec::new(), leaves: Vec::new(), tiles: b"\x89PNG".to_vec(), metadata: b"{}".to_vec(), compression: 1 }
    }
}

impl File {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"PMTiles\x03".to_vec();
        let mut at = 127;
        let mut body = Vec::new();
        for section in [&self.root, &self.metadata, &self.leaves, &self.tiles] {
            bytes.extend(u64::to_le_bytes(at));
            bytes.extend((section.len() as u64).to_le_bytes());
            at += section.len() as u64;
            body.extend_from_slice(section);
        }
        bytes.extend([0; 24]);
        // Clustered, compression of directories and tiles, PNG, zooms 0 to 31.
        bytes.extend([1, self.compression, 1, 2, 0, 31]);
        bytes.resize(127, 0);
        bytes.extend(body);
        bytes
    }

    fn read(&self) -> Result<usize, String> {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("x.pmtiles");
        std::fs::write(&path, self.bytes()).expect("writes");
        let before = Instant::now();
        let read = try_read(&path).map(|tiles| tiles.len()).map_err(|failure| failure.message);
        assert!(before.elapsed() < Duration::from_secs(20), "it ends: {read:?}");
        read
    }

    fn refused(&self) -> String {
        self.read().expect_err("refused")
    }
}

fn of_root(entries: &[[u64; 4]]) -> File {
    File { root: directory(entries), ..File::default() }
}

#[test]
fn a_plain_file_is_read() {
    assert_eq!(of_root(&[[0, 5, 4, 1]]).read(), Ok(5));
    let leaves = directory(&[[1, 4, 4, 1]]);
    let root = directory(&[[0, 1, 4, 1], [1, 0, leaves.len() as u64, 1]]);
    assert_eq!(File { root, leaves, ..File::default() }.read(), Ok(5));
}

#[test]
fn runs_end_before_the_next_entry_and_before_the_deepest_zoom() {
    assert!(of_root(&[[0, 3, 4, 1], [2, 1, 4, 1]]).refused().contains("is said to be there 3 times"));
    let beyond = ((1_u64 << 62) - 1) / 3 * 4;
    assert!(of_root(&[[beyond + 1, 1, 4, 1]]).refused().contains("there is no tile"));
    assert!(of_root(&[[u64::MAX, 1, 4, 1]]).refused().contains("may come"));
    // Five entries of all tiles that 32 bits count are more than any file has, and are refused before they are walked through.
    let run = u64::from(u32::MAX);
    let hostile = of_root(&[[5 << 40, 1, 4, 1], [1, 1, 4, 1]]);
    assert_eq!(hostile.read(), Ok(2));
    assert!(of_root(&[[0, 1, 4, 1], [1, run, 4, 1]]).read_until(3));
}

impl File {
    /// Whether a reader that wants no more than some tiles gets them of a file that claims very many.
    fn read_until(&self, most: usize) -> bool {
        use offmap_formats::{TileId, TileVisitor};
        use offmap_model::Failure;
        struct Few(usize);
        impl TileVisitor for Few {
            fn wants(&mut self, _: TileId) -> Result<bool, Failure> {
                self.0 = self.0.checked_sub(1).ok_or_else(Failure::cancelled)?;
                Ok(true)
            }
            fn visit(&mut self, places: &[TileId], _: &[u8]) -> Result<(), Failure> {
                assert!(places.len() <= 1024, "a run comes in pieces");
                Ok(())
            }
        }
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("x.pmtiles");
        std::fs::write(&path, self.bytes()).expect("writes");
        let ended = crate::support::open(&path).for_each_tile(&mut Few(most));
        ended.expect_err("it is not read to its end").is_cancelled()
    }
}

#[test]
fn tiles_and_leaves_lie_in_their_sections() {
    assert!(of_root(&[[0, 1, 5, 1]]).refused().contains("5 bytes at 0"));
    assert!(of_root(&[[0, 1, 4, 2]]).refused().contains("4 bytes at 1"));
    assert!(of_root(&[[0, 1, 4, u64::MAX]]).refused().contains("beyond 64 bits"));
    assert!(of_root(&[[0, 0, 9, 1]]).refused().contains("a leaf directory is 9 bytes"));
    assert!(File::default().refused().contains("middle of a number"), "no directory at all");
    let large = File { tiles: vec![0x89; 1 << 24], ..of_root(&[[0, 1, 1 << 24, 1]]) };
    assert!(large.refused().contains("16777216 bytes at 0"));
}

#[test]
fn a_leaf_that_is_too_long_is_refused_before_it_is_asked_for() {
    use offmap_formats::pmtiles::{DirectoryVisitor, PmtilesReader, TileIds, TileRun};
    use offmap_model::Failure;
    struct Visitor {
        wanted: TileIds,
        leaves: Vec<u64>,
    }
    impl DirectoryVisitor for Visitor {
        fn wanted(&self) -> &TileIds {
            &self.wanted
        }
        fn leaf(&mut self, _: u64, length: u64) -> Result<bool, Failure> {
            self.leaves.push(length);
            Ok(false)
        }
        fn run(&mut self, _: TileRun) -> Result<(), Failure> {
            Ok(())
        }
    }
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("x.pmtiles");
    for (length, is_read) in [(16 << 20, true), ((16 << 20) + 1, false)] {
        let root = directory(&[[1, 0, length, 1]]);
        let file = File { root, leaves: vec![0; length as usize], ..File::default() };
        std::fs::write(&path, file.bytes()).expect("writes");
        let mut reader = PmtilesReader::open(&path).expect("opens");
        let mut visitor = Visitor { wanted: TileIds::all(), leaves: Vec::new() };
        let walked = reader.walk_directories(&mut visitor).map_err(|failure| failure.message);
        assert_eq!((walked.is_ok(), visitor.leaves), (is_read, Vec::from_iter(is_read.then_some(length))), "{walked:?}");
        let mut elsewhere = Visitor { wanted: TileIds::of_zoom(0).expect("a zoom"), leaves: Vec::new() };
        reader.walk_directories(&mut elsewhere).expect("nothing of it is wanted");
    }
}

#[test]
fn leaves_that_lead_to_themselves_end() {
    // Its one entry is itself: the same id, again a leaf.
    let leaves = directory(&[[1, 0, 5, 1]]);
    assert_eq!(leaves.len(), 5);
    let cycle = File { root: directory(&[[1, 0, 5, 1]]), leaves, ..File::default() };
    assert!(cycle.refused().contains("more than 4 deep"));
    // Many entries of one leaf: its tiles would come twice.
    let leaves = directory(&[[1, 1, 4, 1]]);
    let root = directory(&(0..1_000).map(|_| [1, 0, leaves.len() as u64, 1]).collect::<Vec<_>>());
    assert!(File { root, leaves, ..File::default() }.refused().contains("may come"));
}

#[test]
fn directories_and_metadata_do_not_inflate_without_end() {
    let bomb = |size: usize| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&vec![0; size]).and_then(|()| encoder.finish()).expect("packs")
    };
    let packed = |bytes: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("packs")
    };
    let root = File { compression: 2, root: bomb(15 << 20), metadata: packed(b"{}"), ..File::default() };
    assert!(root.root.len() < 16_000 && root.refused().contains("says 0 entries"), "a root of 15 MiB of zeros is read");
    let metadata = File { compression: 2, metadata: bomb(100 << 20), ..of_root(&[[0, 1, 4, 1]]) };
    assert!(metadata.refused().contains("inflates to more than"));
    let leaves = bomb(100 << 20);
    let leaf = File {
        compression: 2,
        root: packed(&directory(&[[0, 0, leaves.len() as u64, 1]])),
        metadata: packed(b"{}"),
        leaves,
        ..File::default()
    };
    assert!(leaf.refused().contains("inflates to more than"));
    let wide = File { root: vec![0; 16_384], ..File::default() };
    assert!(wide.refused().contains("expected at most 16257"));
    for compression in [0, 3, 4, 9] {
        assert!(File { compression, ..of_root(&[[0, 1, 4, 1]]) }.refused().contains("expected gzip or none"));
    }
    let json = File { metadata: b"[".repeat(1_000_000), ..of_root(&[[0, 1, 4, 1]]) };
    assert!(json.refused().contains("metadata"));
}

#[test]
fn any_change_of_a_byte_is_read_or_refused() {
    let leaves = directory(&[[1, 4, 4, 1], [5, 2, 4, 1]]);
    let root = directory(&[[0, 1, 4, 1], [1, 0, leaves.len() as u64, 1]]);
    let good = File { root, leaves, ..File::default() }.bytes();
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("x.pmtiles");
    for at in 0..good.len() {
        for change in [0x01, 0x80, 0xff] {
            let mut bytes = good.clone();
            bytes[at] ^= change;
            std::fs::write(&path, &bytes).expect("writes");
            let _ = try_read(&path);
        }
        std::fs::write(&path, &good[..at]).expect("writes");
        assert!(try_read(&path).is_err(), "cut at {at}");
    }
}

#[test]
fn a_run_of_billions_of_tiles_costs_what_is_wanted_of_it() {
    use crate::support::{read, try_convert};
    use offmap_formats::containers::{Counted, Reading};
    use offmap_formats::convert::TileSelection;
    use offmap_formats::readers::containers;
    use offmap_model::AreaOfInterest;
    use tokio_util::sync::CancellationToken;
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("x.pmtiles");
    let run = u64::from(u32::MAX);
    std::fs::write(&path, of_root(&[[0, run, 4, 1]]).bytes()).expect("writes");
    let before = Instant::now();
    let all = containers();
    let reader = all.reader("pmtiles").expect("is known");
    let contents = reader.read(&path, &Reading { cancel: &CancellationToken::new(), report: &|_| {} }).expect("reads");
    assert_eq!((contents.counted, contents.damages.is_empty()), (Counted::Tiles(run), true));
    for (name, levels, tiles) in [("a.pmtiles", 14..=15, 12), ("b.mbtiles", 3..=3, 1)] {
        let area = AreaOfInterest::from_numbers("10.01,50.01,10.04,50.02").expect("an area");
        let selection = TileSelection { levels: Some(levels.collect()), area: Some(area) };
        let to = dir.path().join(name);
        let done = try_convert(&path, &to, &selection).expect("converts");
        assert!(done.tiles > 0 && done.tiles <= tiles, "{done:?}");
        assert_eq!(read(&to).len() as u64, done.tiles);
    }
    assert!(before.elapsed() < Duration::from_secs(10), "{:?}", before.elapsed());
}
