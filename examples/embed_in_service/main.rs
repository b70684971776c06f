//! offmap inside a web service: tenants order packages, follow, steer and fetch them. Orders outlive the process, `kill -9` included.
//!
//! | request, with the tenant's key in `X-Api-Key` | answer |
//! | --- | --- |
//! | `POST /jobs` `{"item" or "webMap", "area", "maxScale", "priority", "labels", "uniqueKey"}` | the job |
//! | `GET /jobs?state=&after=&most=` | the tenant's jobs, the latest first, and `next` to ask the next page with |
//! | `GET /jobs/{id}` | the job: state, place in the queue, progress, layers, failure |
//! | `GET /jobs/{id}/events` | server-sent events to the job's end; `Last-Event-ID` goes on without a gap, also after a restart |
//! | `POST /jobs/{id}/{verb}` | pause, resume, cancel, suspend, discard or retry |
//! | `GET /jobs/{id}/package` | the `.mmpk` |
//!
//! ```text
//! cargo run --release --example embed_in_service    # starts a sandbox, orders one package, and ends
//! cargo run --release --example embed_in_service -- --serve 8080 --data data --tenants tenants.json \
//!     --portal https://gis.city.example/portal --allow-host tiles.city.example
//! ```

mod host;
mod play;
mod refused;
mod tenants;

use axum::extract::{FromRef, FromRequestParts, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, request::Parts};
use axum::response::{IntoResponse, Response, Sse, sse::Event, sse::KeepAlive};
use axum::{Json, RequestPartsExt as _, Router, body::Body, routing};
use futures_util::{Stream, StreamExt as _};
use host::Host;
use offmap::arcgis::portal::{self, MapPlace, ReadLimits};
use offmap::arcgis::{ArcGisClient, ClientOptions, Credentials, HostPolicy};
use offmap::{AreaOfInterest, Engine, Failure, FailureKind, FailureOwner, FailureStage, Job, JobFilter, JobPage};
use offmap::{JobSnapshot, JobState, OfflineMapSource, OfflineMapTask, Order, RetryPolicy, WebMap, packager, run_blocking};
use refused::Refused;
use serde::Deserialize;
use serde_json::Value;
use std::{collections::BTreeMap, error::Error, sync::Arc, time::Duration};
use tenants::{Tenant, Tenants};
use tokio_util::io::ReaderStream;

/// What the handlers share. The engine is made once, at start.
struct Service {
    engine: Engine,
    client: ArcGisClient,
    tenants: Tenants,
}

type Answer<T> = Result<T, Refused>;

impl FromRef<Arc<Service>> for Tenants {
    fn from_ref(service: &Arc<Service>) -> Self {
        service.tenants.clone()
    }
}

fn conflict(kind: FailureKind, message: impl Into<String>) -> Refused {
    Refused(Failure::new(FailureOwner::Caller, kind, FailureStage::Run, message))
}

/// The job that a request names. That of another tenant is as good as none.
struct Own(Job, JobSnapshot);

