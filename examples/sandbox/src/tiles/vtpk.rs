//! Vector tile packages (`.vtpk`).
//!
//! Written after the tile reference §14.

use super::bundle::{Zip, put_tiles};
use super::cut::Cut;
use super::description::vector_root;
use super::glyphs::{FONT, glyphs};
use super::scheme::TileScheme;
use super::style::{metadata, sprite_index, style};
use super::tilemap::tilemap;
use super::vector_tile;
use crate::data::Data;
use crate::draw::thumbnail;
use crate::options::SandboxOptions;
use crate::picture::sprite;
use serde_json::{Value, json};
use std::io;
use std::path::Path;

/// Glyph ranges of a font stack.
const RANGES: u32 = 256;

/// Writes the tiles, and what describes them.
fn put_service(zip: &mut Zip, data: &Data, cut: &Cut, scheme: &TileScheme) -> io::Result<()> {
    let draw = |level, row, column| vector_tile::tile(data, scheme, level, row, column);
    let there = put_tiles(zip, "p12/tile", cut, scheme, draw)?;
    let last = there.iter().map(|(level, ..)| *level).max().unwrap_or(0);
    let mut root = vector_root(scheme);
    if let Some(root) = root.as_object_mut() {
        root.insert("exportTilesAllowed".to_owned(), json!(false));
        root.insert("maxLOD".to_owned(), json!(last));
        root.insert("initialExtent".to_owned(), cut.web_mercator());
        root.insert("fullExtent".to_owned(), cut.web_mercator());
    }
    zip.put_json("p12/root.json", &root)?;
    zip.put_json("p12/metadata.json", &metadata(scheme, last))?;
    zip.put_json("p12/tilemap/root.json", &json!({"index": tilemap(&there, 0, 0, 0)}))
}

/// Writes style, sprites and fonts, and their list.
fn put_resources(zip: &mut Zip, options: &SandboxOptions) -> io::Result<()> {
    zip.put_json("p12/resources/styles/root.json", &style(options.style.as_ref(), "../../"))?;
    let mut resources = vec!["../styles/root.json".to_owned()];
    for (ending, ratio) in [("", 1), ("@2x", 2)] {
        zip.put(&format!("p12/resources/sprites/sprite{ending}.png"), &sprite(ratio))?;
        zip.put_json(&format!("p12/resources/sprites/sprite{ending}.json"), &sprite_index(ratio))?;
        resources.extend(["png", "json"].map(|e| format!("../sprites/sprite{ending}.{e}")));
    }
    for font in std::iter::once(FONT).chain(options.fonts.iter().map(|f| f.name.as_str())) {
        for k in 0..RANGES {
            let range = format!("{}-{}", k * 256, k * 256 + 255);
            let Some(glyphs) = glyphs(&options.fonts, font, &range) else { continue };
            zip.put(&format!("p12/resources/fonts/{font}/{range}.pbf"), &glyphs)?;
            resources.push(format!("../fonts/{font}/{range}.pbf"));
        }
    }
    zip.put_json("p12/resources/info/root.json", &json!({"resourceInfo": resources}))
}

/// Writes what a package states about itself as an item.
fn put_item(zip: &mut Zip, data: &Data, cut: &Cut, name: &str) -> io::Result<()> {
    let guid = uuid::Uuid::new_v4().to_string().to_uppercase();
    let pkinfo = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\" ?>\r\n<pkinfo Culture='en-US'>\r\n<ID>{guid}</ID>\r\n<name>{name}</name>\r\n<version>11.2</version>\r\n<size>-1</size>\r\n<created></created>\r\n<type>Vector Tile Package</type>\r\n<servable>false</servable>\r\n<packagelocation></packagelocation>\r\n<pkinfolocation></pkinfolocation>\r\n<documenttypes>\r\n<documenttype>Lyr</documenttype>\r\n</documenttypes>\r\n</pkinfo>\r\n"
    );
    zip.put("esriinfo/item.pkinfo", pkinfo.as_bytes())?;
    let e = cut.wgs84();
    let number = |key: &str| e.get(key).and_then(Value::as_f64).unwrap_or(0.0);
    let info = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\" ?>\r\n<ESRI_ItemInformation Culture='en-US'>\r\n<name>{name}</name>\r\n<guid>{guid}</guid>\r\n<version>1.0</version>\r\n<snippet></snippet>\r\n<description></description>\r\n<summary></summary>\r\n<title>{name}</title>\r\n<tags></tags>\r\n<type>Vector Tile Package</type>\r\n<typekeywords>\r\n<typekeyword>Data</typekeyword>\r\n<typekeyword>Vector Tile Package</typekeyword>\r\n<typekeyword>vtpk</typekeyword>\r\n</typekeywords>\r\n<thumbnail>thumbnail/thumbnail.png</thumbnail>\r\n<extent>\r\n<xmin>{}</xmin>\r\n<ymin>{}</ymin>\r\n<xmax>{}</xmax>\r\n<ymax>{}</ymax>\r\n</extent>\r\n<spatialreference>WGS_1984_Web_Mercator_Auxiliary_Sphere</spatialreference>\r\n</ESRI_ItemInformation>\r\n",
        number("xmin"),
        number("ymin"),
        number("xmax"),
        number("ymax")
    );
    zip.put("esriinfo/iteminfo.xml", info.as_bytes())?;
    zip.put("esriinfo/thumbnail/thumbnail.png", &thumbnail(data, &cut.extent))
}

/// Writes a `.vtpk`.
pub(crate) fn write_vtpk(
    path: &Path,
    data: &Data,
    options: &SandboxOptions,
    cut: &Cut,
    scheme: &TileScheme,
) -> io::Result<()> {
    let mut zip = Zip::new(path)?;
    put_service(&mut zip, data, cut, scheme)?;
    put_resources(&mut zip, options)?;
    put_item(&mut zip, data, cut, scheme.title)?;
    zip.finish()
}
