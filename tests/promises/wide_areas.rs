//! Areas up to the whole world, in the two references that run around it, as envelopes and as polygons: counted alike.

use crate::support::{Bench, run_to_end};
use offmap::formats::tiles::{Lod, Origin, TileInfo};
use offmap::model::geometry::Envelope;
use offmap::{AreaOfInterest, SpatialReference, verify_deep};
use offmap_sandbox::FIELD_MAP;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::f64::consts::PI;

/// Half the width of the Web Mercator square, and the latitude at which it ends.
const HALF: f64 = 20_037_508.342_787;
const TOP: f64 = 85.051_128_779_806_6;

fn scheme(levels: u32) -> TileInfo {
    let lod = |level: u32| {
        let part = f64::from(1_u32 << level);
        Lod { level, resolution: 2.0 * HALF / 256.0 / part, scale: 591_657_527.591_555 / part }
    };
    TileInfo {
        rows: 256,
        cols: 256,
        origin: Origin { x: -HALF, y: HALF },
        spatial_reference: SpatialReference::web_mercator(),
        lods: (0..levels).map(lod).collect(),
        format: None,
    }
}

fn counts(area: &AreaOfInterest, levels: u32) -> Vec<u64> {
    let info = scheme(levels);
    info.count(area, None, &info.lods).expect("counts").iter().map(|l| l.tiles).collect()
}

/// Longitude and latitude in Web Mercator, by the closed form, clamped to its square.
fn mercator([lon, lat]: [f64; 2]) -> [f64; 2] {
    let lat = lat.clamp(-TOP, TOP).to_radians();
    [lon / 180.0 * HALF, (PI / 4.0 + lat / 2.0).tan().ln() / PI * HALF]
}

/// Tiles of an envelope in degrees on a level, by plain arithmetic. `xmax` may be beyond 180.
fn expected(envelope: [f64; 4], level: u32) -> u64 {
    let side = 1_u64 << level;
    let [xmin, ymin, xmax, ymax] = envelope;
    let index = |part: f64| ((part * side as f64).floor().max(0.0) as u64).min(side - 1);
    // A thousandth of a pixel from each edge.
    let edge = 1e-3 / 256.0 / side as f64;
    let across = |x: f64| (x + 180.0) / 360.0;
    let down = |y: f64| (HALF - mercator([0.0, y])[1]) / (2.0 * HALF);
    let (first, last) = (across(xmin) + edge, across(xmax) - edge);
    let columns = if last <= 1.0 {
        index(last) - index(first) + 1
    } else {
        // On both sides of the dateline; in the middle both may share a column.
        let (east, west) = (index(first)..side, 0..index(last - 1.0) + 1);
        (side - east.start) + west.end.min(east.start)
    };
    let (top, bottom) = (down(ymax) + edge, down(ymin) - edge);
    columns * (index(bottom) - index(top) + 1)
}

/// An envelope in degrees in every form that means the same.
fn forms([xmin, ymin, xmax, ymax]: [f64; 4]) -> Vec<(&'static str, AreaOfInterest)> {
    let ([left, low], [right, high]) = (mercator([xmin, ymin]), mercator([xmax, ymax]));
    let ring = |a: f64, b: f64, c: f64, d: f64| json!([[[a, b], [a, d], [c, d], [c, b], [a, b]]]);
    let degrees = ring(xmin, ymin, xmax, ymax);
    let envelope = Envelope::new(xmin, ymin, xmax, ymax, SpatialReference::wgs84());
    let metres = Envelope::new(left, low, right, high, SpatialReference::web_mercator());
    let nad83 = Envelope::new(xmin, ymin, xmax, ymax, SpatialReference::from_wkid(4269));
    let esri = |rings: Value, wkid: u32| {
        let text = json!({"rings": rings, "spatialReference": {"wkid": wkid}}).to_string();
        AreaOfInterest::from_json(&text).expect("an area")
    };
    let geojson = json!({"type": "Polygon", "coordinates": degrees}).to_string();
    vec![
        ("envelope in degrees", envelope.into()),
        ("envelope in metres", metres.into()),
        ("envelope in NAD83", nad83.into()),
        ("polygon in degrees", esri(degrees, 4326)),
        ("polygon in metres", esri(ring(left, low, right, high), 102_100)),
        ("GeoJSON", AreaOfInterest::from_json(&geojson).expect("an area")),
    ]
}

