//! One service or layer by its url, as a web map that holds nothing else: what works on maps works on it.
//!
//! | url | tiles | features |
//! | --- | --- | --- |
//! | `…/FeatureServer`, `…/FeatureServer/3` | | all layers and tables, or that one |
//! | `…/MapServer` | its cache | all layers and tables |
//! | `…/MapServer/3` | | that layer or table |
//! | `…/ImageServer`, `…/VectorTileServer` | its cache | |
//! | `…/WMTSCapabilities.xml`, `…?SERVICE=WMTS&REQUEST=GetCapabilities` | one of its layers | |
//! | a template with `{z}`, `{x}`, `{y}` or `{-y}`, or with `{level}`, `{col}`, `{row}` | Web Mercator tiles: pictures or vector tiles | |
//!
//! Source: `feature-service-rest` reference §2, tile reference §2, `web-map-and-offline-api` reference A.4.

mod described;
mod level_scale;
mod template;
mod wmts;

pub use level_scale::LevelScale;

use crate::answer_kind::AnswerKind;
use crate::body::expect_description;
use crate::call::ServiceCall;
use crate::client::ArcGisClient;
use crate::portal::ReadLimits;
use crate::time_limit::run_within;
use crate::urls::parse_http;
use described::{extent_of, layers_of, levels_of, title_of};
use offmap_disk::run_blocking;
use offmap_model::failure::without_secrets;
use offmap_model::{AreaOfInterest, Failure, FailureKind, FailureOwner, FailureStage, OfflineMapSource, ServiceUrl, WebMap};
use serde_json::{Value, json};
use template::Template;

/// Keys of which every description of a service, layer or table has at least one.
const DESCRIPTION: &[&str] = &["currentVersion", "capabilities", "layers", "tables", "fields", "tileInfo", "tiles", "type"];

/// Most bytes of the tile that is looked at.
const MOST_FIRST_TILE: usize = 16 << 20;

/// What is wanted of a service that has both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Its cache of tiles.
    Tiles,
    /// Its features.
    Features,
}

/// What is wanted of a service.
#[derive(Debug, Clone, Copy)]
pub struct Selection<'a> {
    /// Tiles or features.
    pub wanted: Wanted,
    /// A where clause for features; an empty one is met by all.
    pub filter: &'a str,
    /// The layer of a WMTS by its identifier or title; a service with one layer needs none.
    pub layer: Option<&'a str>,
}

impl Selection<'_> {
    /// All of it.
    #[must_use]
    pub fn all(wanted: Wanted) -> Self {
        Self { wanted, filter: "", layer: None }
    }
}

/// A service or layer, as a map.
#[derive(Debug)]
#[non_exhaustive]
pub struct LoneService {
    /// The map that holds it and nothing else.
    pub source: OfflineMapSource,
    /// What it is called.
    pub title: String,
    /// All of it, in its own spatial reference; `None` where the service does not say.
    pub extent: Option<AreaOfInterest>,
    /// The levels of its cache, from the coarsest to the finest; none of features.
    pub levels: Vec<LevelScale>,
    /// Whether it has tiles and nothing that draws them: a template or WMTS has no style.
    pub has_only_tiles: bool,
}

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
        return of_template(client, &Template::read(url)?, wanted, filter).await;
    }
    match capabilities {
        Some(capabilities) => of_wmts(client, capabilities.as_str(), selection).await,
        None => of_service(client, url, wanted, filter).await,
    }
}

