//! `offmap fetch`: one service or layer into one file, and nothing beside it.

use crate::support::{AREA, names, offmap, run, sandbox, words};
use offmap_sandbox::{FIELD_MAP, Sandbox, SandboxOptions};
use rusqlite::Connection;
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
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
    let dir = offmap_sandbox::tempdir().expect("a directory");
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
    let dir = offmap_sandbox::tempdir().expect("a directory");
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
    let dir = offmap_sandbox::tempdir().expect("a directory");
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

/// The tiles of a file by their places.
fn tiles(path: &Path) -> Vec<(u32, u32, u32, Vec<u8>)> {
    let sql = Connection::open(path).expect("opens");
    let mut statement = sql.prepare("SELECT * FROM tiles ORDER BY 1, 2, 3").expect("SQL");
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
    statement.query_map([], row).expect("reads").collect::<Result<_, _>>().expect("rows")
}

#[tokio::test(flavor = "multi_thread")]
async fn vector_tiles_and_rows_from_the_south_come_by_a_template_as_by_their_service() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let at = |name: &str| dir.path().join(name);
    let (streets, world) = (service_url(&sandbox, "Streets/VectorTileServer"), service_url(&sandbox, "World/MapServer"));
    let levels = ["--levels", "0-3"];
    let fetched = fetch(&streets, &at("service.mbtiles"), &levels);
    assert_eq!(fetched.status.code(), Some(3), "its style is left out: {}", words(&fetched));
    // Neither ending nor parameters say what comes by the second: its first tile does.
    for (name, template) in [("named.mbtiles", "tile/{z}/{y}/{x}.pbf"), ("asked.mbtiles", "tile/{z}/{y}/{x}.pb%66")] {
        let fetched = fetch(&format!("{streets}/{template}"), &at(name), &levels);
        assert_eq!(fetched.status.code(), Some(0), "{name}: {}", words(&fetched));
        assert!(tiles(&at(name)) == tiles(&at("service.mbtiles")), "{name}: other tiles");
        // No style says which layers they have; the tiles do.
        let sql = Connection::open(at(name)).expect("opens");
        let json: String =
            sql.query_row("SELECT value FROM metadata WHERE name = 'json'", [], |row| row.get(0)).expect("JSON");
        let layers = serde_json::from_str::<Value>(&json).expect("JSON")["vector_layers"].take();
        let ids: Vec<_> =
            layers.as_array().expect("a list").iter().map(|l| l["id"].as_str().expect("an id").to_owned()).collect();
        assert!(ids.len() > 1 && ids.iter().any(|id| id == "land"), "{name}: {layers}");
        assert!(layers.as_array().expect("a list").iter().all(|l| l["fields"].is_object()), "{layers}");
    }
    let fetched = fetch(&world, &at("world.mbtiles"), &levels);
    assert_eq!(fetched.status.code(), Some(0), "{}", words(&fetched));
    // The rows of a service that counts from the north are turned over, so that the order alone differs.
    let fetched = fetch(&format!("{world}/tile/{{z}}/{{-y}}/{{x}}"), &at("turned.mbtiles"), &levels);
    assert_eq!(fetched.status.code(), Some(0), "{}", words(&fetched));
    let mut turned = tiles(&at("turned.mbtiles"));
    turned.iter_mut().for_each(|(level, _, row, _)| *row = (1 << *level) - 1 - *row);
    turned.sort();
    assert!(turned == tiles(&at("world.mbtiles")), "other tiles");
}

