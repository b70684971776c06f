//! What tiled services say of themselves, raster and vector, and the `exportTiles` job they share.
//!
//! Two families of servers answer in different shapes; which one it is is decided by what comes back.
//! Source: tile reference §2, §3, §5, §7, §8.

use crate::client::{ArcGisClient, Download, Downloaded, ServiceCall, already_home, body, resolve};
use crate::server_job::{self, Look, ServerJob};
use crate::tile_cover::TileRows;
use crate::tile_merge;
use crate::tile_package::{self, TilePackage};
use crate::tiling::{Lod, TileInfo};
use async_trait::async_trait;
use offmap_engine::model::area_shape::LONGEST_GEOMETRY;
use offmap_engine::model::geometry::{Envelope, SpatialReference};
use offmap_engine::{
    AreaOfInterest, CountUnit, ExportContext, ExportHost, ExportTask, Failure, FailureKind, FailureOwner, FailureStage,
    LayerArtifact, LayerPlan, MOST_EXAMPLES, Missing, PlannedLevel, Progress, ServiceLimit, TaskLayer, TaskPlan, Unit,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::path::Path;
use std::time::Duration;
use url::Url;

/// Default of `maxExportTilesCount` where the service says nothing.
const DEFAULT_MAX_EXPORT_TILES: u64 = 100_000;
/// Since this version of the server a polygon is understood by `exportTiles`.
const POLYGON_SINCE: f64 = 10.7;
/// Looks at a result folder that is still empty right after success (Esri's scripts: 5).
const FOLDER_LOOKS: u32 = 5;
/// Submissions of one job while their answers are lost.
const MOST_SUBMISSIONS: u32 = 4;
/// Notes that a forgotten job was submitted again.
const AGAIN: &str = "again";
/// Largest package that is taken, in bytes.
const LARGEST_PACKAGE: u64 = 1 << 40;
/// Keys of which every description of a tiled service has at least one.
pub(crate) const DESCRIPTION: &[&str] = &["tileInfo", "currentVersion", "capabilities", "layers"];
/// The unit of the server's job.
pub(crate) const JOB_UNIT: &str = "exportTiles";
/// The unit of the result file.
pub(crate) const FILE_UNIT: &str = "package";

/// The part of a tiled service's description that offmap needs; kept in the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct TiledService {
    /// Root that exports; may be on another host than the map's.
    pub(crate) root: String,
    pub(crate) version: f64,
    pub(crate) tile_info: TileInfo,
    #[serde(default)]
    pub(crate) min_lod: Option<u32>,
    #[serde(default)]
    pub(crate) max_lod: Option<u32>,
    #[serde(default)]
    pub(crate) min_scale: f64,
    #[serde(default)]
    pub(crate) max_scale: f64,
    #[serde(default)]
    pub(crate) full_extent: Option<Envelope>,
    pub(crate) max_export_tiles: u64,
    /// Parameters of the map's layer that go with every request.
    #[serde(default)]
    pub(crate) custom_parameters: Map<String, Value>,
}

/// Replaces the host of a service that does not export by the one that does.
pub(crate) fn export_root(root: &str, hosts: &[ExportHost]) -> String {
    let Ok(mut url) = Url::parse(root) else { return root.to_owned() };
    let bare = |text: &str| {
        let text = text.split_once("://").map_or(text, |(_, rest)| rest);
        text.split('/').next().unwrap_or_default().to_ascii_lowercase()
    };
    let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
    let Some(twin) = hosts.iter().find(|h| bare(&h.source) == host) else { return root.to_owned() };
    if url.set_host(Some(&bare(&twin.export))).is_err() {
        return root.to_owned();
    }
    url.to_string()
}

