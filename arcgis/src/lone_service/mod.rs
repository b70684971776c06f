//! One service or layer by its url, as a web map that holds nothing else: what works on maps works on it.
//!
//! | url | tiles | features |
//! | --- | --- | --- |
//! | `…/FeatureServer`, `…/FeatureServer/3` | | all layers and tables, or that one |
//! | `…/MapServer` | its cache | all layers and tables |
//! | `…/MapServer/3` | | that layer or table |
//! | `…/ImageServer`, `…/VectorTileServer` | its cache | |
//! | `…/MapServer`, `…/ImageServer` without a cache, a WMS | drawn, where that is wanted | |
//! | `…/WMTSCapabilities.xml`, `…?SERVICE=WMTS&REQUEST=GetCapabilities` | one of its layers | |
//! | a template with `{z}`, `{x}`, `{y}` or `{-y}`, or with `{level}`, `{col}`, `{row}` | Web Mercator tiles: pictures or vector tiles | |
//! | `…/x.pmtiles` | an archive on a web server, of which parts are asked for | |
//!
//! Source: `feature-service-rest` reference §2, tile reference §2, `web-map-and-offline-api` reference A.4.

mod archive;
mod described;
mod drawn;
mod found;
mod level_scale;
mod template;
mod wmts;

pub use found::{LoneService, Selection, Wanted};
pub use level_scale::LevelScale;

use crate::answer_kind::AnswerKind;
use crate::body::expect_description;
use crate::call::ServiceCall;
use crate::client::ArcGisClient;
use crate::portal::ReadLimits;
use crate::time_limit::run_within;
use crate::urls::parse_http;
use described::{extent_of, layers_of, levels_of, title_of};
use drawn::Wms;
use found::map_of;
use offmap_disk::run_blocking;
use offmap_model::failure::without_secrets;
use offmap_model::{AreaOfInterest, Failure, FailureKind, FailureOwner, FailureStage, OfflineMapSource, ServiceUrl, WebMap};
use serde_json::{Value, json};
use template::Template;

/// Keys of which every description of a service, layer or table has at least one.
const DESCRIPTION: &[&str] = &["currentVersion", "capabilities", "layers", "tables", "fields", "tileInfo", "tiles", "type"];

/// Most bytes of the tile that is looked at.
const MOST_FIRST_TILE: usize = 16 << 20;

/// Reads what is at a url.
///
/// ```no_run
/// use offmap_arcgis::lone_service::{self, Selection, Wanted};
/// use offmap_arcgis::portal::ReadLimits;
/// use offmap_arcgis::{ArcGisClient, ClientOptions, Credentials};
///
/// # async fn run() -> Result<(), offmap_model::Failure> {
/// let client = ArcGisClient::new(ClientOptions::default(), Credentials::none())?;
/// let url = "https://gis.city.example/arcgis/rest/services/Trees/FeatureServer/0";
/// let tall = Selection { filter: "HEIGHT > 10", ..Selection::all(Wanted::Features) };
/// let trees = lone_service::read(&client, url, &tall, &ReadLimits::default()).await?;
/// println!("{} within {:?}", trees.title, trees.extent);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// If it is no url of a service or layer, the service does not answer, or it has not what is wanted.
pub async fn read(
    client: &ArcGisClient,
    url: &str,
    selection: &Selection<'_>,
    limits: &ReadLimits,
) -> Result<LoneService, Failure> {
    let clock = client.clock();
    let work = read_within(client, url.trim(), selection);
    run_within("the reading of the service", limits.time, &limits.cancel, &*clock, work).await
}

async fn read_within(client: &ArcGisClient, url: &str, selection: &Selection<'_>) -> Result<LoneService, Failure> {
    let (wanted, filter) = (selection.wanted, selection.filter);
    let is_template = url.contains('{');
    let capabilities = if is_template { None } else { wmts::capabilities_url(&parse_http(url)?) };
    if selection.layer.is_some() && capabilities.is_none() {
        return Err(Failure::invalid_parameter(
            "--layer names a layer of a WMTS; of another service, write the layer's number behind its url",
        ));
    }
    if is_template {
        return of_template(client, &Template::read(url)?, selection).await;
    }
    if let Some(capabilities) = capabilities {
        return of_wmts(client, capabilities.as_str(), selection).await;
    }
    if let Some(title) = archive::title_of(url) {
        refuse_filter(filter)?;
        return archive::lone(url, title, wanted);
    }
    match Wms::of(url) {
        Some(wms) => {
            refuse_filter(filter)?;
            wms.lone(wanted)
        }
        None => of_service(client, url, selection).await,
    }
}

