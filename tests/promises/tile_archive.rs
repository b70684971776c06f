//! Tiles of a PMTiles archive on a web server come by ranges: those that are wanted, in few requests, of one state of the archive.

use crate::support::{area, files_below, holds, quick_client, run_to_end};
use offmap::arcgis::lone_service::{self, Selection, Wanted};
use offmap::arcgis::portal::ReadLimits;
use offmap::arcgis::{ArcGisClient, Credentials};
use offmap::exporters::tile_archive::TileArchiveExporter;
use offmap::formats::convert::{self, TileSelection};
use offmap::formats::tiles::{tile_of_id, web_mercator_scheme};
use offmap::formats::{TileFormat, TileSetInfo, tile_reader::TileVisitor};
use offmap::packager::verify;
use offmap::testing::exporter_conformance;
use offmap::{
    CapabilityReason, DirectDownload, Engine, Failure, FailureKind, FailureOwner, GenerateOfflineMapParameters,
    GenerateOfflineMapResult, JobError, OfflineMapSource, OfflineMapTask, ProgressUnit, StatusMessage, TileId,
};
use offmap_sandbox::{ArchiveFault, ArchiveServer};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// The deepest zoom of the archives: more tiles than fit one directory.
const DEEPEST: u8 = 7;

type Tiles = BTreeMap<TileId, Vec<u8>>;

#[derive(Default)]
struct All(Tiles);

impl TileVisitor for All {
    fn wants(&mut self, _: TileId) -> Result<bool, Failure> {
        Ok(true)
    }

    fn visit(&mut self, places: &[TileId], bytes: &[u8]) -> Result<(), Failure> {
        self.0.extend(places.iter().map(|place| (*place, bytes.to_vec())));
        Ok(())
    }
}

fn tiles(path: &Path) -> Tiles {
    let mut all = All::default();
    let mut reader = convert::open_reader(path, &CancellationToken::new()).expect("opens");
    reader.for_each_tile(&mut all).expect("reads");
    all.0
}

/// An archive of all zooms to [`DEEPEST`], a part of it the same sea; `salt` makes another one.
fn archive(dir: &Path, format: TileFormat, salt: u8) -> PathBuf {
    let path = dir.join(format!("made-{salt}.pmtiles"));
    let mut info = TileSetInfo::new(web_mercator_scheme(256, DEEPEST), format);
    info.name = Some("Relief of everywhere".to_owned());
    info.attribution = Some("© Surveyors of Everywhere".to_owned());
    let mut sink = convert::open_sink(&path, &info).expect("opens");
    let head: &[u8] = if format.is_vector() { b"\x1a\x05" } else { b"\x89PNG" };
    for id in 0..((1_u64 << (2 * (u64::from(DEEPEST) + 1))) - 1) / 3 {
        let (zoom, column, row) = tile_of_id(id).expect("a tile");
        let place = TileId { level: u32::from(zoom), row: row.into(), column: column.into() };
        let n = id.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(salt);
        let bytes = match id % 10 {
            0..2 => [head, b"sea"].concat(),
            _ => [head, &n.to_le_bytes(), &vec![n as u8; 80 + (n >> 57) as usize]].concat(),
        };
        sink.put(&[place], &bytes).expect("puts");
    }
    sink.finish().expect("finishes");
    path
}

/// A server with an archive, and an engine that takes from it.
struct Desk {
    server: ArchiveServer,
    made: PathBuf,
    client: ArcGisClient,
    engine: Engine,
    dir: tempfile::TempDir,
}

impl Desk {
    async fn new(format: TileFormat) -> Self {
        let dir = offmap_sandbox::tempdir().expect("a directory");
        let made = archive(dir.path(), format, 0);
        let server = ArchiveServer::start(std::fs::read(&made).expect("reads")).await.expect("a server");
        let client = quick_client(Credentials::none());
        let engine = offmap::with_defaults(&client).expect("exporters").start().expect("starts");
        Self { server, made, client, engine, dir }
    }

