//! What the host program gives to a job.

use super::orchestrator::Orchestrator;
use crate::store::JobRecord;
use offmap_arcgis::Session;
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage, WebMap};
use std::time::Duration;

/// How long a provider may take until its answer counts as none. It is the host's code, which may wait for ever: it is not asked by the
/// engine's clock, as little as an exporter that does not end.
const LONGEST_ANSWER: Duration = Duration::from_mins(1);

/// How long a job that waits for an answer keeps its turn.
const TURN_KEPT: Duration = Duration::from_secs(1);

fn shown(tenant: &str) -> String {
    tenant.chars().take(80).flat_map(char::escape_default).collect()
}

/// The host has no credentials for a job now.
fn no_credentials(tenant: &str, words: &str) -> Failure {
    let message = format!("the host program {words} for the tenant `{}` now", shown(tenant));
    Failure::new(FailureOwner::Credentials, FailureKind::Unauthorized, FailureStage::Run, message)
}

impl Orchestrator {
    /// Who asks the services for a job: who its handle said, else who the host's provider says.
    ///
    /// # Errors
    /// If the host has no credentials for it now, or does not answer. A job that had a session of its own is nobody else's.
    pub(super) async fn session_of(&self, record: &JobRecord, own: Option<&Session>) -> Result<Option<Session>, Failure> {
        let (tenant, id) = (&record.order.tenant, &record.order.id);
        let provider = match (own, self.settings.provider.as_ref()) {
            (Some(own), _) => return Ok(Some(own.clone())),
            (None, Some(provider)) => provider,
            (None, None) if record.order.wishes.has_session => {
                return Err(no_credentials(
                    tenant,
                    "does not know the session of the job, and has no provider of credentials",
                ));
            }
            (None, None) => return Ok(None),
        };
        match self.answered(tenant, provider.credentials(tenant, id)).await? {
            Some(credentials) => Ok(Some(Session::new(credentials))),
            None => Err(no_credentials(tenant, "has no credentials")),
        }
    }

    /// The map of a job with its secrets, where the host has a provider that knows it.
    ///
    /// # Errors
    /// If the host cannot read it now, or does not answer.
    pub(super) async fn map_of(&self, record: &JobRecord) -> Result<Option<WebMap>, Failure> {
        let Some(provider) = self.settings.provider.as_ref() else { return Ok(None) };
        let (tenant, id) = (&record.order.tenant, &record.order.id);
        self.answered(tenant, provider.web_map(tenant, id)).await
    }

    /// The answer of the provider, unless it takes too long or the engine ends.
    async fn answered<T>(&self, tenant: &str, asks: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        tokio::select! {
            biased;
            answer = asks => answer,
            () = self.resources.root.cancelled() => Err(no_credentials(tenant, "was not waited for, since the engine ends,")),
            () = tokio::time::sleep(LONGEST_ANSWER) => Err(no_credentials(tenant, "does not answer")),
        }
    }

    /// An answer of the host; a job that waits for it for long gives its turn away, and says what it waits for.
    async fn answered_in_turn<T>(&self, id: &str, asks: impl Future<Output = T>) -> T {
        tokio::pin!(asks);
        tokio::select! {
            biased;
            answer = &mut asks => return answer,
            () = tokio::time::sleep(TURN_KEPT) => {}
        }
        let begun = {
            let mut table = self.lock();
            table.waits_for_host(id, self.now());
            self.begin_save(&mut table, id, None, Vec::new())
        };
        // This wakes who gives the turn to the next one.
        self.announce(id);
        let answer = asks.await;
        if let Err(failure) = self.await_write(begun).await {
            tracing::error!(job = id, %failure, "the state of a job cannot be stored");
        }
        answer
    }

    /// The same of a living job, unless it is told to stop.
    pub(super) async fn unless_stopped<T>(
        &self,
        record: &JobRecord,
        asks: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let order = &record.order;
        tokio::select! {
            biased;
            answer = self.answered_in_turn(&order.id, asks) => answer,
            () = self.until(&order.id, |entry| entry.is_none_or(|e| e.record.stop.is_some())) => {
                Err(no_credentials(&order.tenant, "was not waited for, since the job ends,"))
            }
        }
    }
}
