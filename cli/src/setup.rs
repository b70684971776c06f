//! From the command line to a client, an engine, a map and its parameters.

use crate::access::client;
use crate::access_arguments::AccessArguments;
use crate::arguments::MapArguments;
use crate::draw::{draw_layers, draws_all};
use crate::inputs::{read_map, read_text};
use crate::interrupt::interrupted;
use crate::known_secrets::know_map;
use crate::stop::Stop;
use offmap::arcgis::ArcGisClient;
use offmap::arcgis::portal::{self, MapPlace, ReadLimits};
use offmap::model::failure::check_no_user;
use offmap::{
    AreaOfInterest, Engine, ExportHost, Failure, GenerateOfflineMapParameterOverrides, GenerateOfflineMapParameters,
    OfflineMapSource, OfflineMapTask, ReducedFontsService,
};
use serde_json::{Value, json};
use std::path::Path;

/// All that a command needs.
pub(crate) struct Setup {
    pub(crate) engine: Engine,
    pub(crate) task: OfflineMapTask,
    pub(crate) parameters: GenerateOfflineMapParameters,
    pub(crate) overrides: GenerateOfflineMapParameterOverrides,
}

async fn source(
    (arguments, access): (&MapArguments, &AccessArguments),
    client: &ArcGisClient,
    limits: &ReadLimits,
) -> Result<OfflineMapSource, Failure> {
    match (&arguments.web_map, &access.portal, &arguments.item) {
        (_, Some(portal), Some(id)) => portal::read(client, MapPlace::Item { portal, id }, limits).await,
        (Some(map), ..) => read_map(client, map, limits).await,
        _ => Err(Failure::invalid_parameter("no map is named: give --item or --web-map")),
    }
}

/// Cancels when Ctrl-C is pressed, for as long as it is polled.
pub(crate) async fn cancelled_by_ctrl_c(limits: &ReadLimits) {
    interrupted().await;
    limits.cancel.cancel();
    std::future::pending().await
}

/// A file if there is one of that name, else numbers.
pub(crate) fn area(text: &str) -> Result<AreaOfInterest, Stop> {
    let path = Path::new(text);
    if path.is_file() {
        return Ok(AreaOfInterest::from_json(&read_text(path, "the area")?)?);
    }
    if text.contains(['.', '/', '\\']) && !text.contains(',') {
        return Err(Stop::usage(format!("the area {text} is neither a file nor xmin,ymin,xmax,ymax[,wkid]")));
    }
    Ok(AreaOfInterest::from_numbers(text)?)
}

fn reduced_fonts(pair: &str) -> Result<ReducedFontsService, Stop> {
    match pair.split_once("=http").filter(|(service, _)| service.starts_with("http")) {
        Some((service, twin)) => {
            check_no_user(service)?;
            check_no_user(&format!("http{twin}"))?;
            Ok(ReducedFontsService { service_url: service.to_owned(), reduced_fonts_url: format!("http{twin}") })
        }
        None => Err(Stop::usage(format!("--reduced-fonts {pair} is not URL=URL"))),
    }
}

fn export_host(pair: &str) -> Result<ExportHost, Stop> {
    match pair.split_once('=').filter(|(source, export)| !source.is_empty() && !export.is_empty()) {
        Some((source, export)) => Ok(ExportHost { source: source.to_owned(), export: export.to_owned() }),
        None => Err(Stop::usage(format!("--export-host is HOST=HOST, not {pair:?}"))),
    }
}

/// Parameters in a file: checked, and as they were written.
struct ParametersFile {
    parameters: GenerateOfflineMapParameters,
    json: Value,
}

/// The parameters before the map is known: what a file says, with the area from the command line in it.
fn parameters_file(arguments: &MapArguments, area: Option<&AreaOfInterest>) -> Result<Option<ParametersFile>, Stop> {
    let Some(path) = &arguments.parameters else { return Ok(None) };
    let text = read_text(path, "the parameters")?;
    let mut json: Value = serde_json::from_str(&text)
        .map_err(|e| Stop::usage(format!("the parameters {} are not JSON: {e}", path.display())))?;
    if let (Some(area), Some(json)) = (area, json.as_object_mut()) {
        json.insert("areaOfInterest".to_owned(), json!(area));
    }
    let parameters = GenerateOfflineMapParameters::check_json(&json)?;
    Ok(Some(ParametersFile { parameters, json }))
}

/// Reads and checks everything; what can be refused without asking anybody is refused first.
pub(crate) async fn prepare(arguments: &MapArguments, access: &AccessArguments, limits: &ReadLimits) -> Result<Setup, Stop> {
    let area = arguments.area.as_deref().map(area).transpose()?;
    let from_file = parameters_file(arguments, area.as_ref())?;
    let mut overrides = match &arguments.overrides {
        Some(path) => GenerateOfflineMapParameterOverrides::from_json(&read_text(path, "the overrides")?)?,
        None => GenerateOfflineMapParameterOverrides::default(),
    };
    let apply = |mut parameters: GenerateOfflineMapParameters| {
        parameters.min_scale = arguments.min_scale.unwrap_or(parameters.min_scale);
        parameters.max_scale = arguments.max_scale.unwrap_or(parameters.max_scale);
        parameters.direct_download = arguments.direct.map_or(parameters.direct_download, Into::into);
        parameters.draw_tiles |= draws_all(&arguments.draw_tiles);
        parameters.direct_download_hosts.allow.extend(arguments.allow_direct_from.iter().cloned());
        parameters.include_basemap &= !arguments.no_basemap;
        parameters.continue_on_errors &= !arguments.stop_on_error;
        parameters.check().map(|()| parameters)
    };
    if let (Some(area), None) = (&area, &from_file) {
        apply(GenerateOfflineMapParameters::new(area.clone()))?;
    }
    let reduced_fonts_services = arguments.reduced_fonts.iter().map(|t| reduced_fonts(t)).collect::<Result<_, _>>()?;
    let export_hosts = arguments.export_host.iter().map(|t| export_host(t)).collect::<Result<Vec<_>, _>>()?;
    let client = client(access, arguments.web_map.as_deref())?;
    let mut source = tokio::select! {
        source = source((arguments, access), &client, limits) => source?,
        () = cancelled_by_ctrl_c(limits) => return Err(Failure::cancelled().into()),
    };
    know_map(&source.web_map);
    draw_layers(&arguments.draw_tiles, &source.web_map, &mut overrides)?;
    source.reduced_fonts_services = reduced_fonts_services;
    if !export_hosts.is_empty() {
        source.export_hosts = export_hosts;
    }
    let engine = offmap::with_defaults(&client)?.start()?;
    let task = OfflineMapTask::new(&engine, source);
    let parameters = match (from_file, area) {
        (Some(file), area) => {
            let area = area.unwrap_or(file.parameters.area_of_interest);
            // What the file says goes over what the map's author says.
            task.default_parameters(area)?.with_json(&file.json)?
        }
        (None, Some(area)) => task.default_parameters(area)?,
        (None, None) => return Err(Stop::usage("no area is named: give --area, or areaOfInterest in --parameters")),
    };
    Ok(Setup { engine, task, parameters: apply(parameters)?, overrides })
}
