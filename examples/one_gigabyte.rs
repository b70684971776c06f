//! Takes one large tile package offline and compares that with the least that it could take; one JSON line at the end.
//!
//! ```text
//! cargo run --release --example one_gigabyte -- [--mib 1024] [--runs 3] [--directory DIR]
//! ```
//!
//! A small server in the same process has one raster service, whose export is a package of random tiles. `curl` fetches the same
//! file and `sha256sum` hashes it once: `ratio` is the time of the job by the time of these two. Of all runs the median counts.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use clap::Parser;
use offmap::arcgis::{ArcGisClient, ClientOptions, Credentials};
use offmap::formats::compact_cache::{PACKET_SIZE, v2_head};
use offmap::model::geometry::WEB_MERCATOR_HALF;
use offmap::{AreaOfInterest, Envelope, OfflineMapSource, OfflineMapTask, SpatialReference, WebMap};
use serde_json::{Value, json};
use std::error::Error;
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tokio_util::io::ReaderStream;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// The only level with tiles: two bundles by two.
const LEVEL: u32 = 8;
const BUNDLES: u64 = 2;
/// Bytes of the file that are sent at a time.
const CHUNK: usize = 256 << 10;

#[derive(Debug, Parser)]
struct Arguments {
    /// Size of the package in MiB.
    #[arg(long, default_value_t = 1024)]
    mib: u64,
    /// How often everything is measured.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Where everything is written: a disk, not memory.
    #[arg(long, default_value = ".")]
    directory: PathBuf,
}

