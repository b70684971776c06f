//! Where the credentials of jobs come from.

use crate::auth::Credentials;
use async_trait::async_trait;
use offmap_model::{Failure, WebMap};
use std::fmt::Debug;

/// The host program's answer to "with whose credentials does this job run?". Credentials belong to a job: the same engine, exporters and
/// client serve many users at once.
///
/// - Nothing is stored: what it answers is in memory as long as the job runs, and in no file.
/// - It is asked each time a job begins to run: at its first try, at every automatic try after it, when it is resumed after it was
///   suspended, and after a restart of the process.
/// - `None` says that nobody has signed in for the job: the job waits, others go on. It is asked again when the host says so.
/// - Where a service refuses the credentials the job waits as well, and is not tried with them again by itself, also not after a restart of
///   the process: it goes on when the host says that it has others, or retries the job.
/// - An answer that does not come within a minute counts as `None`. Who stops the job or the engine does not wait for it: the call is dropped.
/// - Of one tenant it may be asked for many jobs at a time.
///
/// ```
/// use async_trait::async_trait;
/// use offmap_arcgis::{CredentialProvider, Credentials};
/// use offmap_model::Failure;
/// use std::collections::HashMap;
///
/// /// Tokens by tenant, as people signed in to the host.
/// #[derive(Default)]
/// struct SignedIn(HashMap<String, String>);
///
/// impl std::fmt::Debug for SignedIn {
///     fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
///         write!(f, "{} tenants", self.0.len())
///     }
/// }
///
/// #[async_trait]
/// impl CredentialProvider for SignedIn {
///     async fn credentials(&self, tenant: &str, _job: &str) -> Result<Option<Credentials>, Failure> {
///         let Some(token) = self.0.get(tenant) else { return Ok(None) };
///         Ok(Some(Credentials::token(token.clone()).for_portal("https://gis.city.example/portal")?))
///     }
/// }
/// ```
#[async_trait]
pub trait CredentialProvider: Debug + Send + Sync + 'static {
    /// The credentials of a job; `None` where there are none yet. [`Credentials::none`] says that the job needs none.
    ///
    /// # Errors
    /// If they cannot be looked up. The job waits as for `None`, and the failure is told.
    ///
    /// # Cancel safety
    /// May be dropped at any point.
    async fn credentials(&self, tenant: &str, job: &str) -> Result<Option<Credentials>, Failure>;

    /// The job's web map again, as its portal gives it, or as the order did. Only asked of a job that goes on after a restart, or is
    /// retried after its end, and whose map carries secrets of its own (`customParameters`, queries of urls), which are in no file either:
    /// they are taken out of it, and nothing else. `None` where it is not known; then the layers that need them fail and say so, and a retry
    /// asks again.
    ///
    /// # Errors
    /// If it cannot be read now. The job waits as for credentials, and the failure is told.
    ///
    /// # Cancel safety
    /// May be dropped at any point.
    async fn web_map(&self, tenant: &str, job: &str) -> Result<Option<WebMap>, Failure> {
        let _ = (tenant, job);
        Ok(None)
    }
}
