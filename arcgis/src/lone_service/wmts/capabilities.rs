//! The capabilities of a Web Map Tile Service, as far as tiles are asked for by them.
//!
//! Source: OGC 07-057r7, §7.1.1 (`Contents`, `Layer`, `TileMatrixSet`), §8.2.1.1 (KVP), §10.1.1 (`ResourceURL`).

use super::xml::Element;
use std::collections::BTreeMap;

/// Most levels of a set.
const MOST_LEVELS: usize = 100;

/// What a service has.
#[derive(Debug, Default)]
pub(super) struct Capabilities {
    pub(super) title: String,
    pub(super) provider: Option<String>,
    /// Where tiles are asked for by parameters.
    pub(super) by_parameters: Option<String>,
    pub(super) layers: Vec<Layer>,
    pub(super) sets: Vec<TileMatrixSet>,
}

/// A layer.
#[derive(Debug, Default)]
pub(super) struct Layer {
    pub(super) id: String,
    pub(super) title: String,
    /// The default style, else the first; empty where it has none.
    pub(super) style: String,
    pub(super) formats: Vec<String>,
    pub(super) links: Vec<Link>,
    /// West, south, east and north in degrees.
    pub(super) bounds: Option<[f64; 4]>,
    /// Templates of tiles with their formats.
    pub(super) resources: Vec<(String, String)>,
    /// Names of dimensions and the values that stand for them: their defaults, else the first that they have.
    pub(super) dimensions: Vec<(String, String)>,
}

/// A set of tile matrices of a layer.
#[derive(Debug, Default)]
pub(super) struct Link {
    pub(super) set: String,
    /// Lowest and highest row, lowest and highest column of matrices.
    pub(super) limits: BTreeMap<String, [u64; 4]>,
}

/// A tiling scheme.
#[derive(Debug, Default, Clone)]
pub(super) struct TileMatrixSet {
    pub(super) id: String,
    pub(super) crs: String,
    pub(super) matrices: Vec<TileMatrix>,
}

/// A level of it.
#[derive(Debug, Clone)]
pub(super) struct TileMatrix {
    pub(super) id: String,
    pub(super) scale_denominator: f64,
    /// In the order of the axes of the reference system.
    pub(super) top_left: [f64; 2],
    pub(super) tile_width: u32,
    pub(super) tile_height: u32,
    pub(super) width: u64,
    pub(super) height: u64,
}

impl Capabilities {
    /// Reads an answer; the error says in half a sentence what is wrong.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let root = Element::read(bytes)?;
        if root.name == "ExceptionReport" || root.name == "ServiceExceptionReport" {
            let words = root.any_text("ExceptionText").or_else(|| root.any_text("ServiceException"));
            return Err(format!(
                "is an exception: {}",
                words.unwrap_or("without words").chars().take(200).collect::<String>()
            ));
        }
        let Some(contents) = root.first("Contents").filter(|_| root.name == "Capabilities") else {
            return Err(format!(
                "is a document `{}`, expected `Capabilities` of a WMTS with `Contents`",
                root.name.escape_debug()
            ));
        };
        let title = root.first("ServiceIdentification").and_then(|one| one.text_at("Title"));
        let provider = root.first("ServiceProvider").and_then(|one| one.text_at("ProviderName"));
        Ok(Self {
            title: title.unwrap_or("WMTS").to_owned(),
            provider: provider.map(str::to_owned),
            by_parameters: root.first("OperationsMetadata").and_then(by_parameters),
            layers: contents.all("Layer").filter_map(layer).collect(),
            sets: contents.all("TileMatrixSet").filter_map(set).collect(),
        })
    }
}

fn by_parameters(operations: &Element) -> Option<String> {
    let operation = operations.all("Operation").find(|one| one.attribute("name") == Some("GetTile"))?;
    let is_kvp = |get: &&Element| {
        let mut encodings = get.all("Constraint").filter(|one| one.attribute("name") == Some("GetEncoding")).peekable();
        encodings.peek().is_none() || encodings.any(|one| one.any_text("Value") == Some("KVP"))
    };
    let gets = operation.all("DCP").filter_map(|dcp| dcp.first("HTTP")).flat_map(|http| http.all("Get"));
    gets.filter(is_kvp).find_map(|get| get.attribute("href")).map(str::to_owned)
}

