//! Who may ask the service, and as whom the portal is asked for them. A host has its own vault for this.

use crate::refused::Refused;
use async_trait::async_trait;
use axum::extract::{FromRef, FromRequestParts};
use axum::http::{StatusCode, request::Parts};
use axum::response::{IntoResponse as _, Response};
use offmap::arcgis::{CredentialProvider, Credentials};
use offmap::{Failure, FailureStage};
use serde::Deserialize;
use std::{collections::HashMap, path::PathBuf};

/// A file of tenants by their API keys, read whenever it is needed: who signs in later is in it later.
#[derive(Debug, Clone)]
pub(crate) struct Tenants {
    pub(crate) file: PathBuf,
    pub(crate) portal: String,
}

#[derive(Deserialize)]
struct Member {
    tenant: String,
    /// User of the portal and password; without them the tenant's jobs wait.
    user: Option<String>,
    password: Option<String>,
}

impl Tenants {
    fn read(&self) -> Result<HashMap<String, Member>, Failure> {
        let text = std::fs::read(&self.file).map_err(|e| Failure::io(FailureStage::Run, "cannot read the tenants", &e))?;
        serde_json::from_slice(&text).map_err(|_| Failure::internal("the file of tenants has not its form"))
    }

    pub(crate) fn credentials_of(&self, tenant: &str) -> Result<Option<Credentials>, Failure> {
        let member = self.read()?.into_values().find(|member| member.tenant == tenant);
        let user = member.and_then(|member| member.user.zip(member.password));
        user.map(|(user, password)| Credentials::user(&self.portal, &user, &password, &self.portal)).transpose()
    }
}

/// The engine asks when a job begins, also after a restart: it stores no credentials. Without them the job waits.
#[async_trait]
impl CredentialProvider for Tenants {
    async fn credentials(&self, tenant: &str, _job: &str) -> Result<Option<Credentials>, Failure> {
        self.credentials_of(tenant)
    }
}

/// The tenant of a request, by its key.
pub(crate) struct Tenant(pub(crate) String);

impl<S: Sync> FromRequestParts<S> for Tenant
where
    Tenants: FromRef<S>,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let mut known = Tenants::from_ref(state).read().map_err(|failure| Refused(failure).into_response())?;
        let key = parts.headers.get("x-api-key").and_then(|key| key.to_str().ok()).unwrap_or_default();
        known.remove(key).map(|member| Self(member.tenant)).ok_or_else(|| StatusCode::UNAUTHORIZED.into_response())
    }
}
