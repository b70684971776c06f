//! Shapes of features, in memory and as well-known binary.
//!
//! | what | where |
//! | --- | --- |
//! | a shape as flat lists of coordinates | [`Geometry`] |
//! | the grid on which a layer's coordinates lie | [`PrecisionGrid`] |
//! | which rings are holes of which | [`RingGroups`] |
//! | well-known binary (ISO 13249-3, OGC 06-103r4) | [`wkb`] |
//!
//! Axis order is always x, y: longitude before latitude in degrees. Units are those of the layer's spatial reference.

mod error;
mod kind;
mod model;
mod point_sides;
mod precision_grid;
mod rings;
pub mod wkb;

pub use error::{GeometryError, Shortage};
pub use kind::GeometryKind;
pub use model::Geometry;
pub use precision_grid::{GridAxis, PrecisionGrid};
pub use rings::{RingGroups, RingRef};
