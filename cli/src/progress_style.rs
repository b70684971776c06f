//! How progress is shown, by the word of the command line.

use clap::ValueEnum;
use serde::Deserialize;

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ProgressStyle {
    /// Bars on a terminal, lines elsewhere.
    Auto,
    /// A bar for each layer, on stderr.
    Bar,
    /// Lines on stderr.
    Plain,
    /// One JSON object a line on stdout.
    Json,
    /// Nothing.
    Off,
}