impl TiledService {
    /// Reads the service's description. The version may be text on emulators.
    pub(crate) fn read(root: &str, answer: &Value, custom_parameters: &Map<String, Value>) -> Result<Self, Failure> {
        let invalid = |words: String| {
            let message = format!("the description of {root} cannot be understood: {words}");
            Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, FailureStage::Plan, message)
        };
        let tile_info = answer.get("tileInfo").cloned().unwrap_or(Value::Null);
        let tile_info: TileInfo = serde_json::from_value(tile_info).map_err(|e| invalid(format!("tileInfo: {e}")))?;
        let number = |key: &str| {
            let value = answer.get(key)?;
            value.as_f64().or_else(|| value.as_str().and_then(|s| s.parse().ok()))
        };
        let level = |key: &str| answer.get(key).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
        let extent = answer.get("fullExtent").cloned().and_then(|v| serde_json::from_value::<Envelope>(v).ok());
        Ok(Self {
            root: root.to_owned(),
            version: number("currentVersion").unwrap_or(0.0),
            tile_info,
            min_lod: level("minLOD"),
            max_lod: level("maxLOD"),
            min_scale: number("minScale").unwrap_or(0.0),
            max_scale: number("maxScale").unwrap_or(0.0),
            full_extent: extent.filter(|e| [e.xmin, e.ymin, e.xmax, e.ymax].iter().all(|n| n.is_finite())),
            max_export_tiles: number("maxExportTilesCount").map_or(DEFAULT_MAX_EXPORT_TILES, |n| n as u64),
            custom_parameters: custom_parameters.clone(),
        })
    }

    /// Levels that really have tiles: `minLOD`..`maxLOD`, or on a service without them those inside its range of scales.
    pub(crate) fn cached_levels(&self) -> Vec<Lod> {
        let all = &self.tile_info.lods;
        if let (Some(min), Some(max)) = (self.min_lod, self.max_lod) {
            return all.iter().filter(|l| (min..=max).contains(&l.level)).copied().collect();
        }
        crate::tiling::levels_in_range(all, self.min_scale, self.max_scale)
    }

    pub(crate) fn extent_in(&self) -> Option<Envelope> {
        let mut extent = self.full_extent.clone()?;
        extent.spatial_reference.get_or_insert_with(|| self.tile_info.spatial_reference.clone());
        Some(extent)
    }

    /// The plan of one export: tiles per level, the limit, and the two units that every export has.
    pub(crate) fn task_plan(
        &self,
        layers: impl Iterator<Item = String>,
        area: &AreaOfInterest,
        level_ids: &[u32],
        bytes_per_tile: (u64, u64),
    ) -> Result<TaskPlan, Failure> {
        let lods = self.lods(level_ids);
        if let Some(unknown) = level_ids.iter().find(|id| !lods.iter().any(|l| l.level == **id)) {
            let known: Vec<u32> = self.tile_info.lods.iter().map(|l| l.level).collect();
            return Err(Failure::invalid_parameter(format!(
                "{} has no level {unknown}; its levels are {known:?}",
                self.root
            )));
        }
        let extent = self.extent_in();
        let levels: Vec<PlannedLevel> = self.tile_info.count(area, extent.as_ref(), &lods)?;
        let total: u64 = levels.iter().map(|l| l.tiles).sum();
        if total == 0 {
            return Err(Failure::invalid_parameter(format!(
                "the area lies outside {}: no tile of levels {level_ids:?} meets it",
                self.root
            )));
        }
        let limit = ServiceLimit { name: "maxExportTilesCount".to_owned(), limit: self.max_export_tiles, needed: total };
        let parts = area.parts_in(&self.tile_info.spatial_reference)?.len();
        let mut warnings = Vec::new();
        if limit.needed > limit.limit {
            warnings.push(format!(
                "{} may refuse: up to {} tiles are needed, it exports at most {} at once",
                self.root, limit.needed, limit.limit
            ));
        }
        Ok(TaskPlan {
            units: units(parts),
            layers: layers.map(|id| LayerPlan { id, expected: Some(total), ..LayerPlan::default() }).collect(),
            count_unit: CountUnit::Tiles,
            // For each part: submit, one look, find the file, fetch it.
            requests: 4 * parts as u64,
            levels,
            bytes: Some(offmap_engine::ByteRange {
                min: total.saturating_mul(bytes_per_tile.0),
                max: total.saturating_mul(bytes_per_tile.1),
            }),
            limits: vec![limit],
            warnings,
            ..TaskPlan::default()
        })
    }

    /// The tiles of an area that a package lacks: of those that its own index promises, where it has one. `None` where none is
    /// missing. What cannot be listed is counted against the plan.
    pub(crate) fn missing(
        &self,
        area: &AreaOfInterest,
        level_ids: &[u32],
        package: &TilePackage,
    ) -> Result<Option<Missing>, Failure> {
        let lods = self.lods(level_ids);
        let extent = self.extent_in();
        // A `.tpk` may count its folders from zero, so its tiles cannot be told by their levels.
        let cover = match package.kind {
            "tpk" => None,
            _ => self.tile_info.cover(area, extent.as_ref(), &lods)?,
        };
        let Some(cover) = cover else {
            return Ok(Missing::of(self.planned_tiles(area, level_ids)?, package.total()));
        };
        let none = TileRows::default();
        let mut missing = Missing::default();
        for (level, tiles) in cover {
            let promised = package.promised.as_ref().map(|levels| levels.get(&level).unwrap_or(&none));
            let wanted = promised.map_or_else(|| tiles.clone(), |promised| promised.within(&tiles));
            let lacking = wanted.without(package.stored.get(&level).unwrap_or(&none));
            missing.of += wanted.tiles();
            missing.count += lacking.tiles();
            let room = MOST_EXAMPLES.saturating_sub(missing.examples.len());
            missing.examples.extend(lacking.each().take(room).map(|(row, column)| format!("{level}/{row}/{column}")));
        }
        Ok((missing.count > 0).then_some(missing))
    }

    fn planned_tiles(&self, area: &AreaOfInterest, level_ids: &[u32]) -> Result<u64, Failure> {
        let levels = self.tile_info.count(area, self.extent_in().as_ref(), &self.lods(level_ids))?;
        Ok(levels.iter().map(|l| l.tiles).sum())
    }

    fn lods(&self, level_ids: &[u32]) -> Vec<Lod> {
        self.tile_info.lods.iter().filter(|l| level_ids.contains(&l.level)).copied().collect()
    }

    /// The parameters of `exportTiles` that raster and vector services share, once for each part of the area: one, or two where it
    /// crosses the dateline.
    pub(crate) fn export_calls(&self, area: &AreaOfInterest, levels: &str, home: JobHome) -> Result<Vec<PartCall>, Failure> {
        let parts = area.parts_in(&self.tile_info.spatial_reference)?;
        let call = |area: AreaOfInterest| Ok(PartCall { call: self.export_call(&area, levels, home)?, area });
        parts.into_iter().map(call).collect()
    }

    fn export_call(&self, area: &AreaOfInterest, levels: &str, home: JobHome) -> Result<ServiceCall, Failure> {
        let area = area.simplified(LONGEST_GEOMETRY);
        let envelope = area.envelope().ok_or_else(|| Failure::invalid_parameter("the area of interest is empty"))?;
        let mut call = ServiceCall::post(&format!("{}/exportTiles", self.root))?
            .with_all(&self.custom_parameters)
            .with("exportBy", "levelId")
            .with("levels", levels)
            // With its spatial reference: bare numbers would be read in the service's own.
            .with("exportExtent", json!(envelope))
            .in_stage(FailureStage::Submit)
            .once();
        if let AreaOfInterest::Polygon(polygon) = &area {
            call = match (self.version >= POLYGON_SINCE, home) {
                (true, _) => call.with("polygon", json!(polygon)),
                (false, JobHome::Raster) => call.with("areaOfInterest", json!({"features": [{"geometry": polygon}]})),
                // Older vector services know envelopes only.
                (false, JobHome::Vector) => call,
            };
        }
        Ok(call)
    }
}

