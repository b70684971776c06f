//! Vector tiles: cut from the data, encoded as Mapbox Vector Tiles, gzipped; with style, sprites and fonts.

use crate::data::{Data, Row, Shape};
use crate::draw::tile_extent;
use crate::state::SandboxFont;
use crate::tiles::TileScheme;
use flate2::Compression;
use flate2::write::GzEncoder;
use mvt::{GeomEncoder, GeomType, Tile};
use offmap_model::Envelope;
use serde_json::{Value, json};
use std::io::Write as _;

/// Units of a tile.
const EXTENT: u32 = 4096;
/// Part of a tile that is cut beyond its edges.
const BUFFER: f64 = 64.0 / 4096.0;
/// Font stack of the style.
pub(crate) const FONT: &str = "Sandbox Regular";

/// Cuts a ring (Sutherland–Hodgman) or line at one side of an envelope.
fn cut(points: &[[f64; 2]], axis: usize, limit: f64, keep_below: bool) -> Vec<[f64; 2]> {
    let inside = |p: &[f64; 2]| if keep_below { p[axis] <= limit } else { p[axis] >= limit };
    let mut out = Vec::with_capacity(points.len());
    for w in points.windows(2) {
        let (a, b) = (&w[0], &w[1]);
        if inside(a) {
            out.push(*a);
        }
        if inside(a) != inside(b) {
            let t = (limit - a[axis]) / (b[axis] - a[axis]);
            out.push([a[0] + t * (b[0] - a[0]), a[1] + t * (b[1] - a[1])]);
        }
    }
    out
}

fn cut_ring(ring: &[[f64; 2]], e: &Envelope) -> Vec<[f64; 2]> {
    let mut ring = ring.to_vec();
    for (axis, limit, below) in [(0, e.xmin, false), (0, e.xmax, true), (1, e.ymin, false), (1, e.ymax, true)] {
        ring = cut(&ring, axis, limit, below);
        // Cutting drops the last point of the closed ring; close it again for the next side.
        ring.extend(ring.first().copied());
        if ring.len() < 4 {
            return Vec::new();
        }
    }
    ring
}

/// Pieces of a line inside an envelope: runs of segments that meet it.
fn cut_line(line: &[[f64; 2]], e: &Envelope) -> Vec<Vec<[f64; 2]>> {
    let mut pieces: Vec<Vec<[f64; 2]>> = Vec::new();
    let mut open = false;
    for w in line.windows(2) {
        let meets = Envelope::of([w[0], w[1]]).is_some_and(|s| s.intersects(e));
        match (meets, open, pieces.last_mut()) {
            (true, true, Some(piece)) => piece.push(w[1]),
            (true, _, _) => pieces.push(vec![w[0], w[1]]),
            _ => {}
        }
        open = meets;
    }
    pieces
}

struct Grid<'a> {
    tile: &'a Envelope,
    scale: f64,
}

impl Grid<'_> {
    fn at(&self, [x, y]: [f64; 2]) -> (f64, f64) {
        (((x - self.tile.xmin) * self.scale).round(), ((self.tile.ymax - y) * self.scale).round())
    }

    /// Points in tile units without repeats.
    fn snap(&self, points: &[[f64; 2]]) -> Vec<(f64, f64)> {
        let mut out: Vec<(f64, f64)> = points.iter().map(|p| self.at(*p)).collect();
        out.dedup();
        out
    }
}

fn area(ring: &[(f64, f64)]) -> f64 {
    ring.windows(2).map(|w| w[0].0 * w[1].1 - w[1].0 * w[0].1).sum::<f64>() / 2.0
}

fn encode(shape: &Shape, grid: &Grid<'_>, cut_at: &Envelope) -> Option<mvt::GeomData> {
    match shape {
        Shape::Point(p) => {
            let (x, y) = grid.at(*p);
            cut_at.contains(*p).then(|| GeomEncoder::new(GeomType::Point).point(x, y)?.encode()).and_then(Result::ok)
        }
        Shape::Lines(lines) => {
            let mut encoder = GeomEncoder::new(GeomType::Linestring);
            let mut any = false;
            for piece in lines.iter().flat_map(|l| cut_line(l, cut_at)) {
                let points = grid.snap(&piece);
                if points.len() < 2 {
                    continue;
                }
                any = true;
                points.iter().try_for_each(|(x, y)| encoder.add_point(*x, *y)).ok()?;
                encoder.complete_geom().ok()?;
            }
            any.then(|| encoder.encode().ok()).flatten()
        }
        Shape::Polygon(polygon) => {
            let mut encoder = GeomEncoder::new(GeomType::Polygon);
            let mut any = false;
            for ring in &polygon.rings {
                let mut points = grid.snap(&cut_ring(ring, cut_at));
                // In tile units y grows downwards, so Esri's clockwise outer rings have a positive area, as the format wants.
                if points.len() < 4 || area(&points).abs() < 1.0 {
                    continue;
                }
                points.pop();
                any = true;
                points.iter().try_for_each(|(x, y)| encoder.add_point(*x, *y)).ok()?;
                encoder.complete_geom().ok()?;
            }
            any.then(|| encoder.encode().ok()).flatten()
        }
    }
}

