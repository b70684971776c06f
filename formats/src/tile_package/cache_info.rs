//! What a cache says of itself: `root.json` of new packages, `conf.xml` and `conf.cdi` of old ones.
//!
//! Source: tile reference §2, §3, §13 to §15.

use crate::tile_set::{TileFormat, TileSetInfo};
use crate::tiles::{Lod, Origin, TileInfo};
use offmap_model::{Envelope, SpatialReference};
use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Levels that a description may list.
const MOST_LEVELS: usize = 200;
/// Elements within each other.
const DEEPEST_ELEMENT: usize = 32;

/// Out of `root.json` and, of vector tiles, `metadata.json`; what is wrong in words.
pub(super) fn of_root(root: &Value, is_vector: bool, metadata: Option<&Value>) -> Result<TileSetInfo, String> {
    let info = root.get("tileInfo").ok_or("root.json has no `tileInfo`")?;
    let mut scheme: TileInfo = serde_json::from_value(info.clone()).map_err(|e| format!("root.json: tileInfo: {e}"))?;
    if scheme.lods.len() > MOST_LEVELS {
        return Err(format!("root.json lists {} levels, expected at most {MOST_LEVELS}", scheme.lods.len()));
    }
    let image = root.get("tileImageInfo");
    let word = image.and_then(|image| image.get("format").or_else(|| image.get("compression"))).and_then(Value::as_str);
    scheme.format = word.map(str::to_owned).or(scheme.format);
    let format = match is_vector {
        true => TileFormat::Mvt,
        false => scheme.format.as_deref().and_then(TileFormat::of_esri_word).unwrap_or(TileFormat::Mixed),
    };
    let mut set = TileSetInfo::new(scheme, format);
    let text = |key: &str| root.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    set.name = text("name");
    set.description = text("serviceDescription").or_else(|| text("description"));
    set.attribution = text("copyrightText");
    set.bounds = ["fullExtent", "initialExtent"].iter().find_map(|key| envelope(root.get(*key)?));
    set.vector = metadata.and_then(Value::as_object).map(vector).unwrap_or_default();
    Ok(set)
}

