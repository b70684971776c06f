//! Writes tile packages: Compact Cache V2 bundles in a stored zip, as `.tpkx` and `.vtpk`.
//!
//! Written after the tile reference §12 to §14.

use crate::data::Data;
use crate::state::State;
use crate::tiles::TileScheme;
use crate::{draw, vector};
use offmap_model::geometry::to_wgs84;
use offmap_model::{Envelope, Polygon, SpatialReference};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Tiles on one side of a bundle, and bytes before its tiles.
const PACKET: u64 = 128;
const HEAD: usize = 64 + 8 * 16384;
/// Glyph ranges of a font stack.
const RANGES: u32 = 256;

/// What is exported.
#[derive(Debug, Clone)]
pub(crate) struct Cut {
    pub(crate) levels: Vec<u32>,
    pub(crate) extent: Envelope,
    pub(crate) polygon: Option<Polygon>,
    /// Tiles of the deepest level that are lost.
    pub(crate) lost: u64,
}

impl Cut {
    /// Rows and columns of the tiles on a level, by the envelope.
    fn range(&self, scheme: &TileScheme, level: u32) -> (std::ops::RangeInclusive<u64>, std::ops::RangeInclusive<u64>) {
        let half = offmap_model::geometry::WEB_MERCATOR_HALF;
        let width = scheme.tile_width(level);
        let last = (1_u64 << level) - 1;
        let edge = width / f64::from(scheme.pixels) * 1e-3;
        let index = |distance: f64| ((distance / width).floor().max(0.0) as u64).min(last);
        let columns = index(self.extent.xmin + edge + half)..=index(self.extent.xmax - edge + half);
        let rows = index(half - self.extent.ymax + edge)..=index(half - self.extent.ymin - edge);
        (rows, columns)
    }

    /// How many tiles there are at most. Those of a polygon over very many are not looked at one by one.
    pub(crate) fn count(&self, scheme: &TileScheme) -> u64 {
        const LOOKED_AT: u64 = 1 << 20;
        let side = |range: std::ops::RangeInclusive<u64>| (range.end() + 1).saturating_sub(*range.start());
        let ranges = self.levels.iter().map(|level| self.range(scheme, *level));
        let within: u64 =
            ranges.map(|(rows, columns)| side(rows).saturating_mul(side(columns))).fold(0, u64::saturating_add);
        if self.polygon.is_none() || within > LOOKED_AT { within } else { self.tiles(scheme).count() as u64 }
    }

    /// All tiles, level by level.
    pub(crate) fn tiles(&self, scheme: &TileScheme) -> impl Iterator<Item = (u32, u64, u64)> + '_ {
        let scheme = scheme.clone();
        self.levels
            .iter()
            .flat_map(move |level| {
                let (rows, columns) = self.range(&scheme, *level);
                rows.flat_map(move |row| columns.clone().map(move |column| (*level, row, column)))
            })
            .filter(|(level, row, column)| {
                self.polygon.as_ref().is_none_or(|p| p.intersects_envelope(&draw::tile_extent(*level, *row, *column)))
            })
    }

    fn wgs84(&self) -> Value {
        let ([xmin, ymin], [xmax, ymax]) =
            (to_wgs84([self.extent.xmin, self.extent.ymin]), to_wgs84([self.extent.xmax, self.extent.ymax]));
        json!({"xmin": xmin, "ymin": ymin, "xmax": xmax, "ymax": ymax, "spatialReference": {"wkid": 4326, "latestWkid": 4326}})
    }

    fn own(&self) -> Value {
        let e = &self.extent;
        json!({"xmin": e.xmin, "ymin": e.ymin, "xmax": e.xmax, "ymax": e.ymax, "spatialReference": SpatialReference::web_mercator()})
    }
}

/// A bundle that is being filled.
#[derive(Default)]
struct Bundle {
    index: BTreeMap<usize, (u64, u64)>,
    tiles: Vec<u8>,
    largest: u64,
}