/// Fills `bytes` with numbers that do not repeat (splitmix64).
fn fill(bytes: &mut [u8], seed: &mut u64) {
    for piece in bytes.chunks_mut(8) {
        *seed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let n = (*seed ^ (*seed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        piece.copy_from_slice(&(n ^ (n >> 31)).to_le_bytes()[..piece.len()]);
    }
}

fn tile_info() -> Value {
    let lod = |level: u32| {
        let part = f64::from(level).exp2();
        json!({"level": level, "resolution": 2.0 * WEB_MERCATOR_HALF / 256.0 / part, "scale": 591_657_527.591_555 / part})
    };
    json!({"rows": 256, "cols": 256, "dpi": 96, "format": "JPEG", "compressionQuality": 75,
        "origin": {"x": -WEB_MERCATOR_HALF, "y": WEB_MERCATOR_HALF}, "spatialReference": SpatialReference::web_mercator(),
        "lods": (0..=LEVEL).map(lod).collect::<Vec<_>>()})
}

fn world() -> Envelope {
    let half = WEB_MERCATOR_HALF;
    Envelope::new(-half, -half, half, half, SpatialReference::web_mercator())
}

/// Writes a package of about `mib` MiB.
fn write_package(path: &Path, mib: u64) -> io::Result<u64> {
    let tiles: Vec<(u64, u64)> =
        (0..PACKET_SIZE).flat_map(|row| (0..PACKET_SIZE).map(move |column| (row, column))).collect();
    let size = (mib << 20) / (BUNDLES * BUNDLES * PACKET_SIZE * PACKET_SIZE);
    let index: Vec<(u64, u64, u64)> = tiles.iter().map(|(row, column)| (*row, *column, size)).collect();
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(true);
    let mut zip = ZipWriter::new(BufWriter::new(File::create(path)?));
    zip.start_file("root.json", stored)?;
    let root = json!({"tileBundlesPath": "./tile", "name": "Large", "version": 1.0, "minLOD": LEVEL, "maxLOD": LEVEL,
        "spatialReference": SpatialReference::web_mercator(), "tileInfo": tile_info(), "tileImageInfo": {"format": "JPEG"},
        "storageInfo": {"storageFormat": "esriMapCacheStorageModeCompactV2", "packetSize": PACKET_SIZE},
        "initialExtent": world(), "fullExtent": world(), "exportTilesAllowed": false});
    zip.write_all(root.to_string().as_bytes())?;
    let mut seed = 1;
    let mut tile = vec![0; usize::try_from(size).map_err(io::Error::other)?];
    for (row, column) in (0..BUNDLES).flat_map(|row| (0..BUNDLES).map(move |column| (row, column))) {
        let (row, column) = (row * PACKET_SIZE, column * PACKET_SIZE);
        zip.start_file(format!("tile/L{LEVEL:02}/R{row:04x}C{column:04x}.bundle"), stored)?;
        zip.write_all(&v2_head(&index))?;
        for _ in &tiles {
            fill(&mut tile, &mut seed);
            if let Some(head) = tile.get_mut(..3) {
                head.copy_from_slice(b"\xff\xd8\xff");
            }
            zip.write_all(&u32::try_from(size).map_err(io::Error::other)?.to_le_bytes())?;
            zip.write_all(&tile)?;
        }
    }
    let file = zip.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()?;
    Ok(file.metadata()?.len())
}

fn description() -> Value {
    json!({"currentVersion": 11.2, "mapName": "Large", "singleFusedMapCache": true, "tileInfo": tile_info(),
        "spatialReference": SpatialReference::web_mercator(), "initialExtent": world(), "fullExtent": world(), "minScale": 0,
        "maxScale": 0, "minLOD": LEVEL, "maxLOD": LEVEL, "capabilities": "Map,TilesOnly", "layers": [], "tables": [],
        "exportTilesAllowed": true, "maxExportTilesCount": 100_000})
}

async fn send(State(file): State<PathBuf>) -> Response {
    let opened = async {
        let file = tokio::fs::File::open(&file).await?;
        let length = file.metadata().await?.len();
        Ok::<_, io::Error>((file, length))
    };
    match opened.await {
        Ok((file, length)) => {
            let headers = [
                (CONTENT_TYPE, "application/octet-stream".to_owned()),
                (CONTENT_LENGTH, length.to_string()),
                (ETAG, "\"1\"".to_owned()),
            ];
            (headers, Body::from_stream(ReaderStream::with_capacity(file, CHUNK))).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Serves the file as the result of an export; answers the server's url.
async fn serve(file: PathBuf) -> io::Result<String> {
    const SERVICE: &str = "/arcgis/rest/services/Large/MapServer";
    let done = json!({"jobId": "1", "jobStatus": "esriJobSucceeded", "output": {"outputUrl": "/large.tpkx"}});
    let app = Router::new()
        .route(SERVICE, any(|| async { axum::Json(description()) }))
        .route(&format!("{SERVICE}/exportTiles"), any(|| async { axum::Json(json!({"jobId": "1"})) }))
        .route(&format!("{SERVICE}/exportTiles/jobs/1"), any(move || async move { axum::Json(done) }))
        .route("/large.tpkx", get(send))
        .with_state(file);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(url)
}

/// Runs a program to its end; answers how long it took.
async fn time_of(program: &str, arguments: Vec<String>) -> Result<Duration, Box<dyn Error>> {
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::null());
    let (status, took) = tokio::task::spawn_blocking(move || {
        let began = Instant::now();
        command.status().map(|status| (status, began.elapsed()))
    })
    .await??;
    if status.success() { Ok(took) } else { Err(format!("{program} ended with {status}").into()) }
}

/// Takes the map offline; answers how long it took.
async fn take(url: &str, to: &Path) -> Result<Duration, Box<dyn Error>> {
    let options = ClientOptions { poll_interval: Duration::from_millis(50), ..ClientOptions::default() };
    let client = ArcGisClient::new(options, Credentials::none())?;
    let engine = offmap::with_defaults(&client)?.start()?;
    let layer = json!({"id": "large", "title": "Large", "layerType": "ArcGISTiledMapServiceLayer",
        "url": format!("{url}/arcgis/rest/services/Large/MapServer")});
    let map =
        WebMap::from_value(json!({"operationalLayers": [layer], "spatialReference": SpatialReference::web_mercator()}))?;
    let task = OfflineMapTask::new(&engine, OfflineMapSource::from_web_map(map));
    let parameters = task.default_parameters(AreaOfInterest::Envelope(world()))?;
    let began = Instant::now();
    let result = task.generate_offline_map(parameters, Default::default(), to).start().result().await?;
    let took = began.elapsed();
    engine.shutdown().await?;
    match result.is_complete() {
        true => Ok(took),
        false => Err(format!("the package is not complete: {:?}", result.layers).into()),
    }
}

/// The most memory that this process had, in MiB (`VmHWM`; Linux only).
fn peak_rss_mib() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok().map(|k| k / 1024)
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or_default()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let directory = tempfile::tempdir_in(&arguments.directory)?;
    let file = directory.path().join("large.tpkx");
    let bytes = write_package(&file, arguments.mib)?;
    let url = serve(file).await?;
    let (mut curls, mut hashes, mut jobs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..arguments.runs.max(1) {
        let (copy, package) = (directory.path().join("copy"), directory.path().join("package"));
        let shown = copy.display().to_string();
        let fetch = vec!["-s".to_owned(), "-f".to_owned(), "-o".to_owned(), shown.clone(), format!("{url}/large.tpkx")];
        curls.push(time_of("curl", fetch).await?.as_secs_f64());
        hashes.push(time_of("sha256sum", vec![shown]).await?.as_secs_f64());
        std::fs::remove_file(&copy)?;
        jobs.push(take(&url, &package).await?.as_secs_f64());
        std::fs::remove_dir_all(&package)?;
    }
    let (curl, sha256sum, job) = (median(curls), median(hashes), median(jobs));
    println!(
        "{}",
        json!({"bytes": bytes, "runs": arguments.runs, "curlSeconds": curl, "sha256sumSeconds": sha256sum, "jobSeconds": job,
            "ratio": job / (curl + sha256sum), "peakRssMib": peak_rss_mib()})
    );
    Ok(())
}
