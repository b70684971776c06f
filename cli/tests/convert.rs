//! `offmap convert`: what is converted is the same, absent or complete, and what cannot be converted is named.

use crate::support::{AREA, names, offmap, run, sandbox, send_signal, words};
use offmap::formats::convert::{open_reader, open_sink};
use offmap::formats::features::{Feature, FeatureSink, Field, FieldType, GeometryField, LayerSchema, Value as FieldValue};
use offmap::formats::geometry::GeometryKind;
use offmap::formats::geopackage::{GeoPackageOptions, GeoPackageSink};
use offmap::formats::tiles::{tile_of_id, web_mercator_scheme};
use offmap::formats::{TileFormat, TileId, TileSetInfo, TileVisitor};
use offmap::{Failure, SpatialReference};
use offmap_sandbox::{FIELD_MAP, SandboxOptions};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

#[derive(Default)]
struct Collect(BTreeMap<TileId, Vec<u8>>);

impl TileVisitor for Collect {
    fn wants(&mut self, _: TileId) -> Result<bool, Failure> {
        Ok(true)
    }

    fn visit(&mut self, places: &[TileId], bytes: &[u8]) -> Result<(), Failure> {
        self.0.extend(places.iter().map(|place| (*place, bytes.to_vec())));
        Ok(())
    }
}

fn tiles_of(path: &Path) -> BTreeMap<TileId, Vec<u8>> {
    let mut all = Collect::default();
    open_reader(path, &CancellationToken::new()).expect("opens").for_each_tile(&mut all).expect("reads");
    all.0
}

/// A file of so many tiles from the coarsest on; some neighbours share their bytes.
fn write_tiles(to: &Path, info: &TileSetInfo, count: u64, shared: u64) {
    let mut sink = open_sink(to, info).expect("opens");
    for id in 0..count {
        let (zoom, column, row) = tile_of_id(id).expect("a tile");
        let place = TileId { level: zoom.into(), row: row.into(), column: column.into() };
        sink.put(&[place], &[b"\x89PNG".as_slice(), &(id / shared).to_le_bytes()].concat()).expect("puts");
    }
    sink.finish().expect("finishes");
}

fn web() -> TileSetInfo {
    TileSetInfo::new(web_mercator_scheme(256, 23), TileFormat::Png)
}

/// A GeoPackage with points at (n, 0), and a table.
fn write_points(to: &Path, count: i64) {
    let mut sink = GeoPackageSink::create(to, &GeoPackageOptions::default()).expect("begins");
    let spatial_reference = SpatialReference::wgs84();
    let geometry =
        GeometryField { name: "shape".into(), kind: GeometryKind::Point, has_z: false, has_m: false, spatial_reference };
    for (name, geometry) in [("peaks", Some(geometry)), ("visits", None)] {
        let mut layer = LayerSchema::new(name, geometry.clone());
        layer.title = format!("The {name}");
        layer.object_id_field = Some("fid".into());
        let (alias, length, domain) = (None, None, None);
        let field = Field { name: "n".into(), alias, field_type: FieldType::Integer, length, is_nullable: true, domain };
        layer.fields.push(field);
        sink.begin_layer(&layer).expect("begins");
        let mut feature = Feature::with_fields(1);
        for n in 0..count {
            (feature.row_id, feature.object_id) = (n, Some(n));
            feature.values[0] = FieldValue::Integer(n);
            if geometry.is_some() {
                let shape = feature.new_geometry(GeometryKind::Point, false, false);
                shape.add_point([(n % 180) as f64, 0.0], 0.0, 0.0);
                shape.close_part();
            }
            sink.put_feature(&feature).expect("puts");
        }
    }
    sink.finish_file().expect("finishes");
}

fn convert(from: &Path, to: &Path, more: &[&str]) -> Command {
    let mut command = offmap(&["convert"]);
    command.arg(from).arg(to).args(more);
    command
}

