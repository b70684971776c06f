//! When layers are downloaded directly, as the command line says it.

use clap::ValueEnum;
use offmap::DirectDownload;

/// When layers are downloaded directly (`directDownload` of the parameters).
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Direct {
    /// Only what services export.
    Never,
    /// Layers that cannot be exported.
    #[value(alias = "whenNotExportable")]
    WhenNotExportable,
    /// All layers that can be had so.
    Always,
}

impl From<Direct> for DirectDownload {
    fn from(when: Direct) -> Self {
        match when {
            Direct::Never => Self::Never,
            Direct::WhenNotExportable => Self::WhenNotExportable,
            Direct::Always => Self::Always,
        }
    }
}
