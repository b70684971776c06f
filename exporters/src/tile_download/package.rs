//! Makes one tile package of the files of blocks.

use super::block_file::BlockFile;
use super::fetch::{BlockEnd, Fetch};
use super::source::TileSource;
use offmap_formats::compact_cache::PACKET_SIZE;
use offmap_formats::tile_package::TilePackageSink;
use offmap_formats::{TileId, TileSink as _};
use offmap_model::{Failure, FailureStage};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// The style among the files of a service's own style.
const STYLE: &str = "styles/root.json";

/// What a package is made of.
pub(super) struct PackageParts<'a> {
    pub(super) source: &'a TileSource,
    pub(super) level_ids: &'a [u32],
    pub(super) blocks: &'a [BlockEnd],
    /// The folder of the service's own style with its sprites and fonts.
    pub(super) style: Option<&'a Path>,
}

/// Writes the package: all tiles of a block before the next, each block row by row, so that the same tiles make the same package
/// whatever came first. Blocks.
pub(super) fn write(parts: &PackageParts<'_>, to: &Path, cancel: &CancellationToken) -> Result<(), Failure> {
    let source = parts.source;
    let mut sink = Box::new(TilePackageSink::open(to, &source.tile_set(parts.level_ids))?);
    for BlockEnd { block, path, .. } in parts.blocks {
        let mut file = BlockFile::read(path, &Fetch::purpose(source, &block.unit()))?;
        file.each(&mut |place, bytes| {
            if cancel.is_cancelled() {
                return Err(Failure::cancelled());
            }
            let (row, column) = (u64::from(place) / PACKET_SIZE, u64::from(place) % PACKET_SIZE);
            let place = TileId { level: block.level, row: block.row + row, column: block.column + column };
            sink.put(&[place], bytes)
        })?;
    }
    if let Some(folder) = parts.style {
        for (name, path) in files_of(folder).map_err(|e| unread(folder, &e))? {
            let bytes = std::fs::read(&path).map_err(|e| unread(&path, &e))?;
            let bytes = if name == STYLE { in_package(bytes)? } else { bytes };
            sink.put_resource(&name, &bytes)?;
        }
    }
    sink.finish().map(drop)
}

fn unread(path: &Path, error: &std::io::Error) -> Failure {
    Failure::io(FailureStage::Check, format!("cannot read {}", path.display()), error)
}

/// Files below a folder by their paths in it, with forward slashes.
fn files_of(root: &Path) -> std::io::Result<BTreeMap<String, PathBuf>> {
    let mut files = BTreeMap::new();
    let mut todo = vec![(root.to_owned(), String::new())];
    while let Some((folder, prefix)) = todo.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            match entry.file_type()?.is_dir() {
                true => todo.push((entry.path(), format!("{name}/"))),
                false => drop(files.insert(name, entry.path())),
            }
        }
    }
    Ok(files)
}

/// A style that draws from the tiles of the package that it lies in.
fn in_package(bytes: Vec<u8>) -> Result<Vec<u8>, Failure> {
    let wrong = |e: serde_json::Error| Failure::internal(format!("the style cannot be read again: {e}"));
    let mut style: Value = serde_json::from_slice(&bytes).map_err(wrong)?;
    let sources = style.get_mut("sources").and_then(Value::as_object_mut);
    for url in sources.into_iter().flat_map(|all| all.values_mut()).filter_map(|source| source.get_mut("url")) {
        *url = json!("../../");
    }
    serde_json::to_vec(&style).map_err(wrong)
}