async fn of_service(client: &ArcGisClient, url: &str, wanted: Wanted, filter: &str) -> Result<LoneService, Failure> {
    let shown = without_secrets(url);
    let known = ServiceUrl::parse(url).filter(|u| is_read(&u.kind()));
    let Some(service) = known else {
        return Err(Failure::invalid_parameter(format!(
            "`{shown}` is not the url of a service or layer; expected …/FeatureServer, …/MapServer, …/ImageServer or …/VectorTileServer, \
             with the number of a layer behind it or without, the capabilities of a WMTS, or a template of tiles with {{z}}, {{x}} and {{y}}"
        )));
    };
    let at = service.layer_id().map_or_else(|| service.root().to_owned(), |id| format!("{}/{id}", service.root()));
    let call = ServiceCall::get(&at)?.in_stage(FailureStage::Plan).answer(AnswerKind::Description);
    let mut answer = client.json(&call).await?;
    client.secrets().scrub_json(&mut answer);
    expect_description(&answer, &at, "a service or layer", DESCRIPTION)?;
    let title = title_of(&answer, service.root());
    let is_cache = is_cache(&service, &answer);
    let map = match (wanted, is_cache, service.kind().as_str()) {
        (Wanted::Tiles, true, kind) => {
            refuse_filter(filter)?;
            let layer_type = match kind {
                "vectortileserver" => "VectorTileLayer",
                "imageserver" => "ArcGISTiledImageServiceLayer",
                _ => "ArcGISTiledMapServiceLayer",
            };
            map_of(
                &title,
                vec![json!({"id": "tiles", "title": title, "url": service.root(), "layerType": layer_type})],
                vec![],
            )
        }
        (Wanted::Tiles, false, _) => {
            return Err(Failure::invalid_parameter(format!(
                "{at} has no cache of tiles; features are written to a name with another ending, such as .gpkg"
            )));
        }
        (Wanted::Features, _, "vectortileserver" | "imageserver") => {
            return Err(Failure::invalid_parameter(format!(
                "{at} has tiles and no features; tiles are written to a name with another ending, such as .pmtiles"
            )));
        }
        (Wanted::Features, ..) => {
            let (layers, tables) = layers_of(&service, &answer, &title, filter)?;
            map_of(&title, layers, tables)
        }
    };
    let levels = if wanted == Wanted::Tiles { levels_of(&answer) } else { Vec::new() };
    let source = OfflineMapSource::from_web_map(WebMap::from_value(map)?);
    Ok(LoneService { source, title, extent: extent_of(&answer), levels, has_only_tiles: false })
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

async fn of_template(
    client: &ArcGisClient,
    template: &Template,
    wanted: Wanted,
    filter: &str,
) -> Result<LoneService, Failure> {
    refuse_filter(filter)?;
    if wanted == Wanted::Features {
        return Err(Failure::invalid_parameter(format!(
            "`{}` is a template of tiles; they are written to .pmtiles, .mbtiles, .tpkx or .vtpk",
            without_secrets(&template.url)
        )));
    }
    let is_vector = match template.says_vector() {
        Some(says) => says,
        None => has_vector_tiles(client, template).await?,
    };
    let map = map_of(&template.title, vec![template.layer(is_vector)], vec![]);
    let source = OfflineMapSource::from_web_map(WebMap::from_value(map)?);
    let (extent, levels) = (Some(template::extent()), template::levels(is_vector));
    Ok(LoneService { source, title: template.title.clone(), extent, levels, has_only_tiles: true })
}

async fn of_wmts(client: &ArcGisClient, url: &str, selection: &Selection<'_>) -> Result<LoneService, Failure> {
    refuse_filter(selection.filter)?;
    let shown = without_secrets(url);
    if selection.wanted == Wanted::Features {
        return Err(Failure::invalid_parameter(format!(
            "{shown} has tiles and no features; tiles are written to a name with another ending, such as .pmtiles"
        )));
    }
    let call = ServiceCall::get(url)?.in_stage(FailureStage::Plan);
    let Some(bytes) = client.bytes(&call, wmts::MOST_BYTES).await? else {
        let message = format!("there are no capabilities at {shown}; look whether its path is right");
        return Err(Failure::new(FailureOwner::Source, FailureKind::NotFound, FailureStage::Plan, message));
    };
    let (asked, name) = (url.to_owned(), selection.layer.map(str::to_owned));
    let read = run_blocking(move || wmts::read(&bytes, &asked, name.as_deref()));
    let wmts::WmtsLayer { title, mut layer, extent, levels } = read.await?;
    client.secrets().scrub_json(&mut layer);
    let source = OfflineMapSource::from_web_map(WebMap::from_value(map_of(&title, vec![layer], vec![]))?);
    let extent = Some(AreaOfInterest::Envelope(extent));
    Ok(LoneService { source, title, extent, levels, has_only_tiles: true })
}

/// Whether the first tile of a template is a vector tile; where there is none, its tiles are taken for pictures.
async fn has_vector_tiles(client: &ArcGisClient, template: &Template) -> Result<bool, Failure> {
    let call = ServiceCall::get(&template.first_tile())?.in_stage(FailureStage::Plan);
    match client.tile(call, MOST_FIRST_TILE, &|_| Ok(()), Vec::new()).await {
        Ok(tile) => Ok(tile.is_some_and(|bytes| template::is_vector_tile(&bytes))),
        Err(failure) if failure.owner == FailureOwner::Source => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// A web map of some layers and tables.
fn map_of(title: &str, layers: Vec<Value>, tables: Vec<Value>) -> Value {
    json!({
        "operationalLayers": layers,
        "tables": tables,
        "baseMap": {"baseMapLayers": [], "title": title},
        "version": "2.28",
    })
}