/// A part of the area, and what asks for its tiles.
#[derive(Debug)]
pub(crate) struct PartCall {
    pub(crate) area: AreaOfInterest,
    pub(crate) call: ServiceCall,
}

/// The units of an export: a job and a file for each part, and the file that the parts become.
fn units(parts: usize) -> Vec<Unit> {
    let mut units = Vec::new();
    for part in 0..parts {
        units.push(Unit::new(job_unit(part, parts), "serverJob", "the service's export job"));
        if parts > 1 {
            units.push(Unit::new(part_unit(part), "resultFile", "the tile package of a part"));
        }
    }
    units.push(Unit::new(FILE_UNIT, "resultFile", "the tile package"));
    units
}

fn job_unit(part: usize, parts: usize) -> String {
    if parts > 1 { format!("{JOB_UNIT}-{}", part + 1) } else { JOB_UNIT.to_owned() }
}

fn part_unit(part: usize) -> String {
    format!("{FILE_UNIT}-{}", part + 1)
}

/// Words for a service that does not allow export.
pub(crate) fn export_not_allowed(title: &str) -> String {
    format!("\"{title}\" does not allow tiles to be exported (exportTilesAllowed); its owner can switch that on")
}

/// Words for a service whose tiles are in a reference that areas cannot be brought into; `None` where they can.
pub(crate) fn reference_not_supported(title: &str, reference: &SpatialReference) -> Option<String> {
    let failure = reference.check().err()?;
    Some(format!("the tiles of \"{title}\" are in {}", failure.message))
}

