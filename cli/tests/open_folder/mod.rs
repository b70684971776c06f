//! `offmap convert PACKAGE DIR --to open`: the folder holds what the package does, is absent or whole, and names what it lacks.

mod folder;
mod kills;

use crate::support::{AREA, names, offmap, run, sandbox, words};
use folder::{check_manifest, convert, files, json_of, made, rows, taken};
use offmap::Failure;
use offmap::formats::convert::open_reader;
use offmap::formats::package_files::Container;
use offmap::formats::{TileId, TileVisitor};
use offmap_sandbox::{FIELD_MAP, FULL_MAP, SandboxOptions};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use tokio_util::sync::CancellationToken;

#[derive(Default)]
struct Count(u64);

impl TileVisitor for Count {
    fn wants(&mut self, _: TileId) -> Result<bool, Failure> {
        Ok(true)
    }

    fn visit(&mut self, places: &[TileId], _: &[u8]) -> Result<(), Failure> {
        self.0 += places.len() as u64;
        Ok(())
    }
}

fn tiles_of(path: &Path) -> u64 {
    let mut count = Count::default();
    open_reader(path, &CancellationToken::new()).expect("opens").for_each_tile(&mut count).expect("reads");
    count.0
}

/// All sources and images of a style are files of the folder, named relative to it.
fn check_style(folder: &Path, style: &Value) {
    let sources = style["sources"].as_object().expect("sources");
    assert!(!sources.is_empty());
    for (id, source) in sources {
        let file = match source["type"].as_str() {
            Some("geojson") => source["data"].as_str().expect("a path"),
            _ => source["url"].as_str().and_then(|url| url.split_once("://")).expect("a url").1,
        };
        assert!(folder.join(file).is_file(), "{id}: {file}");
    }
    for layer in style["layers"].as_array().expect("layers") {
        let source = layer["source"].as_str();
        assert!(source.is_none_or(|source| sources.contains_key(source)), "{layer}");
    }
    let sheets = style["sprite"].as_array().cloned().unwrap_or_default();
    for sheet in sheets.iter().filter_map(|sheet| sheet["url"].as_str()).chain(style["sprite"].as_str()) {
        assert!(
            folder.join(format!("{sheet}.png")).is_file() && folder.join(format!("{sheet}@2x.json")).is_file(),
            "{sheet}"
        );
    }
}

