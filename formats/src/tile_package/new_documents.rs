//! The documents of a new package: what it says of its tiles, and the files that readers want beside them.
//!
//! Source: tile reference §13 (`.tpkx`) and §14 (`.vtpk`). What nobody knows of a set stays empty; times are zero and the id is made
//! of the content, so that the same tiles become the same package.

use super::documents::{ITEM_JSON, ITEM_XML, root_text};
use super::tilemap::TILEMAP;
use crate::tile_set::{TileFormat, TileSetInfo};
use crate::tile_writing::{degrees, fingerprint};
use crate::tiles::TileInfo;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use offmap_model::Envelope;
use serde_json::{Value, json};
use std::io::Write as _;
use uuid::Uuid;

/// Dots per inch that scales are counted with; advisory.
const DPI: u32 = 96;
const RESOURCES: &str = "p12/resources/";

/// What is described.
pub(super) struct Described<'a> {
    pub(super) info: &'a TileSetInfo,
    /// Of the tiles that came.
    pub(super) format: TileFormat,
    /// First and last level that has tiles.
    pub(super) levels: (u32, u32),
    pub(super) extent: Option<Envelope>,
    /// Name of the file without its ending.
    pub(super) stem: String,
    pub(super) tiles: u64,
    pub(super) contents: u64,
    pub(super) has_tilemap: bool,
}

impl Described<'_> {
    fn name(&self) -> &str {
        self.info.name.as_deref().unwrap_or(&self.stem)
    }

    fn description(&self) -> &str {
        self.info.description.as_deref().unwrap_or_default()
    }

    fn attribution(&self) -> &str {
        self.info.attribution.as_deref().unwrap_or_default()
    }

    /// An id that stands for the content.
    fn guid(&self) -> String {
        let said = format!("{:?} {:?}", self.info, self.extent);
        let print = fingerprint(&[said.as_bytes(), &self.tiles.to_le_bytes(), &self.contents.to_le_bytes()]);
        let bytes: [u8; 16] = std::array::from_fn(|i| print.get(i).copied().unwrap_or_default());
        Uuid::from_bytes(bytes).to_string().to_uppercase()
    }

    /// Esri's word for the format of raster tiles.
    fn esri_word(&self) -> &str {
        let said = self.info.scheme.format.as_deref().filter(|word| TileFormat::of_esri_word(word) == Some(self.format));
        said.unwrap_or(match self.format {
            TileFormat::Png => "PNG",
            TileFormat::Jpeg => "JPEG",
            TileFormat::Lerc => "LERC",
            _ => "MIXED",
        })
    }

    fn is_vector(&self) -> bool {
        self.info.format.is_vector()
    }
}

/// All documents that are not there yet, by name.
pub(super) fn documents(of: &Described<'_>, there: &[String]) -> Vec<(String, Vec<u8>)> {
    let text = |name: &str, text: String| (name.to_owned(), text.into_bytes());
    if !of.is_vector() {
        return vec![
            ("root.json".to_owned(), root_text(&raster_root(of))),
            text(ITEM_JSON, raster_item(of).to_string()),
            ("thumbnail.png".to_owned(), blank_png(200, 133)),
        ];
    }
    let mut all = vec![
        text("p12/root.json", vector_root(of).to_string()),
        text("p12/metadata.json", Value::Object(of.info.vector.clone()).to_string()),
        text("esriinfo/item.pkinfo", package_info(of)),
        text(ITEM_XML, item_info(of)),
        ("esriinfo/thumbnail/thumbnail.png".to_owned(), blank_png(200, 133)),
    ];
    let mut resources = resources(of, there);
    let is_resource = |name: &&String| name.starts_with(RESOURCES);
    let mut named: Vec<String> = there.iter().filter(is_resource).cloned().collect();
    named.extend(resources.iter().map(|(name, _)| name.clone()));
    let named: Vec<String> =
        named.iter().filter_map(|name| name.strip_prefix(RESOURCES)).map(|name| format!("../{name}")).collect();
    resources.push(text("p12/resources/info/root.json", json!({ "resourceInfo": named }).to_string()));
    all.append(&mut resources);
    all
}