    async fn source(&self, query: &str) -> OfflineMapSource {
        let url = format!("{}{query}", self.server.url());
        let selection = Selection::all(Wanted::Tiles);
        let lone = lone_service::read(&self.client, &url, &selection, &ReadLimits::default()).await;
        lone.expect("an archive").source
    }

    fn destination(&self) -> PathBuf {
        self.dir.path().join("package")
    }

    async fn take(&self, query: &str) -> (Result<GenerateOfflineMapResult, JobError>, Vec<StatusMessage>) {
        let task = OfflineMapTask::new(&self.engine, self.source(query).await);
        run_to_end(&task.generate_offline_map(parameters(), Default::default(), self.destination())).await
    }

    async fn failure(&self) -> Failure {
        match self.take("").await.0 {
            Ok(result) => result.layers.into_iter().find_map(|layer| layer.failure).expect("a failure"),
            Err(error) => error.layers.iter().find_map(|layer| layer.failure.clone()).unwrap_or(error.failure),
        }
    }

    /// The archive in the package.
    fn taken(&self) -> PathBuf {
        let is_archive = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "pmtiles");
        files_below(&self.destination()).into_iter().find(is_archive).expect("an archive")
    }
}

fn parameters() -> GenerateOfflineMapParameters {
    let mut parameters = GenerateOfflineMapParameters::new(area());
    parameters.direct_download = DirectDownload::Always;
    parameters
}

/// The tiles that a conversion takes of an archive for the same area.
fn expected(made: &Path) -> Tiles {
    let to = made.with_extension("part.pmtiles");
    let _ = std::fs::remove_file(&to);
    let selection = TileSelection { area: Some(area()), levels: None };
    let cancel = CancellationToken::new();
    let mut reader = convert::open_reader(made, &cancel).expect("opens");
    let sink = convert::open_sink(&to, &selection.describe(reader.info())).expect("begins");
    let reading = offmap::formats::containers::Reading { cancel: &cancel, report: &|_| {} };
    convert::tiles(reader.as_mut(), sink, &selection, &reading).expect("converts");
    tiles(&to)
}

#[tokio::test]
async fn only_the_parts_of_an_archive_come_that_the_area_wants() {
    for format in [TileFormat::Png, TileFormat::Mvt] {
        let desk = Desk::new(format).await;
        let expected = expected(&desk.made);
        let task = OfflineMapTask::new(&desk.engine, desk.source("").await);
        let plan = task.plan(&parameters(), &Default::default()).await.expect("a plan");
        let planned = &plan.tasks[0];
        assert_eq!((planned.layers[0].expected, planned.layers[0].exact), (Some(expected.len() as u64), true));
        let levels: u64 = planned.levels.iter().map(|level| level.tiles).sum();
        assert_eq!((levels, planned.levels.len()), (expected.len() as u64, usize::from(DEEPEST) + 1));
        let bytes = planned.bytes.expect("bytes");
        desk.server.forget();
        let (result, messages) = desk.take("").await;
        let result = result.expect("a package");
        assert!(result.is_complete(), "{:?}", result.layers);
        assert!(tiles(&desk.taken()) == expected, "the same tiles, byte by byte");
        assert!(verify(&desk.destination()).expect("verifies").ok);
        let reader = convert::open_reader(&desk.taken(), &CancellationToken::new()).expect("opens");
        assert_eq!(reader.info().attribution.as_deref(), Some("© Surveyors of Everywhere"));
        assert_eq!((reader.info().format, reader.info().name.as_deref()), (format, Some("Relief of everywhere")));
        let requests = desk.server.requests();
        let needed: std::collections::BTreeSet<&Vec<u8>> = expected.values().collect();
        let needed: u64 = needed.iter().map(|bytes| bytes.len() as u64).sum();
        let size = std::fs::metadata(&desk.made).expect("is there").len();
        println!("{format:?}: {} requests, {} bytes of {size}, {needed} needed", requests.len(), desk.server.sent());
        assert!(bytes.min >= needed && bytes.min < needed * 11 / 10, "{bytes:?}, {needed}");
        assert!(requests.len() < 20, "{}", requests.len());
        let progress: Vec<_> =
            messages.iter().filter_map(|m| m.progress).filter(|p| p.unit == ProgressUnit::Bytes).collect();
        assert!(progress.iter().any(|p| p.completed == p.required && p.required == bytes.max), "{progress:?}");
        let header = |request: &offmap_sandbox::ArchiveRequest, name: &str| {
            request.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone())
        };
        assert!(requests.iter().all(|r| header(r, "range").is_some() && r.range.is_some()));
        assert!(requests.iter().all(|r| header(r, "accept-encoding").as_deref() == Some("identity")));
        let firsts: Vec<_> = requests.iter().filter(|r| header(r, "if-match").is_none()).collect();
        assert!(firsts.iter().all(|r| header(r, "range").as_deref() == Some("bytes=0-16383")), "{firsts:?}");
    }
}

