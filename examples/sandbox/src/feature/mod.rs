//! Feature services: descriptions, queries, related records and attachments.

mod abilities;
mod area;
mod attachments;
mod description;
mod layer;
mod pbf;
mod query;
mod service;

pub(crate) use abilities::{Abilities, LimitWord};
pub(crate) use area::area_of;
pub(crate) use layer::{Layer, Relation};
pub(crate) use query::Queried;
pub(crate) use service::FeatureService;