impl FromRequestParts<Arc<Service>> for Own {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, service: &Arc<Service>) -> Result<Self, Response> {
        let Tenant(tenant) = parts.extract_with_state(service).await?;
        let Path(path): Path<BTreeMap<String, String>> = parts.extract().await.map_err(IntoResponse::into_response)?;
        let look = async {
            let job = service.engine.job(path.get("id").map_or("", String::as_str)).await?;
            let snapshot = job.snapshot().await?;
            let is_own = snapshot.tenant == tenant;
            if is_own { Ok(Self(job, snapshot)) } else { Err(conflict(FailureKind::NotFound, "there is no such job")) }
        };
        look.await.map_err(IntoResponse::into_response)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Wish {
    item: Option<String>,
    web_map: Option<Value>,
    area: String,
    max_scale: Option<f64>,
    #[serde(default)]
    priority: i32,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    unique_key: Option<String>,
}

async fn submit(State(s): State<Arc<Service>>, Tenant(tenant): Tenant, Json(wish): Json<Wish>) -> Answer<Response> {
    // What can be refused without asking anybody is refused first.
    let area = AreaOfInterest::from_numbers(&wish.area)?;
    let source = match (wish.web_map, wish.item) {
        (Some(map), None) => OfflineMapSource::from_web_map(WebMap::from_value(map)?),
        (None, Some(item)) => {
            let client = s.client.with_credentials(s.tenants.credentials_of(&tenant)?.unwrap_or_else(Credentials::none));
            let place = MapPlace::Item { portal: &s.tenants.portal, id: &item };
            // A portal that asks for patience is waited for by jobs, not by requests.
            let limits = ReadLimits { time: Some(Duration::from_secs(30)), ..ReadLimits::default() };
            portal::read(&client, place, &limits).await?
        }
        _ => return Err(Failure::invalid_parameter("expected one of `item` and `webMap`").into()),
    };
    let task = OfflineMapTask::new(&s.engine, source);
    let mut parameters = task.default_parameters(area)?;
    parameters.max_scale = wish.max_scale.unwrap_or(parameters.max_scale);
    let mut order = Order::new(task.source().clone(), parameters).tenant(tenant).priority(wish.priority);
    (order.labels, order.unique_key) = (wish.labels, wish.unique_key);
    order.retry = RetryPolicy { attempts: 3, ..RetryPolicy::default() };
    let job = s.engine.submit(order).await?;
    Ok((StatusCode::ACCEPTED, Json(job.snapshot().await?)).into_response())
}

#[derive(Deserialize)]
struct Page {
    state: Option<JobState>,
    after: Option<u64>,
    most: Option<u32>,
}

async fn list(State(s): State<Arc<Service>>, Tenant(tenant): Tenant, Query(page): Query<Page>) -> Answer<Json<JobPage>> {
    let filter = JobFilter { tenant: Some(tenant), states: page.state.into_iter().collect(), ..JobFilter::default() };
    Ok(Json(s.engine.jobs(&filter, page.after, page.most.unwrap_or(50)).await?))
}

async fn show(Own(_, snapshot): Own) -> Json<JobSnapshot> {
    Json(snapshot)
}

async fn events(Own(job, _): Own, headers: HeaderMap) -> Answer<Sse<impl Stream<Item = Result<Event, axum::Error>>>> {
    let last = headers.get("last-event-id").and_then(|last| last.to_str().ok()?.parse().ok());
    let messages = job.events(last.unwrap_or(0)).await?.into_stream();
    let event = messages.map(|message| {
        let message = message.map_err(axum::Error::new)?;
        Event::default().id(message.seq.to_string()).json_data(message)
    });
    Ok(Sse::new(event).keep_alive(KeepAlive::default()))
}

async fn tell(Own(job, _): Own, Path((_, verb)): Path<(String, String)>) -> Answer<Json<JobSnapshot>> {
    match verb.as_str() {
        "pause" => job.pause().await?,
        "resume" => job.resume().await?,
        "cancel" => job.cancel().await?,
        "suspend" => job.suspend().await?,
        "discard" => job.discard().await?,
        "retry" => job.retry().await?,
        _ => return Err(Failure::invalid_parameter("the verb is not known").into()),
    }
    Ok(Json(job.snapshot().await?))
}

async fn package(Own(job, snapshot): Own) -> Answer<Body> {
    if !snapshot.state.is_terminal() {
        return Err(conflict(FailureKind::NotSupported, format!("the job is {}: wait for its end", snapshot.state.name())));
    }
    let package = job.result().await.map_err(|error| error.failure)?.package;
    let io = |e| Failure::io(FailureStage::Package, "cannot zip the package", &e);
    // Zipped for this answer only; a host whose packages are fetched often keeps the archive.
    let zip = move || {
        let dir = tempfile::tempdir_in(package.parent().unwrap_or(&package)).map_err(io)?;
        let archive = dir.path().join("map.mmpk");
        packager::write_mmpk(&package, &archive)?;
        std::fs::File::open(archive).map_err(io)
    };
    Ok(Body::from_stream(ReaderStream::new(tokio::fs::File::from_std(run_blocking(zip).await?))))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let host = Host::begin().await?;
    // No host but these is asked, whatever a map says.
    let options = ClientOptions { hosts: HostPolicy::allow_hosts(&host.hosts)?, ..ClientOptions::default() };
    let (client, tenants) = (ArcGisClient::new(options, Credentials::none())?, host.tenants.clone());
    let engine = offmap::with_defaults(&client)?.data_dir(&host.data).credential_provider(tenants.clone());
    let engine = engine.concurrent_jobs_per_tenant(2).max_queued_jobs(host.most_jobs).start()?;
    let routes = Router::new()
        .route("/jobs", routing::get(list).post(submit))
        .route("/jobs/{id}", routing::get(show))
        .route("/jobs/{id}/events", routing::get(events))
        .route("/jobs/{id}/package", routing::get(package))
        .route("/jobs/{id}/{verb}", routing::post(tell))
        .with_state(Arc::new(Service { engine: engine.clone(), client, tenants }));
    // Jobs that run keep what they have, and streams of events end: the next start goes on with both.
    host.serve(routes, async move { engine.shutdown().await }).await
}