/// A style and its sprites, where the source had none.
fn resources(of: &Described<'_>, there: &[String]) -> Vec<(String, Vec<u8>)> {
    let style = format!("{RESOURCES}styles/root.json");
    if there.contains(&style) {
        return Vec::new();
    }
    let mut all = vec![(style, plain_style(of).to_string().into_bytes())];
    for density in ["", "@2x"] {
        all.push((format!("{RESOURCES}sprites/sprite{density}.json"), b"{}".to_vec()));
        all.push((format!("{RESOURCES}sprites/sprite{density}.png"), blank_png(1, 1)));
    }
    all
}

/// Shows everything: areas, lines and points of every layer, without names and so without fonts.
fn plain_style(of: &Described<'_>) -> Value {
    let mut layers = vec![json!({"id": "background", "type": "background", "paint": {"background-color": "#f8f8f8"}})];
    let named = of.info.vector.get("vector_layers").and_then(Value::as_array);
    for id in named.into_iter().flatten().filter_map(|layer| layer.get("id")?.as_str()) {
        for (kind, geometry, paint) in [
            ("fill", "Polygon", json!({"fill-color": "#d8dee4", "fill-outline-color": "#8c96a0"})),
            ("line", "LineString", json!({"line-color": "#6e7781"})),
            ("circle", "Point", json!({"circle-color": "#24292f", "circle-radius": 2})),
        ] {
            layers.push(json!({
                "id": format!("{id}/{kind}"), "type": kind, "source": "esri", "source-layer": id,
                "filter": ["==", "$type", geometry], "paint": paint
            }));
        }
    }
    json!({
        "version": 8, "sprite": "../sprites/sprite", "glyphs": "../fonts/{fontstack}/{range}.pbf",
        "sources": {"esri": {"type": "vector", "url": "../../"}}, "layers": layers
    })
}

fn tile_info(info: &TileInfo, format: &str) -> Value {
    let mut value = serde_json::to_value(info).unwrap_or_default();
    if let Some(value) = value.as_object_mut() {
        value.insert("dpi".to_owned(), Value::from(DPI));
        value.insert("format".to_owned(), Value::from(format));
    }
    value
}

fn raster_root(of: &Described<'_>) -> Value {
    let scheme = &of.info.scheme;
    let units = if scheme.spatial_reference.is_wgs84() { "esriDecimalDegrees" } else { "esriMeters" };
    json!({
        "tileBundlesPath": "./tile",
        "name": of.name(), "version": 1.0, "serviceDescription": of.description(), "description": of.description(),
        "copyrightText": of.attribution(), "minLOD": of.levels.0, "maxLOD": of.levels.1, "minScale": 0, "maxScale": 0,
        "resampling": false, "spatialReference": scheme.spatial_reference, "units": units,
        "tileInfo": tile_info(scheme, of.esri_word()),
        "tileImageInfo": {"format": of.esri_word(), "compressionQuality": 0},
        "storageInfo": {"storageFormat": "esriMapCacheStorageModeCompactV2", "packetSize": 128},
        "initialExtent": of.extent, "fullExtent": of.extent, "layers": [], "exportTilesAllowed": false
    })
}

fn raster_item(of: &Described<'_>) -> Value {
    let degrees = of.extent.as_ref().and_then(degrees).map(|[xmin, ymin, xmax, ymax]| {
        json!({"xmin": xmin, "ymin": ymin, "xmax": xmax, "ymax": ymax, "spatialReference": {"wkid": 4326}})
    });
    json!({
        "creator": "", "name": of.name(), "guid": of.guid(), "version": 1.0, "created": 0, "snippet": of.description(),
        "description": of.description(), "summary": of.description(), "title": of.name(), "tags": "tiles",
        "type": "Compact Tile Package", "typeKeywords": ["Compact Tile Package", "Tile Package", "tpkx"],
        "thumbnail": "./thumbnail.png", "accessInformation": of.attribution(), "extent": degrees
    })
}

