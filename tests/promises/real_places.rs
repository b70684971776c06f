//! Real places at the deepest levels, where rows and columns have every hexadecimal digit.

use crate::support::{Bench, holds, run_to_end};
use flate2::read::GzDecoder;
use offmap::arcgis::ServiceCall;
use offmap::formats::compact_cache::{bundle_origin, read_v2};
use offmap::{AreaOfInterest, verify_deep};
use offmap_sandbox::DETAIL_MAP;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::Path;

/// San Francisco, Tokyo, and a harbour in Cornwall: a few streets of each.
const PLACES: [(&str, &str); 3] = [
    ("San Francisco", "-122.412,37.773,-122.407,37.777"),
    ("Tokyo", "139.764,35.680,139.769,35.684"),
    ("the harbour", "-5.640,50.728,-5.633,50.733"),
];

/// Tiles of a package: level, row, column → bytes.
fn tiles(path: &Path, digits: &mut BTreeSet<char>) -> BTreeMap<(u32, u64, u64), Vec<u8>> {
    let mut zip = zip::ZipArchive::new(std::fs::File::open(path).expect("opens")).expect("a zip");
    let names: Vec<String> = zip.file_names().map(|n| n.expect("a name").into_owned()).collect();
    let mut all = BTreeMap::new();
    for name in names.iter().filter(|n| n.ends_with(".bundle")) {
        let mut bytes = Vec::new();
        zip.by_name(name).expect("an entry").read_to_end(&mut bytes).expect("reads");
        let file = name.rsplit('/').next().expect("a file");
        digits.extend(file.trim_end_matches(".bundle").chars().filter(|c| c.is_ascii_digit() || c.is_ascii_lowercase()));
        let level = name.rsplit('/').nth(1).and_then(|l| l[1..].parse().ok()).expect("a level");
        let origin = bundle_origin(name).expect("a position");
        for tile in read_v2(bytes.as_slice(), bytes.len() as u64, origin).expect("a bundle") {
            let (from, size) = (tile.offset as usize, tile.size as usize);
            all.insert((level, tile.row, tile.column), bytes[from..from + size].to_vec());
        }
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_area_of_the_deepest_levels_at_real_places_is_taken_whole_with_every_tile_in_its_place() {
    let mut digits = BTreeSet::new();
    for (place, area) in PLACES {
        let bench = Bench::new().await;
        let job = bench.job(DETAIL_MAP, |p| {
            p.area_of_interest = AreaOfInterest::from_numbers(area).expect("an area");
            // Levels 17 to 19; vector tiles come from level 0 on.
            p.min_scale = 4_513.99;
            p.max_scale = 0.0;
        });
        let result = run_to_end(&job.await).await.0.unwrap_or_else(|e| panic!("{place}: {}", e.failure));
        assert!(!result.has_errors(), "{place}: {:?}", result.layers);
        let found = verify_deep(&result.package).expect("verifies");
        assert!(found.ok && found.complete == Some(true), "{place}: {found:?}");
        for (ending, id) in [("tpkx", "detail"), ("vtpk", "streets")] {
            let outcome = result.layers.iter().find(|l| l.id == id).expect("an outcome");
            assert_eq!(Some(outcome.contents.got), outcome.contents.planned, "{place} {id}");
            let files = crate::support::files_below(&result.package);
            let file = files.iter().find(|p| p.extension().is_some_and(|e| e == ending)).expect("a package");
            let tiles = tiles(file, &mut digits);
            assert_eq!(tiles.len() as u64, outcome.contents.got, "{place} {id}");
            let levels: BTreeSet<u32> = tiles.keys().map(|(level, ..)| *level).collect();
            let first = if id == "detail" { 17 } else { 0 };
            assert_eq!(levels.into_iter().collect::<Vec<_>>(), (first..=19).collect::<Vec<_>>(), "{place} {id}");
            for ((level, row, column), bytes) in tiles {
                let mut content = bytes.clone();
                if id == "streets" {
                    content.clear();
                    GzDecoder::new(bytes.as_slice()).read_to_end(&mut content).expect("gzip");
                }
                assert!(holds(&content, &format!("tile {level}/{row}/{column}.")), "{place} {id}: {level}/{row}/{column}");
            }
        }
    }
    let all: String = digits.into_iter().collect();
    assert_eq!(all, "0123456789abcdef", "names of bundles with every digit");
}

#[tokio::test]
async fn the_sandbox_serves_every_level_to_19_at_real_places() {
    let bench = Bench::new().await;
    let services = format!("{}/arcgis/rest/services", bench.sandbox.url());
    for (place, area) in PLACES {
        let mercator = AreaOfInterest::from_numbers(area).expect("an area");
        let mercator = mercator.project(&offmap::SpatialReference::web_mercator()).expect("projects");
        let corner = mercator.envelope().expect("not empty");
        for (service, kind) in [("Detail/MapServer", "raster"), ("DetailStreets/VectorTileServer", "vector")] {
            for level in 0..=20_u32 {
                let side = 2.0 * 20_037_508.342_787 / f64::from(1_u32 << level);
                let (column, row) = ((corner.xmin + 20_037_508.342_787) / side, (20_037_508.342_787 - corner.ymax) / side);
                let (column, row) = (column as u64, row as u64);
                let there = u64::from(level <= 19);
                let call = |path: String| ServiceCall::get(&format!("{services}/{service}/{path}")).expect("a call");
                let map = bench.client.json(&call(format!("tilemap/{level}/{row}/{column}/1/1"))).await.expect("a tilemap");
                assert_eq!(map["data"][0].as_u64(), Some(there), "{place} {kind} {level}");
                let tile =
                    bench.client.bytes(&call(format!("tile/{level}/{row}/{column}")), 1 << 20).await.expect("answers");
                let label = format!("tile {level}/{row}/{column}.");
                assert_eq!(tile.is_some_and(|t| holds(&t, &label)), there == 1, "{place} {kind} {level}");
            }
        }
    }
}
