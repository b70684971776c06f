//! Races offmap against the least that a program could do, on one machine at one time; one JSON line a row.
//!
//! ```text
//! cargo run --release --example race -- [--levels 7] [--points 138398] [--attachments 1000] [--vertices 2600000] [--runs 3]
//!     [--rows tiles,points] [--ogr2ogr] [--kills 50]
//! ```
//!
//! A server in this process makes tiles, points and attachments out of numbers. Against it run, each in a process of its own: the bare loop
//! (`bare.rs`: requests in flight, bytes or parsed pages into one SQLite table, no checks, no retries), and offmap (`ours.rs`: planned,
//! journaled, verified, packed, and written as the format of the row). `ratio` is the time of the bare loop by that of offmap, of all runs
//! the median; 1 is as fast. Rows with faults, or of a server that answers at most 500 requests a second, say how much the bare loop
//! lost; of the latter `perSecond` is what counts. With `--ogr2ogr`, GDAL's program takes the points as well; `timesOgr2ogr` is its time by
//! that of offmap.

mod bare;
mod data;
mod kills;
mod ogr;
mod ours;
mod pbf;
mod server;

use clap::{Parser, Subcommand};
use serde_json::{Value, json};
use server::Server;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

#[derive(Debug, Parser)]
struct Arguments {
    /// The finest level of tiles; 7 are 21,845.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(0..=12))]
    levels: u32,
    /// Points of the layer.
    #[arg(long, default_value_t = 138_398, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    points: u64,
    /// Attachments, of 300 kB each.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    attachments: u64,
    /// Vertices of the polygons, which come in one page; 2,600,000 are 62 MB of it.
    #[arg(long, default_value_t = 2_600_000, value_parser = clap::value_parser!(u64).range(1..=2_700_000))]
    vertices: u64,
    /// How often each row is measured.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
    runs: u64,
    /// Rows to run, of: tiles, slow-tiles, faulty-tiles, capped-tiles, points, pbf-points, countries,
    /// attachments. [default: all]
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// Takes the row `points` with ogr2ogr as well, which must be installed (GDAL 3.5 or later).
    #[arg(long)]
    ogr2ogr: bool,
    /// Kills offmap so often while it fetches the tiles, and runs no row.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=1_000))]
    kills: u64,
    /// Where everything is written.
    #[arg(long, default_value = ".")]
    directory: PathBuf,
    #[command(subcommand)]
    child: Option<Child>,
}

/// One side of a race, in a process of its own.
#[derive(Debug, Subcommand)]
enum Child {
    /// The bare loop.
    #[command(hide = true)]
    Bare { kind: String, url: String, to: PathBuf, count: u64, in_flight: usize },
    /// offmap.
    #[command(hide = true)]
    Ours {
        url: String,
        to: PathBuf,
        #[arg(long)]
        resume: bool,
    },
}

/// What is raced.
struct Row {
    name: &'static str,
    kind: &'static str,
    service: &'static str,
    /// Ending of the file that offmap writes.
    ending: &'static str,
    /// Requests that the bare loop has in flight.
    in_flight: usize,
}

const ROWS: &[Row] = &[
    Row { name: "tiles", kind: "tiles", service: "Tiles/MapServer", ending: "tpkx", in_flight: 32 },
    Row { name: "tiles", kind: "tiles", service: "Tiles/MapServer", ending: "mbtiles", in_flight: 32 },
    Row { name: "tiles", kind: "tiles", service: "Tiles/MapServer", ending: "pmtiles", in_flight: 32 },
    Row { name: "slow-tiles", kind: "tiles", service: "SlowTiles/MapServer", ending: "pmtiles", in_flight: 256 },
    Row { name: "faulty-tiles", kind: "tiles", service: "FaultyTiles/MapServer", ending: "pmtiles", in_flight: 32 },
    Row { name: "capped-tiles", kind: "tiles", service: "CappedTiles/MapServer", ending: "pmtiles", in_flight: 32 },
    Row { name: "points", kind: "points", service: "Points/FeatureServer/0", ending: "gpkg", in_flight: 8 },
    // The bare loop asks for JSON here as well.
    Row { name: "pbf-points", kind: "points", service: "PbfPoints/FeatureServer/0", ending: "gpkg", in_flight: 8 },
    Row { name: "countries", kind: "points", service: "Countries/FeatureServer/0", ending: "gpkg", in_flight: 8 },
    Row { name: "attachments", kind: "attachments", service: "Photos/FeatureServer/0", ending: "gpkg", in_flight: 8 },
];

