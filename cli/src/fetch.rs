//! `offmap fetch`: one service or layer into one file.
//!
//! It is taken offline as a map that holds nothing else, into a package beside the file, which is verified as every package is. Then the
//! data of the package become the file, and the package goes. Its name says what was asked for, so that the same command goes on with what
//! an earlier one left, and another one does not.

use crate::access;
use crate::arguments::{ProgressStyle, RunArguments};
use crate::convert;
use crate::convert_arguments::levels;
use crate::convert_progress::Shown;
use crate::fetch_arguments::Fetch;
use crate::fetch_package::{self, Claim};
use crate::interrupt::or_interrupted;
use crate::job_run;
use crate::known_secrets::know_map;
use crate::plan_text;
use crate::report::{report_error, report_layers, result_json};
use crate::setup::{area, cancelled_by_ctrl_c};
use crate::stop::{INCOMPLETE, Stop};
use crate::take::{or_told, read_limits};
use crate::terminal::{self, note};
use offmap::arcgis::lone_service::{self, LoneService, Selection, Wanted};
use offmap::model::url_without_secrets;
use offmap::packager::MobileMapPackage;
use offmap::{
    AreaOfInterest, DestinationTableRowFilter, DirectDownload, DirectDownloadHosts, Engine, Failure, FailureKind,
    GenerateOfflineMapJob, GenerateOfflineMapParameterOverrides, GenerateOfflineMapParameters, OfflineMapParametersKey,
    OfflineMapTask, run_blocking,
};
use offmap_convert::files::{self, Content, Converted, Request};
use offmap_disk::sha256_of;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use tokio_util::sync::CancellationToken;

/// The parameters of rows that come page by page: only those say which fields come.
const BY_PAGES: &str = "featureQueryParameters";

pub(crate) async fn run(arguments: Fetch) -> Result<u8, Stop> {
    let wishes = wishes(&arguments);
    if arguments.plan {
        return or_told(plan(&arguments).await, &wishes);
    }
    let Begun { engine, job, package, has_only_tiles, claim } = or_told(begin(&arguments).await, &wishes)?;
    let (outcome, cancel) = job_run::run(job, &wishes).await;
    if let Err(failure) = engine.shutdown().await {
        note!("offmap: {failure}");
    }
    let written = match &outcome {
        Ok(result) => {
            let mut written = write(&arguments, (&package, result.is_complete()), cancel).await;
            if let Ok(converted) = &mut written
                && has_only_tiles
            {
                // A style in the package is not the service's.
                converted.left_out.clear();
            }
            Some(written)
        }
        Err(_) => None,
    };
    drop(claim);
    let is_json = wishes.style() == ProgressStyle::Json;
    if is_json {
        let mut json = result_json(&outcome, None, None);
        if let Some(result) = json.as_object_mut() {
            let file = written.as_ref().and_then(|w| w.as_ref().ok());
            result.insert("package".to_owned(), json!(null));
            result.insert("file".to_owned(), json!(file));
            if let Some(Err(failure)) = &written {
                result.insert("failure".to_owned(), json!(failure));
            }
        }
        terminal::json_line(&json!({ "result": json }));
    }
    let result = match outcome {
        Ok(result) => result,
        Err(error) => return report_error(error, is_json, &package),
    };
    match written {
        Some(Ok(converted)) => {
            if !is_json {
                report_layers(&result);
                convert::tell(&converted);
            }
            Ok(if result.is_complete() && converted.left_out.is_empty() { 0 } else { INCOMPLETE })
        }
        Some(Err(failure)) => Err(failure.into()),
        None => Err(Failure::internal("a package was made and no file of it").into()),
    }
}

/// What is done with its job.
pub(crate) fn wishes(fetch: &Fetch) -> RunArguments {
    let (keep, time_limit, progress) = (fetch.keep, fetch.time_limit, fetch.progress);
    RunArguments { mmpk: None, open: None, keep, time_limit, progress }
}

/// The package beside the file: its name says what was asked for.
fn package_of(arguments: &Fetch, area: Option<&AreaOfInterest>) -> PathBuf {
    let mut asked = json!({
        "version": 1,
        // A query may say which layer or which tiles it is.
        "url": url_without_secrets(&arguments.url),
        // What is in its file, not where that is.
        "area": area,
        "levels": arguments.levels,
        "where": arguments.filter,
        "direct": arguments.direct.map(|when| format!("{when:?}")),
    });
    let drawn = arguments.draw_tiles.then_some(true);
    for (key, said) in [("fields", json!(arguments.fields)), ("layer", json!(arguments.layer)), ("drawTiles", json!(drawn))]
    {
        if !said.is_null() {
            asked[key] = said;
        }
    }
    fetch_package::package_of(&arguments.out, &sha256_of(asked.to_string().as_bytes()))
}

