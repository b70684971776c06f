//! What an exporter may ask of the engine while a plan is made.

use async_trait::async_trait;
use offmap_arcgis::{ArcGisClient, Session};
use offmap_model::{Clock, SecretRegistry, TaskControl};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What the engine lends an exporter while a plan is made.
#[derive(Debug, Clone)]
pub struct PlanContext {
    /// Fires when nobody wants the plan any more.
    pub cancel: CancellationToken,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// What is taken out of the plan.
    pub secrets: SecretRegistry,
    /// Who asks, where the job has credentials of its own.
    pub session: Option<Session>,
}

impl PlanContext {
    /// What a plan is made with; the secrets of the session are taken out of it, too.
    pub(crate) fn new(
        cancel: CancellationToken,
        clock: Arc<dyn Clock>,
        secrets: SecretRegistry,
        session: Option<Session>,
    ) -> Self {
        if let Some(session) = &session {
            secrets.include(session.secrets());
        }
        Self { cancel, clock, secrets, session }
    }

    /// The exporter's client at work for this plan: with the job's session, where it has one, else with its own, and on the job's
    /// clock. Nothing is to be asked by any other client: the exporter's own knows nothing of whom it works for.
    #[must_use]
    pub fn client(&self, client: &ArcGisClient) -> ArcGisClient {
        of_session(client, self.session.as_ref()).for_task(self.clone())
    }
}

/// A client for a session, where there is one.
pub(crate) fn of_session(client: &ArcGisClient, session: Option<&Session>) -> ArcGisClient {
    session.map_or_else(|| client.clone(), |session| client.for_session(session))
}

#[async_trait]
impl TaskControl for PlanContext {
    fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    fn cancel_token(&self) -> &CancellationToken {
        &self.cancel
    }

    async fn sleep(&self, time: Duration) {
        self.clock.sleep(time).await;
    }

    /// A plan waits for no job of a server.
    fn waiting(&self, _: f64) {}

    /// A plan has no messages; the log of the program has them.
    fn log(&self, message: String) {
        tracing::info!("{}", self.secrets.scrub(&message));
    }

    fn server_message(&self, message: String) {
        self.log(message);
    }
}
