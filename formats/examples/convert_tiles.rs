//! Converts a file of tiles into another format, and goes on where an interrupted run ended:
//! `cargo run --release -p offmap-formats --example convert_tiles -- FROM TO [--levels FIRST-LAST] [--area WEST,SOUTH,EAST,NORTH]`
//!
//! FROM is a .tpkx, .vtpk, .tpk, .mbtiles or .pmtiles, or a directory laid out like a package; TO ends with .tpkx, .vtpk, .mbtiles or
//! .pmtiles. Levels are ids of FROM. Prints one line of JSON.

use offmap_formats::containers::Reading;
use offmap_formats::convert::{self, TileSelection};
use offmap_model::{AreaOfInterest, Failure};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio_util::sync::CancellationToken;

struct Arguments {
    from: PathBuf,
    to: PathBuf,
    selection: TileSelection,
}

fn arguments() -> Result<Arguments, Failure> {
    let usage =
        || Failure::invalid_parameter("usage: convert_tiles FROM TO [--levels FIRST-LAST] [--area WEST,SOUTH,EAST,NORTH]");
    let (mut files, mut selection) = (Vec::new(), TileSelection::default());
    let mut all = std::env::args().skip(1);
    while let Some(argument) = all.next() {
        match argument.as_str() {
            "--levels" => {
                let text = all.next().ok_or_else(usage)?;
                let (first, last) = text.split_once('-').unwrap_or((&text, &text));
                let number = |text: &str| text.parse::<u32>().map_err(|_| usage());
                selection.levels = Some((number(first)?..=number(last)?).collect());
            }
            "--area" => selection.area = Some(AreaOfInterest::from_numbers(&all.next().ok_or_else(usage)?)?),
            _ => files.push(PathBuf::from(argument)),
        }
    }
    match <[PathBuf; 2]>::try_from(files) {
        Ok([from, to]) => Ok(Arguments { from, to, selection }),
        Err(_) => Err(usage()),
    }
}

fn run(from: &Path, to: &Path, selection: &TileSelection) -> Result<(), Failure> {
    let cancel = CancellationToken::new();
    let mut reader = convert::open_reader(from, &cancel)?;
    let sink = convert::open_sink(to, &selection.describe(reader.info()))?;
    let resumed = sink.resumed().tiles;
    let done = convert::tiles(reader.as_mut(), sink, selection, &Reading { cancel: &cancel, report: &|_| {} })?;
    let line = serde_json::json!({
        "to": to, "tiles": done.tiles, "contents": done.contents, "bytes": done.bytes, "resumedAfterTiles": resumed
    });
    println!("{line}");
    Ok(())
}

fn main() -> ExitCode {
    match arguments().and_then(|a| run(&a.from, &a.to, &a.selection)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}
