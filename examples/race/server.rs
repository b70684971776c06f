//! Services that allow neither export nor sync, and answer at once.

use crate::{Outcome, data, pbf};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, RawForm, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get};
use offmap::model::geometry::WEB_MERCATOR_HALF;
use offmap::{Envelope, SpatialReference};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Rows of a page.
const PAGE: u64 = 2_000;
/// How long a slow service takes.
const SLOW: Duration = Duration::from_millis(50);
/// The same of one that is near.
const NEAR: Duration = Duration::from_millis(5);
/// Requests that a service with a limit answers within a second.
const CAP: u32 = 500;

/// A server that runs as long as this process.
pub(crate) struct Server {
    pub(crate) url: String,
    data: Arc<Data>,
}

impl Server {
    /// How many tiles were asked for.
    pub(crate) fn tiles_asked(&self) -> u64 {
        self.data.asked.load(Ordering::Relaxed)
    }
}

struct Data {
    levels: u32,
    points: u64,
    attachments: u64,
    countries: Bytes,
    asked: AtomicU64,
    /// The second since the start that is now, and the requests in it.
    capped: Mutex<(u64, u32)>,
    began: Instant,
    /// Pages that were asked for before, so that the server's own work is done once.
    pages: Mutex<HashMap<(u64, u64, bool), Bytes>>,
}

type Shared = State<Arc<Data>>;

impl Data {
    /// Counts a request; whether there are no more of them in this second than the limit.
    fn is_below_cap(&self) -> bool {
        let second = self.began.elapsed().as_secs();
        let mut capped = self.capped.lock().unwrap_or_else(PoisonError::into_inner);
        if capped.0 != second {
            *capped = (second, 0);
        }
        capped.1 += 1;
        capped.1 <= CAP
    }
}

fn world() -> Envelope {
    let half = WEB_MERCATOR_HALF;
    Envelope::new(-half, -half, half, half, SpatialReference::web_mercator())
}

fn cache(levels: u32) -> Value {
    let lod = |level: u32| {
        let part = f64::from(level).exp2();
        json!({"level": level, "resolution": 2.0 * WEB_MERCATOR_HALF / 256.0 / part, "scale": 591_657_527.591_555 / part})
    };
    let scheme = json!({"rows": 256, "cols": 256, "dpi": 96, "format": "JPEG", "compressionQuality": 75,
        "origin": {"x": -WEB_MERCATOR_HALF, "y": WEB_MERCATOR_HALF}, "spatialReference": SpatialReference::web_mercator(),
        "lods": (0..=levels).map(lod).collect::<Vec<_>>()});
    json!({"currentVersion": 11.2, "mapName": "Tiles", "singleFusedMapCache": true, "tileInfo": scheme,
        "spatialReference": SpatialReference::web_mercator(), "initialExtent": world(), "fullExtent": world(), "minScale": 0,
        "maxScale": 0, "minLOD": 0, "maxLOD": levels, "capabilities": "Map", "layers": [], "tables": [],
        "exportTilesAllowed": false})
}

async fn tile(State(data): Shared, Path((service, level, row, column)): Path<(String, u32, u64, u64)>) -> Response {
    let number = data.asked.fetch_add(1, Ordering::Relaxed);
    match service.as_str() {
        "SlowTiles" => tokio::time::sleep(SLOW).await,
        "NearTiles" => tokio::time::sleep(NEAR).await,
        "CappedTiles" if !data.is_below_cap() => {
            return (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, "1")]).into_response();
        }
        "FaultyTiles" if number % 100 < 3 => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
        // An answer that ends in its midst.
        "FaultyTiles" if number % 100 == 50 => {
            let half =
                futures_util::stream::iter([Ok(Bytes::from_static(b"\xff\xd8\xff")), Err(std::io::Error::other("dropped"))]);
            return ([(CONTENT_TYPE, "image/jpeg")], axum::body::Body::from_stream(half)).into_response();
        }
        _ => {}
    }
    let is_there = level <= data.levels && row < 1 << level && column < 1 << level;
    match is_there {
        true => ([(CONTENT_TYPE, "image/jpeg")], data::tile(level, row, column)).into_response(),
        false => StatusCode::NOT_FOUND.into_response(),
    }
}

fn degrees() -> Envelope {
    Envelope::new(-180.0, -85.0, 180.0, 85.0, SpatialReference::from_wkid(4326))
}

fn geometry_type(name: &str) -> &'static str {
    if name == "Countries" { "esriGeometryPolygon" } else { "esriGeometryPoint" }
}

/// How the rows of a service are asked for.
fn formats(name: &str) -> &'static str {
    if name == "PbfPoints" { "JSON, PBF" } else { "JSON" }
}

fn feature_service(name: &str) -> Value {
    let layer = json!({"id": 0, "name": name, "type": "Feature Layer", "geometryType": geometry_type(name)});
    json!({"currentVersion": 11.2, "capabilities": "Query", "syncEnabled": false, "maxRecordCount": PAGE,
        "spatialReference": {"wkid": 4326}, "initialExtent": degrees(), "fullExtent": degrees(), "layers": [layer], "tables": [],
        "supportedQueryFormats": formats(name)})
}