/// Runs it and answers its JSON.
fn converted(from: &Path, to: &Path, more: &[&str], code: i32) -> Value {
    let mut command = convert(from, to, more);
    command.arg("--json");
    let output = run(command);
    assert_eq!(output.status.code(), Some(code), "{}", words(&output));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn tiles_are_the_same_after_a_round_through_all_formats() {
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name);
    write_tiles(&path("a.tpkx"), &web(), 1365, 3);
    let before = tiles_of(&path("a.tpkx"));
    for (from, to) in [("a.tpkx", "b.pmtiles"), ("b.pmtiles", "c.mbtiles"), ("c.mbtiles", "d.tpkx")] {
        let answer = converted(&path(from), &path(to), &[], 0);
        assert_eq!((&answer["tiles"], &answer["complete"]), (&json!(1365), &json!(true)), "{answer}");
        assert_eq!(answer["bytes"], json!(std::fs::metadata(path(to)).expect("is there").len()));
    }
    assert_eq!(tiles_of(&path("d.tpkx")), before);
    // By content, not by name.
    std::fs::rename(path("b.pmtiles"), path("b.bin")).expect("renames");
    let some = converted(&path("b.bin"), &path("e.pmtiles"), &["--levels", "2-3"], 0);
    assert_eq!(some["tiles"], json!(16 + 64));
    let one = converted(&path("b.bin"), &path("f.mbtiles"), &["--levels", "3", "--area", "1,1,2,2"], 0);
    assert_eq!(one["tiles"], json!(1));
    assert_eq!(tiles_of(&path("f.mbtiles")).keys().next(), Some(&TileId { level: 3, row: 3, column: 4 }));
    assert_eq!(names(dir.path()), ["a.tpkx", "b.bin", "c.mbtiles", "d.tpkx", "e.pmtiles", "f.mbtiles"]);
}

