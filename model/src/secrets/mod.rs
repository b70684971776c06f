//! Texts that nobody may read, taken out of whatever is written or shown.

mod documents;
mod registry;

pub use registry::SecretRegistry;