fn vector(metadata: &Map<String, Value>) -> Map<String, Value> {
    let kept = |(key, _): &(&String, &Value)| matches!(key.as_str(), "vector_layers" | "tilestats");
    metadata.iter().filter(kept).map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn envelope(value: &Value) -> Option<Envelope> {
    let envelope: Envelope = serde_json::from_value(value.clone()).ok()?;
    is_real(&envelope).then_some(envelope)
}

fn is_real(e: &Envelope) -> bool {
    [e.xmin, e.ymin, e.xmax, e.ymax].iter().all(|n| n.is_finite()) && e.xmin < e.xmax && e.ymin < e.ymax
}

/// The texts of elements by their path, such as `TileCacheInfo/TileOrigin/X`; of those that come again, all in order.
fn texts(xml: &str) -> BTreeMap<String, Vec<String>> {
    let mut reader = Reader::from_str(xml);
    let mut path: Vec<String> = Vec::new();
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut text = String::new();
    while let Ok(event) = reader.read_event() {
        match event {
            Event::Start(start) if path.len() < DEEPEST_ELEMENT => {
                path.push(start.local_name().as_ref().to_owned());
                text.clear();
            }
            Event::Text(piece) => text.push_str(&piece),
            Event::GeneralRef(name) => text.push(if &*name == "quot" { '"' } else { ' ' }),
            Event::End(_) => {
                // Without the root's own name.
                let name = path.get(1..).unwrap_or_default().join("/");
                if !text.trim().is_empty() {
                    texts.entry(name).or_default().push(text.trim().to_owned());
                }
                text.clear();
                path.pop();
            }
            Event::Eof | Event::Start(_) => break,
            _ => {}
        }
    }
    texts
}

/// Out of `conf.xml` and, where there is one, `conf.cdi`; what is wrong in words.
pub(super) fn of_conf(conf: &str, extent: Option<&str>) -> Result<TileSetInfo, String> {
    let texts = texts(conf);
    let first = |name: &str| texts.get(name).and_then(|all| all.first()).cloned();
    let number = |name: &str| -> Result<f64, String> {
        let found = first(name).ok_or_else(|| format!("conf.xml has no `{name}`"))?;
        found.parse().map_err(|_| format!("conf.xml has `{name}` {found:?}, expected a number"))
    };
    let whole = |name: &str| -> Result<u32, String> {
        let found = number(name)?;
        if found.fract() == 0.0 && (1.0..=65_536.0).contains(&found) {
            Ok(found as u32)
        } else {
            Err(format!("conf.xml has `{name}` {found}"))
        }
    };
    let id = |name: &str| first(&format!("TileCacheInfo/SpatialReference/{name}")).and_then(|id| id.parse().ok());
    let wkid: Option<u32> = id("WKID");
    let spatial_reference = SpatialReference {
        wkid,
        latest_wkid: id("LatestWKID"),
        wkt: wkid.is_none().then(|| first("TileCacheInfo/SpatialReference/WKT")).flatten(),
        ..SpatialReference::default()
    };
    let column = |name: &str| texts.get(&format!("TileCacheInfo/LODInfos/LODInfo/{name}")).cloned().unwrap_or_default();
    let (levels, resolutions, scales) = (column("LevelID"), column("Resolution"), column("Scale"));
    if levels.len() != resolutions.len() || levels.len() != scales.len() || levels.len() > MOST_LEVELS {
        return Err(format!("conf.xml lists {} levels with {} resolutions", levels.len(), resolutions.len()));
    }
    let mut lods = Vec::new();
    for ((level, resolution), scale) in levels.iter().zip(&resolutions).zip(&scales) {
        let lod = level.parse().ok().zip(resolution.parse().ok()).zip(scale.parse().ok());
        let ((level, resolution), scale) =
            lod.ok_or_else(|| format!("conf.xml has the level {level:?} {resolution:?} {scale:?}"))?;
        lods.push(Lod { level, resolution, scale });
    }
    let word = first("TileImageInfo/CacheTileFormat");
    let format = word.as_deref().and_then(TileFormat::of_esri_word).unwrap_or(TileFormat::Mixed);
    let scheme = TileInfo {
        rows: whole("TileCacheInfo/TileRows")?,
        cols: whole("TileCacheInfo/TileCols")?,
        origin: Origin { x: number("TileCacheInfo/TileOrigin/X")?, y: number("TileCacheInfo/TileOrigin/Y")? },
        spatial_reference: spatial_reference.clone(),
        lods,
        format: word,
    };
    let mut set = TileSetInfo::new(scheme, format);
    set.bounds = extent.and_then(|xml| {
        let texts = self::texts(xml);
        let side = |name: &str| texts.get(name)?.first()?.parse().ok();
        let (xmin, ymin, xmax, ymax) = (side("XMin")?, side("YMin")?, side("XMax")?, side("YMax")?);
        Some(Envelope { xmin, ymin, xmax, ymax, spatial_reference: Some(spatial_reference) }).filter(is_real)
    });
    Ok(set)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_description_is_read_with_its_extent() {
        let conf = "<?xml version='1.0'?><CacheInfo><TileCacheInfo><SpatialReference><WKT>PROJCS[&quot;x&quot;]</WKT><WKID>25832</WKID>\
            </SpatialReference><TileOrigin><X>-5120900</X><Y>9998100</Y></TileOrigin><TileCols>256</TileCols><TileRows>512</TileRows>\
            <LODInfos><LODInfo><LevelID>3</LevelID><Scale>1000</Scale><Resolution>2.5</Resolution></LODInfo></LODInfos></TileCacheInfo>\
            <TileImageInfo><CacheTileFormat>JPEG</CacheTileFormat></TileImageInfo></CacheInfo>";
        let cdi = "<EnvelopeN><XMin>1</XMin><YMin>2</YMin><XMax>3</XMax><YMax>4</YMax></EnvelopeN>";
        let set = of_conf(conf, Some(cdi)).expect("reads");
        assert_eq!((set.scheme.rows, set.scheme.cols, set.format), (512, 256, TileFormat::Jpeg));
        assert_eq!(set.scheme.lods, [Lod { level: 3, resolution: 2.5, scale: 1000.0 }]);
        assert_eq!(set.bounds.map(|e| (e.xmin, e.ymax)), Some((1.0, 4.0)));
        assert_eq!(set.scheme.spatial_reference.id(), Some(25832));
        let by_text = of_conf(&conf.replace("<WKID>25832</WKID>", ""), None).expect("reads");
        assert_eq!(by_text.scheme.spatial_reference.wkt.as_deref(), Some("PROJCS[\"x\"]"));
        for (from, to) in [("256", "0"), ("2.5", "x"), ("<LevelID>3</LevelID>", ""), ("</CacheInfo>", "")] {
            let _ = of_conf(&conf.replace(from, to), Some("<")).map(|set| set.scheme.lods.len());
        }
        assert!(of_conf("", None).expect_err("nothing").contains("TileRows"));
    }
}
