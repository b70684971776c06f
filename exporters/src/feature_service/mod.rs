//! What exporters of feature services share: what a service and its layers say of themselves, which rows are taken by default, and what the
//! service counts.

pub(crate) mod answer;
mod compatibility;
pub(crate) mod counts;
pub(crate) mod expected;
pub(crate) mod found;
pub(crate) mod layer_option;
pub(crate) mod network_facts;
pub(crate) mod row_filter;
pub(crate) mod service;
pub(crate) mod service_layer;
