//! The style that is in a vector tile package, and what it needs there.
//!
//! Source: tile reference §14.

use crate::style;
use crate::style::Missing;
use crate::tile_package::{archive, corrupt, read_json};
use offmap_model::Failure;
use std::collections::BTreeSet;
use std::path::Path;

/// The style of a package.
const STYLE: &str = "p12/resources/styles/root.json";
/// What only a vector tile package has.
const ROOT: &str = "p12/root.json";

/// What the style of a vector tile package needs and is not in it; nothing for packages of other kinds. Blocks.
///
/// # Errors
/// If it is no zip that can be trusted, or its style cannot be read.
pub fn missing_resources(path: &Path) -> Result<Vec<Missing>, Failure> {
    let mut archive = archive(path)?;
    let mut files = BTreeSet::new();
    for name in archive.file_names() {
        files.insert(name.map_err(|e| corrupt(path, e))?.into_owned());
    }
    if !files.contains(ROOT) {
        return Ok(Vec::new());
    }
    if !files.contains(STYLE) {
        return Ok(vec![Missing::Style]);
    }
    let json = read_json(path, &mut archive, STYLE)?;
    Ok(style::missing(&json, STYLE, &files))
}