/// Where a service's jobs are looked at, the likelier address first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JobHome {
    /// `{root}/exportTiles/jobs/{id}`, then `{root}/jobs/{id}`.
    Raster,
    /// The other way round.
    Vector,
}

impl JobHome {
    fn addresses(self, root: &str, id: &str) -> [String; 2] {
        let (long, short) = (format!("{root}/exportTiles/jobs/{id}"), format!("{root}/jobs/{id}"));
        match self {
            Self::Raster => [long, short],
            Self::Vector => [short, long],
        }
    }
}

/// Runs the jobs to their end and brings the package home as `to`; the packages of several parts are joined.
pub(crate) async fn export_package(
    client: &ArcGisClient,
    ctx: &ExportContext,
    service: &TiledService,
    home: JobHome,
    calls: Vec<PartCall>,
    level_ids: &[u32],
    to: &Path,
) -> Result<Downloaded, Failure> {
    let parts = calls.len();
    let mut files = Vec::new();
    let mut before = 0;
    let mut lacking = Missing::default();
    for part in &calls {
        lacking.of += service.planned_tiles(&part.area, level_ids)?;
    }
    if let (Some(whole), true) = (already_home(to).await?, parts > 1) {
        for unit in units(parts) {
            ctx.finish_unit(&unit.id, 0, None).await?;
        }
        return Ok(whole);
    }
    for (part, PartCall { area, call }) in calls.into_iter().enumerate() {
        let job = job_unit(part, parts);
        let (file_unit, path) = match parts {
            1 => (FILE_UNIT.to_owned(), to.to_owned()),
            _ => (part_unit(part), to.with_extension(format!("part{}", part + 1))),
        };
        let step = Step { job: &job, file: &file_unit, to: &path, before };
        let got = export_part(client, ctx, service, home, &call, &step).await?;
        if parts == 1 {
            return Ok(got);
        }
        ctx.finish_unit(&file_unit, got.bytes, Some(&got.sha256)).await?;
        before += got.bytes;
        // A budget that cannot be kept any more ends the export before the next part is asked for.
        let package = {
            let path = path.clone();
            ctx.blocking(move || tile_package::open(&path)).await?
        };
        if let Some(missing) = service.missing(&area, level_ids, &package)? {
            lacking.count += missing.count;
            lacking.examples.extend(missing.examples);
            ctx.may_lack_tiles(&lacking)?;
        }
        files.push(path);
    }
    ctx.begin_unit(FILE_UNIT).await?;
    ctx.say("the parts on both sides of the dateline are joined");
    let to = to.to_owned();
    ctx.blocking(move || {
        tile_merge::merge(&files, &to)?;
        let (bytes, sha256) = offmap_engine::hash_file(&to)?;
        for file in &files {
            std::fs::remove_file(file)
                .map_err(|e| Failure::io(FailureStage::Check, format!("cannot remove {}", file.display()), &e))?;
        }
        Ok(Downloaded { bytes, sha256 })
    })
    .await
}

/// One part of an export: the units of its job and file, where the file goes, and how many bytes came before.
struct Step<'a> {
    job: &'a str,
    file: &'a str,
    to: &'a Path,
    before: u64,
}

