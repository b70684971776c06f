//! From the command line to a client, an engine, a map and its parameters.

use crate::arguments::{AccessArguments, MapArguments};
use crate::interrupt::interrupted;
use crate::{Stop, secrets};
use offmap::arcgis::portal::{self, MapPlace, ReadLimits};
use offmap::arcgis::{ArcGisClient, ClientOptions, Credentials, HostPolicy, parse_host, parse_http};
use offmap::model::failure::check_no_user;
use offmap::{
    AreaOfInterest, Engine, ExportHost, Failure, GenerateOfflineMapParameterOverrides, GenerateOfflineMapParameters,
    OfflineMapSource, OfflineMapTask, ReducedFontsService,
};
use serde_json::{Value, json};
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

/// All that a command needs.
pub(crate) struct Setup {
    pub(crate) engine: Engine,
    pub(crate) task: OfflineMapTask,
    pub(crate) parameters: GenerateOfflineMapParameters,
    pub(crate) overrides: GenerateOfflineMapParameterOverrides,
}

/// Largest file of parameters, overrides, areas or certificates, in bytes.
const LARGEST_INPUT: u64 = 64 << 20;

/// Reads a small file, pipe or device; one without an end is refused when it has passed the limit.
fn read_text(path: &Path, what: &str) -> Result<String, Stop> {
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(LARGEST_INPUT + 1).read_to_string(&mut text));
    match read {
        _ if text.len() as u64 > LARGEST_INPUT => {
            Err(Stop::usage(format!("{what} {} is larger than {LARGEST_INPUT} bytes", path.display())))
        }
        // Some editors write a byte order mark.
        Ok(_) => Ok(text.trim_start_matches('\u{feff}').to_owned()),
        Err(e) => Err(Stop::usage(format!("cannot read {what} {}: {e}", path.display()))),
    }
}

fn secret(variable: &str, option: &str) -> Result<String, Stop> {
    match std::env::var(variable) {
        Ok(secret) if !secret.is_empty() => Ok(secret),
        _ => Err(Stop::usage(format!("{option} needs the environment variable {variable}, which is not set"))),
    }
}

fn host_of(text: &str, option: &str) -> Result<String, Stop> {
    parse_host(text).map_err(|failure| Stop::usage(format!("{option}: {failure}")))
}

fn credentials(arguments: &AccessArguments) -> Result<Credentials, Stop> {
    let portal = arguments.portal.as_deref().map(portal::portal_root).transpose()?;
    let portal_or_none = portal.as_deref().unwrap_or_default();
    let mut credentials = if let Some(variable) = &arguments.token_env {
        let token = Credentials::token(secret(variable, "--token-env")?);
        match &portal {
            Some(portal) => token.for_portal(portal)?,
            None => token,
        }
    } else if let Some(user) = &arguments.user {
        let referer = arguments.referer.as_deref().unwrap_or(portal_or_none);
        Credentials::user(portal_or_none, user, &secret("OFFMAP_PASSWORD", "--user")?, referer)?
    } else if let Some(id) = &arguments.client_id {
        Credentials::application(portal_or_none, id, &secret("OFFMAP_CLIENT_SECRET", "--client-id")?)?
    } else {
        Credentials::none()
    };
    arguments.referer.as_deref().map_or(Ok(()), check_no_user)?;
    let bound = |credentials: Credentials| match &arguments.referer {
        Some(referer) => credentials.with_referer(referer),
        None => credentials,
    };
    credentials = bound(credentials);
    for host in &arguments.trust_host {
        credentials = credentials.for_host(&host_of(host, "--trust-host HOST")?);
    }
    for pair in &arguments.token_for {
        let Some((host, variable)) =
            pair.split_once('=').filter(|(host, variable)| !host.is_empty() && !variable.is_empty())
        else {
            return Err(Stop::usage(format!("--token-for is HOST=VAR, not {pair:?}")));
        };
        credentials = credentials.and(bound(
            Credentials::token(secret(variable, "--token-for")?).for_host(&host_of(host, "--token-for HOST=VAR")?),
        ));
    }
    if credentials.is_for_nobody() {
        return Err(Stop::usage("a token is given and no host may see it: name the --portal or a --trust-host"));
    }
    Ok(credentials)
}

