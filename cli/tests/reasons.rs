//! What `check`, `plan` and `take` say of what cannot go offline.

use crate::support::{AREA, offmap, run, sandbox, words};
use offmap_sandbox::{FIELD_MAP, Fault, FaultAction, Sandbox, SandboxOptions};
use serde_json::json;
use std::path::Path;
use std::process::Output;

fn map_file(dir: &Path, name: &str, bytes: &[u8]) -> String {
    let path = dir.join(name);
    std::fs::write(&path, bytes).expect("writes");
    path.to_string_lossy().into_owned()
}

fn of_map(command: &str, map: &str, out: Option<&Path>) -> Output {
    let mut offmap = offmap(&[command, "--web-map", map]);
    offmap.args(AREA);
    if let Some(out) = out {
        offmap.args(["--progress", "off", "--out"]).arg(out);
    }
    run(offmap)
}

fn group_and_layer(sandbox: &Sandbox) -> Vec<u8> {
    let url = format!("{}/arcgis/rest/services/Assets/FeatureServer", sandbox.url());
    let layer = |id: u32| json!({"id": format!("l{id}"), "title": format!("Layer {id}"), "layerType": "ArcGISFeatureLayer", "url": format!("{url}/{id}")});
    let map = json!({"operationalLayers": [layer(9), layer(28), layer(3)], "spatialReference": {"wkid": 102_100}});
    // As an editor of Windows writes it.
    format!("\u{feff}{map}").into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn check_plan_and_take_name_what_was_found_and_suggest_nothing_that_cannot_help() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let map = map_file(dir.path(), "map.json", &group_and_layer(&sandbox));
    let out = dir.path().join("out");
    for (command, out) in [("check", None), ("plan", None), ("take", Some(out.as_path()))] {
        let said = words(&of_map(command, &map, out));
        assert!(
            said.contains("is a group layer without rows of its own; put its layers in the map instead: 1 `Borders`"),
            "{command}: {said}"
        );
        assert!(said.contains("has no layer 28; it has 0 `Places`, 1 `Borders`"), "{command}: {said}");
        assert!(!said.contains("--failed-only"), "{command}: {said}");
        if command == "take" {
            assert!(said.contains("what to do: correct its url in the map, or leave it out"), "{said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_try_is_suggested_where_it_can_help() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let map = map_file(dir.path(), "map.json", &group_and_layer(&sandbox));
    let denied = json!({"error": {"code": 403, "message": "You do not have permissions"}});
    sandbox.fault(Fault::always_at("/assets/featureserver/9", FaultAction::Body(denied)));
    let out = dir.path().join("out");
    let output = of_map("take", &map, Some(&out));
    assert_eq!(output.status.code(), Some(3), "{}", words(&output));
    assert!(words(&output).contains("complete it with: offmap resume --failed-only"), "{}", words(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_web_map_is_named_for_what_it_is() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let service = format!("{}/arcgis/rest/services/Fieldwork/FeatureServer", sandbox.url());
    let large = [b"PK\x03\x04".as_slice(), &vec![0; 17 << 20]].concat();
    for (map, said) in [
        (service.clone(), "is the url of a feature service, expected that of a web map; add the service to a web map"),
        (format!("{service}/0"), "is the url of a feature service"),
        (
            format!("{}/files/base.tpkx", sandbox.url()),
            "is a tile package, expected a web map; name it as referenceBasemapFilename",
        ),
        (map_file(dir.path(), "base.tpk", &large), "base.tpk is a tile package, expected a web map"),
        (map_file(dir.path(), "field.mmpk", b"PK\x03\x04"), "field.mmpk is a mobile map package, expected a web map"),
        (map_file(dir.path(), "data.geodatabase", b"SQLite format 3\0"), "is a mobile geodatabase, expected a web map"),
        (
            map_file(dir.path(), "service.json", br#"{"currentVersion": 11, "layers": []}"#),
            "looks like the description of a service",
        ),
        (map_file(dir.path(), "broken.json", b"{\n\"operationalLayers\": \xff}"), "line 2, column 22 has `\\xff}`"),
    ] {
        for command in ["check", "plan", "take"] {
            let out = dir.path().join("out");
            let output = of_map(command, &map, (command == "take").then_some(out.as_path()));
            assert_eq!(output.status.code(), Some(2), "{command} {map}: {}", words(&output));
            assert!(words(&output).contains(said), "{command} {map}: {}", words(&output));
            assert!(!out.exists());
        }
    }
    assert!(sandbox.requests().is_empty(), "nobody is asked for them");
    let item = json!({"id": FIELD_MAP, "type": "Tile Package", "title": "Base"});
    sandbox.fault(Fault::always_at(&format!("/items/{FIELD_MAP}"), FaultAction::Body(item)));
    let mut check = offmap(&["check", "--portal", &sandbox.portal_url(), "--item", FIELD_MAP]);
    check.args(AREA);
    let output = run(check);
    assert!(words(&output).contains("is a Tile Package, expected a Web Map; download it"), "{}", words(&output));
}
