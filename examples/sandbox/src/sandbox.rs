//! A running sandbox: starts and stops it, and lets tests and examples see and change what it does.

use crate::colleague::Colleague;
use crate::fault::Fault;
use crate::lock::lock;
use crate::options::SandboxOptions;
use crate::request::LoggedRequest;
use crate::state::State;
use crate::{server, tls};
use axum::Router;
use axum::serve::Listener;
use std::io;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;

/// A running sandbox; it stops when it is dropped.
pub struct Sandbox {
    state: Arc<State>,
    ca_certificate: Option<String>,
    stop: watch::Sender<bool>,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox").field("url", &self.url()).finish_non_exhaustive()
    }
}

fn serve<L>(listener: L, router: Router, mut stopped: watch::Receiver<bool>)
where
    L: Listener,
    L::Addr: std::fmt::Debug,
{
    tokio::spawn(async move {
        let stop = async move {
            // An error means that the sandbox was dropped.
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(stop).await {
            tracing::error!(%error, "the sandbox ended");
        }
    });
}

impl Sandbox {
    /// Starts on loopback, on the current Tokio runtime.
    ///
    /// # Errors
    /// If a port cannot be bound or the certificate cannot be made.
    pub async fn start(options: SandboxOptions) -> io::Result<Self> {
        let tls = if options.tls { Some(tls::config(options.certificate, options.wants_client_certificate)?) } else { None };
        let listener = TcpListener::bind(("127.0.0.1", options.port)).await?;
        let storage = TcpListener::bind(("127.0.0.1", 0)).await?;
        let twin = if options.export_twin { Some(TcpListener::bind(("127.0.0.1", 0)).await?) } else { None };
        let scheme = if tls.is_some() { "https" } else { "http" };
        let at = |l: &TcpListener| Ok::<_, io::Error>(format!("{scheme}://localhost:{}", l.local_addr()?.port()));
        let base = (at(&listener)?, at(&storage)?);
        let twin_base = twin.as_ref().map(at).transpose()?;
        let state = tokio::task::spawn_blocking(move || State::new(options)).await.map_err(io::Error::other)??;
        let state = Arc::new(state);
        // Set once, here.
        let _ = state.base.set(base);
        if let Some(twin) = twin_base {
            let _ = state.twin.set(twin);
        }
        let (stop, stopped) = watch::channel(false);
        let main = Router::new().fallback(server::handle).with_state(Arc::clone(&state));
        let other = Router::new().fallback(server::handle_storage).with_state(Arc::clone(&state));
        let ca_certificate = match tls {
            Some((config, pem)) => {
                if let Some(twin) = twin {
                    serve(tls::TlsListener::new(twin, Arc::clone(&config))?, main.clone(), stopped.clone());
                }
                serve(tls::TlsListener::new(listener, Arc::clone(&config))?, main, stopped.clone());
                serve(tls::TlsListener::new(storage, config)?, other, stopped);
                Some(pem)
            }
            None => {
                if let Some(twin) = twin {
                    serve(twin, main.clone(), stopped.clone());
                }
                serve(listener, main, stopped.clone());
                serve(storage, other, stopped);
                None
            }
        };
        Ok(Self { state, ca_certificate, stop })
    }

    /// `http://localhost:port`.
    #[must_use]
    pub fn url(&self) -> &str {
        self.state.base()
    }

    /// The same services on another host, which is federated with the portal: it accepts only tokens that the portal made for it.
    #[must_use]
    pub fn federated_url(&self) -> String {
        format!("{}://{}", self.url().split("://").next().unwrap_or("http"), self.state.federated())
    }

    /// The host and port of the other host, where presigned results are.
    #[must_use]
    pub fn storage_url(&self) -> &str {
        self.state.storage()
    }

    /// The host that exports tiles in place of this one, where [`SandboxOptions::export_twin`] is set.
    #[must_use]
    pub fn export_twin_url(&self) -> Option<&str> {
        self.state.twin()
    }

    /// How long it runs; requests are logged with the same clock.
    #[must_use]
    pub fn elapsed(&self) -> std::time::Duration {
        self.state.began.elapsed()
    }

    /// The portal.
    #[must_use]
    pub fn portal_url(&self) -> String {
        format!("{}/portal", self.url())
    }

    /// The url of a web map's JSON.
    #[must_use]
    pub fn web_map_url(&self, item: &str) -> String {
        format!("{}/sharing/rest/content/items/{item}/data", self.portal_url())
    }

    /// PEM of the private CA, or of a certificate that is self-signed, where it speaks https.
    #[must_use]
    pub fn ca_certificate(&self) -> Option<&str> {
        self.ca_certificate.as_deref()
    }

    /// A fresh token.
    #[must_use]
    pub fn token(&self) -> String {
        self.state.mint(None, None).0
    }

    /// Refresh tokens of people who signed in that are good and were not revoked.
    #[must_use]
    pub fn refresh_tokens(&self) -> Vec<String> {
        lock(&self.state.sign_ins).refresh_tokens()
    }

    /// Ends every sign-in, as an administrator does.
    pub fn end_sign_ins(&self) {
        lock(&self.state.sign_ins).end_all();
    }

    /// Every request so far.
    #[must_use]
    pub fn requests(&self) -> Vec<LoggedRequest> {
        lock(&self.state.log).clone()
    }

    /// How many requests it was asked so far.
    #[must_use]
    pub fn requests_so_far(&self) -> usize {
        lock(&self.state.log).len()
    }

    /// Adds a fault; the first that matches a request strikes.
    pub fn fault(&self, fault: Fault) {
        lock(&self.state.faults).push(fault);
    }

    /// Adds a fault that is asked before all others.
    pub fn fault_first(&self, fault: Fault) {
        lock(&self.state.faults).insert(0, fault);
    }

    /// Lets jobs that never end finish.
    pub fn unstick(&self) {
        lock(&self.state.jobs).values_mut().for_each(|job| job.fault = None);
    }

    /// Lets somebody edit the data meanwhile.
    pub fn colleague(&self, colleague: Colleague) {
        lock(&self.state.colleagues).push(colleague);
    }

    /// Keeps rows out of a layer, so that a colleague can add them later.
    pub fn withhold(&self, service: &str, layer: u32, ids: &[i64]) {
        if let Some(service) = self.state.service(service) {
            service.withhold(layer, ids);
        }
    }

    /// Removes all faults.
    pub fn heal(&self) {
        lock(&self.state.faults).clear();
    }

    /// Replicas that are registered on a feature service.
    #[must_use]
    pub fn replicas(&self, service: &str) -> usize {
        lock(&self.state.replicas).get(service).map_or(0, Vec::len)
    }

    /// Export jobs that were cancelled.
    #[must_use]
    pub fn cancelled_jobs(&self) -> usize {
        lock(&self.state.jobs).values().filter(|j| j.cancelled).count()
    }

    /// Stops serving.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }
}
