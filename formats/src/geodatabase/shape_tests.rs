//! Shapes of real files byte by byte, shapes that are written and read again, and bytes that are no shape.

use super::shape_blob::{read_shape, read_shape_head};
use super::shape_blob_writer::ShapeBlobWriter;
use crate::geometry::{Geometry, GeometryError, GeometryKind, RingGroups, Shortage};
use crate::geometry::{GridAxis, PrecisionGrid};
use proptest::prelude::*;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).expect("digits"), 16).expect("a byte");
    digits.chunks(2).map(pair).collect()
}

fn read(blob: &[u8], grid: &PrecisionGrid) -> Result<Geometry, GeometryError> {
    let mut shape = Geometry::default();
    read_shape(blob, grid, &mut shape)?;
    Ok(shape)
}

fn written(shape: &Geometry, srid: u32, grid: &PrecisionGrid) -> Vec<u8> {
    let mut blob = Vec::new();
    ShapeBlobWriter::default().write(shape, srid, grid, &mut blob).expect("short enough");
    blob
}

fn degrees() -> PrecisionGrid {
    let (xy, zm) = (GridAxis::new(-400.0, 1e9), GridAxis::new(-100_000.0, 10_000.0));
    PrecisionGrid { x: xy, y: xy, z: zm, m: zm }
}

fn fine() -> PrecisionGrid {
    let xy = GridAxis::new(-400.0, 11_258_999_068_426.2);
    PrecisionGrid { x: xy, y: xy, ..degrees() }
}

#[test]
fn the_worked_example_is_read_and_written_byte_for_byte() {
    // Mobile map package reference B.6: a point of Web Mercator.
    let blob = bytes("64 110F00 01000000 04 01 0C000000 01000000 9CC5D9A2FF03 ACCCBBA6F913");
    let grid = PrecisionGrid::web_mercator();
    let shape = read(&blob, &grid).expect("a shape");
    assert_eq!((shape.kind(), shape.has_z(), shape.has_m()), (GeometryKind::Point, false, false));
    let [x, y] = shape.xy()[0];
    assert!((x + 13_175_535.587_6).abs() < 1e-6 && (y - 4_028_719.370_8).abs() < 1e-6, "{x} {y}");
    assert_eq!(written(&shape, 3857, &grid), blob);
    let head = read_shape_head(&blob).expect("a head");
    assert_eq!((head.srid, head.envelope), (3857, None));
    // B.6: the empty shape has 18 bytes, no points, and the entity 0.
    let empty = bytes("64 E61000 00000000 18 00 00000000 01000000");
    let shape = read(&empty, &degrees()).expect("a shape");
    assert!(shape.has_no_points() && shape.kind() == GeometryKind::Polygon && shape.part_ranges().len() == 0);
    assert_eq!(written(&shape, 4326, &degrees()), empty);
    // B.6: the rest of length and flags may be rubbish (`01 10 00 04` occurs).
    let mut rubbish = blob.clone();
    rubbish[11..14].copy_from_slice(&[0xAB, 0xCD, 0xEF]);
    rubbish[14..18].copy_from_slice(&[1, 0x10, 0, 4]);
    assert_eq!(read(&rubbish, &grid), read(&blob, &grid));
}

#[test]
fn shapes_of_a_desktop_program_with_heights_are_read_and_written_byte_for_byte() {
    // Rows of a file that ArcGIS Pro made in 2016: a multipoint of one point, a point, polygons; srid 300001, with z.
    for (hex, kind, points) in [
        ("64E19304010000000A0115000000010100008085F0BA91A0BE910B8EF69AFEB0A9BC1180A8D6B907", GeometryKind::Multipoint, 0),
        ("64E19304010000000A01150000000101000085F0BA91A0BE910B8EF69AFEB0A9BC1180A8D6B907", GeometryKind::Multipoint, 1),
        ("64E1930401000000060115000000010100009DB4AC90E9F5900BBEF1CC80D59FBC1180A8D6B907", GeometryKind::Point, 1),
        (
            "64E19304050000001A088901000001010000A1DCBEBBEEBC900BAEE9DFB1C087BC11FCEC928CD30FC098E0DCFC19899998C18926FCC5E389990997C9FC8AB60CBCAE99E98019E4F581C0EC2280AFAAFD940A80A8D6B90700000000",
            GeometryKind::Polygon,
            5,
        ),
    ] {
        let blob = bytes(hex);
        let shape = read(&blob, &fine());
        if points == 0 {
            // One byte too many.
            assert!(matches!(shape, Err(GeometryError::Length { stated: 21, found: 22 })), "{shape:?}");
            continue;
        }
        let shape = shape.expect("a shape");
        assert_eq!((shape.kind(), shape.xy().len(), shape.has_z()), (kind, points, true));
        assert!(shape.z().iter().all(|z| *z == 0.0), "{:?}", shape.z());
        let [xmin, ymin, xmax, ymax] = shape.extent().expect("points");
        assert!(xmin > -121.83 && xmax < -121.53 && ymin > 36.59 && ymax < 36.8, "Monterey");
        let mut again = written(&shape, 300_001, &fine());
        // The unused bytes of the length are what they are.
        let tail = 11..14;
        again[tail.clone()].copy_from_slice(&blob[tail]);
        assert_eq!(again, blob, "{hex}");
    }
}

