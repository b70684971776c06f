//! Areas as other software writes them: spatial references in every spelling, and several polygons, which are united.

use offmap::AreaOfInterest;
use offmap::model::geometry::signed_area;
use proptest::prelude::*;
use serde_json::{Value, json};

fn square(x: f64, y: f64, side: f64) -> Value {
    json!([[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]])
}

fn size(area: &AreaOfInterest) -> f64 {
    -area.polygon().rings.iter().map(|r| signed_area(r)).sum::<f64>()
}

fn read(json: &Value) -> AreaOfInterest {
    AreaOfInterest::from_json(&json.to_string()).unwrap_or_else(|e| panic!("{json}: {e}"))
}

#[test]
fn the_forms_of_the_cases_are_taken_or_refused_as_given() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../cases/area-forms.json")).expect("JSON");
    assert_eq!(cases.len(), 7);
    for case in cases {
        match (AreaOfInterest::from_json(&case["area"].to_string()), case["taken"].as_bool()) {
            (Ok(area), Some(true)) => {
                // All but one lie around the harbour.
                let [[xmin, ymin], [xmax, ymax]] = area.wgs84_extent().expect("an extent");
                match case["note"].as_str() {
                    Some(_) => assert!((size(&area) - 7.0).abs() < 1e-9 && area.polygon().contains([1.5, 1.5]), "{case}"),
                    None => assert!(xmin > -5.7 && xmax < -5.6 && ymin > 50.7 && ymax < 50.8, "{case}: {xmin} {ymin}"),
                }
            }
            (Err(failure), Some(false)) => assert!(failure.message.contains("no spatial reference"), "{failure}"),
            (other, _) => panic!("{case}: {other:?}"),
        }
    }
}

#[test]
fn overlapping_polygons_are_one_area_in_every_form_of_collection() {
    let (a, b, far) = (square(0.0, 0.0, 2.0), square(1.0, 1.0, 2.0), square(10.0, 10.0, 1.0));
    let polygon = |ring: &Value| json!({"type": "Polygon", "coordinates": [ring]});
    let feature = |geometry: Value| json!({"type": "Feature", "properties": null, "geometry": geometry});
    let rings = |ring: &Value| {
        let mut points: Vec<Value> = ring.as_array().cloned().unwrap_or_default();
        points.reverse();
        json!({"attributes": {}, "geometry": {"rings": [points]}})
    };
    for (what, json) in [
        ("MultiPolygon", json!({"type": "MultiPolygon", "coordinates": [[a], [b], [far]]})),
        (
            "GeometryCollection",
            json!({"type": "GeometryCollection", "geometries": [polygon(&a), polygon(&b), polygon(&far)]}),
        ),
        (
            "FeatureCollection",
            json!({"type": "FeatureCollection", "features": [feature(polygon(&a)), feature(
                json!({"type": "GeometryCollection", "geometries": [polygon(&b), {"type": "MultiPolygon", "coordinates": [[far]]}]}))]}),
        ),
        (
            "feature set",
            json!({"geometryType": "esriGeometryPolygon", "spatialReference": {"wkid": 4326},
                "features": [rings(&a), rings(&b), rings(&far)]}),
        ),
    ] {
        let area = read(&json);
        assert!((size(&area) - 8.0).abs() < 1e-9, "{what}: {}", size(&area));
        let polygon = area.polygon();
        for (point, inside) in
            [([1.5, 1.5], true), ([0.5, 0.5], true), ([2.5, 2.5], true), ([0.5, 2.5], false), ([10.5, 10.5], true)]
        {
            assert_eq!(polygon.contains(point), inside, "{what}: {point:?}");
        }
        assert!(polygon.rings.iter().all(|r| signed_area(r) < 0.0), "{what}: outer rings are clockwise");
    }
}