fn layer(element: &Element) -> Option<Layer> {
    let id = element.text_at("Identifier")?.to_owned();
    let styles: Vec<&Element> = element.all("Style").collect();
    let style = styles.iter().find(|one| one.attribute("isDefault") == Some("true")).or(styles.first());
    let resource = |one: &Element| {
        let is_tile = one.attribute("resourceType").is_none_or(|kind| kind == "tile");
        is_tile.then(|| Some((one.attribute("format")?.to_owned(), one.attribute("template")?.to_owned()))).flatten()
    };
    let dimension = |one: &Element| {
        let value = one.text_at("Default").or_else(|| one.text_at("Value"))?;
        Some((one.text_at("Identifier")?.to_owned(), value.to_owned()))
    };
    Some(Layer {
        title: element.text_at("Title").unwrap_or(&id).to_owned(),
        style: style.and_then(|one| one.text_at("Identifier")).unwrap_or_default().to_owned(),
        formats: element.all("Format").map(|one| one.text.clone()).filter(|text| !text.is_empty()).collect(),
        links: element.all("TileMatrixSetLink").filter_map(link).collect(),
        bounds: element.first("WGS84BoundingBox").and_then(bounds),
        resources: element.all("ResourceURL").filter_map(resource).collect(),
        dimensions: element.all("Dimension").filter_map(dimension).collect(),
        id,
    })
}

fn link(element: &Element) -> Option<Link> {
    let limits = element.first("TileMatrixSetLimits").into_iter().flat_map(|all| all.all("TileMatrixLimits"));
    let limits = limits.filter_map(|one| {
        let at = |name| one.text_at(name)?.parse::<u64>().ok();
        let rows_and_columns = [at("MinTileRow")?, at("MaxTileRow")?, at("MinTileCol")?, at("MaxTileCol")?];
        Some((one.text_at("TileMatrix")?.to_owned(), rows_and_columns))
    });
    Some(Link { limits: limits.collect(), set: element.text_at("TileMatrixSet")?.to_owned() })
}

fn pair(text: &str) -> Option<[f64; 2]> {
    let numbers: Vec<f64> = text.split_whitespace().filter_map(|n| n.parse().ok()).filter(|n: &f64| n.is_finite()).collect();
    numbers.try_into().ok()
}

/// Longitude comes first in it, whatever the axes of EPSG:4326 (OGC 06-121r3, §10.2).
fn bounds(element: &Element) -> Option<[f64; 4]> {
    let [west, south] = pair(element.text_at("LowerCorner")?)?;
    let [east, north] = pair(element.text_at("UpperCorner")?)?;
    (west < east && south < north).then_some([west, south, east, north])
}

fn set(element: &Element) -> Option<TileMatrixSet> {
    let matrices = element.all("TileMatrix").take(MOST_LEVELS + 1).map(matrix).collect::<Option<Vec<_>>>()?;
    Some(TileMatrixSet {
        id: element.text_at("Identifier")?.to_owned(),
        crs: element.text_at("SupportedCRS")?.to_owned(),
        matrices: (matrices.len() <= MOST_LEVELS).then_some(matrices)?,
    })
}

fn matrix(element: &Element) -> Option<TileMatrix> {
    let number = |name| element.text_at(name)?.parse::<u64>().ok().filter(|n| *n > 0);
    let pixels = |name| number(name).and_then(|n| u32::try_from(n).ok());
    Some(TileMatrix {
        id: element.text_at("Identifier")?.to_owned(),
        scale_denominator: element.text_at("ScaleDenominator")?.parse().ok().filter(|n: &f64| n.is_finite() && *n > 0.0)?,
        top_left: pair(element.text_at("TopLeftCorner")?)?,
        tile_width: pixels("TileWidth")?,
        tile_height: pixels("TileHeight")?,
        width: number("MatrixWidth")?,
        height: number("MatrixHeight")?,
    })
}
