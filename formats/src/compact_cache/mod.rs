//! Compact Cache bundles: which tiles are in them. V2 is of `.tpkx` and `.vtpk`, V1 of `.tpk`.
//!
//! All integers are little-endian. Source: tile reference §12 and §15.

mod bundle_name;
mod record;
mod sink;
mod v1;
mod v2;

pub use bundle_name::bundle_origin;
pub use record::{LARGEST_TILE, PACKET_SIZE, TileRecord};
pub(crate) use sink::BundleSink;
pub use v1::read_v1;
pub(crate) use v2::V2Index;
pub use v2::{read_v2, v2_head};
