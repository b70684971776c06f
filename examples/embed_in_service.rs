//! offmap inside a web service: POST a job, follow its status, fetch the package.
//!
//! | request | answer |
//! | --- | --- |
//! | `POST /jobs` (form: `item`, `area`) | `{"id"}` |
//! | `GET /jobs/{id}/status` | server-sent events, one status message each, until the job's end |
//! | `GET /jobs/{id}/package` | the `.mmpk`, once the job has ended |
//!
//! Run without `--serve` it asks itself for one package and ends.
//!
//! ```text
//! cargo run --release --example embed_in_service [-- --serve 8080]
//! ```

use axum::body::Body;
use axum::extract::{Form, Path, State};
use axum::http::StatusCode;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::Parser;
use futures_util::{Stream, StreamExt};
use offmap::arcgis::portal;
use offmap::arcgis::{ArcGisClient, ClientOptions, Credentials, Download, ServiceCall};
use offmap::packager::{verify, write_mmpk};
use offmap::{AreaOfInterest, Engine, Failure, GenerateOfflineMapJob, OfflineMapTask, run_blocking};
use offmap_sandbox::{FIELD_MAP, Sandbox, SandboxOptions};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::convert::Infallible;
use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::io::ReaderStream;

#[derive(Debug, Parser)]
struct Arguments {
    /// Serve on this port until Ctrl-C.
    #[arg(long)]
    serve: Option<u16>,
}

/// What the handlers share. The engine is made once, at start.
struct Service {
    engine: Engine,
    client: ArcGisClient,
    portal: String,
    jobs: Mutex<HashMap<String, GenerateOfflineMapJob>>,
    packages: tempfile::TempDir,
}

/// A failure as an answer: the caller's are 400, the rest 502.
struct Refused(Failure);

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self(failure)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = match self.0.owner {
            offmap::FailureOwner::Caller => StatusCode::BAD_REQUEST,
            _ => StatusCode::BAD_GATEWAY,
        };
        (status, Json(json!({"failure": self.0}))).into_response()
    }
}

impl Service {
    fn job(&self, id: &str) -> Result<GenerateOfflineMapJob, Refused> {
        let jobs = self.jobs.lock().map_err(|_| Failure::internal("a handler panicked"))?;
        Ok(jobs.get(id).cloned().ok_or_else(|| Failure::invalid_parameter(format!("there is no job {id}")))?)
    }
}

#[derive(Deserialize)]
struct Wish {
    item: String,
    area: String,
}

async fn submit(State(service): State<Arc<Service>>, Form(wish): Form<Wish>) -> Result<Json<Value>, Refused> {
    let area = AreaOfInterest::from_numbers(&wish.area)?;
    let source = portal::read_item(&service.client, &service.portal, &wish.item).await?;
    let task = OfflineMapTask::new(&service.engine, source);
    let mut parameters = task.default_parameters(area)?;
    parameters.max_scale = 5_000_000.0;
    let name = format!("package-{}", service.jobs.lock().map_or(0, |j| j.len()));
    let job = task.generate_offline_map(parameters, Default::default(), service.packages.path().join(name));
    job.start();
    let id = job.id().to_owned();
    if let Ok(mut jobs) = service.jobs.lock() {
        jobs.insert(id.clone(), job);
    }
    Ok(Json(json!({"id": id})))
}

async fn status(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refused> {
    let messages = service.job(&id)?.status().into_stream();
    let events = messages.map(|m| Ok(Event::default().id(m.seq.to_string()).data(json!(m).to_string())));
    Ok(Sse::new(events))
}

async fn package(State(service): State<Arc<Service>>, Path(id): Path<String>) -> Result<Response, Refused> {
    let result = service.job(&id)?.result().await.map_err(|e| e.failure)?;
    let mmpk = result.package.with_extension("mmpk");
    let path = mmpk.clone();
    run_blocking(move || if path.exists() { Ok(0) } else { write_mmpk(&result.package, &path) }).await?;
    let file = tokio::fs::File::open(&mmpk).await;
    let file = file.map_err(|e| Failure::io(offmap::FailureStage::Package, "cannot open the archive", &e))?;
    Ok(Body::from_stream(ReaderStream::new(file)).into_response())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let sandbox = Sandbox::start(SandboxOptions::default()).await?;
    let options = ClientOptions { poll_interval: Duration::from_millis(100), ..ClientOptions::default() };
    let client = ArcGisClient::new(options, Credentials::none())?;
    let service = Arc::new(Service {
        engine: offmap::with_defaults(&client)?.start()?,
        client: client.clone(),
        portal: sandbox.portal_url(),
        jobs: Mutex::default(),
        packages: tempfile::tempdir()?,
    });
    let routes = Router::new()
        .route("/jobs", post(submit))
        .route("/jobs/{id}/status", get(status))
        .route("/jobs/{id}/package", get(package))
        .with_state(Arc::clone(&service));
    let listener = TcpListener::bind(("127.0.0.1", arguments.serve.unwrap_or(0))).await?;
    let url = format!("http://{}", listener.local_addr()?);
    println!("listening on {url}, maps from {}", sandbox.portal_url());
    let server = tokio::spawn(async move { axum::serve(listener, routes).await });
    if arguments.serve.is_some() {
        tokio::signal::ctrl_c().await?;
    } else {
        ask(&client, &url).await?;
    }
    server.abort();
    service.engine.shutdown().await?;
    Ok(())
}

/// What a client of the service does.
async fn ask(client: &ArcGisClient, url: &str) -> Result<(), Box<dyn Error>> {
    let call = ServiceCall::post(&format!("{url}/jobs"))?.with("item", FIELD_MAP).with("area", "2,43,20,52");
    let answer = client.json(&call).await?;
    let id = answer["id"].as_str().ok_or("no id")?;
    let story = client.bytes(&ServiceCall::get(&format!("{url}/jobs/{id}/status"))?, 1 << 20).await?.unwrap_or_default();
    let events: Vec<Value> =
        String::from_utf8(story)?.lines().filter_map(|l| serde_json::from_str(l.strip_prefix("data: ")?).ok()).collect();
    let last = events.last().ok_or("no status")?;
    println!("{} status messages, the last: {} {}", events.len(), last["subject"]["kind"], last["state"]);
    let dir = tempfile::tempdir()?;
    let to = dir.path().join("map.mmpk");
    let from = format!("{url}/jobs/{id}/package");
    let secrets = Default::default();
    let file = Download { url: &from, to: &to, presigned: true, limit: 1 << 30, secrets: &secrets };
    let got = client.download(file, |_, _| {}).await?;
    let verification = verify(&to)?;
    println!(
        "package of {} bytes, whole: {}, complete: {}",
        got.bytes,
        verification.ok,
        verification.complete == Some(true)
    );
    let refused = client.json(&ServiceCall::post(&format!("{url}/jobs"))?.with("item", FIELD_MAP).with("area", "9,9")).await;
    println!("a bad area: {}", refused.err().map_or_else(String::new, |f| f.to_string()));
    if verification.ok && last["state"] == "succeeded" { Ok(()) } else { Err("the package is not right".into()) }
}