async fn of_service(client: &ArcGisClient, url: &str, selection: &Selection<'_>) -> Result<LoneService, Failure> {
    let (wanted, filter) = (selection.wanted, selection.filter);
    let shown = without_secrets(url);
    let known = ServiceUrl::parse(url).filter(|u| is_read(&u.kind()));
    let Some(service) = known else {
        return Err(Failure::invalid_parameter(format!(
            "`{shown}` is not the url of a service or layer; expected …/FeatureServer, …/MapServer, …/ImageServer or …/VectorTileServer, \
             with the number of a layer behind it or without, the capabilities of a WMTS, a WMS (…?SERVICE=WMS), a PMTiles archive \
             (….pmtiles), or a template of tiles with {{z}}, {{x}} and {{y}}"
        )));
    };
    // What is drawn never comes by an export.
    if wanted == Wanted::Drawn {
        selection.check_host(&shown, service.root())?;
    }
    let at = service.layer_id().map_or_else(|| service.root().to_owned(), |id| format!("{}/{id}", service.root()));
    let call = ServiceCall::get(&at)?.in_stage(FailureStage::Plan).answer(AnswerKind::Description);
    let mut answer = client.json(&call).await?;
    client.secrets().scrub_json(&mut answer);
    expect_description(&answer, &at, "a service or layer", DESCRIPTION)?;
    let title = title_of(&answer, service.root());
    let is_cache = is_cache(&service, &answer);
    let is_drawn = wanted == Wanted::Drawn && !is_cache;
    let map = map_for(wanted, (&service, &at), (&answer, is_cache), &title, filter)?;
    let levels = match wanted {
        Wanted::Features => Vec::new(),
        _ if is_drawn => template::levels(false),
        _ => levels_of(&answer),
    };
    let source = OfflineMapSource::from_web_map(WebMap::from_value(map)?);
    let has_vector_tiles = Some(is_cache && service.kind() == "vectortileserver");
    Ok(LoneService { source, title, extent: extent_of(&answer), levels, has_only_tiles: false, has_vector_tiles, is_drawn })
}

/// The map of a service, of what is wanted of it.
fn map_for(
    wanted: Wanted,
    (service, at): (&ServiceUrl, &str),
    (answer, is_cache): (&Value, bool),
    title: &str,
    filter: &str,
) -> Result<Value, Failure> {
    Ok(match (wanted, is_cache, service.kind().as_str()) {
        (Wanted::Tiles | Wanted::Drawn, true, kind) => {
            refuse_filter(filter)?;
            let layer_type = match kind {
                "vectortileserver" => "VectorTileLayer",
                "imageserver" => "ArcGISTiledImageServiceLayer",
                _ => "ArcGISTiledMapServiceLayer",
            };
            map_of(
                title,
                vec![json!({"id": "tiles", "title": title, "url": service.root(), "layerType": layer_type})],
                vec![],
            )
        }
        (Wanted::Drawn, false, kind @ ("mapserver" | "imageserver")) if service.layer_id().is_none() => {
            refuse_filter(filter)?;
            map_of(title, vec![drawn::layer(title, service.root(), kind)], vec![])
        }
        (Wanted::Tiles | Wanted::Drawn, false, kind) => {
            let way = match kind {
                "mapserver" | "imageserver" if wanted == Wanted::Tiles => {
                    "; --draw-tiles has the service draw them (…/MapServer, …/ImageServer)"
                }
                _ => "",
            };
            return Err(Failure::invalid_parameter(format!(
                "{at} has no cache of tiles{way}; features are written to a name with another ending, such as .gpkg"
            )));
        }
        (Wanted::Features, _, "vectortileserver" | "imageserver") => {
            return Err(Failure::invalid_parameter(format!(
                "{at} has tiles and no features; tiles are written to a name with another ending, such as .pmtiles"
            )));
        }
        (Wanted::Features, ..) => {
            let (layers, tables) = layers_of(service, answer, title, filter)?;
            map_of(title, layers, tables)
        }
    })
}

/// Reads bytes as capabilities of a WMTS, for fuzzing.
#[doc(hidden)]
pub fn read_any_capabilities(bytes: &[u8]) {
    for layer in [None, Some("relief")] {
        let _ = wmts::read(bytes, "https://x.example/wmts?SERVICE=WMTS", layer);
    }
}

