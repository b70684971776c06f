//! The grid on which a layer's coordinates lie: whole numbers in the file, units of the spatial reference outside.
//!
//! Source: mobile map package reference B.6.

use std::fmt;

/// Origin and scale of one axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GridAxis {
    /// The coordinate of grid line 0.
    pub origin: f64,
    /// Grid lines for each unit.
    pub scale: f64,
}

impl GridAxis {
    fn is_usable(&self) -> bool {
        self.origin.is_finite() && self.scale.is_finite() && self.scale > 0.0
    }

    /// The coordinate of a grid line.
    #[must_use]
    pub fn coordinate(&self, line: i64) -> f64 {
        // Grid lines have at most 53 bits: 2^53 of them is what an ArcGIS layer may have.
        line as f64 / self.scale + self.origin
    }

    /// The grid line next to a coordinate; a coordinate beyond the grid is on its last line.
    #[must_use]
    pub fn line(&self, coordinate: f64) -> i64 {
        // A cast from a float ends at the limits of the whole number.
        ((coordinate - self.origin) * self.scale).round() as i64
    }
}

/// Origins and scales of x and y, of heights, and of measures.
///
/// ```
/// use offmap_formats::geodatabase::{GridAxis, PrecisionGrid};
///
/// let grid = PrecisionGrid { x: GridAxis { origin: -20_037_700.0, scale: 10_000.0 }, ..PrecisionGrid::web_mercator() };
/// assert_eq!(grid.x.coordinate(68_621_644_124), -13_175_535.5876);
/// assert_eq!(grid.x.line(-13_175_535.5876), 68_621_644_124);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PrecisionGrid {
    /// x.
    pub x: GridAxis,
    /// y.
    pub y: GridAxis,
    /// Heights.
    pub z: GridAxis,
    /// Measures.
    pub m: GridAxis,
}

impl PrecisionGrid {
    /// The grid of Web Mercator in replicas of ArcGIS Online: tenths of millimetres.
    #[must_use]
    pub fn web_mercator() -> Self {
        let other = GridAxis { origin: -100_000.0, scale: 10_000.0 };
        let (x, y) =
            (GridAxis { origin: -20_037_700.0, scale: 10_000.0 }, GridAxis { origin: -30_241_100.0, scale: 10_000.0 });
        Self { x, y, z: other, m: other }
    }

    /// Whether its x and y can be used, and its heights and measures where they are wanted.
    pub(super) fn is_usable(&self, has_z: bool, has_m: bool) -> bool {
        let wanted = [(self.x, true), (self.y, true), (self.z, has_z), (self.m, has_m)];
        wanted.iter().all(|(axis, wanted)| !wanted || axis.is_usable())
    }
}

impl fmt::Display for PrecisionGrid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "origin {}, {} with {} lines for each unit", self.x.origin, self.y.origin, self.x.scale)
    }
}