/// Requests of describing and planning, before those of the export.
async fn planned_requests(desk: &Desk) -> usize {
    desk.server.forget();
    let task = OfflineMapTask::new(&desk.engine, desk.source("").await);
    task.plan(&parameters(), &Default::default()).await.expect("a plan");
    let requests = desk.server.requests().len();
    desk.server.forget();
    requests
}

#[tokio::test]
async fn faults_that_pass_cost_nothing_and_lies_are_named() {
    let desk = Desk::new(TileFormat::Png).await;
    let expected = expected(&desk.made);
    let before = planned_requests(&desk).await;
    let other = ArchiveServer::start(std::fs::read(&desk.made).expect("reads")).await.expect("a server");
    // Behind the first bytes and the metadata: the directories, and the tiles.
    for (fault, times) in [
        (ArchiveFault::Drop, 3),
        (ArchiveFault::Short, 3),
        (ArchiveFault::Status(503), 3),
        (ArchiveFault::Status(502), 2),
        (ArchiveFault::Redirect(other.url()), 1),
    ] {
        desk.server.forget();
        desk.server.fault(before + 2, times, fault.clone());
        let result = desk.take("").await.0.unwrap_or_else(|error| panic!("{fault:?}: {error:?}"));
        assert!(result.is_complete(), "{fault:?}: {:?}", result.layers);
        assert!(tiles(&desk.taken()) == expected, "{fault:?}");
        std::fs::remove_dir_all(desk.destination()).expect("removes");
    }
    assert!(!other.requests().is_empty(), "a redirect is followed");
    for (fault, skip, kind, words) in [
        (ArchiveFault::NoRanges, 0, FailureKind::NotSupported, "serves no ranges; download the file as a whole"),
        (ArchiveFault::NoRanges, before + 2, FailureKind::NotSupported, "serves no ranges"),
        (ArchiveFault::OtherRange, before + 2, FailureKind::InvalidAnswer, "where bytes"),
        (ArchiveFault::Gzip, before + 2, FailureKind::InvalidAnswer, "compressed (gzip)"),
        (ArchiveFault::Multipart, before + 2, FailureKind::InvalidAnswer, "several parts"),
        (ArchiveFault::Garbage, 0, FailureKind::Corrupt, "`PMTiles` and version 3"),
        (ArchiveFault::Garbage, before + 2, FailureKind::Corrupt, "a directory"),
        (ArchiveFault::Garbage, before + 3, FailureKind::Corrupt, "is no tile"),
        (ArchiveFault::Status(404), 0, FailureKind::NotFound, ""),
        (ArchiveFault::Status(403), before + 2, FailureKind::Unauthorized, ""),
    ] {
        desk.server.forget();
        desk.server.fault(skip, usize::MAX, fault.clone());
        let failure = desk.failure().await;
        assert_eq!(
            (failure.owner, failure.kind),
            (if kind == FailureKind::Unauthorized { FailureOwner::Credentials } else { FailureOwner::Source }, kind),
            "{fault:?} {failure:?}"
        );
        assert!(failure.message.contains(words), "{fault:?} {failure}");
        assert!(!desk.destination().exists(), "{fault:?}");
        crate::support::no_library_words(&failure.message);
    }
}

