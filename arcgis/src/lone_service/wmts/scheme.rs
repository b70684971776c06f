//! A set of tile matrices as a tiling scheme with one origin, one size of tiles and levels.
//!
//! The resolution of a level is its scale denominator × 0.28 mm, in the units of the reference system (OGC 07-057r7, §6.1). The corner of
//! a matrix is in the order of the axes of its reference system: latitude comes first in EPSG:4326, longitude in CRS84. Servers do not keep
//! to it, and some projected systems have the northing first; so that order is taken in which the layer lies on the matrices, and the one
//! of the reference system where both do or none does.

use super::capabilities::{Layer, Link, TileMatrix, TileMatrixSet};
use crate::lone_service::level_scale::LevelScale;
use offmap_model::{AreaOfInterest, Envelope, SpatialReference};
use serde_json::{Value, json};

/// Side of a pixel in metres, for scales of OGC and those of ArcGIS.
const PIXEL: f64 = 0.000_28;
const ARCGIS_PIXEL: f64 = 0.025_4 / 96.0;
/// How far corners of levels may lie apart, in pixels of the level.
const SAME_CORNER: f64 = 0.5;
/// Largest side of a tile in pixels.
const LARGEST_TILE: u32 = 4096;

/// See the module.
#[derive(Debug)]
pub(super) struct Scheme {
    pub(super) levels: Vec<LevelScale>,
    pub(super) extent: Envelope,
    /// As maps describe it, without the format.
    pub(super) tile_info: Value,
}

/// A matrix with its resolution.
struct Level<'a> {
    matrix: &'a TileMatrix,
    resolution: f64,
}

impl Level<'_> {
    /// What it covers from a corner on, without the corner's reference.
    fn covers(&self, [x, y]: [f64; 2], reference: &SpatialReference) -> Envelope {
        let side = |tiles: u64, pixels: u32| tiles as f64 * f64::from(pixels) * self.resolution;
        let (width, height) =
            (side(self.matrix.width, self.matrix.tile_width), side(self.matrix.height, self.matrix.tile_height));
        Envelope::new(x, y - height, x + width, y, reference.clone())
    }
}

