//! JSON from others, read leniently in form and strictly within limits.
//!
//! | what | where |
//! | --- | --- |
//! | what is not strict JSON and is read all the same, and where a text is no JSON at all | [`strict`], [`NotJson`] |
//! | an answer or map within a number of bytes and values | [`JsonBudget`] |
//! | a document of a package within an amount of memory | [`read`], [`memory_of`] |
//!
//! Budgets and memory are two limits on one count: the values of a text, by the memory that they need.

mod budget;
mod document;
mod lenient;
mod values;

pub use budget::{JsonBudget, Unread, json_bytes};
pub use document::{memory_of, read};
pub use lenient::{NotJson, strict};
