//! Tile packages as containers of layers.

use super::style::missing_resources;
use super::tile_check::read_contents;
use crate::containers::{ContainerReader, Contents, Damages, Reading, ResourceFiles, Resources};
use crate::style;
use offmap_model::{Failure, FailureKind, json};
use serde_json::Value;
use std::path::Path;

/// The style in a folder of resources.
const STYLE: &str = "styles/root.json";
/// Largest style that is read, and memory that it may need, in bytes.
const LARGEST_STYLE: u64 = 64 << 20;
const STYLE_MEMORY: u64 = 256 << 20;

/// Reads tile packages: every tile, and what the style in one of vector tiles needs.
#[derive(Debug, Clone, Copy)]
pub struct TilePackageReader;

impl ContainerReader for TilePackageReader {
    fn extensions(&self) -> &'static [&'static str] {
        &["tpkx", "tpk", "vtpk"]
    }

    fn read(&self, path: &Path, reading: &Reading<'_>) -> Result<Contents, Failure> {
        let mut contents = read_contents(path, reading)?;
        // A style that cannot be read does not hide what is wrong with the tiles.
        match missing_resources(path) {
            Ok(missing) => contents.missing = missing.iter().map(ToString::to_string).collect(),
            Err(failure) if failure.kind == FailureKind::Corrupt => contents.damages.add(failure.message),
            Err(failure) => return Err(failure),
        }
        Ok(contents)
    }

    fn read_resources(&self, files: &ResourceFiles<'_>) -> Result<Resources, Failure> {
        let missing = |all: Vec<style::Missing>| all.iter().map(ToString::to_string).collect();
        if !files.names.contains(STYLE) {
            return Ok(Resources { missing: missing(vec![style::Missing::Style]), ..Resources::default() });
        }
        let text = match (files.read)(STYLE, LARGEST_STYLE) {
            Ok(text) => text,
            Err(failure) if failure.kind == FailureKind::Corrupt => return Ok(broken(failure.message)),
            Err(failure) => return Err(failure),
        };
        Ok(match json::read::<Value>(&text, STYLE_MEMORY) {
            Ok(json) => Resources { missing: missing(style::missing(&json, STYLE, &files.names)), ..Resources::default() },
            Err(words) => broken(format!("the style is not JSON: {words}")),
        })
    }
}

fn broken(words: String) -> Resources {
    let mut damages = Damages::default();
    damages.add(words);
    Resources { damages, missing: Vec::new() }
}