/// Reads a set as a scheme for a layer; the error says in half a sentence why it is none.
pub(super) fn read(set: &TileMatrixSet, link: &Link, layer: &Layer) -> Result<Scheme, String> {
    let (reference, is_longitude_first) = reference_of(&set.crs)?;
    let metres = reference.meters_per_unit().map_err(|why| format!("is in {why}"))?;
    let resolution = |matrix: &TileMatrix| matrix.scale_denominator * PIXEL / metres;
    let mut levels: Vec<Level<'_>> =
        set.matrices.iter().map(|matrix| Level { matrix, resolution: resolution(matrix) }).collect();
    levels.sort_by(|a, b| b.resolution.total_cmp(&a.resolution));
    let Some(first) = levels.first() else { return Err("has no levels that can be read".to_owned()) };
    let (tile_width, tile_height) = (first.matrix.tile_width, first.matrix.tile_height);
    for level in &levels {
        let TileMatrix { id, tile_width: w, tile_height: h, top_left, .. } = level.matrix;
        if (*w, *h) != (tile_width, tile_height) || tile_width.max(tile_height) > LARGEST_TILE {
            return Err(format!(
                "has tiles of {w} × {h} pixels at level `{id}` and of {tile_width} × {tile_height} at its first"
            ));
        }
        let apart = (0..2).map(|k| (top_left[k] - first.matrix.top_left[k]).abs()).fold(0.0, f64::max);
        if apart > SAME_CORNER * level.resolution {
            return Err(format!("begins at another corner at level `{id}` than at its first"));
        }
    }
    let bounds = layer.bounds.and_then(|bounds| projected(bounds, &reference));
    let [a, b] = first.matrix.top_left;
    let (usual, other) = if is_longitude_first { ([a, b], [b, a]) } else { ([b, a], [a, b]) };
    let lies_on = |corner: [f64; 2]| {
        levels.iter().all(|level| may_cover(&level.covers(corner, &reference), bounds.as_ref(), &reference))
    };
    let corner = if lies_on(usual) || !lies_on(other) { usual } else { other };
    let extent = extent(&levels, corner, (&reference, bounds), link)?;
    let ids = ids(&levels);
    let scale = |level: &Level<'_>| level.resolution * metres / ARCGIS_PIXEL;
    let lod = |(level, id): (&Level<'_>, &u32)| json!({"level": id, "levelValue": level.matrix.id, "resolution": level.resolution, "scale": scale(level)});
    let tile_info = json!({
        "rows": tile_height,
        "cols": tile_width,
        "dpi": 96,
        "origin": {"x": corner[0], "y": corner[1]},
        "spatialReference": reference,
        "lods": levels.iter().zip(&ids).map(lod).collect::<Vec<_>>(),
    });
    let levels = levels.iter().zip(&ids).map(|(level, id)| LevelScale { level: *id, scale: scale(level) }).collect();
    Ok(Scheme { levels, extent, tile_info })
}

/// A reference system, and whether the first of its axes goes to the east.
fn reference_of(crs: &str) -> Result<(SpatialReference, bool), String> {
    let name = crs.rsplit([':', '/', '#']).next().unwrap_or_default();
    if name.eq_ignore_ascii_case("CRS84") {
        return Ok((SpatialReference::wgs84(), true));
    }
    let Ok(code) = name.parse::<u32>() else {
        return Err(format!("is in `{}`, which is no number of the EPSG list", crs.escape_debug()));
    };
    let reference = match code {
        3857 | 900_913 | 3785 => SpatialReference::web_mercator(),
        other => SpatialReference::from_wkid(other),
    };
    reference.check().map_err(|failure| format!("is in {}", failure.message))?;
    let is_geographic = reference.world().is_some() && !reference.is_web_mercator();
    Ok((reference, !is_geographic))
}

/// West, south, east and north in degrees as an extent in a reference; `None` where that has no place for all of it.
fn projected([west, south, east, north]: [f64; 4], reference: &SpatialReference) -> Option<Envelope> {
    // The poles have no place in Web Mercator.
    let top = if reference.is_web_mercator() { 85.051_128 } else { 90.0 };
    let (south, north) = (south.clamp(-top, top), north.clamp(-top, top));
    let area = AreaOfInterest::Envelope(Envelope::new(west, south, east, north, SpatialReference::wgs84()));
    area.project(reference).ok()?.envelope().filter(|e| e.xmin < e.xmax && e.ymin < e.ymax)
}

/// Whether a matrix that covers so much can be one of the layer's.
fn may_cover(covers: &Envelope, bounds: Option<&Envelope>, reference: &SpatialReference) -> bool {
    let on = |bounds: &Envelope| covers.intersects(bounds);
    let world = reference.world();
    // A scheme may reach beyond the world to the east and to the south, and begins on it.
    let begins = world.is_none_or(|w| {
        let slack = (w.xmax - w.xmin) / 100.0;
        covers.xmin >= w.xmin - slack && covers.xmin < w.xmax && covers.ymax <= w.ymax + slack && covers.ymax > w.ymin
    });
    begins && bounds.is_none_or(on)
}

/// What any level covers, within its limits and within the bounds of the layer: what a finer level lacks of it is not there, and a
/// coarser one has it.
fn extent(
    levels: &[Level<'_>],
    corner: [f64; 2],
    (reference, bounds): (&SpatialReference, Option<Envelope>),
    link: &Link,
) -> Result<Envelope, String> {
    let within = |a: Envelope, b: Envelope| {
        Envelope::new(a.xmin.max(b.xmin), a.ymin.max(b.ymin), a.xmax.min(b.xmax), a.ymax.min(b.ymax), reference.clone())
    };
    let limits = |level: &Level<'_>| {
        let [top, bottom, left, right] = *link.limits.get(&level.matrix.id)?;
        let (width, height) =
            (f64::from(level.matrix.tile_width) * level.resolution, f64::from(level.matrix.tile_height) * level.resolution);
        let x = |column: u64| corner[0] + column as f64 * width;
        let y = |row: u64| corner[1] - row as f64 * height;
        Some(Envelope::new(x(left), y(bottom.saturating_add(1)), x(right.saturating_add(1)), y(top), reference.clone()))
    };
    // Where some levels have limits, those without say nothing of where the layer is.
    let has_limits = levels.iter().any(|level| link.limits.contains_key(&level.matrix.id));
    let of_level = |level: &Level<'_>| {
        let covers = level.covers(corner, reference);
        match limits(level) {
            Some(limits) => Some(within(covers, limits)),
            None => (!has_limits).then_some(covers),
        }
    };
    let any = levels.iter().filter_map(of_level).filter(|e| e.xmin < e.xmax && e.ymin < e.ymax).reduce(|a, b| {
        Envelope::new(a.xmin.min(b.xmin), a.ymin.min(b.ymin), a.xmax.max(b.xmax), a.ymax.max(b.ymax), reference.clone())
    });
    let all = any.map(|any| match bounds {
        Some(bounds) => within(any, bounds),
        None => any,
    });
    all.filter(|e| e.xmin < e.xmax && e.ymin < e.ymax).ok_or_else(|| "covers nothing of the layer".to_owned())
}

