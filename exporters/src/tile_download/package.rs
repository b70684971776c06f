//! Makes one tile package of the files of blocks.

use super::block_file::BlockFile;
use super::fetch::{BlockEnd, Fetch};
use super::source::TileSource;
use crate::vector_style::is_source_of;
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
            let bytes = if name == STYLE { in_package(&bytes, &source.service.root)? } else { bytes };
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

/// A style of the service at `root` that draws from the tiles of the package that it lies in. Sources of other services stay as they are.
fn in_package(bytes: &[u8], root: &str) -> Result<Vec<u8>, Failure> {
    let wrong = |e: serde_json::Error| Failure::internal(format!("the style cannot be read again: {e}"));
    let mut style: Value = serde_json::from_slice(bytes).map_err(wrong)?;
    let base = format!("{root}/resources/{STYLE}");
    let sources = style.get_mut("sources").and_then(Value::as_object_mut);
    let own = sources.into_iter().flat_map(|all| all.values_mut()).filter(|source| is_source_of(source, &base, root));
    for source in own.filter_map(Value::as_object_mut) {
        source.remove("tiles");
        source.insert("url".to_owned(), json!("../../"));
    }
    serde_json::to_vec(&style).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_service_s_own_source_draws_from_the_package() {
        let root = "https://h/arcgis/rest/services/B/VectorTileServer";
        let other = json!({"type": "vector", "url": "https://h/arcgis/rest/services/C/VectorTileServer"});
        let style = json!({"layers": [], "sources": {"a": {"type": "vector", "url": root}, "b": other,
            "c": {"type": "vector", "tiles": [format!("{root}/tile/{{z}}/{{y}}/{{x}}.pbf")], "maxzoom": 9}}});
        let packed = in_package(style.to_string().as_bytes(), root).expect("a style");
        let packed: Value = serde_json::from_slice(&packed).expect("JSON");
        let expected = json!({"a": {"type": "vector", "url": "../../"}, "b": other,
            "c": {"type": "vector", "url": "../../", "maxzoom": 9}});
        assert_eq!(packed["sources"], expected);
    }
}
