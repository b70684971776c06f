//! Who is signed in at a portal.

use crate::body;
use crate::call::ServiceCall;
use crate::client::ArcGisClient;
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use serde::Serialize;
use serde_json::Value;

/// A user as the portal knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct PortalUser {
    /// The name to sign in with.
    pub username: String,
    /// The person's name.
    pub full_name: Option<String>,
    /// The role in the organisation, such as `org_user`.
    pub role: Option<String>,
}

/// Asks a portal, by its root, whose the client's token is (`community/self`).
///
/// # Errors
/// If the portal cannot be reached, or wants another token.
pub async fn read_portal_user(client: &ArcGisClient, portal: &str) -> Result<PortalUser, Failure> {
    let call = ServiceCall::get(&format!("{portal}/sharing/rest/community/self"))?.in_stage(FailureStage::Read);
    let mut answer = client.json(&call).await?;
    client.secrets().scrub_json(&mut answer);
    let text = |key: &str| answer.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(body::cut);
    let username = text("username").ok_or_else(|| {
        let message = format!("{portal} does not say who is signed in");
        Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, FailureStage::Read, message)
            .with_url(call.url.as_str())
    })?;
    Ok(PortalUser { username, full_name: text("fullName"), role: text("role") })
}
