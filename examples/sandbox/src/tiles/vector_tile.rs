//! Vector tiles: cut from the data, encoded as Mapbox Vector Tiles, gzipped.

use super::scheme::{TileScheme, tile_extent};
use crate::data::{Data, Row, Shape};
use crate::drawn::{Key, once};
use flate2::Compression;
use flate2::write::GzEncoder;
use mvt::{GeomEncoder, GeomType, Tile};
use offmap_model::Envelope;
use std::io::Write as _;

/// Units of a tile.
const EXTENT: u32 = 4096;
/// Part of a tile that is cut beyond its edges.
const BUFFER: f64 = 64.0 / 4096.0;

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

/// A gzipped tile; `None` where there is nothing. Where the scheme wants it, a point in the middle names its level, row and column.
pub(crate) fn tile(data: &Data, scheme: &TileScheme, level: u32, row: u64, column: u64) -> Option<Vec<u8>> {
    once(Key::Tile(scheme.title, level, row, column), || draw(data, scheme, level, row, column))
}

fn draw(data: &Data, scheme: &TileScheme, level: u32, row: u64, column: u64) -> Option<Vec<u8>> {
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