#[test]
fn layers_and_an_area_of_features_are_chosen() {
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name);
    write_points(&path("a.gpkg"), 180);
    let rows = |answer: &Value| {
        let layers = answer["layers"].as_array().expect("layers").clone();
        layers.iter().map(|l| (l["name"].as_str().expect("a name").to_owned(), l["features"].clone())).collect::<Vec<_>>()
    };
    let all = converted(&path("a.gpkg"), &path("all.gpkg"), &[], 0);
    assert_eq!(rows(&all), [("peaks".into(), json!(180)), ("visits".into(), json!(180))]);
    let some = converted(&path("a.gpkg"), &path("some.gpkg"), &["--area", "1.5,-1,4,1"], 0);
    assert_eq!(rows(&some), [("peaks".into(), json!(3)), ("visits".into(), json!(180))]);
    assert!(some["notes"][0].as_str().is_some_and(|note| note.contains("`visits`")), "{some}");
    let one = converted(&path("a.gpkg"), &path("one.geojsonl"), &["--layer", "The peaks", "--area", "1.5,-1,4,1"], 0);
    assert_eq!(rows(&one), [("peaks".into(), json!(3))]);
    let text = std::fs::read_to_string(path("one.geojsonl")).expect("reads");
    let found = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON without a separator"));
    let found: Vec<_> = found.map(|f| f["geometry"]["coordinates"][0].as_f64()).collect();
    assert_eq!(found, [Some(2.0), Some(3.0), Some(4.0)]);
    converted(&path("a.gpkg"), &path("all.geodatabase"), &[], 0);
    let back = converted(&path("all.geodatabase"), &path("back.gpkg"), &["--overwrite"], 0);
    assert_eq!(rows(&back), rows(&all));
    assert_eq!(keys(&path("back.gpkg")), keys(&path("a.gpkg")));
    let one = converted(&path("a.gpkg"), &path("one.parquet"), &["--layer", "peaks"], 0);
    assert_eq!(rows(&one), [("peaks".into(), json!(180))]);
    let bytes = std::fs::read(path("one.parquet")).expect("reads");
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
    converted(&path("a.gpkg"), &path("all.geojsons"), &[], 0);
    let text = std::fs::read_to_string(path("all.geojsons")).expect("reads");
    assert!(text.lines().count() == 360 && text.lines().all(|line| line.starts_with('\u{1e}')));
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_become_geopackages_with_as_many_rows_and_what_is_left_out_is_named() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let out = dir.path().join("out");
    let portal = sandbox.portal_url();
    let mut take = offmap(&["take", "--portal", &portal, "--item", FIELD_MAP, "--progress", "off"]);
    take.args(AREA).arg("--out").arg(&out);
    let output = run(take);
    assert_eq!(output.status.code(), Some(0), "{}", words(&output));
    let (mut replicas, mut packages) = (0, 0);
    for name in names(&out.join("p13")) {
        let from = out.join("p13").join(&name);
        if name.ends_with(".geodatabase") {
            replicas += 1;
            let to = dir.path().join(format!("{name}.gpkg"));
            let answer = converted(&from, &to, &[], 0);
            let (old, new) = (rusqlite::Connection::open(&from), rusqlite::Connection::open(&to));
            let layers = answer["layers"].as_array().expect("layers");
            assert!(!layers.is_empty(), "{answer}");
            for layer in layers {
                let sql = format!("SELECT count(*) FROM \"{}\"", layer["name"].as_str().expect("a name"));
                let count = |file: &rusqlite::Result<rusqlite::Connection>| -> i64 {
                    file.as_ref().expect("opens").query_row(&sql, [], |row| row.get(0)).expect("counts")
                };
                assert_eq!((json!(count(&old)), json!(count(&new))), (layer["features"].clone(), layer["features"].clone()));
            }
        } else if name.ends_with(".vtpk") {
            packages += 1;
            let answer = converted(&from, &dir.path().join("a.pmtiles"), &[], 3);
            let left_out = answer["leftOut"][0].as_str().expect("words");
            assert!(left_out.contains("style, sprites and fonts"), "{answer}");
            assert_eq!(answer["complete"], json!(false));
            let whole = converted(&from, &dir.path().join("a.vtpk"), &[], 0);
            assert_eq!((&whole["tiles"], &whole["leftOut"]), (&answer["tiles"], &json!([])));
        }
    }
    assert!(replicas > 0 && packages > 0, "{:?}", names(&out.join("p13")));
    let refused = run(convert(&out, &dir.path().join("x.gpkg"), &[]));
    assert_eq!(refused.status.code(), Some(1), "{}", words(&refused));
    assert!(words(&refused).contains("is a mobile map package of several files"), "{}", words(&refused));
}

