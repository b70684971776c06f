//! A level and its scale.

/// A level of a cache.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LevelScale {
    /// Level id.
    pub level: u32,
    /// Denominator of its scale.
    pub scale: f64,
}
