//! The three kinds of tile packages.

use std::fmt;

/// A kind of tile package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TilePackageKind {
    /// `.tpk`: raster tiles in bundles of version 1, described by `conf.xml`.
    Tpk,
    /// `.tpkx`: raster tiles in bundles of version 2, described by `root.json`.
    Tpkx,
    /// `.vtpk`: vector tiles in bundles of version 2, with their style.
    Vtpk,
}

impl TilePackageKind {
    /// What a file of it ends with, without dot.
    #[must_use]
    pub fn extension(self) -> &'static str {
        match self {
            Self::Tpk => "tpk",
            Self::Tpkx => "tpkx",
            Self::Vtpk => "vtpk",
        }
    }

    /// The entry that describes its tiles; the older kind has none in JSON.
    #[must_use]
    pub fn root(self) -> Option<&'static str> {
        match self {
            Self::Tpk => None,
            Self::Tpkx => Some("root.json"),
            Self::Vtpk => Some("p12/root.json"),
        }
    }
}

impl fmt::Display for TilePackageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.extension())
    }
}
