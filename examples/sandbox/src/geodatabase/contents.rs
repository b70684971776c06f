//! What a replica is made from.

use crate::data::{Attachment, Row};
use crate::feature::Layer;
use serde_json::Value;

/// One layer of a replica with the rows that were selected.
pub(crate) struct ReplicaLayer<'a> {
    pub(crate) layer: &'a Layer,
    pub(crate) rows: Vec<&'a Row>,
    pub(crate) description: Value,
    pub(crate) attachments: Option<Vec<&'a Attachment>>,
    pub(crate) query_option: String,
    pub(crate) filter: String,
}

/// What the replica's own records state.
pub(crate) struct ReplicaInfo<'a> {
    pub(crate) name: &'a str,
    /// `None` for `syncModel=none`.
    pub(crate) id: Option<&'a str>,
    pub(crate) service_url: &'a str,
    pub(crate) service: Value,
    pub(crate) is_download_only: bool,
    /// Whether GUIDs of rows are written in lower case without braces.
    pub(crate) bare_guids: bool,
}