fn layer(name: &str) -> Value {
    json!({"currentVersion": 11.2, "id": 0, "name": name, "type": "Feature Layer", "geometryType": geometry_type(name),
        "objectIdField": "OBJECTID", "globalIdField": "GlobalID", "fields": data::fields(), "extent": degrees(),
        "maxRecordCount": PAGE, "capabilities": "Query", "hasAttachments": name == "Photos", "supportedQueryFormats": formats(name),
        "relationships": [], "hasZ": false, "hasM": false,
        "advancedQueryCapabilities": {"supportsPagination": true, "supportsOrderBy": true, "supportsQueryAttachments": true}})
}

/// Parameters of the url and of a form.
fn parameters(form: &[u8]) -> HashMap<String, String> {
    let text = String::from_utf8_lossy(form).into_owned();
    let url = format!("http://x/?{text}");
    let pairs = reqwest::Url::parse(&url).map(|u| u.query_pairs().into_owned().collect::<HashMap<_, _>>());
    pairs.unwrap_or_default()
}

async fn query(State(data): Shared, Path(service): Path<String>, RawForm(form): RawForm) -> Response {
    let asked = parameters(&form);
    let is = |name: &str| asked.get(name).is_some_and(|v| v == "true");
    let count = match service.as_str() {
        "Photos" => data.attachments,
        "Countries" => data::COUNTRIES,
        _ => data.points,
    };
    if is("returnCountOnly") {
        return axum::Json(json!({"count": count})).into_response();
    }
    if is("returnIdsOnly") {
        return axum::Json(json!({"objectIdFieldName": "OBJECTID", "objectIds": (1..=count).collect::<Vec<_>>()}))
            .into_response();
    }
    if service == "Countries" {
        // All in one page, however many are asked for.
        return ([(CONTENT_TYPE, "application/json")], data.countries.clone()).into_response();
    }
    let number = |name: &str| asked.get(name).and_then(|v| v.parse::<u64>().ok());
    let (offset, most) = (number("resultOffset").unwrap_or(0), number("resultRecordCount").unwrap_or(PAGE).min(PAGE));
    let (first, last) = (offset + 1, (offset + most).min(count));
    let made = || {
        let rows: Vec<Value> = (first..=last).map(data::point).collect();
        let page = json!({"objectIdFieldName": "OBJECTID", "globalIdFieldName": "GlobalID", "geometryType": "esriGeometryPoint",
            "spatialReference": {"wkid": 4326}, "fields": data::fields(), "features": rows, "exceededTransferLimit": last < count});
        Bytes::from(page.to_string())
    };
    let as_pbf = asked.get("f").is_some_and(|f| f == "pbf");
    let page_of = || if as_pbf { Bytes::from(pbf::page(first, last, last < count)) } else { made() };
    let key = (first, last, as_pbf);
    let page = data.pages.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_insert_with(page_of).clone();
    let kind = if as_pbf { "application/x-protobuf" } else { "application/json" };
    ([(CONTENT_TYPE, kind)], page).into_response()
}

async fn list(RawForm(form): RawForm) -> Response {
    let asked = parameters(&form);
    let ids = asked.get("objectIds").map(String::as_str).unwrap_or_default();
    let groups = ids.split(',').filter_map(|id| id.trim().parse::<u64>().ok()).map(|id| {
        let info = json!({"id": id, "globalId": format!("{{00000000-0000-4000-9000-{id:012X}}}"), "name": format!("{id}.jpg"),
            "contentType": "image/jpeg", "size": data::ATTACHMENT});
        json!({"parentObjectId": id, "attachmentInfos": [info]})
    });
    axum::Json(json!({"attachmentGroups": groups.collect::<Vec<_>>()})).into_response()
}

/// Starts the server.
pub(crate) async fn start(levels: u32, points: u64, attachments: u64, vertices: u64) -> Outcome<Server> {
    let data = Arc::new(Data {
        levels,
        points,
        attachments,
        countries: Bytes::from(data::countries(vertices)),
        asked: AtomicU64::new(0),
        capped: Mutex::default(),
        began: Instant::now(),
        pages: Mutex::default(),
    });
    let root = "/arcgis/rest/services/{service}";
    let app = Router::new()
        .route(&format!("{root}/MapServer"), any(move || async move { axum::Json(cache(levels)) }))
        .route(&format!("{root}/MapServer/tile/{{level}}/{{row}}/{{column}}"), get(tile))
        .route(
            &format!("{root}/FeatureServer"),
            any(|Path(name): Path<String>| async move { axum::Json(feature_service(&name)) }),
        )
        .route(&format!("{root}/FeatureServer/0"), any(|Path(name): Path<String>| async move { axum::Json(layer(&name)) }))
        .route(&format!("{root}/FeatureServer/0/query"), get(query).post(query))
        .route(&format!("{root}/FeatureServer/0/queryAttachments"), get(list).post(list))
        .route(
            &format!("{root}/FeatureServer/0/{{id}}/attachments/{{attachment}}"),
            get(|Path((_, _, id)): Path<(String, u64, u64)>| async move {
                ([(CONTENT_TYPE, "image/jpeg")], data::attachment(id))
            }),
        )
        .with_state(Arc::clone(&data));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://localhost:{}", listener.local_addr()?.port());
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(Server { url, data })
}
