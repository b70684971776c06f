//! Reads a web map: from a portal item, a url or a file.
//!
//! Source: `web-map-and-offline-api` reference A.1, A.8.

use crate::answer_kind::AnswerKind;
use crate::call::ServiceCall;
use crate::client::ArcGisClient;
use crate::time_limit::run_within;
use crate::urls::parse_http;
use offmap_model::failure::{LONGEST_ATTRIBUTION, shortened, without_secrets};
use offmap_model::thumbnail::MAX_THUMBNAIL_BYTES;
use offmap_model::{
    ExportHost, Failure, FailureKind, FailureOwner, FailureStage, LayerItem, OfflineMapSource, PortalItem, ServiceUrl,
    Thumbnail, WebMap,
};
use serde::Deserialize as _;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio_util::sync::CancellationToken;
use url::Url;

/// Export hosts of a portal that are kept; Esri's portal names fewer than ten.
const MOST_EXPORT_HOSTS: usize = 100;
/// First bytes of a file, which show what it is.
const MAGIC: u64 = 16;
/// Items of layers that are asked for their attributions and terms.
const MOST_LAYER_ITEMS: usize = 500;

/// The url of a portal without `/sharing`, `/sharing/rest`, `/home` and slash at the end.
///
/// # Errors
/// If it is not an `http` or `https` url.
pub fn portal_root(portal: &str) -> Result<String, Failure> {
    let mut url = parse_http(portal)?;
    url.set_query(None);
    url.set_fragment(None);
    let mut root = url.to_string();
    loop {
        let lower = root.to_ascii_lowercase();
        let tail = ["/", "/sharing/rest", "/sharing", "/home"].into_iter().find(|t| lower.ends_with(t));
        match tail {
            Some(tail) => root.truncate(root.len() - tail.len()),
            None => return Ok(root),
        }
    }
}

/// Reads a web map by its item id, with item, thumbnail and the export hosts that the portal names.
///
/// # Errors
/// If the portal cannot be reached, refuses the token, or the item is not a readable web map.
pub async fn read_item(client: &ArcGisClient, portal: &str, id: &str) -> Result<OfflineMapSource, Failure> {
    let portal = portal_root(portal)?;
    if id.is_empty() || !id.chars().all(|c| c.is_ascii_alphanumeric()) {
        return Err(Failure::invalid_parameter(format!("`{id}` is not an item id; it is 32 hexadecimal digits")));
    }
    let base = format!("{portal}/sharing/rest/content/items/{id}");
    let get = |url: &str| Ok::<_, Failure>(ServiceCall::get(url)?.in_stage(FailureStage::Read));
    let mut item = client.json(&get(&base)?).await.map_err(|f| named(f, &format!("item {id} of {portal}")))?;
    client.secrets().scrub_json(&mut item);
    // The reader's own message quotes the answer, which may be that of another host to which a redirect led.
    let item: PortalItem = serde_json::from_value(item).map_err(|_| {
        let message = format!("the portal's answer for item {id} has not the form of an item");
        Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, FailureStage::Read, message)
    })?;
    let mut source = OfflineMapSource {
        web_map: WebMap::from_json(r#"{"operationalLayers":[]}"#)?,
        item: Some(item),
        portal_url: Some(portal.clone()),
        thumbnail: None,
        export_hosts: Vec::new(),
        reduced_fonts_services: Vec::new(),
        layer_items: Vec::new(),
    };
    // An item that is no web map is named as such, before its data are read.
    source.check()?;
    let map = client.json(&get(&format!("{base}/data"))?.answer(AnswerKind::WebMap)).await;
    let mut map = map.map_err(|f| named(f, &format!("the web map of item {id}")))?;
    client.secrets().scrub_json(&mut map);
    source.web_map = WebMap::from_value(map)?;
    if let Some(name) = source.item.as_ref().and_then(|i| i.thumbnail.clone()).filter(|name| !name.is_empty()) {
        source.thumbnail = match thumbnail_url(&base, &name) {
            Some(url) => thumbnail(client, url.as_str()).await,
            None => {
                let name = name.escape_debug();
                tracing::warn!("item {id} names the thumbnail `{name}`, which is no path below its info/; it is left out");
                None
            }
        };
    }
    source.export_hosts = export_hosts(client, &portal).await;
    source.layer_items = layer_items(client, &portal, &source.web_map).await;
    Ok(source)
}

/// How long the reading of a map may take, and what ends it.
#[derive(Debug, Clone, Default)]
pub struct ReadLimits {
    /// Longest time; `None` for as long as the client's own limits of each request allow.
    pub time: Option<Duration>,
    /// Ends the reading when it is cancelled.
    pub cancel: CancellationToken,
}

