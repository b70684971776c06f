//! Times conversions of tiles against `cp` and `sha256sum` of the same file, each in a process of its own:
//! `cargo run --release -p offmap-formats --example race_tiles -- [--last-zoom 7] [--bytes 6000] [--dir DIRECTORY]`
//!
//! The source is made here: all tiles of zooms 0 to 7 (21,845), of 6,000 bytes that do not repeat, but for one in ten that is the same
//! sea. Prints one line of JSON for each row: seconds, the ratio to `cp` and `sha256sum` of the source, peak memory in MiB. The files are
//! forced to the disk by the rows and not by `cp`. Linux alone: peak memory is of /proc.

use offmap_formats::containers::Reading;
use offmap_formats::convert::{self, TileSelection};
use offmap_formats::tiles::{tile_of_id, web_mercator_scheme};
use offmap_formats::{TileFormat, TileId, TileSetInfo};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use tokio_util::sync::CancellationToken;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// From which to which.
const ROWS: [(&str, &str); 7] = [
    ("source.tpkx", "1.pmtiles"),
    ("source.tpkx", "2.mbtiles"),
    ("source.tpkx", "3.tpkx"),
    ("2.mbtiles", "4.pmtiles"),
    ("2.mbtiles", "5.tpkx"),
    ("1.pmtiles", "6.mbtiles"),
    ("1.pmtiles", "7.tpkx"),
];

/// The bytes of a tile.
fn tile(id: u64, size: usize, bytes: &mut Vec<u8>) {
    let mut state = if id.is_multiple_of(10) { 1 } else { id.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 };
    bytes.clear();
    bytes.extend_from_slice(b"\x89PNG");
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
}

fn make(to: &Path, last: u8, size: usize) -> Result<u64> {
    let info = TileSetInfo::new(web_mercator_scheme(256, 23), TileFormat::Png);
    let mut sink = convert::open_sink(to, &info)?;
    let mut bytes = Vec::new();
    for (id, place) in (0..).map_while(|id| Some((id, tile_of_id(id)?))).take_while(|(_, (zoom, _, _))| *zoom <= last) {
        let (zoom, column, row) = place;
        tile(id, size, &mut bytes);
        sink.put(&[TileId { level: zoom.into(), row: row.into(), column: column.into() }], &bytes)?;
    }
    Ok(sink.finish()?.tiles)
}

/// Peak memory of this process.
fn peak_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
}

/// One row, in this process.
fn row(from: &Path, to: &Path) -> Result<()> {
    let before = Instant::now();
    let cancel = CancellationToken::new();
    let mut reader = convert::open_reader(from, &cancel)?;
    let selection = TileSelection::default();
    let sink = convert::open_sink(to, &selection.describe(reader.info()))?;
    let done = convert::tiles(reader.as_mut(), sink, &selection, &Reading { cancel: &cancel, report: &|_| {} })?;
    let seconds = before.elapsed().as_secs_f64();
    let line = serde_json::json!({
        "tiles": done.tiles, "contents": done.contents, "bytes": done.bytes, "seconds": seconds, "peakMiB": peak_mib()
    });
    println!("{line}");
    Ok(())
}

/// Seconds of `cp` and `sha256sum`, the better of two times.
fn baseline(source: &Path, copy: &Path) -> Result<f64> {
    let mut best = f64::INFINITY;
    for _ in 0..2 {
        let before = Instant::now();
        let copied = Command::new("cp").args([source, copy]).status()?;
        let summed = Command::new("sha256sum").arg(copy).output()?;
        if !copied.success() || !summed.status.success() {
            return Err("cp or sha256sum does not work here".into());
        }
        best = best.min(before.elapsed().as_secs_f64());
        std::fs::remove_file(copy)?;
    }
    Ok(best)
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [mode, from, to] = arguments.as_slice()
        && mode == "row"
    {
        return row(from.as_ref(), to.as_ref());
    }
    let said = |name: &str| arguments.iter().position(|a| a == name).and_then(|at| arguments.get(at + 1));
    let last = said("--last-zoom").map_or(Ok(7), |n| n.parse())?;
    let size = said("--bytes").map_or(Ok(6_000), |n| n.parse())?;
    let parent = said("--dir").map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = tempfile::tempdir_in(parent)?;
    let source = dir.path().join("source.tpkx");
    make(&source, last, size)?;
    let bytes = std::fs::metadata(&source)?.len();
    let base = baseline(&source, &dir.path().join("copy"))?;
    println!("{}", serde_json::json!({"row": "cp + sha256sum", "bytes": bytes, "seconds": base, "ratio": 1.0}));
    for (from, to) in ROWS {
        let output =
            Command::new(std::env::current_exe()?).arg("row").args([from, to].map(|name| dir.path().join(name))).output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
        let mut line: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&output.stdout)?;
        let ratio = line.get("seconds").and_then(serde_json::Value::as_f64).unwrap_or_default() / base;
        let ending = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
        line.insert("row".to_owned(), format!("{} to {}", ending(from), ending(to)).into());
        line.insert("ratio".to_owned(), ratio.into());
        println!("{}", serde_json::Value::Object(line));
    }
    Ok(())
}
