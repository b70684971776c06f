//! Feature services: descriptions, queries, related records and attachments.

mod area;
mod attachments;
mod description;
mod layer;
mod query;
mod service;

pub(crate) use area::area_of;
pub(crate) use layer::{Layer, Relation};
pub(crate) use service::FeatureService;