impl Bundle {
    fn put(&mut self, row: u64, column: u64, tile: &[u8]) {
        let size = tile.len() as u64;
        self.tiles.extend_from_slice(&u32::try_from(size).unwrap_or(0).to_le_bytes());
        let slot = usize::try_from((row % PACKET) * PACKET + column % PACKET).unwrap_or(0);
        self.index.insert(slot, ((HEAD + self.tiles.len()) as u64, size));
        self.tiles.extend_from_slice(tile);
        self.largest = self.largest.max(size);
    }

    fn bytes(&self) -> Vec<u8> {
        let size = (HEAD + self.tiles.len()) as u64;
        let mut out = Vec::with_capacity(HEAD + self.tiles.len());
        let word = |out: &mut Vec<u8>, n: u64| out.extend_from_slice(&u32::try_from(n).unwrap_or(0).to_le_bytes());
        for n in [3, 16384, self.largest, 5] {
            word(&mut out, n);
        }
        for n in [0, size, 40] {
            out.extend_from_slice(&n.to_le_bytes());
        }
        for n in [131_092, 3, 16, 16384, 5, 131_072] {
            word(&mut out, n);
        }
        for slot in 0..16384 {
            let (offset, length) = self.index.get(&slot).copied().unwrap_or((0, 0));
            out.extend_from_slice(&((length << 40) | offset).to_le_bytes());
        }
        out.extend_from_slice(&self.tiles);
        out
    }
}

struct Zip(ZipWriter<BufWriter<File>>);

impl Zip {
    fn new(path: &Path) -> io::Result<Self> {
        Ok(Self(ZipWriter::new(BufWriter::new(File::create(path)?))))
    }

    fn put(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        self.0.start_file(name, options)?;
        self.0.write_all(bytes)
    }

    fn put_json(&mut self, name: &str, json: &Value) -> io::Result<()> {
        self.put(name, json.to_string().as_bytes())
    }

    fn finish(self) -> io::Result<()> {
        self.0.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
    }
}

/// Writes all tiles as bundles below `folder`; answers which tiles there should be.
fn put_tiles(
    zip: &mut Zip,
    folder: &str,
    cut: &Cut,
    scheme: &TileScheme,
    draw: impl Fn(u32, u64, u64) -> Option<Vec<u8>>,
) -> io::Result<BTreeSet<(u32, u64, u64)>> {
    let mut there = BTreeSet::new();
    let mut bundles: BTreeMap<(u32, u64, u64), Bundle> = BTreeMap::new();
    let deepest = cut.levels.iter().max().copied();
    let mut lost = cut.lost;
    for (level, row, column) in cut.tiles(scheme) {
        if let Some(tile) = draw(level, row, column) {
            there.insert((level, row, column));
            if Some(level) == deepest && lost > 0 {
                lost -= 1;
                continue;
            }
            bundles.entry((level, row - row % PACKET, column - column % PACKET)).or_default().put(row, column, &tile);
        }
    }
    for ((level, row, column), bundle) in bundles {
        zip.put(&format!("{folder}/L{level:02}/R{row:04x}C{column:04x}.bundle"), &bundle.bytes())?;
    }
    Ok(there)
}

/// Writes a `.tpkx`.
pub(crate) fn write_tpkx(path: &Path, data: &Data, cut: &Cut, scheme: &TileScheme) -> io::Result<()> {
    let name = scheme.title;
    let mut zip = Zip::new(path)?;
    let (first, last) = (cut.levels.iter().min().copied().unwrap_or(0), cut.levels.iter().max().copied().unwrap_or(0));
    let root = json!({
        "name": name, "version": 1.0, "serviceDescription": "", "minLOD": first, "maxLOD": last, "minScale": 0, "maxScale": 0,
        "resampling": false, "spatialReference": SpatialReference::web_mercator(), "units": "esriMeters",
        "tileInfo": scheme.tile_info(), "tileImageInfo": {"format": "PNG32", "compressionQuality": 0},
        "storageInfo": {"storageFormat": "esriMapCacheStorageModeCompactV2", "packetSize": 128},
        "initialExtent": cut.own(), "fullExtent": cut.own(), "exportTilesAllowed": false, "layers": [],
    });
    // This word comes first: readers know the file by it.
    let root = format!("{{\"tileBundlesPath\":\"./tile\",{}", root.to_string().get(1..).unwrap_or_default());
    let guid = uuid::Uuid::new_v4().to_string().to_uppercase();
    let info = json!({
        "creator": "offmap sandbox", "name": name, "guid": guid, "version": 1.0, "created": 1_704_067_200_000_i64, "snippet": "",
        "description": "", "summary": "", "title": name, "tags": "sandbox", "type": "Compact Tile Package",
        "typeKeywords": ["Compact Tile Package", "Tile Package", "tpkx"], "thumbnail": "./thumbnail.png", "extent": cut.wgs84(),
    });
    zip.put_json("iteminfo.json", &info)?;
    zip.put("root.json", root.as_bytes())?;
    zip.put("thumbnail.png", &draw::map_picture(data, &cut.extent, 200, 133))?;
    put_tiles(&mut zip, "tile", cut, scheme, |level, row, column| Some(draw::tile(data, scheme, level, row, column)))?;
    zip.finish()
}