/// 1. Submit, or pick up the job that the ledger knows. 2. Look until it ends. 3. Find the file. 4. Fetch it.
///
/// A job or result that the server has forgotten is asked for again, once.
async fn export_part(
    client: &ArcGisClient,
    ctx: &ExportContext,
    service: &TiledService,
    home: JobHome,
    call: &ServiceCall,
    step: &Step<'_>,
) -> Result<Downloaded, Failure> {
    if let Some(whole) = already_home(step.to).await? {
        ctx.finish_unit(step.job, 0, None).await?;
        ctx.begin_unit(step.file).await?;
        return Ok(whole);
    }
    loop {
        let job = match ctx.ledger().noted(step.job, "job").await?.filter(|job| !job.is_empty()) {
            Some(job) => job,
            None => {
                ctx.begin_unit(step.job).await?;
                let mut tries = 1;
                let job = loop {
                    match ctx.settle(submit(client, &service.root, home, call)).await {
                        // It may have started; a job that nobody asks for ends by itself.
                        Err(failure) if tries < MOST_SUBMISSIONS && server_job::is_unknown(&failure) => {
                            tries += 1;
                            ctx.say(format!("the answer was lost ({failure}); submitted again"));
                        }
                        submitted => break submitted?,
                    }
                };
                ctx.ledger().note(step.job, "job", &job).await?;
                job
            }
        };
        let mut waited = ExportJob { client, service, address: job.clone(), seen: false, lost: false };
        let mut found = false;
        let work = async {
            let done = server_job::wait(client, ctx, &mut waited).await?;
            found = true;
            ctx.finish_unit(step.job, 0, None).await?;
            ctx.begin_unit(step.file).await?;
            let (address, presigned) = find_file(client, ctx, waited.address(), &done).await?;
            let report =
                |here: u64, all: Option<u64>| ctx.report(Progress::bytes(step.before + here, all.map(|n| step.before + n)));
            client.download(Download { address: &address, to: step.to, presigned, limit: LARGEST_PACKAGE }, report).await
        };
        let got = ctx.or_cancelled(work).await;
        let Err(failure) = &got else { return got };
        if failure.is_cancelled() && ctx.takes_back(failure) {
            cancel(client, &job).await;
        }
        let lost = waited.is_lost() || (found && failure.kind == FailureKind::NotFound);
        if !lost || ctx.ledger().noted(step.job, AGAIN).await?.is_some() {
            return got;
        }
        ctx.say(format!("the service has forgotten the job, which is submitted once more ({failure})"));
        ctx.ledger().note(step.job, AGAIN, "1").await?;
        ctx.ledger().note(step.job, "job", "").await?;
    }
}

async fn submit(client: &ArcGisClient, root: &str, home: JobHome, call: &ServiceCall) -> Result<String, Failure> {
    let answer = client.json(call).await?;
    match answer.get("jobId").and_then(Value::as_str).filter(|id| !id.is_empty()) {
        Some(id) if id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '{' | '}')) => {
            let [first, _] = home.addresses(root, id);
            Ok(first)
        }
        _ => {
            let message = format!("exportTiles of {root} answers without a job id");
            let failure = Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, FailureStage::Submit, message);
            Err(failure.saying(shortened(&answer)))
        }
    }
}

fn shortened(answer: &Value) -> String {
    answer.to_string().chars().take(300).collect()
}

/// The other address at which a job may be looked at.
fn other_address(job: &str) -> Option<String> {
    let (head, id) = job.rsplit_once("/jobs/")?;
    Some(match head.strip_suffix("/exportTiles") {
        Some(root) => format!("{root}/jobs/{id}"),
        None => format!("{head}/exportTiles/jobs/{id}"),
    })
}

/// An export job; its result is its last state.
struct ExportJob<'a> {
    client: &'a ArcGisClient,
    service: &'a TiledService,
    address: String,
    /// Whether it was seen, so that its address is the right one.
    seen: bool,
    lost: bool,
}