/// The job, and the package that it makes.
struct Begun {
    engine: Engine,
    job: GenerateOfflineMapJob,
    package: PathBuf,
    has_only_tiles: bool,
    claim: Claim,
}

/// What is asked for, once the service was read.
struct Asked {
    engine: Engine,
    lone: LoneService,
    parameters: GenerateOfflineMapParameters,
    /// Whether every row is wanted, wherever it is.
    takes_all: bool,
}

/// What is wanted of a service for a file, where that can be.
fn wanted(arguments: &Fetch, content: Content) -> Result<Wanted, Stop> {
    let wanted = match content {
        Content::Tiles if arguments.fields.is_some() => {
            return Err(Stop::usage("tiles have no fields; leave --fields out"));
        }
        Content::Tiles if arguments.draw_tiles => Wanted::Drawn,
        Content::Tiles => Wanted::Tiles,
        Content::Features if arguments.draw_tiles => {
            return Err(Stop::usage(
                "features are not drawn; leave --draw-tiles out, or name a file of tiles such as .tpkx",
            ));
        }
        Content::Features if arguments.levels.is_some() => {
            return Err(Stop::usage("features have no levels; leave --levels out"));
        }
        Content::Features => Wanted::Features,
    };
    match arguments.levels.is_none() && arguments.url.contains('{') {
        true => Err(Stop::usage("a template does not say which levels it has; name --levels, for instance 0-12")),
        false => Ok(wanted),
    }
}

/// Everything that can be refused without the service is refused first.
async fn ask(arguments: &Fetch, chosen: Option<AreaOfInterest>, package: &Path) -> Result<Asked, Stop> {
    let content = files::content_of(&arguments.out)?;
    if !arguments.plan {
        let mut request = Request::new(package, &arguments.out);
        request.overwrite = arguments.overwrite;
        or_interrupted(run_blocking(move || files::check_destination(&request))).await?;
    }
    let wanted = wanted(arguments, content)?;
    let client = access::client(&arguments.access, Some(&arguments.url))?;
    let limits = read_limits(&wishes(arguments));
    let (filter, layer) = (arguments.filter.as_deref().unwrap_or_default(), arguments.layer.as_deref());
    let hosts = DirectDownloadHosts { allow: arguments.allow_direct_from.clone(), ..DirectDownloadHosts::default() };
    hosts.check()?;
    let selection = Selection { wanted, filter, layer, hosts: Some(&hosts) };
    let lone = tokio::select! {
        lone = lone_service::read(&client, &arguments.url, &selection, &limits) => lone?,
        () = cancelled_by_ctrl_c(&limits) => return Err(Failure::cancelled().into()),
    };
    know_map(&lone.source.web_map);
    if content == Content::Tiles
        && let Some(is_vector) = lone.has_vector_tiles
    {
        files::check_tiles(&arguments.out, is_vector)?;
    }
    let takes_all = wanted == Wanted::Features && chosen.is_none();
    let parameters = parameters(arguments, &lone, (chosen, wanted))?;
    let engine = offmap::with_defaults(&client)?.start()?;
    Ok(Asked { engine, lone, parameters, takes_all })
}

async fn begin(arguments: &Fetch) -> Result<Begun, Stop> {
    let chosen = arguments.area.as_deref().map(area).transpose()?;
    let package = package_of(arguments, chosen.as_ref());
    let began = Instant::now();
    let Asked { engine, lone, parameters, takes_all } = ask(arguments, chosen, &package).await?;
    let has_only_tiles = lone.has_only_tiles;
    let claimed = package.clone();
    let claim = or_interrupted(run_blocking(move || Claim::take(&claimed))).await?;
    let job = match left(&engine, &package).await? {
        Some(job) => job.with_secrets_of(&lone.source.web_map),
        None => {
            let task = OfflineMapTask::new(&engine, lone.source);
            let overrides = overrides_of(arguments, &task, &parameters, takes_all).await?;
            task.generate_offline_map(parameters, overrides, &package)
        }
    };
    job.count_time(began.elapsed());
    Ok(Begun { engine, job, package, has_only_tiles, claim })
}