#[tokio::test]
async fn an_archive_that_changes_while_it_is_read_is_read_once_more_and_no_more() {
    let desk = Desk::new(TileFormat::Png).await;
    let before = planned_requests(&desk).await;
    let second: Vec<u8> = std::fs::read(archive(desk.dir.path(), TileFormat::Png, 7)).expect("reads");
    let first = std::fs::read(&desk.made).expect("reads");
    desk.server.fault(before + 2, 1, ArchiveFault::ChangeAfter(second.clone(), "\"two\"".to_owned()));
    let (result, messages) = desk.take("").await;
    assert!(result.expect("a package").is_complete());
    assert!(tiles(&desk.taken()) == expected(&desk.dir.path().join("made-7.pmtiles")), "all of the second");
    assert!(messages.iter().any(|m| m.message.as_ref().is_some_and(|words| words.contains("once more from its beginning"))));
    std::fs::remove_dir_all(desk.destination()).expect("removes");
    desk.server.forget();
    for (turn, bytes) in [&first, &second, &first].into_iter().enumerate() {
        desk.server.fault(
            if turn == 0 { before + 2 } else { 1 },
            1,
            ArchiveFault::ChangeAfter(bytes.clone(), format!("\"{turn}\"")),
        );
    }
    let failure = desk.failure().await;
    assert_eq!((failure.owner, failure.kind), (FailureOwner::Source, FailureKind::InvalidAnswer), "{failure:?}");
    assert!(failure.message.contains("changed while it was read") && failure.message.contains("try again"), "{failure}");
    assert!(!desk.destination().exists());
}

/// An archive with some tiles of the northwest alone.
fn northwest(dir: &Path, zooms: std::ops::RangeInclusive<u8>) -> Vec<u8> {
    let path = dir.join("northwest.pmtiles");
    let _ = std::fs::remove_file(&path);
    let info = TileSetInfo::new(web_mercator_scheme(256, DEEPEST), TileFormat::Png);
    let mut sink = convert::open_sink(&path, &info).expect("opens");
    for zoom in zooms {
        let place = TileId { level: zoom.into(), row: 0, column: 0 };
        sink.put(&[place], &[b"\x89PNG".as_slice(), &[zoom]].concat()).expect("puts");
    }
    sink.finish().expect("finishes");
    std::fs::read(&path).expect("reads")
}

#[tokio::test]
async fn an_archive_that_takes_the_place_of_the_planned_one_must_be_of_its_kind() {
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let vector = std::fs::read(archive(dir.path(), TileFormat::Mvt, 7)).expect("reads");
    for (bytes, words) in [(vector, "its tiles are Mvt, expected Png"), (northwest(dir.path(), 0..=6), "zooms 0 to 6")] {
        let desk = Desk::new(TileFormat::Png).await;
        let before = planned_requests(&desk).await;
        // The answer to the last request of the plan is the last one of the first archive.
        desk.server.fault(before - 1, 1, ArchiveFault::ChangeAfter(bytes, "\"two\"".to_owned()));
        let failure = desk.failure().await;
        assert_eq!((failure.owner, failure.kind), (FailureOwner::Source, FailureKind::InvalidAnswer), "{failure:?}");
        assert!(failure.message.contains(words) && failure.message.contains("make a new plan"), "{failure}");
        assert!(!desk.destination().exists());
    }
}

#[tokio::test]
async fn a_plan_for_nothing_says_so() {
    let desk = Desk::new(TileFormat::Png).await;
    let server = ArchiveServer::start(northwest(desk.dir.path(), 5..=7)).await.expect("a server");
    let lone = lone_service::read(&desk.client, &server.url(), &Selection::all(Wanted::Tiles), &ReadLimits::default()).await;
    let task = OfflineMapTask::new(&desk.engine, lone.expect("an archive").source);
    let plan = task.plan(&parameters(), &Default::default()).await.expect("a plan");
    let failure = plan.skipped[0].failure.clone().expect("a failure");
    assert_eq!((failure.owner, failure.kind), (FailureOwner::Source, FailureKind::NotFound), "{failure:?}");
    assert!(failure.message.contains("has none of the tiles of the area"), "{failure}");
}