#[async_trait]
impl ServerJob for ExportJob<'_> {
    type Result = Value;

    fn name(&self) -> &'static str {
        "export job"
    }

    fn address(&self) -> &str {
        &self.address
    }

    fn is_lost(&self) -> bool {
        self.lost
    }

    async fn look(&mut self) -> Result<Look<Value>, Failure> {
        let ask = |address: &str| {
            let call = ServiceCall::get(address)?.with_all(&self.service.custom_parameters).in_stage(FailureStage::Wait);
            Ok::<_, Failure>(call)
        };
        let mut state = self.client.job_json(&ask(&self.address)?).await;
        if !self.seen && state.as_ref().is_err_and(server_job::is_gone) {
            // The other family of servers keeps its jobs elsewhere.
            if let Some(other) = other_address(&self.address) {
                let nothing_there = state.as_ref().is_err_and(|f| f.kind == FailureKind::NotFound);
                match self.client.job_json(&ask(&other)?).await {
                    Ok(found) => (self.address, state) = (other, Ok(found)),
                    // An address that has nothing says less than one that fails.
                    Err(failure) if nothing_there => state = Err(failure),
                    Err(_) => {}
                }
            }
        }
        self.lost = state.as_ref().is_err_and(server_job::is_gone);
        let state = state?;
        self.seen = true;
        let word = ["jobStatus", "status"].iter().find_map(|k| state.get(*k).and_then(Value::as_str)).unwrap_or_default();
        match read_state(&state) {
            State::Done => return Ok(Look::Done(state)),
            State::Failed => return Err(job_failure(word, &state).at(&self.address)),
            State::Running => {}
        }
        let percent = state.pointer("/progress/percent").and_then(Value::as_f64);
        let words = last_message(&state).unwrap_or_else(|| word.to_owned());
        Ok(Look::Running { words, done: percent.map(|p| p / 100.0) })
    }

    async fn abandon(&mut self) {
        cancel(self.client, &self.address).await;
    }
}

/// What a job's answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    Done,
    Failed,
}

/// Reads `jobStatus`, else `status`. An unknown word is running, until the time limit. A bare `status` of `success` is the word
/// of the request, not of the job, unless a result comes with it.
fn read_state(answer: &Value) -> State {
    let word = |key: &str| answer.get(key).and_then(Value::as_str).map(str::to_ascii_lowercase);
    let has_result = ["output", "results"].iter().any(|key| answer.get(*key).is_some_and(|v| !v.is_null()));
    let (word, is_job) = match (word("jobStatus"), word("status")) {
        (Some(word), _) => (word, true),
        (None, Some(word)) => (word, false),
        (None, None) => return State::Running,
    };
    match word.strip_prefix("esrijob") {
        Some("succeeded") => State::Done,
        Some("failed" | "cancelled" | "timedout" | "deleted") => State::Failed,
        None if matches!(word.as_str(), "succeeded" | "success" | "completed") && (is_job || has_result) => State::Done,
        None if matches!(word.as_str(), "failed" | "failure" | "error") => State::Failed,
        _ => State::Running,
    }
}

fn last_message(state: &Value) -> Option<String> {
    let progress = state.pointer("/progress/message").and_then(Value::as_str);
    let list = state.get("messages").and_then(Value::as_array).and_then(|m| m.last());
    let words = progress.or_else(|| list.and_then(|m| m.get("description")).and_then(Value::as_str))?;
    (!words.is_empty()).then(|| words.to_owned())
}

/// Why a job failed: `error`, else the first error message, else `message`, else the whole answer.
fn job_failure(word: &str, state: &Value) -> Failure {
    let from_message = || state.get("message").and_then(Value::as_str).map(str::to_owned);
    let words = body::job_words(state).or_else(from_message).unwrap_or_else(|| shortened(state));
    if body::tile_limit(&words).is_some() {
        return body::ServiceError { code: 500, words }.into_failure(FailureStage::Wait);
    }
    let message = format!("the service's export job ended as {word}");
    Failure::new(FailureOwner::Source, FailureKind::ServiceError, FailureStage::Wait, message).saying(words)
}

