//! Reads what a basemap on the device says of itself: `.tpkx`, `.vtpk` and `.tpk`.
//!
//! Source: tile reference §13 to §15.

use offmap_engine::LocalBasemap;
use offmap_formats::package_files::{Container, damaged};
use offmap_model::{Envelope, Failure, LayerType, SpatialReference};
use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;
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
            "the reference basemap {} is not a .tpk, .tpkx or .vtpk",
            file.display()
        ))),
    }
}

fn described(file: &Path, name: &str, layer_type: LayerType) -> Result<LocalBasemap, Failure> {
    let json: Value = offmap_model::json::read(&Container::open(file)?.read(name, LARGEST)?, MEMORY)
        .map_err(|e| damaged(file, format!("{name}: {e}")))?;
    let given = json.get("spatialReference").or_else(|| json.pointer("/tileInfo/spatialReference"));
    let spatial_reference: Option<SpatialReference> = given.and_then(|v| serde_json::from_value(v.clone()).ok());
    let extent: Option<Envelope> = json.get("fullExtent").and_then(|v| serde_json::from_value(v.clone()).ok());
    let extent = extent.map(|mut e| {
        e.spatial_reference = e.spatial_reference.or_else(|| spatial_reference.clone());
        e
    });
    Ok(LocalBasemap { layer_type, spatial_reference, extent })
}

/// An old package has its spatial reference in `conf.xml`, whose place and letter case vary, and its extent in `conf.cdi` beside it.
fn old(file: &Path) -> Result<LocalBasemap, Failure> {
    let container = Container::open(file)?;
    let files = container.files()?;
    let conf = files.iter().map(|(n, _)| n).find(|n| n.to_ascii_lowercase().ends_with("/conf.xml"));
    let conf = conf.ok_or_else(|| damaged(file, "it has no conf.xml, so it is no tile package"))?;
    let text = String::from_utf8_lossy(&container.read(conf, LARGEST)?).into_owned();
    let spatial_reference = spatial_reference_in(&text);
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

/// The text of the first element of this name; `None` where it has none.
fn value(text: &str, name: &str) -> Option<String> {
    let mut reader = Reader::from_str(text);
    // What is behind the element does not matter.
    reader.config_mut().check_end_names = false;
    let mut inside = false;
    let mut value = String::new();
    loop {
        match reader.read_event().ok()? {
            Event::Start(start) => inside = start.local_name().as_ref() == name,
            Event::Text(part) if inside => value.push_str(&part),
            Event::CData(part) if inside => value.push_str(&part),
            Event::GeneralRef(entity) if inside => match entity.resolve_char_ref().ok()? {
                Some(character) => value.push(character),
                None => value.push_str(resolve_predefined_entity(&entity)?),
            },
            Event::End(_) if inside => return Some(value.trim().to_owned()).filter(|value| !value.is_empty()),
            Event::Eof => return None,
            _ => {}
        }
    }
}

/// A spatial reference by its numbers, or by its text alone.
fn spatial_reference_in(text: &str) -> Option<SpatialReference> {
    let number = |name: &str| value(text, name)?.parse::<u32>().ok().filter(|n| *n > 0);
    match (number("WKID"), number("LatestWKID")) {
        (Some(wkid), latest_wkid) => Some(SpatialReference { latest_wkid, ..SpatialReference::from_wkid(wkid) }),
        (None, Some(latest)) => Some(SpatialReference::from_wkid(latest)),
        (None, None) => Some(SpatialReference { wkt: Some(value(text, "WKT")?), ..SpatialReference::default() }),
    }
}

fn extent_in(text: &str) -> Option<Envelope> {
    let number = |tag: &str| value(text, tag)?.parse::<f64>().ok().filter(|n| n.is_finite());
    let (xmin, ymin, xmax, ymax) = (number("XMin")?, number("YMin")?, number("XMax")?, number("YMax")?);
    Some(Envelope { xmin, ymin, xmax, ymax, spatial_reference: spatial_reference_in(text) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WKT: &str = "<WKT>PROJCS[&quot;ETRS_1989_UTM_Zone_32N&quot;,GEOGCS[&quot;GCS_ETRS_1989&quot;]]</WKT>";

    #[test]
    fn a_spatial_reference_is_read_by_number_or_by_text() {
        let by_text =
            spatial_reference_in(&format!("<SpatialReference>{WKT}</SpatialReference>")).expect("a spatial reference");
        assert_eq!(by_text.wkt.as_deref(), Some(r#"PROJCS["ETRS_1989_UTM_Zone_32N",GEOGCS["GCS_ETRS_1989"]]"#));
        assert!(by_text.same_as(&SpatialReference::from_wkid(25832)));
        // A number of zero is none; the text is what is left.
        assert_eq!(spatial_reference_in(&format!("{WKT}<WKID>0</WKID>")), Some(by_text));
        let both = spatial_reference_in(&format!("{WKT}<WKID>102100</WKID><LatestWKID>3857</LatestWKID>"))
            .expect("a spatial reference");
        assert_eq!((both.wkid, both.latest_wkid, both.wkt), (Some(102_100), Some(3857), None));
        assert_eq!(spatial_reference_in("<WKT></WKT>"), None);
        let cdi = format!("<EnvelopeN><XMin>1.5</XMin><YMin>2</YMin><XMax>3</XMax><YMax>4</YMax>{WKT}</EnvelopeN>");
        let extent = extent_in(&cdi).expect("an extent");
        assert_eq!([extent.xmin, extent.ymin, extent.xmax, extent.ymax], [1.5, 2.0, 3.0, 4.0]);
        assert!(extent.spatial_reference.is_some_and(|s| s.wkt.is_some()));
        assert_eq!(extent_in(&cdi.replace("1.5", "NaN")), None);
    }

    #[test]
    fn a_real_old_package_has_its_spatial_reference() {
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
