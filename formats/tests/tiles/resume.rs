//! Half files: what was put before a checkpoint is there, and the file ends in the same bytes.

use crate::support::{names, pyramid, read, sink, write};
use offmap_formats::{TileId, TileSetInfo, TileSink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const FORMATS: [&str; 3] = ["a.pmtiles", "a.mbtiles", "a.tpkx"];
/// Tells the child what to write, and how large the set is.
const TO: &str = "OFFMAP_TILES_TO";
const LAST_ZOOM: u8 = 6;

/// Puts what the sink has not yet, with a checkpoint behind every `every` tiles, up to `until`.
fn go_on(sink: &mut dyn TileSink, tiles: &[(TileId, Vec<u8>)], until: usize, every: usize) -> usize {
    let resumed = sink.resumed();
    let from = usize::try_from(resumed.tiles).expect("few");
    assert_eq!(resumed.last, from.checked_sub(1).map(|last| tiles[last].0), "it tells up to where it has everything");
    for (n, (place, bytes)) in tiles.iter().enumerate().take(until).skip(from) {
        sink.put(&[*place], bytes).expect("puts");
        if (n + 1) % every == 0 {
            sink.checkpoint().expect("checkpoints");
        }
    }
    from
}

fn whole(dir: &Path, name: &str, info: &TileSetInfo, tiles: &[(TileId, Vec<u8>)]) -> Vec<u8> {
    let to = dir.join(format!("whole-{name}"));
    // The name of the file is in what it says of itself.
    let named = TileSetInfo { name: Some("a".to_owned()), ..info.clone() };
    write(&to, &named, tiles);
    std::fs::read(to).expect("reads")
}

#[test]
fn a_sink_that_is_dropped_anywhere_is_resumed_and_ends_in_the_same_bytes() {
    let (info, tiles) = pyramid(5);
    let info = TileSetInfo { name: Some("a".to_owned()), ..info };
    for name in FORMATS {
        let dir = tempfile::tempdir().expect("a directory");
        let expected = whole(dir.path(), name, &info, &tiles);
        let to = dir.path().join(name);
        let mut dropped = Vec::new();
        for (until, every) in
            [(0, 1), (50, 1_000), (99, 7), (400, 150), (401, 1), (402, 1_000), (900, 300), (tiles.len(), 90)]
        {
            let mut sink = sink(&to, &info);
            dropped.push(go_on(sink.as_mut(), &tiles, until, every));
        }
        assert_eq!(dropped, [0, 0, 0, 98, 300, 401, 401, 900], "{name}: no tile is put again that was checkpointed");
        assert!(!to.exists());
        let mut sink = sink(&to, &info);
        assert_eq!(go_on(sink.as_mut(), &tiles, tiles.len(), 1_000), 1_350);
        let done = sink.finish().expect("finishes");
        assert_eq!(done.tiles, tiles.len() as u64);
        assert!(std::fs::read(&to).expect("reads") == expected, "{name}");
        assert_eq!(names(dir.path()), [name.to_owned(), format!("whole-{name}")], "nothing else is left");
    }
}

#[test]
fn a_half_of_another_description_is_not_resumed() {
    let (info, tiles) = pyramid(3);
    for name in FORMATS {
        let dir = tempfile::tempdir().expect("a directory");
        let to = dir.path().join(name);
        let mut half = sink(&to, &info);
        go_on(half.as_mut(), &tiles, 30, 10);
        drop(half);
        let other = TileSetInfo { attribution: Some("another".to_owned()), ..info.clone() };
        let mut sink = sink(&to, &other);
        assert_eq!(sink.resumed().tiles, 0, "{name}");
        go_on(sink.as_mut(), &tiles, tiles.len(), 10);
        sink.finish().expect("finishes");
        assert_eq!(read(&to).len(), tiles.len());
    }
}

#[test]
fn a_half_whose_journal_or_file_is_torn_begins_anew_or_at_an_earlier_checkpoint() {
    let (info, tiles) = pyramid(4);
    let info = TileSetInfo { name: Some("a".to_owned()), ..info };
    for name in FORMATS {
        let dir = tempfile::tempdir().expect("a directory");
        let expected = whole(dir.path(), name, &info, &tiles);
        let to = dir.path().join(name);
        let (beside, journal) = (dir.path().join(format!("{name}.new")), dir.path().join(format!("{name}.new.tiles")));
        for torn in [&beside, &journal] {
            for keep in [0, 1, 100, 5_000] {
                let mut half = sink(&to, &info);
                go_on(half.as_mut(), &tiles, 250, 60);
                drop(half);
                let file = std::fs::OpenOptions::new().write(true).open(torn).expect("opens");
                let length = file.metadata().expect("there").len();
                file.set_len(length.min(keep)).expect("cuts");
                drop(file);
                let mut sink = sink(&to, &info);
                go_on(sink.as_mut(), &tiles, tiles.len(), 1_000);
                sink.finish().expect("finishes");
                assert!(std::fs::read(&to).expect("reads") == expected, "{name} {} {keep}", torn.display());
                std::fs::remove_file(&to).expect("removes");
            }
        }
    }
}

/// Not a test of its own: what the next one starts and kills.
#[test]
fn a_child_that_writes() {
    let Some(to) = std::env::var_os(TO) else { return };
    let (info, tiles) = pyramid(LAST_ZOOM);
    let mut sink = sink(to.as_ref(), &TileSetInfo { name: Some("a".to_owned()), ..info });
    go_on(sink.as_mut(), &tiles, tiles.len(), 40);
    sink.finish().expect("finishes");
}

#[test]
fn a_process_that_is_killed_anywhere_is_resumed_and_ends_in_the_same_bytes() {
    let (info, tiles) = pyramid(LAST_ZOOM);
    for name in FORMATS {
        let dir = tempfile::tempdir().expect("a directory");
        let expected = whole(dir.path(), name, &info, &tiles);
        let to = dir.path().join(name);
        let journal = dir.path().join(format!("{name}.new.tiles"));
        let mut killed = 0;
        for goal in [1_u64, 20_000, 70_000, 71_000, 150_000] {
            let mut child = Command::new(std::env::current_exe().expect("this test"))
                .args(["--exact", "resume::a_child_that_writes", "--test-threads", "1"])
                .env(TO, &to)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("starts");
            let deadline = Instant::now() + Duration::from_secs(60);
            while std::fs::metadata(&journal).map_or(0, |m| m.len()) < goal && child.try_wait().expect("waits").is_none() {
                assert!(Instant::now() < deadline, "{name}: the child writes");
                std::thread::yield_now();
            }
            // SIGKILL, wherever it is.
            child.kill().expect("kills");
            killed += usize::from(!child.wait().expect("waits").success());
        }
        assert!(killed >= 3, "{name}: killed {killed} times");
        if !to.exists() {
            let mut sink = sink(&to, &TileSetInfo { name: Some("a".to_owned()), ..info.clone() });
            assert!(sink.resumed().tiles > 0, "{name}: what was checkpointed is there");
            go_on(sink.as_mut(), &tiles, tiles.len(), 1_000);
            sink.finish().expect("finishes");
        }
        assert!(std::fs::read(&to).expect("reads") == expected, "{name}");
    }
}
