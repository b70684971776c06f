//! The process around the service: what it was started with, and its end.

use crate::play;
use crate::tenants::Tenants;
use axum::Router;
use clap::Parser;
use offmap::Failure;
use offmap::arcgis::parse_http;
use std::{error::Error, path::PathBuf};
use tokio_util::sync::CancellationToken;

#[derive(Parser)]
struct Arguments {
    /// Port to serve on; 0 for any free one.
    #[arg(long, requires_all = ["data", "tenants", "portal"])]
    serve: Option<u16>,
    /// Directory of orders and packages; the next start takes up what is in it.
    #[arg(long)]
    data: Option<PathBuf>,
    /// `{"api key": {"tenant": "forestry", "user": "surveyor", "password": "…"}}`.
    #[arg(long)]
    tenants: Option<PathBuf>,
    /// Portal of the maps.
    #[arg(long)]
    portal: Option<String>,
    /// Host that maps may name beside the portal's: `host`, `host:port`, `host:*` or `*.suffix`.
    #[arg(long)]
    allow_host: Vec<String>,
    /// Jobs at the most that have not ended; one more is refused.
    #[arg(long, default_value_t = 1000)]
    most_jobs: usize,
}

/// What the service was started with.
pub(crate) struct Host {
    pub(crate) data: PathBuf,
    pub(crate) tenants: Tenants,
    pub(crate) hosts: Vec<String>,
    pub(crate) most_jobs: usize,
    /// The port to serve on; `None` to play one order through.
    port: Option<u16>,
    /// A portal of its own, to be played with.
    _stage: Option<play::Stage>,
}

impl Host {
    pub(crate) async fn begin() -> Result<Self, Box<dyn Error>> {
        let Arguments { serve: port, data, tenants, portal, allow_host: mut hosts, most_jobs } = Arguments::parse();
        let (data, file, portal, stage) = match (data, tenants, portal) {
            (Some(data), Some(tenants), Some(portal)) => (data, tenants, portal, None),
            _ => {
                let stage = play::Stage::begin().await?;
                hosts.push("localhost:*".to_owned());
                (stage.data(), stage.tenants(), stage.portal(), Some(stage))
            }
        };
        let url = parse_http(&portal)?;
        let name = url.host_str().unwrap_or_default();
        hosts.push(url.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}")));
        Ok(Self { data, tenants: Tenants { file, portal }, hosts, most_jobs, port, _stage: stage })
    }

    /// Serves until it is told to end, then ends the engine, and the connections that are left.
    pub(crate) async fn serve(
        self,
        routes: Router,
        end: impl Future<Output = Result<(), Failure>>,
    ) -> Result<(), Box<dyn Error>> {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", self.port.unwrap_or(0))).await?;
        let (at, stop) = (listener.local_addr()?, CancellationToken::new());
        println!("listening on http://{at}");
        let serving = axum::serve(listener, routes).with_graceful_shutdown(stop.clone().cancelled_owned());
        let serving = tokio::spawn(serving.into_future());
        let played = match self.port {
            Some(_) => {
                told_to_end().await;
                Ok(())
            }
            None => play::order_one(at).await,
        };
        end.await?;
        stop.cancel();
        serving.await??;
        played
    }
}

/// Waits for Ctrl-C, or the SIGTERM of who runs services.
async fn told_to_end() {
    #[cfg(unix)]
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminated = std::future::pending::<()>();
    tokio::select! { _ = tokio::signal::ctrl_c() => {}, () = terminated => {} }
}