#[tokio::test]
async fn a_state_that_is_told_by_a_date_or_by_nothing_is_held_to_as_far_as_it_goes() {
    let desk = Desk::new(TileFormat::Png).await;
    let expected = expected(&desk.made);
    let date = "Wed, 21 Oct 2015 07:28:00 GMT";
    for (etag, modified, condition) in [
        (None, Some(date), Some(("if-unmodified-since", date))),
        (Some("W/\"weak\""), Some(date), Some(("if-unmodified-since", date))),
        (Some("W/\"weak\""), None, None),
        (None, None, None),
    ] {
        desk.server.forget();
        desk.server.says(etag, modified);
        assert!(desk.take("").await.0.expect("a package").is_complete());
        assert!(tiles(&desk.taken()) == expected, "{etag:?} {modified:?}");
        let last = desk.server.requests().pop().expect("requests");
        let found = last.headers.iter().find(|(name, _)| name.starts_with("if-"));
        assert_eq!(found.map(|(name, value)| (name.as_str(), value.as_str())), condition, "{etag:?} {modified:?}");
        std::fs::remove_dir_all(desk.destination()).expect("removes");
    }
    let before = planned_requests(&desk).await;
    desk.server.fault(before + 2, 1, ArchiveFault::OtherTotal);
    desk.server.fault(2, 1, ArchiveFault::OtherTotal);
    let failure = desk.failure().await;
    assert!(failure.message.contains("changed while it was read: it had"), "{failure}");
}

#[tokio::test]
async fn the_key_of_an_archive_is_sent_with_every_request_and_stands_nowhere() {
    const KEY: &str = "0123456789abcdef-key";
    let desk = Desk::new(TileFormat::Png).await;
    let result = desk.take(&format!("?key={KEY}")).await.0.expect("a package");
    assert!(result.is_complete(), "{:?}", result.layers);
    let requests = desk.server.requests();
    assert!(requests.len() > 3 && requests.iter().all(|r| r.target.ends_with(&format!("?key={KEY}"))), "{requests:?}");
    for file in files_below(&desk.destination()) {
        let bytes = std::fs::read(&file).expect("reads");
        assert!(!holds(&bytes, KEY), "{}", file.display());
    }
}

#[tokio::test]
async fn hosts_that_forbid_direct_download_are_not_asked_and_not_led_to() {
    let desk = Desk::new(TileFormat::Png).await;
    let task = OfflineMapTask::new(&desk.engine, desk.source("").await);
    let mut forbidding = parameters();
    forbidding.direct_download_hosts.refuse.insert("127.0.0.1".to_owned(), "clause 7".to_owned());
    let plan = task.plan(&forbidding, &Default::default()).await.expect("a plan");
    assert_eq!(plan.skipped[0].reason, CapabilityReason::DirectDownloadForbidden, "{:?}", plan.skipped);
    assert!(desk.server.requests().is_empty());
    let mut never = parameters();
    never.direct_download = DirectDownload::Never;
    let plan = task.plan(&never, &Default::default()).await.expect("a plan");
    assert!(plan.tasks.is_empty() && desk.server.requests().is_empty());
    let elsewhere = desk.server.url().replace("127.0.0.1", "localhost");
    desk.server.fault(0, usize::MAX, ArchiveFault::Redirect(elsewhere));
    let mut forbidding = parameters();
    forbidding.direct_download_hosts.refuse.insert("localhost".to_owned(), "clause 7".to_owned());
    let plan = task.plan(&forbidding, &Default::default()).await.expect("a plan");
    let failure = plan.skipped[0].failure.clone().expect("a failure");
    assert!(failure.message.contains("clause 7"), "{failure}");
}

#[tokio::test]
async fn the_archive_exporter_keeps_its_contract() {
    let desk = Desk::new(TileFormat::Png).await;
    let map = desk.source("").await;
    let checked = exporter_conformance(TileArchiveExporter::new(desk.client.clone()), map, parameters()).await;
    assert_eq!(checked, Ok(()));
}