/// A gzipped tile; `None` where there is nothing. Where the scheme wants it, a point in the middle says which one it is.
pub(crate) fn tile(data: &Data, scheme: &TileScheme, level: u32, row: u64, column: u64) -> Option<Vec<u8>> {
    let extent = tile_extent(level, row, column);
    let width = extent.xmax - extent.xmin;
    let more = width * BUFFER;
    let cut_at = Envelope {
        xmin: extent.xmin - more,
        ymin: extent.ymin - more,
        xmax: extent.xmax + more,
        ymax: extent.ymax + more,
        spatial_reference: None,
    };
    let grid = Grid { tile: &extent, scale: f64::from(EXTENT) / width };
    let mut tile = Tile::new(EXTENT);
    for (name, rows) in [("land", &data.countries), ("boundary", &data.borders), ("place", &data.places)] {
        let mut layer = tile.create_layer(name);
        let near = |r: &&Row| r.shape.as_ref().and_then(Shape::envelope).is_some_and(|e| e.intersects(&cut_at));
        for row in rows.iter().filter(near) {
            let Some(geometry) = row.shape.as_ref().and_then(|s| encode(s, &grid, &cut_at)) else { continue };
            let mut feature = layer.into_feature(geometry);
            feature.set_id(u64::try_from(row.id()).unwrap_or(0));
            if !row.text("NAME").is_empty() {
                feature.add_tag_string("name", row.text("NAME"));
            }
            layer = feature.into_layer();
        }
        if layer.num_features() > 0 {
            tile.add_layer(layer).ok()?;
        }
    }
    if scheme.labelled {
        let middle = f64::from(EXTENT / 2);
        let geometry = GeomEncoder::new(GeomType::Point).point(middle, middle).and_then(GeomEncoder::encode).ok()?;
        let mut feature = tile.create_layer("tile").into_feature(geometry);
        feature.add_tag_string("name", &format!("tile {level}/{row}/{column}."));
        tile.add_layer(feature.into_layer()).ok()?;
    }
    if tile.num_layers() == 0 {
        return None;
    }
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(&tile.to_bytes().ok()?).ok()?;
    gzip.finish().ok()
}

/// The service's style, or the one that it was given.
pub(crate) fn style(given: Option<&Value>, source: &str) -> Value {
    if let Some(given) = given {
        let mut style = given.clone();
        let sources = style.get_mut("sources").and_then(Value::as_object_mut);
        sources.into_iter().flat_map(|all| all.values_mut()).for_each(|one| one["url"] = json!(source));
        return style;
    }
    json!({
        "version": 8,
        "sprite": "../sprites/sprite",
        "glyphs": "../fonts/{fontstack}/{range}.pbf",
        "sources": {"esri": {"type": "vector", "url": source}},
        "layers": [
            {"id": "background", "type": "background", "paint": {"background-color": "#bfd9e8"}},
            {"id": "land", "type": "fill", "source": "esri", "source-layer": "land",
                "paint": {"fill-color": "#eeead8", "fill-outline-color": "#8fa8b5"}},
            {"id": "boundary", "type": "line", "source": "esri", "source-layer": "boundary",
                "paint": {"line-color": "#a07c9c", "line-width": 1.2}},
            {"id": "place", "type": "symbol", "source": "esri", "source-layer": "place",
                "layout": {"icon-image": "dot", "text-field": "{name}", "text-font": [FONT], "text-size": 11,
                    "text-offset": [0, 1], "text-optional": true},
                "paint": {"text-color": "#333333"}},
        ],
    })
}

/// Index of the sprite sheet at a pixel ratio.
pub(crate) fn sprite_index(ratio: u32) -> Value {
    let one = |x: u32| json!({"x": x * ratio, "y": 0, "width": 16 * ratio, "height": 16 * ratio, "pixelRatio": ratio});
    json!({"dot": one(0), "square": one(16)})
}

/// A glyph range of a font; `None` where it has no glyphs. That of the own style is there and empty, as real services send for ranges
/// that their fonts do not cover. A glyph is as wide as its font's name is long.
pub(crate) fn glyphs(fonts: &[SandboxFont], font: &str, range: &str) -> Option<Vec<u8>> {
    let (first, last) = range.split_once('-')?;
    let covered = first.parse::<u32>().ok()?..=last.parse::<u32>().ok()?;
    let code_points: Vec<u32> = match fonts.iter().find(|f| f.name == font) {
        Some(font) => covered.filter(|c| font.code_points.contains(c)).collect(),
        None if font == FONT => return Some(field(1, &[field(1, font.as_bytes()), field(2, range.as_bytes())].concat())),
        None => return None,
    };
    if code_points.is_empty() {
        return None;
    }
    let width = u8::try_from(font.len()).unwrap_or(0) & 0x7f;
    let glyph = |code_point: u32| {
        let numbers = [(3, width), (4, 1), (5, 0), (6, 0), (7, width)];
        let numbers = numbers.iter().flat_map(|(number, value)| [number << 3, *value]);
        [&[1 << 3][..], &varint(u64::from(code_point)), &numbers.collect::<Vec<u8>>()].concat()
    };
    let glyphs: Vec<u8> = code_points.into_iter().flat_map(|c| field(3, &glyph(c))).collect();
    Some(field(1, &[field(1, font.as_bytes()), field(2, range.as_bytes()), glyphs].concat()))
}

/// A field of a protocol buffer with bytes in it.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2][..], &varint(bytes.len() as u64), bytes].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// `metadata.json` of a package.
pub(crate) fn metadata(scheme: &TileScheme, max_level: u32) -> Value {
    let layer =
        |id: &str| json!({"id": id, "description": "", "minzoom": 0, "maxzoom": max_level, "fields": {"name": "String"}});
    let labels = scheme.labelled.then(|| layer("tile"));
    let layers: Vec<Value> = ["land", "boundary", "place"].map(layer).into_iter().chain(labels).collect();
    json!({"vector_layers": layers})
}
