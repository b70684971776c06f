//! Areas that the ArcGIS workflow does not take: across the dateline, in other references, of very many vertices.

use crate::support::{Bench, run_to_end};
use offmap::formats::tile_package;
use offmap::packager::MobileMapPackage;
use offmap::{AreaOfInterest, GenerateOfflineMapParameters};
use offmap_sandbox::{FIELD_MAP, HOSTED_MAP};
use rusqlite::Connection;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Fiji, Tonga and Samoa.
const FIJI: &str = "175,-22,-170,-10";

fn of(text: &str) -> AreaOfInterest {
    match text.starts_with('{') {
        true => AreaOfInterest::from_json(text),
        false => AreaOfInterest::from_numbers(text),
    }
    .expect("an area")
}

fn names(database: &std::path::Path) -> Vec<String> {
    let connection = Connection::open(database).expect("opens");
    let mut statement = connection.prepare("SELECT NAME FROM Places_evw ORDER BY NAME").expect("prepares");
    statement.query_map([], |r| r.get(0)).and_then(Iterator::collect).expect("reads")
}

#[tokio::test]
async fn an_area_over_fiji_brings_features_raster_and_vector_tiles_from_both_sides_each_once() {
    for item in [FIELD_MAP, HOSTED_MAP] {
        let bench = Bench::new().await;
        let job = bench.job(item, |p| {
            p.area_of_interest = of(FIJI);
            p.max_scale = 3_000_000.0;
        });
        let result = run_to_end(&job.await).await.0.expect("a package");
        assert!(!result.has_errors(), "{:?}", result.layers);
        let package = MobileMapPackage::open(&result.package).expect("opens");
        let file = |id: &str| -> PathBuf {
            let data = package.maps()[0].layers.iter().find(|l| l.id == id).and_then(|l| l.data.clone()).expect("data");
            result.package.join(data.path)
        };
        assert_eq!(names(&file("places")), ["Apia", "Nuku'alofa", "Suva"]);
        let count = |sql: &str| -> i64 {
            Connection::open(file("places")).expect("opens").query_row(sql, [], |r| r.get(0)).expect("counts")
        };
        assert_eq!(count("SELECT count(*) FROM Countries_evw WHERE NAME = 'Fiji'"), 1, "once, though it is on both sides");

        let layer = |id: &str| result.layers.iter().find(|l| l.id == id).expect("an outcome");
        assert_eq!(
            Some(layer("world").contents.got),
            layer("world").contents.planned,
            "as many tiles as were counted, none twice"
        );
        let raster = tile_package::open(&file("world")).expect("opens");
        assert_eq!((raster.tiles[&0], raster.tiles[&1]), (1, 2), "the first level once, then a tile on each side");
        let vector = tile_package::open(&file("streets")).expect("opens");
        assert_eq!(vector.indexed().as_ref(), Some(&vector.tiles), "the joined index names the tiles that are there");
        let requests = bench.sandbox.requests();
        let exports: Vec<Value> = requests
            .iter()
            .filter(|r| r.path.ends_with("exportTiles"))
            .map(|r| serde_json::from_str(&r.parameters["exportextent"]).expect("JSON"))
            .collect();
        assert_eq!(exports.len(), 4, "a job for each side of each tiled service");
        let half = 20_037_508.4;
        let inside = |e: &Value, key: &str| e[key].as_f64().is_some_and(|x| x.abs() <= half);
        assert!(exports.iter().all(|e| inside(e, "xmin") && inside(e, "xmax") && e["xmin"].as_f64() < e["xmax"].as_f64()));
        let replicas: Vec<_> = requests.iter().filter(|r| r.path.ends_with("createReplica")).collect();
        assert_eq!(replicas.len(), 2, "one replica for each service, of both sides");
        let geometry: Value = serde_json::from_str(&replicas[0].parameters["geometry"]).expect("JSON");
        assert_eq!(geometry["rings"].as_array().map(Vec::len), Some(2), "one polygon of two rings: {geometry}");
        assert_eq!(package.extent(), Some([[175.0, -22.0], [190.0, -10.0]]), "the package's extent is in one piece");
        if let (Ok(folder), true) = (std::env::var("OFFMAP_KEEP"), item == FIELD_MAP) {
            // For people who want to look at it.
            std::fs::copy(file("world"), PathBuf::from(&folder).join("fiji.tpkx")).expect("copies");
            std::fs::copy(file("streets"), PathBuf::from(&folder).join("fiji.vtpk")).expect("copies");
        }
    }
}

