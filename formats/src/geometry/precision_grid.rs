//! The grid on which a layer's coordinates lie: whole numbers in the file, units of the spatial reference outside.
//!
//! Source: mobile map package reference B.6.

use std::fmt;

/// Furthest origin, in lines of the grid.
const FURTHEST: f64 = (1_u64 << 62) as f64;

/// Origin and scale of one axis.
///
/// Coordinates are found without loss where a double can hold them: the origin is counted in lines, and added to the line before both
/// are divided. On the finest grids of ArcGIS a line is less than the rounding of the plain formula.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GridAxis {
    origin: f64,
    scale: f64,
    /// The origin in whole lines, and what is left of it in lines.
    shift: i64,
    rest: f64,
}

impl GridAxis {
    /// The axis whose line 0 is at the coordinate `origin`, with `scale` lines for each unit.
    #[must_use]
    pub fn new(origin: f64, scale: f64) -> Self {
        let lines = (origin * scale).round();
        let rest = origin.mul_add(scale, -lines);
        // A cast from a float ends at the limits of the whole number; such an axis is not usable.
        Self { origin, scale, shift: lines as i64, rest }
    }

    pub(crate) fn is_usable(&self) -> bool {
        self.origin.is_finite() && self.scale.is_finite() && self.scale > 0.0 && (self.origin * self.scale).abs() < FURTHEST
    }

    /// The coordinate of its line 0.
    #[must_use]
    pub fn origin(&self) -> f64 {
        self.origin
    }

    /// Lines for each unit.
    #[must_use]
    pub fn scale(&self) -> f64 {
        self.scale
    }

    /// The coordinate of a grid line.
    #[inline]
    #[must_use]
    pub fn coordinate(&self, line: i64) -> f64 {
        // Grid lines have at most 53 bits: 2^53 of them is what an ArcGIS layer may have.
        (line.saturating_add(self.shift) as f64 + self.rest) / self.scale
    }

    /// The grid line next to a coordinate; a coordinate beyond the grid is on its last line.
    #[must_use]
    pub fn line(&self, coordinate: f64) -> i64 {
        // A cast from a float ends at the limits of the whole number.
        ((coordinate * self.scale - self.rest).round() as i64).saturating_sub(self.shift)
    }
}

/// Origins and scales of x and y, of heights, and of measures.
///
/// ```
/// use offmap_formats::geometry::{GridAxis, PrecisionGrid};
///
/// let grid = PrecisionGrid { x: GridAxis::new(-20_037_700.0, 10_000.0), ..PrecisionGrid::web_mercator() };
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
        let other = GridAxis::new(-100_000.0, 10_000.0);
        let (x, y) = (GridAxis::new(-20_037_700.0, 10_000.0), GridAxis::new(-30_241_100.0, 10_000.0));
        Self { x, y, z: other, m: other }
    }

    /// Whether its x and y can be used, and its heights and measures where they are wanted.
    pub(crate) fn is_usable(&self, has_z: bool, has_m: bool) -> bool {
        let wanted = [(self.x, true), (self.y, true), (self.z, has_z), (self.m, has_m)];
        wanted.iter().all(|(axis, wanted)| !wanted || axis.is_usable())
    }
}

impl fmt::Display for PrecisionGrid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "origin {}, {} with {} lines for each unit", self.x.origin, self.y.origin, self.x.scale)
    }
}