fn is_read(kind: &str) -> bool {
    matches!(kind, "featureserver" | "mapserver" | "imageserver" | "vectortileserver")
}

/// Whether a service has a cache of tiles.
fn is_cache(service: &ServiceUrl, answer: &Value) -> bool {
    let has_scheme = answer.get("tileInfo").is_some_and(Value::is_object);
    let is_fused = answer.get("singleFusedMapCache").and_then(Value::as_bool).unwrap_or(false);
    match service.kind().as_str() {
        _ if service.layer_id().is_some() => false,
        "vectortileserver" => has_scheme,
        "mapserver" | "imageserver" => has_scheme && is_fused,
        _ => false,
    }
}

fn refuse_filter(filter: &str) -> Result<(), Failure> {
    match filter.trim().is_empty() {
        true => Ok(()),
        false => Err(Failure::invalid_parameter("tiles have no rows, so a where clause cannot be met; leave it out")),
    }
}

async fn of_template(client: &ArcGisClient, template: &Template, selection: &Selection<'_>) -> Result<LoneService, Failure> {
    refuse_filter(selection.filter)?;
    if selection.wanted == Wanted::Features {
        return Err(Failure::invalid_parameter(format!(
            "`{}` is a template of tiles; they are written to .pmtiles, .mbtiles, .tpkx or .vtpk",
            without_secrets(&template.url)
        )));
    }
    selection.check_host(&template.title, &template.first_tile())?;
    let has_vector_tiles = match template.says_vector() {
        Some(says) => says,
        None => has_vector_tiles(client, template, selection).await?,
    };
    let map = map_of(&template.title, vec![template.layer(has_vector_tiles)], vec![]);
    let source = OfflineMapSource::from_web_map(WebMap::from_value(map)?);
    let (extent, levels, title) = (Some(template::extent()), template::levels(has_vector_tiles), template.title.clone());
    let has_vector_tiles = Some(has_vector_tiles);
    Ok(LoneService { source, title, extent, levels, has_only_tiles: true, has_vector_tiles, is_drawn: false })
}

async fn of_wmts(client: &ArcGisClient, url: &str, selection: &Selection<'_>) -> Result<LoneService, Failure> {
    refuse_filter(selection.filter)?;
    let shown = without_secrets(url);
    if selection.wanted == Wanted::Features {
        return Err(Failure::invalid_parameter(format!(
            "{shown} has tiles and no features; tiles are written to a name with another ending, such as .pmtiles"
        )));
    }
    selection.check_host(&shown, url)?;
    let call = ServiceCall::get(url)?.in_stage(FailureStage::Plan).directly(&selection.shared_hosts());
    let Some(bytes) = client.bytes(&call, wmts::MOST_BYTES).await? else {
        let message = format!("there are no capabilities at {shown}; look whether its path is right");
        return Err(Failure::new(FailureOwner::Source, FailureKind::NotFound, FailureStage::Plan, message));
    };
    let (asked, name) = (url.to_owned(), selection.layer.map(str::to_owned));
    let read = run_blocking(move || wmts::read(&bytes, &asked, name.as_deref()));
    let wmts::WmtsLayer { title, mut layer, extent, levels, has_vector_tiles } = read.await?;
    client.secrets().scrub_json(&mut layer);
    let source = OfflineMapSource::from_web_map(WebMap::from_value(map_of(&title, vec![layer], vec![]))?);
    let (extent, has_vector_tiles) = (Some(AreaOfInterest::Envelope(extent)), Some(has_vector_tiles));
    Ok(LoneService { source, title, extent, levels, has_only_tiles: true, has_vector_tiles, is_drawn: false })
}

/// Whether the first tile of a template is a vector tile; where there is none, its tiles are taken for pictures.
async fn has_vector_tiles(client: &ArcGisClient, template: &Template, selection: &Selection<'_>) -> Result<bool, Failure> {
    let call = ServiceCall::get(&template.first_tile())?.in_stage(FailureStage::Plan).directly(&selection.shared_hosts());
    match client.tile(call, MOST_FIRST_TILE, &|_| Ok(()), Vec::new()).await {
        Ok(tile) => Ok(tile.is_some_and(|bytes| template::is_vector_tile(&bytes))),
        Err(failure) if failure.owner == FailureOwner::Source => Ok(false),
        Err(failure) => Err(failure),
    }
}