#[test]
fn holes_stay_holes_where_no_other_polygon_fills_them() {
    let holed = json!([square(0.0, 0.0, 10.0), square(2.0, 2.0, 6.0)]);
    let island = json!([square(3.0, 3.0, 2.0)]);
    let across = json!([square(1.0, 6.0, 5.0)]);
    let of = |parts: Vec<&Value>| read(&json!({"type": "MultiPolygon", "coordinates": parts}));
    assert!((size(&of(vec![&holed])) - 64.0).abs() < 1e-9);
    let with_island = of(vec![&holed, &island]);
    assert!((size(&with_island) - 68.0).abs() < 1e-9);
    assert!(with_island.polygon().contains([4.0, 4.0]) && !with_island.polygon().contains([6.0, 4.0]));
    // From 2 to 6 and 6 to 8 of the hole are filled, and one unit above the square is added.
    let filled = of(vec![&holed, &across]);
    assert!((size(&filled) - (64.0 + 4.0 * 2.0 + 5.0)).abs() < 1e-9, "{}", size(&filled));
    // The same polygon twice, thrice, and a polygon within another.
    assert!((size(&of(vec![&holed, &holed, &holed])) - 64.0).abs() < 1e-9);
    assert!((size(&of(vec![&island, &json!([square(0.0, 0.0, 10.0)])])) - 100.0).abs() < 1e-9);
}

#[test]
fn features_in_different_references_are_refused_by_that_name() {
    let feature = |wkid: u32| json!({"geometry": {"rings": [square(0.0, 0.0, 2.0)], "spatialReference": {"wkid": wkid}}});
    let set = json!({"features": [feature(4326), feature(102_100)]});
    let message = AreaOfInterest::from_json(&set.to_string()).expect_err("refused").message;
    assert!(message.contains("wkid 4326") && message.contains("wkid 102100"), "{message}");
    let empty = json!({"features": [], "spatialReference": {"wkid": 4326}});
    assert!(AreaOfInterest::from_json(&empty.to_string()).expect_err("refused").message.contains("no features"));
}

#[test]
fn many_polygons_are_united_in_bounded_time_or_refused() {
    // Fields of a whole province side by side, and a heap of long needles across each other.
    let fields: Vec<Value> =
        (0..10_000_i32).map(|i| json!([square(f64::from(i % 100) * 0.1, f64::from(i / 100) * 0.1, 0.101)])).collect();
    let began = std::time::Instant::now();
    let area = read(&json!({"type": "MultiPolygon", "coordinates": fields}));
    assert!((size(&area) - 10.001 * 10.001).abs() < 1e-6, "{}", size(&area));
    let needles: Vec<Value> = (0..4_000_i32)
        .map(|i| {
            let (x, y) = (f64::from(i) * 0.01, f64::from(i % 2_000) * 0.01);
            match i % 2 {
                0 => json!([[[0.0, y], [40.0, y + 0.001], [40.0, y + 0.002], [0.0, y]]]),
                _ => json!([[[x, 0.0], [x + 0.001, 40.0], [x + 0.002, 40.0], [x, 0.0]]]),
            }
        })
        .collect();
    let needles = json!({"type": "MultiPolygon", "coordinates": needles});
    let message = AreaOfInterest::from_json(&needles.to_string()).expect_err("refused").message;
    assert!(message.contains("overlap") && message.contains("unite them"), "{message}");
    assert!(began.elapsed() < std::time::Duration::from_secs(60), "{:?}", began.elapsed());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_point_is_in_the_area_if_it_is_in_any_of_its_polygons(
        squares in proptest::collection::vec((0_i32..20, 0_i32..20, 1_i32..8), 1..12),
        points in proptest::collection::vec((0_i32..28, 0_i32..28), 20),
    ) {
        let parts: Vec<Value> =
            squares.iter().map(|(x, y, s)| json!([square(f64::from(*x), f64::from(*y), f64::from(*s))])).collect();
        let area = read(&json!({"type": "MultiPolygon", "coordinates": parts})).polygon();
        for (x, y) in points {
            // The middles of cells lie on no edge.
            let inside = squares.iter().any(|(a, b, s)| (*a..a + s).contains(&x) && (*b..b + s).contains(&y));
            prop_assert_eq!(area.contains([f64::from(x) + 0.5, f64::from(y) + 0.5]), inside, "{} {}", x, y);
        }
    }
}