fn polygon(parts: &[&[[f64; 2]]], z: bool, m: bool, kind: GeometryKind) -> Geometry {
    let mut shape = Geometry::default();
    shape.begin(kind, z, m);
    for (n, part) in (1_u32..).zip(parts) {
        for (at, point) in (0_u32..).zip(*part) {
            shape.add_point(*point, f64::from(n * 100 + at), -f64::from(n * 100 + at));
        }
        shape.close_part();
    }
    shape
}

#[test]
fn parts_heights_and_measures_stay_with_their_points() {
    let outer = [[0.0, 0.0], [9.0, 0.0], [9.0, 9.0], [0.0, 9.0]];
    let hole = [[3.0, 3.0], [6.0, 3.0], [6.0, 6.0], [3.0, 6.0]];
    let island = [[20.0, 20.0], [30.0, 20.0], [30.0, 30.0]];
    for (z, m) in [(false, false), (true, false), (false, true), (true, true)] {
        // More than ten points, so with envelope and list of parts; and at most ten, so without.
        for parts in [&[&outer[..], &hole, &island][..], &[&outer, &island]] {
            let shape = polygon(parts, z, m, GeometryKind::Polygon);
            let blob = written(&shape, 4326, &degrees());
            let again = read(&blob, &degrees()).expect("a shape");
            assert_eq!(again, shape, "{z} {m}");
            let envelope = read_shape_head(&blob).expect("a head").envelope;
            assert_eq!(envelope.is_some(), shape.xy().len() + parts.len() - 1 > 10);
            let lines = polygon(parts, z, m, GeometryKind::Line);
            assert_eq!(read(&written(&lines, 1, &degrees()), &degrees()).expect("a shape"), lines);
        }
        let many: Vec<[f64; 2]> = (0..30).map(|i| [f64::from(i), -f64::from(i)]).collect();
        for count in [1, 2, 10, 11, 30] {
            let points = polygon(&[&many[..count]], z, m, GeometryKind::Multipoint);
            assert_eq!(read(&written(&points, 1, &degrees()), &degrees()).expect("a shape"), points, "{count}");
        }
    }
}

#[test]
fn all_rings_run_counter_clockwise_and_the_hole_stays_one() {
    let outer = [[0.0, 0.0], [0.0, 9.0], [9.0, 9.0], [9.0, 0.0]];
    let hole = [[3.0, 3.0], [6.0, 3.0], [6.0, 6.0], [3.0, 6.0]];
    let again = read(&written(&polygon(&[&outer, &hole], false, false, GeometryKind::Polygon), 1, &degrees()), &degrees());
    let again = again.expect("a shape");
    for part in again.part_ranges() {
        assert!(offmap_model::geometry::signed_area(&again.xy()[part]) > 0.0);
    }
    let mut groups = RingGroups::default();
    groups.sort(&again);
    assert_eq!(groups.polygons().map(<[_]>::len).collect::<Vec<_>>(), [2]);
}

#[test]
fn what_is_no_shape_is_refused_by_name() {
    let point = bytes("64 110F00 01000000 04 01 0C000000 01000000 9CC5D9A2FF03 ACCCBBA6F913");
    let changed = |at: usize, byte: u8| {
        let mut blob = point.clone();
        blob[at] = byte;
        read(&blob, &PrecisionGrid::web_mercator()).expect_err("refused")
    };
    let short = |before, bytes| GeometryError::Short { before, bytes };
    assert_eq!(read(&[], &degrees()), Err(short(Shortage::Head, 0)));
    assert_eq!(changed(0, 0x65), GeometryError::Magic { found: 0x65, expected: "0x64" });
    assert_eq!(changed(7, 0x7f), GeometryError::Count { stated: 0x7f00_0001, most: 6 });
    assert_eq!(changed(4, 2), short(Shortage::Coordinates, point.len()), "two points whose bytes hold one");
    for class in [0x00, 0x05 + 0x20, 0x44, 0x24, 0xff] {
        assert!(matches!(changed(8, class), GeometryError::Unsupported { .. }), "{class:x}");
    }
    assert_eq!(changed(10, 11), GeometryError::Length { stated: 11, found: 12 });
    assert_eq!(read(&point[..18], &degrees()), Err(GeometryError::Count { stated: 1, most: 0 }));
    assert_eq!(read(&point[..29], &degrees()), Err(GeometryError::Length { stated: 12, found: 11 }));
    // A number without end, and one beyond 64 bits.
    for tail in ["FFFFFFFFFFFFFFFFFFFFFFFF", "FFFFFFFFFFFFFFFFFF7F0000"] {
        let mut blob = point[..18].to_vec();
        blob.extend(bytes(tail));
        assert!(matches!(read(&blob, &degrees()), Err(GeometryError::Number | GeometryError::Short { .. })), "{tail}");
    }
}