/// The most memory that this process had, in MiB (`VmHWM`; Linux only).
fn peak_rss_mib() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok().map(|k| k / 1024)
}

/// Runs one side; its answer is the last line that it prints.
async fn side(arguments: Vec<String>) -> Outcome<Value> {
    let program = std::env::current_exe()?;
    let output =
        tokio::task::spawn_blocking(move || Command::new(program).args(arguments).stderr(Stdio::inherit()).output())
            .await??;
    let text = String::from_utf8(output.stdout)?;
    match output.status.success() {
        true => Ok(serde_json::from_str(text.lines().last().unwrap_or_default())?),
        false => Err(format!("one side ended with {}", output.status).into()),
    }
}

fn median(of: &[Value], key: &str) -> f64 {
    let mut all: Vec<f64> = of.iter().filter_map(|v| v[key].as_f64()).collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or_default()
}

async fn race(row: &Row, arguments: &Arguments, server: &Server, directory: &Path) -> Outcome<Value> {
    let count = match row.kind {
        "tiles" => data::tiles_to(arguments.levels),
        "points" if row.name == "countries" => data::COUNTRIES,
        "points" => arguments.points,
        _ => arguments.attachments,
    };
    let url = format!("{}/arcgis/rest/services/{}", server.url, row.service);
    let (mut bare, mut ours, mut ogr) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..arguments.runs {
        let to = directory.join("bare.sqlite");
        let shown = to.display().to_string();
        let words = ["bare", row.kind, &url, &shown, &count.to_string(), &row.in_flight.to_string()];
        bare.push(side(words.map(str::to_owned).to_vec()).await?);
        std::fs::remove_file(&to)?;
        let to = directory.join(format!("ours.{}", row.ending));
        let shown = to.display().to_string();
        ours.push(side(["ours", &url, &shown].map(str::to_owned).to_vec()).await?);
        std::fs::remove_file(&to)?;
        if arguments.ogr2ogr && row.name == "points" {
            let (from, to) = (url.clone(), directory.join("ogr.gpkg"));
            ogr.push(tokio::task::spawn_blocking(move || ogr::run(&from, &to, count)).await??);
            std::fs::remove_file(directory.join("ogr.gpkg"))?;
        }
    }
    let (bare_ms, our_ms) = (median(&bare, "ms"), median(&ours, "ms"));
    let mut told = json!({
        "row": row.name, "to": row.ending, "count": count, "runs": arguments.runs,
        "bareMs": bare_ms, "bareInFlight": row.in_flight, "bareGot": median(&bare, "got"), "bareRssMib": median(&bare, "peakRssMib"),
        "oursMs": our_ms, "downloadMs": median(&ours, "downloadMs"), "got": median(&ours, "got"), "rssMib": median(&ours, "peakRssMib"),
        "perSecond": median(&ours, "got") * 1000.0 / our_ms.max(1.0),
        "ratio": bare_ms / our_ms.max(1.0),
    });
    if !ogr.is_empty() {
        let ogr_ms = median(&ogr, "ms");
        told["ogr2ogrMs"] = json!(ogr_ms);
        told["timesOgr2ogr"] = json!(ogr_ms / our_ms.max(1.0));
    }
    Ok(told)
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let arguments = Arguments::parse();
    match &arguments.child {
        Some(Child::Bare { kind, url, to, count, in_flight }) => {
            return bare::run(kind, url, to, *count, *in_flight).await;
        }
        Some(Child::Ours { url, to, resume }) => return ours::run(url, to, *resume).await,
        None => {}
    }
    if let Some(unknown) = arguments.rows.iter().find(|name| !ROWS.iter().any(|row| row.name == *name)) {
        return Err(format!("there is no row `{unknown}`").into());
    }
    let directory = tempfile::tempdir_in(&arguments.directory)?;
    let has_countries = arguments.rows.is_empty() || arguments.rows.iter().any(|name| name == "countries");
    let vertices = if has_countries { arguments.vertices } else { 0 };
    let server = server::start(arguments.levels, arguments.points, arguments.attachments, vertices).await?;
    if arguments.kills > 0 {
        println!("{}", kills::run(arguments.kills, arguments.levels, &server, directory.path()).await?);
        return Ok(());
    }
    for row in ROWS.iter().filter(|row| arguments.rows.is_empty() || arguments.rows.iter().any(|name| name == row.name)) {
        println!("{}", race(row, &arguments, &server, directory.path()).await?);
    }
    Ok(())
}
