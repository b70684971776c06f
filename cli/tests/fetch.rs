//! `offmap fetch`: one service or layer into one file, and nothing beside it.

use crate::support::{names, offmap, run, sandbox, words};
use offmap_sandbox::{Sandbox, SandboxOptions};
use rusqlite::Connection;
use serde_json::Value;
use std::path::Path;
use std::process::Output;

fn service_url(sandbox: &Sandbox, name: &str) -> String {
    format!("{}/arcgis/rest/services/{name}", sandbox.url())
}

fn fetch(url: &str, out: &Path, more: &[&str]) -> Output {
    let out = out.to_string_lossy();
    let mut command = offmap(&["fetch", url, &out, "--progress", "off"]);
    command.args(more);
    run(command)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_becomes_one_file_of_the_rows_that_were_asked_for() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = tempfile::tempdir().expect("a directory");
    let layer = service_url(&sandbox, "Fieldwork/FeatureServer/0");
    let out = dir.path().join("places.gpkg");
    let fetched = fetch(&layer, &out, &["--direct", "never"]);
    assert_eq!(fetched.status.code(), Some(0), "{}", words(&fetched));
    assert_eq!(names(dir.path()), ["places.gpkg"], "nothing lies beside it");
    let count = |path: &Path| -> i64 {
        let sql = Connection::open(path).expect("opens");
        sql.query_row("SELECT count(*) FROM Places", [], |row| row.get(0)).expect("counts")
    };
    let all = count(&out);
    assert!(all > 10, "{all}");
    let again = fetch(&layer, &out, &["--direct", "never"]);
    assert_eq!(again.status.code(), Some(2), "{}", words(&again));
    assert!(words(&again).contains("exists already"), "{}", words(&again));
    let more = ["--direct", "never", "--overwrite", "--where", "OBJECTID <= 3", "--area", "-180,-85,180,85"];
    let fetched = fetch(&layer, &out, &more);
    assert_eq!(fetched.status.code(), Some(0), "{}", words(&fetched));
    assert_eq!(count(&out), 3, "of {all}");
    assert_eq!(names(dir.path()), ["places.gpkg"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_come_page_by_page_are_those_of_the_replica() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = tempfile::tempdir().expect("a directory");
    let service = service_url(&sandbox, "Fieldwork/FeatureServer");
    let rows = |path: &Path| -> Vec<String> {
        let sql = Connection::open(path).expect("opens");
        let columns =
            "OBJECTID || ' ' || GlobalID || ' ' || NAME || ' ' || coalesce(KIND, '-') || ' ' || coalesce(SEEN, '-')";
        let query = format!("SELECT {columns} || ' ' || hex(Shape) FROM Places ORDER BY OBJECTID");
        let mut statement = sql.prepare(&query).expect("SQL");
        statement.query_map([], |row| row.get(0)).expect("reads").collect::<Result<_, _>>().expect("rows")
    };
    let (by_pages, by_replica) = (dir.path().join("pages.gpkg"), dir.path().join("replica.gpkg"));
    for (out, direct) in [(&by_pages, "always"), (&by_replica, "never")] {
        let fetched = fetch(&service, out, &["--direct", direct]);
        assert_eq!(fetched.status.code(), Some(0), "{direct}: {}", words(&fetched));
    }
    assert_eq!(rows(&by_pages), rows(&by_replica));
    // Most services of the world have no replicas.
    let out = dir.path().join("countries.geojsonl");
    let fetched = fetch(&service_url(&sandbox, "OpenDataPbf/FeatureServer/2"), &out, &[]);
    assert_eq!(fetched.status.code(), Some(0), "{}", words(&fetched));
    assert_eq!(std::fs::read_to_string(&out).expect("reads").lines().count(), 186);
    assert_eq!(names(dir.path()), ["countries.geojsonl", "pages.gpkg", "replica.gpkg"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_becomes_one_file_of_the_levels_that_were_asked_for() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = tempfile::tempdir().expect("a directory");
    let out = dir.path().join("world.mbtiles");
    let more = ["--direct", "never", "--levels", "0-3"];
    let fetched = fetch(&service_url(&sandbox, "World/MapServer"), &out, &more);
    assert_eq!(fetched.status.code(), Some(0), "{}", words(&fetched));
    let sql = Connection::open(&out).expect("opens");
    let levels = "SELECT min(zoom_level), max(zoom_level), count(*) FROM tiles";
    let found: (u32, u32, u32) =
        sql.query_row(levels, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).expect("reads");
    assert_eq!((found.0, found.1), (0, 3));
    assert!(found.2 > 4, "{found:?}");
    let out = dir.path().join("streets.pmtiles");
    let fetched = fetch(&service_url(&sandbox, "Streets/VectorTileServer"), &out, &["--direct", "never", "--levels", "0-4"]);
    assert_eq!(fetched.status.code(), Some(3), "{}", words(&fetched));
    assert!(words(&fetched).contains("style, sprites and fonts"), "what a .pmtiles does not hold is named");
    assert_eq!(names(dir.path()), ["streets.pmtiles", "world.mbtiles"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_fetched_is_refused_with_a_way_out_and_programs_read_a_result() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = tempfile::tempdir().expect("a directory");
    let vectors = service_url(&sandbox, "Streets/VectorTileServer");
    let (tiles, features) = (service_url(&sandbox, "World/MapServer"), service_url(&sandbox, "Fieldwork/FeatureServer"));
    for (url, out, more, code, word) in [
        (&vectors, "a.gpkg", &[][..], 2, "tiles and no features"),
        (&features, "a.pmtiles", &[], 2, "no cache of tiles"),
        (&features, "a.gpkg", &["--levels", "0-3"], 2, "no levels"),
        (&tiles, "a.pmtiles", &["--levels", "0-99"], 2, "there is no level 99"),
        (&tiles, "a.pmtiles", &["--where", "A = 1"], 2, "leave it out"),
        (&features, "a.txt", &[], 2, ".gpkg"),
        (&"https://x.example/{z}/{x}.png".to_owned(), "a.pmtiles", &[], 2, "{row}"),
        (&"https://x.example/{z}/{x}/{y}.png".to_owned(), "a.pmtiles", &[], 2, "--levels"),
        (&"https://x.example/index.html".to_owned(), "a.gpkg", &[], 2, "FeatureServer"),
    ] {
        let fetched = fetch(url, &dir.path().join(out), more);
        let words = words(&fetched);
        assert_eq!(fetched.status.code(), Some(code), "{url} {out}: {words}");
        assert!(words.contains(word), "{url} {out}: {words}");
        assert!(names(dir.path()).is_empty(), "{url} {out}: {:?}", names(dir.path()));
    }
    let out = dir.path().join("all.geodatabase").to_string_lossy().into_owned();
    let fetched = run(offmap(&["fetch", &features, &out, "--direct", "never", "--progress", "json"]));
    let last = String::from_utf8_lossy(&fetched.stdout).lines().last().map(str::to_owned).expect("a line");
    let result = serde_json::from_str::<Value>(&last).expect("JSON")["result"].take();
    assert_eq!((fetched.status.code(), &result["complete"]), (Some(0), &Value::Bool(true)), "{result}");
    assert_eq!(result["file"]["file"], out.as_str(), "{result}");
}