#[test]
fn the_wide_areas_of_the_cases_are_counted_alike_in_both_references() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../cases/areas-wide.json")).expect("JSON");
    assert_eq!(cases.len(), 7);
    for case in cases {
        let area = match &case["area"] {
            Value::String(text) => AreaOfInterest::from_numbers(text),
            json => AreaOfInterest::from_json(&json.to_string()),
        }
        .expect("an area");
        let crosses = case["crossesTheDateline"].as_bool().unwrap_or(false);
        assert_eq!(area.crosses_dateline(), crosses, "{case}");
        let projected = area.unwrapped().project(&SpatialReference::web_mercator()).expect("projects");
        assert_eq!(projected.crosses_dateline(), crosses, "{case}");
        let back = projected.project(&SpatialReference::wgs84()).expect("projects");
        for (level, tiles) in case["tiles"].as_object().into_iter().flatten() {
            let level: usize = level.parse().expect("a level");
            for (what, area) in [("as given", &area), ("projected", &projected), ("and back", &back)] {
                assert_eq!(counts(area, 4).get(level).copied(), tiles.as_u64(), "{what}, level {level}: {case}");
            }
        }
    }
}

#[test]
fn areas_at_the_edges_of_the_world_are_counted_as_arithmetic_counts_them() {
    for envelope in [
        [-180.0, -90.0, 180.0, 90.0],
        [-180.0, 43.0, 180.0, 52.0],
        [-180.0, 10.0, 120.0, 40.0],
        [-180.0, -20.0, -170.0, -10.0],
        [170.0, -20.0, 180.0, -10.0],
        [170.0, -20.0, 190.0, -10.0],
        [170.0, -20.0, 350.0, -10.0],
        [-180.0, 84.0, 180.0, 90.0],
        [-90.0, -90.0, 180.0, -80.0],
        [0.0, 0.0, 180.0, 85.051_128_779_806_6],
        // One tile of level 4, and a sliver.
        [0.0, 0.0, 22.5, 21.943_045_533_438_177],
        [7.0, 50.0, 7.000_000_1, 51.0],
    ] {
        let right: Vec<u64> = (0..8).map(|level| expected(envelope, level)).collect();
        for (what, area) in forms(envelope) {
            assert_eq!(counts(&area, 8), right, "{what}: {envelope:?}");
        }
    }
    assert_eq!(expected([0.0, 0.0, 22.5, 21.943_045_533_438_177], 4), 1);
    assert_eq!(expected([-180.0, -90.0, 180.0, 90.0], 3), 64);
}

#[test]
fn what_of_an_area_lies_beyond_the_square_of_web_mercator_counts_no_tile() {
    let area = |ymin: f64, ymax: f64| Envelope::new(-HALF, ymin, HALF, ymax, SpatialReference::web_mercator()).into();
    assert_eq!(counts(&area(-1.5 * HALF, 1.5 * HALF), 4), [1, 4, 16, 64]);
    assert_eq!(counts(&area(0.5 * HALF, 1.5 * HALF), 4), [1, 2, 4, 16]);
    for beyond in
        [area(1.1 * HALF, 1.5 * HALF), area(HALF, 1.5 * HALF), AreaOfInterest::from_numbers("1,86,9,89").expect("an area")]
    {
        assert_eq!(counts(&beyond, 4), [0, 0, 0, 0], "{beyond:?}");
    }
    // A funnel that is wide above the square and narrow in it.
    let funnel = json!({"rings": [[[0.0, 0.0], [-HALF, 2.0 * HALF], [HALF, 2.0 * HALF], [0.0, 0.0]]],
        "spatialReference": {"wkid": 102_100}});
    let funnel = AreaOfInterest::from_json(&funnel.to_string()).expect("an area");
    assert_eq!(counts(&funnel, 3), [1, 2, 4]);
}

#[test]
fn an_area_around_a_pole_reaches_all_longitudes_up_to_the_pole() {
    // Polar stereographic: a square of 3000 km around the north pole, an envelope and a ring, both ways around.
    let side = 1_500_000.0;
    let corners = [[-side, -side], [-side, side], [side, side], [side, -side], [-side, -side]];
    let mut turned = corners;
    turned.reverse();
    let ring = |ring: [[f64; 2]; 5]| {
        let text = json!({"rings": [ring], "spatialReference": {"wkid": 3413}}).to_string();
        AreaOfInterest::from_json(&text).expect("an area")
    };
    let envelope = AreaOfInterest::from_numbers(&format!("-{side},-{side},{side},{side},3413")).expect("an area");
    for area in [envelope, ring(corners), ring(turned)] {
        let degrees = area.project(&SpatialReference::wgs84()).expect("projects");
        let e = degrees.envelope().expect("not empty");
        assert!((e.xmax - e.xmin - 360.0).abs() < 1e-6, "{e:?}");
        assert!((e.ymax - 90.0).abs() < 1e-6 && e.ymin > 68.0 && e.ymin < 75.0, "{e:?}");
        let covers = |lon: f64, lat: f64| degrees.parts().iter().any(|p| p.polygon().contains([lon, lat]));
        assert!((-17..=17).all(|k| covers(f64::from(k) * 10.0 + 1.0, 85.0)), "every longitude");
        assert_eq!(counts(&area, 4), [1, 2, 4, 16], "all columns of the first rows");
    }
    // Around the south pole.
    let south = AreaOfInterest::from_numbers(&format!("-{side},-{side},{side},{side},3031")).expect("an area");
    let e = south.project(&SpatialReference::wgs84()).expect("projects").envelope().expect("not empty");
    assert!((e.ymin + 90.0).abs() < 1e-6 && e.ymax < -60.0, "{e:?}");
    assert_eq!(counts(&south, 3), [1, 2, 4]);
}