/// Which hosts may be asked. What the command line itself names may be asked in any case.
fn hosts(arguments: &AccessArguments, web_map: Option<&str>) -> Result<HostPolicy, Stop> {
    let mut policy = HostPolicy::any();
    if !arguments.allow_host.is_empty() {
        let mut listed = arguments.allow_host.clone();
        let is_url = |map: &&str| matches!(place_of(map), MapPlace::Url(_));
        for url in [arguments.portal.as_deref(), web_map.filter(is_url)].into_iter().flatten() {
            let url = parse_http(url)?;
            let host = url.host_str().unwrap_or_default();
            listed.push(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")));
        }
        policy = HostPolicy::allow_hosts(listed)?;
    }
    Ok(if arguments.deny_private { policy.and_deny_private() } else { policy })
}

pub(crate) fn client(arguments: &AccessArguments, web_map: Option<&str>) -> Result<ArcGisClient, Stop> {
    let mut options = ClientOptions {
        request_timeout: Duration::from_secs(arguments.request_timeout.max(1)),
        retry_time: Duration::from_secs(arguments.retry_time),
        attempts: arguments.attempts.map_or(usize::MAX, |attempts| attempts.max(1)),
        job_timeout: Duration::from_secs(arguments.job_timeout.max(1)),
        hosts: hosts(arguments, web_map)?,
        ..ClientOptions::default()
    };
    if let Some(path) = &arguments.ca_cert {
        options.ca_certificates.push(read_text(path, "the CA certificate")?.into_bytes());
    }
    let client = ArcGisClient::new(options, credentials(arguments)?)?;
    secrets::know_client(&client);
    Ok(client)
}

async fn source(arguments: &MapArguments, client: &ArcGisClient, limits: &ReadLimits) -> Result<OfflineMapSource, Failure> {
    let place = match (&arguments.web_map, &arguments.access.portal, &arguments.item) {
        (_, Some(portal), Some(id)) => MapPlace::Item { portal, id },
        (Some(map), ..) => place_of(map),
        _ => return Err(Failure::invalid_parameter("no map is named: give --web-map, or --portal and --item")),
    };
    portal::read(client, place, limits).await
}

/// Cancels when Ctrl-C is pressed, for as long as it is polled.
pub(crate) async fn cancelled_by_ctrl_c(limits: &ReadLimits) {
    interrupted().await;
    limits.cancel.cancel();
    std::future::pending().await
}

/// Where a map is that `--web-map` names.
pub(crate) fn place_of(named: &str) -> MapPlace<'_> {
    match named.starts_with("http://") || named.starts_with("https://") {
        true => MapPlace::Url(named),
        false => MapPlace::File(Path::new(named)),
    }
}

/// A file if there is one of that name, else numbers.
fn area(text: &str) -> Result<AreaOfInterest, Stop> {
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
pub(crate) async fn prepare(arguments: &MapArguments, limits: &ReadLimits) -> Result<Setup, Stop> {
    let area = arguments.area.as_deref().map(area).transpose()?;
    let from_file = parameters_file(arguments, area.as_ref())?;
    let overrides = match &arguments.overrides {
        Some(path) => GenerateOfflineMapParameterOverrides::from_json(&read_text(path, "the overrides")?)?,
        None => GenerateOfflineMapParameterOverrides::default(),
    };
    let apply = |mut parameters: GenerateOfflineMapParameters| {
        parameters.min_scale = arguments.min_scale.unwrap_or(parameters.min_scale);
        parameters.max_scale = arguments.max_scale.unwrap_or(parameters.max_scale);
        parameters.include_basemap &= !arguments.no_basemap;
        parameters.continue_on_errors &= !arguments.stop_on_error;
        parameters.check().map(|()| parameters)
    };
    if let (Some(area), None) = (&area, &from_file) {
        apply(GenerateOfflineMapParameters::new(area.clone()))?;
    }
    let reduced_fonts_services = arguments.reduced_fonts.iter().map(|t| reduced_fonts(t)).collect::<Result<_, _>>()?;
    let export_hosts = arguments.export_host.iter().map(|t| export_host(t)).collect::<Result<Vec<_>, _>>()?;
    let client = client(&arguments.access, arguments.web_map.as_deref())?;
    let mut source = tokio::select! {
        source = source(arguments, &client, limits) => source?,
        () = cancelled_by_ctrl_c(limits) => return Err(Failure::cancelled().into()),
    };
    secrets::know_map(&source.web_map);
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
