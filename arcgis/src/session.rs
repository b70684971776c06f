//! Sessions: one sign-in for all tasks of a job.

use crate::auth::{Credentials, TokenKeeper};
use crate::transport::SessionFacts;
use offmap_model::SecretRegistry;
use std::fmt;
use std::sync::Arc;

/// Credentials at work: the tokens that were got with them, the secrets that are known because of them, and where they were led to. A
/// job has one, so that all its tasks share one sign-in, and none with other jobs. Cheap to clone; all clones are one session. It is
/// in memory only: it has no serialised form, and its `Debug` shows no token.
///
/// Requests are made by a client for it: [`ArcGisClient::for_session`](crate::ArcGisClient::for_session).
///
/// ```
/// use offmap_arcgis::{Credentials, Session};
///
/// let session = Session::new(Credentials::token("the user's token").for_url("https://gis.city.example")?);
/// assert_eq!(session.secrets().scrub("refused: the user's token"), "refused: …");
/// assert!(session.is_same(&session.clone()));
/// # Ok::<(), offmap_model::Failure>(())
/// ```
#[derive(Clone)]
pub struct Session {
    keeper: Arc<TokenKeeper>,
    facts: SessionFacts,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("keeper", &self.keeper).finish_non_exhaustive()
    }
}

impl Session {
    /// A session that has signed in nowhere yet: the first request that needs a token asks for one.
    #[must_use]
    pub fn new(credentials: Credentials) -> Self {
        let facts = SessionFacts::new(credentials.known_secrets());
        Self { keeper: Arc::new(TokenKeeper::new(credentials)), facts }
    }

    /// The secrets of the session: passwords, client secrets, and every token that it was given or got.
    #[must_use]
    pub fn secrets(&self) -> &SecretRegistry {
        self.facts.secrets()
    }

    /// Whether both are one session.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.keeper, &other.keeper)
    }

    pub(crate) fn keeper(&self) -> &TokenKeeper {
        &self.keeper
    }

    /// What its requests share.
    pub(crate) fn facts(&self) -> &SessionFacts {
        &self.facts
    }
}