/// Says what would come, and fetches nothing of it.
async fn plan(arguments: &Fetch) -> Result<u8, Stop> {
    let chosen = arguments.area.as_deref().map(area).transpose()?;
    let package = package_of(arguments, chosen.as_ref());
    let Asked { engine, lone, parameters, takes_all } = ask(arguments, chosen, &package).await?;
    let task = OfflineMapTask::new(&engine, lone.source);
    let overrides = overrides_of(arguments, &task, &parameters, takes_all).await?;
    let plan = or_interrupted(task.plan(&parameters, &overrides)).await?;
    match wishes(arguments).style() {
        ProgressStyle::Json => terminal::json_line(&json!({"plan": plan, "bytes": plan.bytes()})),
        _ => plan_text::tell(&plan),
    }
    if plan.tasks.is_empty() {
        let failure = plan.skipped.iter().find_map(|skipped| skipped.failure.clone());
        return Err(failure.unwrap_or_else(|| Failure::not_supported("nothing of it can be fetched")).into());
    }
    Ok(0)
}

async fn overrides_of(
    arguments: &Fetch,
    task: &OfflineMapTask,
    parameters: &GenerateOfflineMapParameters,
    takes_all: bool,
) -> Result<GenerateOfflineMapParameterOverrides, Stop> {
    match takes_all || arguments.fields.is_some() {
        true => Ok(or_interrupted(overrides(task, parameters, takes_all, arguments.fields.as_deref())).await?),
        false => Ok(GenerateOfflineMapParameterOverrides::default()),
    }
}

