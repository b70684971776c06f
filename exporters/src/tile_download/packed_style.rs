//! The service's own style in the package of its tiles.

use crate::vector_style::is_source_of;
use offmap_formats::TileSink as _;
use offmap_formats::tile_package::TilePackageSink;
use offmap_model::{Failure, FailureStage};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The style among the files of a service's own style.
const STYLE: &str = "styles/root.json";

/// Puts the files of a folder into a package: the style of the service at `root` with its sprites and fonts. Blocks.
pub(super) fn put_style(sink: &mut TilePackageSink, folder: &Path, root: &str) -> Result<(), Failure> {
    for (name, path) in files_of(folder).map_err(|e| unread(folder, &e))? {
        let bytes = std::fs::read(&path).map_err(|e| unread(&path, &e))?;
        let bytes = if name == STYLE { in_package(&bytes, root)? } else { bytes };
        sink.put_resource(&name, &bytes)?;
    }
    Ok(())
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