fn project_of(path: &Path) -> String {
    let project = Container::open(path).expect("a zip").read("map.qgs", 1 << 20).expect("the project");
    String::from_utf8(project).expect("UTF-8")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_becomes_a_folder_with_all_of_its_rows_tiles_and_fonts() {
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let mmpk = dir.path().join("map.mmpk");
    let package = taken(dir.path(), FIELD_MAP, &["--mmpk", &mmpk.to_string_lossy()]).await;
    let folder = dir.path().join("open");
    let answer = made(&package, &folder, &[], 0);
    assert_eq!((&answer["complete"], &answer["leftOut"]), (&json!(true), &json!([])), "{answer}");
    check_manifest(&folder);
    let style = json_of(&folder.join("style.json"));
    check_style(&folder, &style);
    let project = project_of(&folder.join("map.qgz"));
    let mut compared = 0;
    for layer in answer["layers"].as_array().expect("layers") {
        let source = package.join(layer["source"].as_str().expect("a source"));
        let Some(table) = layer["table"].as_str() else {
            for file in layer["files"].as_array().expect("files") {
                let file = file.as_str().expect("a path");
                assert_eq!(tiles_of(&folder.join(file)), tiles_of(&source), "{file}");
                assert!(!file.ends_with(".mbtiles") || project.contains(&format!("./{file}")), "{file}");
            }
            continue;
        };
        assert_eq!(rows(&folder.join("map.gpkg"), table), layer["rows"].as_i64().expect("a number"), "{table}");
        if let Some(geojson) = layer["files"].get(1).and_then(Value::as_str) {
            let found = json_of(&folder.join(geojson));
            assert_eq!(found["features"].as_array().expect("features").len() as i64, layer["rows"], "{geojson}");
            assert!(found["features"][0]["properties"]["OBJECTID"].is_number(), "{}", found["features"][0]);
            assert!(project.contains(&format!("./map.gpkg|layername={table}")), "{table}");
            compared += 1;
        }
    }
    assert!(compared >= 3, "{answer}");
    let fonts = names(&folder.join("fonts"));
    let font = style["layers"].as_array().expect("layers").iter().find_map(|l| l["layout"]["text-font"][0].as_str());
    assert!(fonts.iter().any(|name| Some(name.as_str()) == font), "{fonts:?} {font:?}");
    assert!(folder.join("fonts").join(&fonts[0]).join("0-255.pbf").is_file());
    // Of the archive come the same files, in place of the folder that is there.
    let before = files(&folder);
    let refused = run(convert(&mmpk, &folder, &[]));
    assert_eq!(refused.status.code(), Some(2), "{}", words(&refused));
    made(&mmpk, &folder, &["--overwrite"], 0);
    let mut after = files(&folder);
    check_manifest(&folder);
    let names_of = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names_of(&before), names_of(&after));
    after.insert("manifest.json".into(), before["manifest.json"].clone());
    for (name, bytes) in &before {
        assert!(bytes == &after[name], "{name}");
    }
    // What was changed since is not thrown away.
    rusqlite::Connection::open(folder.join("map.gpkg")).expect("opens").execute("DELETE FROM Places", []).expect("deletes");
    let refused = run(convert(&mmpk, &folder, &["--overwrite"]));
    assert_eq!(refused.status.code(), Some(2), "{}", words(&refused));
    assert!(words(&refused).contains("was changed since it was made (map.gpkg)"), "{}", words(&refused));
    assert_eq!(rows(&folder.join("map.gpkg"), "Places"), 0);
    assert_eq!(names(dir.path()), ["map.mmpk", "open", "package"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_of_a_map_is_not_in_the_folder_is_named_and_features_of_the_map_are_in_it() {
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let parameters = dir.path().join("parameters.json");
    std::fs::write(&parameters, r#"{"onlineOnlyServicesOption": "include"}"#).expect("writes");
    let package = taken(dir.path(), FULL_MAP, &["--parameters", &parameters.to_string_lossy()]).await;
    let folder = dir.path().join("open");
    let answer = made(&package, &folder, &["--tiles", "pmtiles"], 3);
    check_manifest(&folder);
    let style = json_of(&folder.join("style.json"));
    check_style(&folder, &style);
    let reason = |title: &str| {
        let of = answer["leftOut"].as_array().expect("a list").iter().find(|l| l["layer"] == title);
        of.map(|l| l["reason"].as_str().expect("words").to_owned()).unwrap_or_else(|| panic!("{title}: {answer}"))
    };
    assert!(reason("Online only").contains("it is online"), "{answer}");
    assert_eq!(json_of(&folder.join("approximations.json"))["leftOut"], answer["leftOut"]);
    let sketch = answer["layers"].as_array().expect("layers").iter().find(|l| l["title"] == "Sketch").expect("the sketch");
    assert_eq!((&sketch["rows"], sketch["source"].as_str()), (&json!(1), Some("p13/mobile_map.mmap")));
    let geojson = json_of(&folder.join(sketch["files"][1].as_str().expect("a file")));
    let at = &geojson["features"][0]["geometry"]["coordinates"];
    assert!((at[0].as_f64().expect("a number") - 8.084).abs() < 0.01, "{geojson}");
    let approximations = json_of(&folder.join("approximations.json"));
    let qgis = approximations["maps"][0]["qgis"].as_array().expect("a list");
    assert!(qgis.iter().any(|a| a["what"].as_str().is_some_and(|w| w.contains("not in the folder as mbtiles"))), "{qgis:?}");
    assert!(files(&folder).keys().all(|name| !name.ends_with(".mbtiles")));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_map_of_a_package_has_its_own_documents_and_hostile_paths_lead_nowhere() {
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let package = taken(dir.path(), FIELD_MAP, &[]).await;
    let mut info = json_of(&package.join("package.info"));
    info["maps"] = json!(["mobile_map", "second map"]);
    std::fs::write(package.join("package.info"), info.to_string()).expect("writes");
    let mut document = json_of(&package.join("p13/mobile_map.mmap"));
    document["item"]["title"] = json!("Another");
    let layers = document["map"]["operationalLayers"].as_array_mut().expect("layers");
    let path = layers[0]["path"].clone();
    let other = |id: &str, path: Value| json!({"id": id, "title": id, "layerType": "ArcGISFeatureLayer", "path": path});
    layers.push(other("up", json!("file:../../../../etc/passwd")));
    layers.push(other("gone", json!("file:./gone.geodatabase?itemId=0")));
    layers.push(other("kml", json!("file:./mobile_map.mmap")));
    let number = path.as_str().and_then(|path| path.split_once("itemId=")).expect("a number").1.to_owned();
    layers.push(other("item", json!(path.as_str().expect("a path").replace(&format!("itemId={number}"), "itemId=77"))));
    std::fs::write(package.join("p13/second map.mmap"), document.to_string()).expect("writes");
    let folder = dir.path().join("open");
    let answer = made(&package, &folder, &[], 3);
    let titles: Vec<_> = answer["leftOut"].as_array().expect("a list").iter().map(|l| l["layer"].clone()).collect();
    assert_eq!(titles, ["up", "gone", "kml", "item"], "{answer}");
    assert_eq!(
        answer["maps"][1],
        json!({"title": "Another", "style": "second_map.style.json", "project": "second_map.qgz"})
    );
    check_manifest(&folder);
    for name in ["mobile_map.style.json", "second_map.style.json"] {
        check_style(&folder, &json_of(&folder.join(name)));
    }
    assert!(!folder.join("style.json").exists());
    // Nor has a map layers without end.
    let many: Vec<Value> = (0..6_000).map(|n| json!({"id": "same", "title": format!("{n}")})).collect();
    let kept = std::fs::read(package.join("p13/second map.mmap")).expect("reads");
    std::fs::write(package.join("p13/second map.mmap"), json!({"map": {"operationalLayers": many}}).to_string())
        .expect("writes");
    let refused = run(convert(&package, &dir.path().join("no"), &[]));
    assert!(refused.status.code() == Some(1) && words(&refused).contains("6000 layers"), "{}", words(&refused));
    std::fs::write(package.join("p13/second map.mmap"), kept).expect("writes");
    // A link in the package is not followed.
    std::os::unix::fs::symlink("/etc/passwd", package.join("p13/x.geodatabase")).expect("links");
    let refused = run(convert(&package, &dir.path().join("no"), &[]));
    assert_eq!(refused.status.code(), Some(1), "{}", words(&refused));
    assert_eq!(names(dir.path()), ["open", "package"]);
}

#[test]
fn a_destination_that_is_not_free_is_refused_and_stays_as_it_is() {
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name);
    std::fs::create_dir_all(path("package/p13")).expect("makes");
    std::fs::write(path("package/package.info"), r#"{"maps": ["m"]}"#).expect("writes");
    std::fs::write(path("package/p13/m.mmap"), r#"{"item": {}, "map": {"operationalLayers": []}}"#).expect("writes");
    std::fs::create_dir(path("full")).expect("makes");
    std::fs::write(path("full/notes.txt"), "the only copy").expect("writes");
    std::fs::write(path("file"), "a file").expect("writes");
    std::os::unix::fs::symlink("full", path("link")).expect("links");
    std::fs::create_dir(path("empty")).expect("makes");
    let before = files(dir.path());
    for (to, more, expected) in [
        ("full", &[][..], "is not empty"),
        ("full", &["--overwrite"], "it is no open folder of offmap"),
        ("file", &["--overwrite"], "is not a directory"),
        ("link", &["--overwrite"], "is a link"),
        ("no/where", &[], "make it first"),
        ("package/open", &[], "would lie in the package"),
        ("package", &["--overwrite"], "is not overwritten"),
        ("new", &["--levels", "1-2"], "cannot be used with"),
    ] {
        let output = run(convert(&path("package"), &path(to), more));
        let shown = format!("{to} {more:?}: {}", words(&output));
        assert_eq!(output.status.code(), Some(2), "{shown}");
        assert!(words(&output).contains(expected), "{shown}");
        assert_eq!(files(dir.path()), before, "{shown}");
    }
    // A map without layers is one, too; an empty directory is taken.
    made(&path("package"), &path("empty"), &[], 0);
    assert!(path("empty/style.json").is_file() && path("empty/map.qgz").is_file());
    let no_package = run(convert(&path("full"), &path("new"), &[]));
    assert_eq!(no_package.status.code(), Some(1), "{}", words(&no_package));
    let named = run({
        let mut command = offmap(&["convert"]);
        command.arg(path("package")).arg(path("x.gpkg"));
        command
    });
    assert!(words(&named).contains("--to open"), "{}", words(&named));
}

#[tokio::test(flavor = "multi_thread")]
async fn take_makes_the_folder_in_the_same_run_and_keeps_the_package_where_the_folder_fails() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name);
    let portal = sandbox.portal_url();
    let take = |item: &str, out: &str, open: &str, more: &[&str]| {
        let mut command = offmap(&["take", "--portal", &portal, "--item", item, "--progress", "json"]);
        command.args(AREA).arg("--out").arg(path(out)).arg("--open").arg(path(open)).args(more);
        let output = run(command);
        let last = String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().to_owned();
        let result: Value = serde_json::from_str(&last).unwrap_or_else(|_| panic!("{}", words(&output)));
        (output.status.code(), result["result"].clone(), words(&output))
    };
    let (code, result, said) = take(FIELD_MAP, "package", "open", &[]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!((&result["open"]["complete"], &result["failure"]), (&json!(true), &Value::Null), "{result}");
    check_manifest(&path("open"));
    // Another process writes the same folder.
    let note = std::fs::File::create(path("other.new.request")).expect("makes");
    note.lock().expect("locks");
    let (code, result, said) = take(FIELD_MAP, "second", "other", &[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("the package is whole") && said.contains("--to open"), "{said}");
    assert!(
        result["package"].is_string() && result["open"]["folder"].is_null() && result["failure"].is_object(),
        "{result}"
    );
    let verified = run(offmap(&["verify", "--deep", &path("second").to_string_lossy()]));
    assert_eq!(verified.status.code(), Some(0), "{}", words(&verified));
    drop(note);
    // Later it is made by itself, or with what is there.
    made(&path("second"), &path("other"), &[], 0);
    // Without a package there is no folder; what cannot be a folder is said before anything is fetched.
    let before = names(dir.path());
    let (code, result, said) = take("00000000000000000000000000000000", "third", "third-open", &[]);
    assert!(code == Some(1) && result["open"].is_null(), "{said}");
    let asked = sandbox.requests().len();
    for (open, expected) in [("open", "is not empty"), ("third/open", "would lie in the package")] {
        let (code, _, said) = take(FIELD_MAP, "third", open, &[]);
        assert!(code == Some(2) && said.contains(expected), "{said}");
    }
    assert_eq!((sandbox.requests().len(), names(dir.path())), (asked, before));
    let (code, _, said) = take(FIELD_MAP, "package", "open", &["--overwrite"]);
    assert_eq!(code, Some(0), "{said}");
    check_manifest(&path("open"));
}