#[tokio::test]
async fn a_polygon_over_the_dateline_is_cut_and_joined() {
    let bench = Bench::new().await;
    let triangle = json!({"rings": [[[175, -22], [175, -10], [190, -22], [175, -22]]], "spatialReference": {"wkid": 4326}});
    let job = bench.job(FIELD_MAP, |p| p.area_of_interest = of(&triangle.to_string()));
    let result = run_to_end(&job.await).await.0.expect("a package");
    assert!(!result.has_errors(), "{:?}", result.layers);
    let layer = |id: &str| result.layers.iter().find(|l| l.id == id).expect("an outcome");
    assert_eq!(layer("places").contents.got, 2, "Suva and Nuku'alofa; Apia lies beyond the slanted edge");
    assert_eq!(Some(layer("world").contents.got), layer("world").contents.planned);
}

#[tokio::test]
async fn areas_in_utm_nad83_and_gda94_select_the_same_ground() {
    let bench = Bench::new().await;
    let task = bench.task(FIELD_MAP).await;
    let rows = async |area: &str| {
        let mut parameters = GenerateOfflineMapParameters::new(of(area));
        parameters.max_scale = 10_000_000.0;
        let plan = task.plan(&parameters, &Default::default()).await.expect("a plan");
        let expected = |id: &str| plan.tasks.iter().flat_map(|t| &t.layers).find(|l| l.id == id).and_then(|l| l.expected);
        (expected("places"), expected("world"))
    };
    let degrees = rows("4,43,14,51").await;
    assert!(degrees.0.is_some_and(|n| n > 3));
    assert_eq!(rows("4,43,14,51,4269").await, degrees);
    assert_eq!(rows("4,43,14,51,4283").await, degrees);
    // The envelope around the same ground in UTM zone 32N is a little wider.
    let utm = of("4,43,14,51").project(&offmap::SpatialReference::from_wkid(32632)).expect("projects");
    let utm = rows(&serde_json::to_string(&utm).expect("JSON")).await;
    assert!(utm.0 >= degrees.0 && utm.1 >= degrees.1, "{utm:?} {degrees:?}");
}

#[tokio::test]
async fn a_polygon_with_holes_and_many_vertices_goes_over_the_wire_and_leaves_its_holes_out() {
    let bench = Bench::new().await;
    let circle = |radius: f64, turn: f64| -> Vec<[f64; 2]> {
        let point = |i: u32| {
            let angle = turn * f64::from(i % 6000) / 6000.0 * std::f64::consts::TAU;
            [8.0 + radius * angle.sin(), 47.0 + radius * angle.cos()]
        };
        (0..=6000).map(point).collect()
    };
    let holed = json!({"rings": [circle(6.0, 1.0), circle(2.0, -1.0)], "spatialReference": {"wkid": 4326}}).to_string();
    assert!(holed.len() > 300_000);
    let job = bench.job(FIELD_MAP, |p| {
        p.area_of_interest = of(&holed);
        p.include_basemap = false;
    });
    let result = run_to_end(&job.await).await.0.expect("a package");
    assert!(!result.has_errors(), "{:?}", result.layers);
    let requests = bench.sandbox.requests();
    let sent = requests.iter().find(|r| r.path.ends_with("createReplica")).expect("a replica");
    assert!(sent.parameters["geometry"].len() <= 100_000, "{}", sent.parameters["geometry"].len());
    let package = MobileMapPackage::open(&result.package).expect("opens");
    let places = package.maps()[0].layers.iter().find(|l| l.id == "places").and_then(|l| l.data.clone()).expect("data");
    let names = names(&result.package.join(places.path));
    assert!(names.iter().any(|n| n == "Luxembourg" || n == "Milan" || n == "Monaco"), "{names:?}");
    assert!(!names.iter().any(|n| n == "Bern"), "the hole is left out: {names:?}");
}

#[tokio::test]
async fn an_area_in_a_reference_that_cannot_be_projected_is_refused_by_name() {
    for (area, words) in [("1,2,3,4,32", "not in the EPSG list"), ("-100,30,-90,40,4267", "grid files")] {
        let failure = AreaOfInterest::from_numbers(area).expect_err("refused");
        assert!(failure.message.contains(words), "{failure}");
    }
}
