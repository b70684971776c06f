//! `createReplica` and what belongs to it.

mod create;
mod file_url;
mod parameters;
mod registered;
mod select;
mod status;

pub(crate) use create::create;
pub(crate) use registered::{list, unregister};
pub(crate) use status::status;