/// Ids of levels: the numbers at the ends of their identifiers where they grow, else their places.
fn ids(levels: &[Level<'_>]) -> Vec<u32> {
    let number = |level: &Level<'_>| {
        let id = &level.matrix.id;
        id.get(id.trim_end_matches(|c: char| c.is_ascii_digit()).len()..)?.parse::<u32>().ok().filter(|n| *n < 100)
    };
    let numbers: Option<Vec<u32>> = levels.iter().map(number).collect();
    let grow = |all: &Vec<u32>| all.windows(2).all(|two| two[0] < two[1]);
    numbers.filter(grow).unwrap_or_else(|| (0..).take(levels.len()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(id: &str, scale_denominator: f64, top_left: [f64; 2], size: [u64; 2]) -> TileMatrix {
        let [width, height] = size;
        TileMatrix { id: id.to_owned(), scale_denominator, top_left, tile_width: 256, tile_height: 256, width, height }
    }

    fn set(crs: &str, matrices: Vec<TileMatrix>) -> TileMatrixSet {
        TileMatrixSet { id: "S".to_owned(), crs: crs.to_owned(), matrices }
    }

    fn of(set: &TileMatrixSet, bounds: Option<[f64; 4]>) -> Result<Scheme, String> {
        read(set, &Link::default(), &Layer { bounds, ..Layer::default() })
    }

    #[test]
    fn a_scale_denominator_is_a_resolution_by_the_pixel_of_the_standard() {
        // GoogleMapsCompatible (07-057r7, annex E.4).
        let half = 20_037_508.342_789_2;
        let web = set(
            "urn:ogc:def:crs:EPSG::3857",
            vec![
                matrix("EPSG:900913:1", 279_541_132.014_358_7, [-half, half], [2, 2]),
                matrix("EPSG:900913:0", 559_082_264.028_717_8, [-half, half], [1, 1]),
            ],
        );
        let scheme = of(&web, Some([-180.0, -90.0, 180.0, 90.0])).expect("a scheme");
        let first = &scheme.tile_info["lods"][0];
        assert!((first["resolution"].as_f64().expect("a number") - 156_543.033_928_041).abs() < 1e-6, "{first}");
        assert!((scheme.levels[0].scale - 591_658_710.909_131_3).abs() < 1e-3, "{:?}", scheme.levels);
        assert_eq!((&first["level"], &first["levelValue"]), (&json!(0), &json!("EPSG:900913:0")));
        assert!((scheme.extent.ymax - half).abs() < 10.0 && (scheme.extent.xmin + half).abs() < 1.0, "{:?}", scheme.extent);
    }

    #[test]
    fn the_corner_is_read_in_the_order_of_the_axes_and_against_it_where_only_that_can_be() {
        // GlobalCRS84Geometric (annex E): 0.703125 degrees a pixel.
        let degrees = |crs: &str, top_left| set(crs, vec![matrix("0", 279_541_132.014_358_76, top_left, [2, 1])]);
        for (crs, corner) in [
            ("urn:ogc:def:crs:EPSG::4326", [90.0, -180.0]),
            ("urn:ogc:def:crs:OGC:1.3:CRS84", [-180.0, 90.0]),
            // Against the standard.
            ("urn:ogc:def:crs:EPSG:4326", [-180.0, 90.0]),
            ("http://www.opengis.net/def/crs/EPSG/0/4326", [90.0, -180.0]),
        ] {
            let scheme = of(&degrees(crs, corner), None).expect(crs);
            assert_eq!(scheme.tile_info["origin"], json!({"x": -180.0, "y": 90.0}), "{crs}");
            let resolution = scheme.tile_info["lods"][0]["resolution"].as_f64().expect("a number");
            assert!((resolution - 0.703_125).abs() < 1e-9, "{resolution}");
        }
        // ETRS89-LAEA has the northing first, and UTM the easting.
        let europe = set("urn:ogc:def:crs:EPSG::3035", vec![matrix("0", 1e7, [5_500_000.0, 2_000_000.0], [8, 8])]);
        let scheme = of(&europe, Some([6.0, 46.0, 15.0, 55.0])).expect("a scheme");
        assert_eq!(scheme.tile_info["origin"], json!({"x": 2_000_000.0, "y": 5_500_000.0}));
        let country =
            set("urn:ogc:def:crs:EPSG::25832", vec![matrix("00", 3_571_428.571_428_571, [280_000.0, 6_112_000.0], [3, 4])]);
        let scheme = of(&country, Some([5.55, 46.8, 15.8, 55.1])).expect("a scheme");
        assert_eq!(scheme.tile_info["origin"], json!({"x": 280_000.0, "y": 6_112_000.0}));
        assert!((scheme.tile_info["lods"][0]["resolution"].as_f64().expect("a number") - 1000.0).abs() < 1e-6);
    }

    #[test]
    fn a_set_that_is_no_pyramid_with_one_origin_is_refused_in_words() {
        let corner = [280_000.0, 6_112_000.0];
        let two = |second: TileMatrix| set("EPSG:25832", vec![matrix("a", 1e6, corner, [9, 9]), second]);
        for (wrong, words) in [
            (two(matrix("b", 5e5, [280_000.0, 6_112_500.0], [9, 9])), "another corner at level `b`"),
            (two(TileMatrix { tile_width: 512, ..matrix("b", 5e5, corner, [9, 9]) }), "512 × 256 pixels"),
            (set("EPSG:25832", vec![]), "no levels"),
            (set("urn:ogc:def:crs:OGC:1.3:Local", vec![matrix("a", 1e6, corner, [9, 9])]), "EPSG list"),
        ] {
            let refused = of(&wrong, None).expect_err(words);
            assert!(refused.contains(words), "{refused}");
        }
        let far = of(&two(matrix("b", 5e5, corner, [9, 9])), Some([20.0, 10.0, 21.0, 11.0]));
        assert!(far.is_err(), "the layer lies elsewhere");
    }

    #[test]
    fn levels_have_the_numbers_of_their_identifiers_where_these_grow() {
        let corner = [280_000.0, 6_112_000.0];
        let of_ids = |names: [&str; 3]| {
            let matrices = names.iter().zip([4e6, 2e6, 1e6]).map(|(id, scale)| matrix(id, scale, corner, [9, 9])).collect();
            of(&set("EPSG:25832", matrices), None).expect("a scheme").levels.iter().map(|l| l.level).collect::<Vec<_>>()
        };
        assert_eq!(of_ids(["05", "06", "08"]), [5, 6, 8]);
        assert_eq!(of_ids(["A:5", "A:6", "A:7"]), [5, 6, 7]);
        assert_eq!(of_ids(["1e6", "5e5", "x"]), [0, 1, 2]);
        assert_eq!(of_ids(["3", "2", "1"]), [0, 1, 2]);
    }
}
