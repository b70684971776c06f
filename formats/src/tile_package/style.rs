//! The style that is in a vector tile package, and what it needs there.
//!
//! Source: tile reference §14.

use super::kind::TilePackageKind;
use super::package_archive::PackageArchive;
use crate::style;
use crate::style::Missing;
use offmap_model::Failure;
use std::path::Path;

/// The style of a package.
const STYLE: &str = "p12/resources/styles/root.json";

/// What the style of a vector tile package needs and is not in it; nothing for packages of other kinds. Blocks.
///
/// # Errors
/// If it is no zip that can be trusted, or its style cannot be read.
pub fn missing_resources(path: &Path) -> Result<Vec<Missing>, Failure> {
    let mut archive = PackageArchive::open(path)?;
    if !TilePackageKind::Vtpk.root().is_some_and(|root| archive.has(root)) {
        return Ok(Vec::new());
    }
    if !archive.has(STYLE) {
        return Ok(vec![Missing::Style]);
    }
    let json = archive.read_json(STYLE)?;
    Ok(style::missing(&json, STYLE, &archive.names().iter().cloned().collect()))
}
