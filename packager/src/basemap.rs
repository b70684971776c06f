//! Reads what a base map on the device says of itself: `.tpkx`, `.vtpk` and `.tpk`.
//!
//! Source: tile reference §13 to §15.

use crate::container::{Container, damaged};
use offmap_engine::{Envelope, Failure, LayerType, LocalBasemap, SpatialReference};
use serde_json::Value;
use std::path::Path;

/// Largest description that is read, in bytes.
const LARGEST: u64 = 64 << 20;
/// Memory that it may need, in bytes.
const MEMORY: u64 = 256 << 20;

pub(crate) fn read(file: &Path) -> Result<LocalBasemap, Failure> {
    let ending = file.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    match ending.as_str() {
        "tpkx" => described(file, "root.json", LayerType::TiledMapService),
        "vtpk" => described(file, "p12/root.json", LayerType::VectorTile),
        "tpk" => old(file),
        _ => Err(Failure::invalid_parameter(format!(
            "the reference base map {} is not a .tpk, .tpkx or .vtpk",
            file.display()
        ))),
    }
}

fn described(file: &Path, name: &str, layer_type: LayerType) -> Result<LocalBasemap, Failure> {
    let json: Value = offmap_formats::json::read(&Container::open(file)?.read(name, LARGEST)?, MEMORY)
        .map_err(|e| damaged(file, format!("{name}: {e}")))?;
    let reference = json.get("spatialReference").or_else(|| json.pointer("/tileInfo/spatialReference"));
    let spatial_reference: Option<SpatialReference> = reference.and_then(|v| serde_json::from_value(v.clone()).ok());
    let extent: Option<Envelope> = json.get("fullExtent").and_then(|v| serde_json::from_value(v.clone()).ok());
    let extent = extent.map(|mut e| {
        e.spatial_reference = e.spatial_reference.or_else(|| spatial_reference.clone());
        e
    });
    Ok(LocalBasemap { layer_type, spatial_reference, extent })
}

/// An old package says its reference in `conf.xml`, whose place and letter case vary; its extent is left unread.
fn old(file: &Path) -> Result<LocalBasemap, Failure> {
    let container = Container::open(file)?;
    let files = container.files()?;
    let conf = files.iter().map(|(n, _)| n).find(|n| n.to_ascii_lowercase().ends_with("/conf.xml"));
    let conf = conf.ok_or_else(|| damaged(file, "it has no conf.xml, so it is no tile package"))?;
    let text = String::from_utf8_lossy(&container.read(conf, LARGEST)?).into_owned();
    let between = |tag: &str| text.split_once(&format!("<{tag}>"))?.1.split_once('<')?.0.trim().parse().ok();
    let spatial_reference = between("WKID")
        .map(|wkid| SpatialReference { latest_wkid: between("LatestWKID"), ..SpatialReference::from_wkid(wkid) });
    Ok(LocalBasemap { layer_type: LayerType::TiledMapService, spatial_reference, extent: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_old_package_tells_its_reference() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/samples/tiles/packages/states_filled.tpk");
        if !path.exists() {
            eprintln!("skipped: {} is not there", path.display());
            return;
        }
        let says = read(&path).expect("reads");
        assert!(says.spatial_reference.is_some_and(|s| s.is_web_mercator()));
        assert_eq!(says.layer_type, LayerType::TiledMapService);
    }
}
