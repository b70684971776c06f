//! Data only: no async, no I/O. Everything a job, a plan or a result is made of.

pub mod area;
pub mod area_shape;
pub mod artifact;
pub mod bounded_json;
pub mod budget;
pub mod capability;
pub mod failure;
pub mod geometry;
pub mod item;
pub mod overrides;
pub mod parameters;
pub mod plan;
pub(crate) mod projection;
pub mod result;
pub mod service_url;
pub mod settings;
pub(crate) mod simplify;
pub mod source;
pub mod status;
mod union;
pub mod web_map;
mod well_known_text;