#[test]
fn what_cannot_be_converted_is_named_and_leaves_nothing() {
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name);
    write_tiles(&path("good.pmtiles"), &web(), 85, 1);
    write_points(&path("good.gpkg"), 10);
    let mut other = web();
    other.scheme.spatial_reference = SpatialReference::from_wkid(2056);
    write_tiles(&path("swiss.tpkx"), &other, 5, 1);
    let good = std::fs::read(path("good.pmtiles")).expect("reads");
    let replica = [b"SQLite format 3\0".as_slice(), &[7; 600]].concat();
    std::fs::write(path("cut.pmtiles"), &good[..good.len() / 2]).expect("writes");
    std::fs::write(path("bad.geodatabase"), &replica).expect("writes");
    std::fs::write(path("bad.mbtiles"), &replica).expect("writes");
    std::fs::write(path("bad.db"), &replica).expect("writes");
    std::fs::write(path("bad.tpkx"), b"PK\x03\x04 and no more").expect("writes");
    std::fs::write(path("text.gpkg"), "a text").expect("writes");
    std::fs::create_dir(path("empty")).expect("makes");
    let before = names(dir.path());
    let cases: [(&str, &str, &[&str], i32, &str); 23] = [
        ("cut.pmtiles", "x.mbtiles", &[], 1, "cut.pmtiles"),
        ("bad.geodatabase", "x.gpkg", &[], 1, "bad.geodatabase"),
        ("bad.mbtiles", "x.pmtiles", &[], 1, "bad.mbtiles"),
        ("bad.db", "x.pmtiles", &[], 1, "without the tables of a known format"),
        ("bad.tpkx", "x.pmtiles", &[], 1, "bad.tpkx"),
        ("text.gpkg", "x.gpkg", &[], 1, ".geodatabase, .gpkg, or a directory"),
        ("empty", "x.pmtiles", &[], 1, "empty"),
        ("missing.tpkx", "x.pmtiles", &[], 2, "cannot read"),
        ("swiss.tpkx", "x.pmtiles", &[], 1, "expected Web Mercator"),
        (
            "good.pmtiles",
            "x.zip",
            &[],
            2,
            ".tpkx, .vtpk, .mbtiles, .pmtiles, features .gpkg, .geodatabase, .geojsons, .geojsonl, .parquet",
        ),
        ("good.pmtiles", "x", &[], 2, "has no ending"),
        ("good.pmtiles", "x.tpk", &[], 2, "is read and not written"),
        ("good.pmtiles", "x.vtpk", &[], 1, "write a .tpkx"),
        ("good.pmtiles", "x.gpkg", &[], 2, "holds tiles and"),
        ("good.gpkg", "x.pmtiles", &[], 2, "holds features and"),
        ("good.gpkg", "x.geojsons", &["--layer", "valleys"], 2, "there are: peaks, visits"),
        ("good.gpkg", "x.geojsons", &["--levels", "1-2"], 2, "no levels"),
        ("good.gpkg", "x.parquet", &[], 2, "would hold one layer; choose one of: peaks, visits"),
        ("good.pmtiles", "x.mbtiles", &["--layer", "a"], 2, "cannot be chosen"),
        ("good.pmtiles", "x.mbtiles", &["--levels", "7-9"], 2, "levels 0 to 3, and none of 7 to 9"),
        ("good.pmtiles", "no/x.mbtiles", &[], 2, "is not a directory; make it first"),
        ("good.pmtiles", "good.gpkg", &[], 2, "exists already"),
        ("good.pmtiles", "good.pmtiles", &["--overwrite"], 2, "is the source itself"),
    ];
    for (from, to, more, code, expected) in cases {
        let output = run(convert(&path(from), &path(to), more));
        let shown = format!("{from} {to} {more:?}: {}", words(&output));
        assert_eq!(output.status.code(), Some(code), "{shown}");
        assert!(words(&output).contains(expected), "{shown}");
        assert_eq!(names(dir.path()), before, "{shown}");
    }
    let mut command = convert(&path("bad.db"), &path("x.pmtiles"), &[]);
    command.arg("--json");
    let answer: Value = serde_json::from_slice(&run(command).stdout).expect("JSON");
    assert_eq!((&answer["file"], &answer["failure"]["owner"]), (&Value::Null, &json!("source")), "{answer}");
}

#[test]
fn a_file_is_overwritten_when_that_is_asked_for_and_it_is_of_its_format() {
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name);
    write_tiles(&path("a.pmtiles"), &web(), 85, 1);
    write_tiles(&path("b.mbtiles"), &web(), 5, 1);
    std::fs::write(path("c.mbtiles"), "the only copy of a text").expect("writes");
    let answer = converted(&path("a.pmtiles"), &path("b.mbtiles"), &["--overwrite"], 0);
    assert_eq!((&answer["tiles"], tiles_of(&path("b.mbtiles")).len()), (&json!(85), 85));
    let refused = run(convert(&path("a.pmtiles"), &path("c.mbtiles"), &["--overwrite"]));
    assert_eq!(refused.status.code(), Some(2), "{}", words(&refused));
    assert_eq!(std::fs::read_to_string(path("c.mbtiles")).expect("reads"), "the only copy of a text");
    // The old one stays where the new one cannot be made.
    std::fs::write(path("bad.pmtiles"), "PMTiles\x03").expect("writes");
    let failed = run(convert(&path("bad.pmtiles"), &path("b.mbtiles"), &["--overwrite"]));
    assert_eq!(failed.status.code(), Some(1), "{}", words(&failed));
    assert_eq!(tiles_of(&path("b.mbtiles")).len(), 85);
}