/// What an earlier command left: a job that goes on, or a package of which the rest is fetched.
async fn left(engine: &Engine, package: &Path) -> Result<Option<GenerateOfflineMapJob>, Failure> {
    let place = package.to_owned();
    let is_incomplete = run_blocking(move || {
        let opened = MobileMapPackage::open(&place).ok();
        Ok(opened.is_some_and(|p| p.manifest().is_some_and(|m| m.is_ok_and(|m| !m.complete))))
    });
    if is_incomplete.await? {
        return GenerateOfflineMapJob::complete(engine, package).await.map(Some);
    }
    match GenerateOfflineMapJob::resume(engine, package).await {
        Ok(job) => Ok(Some(job)),
        Err(failure) if failure.kind == FailureKind::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// The parameters of a plan, with every row in place of those that an area meets, where all are wanted: an area has no rows without shapes
/// in it; and with the fields that are wanted.
async fn overrides(
    task: &OfflineMapTask,
    parameters: &GenerateOfflineMapParameters,
    takes_all: bool,
    fields: Option<&[String]>,
) -> Result<GenerateOfflineMapParameterOverrides, Failure> {
    let plan = task.plan(parameters, &GenerateOfflineMapParameterOverrides::default()).await?;
    let mut overrides = GenerateOfflineMapParameterOverrides::from_plan(&plan);
    let keys: Vec<OfflineMapParametersKey> = overrides.keys().collect();
    for key in keys {
        let Some(mut planned) = overrides.get(&key).cloned() else { continue };
        for option in planned["layerOptions"].as_array_mut().into_iter().flatten().filter(|_| takes_all) {
            let has_filter = option["whereClause"].as_str().is_some_and(|clause| !clause.trim().is_empty());
            let chosen = if has_filter { "useFilter" } else { "all" };
            (option["queryOption"], option["useGeometry"], option["includeRelated"]) =
                (json!(chosen), json!(false), json!(false));
        }
        match fields {
            Some(fields) if key.parameters_type == BY_PAGES => planned["outFields"] = json!(fields),
            Some(_) => {
                return Err(Failure::invalid_parameter(
                    "the service exports its rows with all of their fields; --fields needs --direct always, which is the default",
                ));
            }
            None => {}
        }
        overrides.set(&key, &planned)?;
    }
    Ok(overrides)
}

fn parameters(
    arguments: &Fetch,
    lone: &LoneService,
    (chosen, wanted): (Option<AreaOfInterest>, Wanted),
) -> Result<GenerateOfflineMapParameters, Stop> {
    let area = match chosen.or_else(|| lone.extent.clone()) {
        Some(area) => area,
        // Of all rows, where they are does not count.
        None if wanted == Wanted::Features => AreaOfInterest::from_numbers("-180,-90,180,90")?,
        None => return Err(Stop::usage(format!("{} does not say where its tiles are; name an --area", lone.title))),
    };
    let mut parameters = GenerateOfflineMapParameters::new(area);
    if wanted == Wanted::Features && arguments.area.is_none() {
        parameters.destination_table_row_filter = DestinationTableRowFilter::All;
    }
    parameters.direct_download = arguments.direct.map_or(DirectDownload::Always, Into::into);
    parameters.draw_tiles = lone.is_drawn;
    parameters.direct_download_hosts.allow.extend(arguments.allow_direct_from.iter().cloned());
    if let Some(range) = arguments.levels.as_deref().map(levels).transpose()? {
        let scale = |id: u32| {
            let ids = || lone.levels.iter().map(|l| l.level.to_string()).collect::<Vec<_>>().join(", ");
            let found = lone.levels.iter().find(|l| l.level == id);
            found.map(|l| l.scale).ok_or_else(|| Stop::usage(format!("there is no level {id}; there are: {}", ids())))
        };
        (parameters.min_scale, parameters.max_scale) = (scale(*range.start())?, scale(*range.end())?);
    } else if lone.is_drawn {
        return Err(Stop::usage("a service that draws on demand has every level; name --levels, for instance 0-12"));
    }
    parameters.check()?;
    Ok(parameters)
}

/// Makes the file of the package's data, and removes the package; one that is incomplete stays where work is kept.
async fn write(
    arguments: &Fetch,
    (package, is_complete): (&Path, bool),
    cancel: CancellationToken,
) -> Result<Converted, Failure> {
    let mut request = Request::new(data_of(package).await?, &arguments.out);
    (request.overwrite, request.keep) = (arguments.overwrite, arguments.keep == Some(true));
    let name = arguments.out.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let shown = Arc::new(Shown::new(arguments.progress, &name));
    let seen = shown.clone();
    let converted = run_blocking(move || files::convert(&request, &|progress| seen.see(progress), &cancel)).await;
    shown.clear();
    let converted = converted.map_err(|mut failure| {
        failure.message = format!(
            "what was fetched is in {}, only {} was not written of it (the same command goes on there): {}",
            package.display(),
            arguments.out.display(),
            failure.message
        );
        failure
    })?;
    if !is_complete && arguments.keep == Some(true) {
        let shown = package.display();
        note!("offmap: {shown} is kept; the same command with --overwrite fetches what is missing");
        return Ok(converted);
    }
    let (place, shown) = (package.to_owned(), package.display());
    let removed = run_blocking(move || {
        std::fs::remove_dir_all(&place)
            .map_err(|e| Failure::io(offmap::FailureStage::Package, "it cannot be removed".to_owned(), &e))
    });
    if let Err(failure) = removed.await {
        note!("offmap: {shown} is of no use any more: {failure}");
    }
    Ok(converted)
}

/// The file of a package that holds the data of its layers: they are all of one service, so there is one.
async fn data_of(package: &Path) -> Result<PathBuf, Failure> {
    let place = package.to_owned();
    run_blocking(move || {
        let opened = MobileMapPackage::open(&place)?;
        let manifest = opened.manifest().unwrap_or(Err("it has no manifest"));
        let manifest = manifest.map_err(|why| Failure::internal(format!("{}: {why}", place.display())))?;
        let files: BTreeSet<&str> = manifest.layers.iter().filter_map(|layer| layer.file.as_deref()).collect();
        match files.iter().copied().collect::<Vec<_>>().as_slice() {
            [one] => Ok(place.join(one)),
            several => Err(Failure::internal(format!("{} files hold the data of one service", several.len()))),
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        fetch: Fetch,
    }

    #[test]
    fn a_package_is_known_by_what_is_asked_for_and_not_by_who_asks() {
        let of = |words: &[&str]| package_of(&Command::parse_from([&["offmap"], words].concat()).fetch, None);
        let layers = |names: &str| format!("https://h/wms?LAYERS={names}&token=0123456789abcdef");
        let land = of(&[&layers("land"), "a.tpkx"]);
        assert_ne!(land, of(&[&layers("roads"), "a.tpkx"]), "two layers of one address");
        assert_eq!(land, of(&[&layers("land").replace("0123456789abcdef", "fedcba9876543210"), "a.tpkx"]));
        assert_ne!(land, of(&[&layers("land"), "a.tpkx", "--levels", "0-3"]));
    }
}
