//! What the host program gives to a job.

use super::orchestrator::Orchestrator;
use crate::store::JobRecord;
use offmap_arcgis::Session;
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};

/// The host has no credentials for a job now.
fn no_credentials(tenant: &str) -> Failure {
    let shown: String = tenant.chars().take(80).flat_map(char::escape_default).collect();
    let message = format!("the host program has no credentials for the tenant `{shown}` now");
    Failure::new(FailureOwner::Credentials, FailureKind::Unauthorized, FailureStage::Run, message)
}

impl Orchestrator {
    /// Who asks the services for a job, where the host has a provider.
    ///
    /// # Errors
    /// If the host has no credentials for it now.
    pub(super) async fn session_of(&self, record: &JobRecord) -> Result<Option<Session>, Failure> {
        let Some(provider) = self.settings.provider.as_ref() else { return Ok(None) };
        let (tenant, id) = (&record.order.tenant, &record.order.id);
        match provider.credentials(tenant, id).await? {
            Some(credentials) => Ok(Some(Session::new(credentials))),
            None => Err(no_credentials(tenant)),
        }
    }
}
