//! `offmap fetch` of an archive on a web server.

use crate::support::{names, offmap, run, words};
use offmap::TileId;
use offmap::formats::containers::Counted;
use offmap::formats::convert;
use offmap::formats::tiles::{tile_of_id, web_mercator_scheme};
use offmap::formats::{TileFormat, TileSetInfo};
use offmap_sandbox::{ArchiveFault, ArchiveServer};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// An archive of all zooms to one, with tiles of so many bytes.
fn archive(dir: &Path, format: TileFormat, deepest: u8, size: usize) -> Vec<u8> {
    let path = dir.join("made.pmtiles");
    let info = TileSetInfo::new(web_mercator_scheme(256, deepest), format);
    let mut sink = convert::open_sink(&path, &info).expect("opens");
    let head: &[u8] = match format {
        TileFormat::Mvt => b"\x1a\x05",
        TileFormat::WebP => b"RIFF\x10\0\0\0WEBPVP8 ",
        _ => b"\x89PNG",
    };
    for id in 0..((1_u64 << (2 * (u64::from(deepest) + 1))) - 1) / 3 {
        let (zoom, column, row) = tile_of_id(id).expect("a tile");
        let place = TileId { level: u32::from(zoom), row: row.into(), column: column.into() };
        let bytes = [head, &id.to_le_bytes(), &vec![id as u8; size]].concat();
        sink.put(&[place], &bytes).expect("puts");
    }
    sink.finish().expect("finishes");
    let bytes = std::fs::read(&path).expect("reads");
    std::fs::remove_file(&path).expect("removes");
    bytes
}

