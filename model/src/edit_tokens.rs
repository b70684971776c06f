//! By which state of its service a layer was exported.

use serde::{Deserialize, Serialize};

/// What a later synchronisation, or a run that fetches only what changed, needs of a layer. In JSON its keys stand beside those of
/// the struct that it is part of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EditTokens {
    /// Id of the replica that the service registered, without braces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica_id: Option<String>,
    /// Generation of the layer's rows on the service: what is newer is not in the replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_gen: Option<i64>,
    /// When its own data were last edited, in milliseconds since 1970 UTC.
    #[serde(rename = "layerEditDate", default, skip_serializing_if = "Option::is_none")]
    pub edit_date: Option<i64>,
    /// `ETag` of the file that was downloaded, where its server sent one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
}
