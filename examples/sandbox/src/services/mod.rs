//! The feature services that the sandbox has, with their layers.

mod all;
mod assets;
pub(crate) mod awkward;
mod capabilities;
mod fieldwork;
mod open_data;
mod surveys;

pub(crate) use all::all;