/// How many tiles a file has.
fn count(path: &Path) -> u64 {
    let ending = path.extension().and_then(|e| e.to_str()).expect("an ending");
    let all = offmap::exporters::containers();
    let reading = offmap::formats::containers::Reading { cancel: &CancellationToken::new(), report: &|_| {} };
    let contents = all.reader(ending).expect("is known").read(path, &reading).expect("reads");
    assert!(contents.damages.is_empty(), "{}: {:?}", path.display(), contents.damages);
    match contents.counted {
        Counted::Tiles(tiles) => tiles,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_becomes_every_file_of_tiles_that_fits_and_a_plan_says_how_many() {
    let dir = offmap_sandbox::tempdir().expect("a directory");
    for (format, endings) in [
        (TileFormat::Png, &["pmtiles", "mbtiles", "tpkx"][..]),
        (TileFormat::Mvt, &["pmtiles", "mbtiles", "vtpk"]),
        (TileFormat::WebP, &["pmtiles", "mbtiles"]),
    ] {
        let server = ArchiveServer::start(archive(dir.path(), format, 5, 100)).await.expect("a server");
        for ending in endings {
            let out = dir.path().join(format!("out.{ending}"));
            let shown = out.to_string_lossy().into_owned();
            let asked = ["fetch", &server.url(), &shown, "--levels", "2-4", "--area", "-180,-85,-1,85"];
            let planned = run(offmap(&[&asked[..], &["--plan"]].concat()));
            assert_eq!(planned.status.code(), Some(0), "{}", words(&planned));
            assert!(words(&planned).contains(" 168 tiles"), "{}", words(&planned));
            assert!(names(dir.path()).is_empty(), "nothing is fetched");
            let fetched = run(offmap(&[&asked[..], &["--progress", "off"]].concat()));
            assert_eq!(fetched.status.code(), Some(0), "{format:?} {ending}: {}", words(&fetched));
            assert_eq!(names(dir.path()), [format!("out.{ending}")]);
            // Half of 16, 64 and 256.
            assert_eq!(count(&out), 168, "{format:?} {ending}");
            std::fs::remove_file(&out).expect("removes");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_archive_has_not_is_refused_with_a_way_out() {
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let server = ArchiveServer::start(archive(dir.path(), TileFormat::Png, 3, 100)).await.expect("a server");
    let fetch = |out: &str, more: &[&str]| {
        let out = dir.path().join(out).to_string_lossy().into_owned();
        run(offmap(&[&["fetch", &server.url(), &out, "--progress", "off"], more].concat()))
    };
    for (out, more, code, says) in [
        ("a.gpkg", &[][..], 2, "has no features"),
        ("a.pmtiles", &["--where", "A > 1"], 2, "tiles have no rows"),
        ("a.pmtiles", &["--direct", "never"], 1, "direct"),
    ] {
        let refused = fetch(out, more);
        assert_eq!(refused.status.code(), Some(code), "{more:?}: {}", words(&refused));
        assert!(words(&refused).contains(says), "{more:?}: {}", words(&refused));
    }
    server.fault(0, usize::MAX, ArchiveFault::NoRanges);
    for more in [&[][..], &["--plan"]] {
        let refused = fetch("a.pmtiles", more);
        assert_eq!(refused.status.code(), Some(1), "{}", words(&refused));
        assert!(words(&refused).contains("offmap convert FILE OUT"), "{}", words(&refused));
    }
    assert!(names(dir.path()).is_empty(), "{:?}", names(dir.path()));
}

/// The file below a directory that holds what was fetched.
fn pack_below(dir: &Path) -> Option<PathBuf> {
    let entries: Vec<PathBuf> = std::fs::read_dir(dir).ok()?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    let is_pack = |path: &PathBuf| {
        path.is_file() && path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ranges-"))
    };
    entries.iter().find(|path| is_pack(path)).cloned().or_else(|| entries.iter().find_map(|path| pack_below(path)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_that_is_killed_asks_for_no_range_twice_that_came() {
    /// Bytes of the head of a file of ranges, and of each record before its range.
    const HEAD: u64 = 48;
    const RECORD: u64 = 16;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let server = ArchiveServer::start(archive(dir.path(), TileFormat::Png, 7, 2500)).await.expect("a server");
    let out = dir.path().join("out.pmtiles");
    let shown = out.to_string_lossy().into_owned();
    let planned = run(offmap(&["fetch", &server.url(), &shown, "--plan"]));
    assert_eq!(planned.status.code(), Some(0), "{}", words(&planned));
    // Of the export: the first bytes, the metadata, the directories, two ranges; the others never come.
    let planned = server.requests().len();
    let before = planned + 3 + 2;
    server.forget();
    server.fault(before, usize::MAX, ArchiveFault::Hang);
    tokio::task::block_in_place(|| {
        let mut command = offmap(&["fetch", &server.url(), &shown, "--progress", "off"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
        let deadline = Instant::now() + Duration::from_secs(120);
        let written =
            || pack_below(dir.path()).and_then(|path| Some(std::fs::metadata(path).ok()?.len())).unwrap_or_default();
        // One hangs, and every answer before it is a record to its last byte.
        let all_came = || {
            let requests: Vec<_> = server.requests().into_iter().skip(planned).map(|request| request.range).collect();
            let records: u64 = requests.iter().flatten().map(|(_, sent)| RECORD + sent).sum();
            requests.contains(&None) && written() >= HEAD + records
        };
        while !all_came() {
            assert!(Instant::now() < deadline && child.try_wait().expect("waits").is_none(), "it never came to that");
            std::thread::sleep(Duration::from_millis(5));
        }
        child.kill().expect("kills");
        child.wait().expect("ends");
    });
    let came = |requests: Vec<offmap_sandbox::ArchiveRequest>| -> BTreeSet<(u64, u64)> {
        requests.into_iter().filter_map(|r| r.range).filter(|(_, sent)| *sent > 1 << 20).collect()
    };
    let first = came(server.requests());
    server.forget();
    let resumed = run(offmap(&["fetch", &server.url(), &shown, "--progress", "off"]));
    assert_eq!(resumed.status.code(), Some(0), "{}", words(&resumed));
    let second = came(server.requests());
    assert!(first.len() == 2 && second.len() >= 4 && first.is_disjoint(&second), "{first:?} {second:?}");
    assert_eq!((count(&out), names(dir.path())), (21_845, vec!["out.pmtiles".to_owned()]));
}
