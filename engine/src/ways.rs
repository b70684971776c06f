//! The ways by which a layer may go offline, beside what its service exports.

use offmap_model::DirectDownload;

/// How an exporter gets its layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// As the service offers it.
    Export,
    /// Piece by piece, past what the service offers.
    Direct,
    /// As pictures that the service draws.
    Draw,
}

impl Way {
    pub(crate) fn of(downloads_directly: bool, draws: bool) -> Self {
        match (draws, downloads_directly) {
            (true, _) => Self::Draw,
            (false, true) => Self::Direct,
            (false, false) => Self::Export,
        }
    }
}

/// What a caller allows for a layer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ways {
    pub(crate) direct: DirectDownload,
    pub(crate) draws: bool,
}

impl Ways {
    /// The ways, best first. A drawing is the last: it is a picture of what the others bring as it is.
    pub(crate) fn ranked(self) -> impl Iterator<Item = Way> {
        let ranks: &[Way] = match self.direct {
            DirectDownload::Never => &[Way::Export],
            DirectDownload::WhenNotExportable => &[Way::Export, Way::Direct],
            DirectDownload::Always => &[Way::Direct, Way::Export],
        };
        ranks.iter().copied().chain(self.draws.then_some(Way::Draw))
    }
}
