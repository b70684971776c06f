//! What could not be drawn as the author drew it.

use std::fmt;

/// Something of a layer that the open folder shows more simply than ArcGIS does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approximation {
    /// The layer's title.
    pub layer: String,
    /// What the author used.
    pub what: String,
    /// What is shown instead.
    pub shown_as: String,
}

impl fmt::Display for Approximation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} is shown as {}", self.layer, self.what, self.shown_as)
    }
}

/// Collects the approximations of one layer, each once.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    layer: &'a str,
    list: &'a mut Vec<Approximation>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(layer: &'a str, list: &'a mut Vec<Approximation>) -> Self {
        Self { layer, list }
    }

    pub(crate) fn approximate(&mut self, what: impl Into<String>, shown_as: impl Into<String>) {
        let found = Approximation { layer: self.layer.to_owned(), what: what.into(), shown_as: shown_as.into() };
        if !self.list.contains(&found) {
            self.list.push(found);
        }
    }
}