/// Where a web map is.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum MapPlace<'a> {
    /// An item of a portal: see [`read_item`].
    Item {
        /// The portal, with or without `/sharing/rest`.
        portal: &'a str,
        /// Its id.
        id: &'a str,
    },
    /// See [`read_url`].
    Url(&'a str),
    /// See [`read_file`].
    File(&'a Path),
}

/// Reads a web map from wherever it is, within limits: the time counts from the first request.
///
/// # Errors
/// As [`read_item`], [`read_url`] and [`read_file`]; also if the time is over or the reading was cancelled.
pub async fn read(client: &ArcGisClient, place: MapPlace<'_>, limits: &ReadLimits) -> Result<OfflineMapSource, Failure> {
    let work = async {
        match place {
            MapPlace::Item { portal, id } => read_item(client, portal, id).await,
            MapPlace::Url(url) => read_url(client, url).await,
            MapPlace::File(path) => read_file(path).await,
        }
    };
    let clock = client.clock();
    run_within("the reading of the web map", limits.time, &limits.cancel, &*clock, work).await
}

/// Reads a web map from a url: of an item (`…/content/items/<id>…` or `…?webmap=<id>` / `?id=<id>` of a portal page), or
/// of the map's JSON.
///
/// # Errors
/// As [`read_item`].
pub async fn read_url(client: &ArcGisClient, at: &str) -> Result<OfflineMapSource, Failure> {
    let url = parse_http(at)?;
    if let Some((portal, rest)) = at.split_once("/content/items/") {
        let id: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
        return read_item(client, portal, &id).await;
    }
    let path = url.path().to_ascii_lowercase();
    if let Some(at) = path.find("/home/").or_else(|| path.find("/apps/mapviewer")) {
        let id = url.query_pairs().find(|(name, _)| name == "webmap" || name == "id").map(|(_, id)| id.into_owned());
        if let Some(id) = id {
            let mut portal = url.clone();
            portal.set_path(url.path().get(..at).unwrap_or_default());
            return read_item(client, portal.as_str(), &id).await;
        }
    }
    // A service or a package is named as such, and nobody is asked.
    let shown = without_secrets(at);
    if let Some(kind) = ServiceUrl::parse(at).and_then(|url| url.kind_name()) {
        let way = "add the service to a web map, and give the url or item of that map";
        return Err(Failure::invalid_parameter(format!(
            "`{shown}` is the url of {kind}, expected that of a web map; {way}"
        )));
    }
    if let Some(kind) = package_kind(&path) {
        return Err(Failure::invalid_parameter(format!("`{shown}` is {kind}")));
    }
    let call = ServiceCall::get(at)?.in_stage(FailureStage::Read).answer(AnswerKind::WebMap);
    let mut map = client.json(&call).await.map_err(|f| named(f, "the web map"))?;
    client.secrets().scrub_json(&mut map);
    Ok(OfflineMapSource::from_web_map(WebMap::from_value(map)?))
}

/// Reads a web map from a file.
///
/// # Errors
/// If the file cannot be read or is not a web map.
pub async fn read_file(path: &Path) -> Result<OfflineMapSource, Failure> {
    let failed = |e: std::io::Error| {
        let mut failure = Failure::io(FailureStage::Read, format!("cannot read the web map {}", path.display()), &e);
        failure.owner = FailureOwner::Caller;
        failure
    };
    let most = WebMap::BUDGET.bytes as u64;
    let too_large = |size: u64| {
        let message = format!("{} is larger than {most} bytes ({size} or more), which no web map is", path.display());
        Failure::invalid_parameter(message)
    };
    let size = tokio::fs::metadata(path).await.map_err(failed)?.len();
    let mut text = Vec::new();
    let mut file = tokio::fs::File::open(path).await.map_err(failed)?;
    (&mut file).take(MAGIC).read_to_end(&mut text).await.map_err(failed)?;
    if let Some(kind) = file_kind(path, &text) {
        return Err(Failure::invalid_parameter(format!("{} is {kind}", path.display())));
    }
    if size > most {
        return Err(too_large(size));
    }
    // What is no file has no known size and may never end.
    file.take(most + 1).read_to_end(&mut text).await.map_err(failed)?;
    if text.len() as u64 > most {
        return Err(too_large(most + 1));
    }
    let map = WebMap::from_bytes(&text).map_err(|mut f| {
        f.message = format!("{}: {}", path.display(), f.message);
        f
    })?;
    Ok(OfflineMapSource::from_web_map(map))
}

/// What a file or url is by its ending that is no web map, and what to do with it.
fn package_kind(path: &str) -> Option<&'static str> {
    let ending = path.rsplit_once('.')?.1;
    Some(match ending.to_ascii_lowercase().as_str() {
        "tpk" | "tpkx" | "vtpk" => {
            "a tile package, expected a web map; name it as referenceBasemapFilename in the parameters of a web map"
        }
        "mmpk" => "a mobile map package, expected a web map; it is an offline map already",
        "geodatabase" => "a mobile geodatabase, expected a web map",
        _ => return None,
    })
}