#[test]
fn an_area_without_width_or_height_is_refused() {
    for text in ["180,-20,180,-10", "-180,-20,-180,-10", "5,5,9,5"] {
        assert!(AreaOfInterest::from_numbers(text).expect_err("refused").message.contains("empty"), "{text}");
    }
}

#[tokio::test]
async fn the_whole_world_and_wide_strips_of_it_are_taken_whole() {
    let bench = Bench::new().await;
    let (mut rows, mut tiles) = (Vec::new(), Vec::new());
    let cases =
        ["-180,-90,180,90", "-20037508.342787,-20037508.342787,20037508.342787,20037508.342787,102100", "-180,10,120,40"];
    for area in cases {
        let job = bench.job(FIELD_MAP, |p| {
            p.area_of_interest = AreaOfInterest::from_numbers(area).expect("an area");
            // Levels 0 to 3.
            p.max_scale = 73_957_191.0;
        });
        let result = run_to_end(&job.await).await.0.unwrap_or_else(|e| panic!("{area}: {}", e.failure));
        assert!(!result.has_errors(), "{area}: {:?}", result.layers);
        let found = verify_deep(&result.package).expect("verifies");
        assert!(found.ok && found.complete == Some(true), "{area}: {found:?}");
        let got = |id: &str| result.layers.iter().find(|l| l.id == id).map(|l| l.contents.got).expect("an outcome");
        rows.push((got("countries"), got("places")));
        tiles.push(got("world"));
        std::fs::remove_dir_all(&result.package).expect("removes");
    }
    assert_eq!((rows[0], tiles[0]), (rows[1], 1 + 4 + 16 + 64), "in degrees and in metres");
    assert_eq!(tiles[1], tiles[0]);
    assert!(rows[0].0 > 170, "all countries, {rows:?}");
    // By plain arithmetic: level 3 has columns 0 to 6, rows 3 of 10 to 40 degrees north.
    let strip: u64 = (0..4).map(|level| expected([-180.0, 10.0, 120.0, 40.0], level)).sum();
    assert_eq!(tiles[2], strip);
}

prop_compose! {
    /// West, south, width and height in degrees, up to the whole world; sides may lie on the dateline.
    fn any_envelope()(
        width in prop_oneof![1e-3..360.0_f64, 260.0..=360.0_f64, Just(360.0)],
        place in prop_oneof![0.0..=1.0_f64, Just(0.0), Just(1.0)],
        south in prop_oneof![-89.0..84.0_f64, Just(-90.0)],
        height in prop_oneof![1e-3..1.0_f64, Just(1.0)],
    ) -> [f64; 4] {
        let west = -180.0 + place * (360.0 - width);
        [west, south, (west + width).min(180.0), south + height * (90.0 - south)]
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_envelope_of_any_width_is_counted_alike_in_every_form(envelope in any_envelope()) {
        // What lies beyond the square as a whole has no height in it.
        prop_assume!(envelope[3] > -85.0);
        let right: Vec<u64> = (0..7).map(|level| expected(envelope, level)).collect();
        for (what, area) in forms(envelope) {
            prop_assert!(!area.crosses_dateline(), "{}", what);
            let found = counts(&area, 7);
            prop_assert_eq!(&found, &right, "{}", what);
        }
    }

    #[test]
    fn an_envelope_over_the_dateline_is_counted_alike_in_every_form(
        west in 1.0..179.9_f64, east in 1e-3..179.0_f64, south in -85.0..80.0_f64, height in 1e-3..9.0_f64
    ) {
        // At most half around the world.
        let width = (180.0 - west + east).min(179.9);
        let envelope = [west, south, west + width.max(180.1 - west), south + height];
        let right: Vec<u64> = (0..7).map(|level| expected(envelope, level)).collect();
        let [a, b, c, d] = envelope;
        let inverted = AreaOfInterest::from_numbers(&format!("{a},{b},{},{d}", c - 360.0)).expect("an area");
        for (what, area) in forms(envelope).into_iter().chain([("xmin > xmax", inverted)]) {
            prop_assert!(area.crosses_dateline(), "{}", what);
            let found = counts(&area, 7);
            prop_assert_eq!(&found, &right, "{}", what);
        }
    }
}
