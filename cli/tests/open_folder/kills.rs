//! What is left of a folder whose making ended early: nothing, or what the same command goes on with.

use super::folder::{check_manifest, convert, files, made, rows, taken};
use crate::support::{names, send_signal};
use offmap::formats::convert::open_sink;
use offmap::formats::tiles::{tile_of_id, web_mercator_scheme};
use offmap::formats::{TileFormat, TileId, TileSetInfo};
use offmap_sandbox::FIELD_MAP;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Whether the moment has come at which a command is killed.
type IsNow<'a> = Box<dyn Fn() -> bool + 'a>;

/// Tiles of the large package, and rows that its first table gets.
const TILES: u64 = 500_000;
const ROWS: i64 = 150_000;

/// Makes the tiles and one layer of a package so large that a process is killed in their midst.
fn enlarge(package: &Path) {
    let data = names(&package.join("p13"));
    let tpkx = data.iter().find(|name| name.ends_with(".tpkx")).expect("tiles");
    let to = package.join("p13").join(tpkx);
    std::fs::remove_file(&to).expect("removes");
    let mut sink = open_sink(&to, &TileSetInfo::new(web_mercator_scheme(256, 23), TileFormat::Png)).expect("opens");
    for id in 0..TILES {
        let (zoom, column, row) = tile_of_id(id).expect("a tile");
        let place = TileId { level: zoom.into(), row: row.into(), column: column.into() };
        sink.put(&[place], &[b"\x89PNG".as_slice(), &(id / 50).to_le_bytes()].concat()).expect("puts");
    }
    sink.finish().expect("finishes");
    for name in data.iter().filter(|name| name.ends_with(".geodatabase")) {
        let file = rusqlite::Connection::open(package.join("p13").join(name)).expect("opens");
        let has = file.prepare("SELECT OBJECTID FROM Places").is_ok();
        if has {
            multiply(&file);
        }
    }
}

/// Copies the rows of `Places` under ids of their own.
fn multiply(file: &rusqlite::Connection) {
    let mut columns: Vec<String> = Vec::new();
    let mut statement = file.prepare("SELECT name FROM pragma_table_info('Places')").expect("columns");
    let mut found = statement.query([]).expect("columns");
    while let Some(row) = found.next().expect("a column") {
        columns.push(row.get(0).expect("a name"));
    }
    let (count, most): (i64, i64) =
        file.query_row("SELECT count(*), max(OBJECTID) FROM Places", [], |r| Ok((r.get(0)?, r.get(1)?))).expect("rows");
    let values: Vec<String> = columns
        .iter()
        .map(|name| match name.to_lowercase().as_str() {
            "objectid" | "gdb_archive_oid" => format!("\"{name}\" + n * {}", most + count + 10_000),
            "globalid" => {
                "'{' || upper(printf('%08x', n)) || '-0000-0000-0000-' || upper(printf('%012x', OBJECTID)) || '}'".into()
            }
            _ => format!("\"{name}\""),
        })
        .collect();
    let names: Vec<String> = columns.iter().map(|name| format!("\"{name}\"")).collect();
    let triggers: Vec<String> = file
        .prepare("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        .and_then(|mut s| s.query_map([], |r| r.get(0))?.collect())
        .expect("triggers");
    triggers.iter().for_each(|name| _ = file.execute(&format!("DROP TRIGGER \"{name}\""), []).expect("drops"));
    let sql = format!(
        "WITH RECURSIVE more(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM more WHERE n < {})
         INSERT INTO Places ({}) SELECT {} FROM Places, more",
        ROWS / count.max(1),
        names.join(","),
        values.join(",")
    );
    file.execute_batch(&format!("BEGIN; {sql}; COMMIT")).expect("multiplies");
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |m| m.len())
}

