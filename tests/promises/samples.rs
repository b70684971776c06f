//! Real web maps and packages, read with our code. They lie beside the repository; without them these tests say so.

use offmap::packager::{MobileMapPackage, verify};
use offmap::{LayerType, WebMap};
use serde_json::Value;
use std::path::PathBuf;

fn sample(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/samples/webmaps").join(name);
    if !path.exists() {
        eprintln!("skipped: {} is not there", path.display());
        return None;
    }
    Some(path)
}

#[test]
fn every_real_web_map_is_read_and_kept() {
    for (name, layers, first) in [
        ("fueling-stations.webmap.json", 2, LayerType::VectorTile),
        ("wsdot-planning.webmap.json", 8, LayerType::TiledMapService),
    ] {
        let Some(path) = sample(name) else { return };
        let text = std::fs::read_to_string(path).expect("reads");
        let map = WebMap::from_json(&text).expect("a web map");
        assert_eq!(
            serde_json::to_value(&map).expect("writes"),
            serde_json::from_str::<Value>(&text).expect("JSON"),
            "{name}"
        );
        let all = map.layers();
        assert!(all.len() >= layers, "{name} has {} layers", all.len());
        assert!(
            all.iter().any(|l| l.layer_type == first),
            "{name}: {:?}",
            all.iter().map(|l| &l.layer_type).collect::<Vec<_>>()
        );
        let ids: std::collections::HashSet<_> = all.iter().map(|l| &l.id).collect();
        assert_eq!(ids.len(), all.len(), "ids are unique");
        assert!(map.offline_settings_warnings().is_empty(), "settings are understood");
    }
}

#[tokio::test]
async fn every_real_web_map_is_checked_planned_and_tried_with_a_clear_reason_for_each_layer() {
    use offmap::arcgis::Credentials;
    use offmap::{Engine, FailureOwner, OfflineMapSource, OfflineMapTask};
    // A port of loopback that nobody listens on takes the place of the real hosts.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("binds").local_addr().expect("an address");
    let client = crate::support::quick_client(Credentials::none());
    let engine: Engine = offmap::with_defaults(&client).expect("exporters").start().expect("starts");
    for name in ["fueling-stations.webmap.json", "wsdot-planning.webmap.json"] {
        let Some(path) = sample(name) else { return };
        let mut text = std::fs::read_to_string(path).expect("reads");
        for scheme in ["https://", "http://"] {
            let pieces: Vec<String> = text.split(scheme).map(str::to_owned).collect();
            let mut moved = pieces.first().cloned().unwrap_or_default();
            for piece in pieces.iter().skip(1) {
                let rest = piece.find(['/', '"']).map_or("", |at| &piece[at..]);
                moved.push_str(&format!("http@//{closed}{rest}"));
            }
            text = moved;
        }
        let text = text.replace("http@//", "http://");
        let map = WebMap::from_json(&text).expect("a web map");
        let count = map.layers().len();
        let task = OfflineMapTask::new(&engine, OfflineMapSource::from_web_map(map));
        let parameters = task.default_parameters(crate::support::area()).expect("parameters");
        let all = task.capabilities(&parameters).await.expect("capabilities");
        let every: Vec<_> = all.layer_capabilities.iter().chain(&all.table_capabilities).collect();
        assert_eq!(every.len(), count, "{name}");
        for capability in every.iter().filter(|c| !c.supports_offline) {
            let failure = capability.failure.as_ref().unwrap_or_else(|| panic!("{capability:?}"));
            assert!(capability.reason.is_some() && failure.message.len() > 20, "{failure}");
            assert!(matches!(failure.owner, FailureOwner::Network | FailureOwner::Source), "{failure:?}");
        }
        let plan = task.plan(&parameters, &Default::default()).await.expect("a plan");
        assert_eq!(
            plan.tasks.iter().map(|t| t.layers.len()).sum::<usize>() + plan.skipped.len() + plan.embedded.len(),
            count
        );
        let dir = offmap_sandbox::tempdir().expect("a directory");
        let job = task.generate_offline_map(parameters, Default::default(), dir.path().join("p"));
        let (result, _) = crate::support::run_to_end(&job).await;
        let error = result.expect_err("no service answers");
        assert!(error.layers.iter().all(|l| l.failure.is_some()), "{name}: {:?}", error.layers);
        assert!(!dir.path().join("p").exists());
    }
}

#[test]
fn the_author_s_offline_settings_are_read() {
    let Some(path) = sample("offline-settings-example.json") else { return };
    let mut json: Value = serde_json::from_str(&std::fs::read_to_string(path).expect("reads")).expect("JSON");
    json["operationalLayers"] = serde_json::json!([]);
    let settings = WebMap::from_value(json).expect("a map").offline_settings().expect("are there");
    assert_eq!(settings.sync_data_options, Some(144));
    assert!(!settings.include_table_rows());
    assert_eq!(settings.offline_basemap.and_then(|b| b.reference_basemap_name).as_deref(), Some("LocalBasemap.tpk"));
}

#[test]
fn a_package_of_another_writer_opens_and_verifies() {
    let Some(path) = sample("usa.mmpk") else { return };
    let package = MobileMapPackage::open(&path).expect("opens");
    assert_eq!((package.item().title.as_str(), package.version()), ("USA", Some("1.0")));
    assert_eq!(package.item().thumbnail.as_ref().map(|t| t.media_type()), Some("image/jpeg"));
    let [map] = package.maps() else { panic!("one map") };
    let [layer] = map.layers.as_slice() else { panic!("one layer") };
    let data = layer.data.as_ref().expect("data");
    assert_eq!((data.path.as_str(), data.item_id), ("p12/feature_service_data.geodatabase", Some(0)));
    assert_eq!(data.bytes, Some(272_384));
    assert!(package.manifest().is_none());
    let found = verify(&path).expect("verifies");
    assert!(found.ok && !found.by_manifest && found.files == 7, "{found:?}");
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let file = package.extract(&data.path, &dir.path().join("x.geodatabase")).expect("extracts");
    let rows: i64 = rusqlite::Connection::open(file)
        .and_then(|c| c.query_row("SELECT count(*) FROM GDB_ServiceItems", [], |r| r.get(0)))
        .expect("a database");
    assert_eq!(rows, 1);
}