/// The address of the package, and whether it carries its own signature.
async fn find_file(client: &ArcGisClient, ctx: &ExportContext, job: &str, done: &Value) -> Result<(String, bool), Failure> {
    let missing = |words: &str| {
        let message = format!("the export job succeeded, but {words}");
        Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, FailureStage::Download, message).at(job)
    };
    let output = done.pointer("/output/outputUrl");
    let output = output.and_then(|v| v.get(0).or(Some(v))).and_then(Value::as_str);
    if let Some(address) = output {
        return Ok((resolve(job, address)?.to_string(), true));
    }
    let result = done.pointer("/results/out_service_url/paramUrl").and_then(Value::as_str);
    let result = result.ok_or_else(|| missing("its answer names no result").saying(shortened(done)))?;
    // Relative to the job, as to a folder.
    let result = resolve(&format!("{job}/"), result)?;
    let get = |address: &str| Ok::<_, Failure>(ServiceCall::get(address)?.in_stage(FailureStage::Download));
    let answer = client.json(&get(result.as_str())?).await?;
    let folder = answer.get("value").and_then(|v| v.as_str().or_else(|| v.get("url")?.as_str()));
    let folder = resolve(job, folder.ok_or_else(|| missing("its result has no value").saying(shortened(&answer)))?)?;
    for look in 0..FOLDER_LOOKS {
        let listing = client.json(&get(folder.as_str())?).await?;
        let files = listing.get("files").and_then(Value::as_array).cloned().unwrap_or_default();
        let is_package = |f: &&Value| {
            let name = f.get("name").and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
            [".tpk", ".tpkx", ".vtpk"].iter().any(|ending| name.ends_with(ending))
        };
        if let Some(file) = files.iter().find(is_package) {
            let address = file.get("url").and_then(Value::as_str).ok_or_else(|| missing("its file has no address"))?;
            return Ok((resolve(folder.as_str(), address)?.to_string(), false));
        }
        // The listing can be empty right after success.
        ctx.clock().sleep(client.options().poll_interval.mul_f64(f64::from(1_u32 << look))).await;
    }
    Err(missing("its folder holds no tile package"))
}

/// Asks the service to stop; nobody waits for the answer's meaning.
async fn cancel(client: &ArcGisClient, job: &str) {
    let Ok(call) = ServiceCall::post(&format!("{job}/cancel")) else { return };
    let call = call.once();
    match tokio::time::timeout(Duration::from_millis(700), client.job_json(&call)).await {
        Ok(Ok(_)) => tracing::debug!(job, "export job cancelled on the service"),
        Ok(Err(failure)) => tracing::debug!(%failure, "the service did not cancel its job"),
        Err(_) => tracing::debug!(job, "the service did not answer the cancel in time"),
    }
}

/// One artifact entry for each layer of a tile task; all share the package.
pub(crate) fn layers_of(
    task: &ExportTask,
    got: u64,
    missing: Option<&Missing>,
    resources: Option<usize>,
) -> Vec<LayerArtifact> {
    let layer = |l: &TaskLayer| LayerArtifact {
        id: l.id.clone(),
        file: Some(0),
        resources,
        planned: l.expected,
        got,
        missing_tiles: missing.cloned(),
        ..LayerArtifact::default()
    };
    task.layers.iter().map(layer).collect()
}

pub(crate) fn read_service(value: &Value) -> Result<TiledService, Failure> {
    serde_json::from_value(value.clone()).map_err(|e| Failure::internal(format!("the plan's service cannot be read: {e}")))
}

/// The service's own name, else the one in its address.
pub(crate) fn title_of(root: &str, answer: &Value) -> String {
    let own = answer.pointer("/documentInfo/Title").or_else(|| answer.get("mapName")).or_else(|| answer.get("name"));
    let own = own.and_then(Value::as_str).filter(|t| !t.is_empty());
    own.map_or_else(|| root.rsplit('/').nth(1).unwrap_or(root).to_owned(), str::to_owned)
}

pub(crate) fn text(answer: &Value, key: &str) -> Option<String> {
    answer.get(key).and_then(Value::as_str).filter(|t| !t.trim().is_empty()).map(str::to_owned)
}

/// Reads an answer as a service's description, for fuzzing.
pub(crate) fn read_any_service(answer: &Value) {
    if let Ok(service) = TiledService::read("https://h/rest/services/S/MapServer", answer, &Map::new()) {
        let levels: Vec<u32> = service.cached_levels().iter().map(|l| l.level).collect();
        if let Ok(area) = AreaOfInterest::from_numbers("175,-22,-170,-10") {
            let _ = service.task_plan(std::iter::empty(), &area, &levels, (1, 2));
            let _ = service.export_calls(&area, &crate::tiling::levels_text(&levels), JobHome::Raster);
        }
    }
}

