//! How long the work on areas of very many vertices takes: `cargo run --release -p offmap-engine --example area_times`.

use offmap_model::area::LONGEST_GEOMETRY;
use offmap_model::{AreaOfInterest, Polygon, SpatialReference};
use std::time::Instant;

type Ring = Vec<[f64; 2]>;

/// Numbers between 0 and 1 that follow no order.
fn scattered(i: f64) -> f64 {
    ((i * 12.9898).sin() * 43_758.545_3).fract().abs()
}

fn around(count: u32, reach: impl Fn(f64) -> f64) -> Ring {
    let at = |i: u32| {
        let share = f64::from(i) / f64::from(count);
        let (sin, cos) = (share * std::f64::consts::TAU).sin_cos();
        [8.0 + reach(share) * sin, 47.0 + reach(share) * cos]
    };
    (0..count).map(at).collect()
}

fn main() {
    let tooth = |i: u32| {
        let (x, y) = (f64::from(i) * 1e-4, if i.is_multiple_of(2) { 0.0 } else { 3.0 + f64::from(i % 100) * 1e-3 });
        [x + y, y - x]
    };
    let crossing = |i: u32| [8.0 + scattered(f64::from(i)), 47.0 + scattered(f64::from(i) + 0.5)];
    for count in [16_000, 60_000, 250_000] {
        let shapes: [(&str, Ring); 4] = [
            ("outline", around(count, |s| 2.0 + 0.01 * (s * 9e3).sin() + 0.1 * (s * 300.0).sin())),
            ("rough", around(count, |s| 2.0 + 0.05 * scattered(s * 1e4))),
            ("comb", (0..count).map(tooth).collect()),
            ("tangle", (0..count).map(crossing).collect()),
        ];
        for (name, mut ring) in shapes {
            ring.extend(ring.first().copied());
            let polygon = Polygon { rings: vec![ring], spatial_reference: Some(SpatialReference::wgs84()) };
            let area = AreaOfInterest::Polygon(polygon);
            let began = Instant::now();
            let small = area.simplified(LONGEST_GEOMETRY);
            let simplified = began.elapsed();
            let vertices: usize = small.polygon().rings.iter().map(Vec::len).sum();
            let parts = small.parts_in(&SpatialReference::web_mercator()).map_or(0, |p| p.len());
            println!(
                "{count:>7} {name:<8} {simplified:>12.2?}  {vertices} vertices left, {parts} parts, all in {:.2?}",
                began.elapsed()
            );
        }
    }
}