fn start(mut command: Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts")
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |m| m.len())
}

/// Waits until something is the case while a command runs.
fn wait_until(child: &mut Child, wished: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !wished() {
        assert!(Instant::now() < deadline, "it never came to that");
        assert!(child.try_wait().expect("waits").is_none(), "it ended before");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn kill_when(command: Command, wished: impl Fn() -> bool) {
    let mut child = start(command);
    wait_until(&mut child, wished);
    child.kill().expect("kills");
    child.wait().expect("ends");
}

fn with_ending(path: &Path, more: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(more);
    PathBuf::from(name)
}

/// Tiles between two checkpoints, and bytes of a journal that has gone beyond the first one.
const CHECKPOINT: u64 = 250_000;
const BEYOND: u64 = 64 + (CHECKPOINT + 4_000) * 32;

#[test]
fn tiles_go_on_after_a_kill_and_become_the_same_file() {
    let (dir, apart) = (offmap_sandbox::tempdir().expect("a directory"), offmap_sandbox::tempdir().expect("a directory"));
    let path = |name: &str| dir.path().join(name);
    write_tiles(&path("a.pmtiles"), &web(), 2 * CHECKPOINT, 50);
    for ending in ["pmtiles", "mbtiles", "tpkx"] {
        // An .mbtiles file says its own name, so that both have the same one.
        let killed = path(&format!("b.{ending}"));
        let whole = apart.path().join(format!("b.{ending}"));
        converted(&path("a.pmtiles"), &whole, &[], 0);
        let journal = with_ending(&killed, ".new.tiles");
        kill_when(convert(&path("a.pmtiles"), &killed, &["--progress", "off"]), || size(&journal) > BEYOND);
        assert!(!killed.exists(), "{ending}: it is not there by half");
        let answer = converted(&path("a.pmtiles"), &killed, &[], 0);
        let resumed = answer["resumed"].as_u64().expect("a number");
        assert!((CHECKPOINT..2 * CHECKPOINT).contains(&resumed), "{ending}: {answer}");
        assert!(std::fs::read(&whole).expect("reads") == std::fs::read(&killed).expect("reads"), "{ending}");
        // The half of another order is not used.
        std::fs::remove_file(&killed).expect("removes");
        kill_when(convert(&path("a.pmtiles"), &killed, &["--progress", "off"]), || size(&journal) > BEYOND);
        let other = converted(&path("a.pmtiles"), &killed, &["--area", "-180,-85,180,85", "--levels", "0-5"], 0);
        assert_eq!((&other["resumed"], &other["tiles"]), (&json!(0), &json!(1365)), "{ending}");
        for done in [&whole, &killed] {
            std::fs::remove_file(done).expect("removes");
        }
        assert_eq!(names(dir.path()), ["a.pmtiles"]);
        assert!(names(apart.path()).is_empty());
    }
}

#[test]
fn features_go_on_after_a_kill_and_become_the_same_file() {
    const ROWS: i64 = 120_000;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name);
    write_points(&path("a.gpkg"), ROWS);
    for ending in ["geojsons", "gpkg", "geodatabase"] {
        let (whole, killed) = (path(&format!("whole.{ending}")), path(&format!("killed.{ending}")));
        converted(&path("a.gpkg"), &whole, &[], 0);
        let new = with_ending(&killed, ".new");
        // SQLite writes when a transaction ends: beyond the first one of this file is within the second one.
        let far = size(&whole) / if ending == "geojsons" { 2 } else { 4 };
        kill_when(convert(&path("a.gpkg"), &killed, &["--progress", "off"]), || size(&new) > far);
        assert!(!killed.exists(), "{ending}: it is not there by half");
        let answer = converted(&path("a.gpkg"), &killed, &[], 0);
        assert!(answer["resumed"].as_u64().is_some_and(|rows| rows >= 50_000), "{ending}: {answer}");
        let rows: Vec<_> = answer["layers"].as_array().expect("layers").iter().map(|l| l["features"].clone()).collect();
        assert_eq!(rows, [json!(ROWS), json!(ROWS)], "{ending}");
        match ending {
            // The pages of a SQLite file lie as its transactions came.
            "gpkg" => assert_eq!(keys(&killed), keys(&whole)),
            "geodatabase" => assert_eq!(rows_of_geodatabase(&killed), rows_of_geodatabase(&whole)),
            _ => assert!(std::fs::read(&whole).expect("reads") == std::fs::read(&killed).expect("reads")),
        }
        for done in [&whole, &killed] {
            std::fs::remove_file(done).expect("removes");
        }
        assert_eq!(names(dir.path()), ["a.gpkg"]);
    }
}

/// Sums over the rows and the index of a geodatabase of points.
fn rows_of_geodatabase(path: &Path) -> Vec<i64> {
    let file = rusqlite::Connection::open(path).expect("opens");
    let one = |sql: &str| file.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("counts");
    vec![
        one("SELECT count(*) FROM peaks"),
        one("SELECT sum(fid * 7 + n) FROM peaks"),
        one("SELECT count(*) FROM st_spindex__peaks_shape"),
        one("SELECT sum(fid * 7 + n) FROM visits"),
        one("SELECT count(*) FROM GDB_Items"),
    ]
}

/// Sums over the rows and the index of a GeoPackage of points.
fn keys(path: &Path) -> Vec<i64> {
    let file = rusqlite::Connection::open(path).expect("opens");
    let one = |sql: &str| file.query_row(sql, [], |row| row.get::<_, i64>(0)).expect("counts");
    vec![
        one("SELECT count(*) FROM peaks"),
        one("SELECT sum(fid * 7 + n) FROM peaks"),
        one("SELECT count(*) FROM rtree_peaks_shape"),
        one("SELECT count(*) FROM visits"),
        one("SELECT sum(fid * 7 + n) FROM visits"),
    ]
}

#[cfg(unix)]
#[test]
fn a_signal_ends_it_cleanly_and_keeps_what_was_done_where_that_is_asked_for() {
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name);
    write_tiles(&path("a.pmtiles"), &web(), 2 * CHECKPOINT, 50);
    let (from, to) = (path("a.pmtiles"), path("b.mbtiles"));
    let journal = with_ending(&to, ".new.tiles");
    for keep in [false, true] {
        let mut child = start(convert(&from, &to, if keep { &["--keep"] } else { &[] }));
        wait_until(&mut child, || size(&journal) > BEYOND);
        send_signal(&child, "-INT");
        let sent = Instant::now();
        assert_eq!(child.wait().expect("ends").code(), Some(130), "keep: {keep}");
        assert!(sent.elapsed() < Duration::from_secs(5), "{:?}", sent.elapsed());
        assert!(!to.exists());
        assert_eq!(names(dir.path()).len() > 1, keep, "{:?}", names(dir.path()));
    }
    let answer = converted(&from, &to, &[], 0);
    assert!(answer["resumed"].as_u64().is_some_and(|tiles| tiles >= CHECKPOINT), "{answer}");
    assert_eq!(names(dir.path()), ["a.pmtiles", "b.mbtiles"]);
}