/// Reads an answer as a job's state, for fuzzing.
pub(crate) fn read_any_job_answer(answer: &Value) {
    let _ = (read_state(answer), last_message(answer), job_failure("failed", answer));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_export_twin_takes_the_place_of_the_host_and_keeps_the_path() {
        let hosts = [ExportHost { source: "services.ArcGISonline.com".into(), export: "tiledbasemaps.arcgis.com".into() }];
        let root = export_root("https://services.arcgisonline.com/ArcGIS/rest/services/World_Imagery/MapServer", &hosts);
        assert_eq!(root, "https://tiledbasemaps.arcgis.com/ArcGIS/rest/services/World_Imagery/MapServer");
        assert_eq!(export_root("https://h/x/MapServer", &hosts), "https://h/x/MapServer");
    }

    #[test]
    fn a_job_has_two_homes() {
        let [first, second] = JobHome::Raster.addresses("https://h/S/MapServer", "j1");
        assert_eq!(other_address(&first).as_deref(), Some(second.as_str()));
        assert_eq!(other_address(&second).as_deref(), Some(first.as_str()));
    }

    #[test]
    fn states_of_export_jobs_are_read_in_both_dialects() {
        for (answer, state) in [
            (json!({"jobStatus": "esriJobSubmitted"}), State::Running),
            (json!({"jobStatus": "esriJobExecuting"}), State::Running),
            (json!({"jobStatus": "esriJobCancelling"}), State::Running),
            (json!({"jobStatus": "something new"}), State::Running),
            (json!({"status": "success", "jobId": "1", "message": "success"}), State::Running),
            (json!({}), State::Running),
            (json!({"jobStatus": "esriJobSucceeded"}), State::Done),
            (json!({"status": "esriJobSucceeded"}), State::Done),
            (json!({"status": "success", "output": {"outputUrl": ["https://h/x.vtpk"]}}), State::Done),
            (json!({"jobStatus": "esriJobFailed"}), State::Failed),
            (json!({"jobStatus": "esriJobTimedOut"}), State::Failed),
            (json!({"jobStatus": "esriJobDeleted"}), State::Failed),
            (json!({"status": "failed", "message": "x"}), State::Failed),
        ] {
            assert_eq!(read_state(&answer), state, "{answer}");
        }
    }

    #[test]
    fn a_failed_job_tells_its_error_before_its_messages() {
        let state = json!({"jobStatus": "esriJobFailed", "messages": [
            {"type": "esriJobMessageTypeInformative", "description": "Submitted."},
            {"type": "esriJobMessageTypeError", "description": "ERROR 001564: Requested tile count(1225884) exceeds the maximum allowed number of tiles(150000) to be exported for service X."}]});
        let failure = job_failure("esriJobFailed", &state);
        assert_eq!(failure.kind, FailureKind::LimitExceeded);
        assert!(failure.message.contains("150000") && failure.message.contains("1225884"), "{failure}");
    }

    #[test]
    fn the_levels_of_a_service_are_those_that_have_tiles() {
        let text = std::fs::read_to_string(
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/samples/tiles/service-json/imageserver-cached.json"),
        );
        let Ok(text) = text else {
            eprintln!("skipped: the sample services are not there");
            return;
        };
        let answer: Value = serde_json::from_str(&text).expect("JSON");
        let service = TiledService::read("https://h/ImageServer", &answer, &Map::new()).expect("reads");
        assert_eq!(service.version, 10.91);
        let cached = service.cached_levels();
        assert!(!cached.is_empty() && cached.len() <= service.tile_info.lods.len());
        assert_eq!(service.max_export_tiles, DEFAULT_MAX_EXPORT_TILES);
    }

    #[test]
    fn a_polygon_goes_in_the_form_that_the_version_understands() {
        let text = std::fs::read_to_string(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../../shared/samples/tiles/service-json/vectortileserver-docs-example.json"),
        );
        let Ok(text) = text else {
            eprintln!("skipped: the sample services are not there");
            return;
        };
        let mut answer: Value = serde_json::from_str(&text).expect("JSON");
        let area = AreaOfInterest::from_json(r#"{"rings":[[[0,0],[1,9],[9,0],[0,0]]],"spatialReference":{"wkid":4326}}"#);
        let area = area.expect("an area");
        let mut words = |version: f64, home: JobHome| {
            answer["currentVersion"] = json!(version);
            let service = TiledService::read("https://h/VectorTileServer", &answer, &Map::new()).expect("reads");
            format!("{:?}", service.export_calls(&area, "0-3", home).expect("calls"))
        };
        assert!(words(11.2, JobHome::Vector).contains("\"polygon\""));
        assert!(!words(10.4, JobHome::Vector).contains("\"polygon\""));
        assert!(words(10.4, JobHome::Raster).contains("\"areaOfInterest\""));
    }
}