#[test]
fn a_list_of_parts_that_lies_is_refused() {
    let line: Vec<[f64; 2]> = (0..12).map(|i| [f64::from(i), 1.0]).collect();
    let blob = written(&polygon(&[&line, &line], false, false, GeometryKind::Line), 1, &degrees());
    let list = blob.windows(2).position(|w| w == [1, 13]).expect("one more part, of 13 points");
    for (first, second) in [(60, 13), (1, 60)] {
        let mut lying = blob.clone();
        (lying[list], lying[list + 1]) = (first, second);
        assert!(read(&lying, &degrees()).is_err(), "{first} {second}");
    }
}

fn any_shape() -> impl Strategy<Value = Geometry> {
    let point = (-3_000_i64..3_000, -3_000_i64..3_000, -500_i64..500, -500_i64..500);
    let parts = prop::collection::vec(prop::collection::vec(point, 1..20), 0..6);
    (0..4_usize, any::<bool>(), any::<bool>(), parts).prop_map(|(kind, z, m, parts)| {
        let kind = [GeometryKind::Point, GeometryKind::Multipoint, GeometryKind::Line, GeometryKind::Polygon][kind];
        let mut shape = Geometry::default();
        shape.begin(kind, z, m);
        let all: Vec<_> = match kind {
            GeometryKind::Point => parts.first().into_iter().map(|p| &p[..1]).collect(),
            GeometryKind::Multipoint => parts.first().into_iter().map(|p| &p[..]).collect(),
            _ => parts.iter().map(|p| &p[..]).collect(),
        };
        for part in all {
            for (x, y, z, m) in part {
                // On the grid of a sixteenth, which halves hold exactly.
                let at = |n: &i64| *n as f64 / 16.0;
                shape.add_point([at(x), at(y)], at(z), at(m));
            }
            shape.close_part();
        }
        shape
    })
}

fn sixteenths() -> PrecisionGrid {
    let axis = GridAxis::new(-256.0, 16.0);
    PrecisionGrid { x: axis, y: axis, z: axis, m: axis }
}

/// Its parts, whatever their order and direction.
fn parts(shape: &Geometry) -> Vec<Vec<[i64; 4]>> {
    let whole = |n: Option<&f64>| n.map_or(0, |n| (n * 16.0) as i64);
    let point = |at: usize| {
        [whole(shape.xy()[at].first()), whole(shape.xy()[at].last()), whole(shape.z().get(at)), whole(shape.m().get(at))]
    };
    let mut parts: Vec<Vec<[i64; 4]>> = shape.part_ranges().map(|p| p.map(point).collect()).collect();
    if shape.kind() == GeometryKind::Polygon {
        for ring in &mut parts {
            let reversed: Vec<_> = ring.iter().rev().copied().collect();
            *ring = std::cmp::min(std::mem::take(ring), reversed);
        }
        parts.sort();
    }
    parts
}

proptest! {
    #[test]
    fn every_shape_is_itself_again(shape in any_shape()) {
        let again = read(&written(&shape, 4326, &sixteenths()), &sixteenths()).expect("a shape");
        prop_assert_eq!((again.kind(), again.has_z(), again.has_m()), (shape.kind(), shape.has_z(), shape.has_m()));
        prop_assert_eq!(parts(&again), parts(&shape));
        let mut wkb = Vec::new();
        crate::geopackage::binary::write(&shape, 4326, &mut RingGroups::default(), &mut wkb);
        let mut third = Geometry::default();
        let header = crate::geopackage::binary::read(&wkb, &mut third).expect("a shape");
        prop_assert_eq!(header.is_empty, shape.has_no_points());
        prop_assert_eq!(parts(&third), parts(&shape));
    }

    #[test]
    fn no_bytes_make_the_readers_panic(mut blob in prop::collection::vec(any::<u8>(), 0..200), class in 0_usize..8, is_shape in any::<bool>()) {
        if let (Some(place), true) = (blob.get_mut(8), is_shape) {
            *place = [0x04, 0x06, 0x0a, 0x14, 0x16, 0x17, 0x18, 0x1b][class];
        }
        if let (Some(start), true) = (blob.get_mut(..8), is_shape) {
            start.copy_from_slice(&[0x64, 1, 0, 0, 12, 0, 0, 0]);
        }
        let mut shape = Geometry::default();
        if read_shape(&blob, &degrees(), &mut shape).is_ok() {
            // Zeros at a number's end, and the direction of rings, may be lost; the points are not.
            prop_assert!(shape.has_no_points() || shape.extent().is_some());
        }
        let _ = crate::geopackage::binary::read(&blob, &mut shape);
        let _ = crate::geometry::wkb::read(&blob, &mut shape);
    }
}