/// Capabilities of a WMTS whose layers have the tiles of a service.
fn capabilities(tiles: &str) -> String {
    let half = 20_037_508.342_787;
    let matrix = |level: u32| {
        let (scale, side) = (559_082_264.028_717_8 / f64::from(1_u32 << level), 1_u32 << level);
        format!(
            "<TileMatrix><Identifier>0{level}</Identifier><ScaleDenominator>{scale}</ScaleDenominator><TopLeftCorner>-{half} {half}</TopLeftCorner>\
             <TileWidth>256</TileWidth><TileHeight>256</TileHeight><MatrixWidth>{side}</MatrixWidth><MatrixHeight>{side}</MatrixHeight></TileMatrix>"
        )
    };
    let layer = |name: &str| {
        format!(
            "<Layer><Identifier>{name}</Identifier><Format>image/png</Format><TileMatrixSetLink><TileMatrixSet>w</TileMatrixSet>\
             </TileMatrixSetLink><ResourceURL format=\"image/png\" resourceType=\"tile\" template=\"{tiles}/tile/{{TileMatrix}}/{{TileRow}}/{{TileCol}}\"/></Layer>"
        )
    };
    let (one, other, matrices) = (layer("relief"), layer("plan"), (0..3).map(matrix).collect::<String>());
    format!(
        "<Capabilities><Contents>{one}{other}<TileMatrixSet><Identifier>w</Identifier><SupportedCRS>urn:ogc:def:crs:EPSG::3857</SupportedCRS>\
         {matrices}</TileMatrixSet></Contents></Capabilities>"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_of_a_wmts_comes_by_its_capabilities() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let at = |name: &str| dir.path().join(name);
    let answer = capabilities(&service_url(&sandbox, "World/MapServer"));
    let url = serve(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{answer}", answer.len()));
    let capabilities = format!("{url}/ows?SERVICE=WMTS");
    let fetched = fetch(&capabilities, &at("a.mbtiles"), &[]);
    assert_eq!(fetched.status.code(), Some(2), "{}", words(&fetched));
    assert!(words(&fetched).contains("2 layers: `relief`, `plan`; name one by --layer"), "{}", words(&fetched));
    let fetched = fetch(&capabilities, &at("wmts.mbtiles"), &["--layer", "Relief"]);
    assert_eq!(fetched.status.code(), Some(0), "{}", words(&fetched));
    let fetched = fetch(&service_url(&sandbox, "World/MapServer"), &at("world.mbtiles"), &["--levels", "0-2"]);
    assert_eq!(fetched.status.code(), Some(0), "{}", words(&fetched));
    assert!(tiles(&at("wmts.mbtiles")) == tiles(&at("world.mbtiles")), "other tiles");
}

/// A server that answers every request alike.
fn serve(answer: String) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for mut stream in listener.incoming().filter_map(Result::ok) {
            let mut reader = BufReader::new(stream.try_clone().expect("the same stream"));
            while reader.read_line(&mut String::new()).is_ok_and(|n| n > 2) {}
            stream.write_all(answer.as_bytes()).expect("writes");
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fields_that_are_named_come_with_those_that_rows_are_joined_by() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let (all, some) = (dir.path().join("all.gpkg"), dir.path().join("some.gpkg"));
    let service = service_url(&sandbox, "Fieldwork/FeatureServer");
    for (out, more) in [(&all, &[][..]), (&some, &["--fields", "kind,Result"])] {
        let fetched = fetch(&service, out, more);
        assert_eq!(fetched.status.code(), Some(0), "{}", words(&fetched));
    }
    let texts = |path: &Path, query: &str| -> Vec<String> {
        let sql = Connection::open(path).expect("opens");
        let mut statement = sql.prepare(query).expect("SQL");
        statement.query_map([], |row| row.get(0)).expect("reads").collect::<Result<_, _>>().expect("rows")
    };
    let columns = |table: &str| {
        let mut names = texts(&some, &format!("SELECT upper(name) FROM pragma_table_info('{table}')"));
        names.sort();
        names
    };
    assert_eq!(columns("Places"), ["GLOBALID", "KIND", "OBJECTID", "SHAPE"]);
    assert_eq!(columns("Place_inspections"), ["GLOBALID", "OBJECTID", "PLACE_ID", "RESULT"], "its key comes as well");
    for query in [
        "SELECT OBJECTID || ' ' || GlobalID || ' ' || coalesce(KIND, '-') || hex(Shape) FROM Places ORDER BY OBJECTID",
        "SELECT OBJECTID || ' ' || PLACE_ID || ' ' || coalesce(RESULT, '-') FROM Place_inspections ORDER BY OBJECTID",
        "SELECT constraint_name || coalesce(value, '-') || coalesce(description, '') FROM gpkg_data_column_constraints ORDER BY 1",
        "SELECT base_table_name || related_table_name || mapping_table_name FROM gpkgext_relations ORDER BY 1",
    ] {
        let found = texts(&some, query);
        assert!(!found.is_empty() && found == texts(&all, query), "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_fetched_is_refused_with_a_way_out_and_programs_read_a_result() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let vectors = service_url(&sandbox, "Streets/VectorTileServer");
    let (tiles, features) = (service_url(&sandbox, "World/MapServer"), service_url(&sandbox, "Fieldwork/FeatureServer"));
    for (url, out, more, code, word) in [
        (&vectors, "a.gpkg", &[][..], 2, "tiles and no features"),
        (&features, "a.pmtiles", &[], 2, "no cache of tiles"),
        (&features, "a.gpkg", &["--levels", "0-3"], 2, "no levels"),
        (&tiles, "a.pmtiles", &["--levels", "0-99"], 2, "there is no level 99"),
        (&tiles, "a.pmtiles", &["--where", "A = 1"], 2, "leave it out"),
        (&features, "a.txt", &[], 2, ".gpkg"),
        (&"https://x.example/{z}/{x}.png".to_owned(), "a.pmtiles", &["--levels", "0-3"], 2, "{row}"),
        (&tiles, "a.pmtiles", &["--fields", "NAME"], 2, "tiles have no fields"),
        (&tiles, "a.pmtiles", &["--layer", "relief"], 2, "a layer of a WMTS"),
        (&features, "a.gpkg", &["--fields", "NAME,HEIGHT"], 2, "has a field `HEIGHT`; there are: COUNTRY, "),
        (&features, "a.gpkg", &["--fields", "NAME", "--direct", "never"], 2, "--direct always"),
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

#[tokio::test(flavor = "multi_thread")]
async fn clean_removes_what_fetches_and_conversions_left_and_nothing_else() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let at = |name: &str| dir.path().join(name);
    // The package of a fetch that ended before its file was written, in both of its forms.
    let (package, portal) = (at("places.gpkg.fetch-01234567"), sandbox.portal_url());
    let out = package.to_string_lossy().into_owned();
    let mut take = offmap(&["take", "--portal", &portal, "--item", FIELD_MAP, "--out", &out, "--progress", "off"]);
    take.args(AREA);
    let taken = run(take);
    assert_eq!(taken.status.code(), Some(0), "{}", words(&taken));
    // The half of a conversion that was killed.
    let order = serde_json::json!({"version": "0", "from": "/x", "state": "0".repeat(64)}).to_string();
    for (name, content) in [("trees.gpkg.new", "half"), ("trees.gpkg.new.request", order.as_str())] {
        std::fs::write(at(name), content).expect("writes");
    }
    // What looks alike and is somebody's.
    std::fs::create_dir(at("notes.fetch-01234567")).expect("makes");
    for name in ["notes.fetch-01234567/a.txt", "a.gpkg.new", "b.new", "b.new.request", "c.fetch-01234567"] {
        std::fs::write(at(name), "mine").expect("writes");
    }
    let place = dir.path().to_string_lossy().into_owned();
    let listed = words(&run(offmap(&["clean", "--dry-run", &place])));
    assert!(listed.contains("places.gpkg.fetch-01234567") && listed.contains("trees.gpkg.new"), "{listed}");
    assert!(listed.contains("the same command that was to write") && listed.lines().count() == 2, "{listed}");
    let one = words(&run(offmap(&["clean", &at("trees.gpkg").to_string_lossy()])));
    assert!(one.starts_with("removed") && one.lines().count() == 1 && package.exists(), "{one}");
    let cleaned = run(offmap(&["clean", "--json", &place]));
    let told: Value = serde_json::from_slice(&cleaned.stdout).expect("JSON");
    let left = told["leftovers"].as_array().expect("a list");
    assert!(left.len() == 1 && left[0]["removed"] == true, "{told}");
    assert_eq!(left[0]["destination"].as_str(), Some(&*at("places.gpkg").to_string_lossy()));
    assert_eq!(names(dir.path()), ["a.gpkg.new", "b.new", "b.new.request", "c.fetch-01234567", "notes.fetch-01234567"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn clean_leaves_the_package_of_a_fetch_that_is_between_its_job_and_its_file() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let package = dir.path().join("places.gpkg.fetch-01234567");
    let (out, portal) = (package.to_string_lossy().into_owned(), sandbox.portal_url());
    let mut take = offmap(&["take", "--portal", &portal, "--item", FIELD_MAP, "--out", &out, "--progress", "off"]);
    take.args(AREA);
    assert_eq!(run(take).status.code(), Some(0));
    // What a fetch holds for as long as it runs.
    let lock = std::fs::File::create(dir.path().join("places.gpkg.fetch-01234567.lock")).expect("makes");
    lock.lock().expect("locks");
    let place = dir.path().to_string_lossy().into_owned();
    let told = words(&run(offmap(&["clean", &place])));
    assert!(told.starts_with("in use") && told.contains("the command that writes"), "{told}");
    assert!(package.join("package.info").exists(), "it is whole");
    drop(lock);
    let cleaned = run(offmap(&["clean", &place]));
    assert_eq!(cleaned.status.code(), Some(0), "{}", words(&cleaned));
    assert!(names(dir.path()).is_empty(), "{:?}", names(dir.path()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_holds_its_package_from_the_start_and_what_a_killed_one_left_goes() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let template = format!("http://{}/{{z}}/{{x}}/{{y}}.png", listener.local_addr().expect("an address"));
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let out = dir.path().join("a.mbtiles").to_string_lossy().into_owned();
    // Nobody answers it.
    let mut child = offmap(&["fetch", &template, &out, "--levels", "0-2", "--progress", "off"]).spawn().expect("starts");
    let lock = || {
        let found = names(dir.path()).into_iter().find(|name| name.ends_with(".lock"))?;
        let file = std::fs::File::open(dir.path().join(found)).ok()?;
        Some(matches!(file.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock)))
    };
    listener.set_nonblocking(true).expect("sets");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    // It asks for tiles once it has its package.
    let _connection = loop {
        match listener.accept() {
            Ok(connection) => break connection,
            Err(e) => assert!(std::time::Instant::now() < deadline, "{e}: {:?}", names(dir.path())),
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    assert_eq!(lock(), Some(true), "{:?}", names(dir.path()));
    child.kill().expect("kills");
    child.wait().expect("ends");
    assert_eq!(lock(), Some(false));
    let cleaned = run(offmap(&["clean", &dir.path().to_string_lossy()]));
    assert_eq!(cleaned.status.code(), Some(0), "{}", words(&cleaned));
    assert!(names(dir.path()).is_empty(), "{:?}", names(dir.path()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_hold_the_tiles_is_refused_before_any_is_fetched() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let (streets, world) = (service_url(&sandbox, "Streets/VectorTileServer"), service_url(&sandbox, "World/MapServer"));
    let tiles = || sandbox.requests().iter().filter(|r| r.path.to_lowercase().contains("/tile/")).count();
    for (url, out, way, asked) in [
        (format!("{streets}/tile/{{z}}/{{y}}/{{x}}.pbf"), "a.tpkx", "write a .vtpk", 0),
        // Its first tile says what they are.
        (format!("{streets}/tile/{{z}}/{{y}}/{{x}}.pb%66"), "a.tpkx", "write a .vtpk", 1),
        (streets.clone(), "a.tpkx", "write a .vtpk", 0),
        (world.clone(), "a.vtpk", "write a .tpkx", 0),
        (format!("{world}/tile/{{z}}/{{y}}/{{x}}?format=image/png"), "a.vtpk", "write a .tpkx", 0),
    ] {
        let before = tiles();
        let fetched = fetch(&url, &dir.path().join(out), &["--levels", "0-3"]);
        assert_eq!(fetched.status.code(), Some(2), "{url}: {}", words(&fetched));
        assert!(words(&fetched).contains(way), "{url}: {}", words(&fetched));
        assert_eq!(tiles() - before, asked, "{url}");
        assert!(names(dir.path()).is_empty(), "{url}: {:?}", names(dir.path()));
    }
}
