//! How large an area may be.

/// Most vertices of an area; more are refused.
pub const MOST_VERTICES: usize = 250_000;

/// Longest text of a geometry in a request, in characters (tile reference §10).
pub const LONGEST_GEOMETRY: usize = 100_000;

/// What to do with an area of more vertices.
pub(super) const SIMPLIFY: &str = "simplify it, or give the envelope around it";
