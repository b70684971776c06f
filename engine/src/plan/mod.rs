//! Makes plans: what is exported, by which exporter, and what is not, and why.

mod assemble;
mod carried;
mod changed;
mod check;
mod counts;
mod group;
mod inputs;
mod networks;
mod offers;
mod planner;
mod service;
mod services;
mod sort;
mod warnings;

pub(crate) use carried::Carried;
pub(crate) use changed::changed_since;
pub(crate) use inputs::PlanInputs;
pub(crate) use offers::offers;
pub(crate) use planner::plan;
pub(crate) use warnings::shorten;
