//! Kinds of shapes.

use std::fmt;

/// Kinds of shapes, as ArcGIS layers have them. A line or polygon has any number of parts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum GeometryKind {
    /// One point.
    #[default]
    Point,
    /// Points.
    Multipoint,
    /// Lines.
    #[doc(alias = "polyline")]
    Line,
    /// Rings, of which some may be holes.
    Polygon,
}

impl fmt::Display for GeometryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Point => "point",
            Self::Multipoint => "multipoint",
            Self::Line => "line",
            Self::Polygon => "polygon",
        })
    }
}
