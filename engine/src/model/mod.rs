//! Data only: no async, no I/O. Everything a job, a plan or a result is made of.

pub mod area;
mod area_json;
pub mod area_shape;
pub mod artifact;
pub mod bounded_json;
pub mod budget;
pub mod capability;
pub mod failure;
pub mod geometry;
pub mod item;
pub mod note;
pub mod overrides;
pub mod parameters;
mod parameters_json;
pub mod plan;
pub(crate) mod projection;
pub mod result;
pub mod secrets;
pub mod service_url;
pub mod settings;
pub(crate) mod simplify;
pub mod source;
pub mod status;
pub mod text;
pub mod utility_network;
pub mod web_map;
pub(crate) mod withheld;
