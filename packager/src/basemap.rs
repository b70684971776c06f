//! Reads what a base map on the device says of itself: `.tpkx`, `.vtpk` and `.tpk`.
//!
//! Source: tile reference §13 to §15.

use offmap_engine::LocalBasemap;
use offmap_formats::package_files::{Container, damaged};
use offmap_model::{Envelope, Failure, LayerType, SpatialReference};
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
    let json: Value = offmap_model::json::read(&Container::open(file)?.read(name, LARGEST)?, MEMORY)
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

/// An old package says its reference in `conf.xml`, whose place and letter case vary, and its extent in `conf.cdi` beside it.
fn old(file: &Path) -> Result<LocalBasemap, Failure> {
    let container = Container::open(file)?;
    let files = container.files()?;
    let conf = files.iter().map(|(n, _)| n).find(|n| n.to_ascii_lowercase().ends_with("/conf.xml"));
    let conf = conf.ok_or_else(|| damaged(file, "it has no conf.xml, so it is no tile package"))?;
    let text = String::from_utf8_lossy(&container.read(conf, LARGEST)?).into_owned();
    let spatial_reference = reference_in(&text);
    let beside = files.iter().map(|(n, _)| n).find(|n| n.eq_ignore_ascii_case(&conf.replace(".xml", ".cdi")));
    let extent = match beside {
        Some(name) => extent_in(&String::from_utf8_lossy(&container.read(name, LARGEST)?)),
        None => None,
    };
    let extent = extent.map(|mut e| {
        e.spatial_reference = e.spatial_reference.or_else(|| spatial_reference.clone());
        e
    });
    Ok(LocalBasemap { layer_type: LayerType::TiledMapService, spatial_reference, extent })
}

/// The text of an element without attributes, as these files write all values.
fn value<'a>(text: &'a str, tag: &str) -> Option<&'a str> {
    Some(text.split_once(&format!("<{tag}>"))?.1.split_once('<')?.0.trim()).filter(|value| !value.is_empty())
}

/// A reference by its numbers, or by its text alone.
fn reference_in(text: &str) -> Option<SpatialReference> {
    let number = |tag: &str| value(text, tag)?.parse::<u32>().ok().filter(|n| *n > 0);
    match (number("WKID"), number("LatestWKID")) {
        (Some(wkid), latest_wkid) => Some(SpatialReference { latest_wkid, ..SpatialReference::from_wkid(wkid) }),
        (None, Some(latest)) => Some(SpatialReference::from_wkid(latest)),
        (None, None) => {
            let mut wkt = value(text, "WKT")?.to_owned();
            for (entity, character) in [("&quot;", "\""), ("&apos;", "'"), ("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")] {
                wkt = wkt.replace(entity, character);
            }
            Some(SpatialReference { wkt: Some(wkt), ..SpatialReference::default() })
        }
    }
}

fn extent_in(text: &str) -> Option<Envelope> {
    let number = |tag: &str| value(text, tag)?.parse::<f64>().ok().filter(|n| n.is_finite());
    let (xmin, ymin, xmax, ymax) = (number("XMin")?, number("YMin")?, number("XMax")?, number("YMax")?);
    Some(Envelope { xmin, ymin, xmax, ymax, spatial_reference: reference_in(text) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WKT: &str = "<WKT>PROJCS[&quot;ETRS_1989_UTM_Zone_32N&quot;,GEOGCS[&quot;GCS_ETRS_1989&quot;]]</WKT>";

    #[test]
    fn a_reference_is_read_by_number_or_by_text() {
        let by_text = reference_in(&format!("<SpatialReference>{WKT}</SpatialReference>")).expect("a reference");
        assert_eq!(by_text.wkt.as_deref(), Some(r#"PROJCS["ETRS_1989_UTM_Zone_32N",GEOGCS["GCS_ETRS_1989"]]"#));
        assert!(by_text.same_as(&SpatialReference::from_wkid(25832)));
        // A number of zero is none; the text is what is left.
        assert_eq!(reference_in(&format!("{WKT}<WKID>0</WKID>")), Some(by_text));
        let both = reference_in(&format!("{WKT}<WKID>102100</WKID><LatestWKID>3857</LatestWKID>")).expect("a reference");
        assert_eq!((both.wkid, both.latest_wkid, both.wkt), (Some(102_100), Some(3857), None));
        assert_eq!(reference_in("<WKT></WKT>"), None);
        let cdi = format!("<EnvelopeN><XMin>1.5</XMin><YMin>2</YMin><XMax>3</XMax><YMax>4</YMax>{WKT}</EnvelopeN>");
        let extent = extent_in(&cdi).expect("an extent");
        assert_eq!([extent.xmin, extent.ymin, extent.xmax, extent.ymax], [1.5, 2.0, 3.0, 4.0]);
        assert!(extent.spatial_reference.is_some_and(|s| s.wkt.is_some()));
        assert_eq!(extent_in(&cdi.replace("1.5", "NaN")), None);
    }

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