/// A node of a tilemap: 0 no tile, 1 a tile that ends, else its four children (upper left, upper right, lower left, lower right).
pub(crate) fn tilemap(there: &BTreeSet<(u32, u64, u64)>, level: u32, row: u64, column: u64) -> Value {
    if !there.contains(&(level, row, column)) {
        return json!(0);
    }
    let child = |k: u64| tilemap(there, level + 1, 2 * row + k / 2, 2 * column + k % 2);
    let children: Vec<Value> = (0..4).map(child).collect();
    if children.iter().all(|c| *c == json!(0)) { json!(1) } else { Value::Array(children) }
}

/// Writes a `.vtpk`.
pub(crate) fn write_vtpk(path: &Path, state: &State, cut: &Cut, scheme: &TileScheme) -> io::Result<()> {
    let (data, options) = (&state.data, &state.options);
    let name = scheme.title;
    let mut zip = Zip::new(path)?;
    let guid = uuid::Uuid::new_v4().to_string().to_uppercase();
    let draw = |level, row, column| vector::tile(data, scheme, level, row, column);
    let there = put_tiles(&mut zip, "p12/tile", cut, scheme, draw)?;
    let last = there.iter().map(|(level, ..)| *level).max().unwrap_or(0);
    let mut root = crate::tiles::vector_root(scheme);
    if let Some(root) = root.as_object_mut() {
        root.insert("exportTilesAllowed".to_owned(), json!(false));
        root.insert("maxLOD".to_owned(), json!(last));
        root.insert("initialExtent".to_owned(), cut.own());
        root.insert("fullExtent".to_owned(), cut.own());
    }
    zip.put_json("p12/root.json", &root)?;
    zip.put_json("p12/metadata.json", &vector::metadata(scheme, last))?;
    zip.put_json("p12/tilemap/root.json", &json!({"index": tilemap(&there, 0, 0, 0)}))?;
    zip.put_json("p12/resources/styles/root.json", &vector::style(options.style.as_ref(), "../../"))?;
    let mut resources = vec!["../styles/root.json".to_owned()];
    for (ending, ratio) in [("", 1), ("@2x", 2)] {
        zip.put(&format!("p12/resources/sprites/sprite{ending}.png"), &draw::sprite(ratio))?;
        zip.put_json(&format!("p12/resources/sprites/sprite{ending}.json"), &vector::sprite_index(ratio))?;
        resources.extend(["png", "json"].map(|e| format!("../sprites/sprite{ending}.{e}")));
    }
    for font in std::iter::once(vector::FONT).chain(options.fonts.iter().map(|f| f.name.as_str())) {
        for k in 0..RANGES {
            let range = format!("{}-{}", k * 256, k * 256 + 255);
            let Some(glyphs) = vector::glyphs(&options.fonts, font, &range) else { continue };
            zip.put(&format!("p12/resources/fonts/{font}/{range}.pbf"), &glyphs)?;
            resources.push(format!("../fonts/{font}/{range}.pbf"));
        }
    }
    zip.put_json("p12/resources/info/root.json", &json!({"resourceInfo": resources}))?;
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
    zip.put("esriinfo/thumbnail/thumbnail.png", &draw::map_picture(data, &cut.extent, 200, 133))?;
    zip.finish()
}