/// The same by the first bytes of a file.
fn file_kind(path: &Path, start: &[u8]) -> Option<&'static str> {
    let by_name = || path.to_str().and_then(package_kind);
    match start {
        _ if start.starts_with(b"PK\x03\x04") => Some(by_name().unwrap_or("a ZIP archive, expected a web map as JSON")),
        _ if start.starts_with(b"SQLite format 3\0") => {
            Some(by_name().unwrap_or("a SQLite database, expected a web map as JSON"))
        }
        _ => None,
    }
}

fn named(mut failure: Failure, what: &str) -> Failure {
    failure.message = format!("cannot read {what}: {}", failure.message);
    failure
}

/// Where an item's thumbnail is. Its name is a relative path below the item's `info/`; one that leads elsewhere is not asked for.
fn thumbnail_url(item: &str, name: &str) -> Option<Url> {
    let folder = Url::parse(&format!("{item}/info/")).ok()?;
    let plain = !name.is_empty()
        && !name.starts_with('/')
        && !name.contains("//")
        && !name.contains(|c: char| c.is_control() || "\\?#:".contains(c));
    // After joining, so that every way of writing `..` is seen as the url's own rules see it.
    let url = folder.join(name).ok().filter(|_| plain)?;
    let below = url.as_str().strip_prefix(folder.as_str()).is_some_and(|rest| !rest.is_empty());
    below.then_some(url)
}

/// A picture is worth having, not worth failing for.
async fn thumbnail(client: &ArcGisClient, url: &str) -> Option<Thumbnail> {
    let call = ServiceCall::get(url).ok()?.in_stage(FailureStage::Read);
    match client.bytes(&call, MAX_THUMBNAIL_BYTES).await {
        Ok(bytes) => Thumbnail::new(bytes?).inspect_err(|failure| tracing::debug!(%failure, "no thumbnail")).ok(),
        Err(failure) => {
            tracing::debug!(%failure, "no thumbnail");
            None
        }
    }
}

/// The items of the map's layers, each once. They may be another's and not to be read: then their terms are not known.
async fn layer_items(client: &ArcGisClient, portal: &str, map: &WebMap) -> Vec<LayerItem> {
    let plain = |id: &String| !id.is_empty() && id.chars().all(|c| c.is_ascii_alphanumeric());
    let ids: BTreeSet<String> = map.layers().iter().filter_map(|l| l.item_id.clone()).filter(plain).collect();
    let read = |id: String| async move {
        let call = ServiceCall::get(&format!("{portal}/sharing/rest/content/items/{id}")).ok()?;
        let answer = client.json(&call.in_stage(FailureStage::Read)).await;
        let answer = answer.inspect_err(|failure| tracing::debug!(%failure, id, "a layer's item cannot be read")).ok()?;
        let mut answer = answer;
        client.secrets().scrub_json(&mut answer);
        let item: LayerItem = serde_json::from_value(answer).ok()?;
        let cut = |text: Option<String>| text.map(|t| shortened(t, LONGEST_ATTRIBUTION));
        Some(LayerItem { id, access_information: cut(item.access_information), license_info: cut(item.license_info) })
    };
    // The governor bounds how many are asked at a time.
    futures_util::future::join_all(ids.into_iter().take(MOST_LAYER_ITEMS).map(read)).await.into_iter().flatten().collect()
}

/// `helperServices.packaging.exportTilesMap`; most portals of on-premises servers have none: then the documented pairs hold.
async fn export_hosts(client: &ArcGisClient, portal: &str) -> Vec<ExportHost> {
    let listed = listed_export_hosts(client, portal).await;
    if listed.is_empty() { ExportHost::documented() } else { listed }
}

async fn listed_export_hosts(client: &ArcGisClient, portal: &str) -> Vec<ExportHost> {
    let Ok(call) = ServiceCall::get(&format!("{portal}/sharing/rest/portals/self")) else { return Vec::new() };
    match client.json(&call.in_stage(FailureStage::Read).answer(AnswerKind::Description)).await {
        Ok(answer) => {
            let list = answer.pointer("/helperServices/packaging/exportTilesMap").and_then(Value::as_array);
            // A pair that cannot be read costs only itself.
            let pairs = list.into_iter().flatten().filter_map(|pair| ExportHost::deserialize(pair).ok());
            pairs.take(MOST_EXPORT_HOSTS).collect()
        }
        Err(failure) => {
            tracing::debug!(%failure, "the portal does not describe itself");
            Vec::new()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_portal_is_known_with_or_without_its_sharing_path() {
        for url in ["https://h/portal", "https://h/portal/", "https://h/portal/sharing/rest/", "https://h/portal/sharing"] {
            assert_eq!(portal_root(url).as_deref(), Ok("https://h/portal"));
        }
        assert!(portal_root("h/portal").is_err());
    }
}