fn vector_root(of: &Described<'_>) -> Value {
    let scheme = &of.info.scheme;
    let deepest = scheme.lods.iter().map(|lod| lod.level).max().unwrap_or(of.levels.1);
    let mut root = json!({
        "currentVersion": 10.81, "name": of.name(), "copyrightText": of.attribution(), "type": "indexedVector",
        "capabilities": if of.has_tilemap { "TilesOnly,Tilemap" } else { "TilesOnly" },
        "defaultStyles": "resources/styles", "tiles": ["tile/{z}/{y}/{x}.pbf"], "exportTilesAllowed": false,
        "initialExtent": of.extent, "fullExtent": of.extent, "minScale": 0, "maxScale": 0,
        "tileInfo": tile_info(scheme, "pbf"), "maxzoom": deepest, "minLOD": of.levels.0, "maxLOD": of.levels.1,
        "resourceInfo": {
            "styleVersion": 8, "tileCompression": "gzip",
            "cacheInfo": {"storageInfo": {"packetSize": 128, "storageFormat": "compactV2"}}
        }
    });
    if let Some(root) = root.as_object_mut().filter(|_| of.has_tilemap) {
        let folder = TILEMAP.split('/').nth(1).unwrap_or_default();
        root.insert("tileMap".to_owned(), Value::from(folder));
    }
    root
}

/// Text within an element of XML.
fn escaped(text: &str) -> String {
    let is_allowed = |c: &char| !c.is_control() || matches!(c, '\n' | '\t');
    text.chars().filter(is_allowed).collect::<String>().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn package_info(of: &Described<'_>) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\" ?><pkinfo Culture='en-US'><ID>{}</ID><name>{}</name><version>11.2</version>\
         <size>-1</size><created></created><type>Vector Tile Package</type><servable>false</servable><packagelocation/>\
         <pkinfolocation/><documenttypes><documenttype>Lyr</documenttype></documenttypes></pkinfo>",
        of.guid(),
        escaped(of.name())
    )
}

fn item_info(of: &Described<'_>) -> String {
    let [xmin, ymin, xmax, ymax] = of.extent.as_ref().and_then(degrees).unwrap_or([-180.0, -85.051_129, 180.0, 85.051_129]);
    let (name, description) = (escaped(of.name()), escaped(of.description()));
    format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\" ?><ESRI_ItemInformation Culture='en-US'><name>{name}</name><guid>{}</guid>\
         <version>1.0</version><snippet>{description}</snippet><description>{description}</description>\
         <summary>{description}</summary><title>{name}</title><tags></tags><type>Vector Tile Package</type><typekeywords>\
         <typekeyword>Data</typekeyword><typekeyword>Vector Tile Package</typekeyword><typekeyword>vtpk</typekeyword>\
         </typekeywords><url/><datalastModifiedTime/><thumbnail>thumbnail/thumbnail.png</thumbnail><extent><xmin>{xmin}</xmin>\
         <ymin>{ymin}</ymin><xmax>{xmax}</xmax><ymax>{ymax}</ymax></extent><minScale/><maxScale/>\
         <spatialreference>{}</spatialreference><accessinformation>{}</accessinformation><licenseinfo/></ESRI_ItemInformation>",
        of.guid(),
        escaped(&of.info.scheme.spatial_reference.name()),
        escaped(of.attribution()),
    )
}

/// A PNG of one grey, since nobody drew a picture.
fn blank_png(width: u32, height: u32) -> Vec<u8> {
    let mut png = Vec::from(b"\x89PNG\r\n\x1a\n".as_slice());
    let mut chunk = |kind: &[u8; 4], data: &[u8]| {
        png.extend_from_slice(&u32::try_from(data.len()).unwrap_or_default().to_be_bytes());
        let mut crc = crc32fast::Hasher::new();
        for part in [kind.as_slice(), data] {
            png.extend_from_slice(part);
            crc.update(part);
        }
        png.extend_from_slice(&crc.finalize().to_be_bytes());
    };
    // Eight bits of grey; each row begins with its filter, which is none.
    let head: Vec<u8> = [width.to_be_bytes(), height.to_be_bytes()].concat().into_iter().chain([8, 0, 0, 0, 0]).collect();
    let row: Vec<u8> = std::iter::once(0).chain(std::iter::repeat_n(0xe0, width as usize)).collect();
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    // Memory does not refuse.
    (0..height).for_each(|_| encoder.write_all(&row).unwrap_or_default());
    chunk(b"IHDR", &head);
    chunk(b"IDAT", &encoder.finish().unwrap_or_default());
    chunk(b"IEND", &[]);
    png
}
