//! The command line is true to the SDK: parameters in a file are merged and then judged, `check` judges with overrides.

use crate::support::{AREA, names, offmap, run, sandbox, words};
use offmap_sandbox::{FIELD_MAP, SandboxOptions};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn parameters_in_a_file_go_over_the_map_s_member_by_member() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let portal = sandbox.portal_url();
    std::fs::write(
        path("p.json"),
        json!({"areaOfInterest": {"xmin": 5, "ymin": 45, "xmax": 10, "ymax": 48,
        "spatialReference": {"wkid": 4326}}, "itemInfo": {"title": "T"}})
        .to_string(),
    )
    .expect("writes");
    let out = path("out");
    let file = path("p.json");
    let take = [
        "take",
        "--portal",
        &portal,
        "--item",
        FIELD_MAP,
        "--parameters",
        &file,
        "--no-basemap",
        "--out",
        &out,
        "--progress",
        "off",
    ];
    let output = run(offmap(&take));
    assert_eq!(output.status.code(), Some(0), "{}", words(&output));
    let item = offmap::packager::MobileMapPackage::open(std::path::Path::new(&out)).expect("opens").item().clone();
    assert_eq!(item.title, "T");
    assert_eq!(item.snippet, "Places to inspect");
    assert!(item.description.contains("Places") && item.tags == ["inspection", "natural earth"] && item.thumbnail.is_some());
    assert!(item.access_information.contains("Natural Earth") && item.terms_of_use.contains("Public domain"));
    assert_eq!(names(dir.path()), ["out", "p.json"], "nothing is left beside the package");
    // A map whose author wants no attachments: the caller's half of the pair fits.
    let service = format!("{}/arcgis/rest/services/Fieldwork/FeatureServer/0", sandbox.url());
    let map = json!({"operationalLayers": [{"id": "p", "title": "P", "layerType": "ArcGISFeatureLayer", "url": service}],
        "applicationProperties": {"offline": {"editableLayers": {"download": "features"}, "readonlyLayers": {"downloadAttachments": false}}}});
    std::fs::write(path("map.json"), map.to_string()).expect("writes");
    let map = path("map.json");
    for (pair, code, said) in [
        (json!({"attachmentSyncDirection": "none"}), 0, ""),
        (json!({"returnLayerAttachmentOption": "none"}), 0, ""),
        (
            json!({"returnLayerAttachmentOption": "none", "attachmentSyncDirection": "bidirectional"}),
            2,
            "not `bidirectional`",
        ),
    ] {
        std::fs::write(
            path("pair.json"),
            pair.to_string().replace(
                '{',
                &format!(
                    "{{\"areaOfInterest\": {},",
                    json!({"xmin": 5,
            "ymin": 45, "xmax": 10, "ymax": 48, "spatialReference": {"wkid": 4326}})
                ),
            ),
        )
        .expect("writes");
        let file = path("pair.json");
        let output = run(offmap(&["plan", "--web-map", &map, "--parameters", &file]));
        assert_eq!(output.status.code(), Some(code), "{pair}: {}", words(&output));
        assert!(words(&output).contains(said), "{}", words(&output));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_judges_with_the_overrides() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let portal = sandbox.portal_url();
    let overrides = dir.path().join("o.json").to_string_lossy().into_owned();
    std::fs::write(&overrides, json!({"exportTileCacheParameters": {}, "onlineLayers": ["countries"]}).to_string())
        .expect("writes");
    let mut command = offmap(&["check", "--portal", &portal, "--item", FIELD_MAP, "--overrides", &overrides, "--json"]);
    command.args(AREA);
    let output = run(command);
    assert_eq!(output.status.code(), Some(0), "{}", words(&output));
    let json: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let of = |id: &str| {
        let all = json["layerCapabilities"].as_array().expect("layers");
        all.iter().find(|c| c["id"] == id).cloned().unwrap_or_else(|| panic!("no {id} in {json:#}"))
    };
    assert_eq!((&of("countries")["remainsOnline"], &of("countries")["supportsOffline"]), (&json!(true), &json!(false)));
    assert_eq!((&of("world")["reason"], &of("world")["remainsOnline"]), (&json!("leftOut"), &json!(false)));
    assert_eq!(of("places")["supportsOffline"], json!(true));
    assert_eq!(json["hasErrors"], json!(false), "what was left out on purpose is no error");
}