/// Waits until something is the case while a command runs.
fn wait_until(child: &mut Child, moment: &str, wished: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !wished() {
        assert!(Instant::now() < deadline, "it never came to {moment}");
        assert!(child.try_wait().expect("waits").is_none(), "it ended before {moment}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

fn start(mut command: Command) -> Child {
    command.args(["--progress", "off"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts")
}

fn kill_when(command: Command, moment: &str, wished: impl Fn() -> bool) {
    let mut child = start(command);
    wait_until(&mut child, moment, wished);
    child.kill().expect("kills");
    child.wait().expect("ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_at_any_moment_leaves_no_folder_and_the_same_command_goes_on() {
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let package = taken(dir.path(), FIELD_MAP, &[]).await;
    tokio::task::block_in_place(|| kills(&package, dir.path()));
}

fn kills(package: &Path, dir: &Path) {
    enlarge(package);
    let (whole, killed, new) = (dir.join("whole"), dir.join("killed"), dir.join("killed.new"));
    made(package, &whole, &[], 0);
    let expected = files(&whole);
    let stem = "tiles/World";
    let far = |name: &str| new.join(name);
    let half_of_features = expected["map.gpkg"].len() as u64 / 3;
    let moments: [(&str, IsNow<'_>); 6] = [
        ("the first file", Box::new(|| far("map.gpkg.new").exists())),
        ("half of the features", Box::new(|| size(&far("map.gpkg.new")) > half_of_features)),
        ("the GeoJSON", Box::new(|| size(&far("features/Places.geojson.new")) > 1 << 20)),
        ("half of the tiles", Box::new(|| size(&far(&format!("{stem}.pmtiles.new.tiles"))) > 64 + 254_000 * 32)),
        ("the other tiles", Box::new(|| size(&far(&format!("{stem}.mbtiles.new.tiles"))) > 64 + 100_000 * 32)),
        ("the manifest", Box::new(|| far("approximations.json").exists())),
    ];
    // One after the other: each goes on with what the one before left.
    let mut kept: Vec<(String, std::time::SystemTime)> = Vec::new();
    for (moment, wished) in &moments {
        kill_when(convert(package, &killed, &[]), moment, wished);
        assert!(!killed.exists(), "{moment}: it is not there by half");
        for (name, at) in &kept {
            let now = std::fs::metadata(new.join(name)).and_then(|m| m.modified()).expect("is there");
            assert_eq!(*at, now, "{moment}: {name} is not written again");
        }
        let finished = ["map.gpkg".to_owned(), format!("{stem}.pmtiles"), format!("{stem}.mbtiles")];
        kept = finished
            .into_iter()
            .filter_map(|name| Some((name.clone(), std::fs::metadata(new.join(name)).and_then(|m| m.modified()).ok()?)))
            .collect();
    }
    assert_eq!(kept.len(), 3);
    made(package, &killed, &[], 0);
    check_manifest(&killed);
    let found = files(&killed);
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, bytes) in &expected {
        // The pages of a SQLite file lie as its transactions came, and the manifest tells the hash of it.
        let is_same = matches!(name.as_str(), "map.gpkg" | "manifest.json") || bytes == &found[name];
        assert!(is_same, "{name}");
    }
    for table in ["Places", "Countries"] {
        assert_eq!(rows(&killed.join("map.gpkg"), table), rows(&whole.join("map.gpkg"), table));
    }
    assert_eq!(names(dir), ["killed", "package", "whole"]);
    // While it is overwritten, the old one is there all the time.
    let before = files(&killed);
    kill_when(convert(package, &killed, &["--overwrite"]), "its end", || far("approximations.json").exists());
    assert!(files(&killed) == before);
    // The half of another order is not used.
    let other = made(package, &killed, &["--overwrite", "--tiles", "pmtiles"], 0);
    assert!(files(&killed).keys().all(|name| !name.ends_with(".mbtiles")), "{other}");
    assert_eq!(names(dir), ["killed", "package", "whole"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_it_cleanly_and_keeps_what_was_done_where_that_is_asked_for() {
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let package = taken(dir.path(), FIELD_MAP, &[]).await;
    let to = dir.path().join("open");
    tokio::task::block_in_place(|| {
        enlarge(&package);
        for keep in [false, true] {
            let mut child = start(convert(&package, &to, if keep { &["--keep"] } else { &[] }));
            wait_until(&mut child, "the features", || size(&dir.path().join("open.new/map.gpkg.new")) > 8 << 20);
            send_signal(&child, "-INT");
            let sent = Instant::now();
            assert_eq!(child.wait().expect("ends").code(), Some(130), "keep: {keep}");
            assert!(sent.elapsed() < Duration::from_secs(5), "{:?}", sent.elapsed());
            assert!(!to.exists());
            // The package, and the half.
            assert_eq!(names(dir.path()) != ["package"], keep, "{:?}", names(dir.path()));
        }
    });
}
