//! What limits the reading of a file does not limit what becomes of its rows: a destination may be slow.

use crate::features::{Feature, FeatureReader, FeatureSink as _, LayerSchema};
use crate::foreign_sqlite::{ForeignSqlite, Now};
use crate::geodatabase::{Geodatabase, feature_tests};
use crate::geopackage::{GeoPackage, GeoPackageOptions, GeoPackageSink};
use crate::mbtiles::MbtilesReader;
use crate::{TileId, TileReader as _, TileVisitor};
use offmap_model::{Failure, FailureKind};
use rusqlite::Connection;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Rows enough that SQLite looks at the clock while they are read.
const ROWS: i64 = 5_000;
const HOUR: u64 = 3_600;

/// Seconds since the test began.
#[derive(Clone, Default)]
struct Hands(Arc<AtomicU64>);

impl Hands {
    fn forward(&self, seconds: u64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }

    fn clock(&self) -> Now {
        let (start, hands) = (Instant::now(), self.clone());
        Arc::new(move || start + Duration::from_secs(hands.0.load(Ordering::Relaxed)))
    }

    fn open(&self, path: &Path) -> ForeignSqlite {
        ForeignSqlite::open_timed(path, &CancellationToken::new(), self.clock()).expect("opens")
    }
}

fn geodatabase(path: &Path) {
    feature_tests::made(path);
    let sql = Connection::open(path).expect("opens");
    let add = "WITH RECURSIVE n(i) AS (VALUES(100) UNION ALL SELECT i + 1 FROM n WHERE i < ?1 + 99)
         INSERT INTO Visits SELECT i, '{B}', 'again' FROM n";
    sql.execute(add, [ROWS]).expect("inserts");
}

fn geopackage(path: &Path) {
    let mut sink = GeoPackageSink::create(path, &GeoPackageOptions::default()).expect("begins");
    sink.begin_layer(&LayerSchema::new("notes", None)).expect("begins");
    let feature = Feature::with_fields(0);
    (0..ROWS).for_each(|_| sink.put_feature(&feature).expect("puts"));
    sink.finish_file().expect("completes");
}

#[test]
fn a_destination_that_takes_hours_for_each_row_does_not_end_the_reading() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("x.geodatabase");
    geodatabase(&path);
    let hands = Hands::default();
    let file = Geodatabase::of_file(hands.open(&path)).expect("reads");
    hands.forward(HOUR);
    let visits = file.layers().iter().position(|l| l.name == "Visits").expect("is there");
    let mut take = |_: &Feature| {
        hands.forward(HOUR);
        Ok(())
    };
    assert_eq!(file.read_features(visits, None, &mut take), Ok(ROWS as u64 + 3));
    let attached = file.read_attachments(0, None, &mut |_, _| {
        hands.forward(HOUR);
        Ok(())
    });
    assert_eq!(attached, Ok(2));
    let path = dir.path().join("x.gpkg");
    geopackage(&path);
    let file = GeoPackage::of_file(hands.open(&path)).expect("reads");
    hands.forward(HOUR);
    assert_eq!(file.read_features(0, None, &mut take), Ok(ROWS as u64));
}

#[test]
fn a_file_that_takes_too_long_from_one_row_to_the_next_still_ends() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("x.geodatabase");
    geodatabase(&path);
    let sql = Connection::open(&path).expect("opens");
    sql.execute_batch("UPDATE Sites SET gdb_to_date = 0").expect("changes");
    let fill = "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
         INSERT INTO Sites(OBJECTID, GlobalID, gdb_to_date) SELECT i, '{D}', 0 FROM n";
    sql.execute(fill, [ROWS]).expect("inserts");
    drop(sql);
    // A clock that goes on a minute at each look.
    let (start, looks) = (Instant::now(), AtomicU64::new(0));
    let now: Now = Arc::new(move || start + Duration::from_secs(20 * looks.fetch_add(1, Ordering::Relaxed)));
    let file = ForeignSqlite::open_timed(&path, &CancellationToken::new(), now).expect("opens");
    let failure =
        Geodatabase::of_file(file).and_then(|file| file.read_features(0, None, &mut |_| Ok(()))).expect_err("ends");
    assert_eq!(failure.kind, FailureKind::TimedOut, "{failure}");
}

struct Slow<'a>(&'a Hands, u64);

impl TileVisitor for Slow<'_> {
    fn wants(&mut self, _: TileId) -> Result<bool, Failure> {
        self.0.forward(HOUR);
        Ok(true)
    }

    fn visit(&mut self, places: &[TileId], _: &[u8]) -> Result<(), Failure> {
        self.0.forward(HOUR);
        self.1 += places.len() as u64;
        Ok(())
    }
}

#[test]
fn a_destination_that_takes_hours_for_each_tile_does_not_end_the_reading() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("x.mbtiles");
    let sql = Connection::open(&path).expect("opens");
    sql.execute_batch(
        "CREATE TABLE metadata(name text, value text); INSERT INTO metadata VALUES('format', 'png');
         CREATE TABLE tiles(zoom_level integer, tile_column integer, tile_row integer, tile_data blob);
         INSERT INTO tiles VALUES(1, 0, 0, x'89504E470D0A1A0A00'), (1, 1, 0, x'89504E470D0A1A0A01'), (1, 1, 1, x'89504E470D0A1A0A00');",
    )
    .expect("tiles");
    drop(sql);
    let hands = Hands::default();
    let mut reader = MbtilesReader::of_file(&path, hands.open(&path)).expect("opens");
    hands.forward(HOUR);
    let mut slow = Slow(&hands, 0);
    reader.for_each_tile(&mut slow).expect("reads");
    assert_eq!(slow.1, 3);
}

#[test]
fn a_table_whose_pages_are_reached_by_many_ways_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("x.gpkg");
    geopackage(&path);
    let sql = Connection::open(&path).expect("opens");
    let (root, size): (usize, usize) = sql
        .query_row(
            "SELECT rootpage, (SELECT page_size FROM pragma_page_size) FROM sqlite_master WHERE name = 'notes'",
            [],
            |r| Ok((r.get::<_, i64>(0)? as usize, r.get::<_, i64>(1)? as usize)),
        )
        .expect("is there");
    drop(sql);
    let mut bytes = std::fs::read(&path).expect("reads");
    let page = (root - 1) * size;
    assert_eq!(bytes[page], 5, "an inner page of a table");
    let cell = |n: usize| page + usize::from(u16::from_be_bytes([bytes[page + 12 + 2 * n], bytes[page + 13 + 2 * n]]));
    let (first, second) = (cell(0), cell(1));
    // The second child is the first one once more.
    bytes.copy_within(first..first + 4, second);
    std::fs::write(&path, bytes).expect("writes");
    let file = GeoPackage::open(&path, &CancellationToken::new()).expect("opens");
    let failure = file.read_features(0, None, &mut |_| Ok(())).expect_err("refused");
    assert!(failure.message.contains("comes behind row"), "{failure}");
}
