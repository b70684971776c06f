//! A whole map, both dialects of services: the package, and every request on the wire.

use crate::support::{Bench, run_to_end};
use offmap::packager::{MobileMapPackage, verify, write_mmpk};
use offmap::{ExportState, FailureKind, FailureOwner, GenerateOfflineMapUpdateMode};
use offmap_sandbox::{FIELD_MAP, Fault, FaultAction, HOSTED_MAP, JobFault, MIXED_MAP};
use rusqlite::Connection;
use serde_json::{Value, json};
use std::io::Read as _;

fn rows(database: &std::path::Path, sql: &str) -> i64 {
    Connection::open(database).expect("opens").query_row(sql, [], |r| r.get(0)).expect("counts")
}

#[tokio::test]
async fn a_map_goes_offline_in_both_dialects_with_every_planned_row() {
    for item in [FIELD_MAP, HOSTED_MAP] {
        let bench = Bench::new().await;
        let result = bench.take(item).await;
        assert!(!result.has_errors(), "{:?}", result.layers);
        assert!(result.layers.iter().all(|l| l.state == ExportState::Succeeded && l.contents.got > 0 && l.bytes > 0));
        let package = MobileMapPackage::open(&result.package).expect("opens");
        let layers = &package.maps()[0].layers;
        let file = |id: &str| {
            let data = layers.iter().find(|l| l.id == id).and_then(|l| l.data.clone()).expect("data");
            (result.package.join(&data.path), data)
        };
        let (fieldwork, places) = file("places");
        assert_eq!(file("countries").0, fieldwork, "one service, one file");
        assert_eq!((places.item_id, file("inspections").1.item_id), (Some(0), Some(5)));
        let got = |id: &str| result.layers.iter().find(|l| l.id == id).map(|l| l.contents.got as i64).expect("an outcome");
        assert_eq!(rows(&fieldwork, "SELECT count(*) FROM Places_evw"), got("places"));
        assert_eq!(rows(&fieldwork, "SELECT count(*) FROM Place_inspections"), got("inspections"));
        assert_eq!(rows(&fieldwork, "SELECT count(*) FROM Measurements"), got("measurements"));
        // Related rows only, and no more than are related; photos of the places inside.
        let strangers = "SELECT count(*) FROM Place_inspections WHERE PLACE_ID NOT IN (SELECT GlobalID FROM Places)";
        assert_eq!(rows(&fieldwork, strangers), 0);
        assert!(rows(&fieldwork, "SELECT count(*) FROM Places__ATTACH WHERE length(DATA) = DATA_SIZE") > 0);
        // The author's filter.
        let (reference, _) = file("borders");
        assert_eq!(rows(&reference, "SELECT count(*) FROM Borders WHERE LENGTH_KM <= 20"), 0);
        let (streets, data) = file("streets");
        assert!(streets.extension().is_some_and(|e| e == "vtpk"));
        assert_eq!(data.resources.is_some(), item == HOSTED_MAP, "the item's style comes along");
        if let Some(folder) = data.resources {
            let style = std::fs::read_to_string(result.package.join(&folder).join("styles/root.json")).expect("a style");
            let style: Value = serde_json::from_str(&style).expect("JSON");
            let sprite = result.package.join(&folder).join("styles").join(style["sprite"].as_str().expect("a sprite"));
            assert!(sprite.with_extension("json").exists() && sprite.with_extension("png").exists());
            assert!(result.package.join(&folder).join("fonts/Sandbox Regular/0-255.pbf").exists());
        }
    }
}

#[tokio::test]
async fn the_item_s_metadata_and_picture_are_in_the_package() {
    let bench = Bench::new().await;
    let result = bench.take(FIELD_MAP).await;
    let package = MobileMapPackage::open(&result.package).expect("opens");
    let item = package.item();
    assert_eq!(
        (item.title.as_str(), item.access_information.as_str()),
        ("Field inspection", "Natural Earth, public domain")
    );
    assert_eq!(item.terms_of_use, "<b>Public domain</b>");
    assert!(item.thumbnail.as_ref().is_some_and(|t| t.media_type() == "image/png"));
    assert_eq!(package.maps()[0].original_portal_item_id.as_deref(), Some(FIELD_MAP));
    assert_eq!(package.extent(), Some([[2.0, 43.0], [20.0, 52.0]]));
    let info: Value =
        serde_json::from_slice(&std::fs::read(result.package.join("package.info")).expect("reads")).expect("JSON");
    assert_eq!(info["version"], "3.2");
    assert_eq!(info["spatialReference"], "WGS_1984_Web_Mercator_Auxiliary_Sphere");
    let manifest = package.manifest().expect("a manifest").expect("a good one");
    assert!(manifest.complete);
    assert!(manifest.layers.iter().all(|l| l.attribution.as_deref() == Some("Natural Earth, public domain")));
    assert!(manifest.layers.iter().any(|l| l.edit_date == Some(1_704_153_600_000)));
}

#[tokio::test]
async fn the_requests_on_the_wire_are_those_of_the_reference() {
    let bench = Bench::new().await;
    bench.take(FIELD_MAP).await;
    let requests = bench.sandbox.requests();
    let one = |path: &str| requests.iter().find(|r| r.path.ends_with(path)).unwrap_or_else(|| panic!("no {path}"));
    assert!(requests.iter().filter(|r| r.path.contains("/rest/")).all(|r| r.path.contains("arcgisoutput")
        || r.path.contains("/info/thumbnail")
        || r.parameters.get("f").is_some_and(|f| f == "json")));

    let replica = one("Fieldwork/FeatureServer/createReplica");
    assert_eq!(replica.method, "POST");
    let p = |name: &str| replica.parameters.get(&name.to_lowercase()).map(String::as_str);
    let parsed = |name: &str| serde_json::from_str::<Value>(p(name).unwrap_or("null")).expect("JSON");
    assert_eq!(p("layers"), Some("2,0,5,6"));
    assert_eq!((p("dataFormat"), p("async"), p("syncModel")), (Some("sqlite"), Some("true"), Some("perLayer")));
    assert_eq!((p("syncDirection"), p("transportType")), (Some("bidirectional"), Some("esriTransportTypeUrl")));
    assert_eq!((p("returnAttachments"), p("attachmentsSyncDirection")), (Some("true"), Some("bidirectional")));
    assert_eq!(p("geometryType"), Some("esriGeometryEnvelope"));
    assert_eq!(parsed("geometry")["spatialReference"]["wkid"], 4326);
    assert_eq!(parsed("replicaSR")["wkid"], 102_100);
    assert_eq!(parsed("replicaOptions"), json!({"syncDataOptions": 12}));
    let related = json!({"queryOption": "none", "useGeometry": false, "includeRelated": true});
    assert_eq!(parsed("layerQueries"), json!({"5": related, "6": related}), "only layers that differ from the default");

    let read_only = one("Reference/FeatureServer/createReplica");
    assert_eq!(read_only.parameters.get("syncdirection").map(String::as_str), Some("download"));
    let queries: Value = serde_json::from_str(&read_only.parameters["layerqueries"]).expect("JSON");
    assert_eq!(queries["0"]["where"], "LENGTH_KM > 20");

    let raster = one("World/MapServer/exportTiles");
    let p = |name: &str| raster.parameters.get(&name.to_lowercase()).map(String::as_str);
    assert_eq!((p("tilePackage"), p("exportBy"), p("levels")), (Some("true"), Some("levelId"), Some("0-6")));
    assert_eq!(p("storageFormatType"), Some("esriMapCacheStorageModeCompactV2"));
    let extent: Value = serde_json::from_str(p("exportExtent").expect("an extent")).expect("JSON");
    assert_eq!(extent["spatialReference"]["latestWkid"], 3857, "never bare numbers");

    let vector = one("Streets/VectorTileServer/exportTiles");
    assert_eq!(vector.parameters.get("levels").map(String::as_str), Some("0-5"));
    assert!(!vector.parameters.contains_key("tilepackage"));
}

#[tokio::test]
async fn a_polygon_is_sent_as_polygon_and_filters_rows_and_tiles() {
    let bench = Bench::new().await;
    let triangle =
        json!({"rings": [[[2, 43], [20, 52], [20, 43], [2, 43]]], "spatialReference": {"wkid": 4326}}).to_string();
    let job =
        bench.job(FIELD_MAP, |p| p.area_of_interest = offmap::AreaOfInterest::from_json(&triangle).expect("an area")).await;
    let result = run_to_end(&job).await.0.expect("a package");
    assert!(!result.has_errors(), "{:?}", result.layers);
    let requests = bench.sandbox.requests();
    for path in ["World/MapServer/exportTiles", "Streets/VectorTileServer/exportTiles"] {
        let request = requests.iter().find(|r| r.path.ends_with(path)).expect("an export");
        let polygon: Value = serde_json::from_str(&request.parameters["polygon"]).expect("a polygon");
        assert!(polygon["rings"][0].as_array().is_some_and(|r| r.len() > 10), "edges are densified before projecting");
        assert!(request.parameters.contains_key("exportextent"));
    }
    let layer = |id: &str| result.layers.iter().find(|l| l.id == id).expect("an outcome");
    assert!(layer("places").contents.got < 15, "{:?}", layer("places"));
    assert_eq!(
        Some(layer("world").contents.got),
        layer("world").contents.planned,
        "tiles are counted within the polygon, as the service cuts"
    );
    assert!(layer("world").contents.got < 75, "the envelope has more: {:?}", layer("world"));
}

#[tokio::test]
async fn levels_follow_the_scales_and_base_maps_can_stay_behind() {
    let bench = Bench::new().await;
    let task = bench.task(FIELD_MAP).await;
    let mut parameters = task.default_parameters(crate::support::area()).expect("parameters");
    parameters.min_scale = 40_000_000.0;
    parameters.max_scale = 10_000_000.0;
    let plan = task.plan(&parameters, &Default::default()).await.expect("a plan");
    let levels = |title: &str| {
        let task = plan.tasks.iter().find(|t| t.title == title).expect("a task");
        task.levels.iter().map(|l| l.level_id).collect::<Vec<_>>()
    };
    assert_eq!(levels("World"), [3, 4, 5, 6], "a limit between two levels takes the coarser one out and the finer one in");
    assert_eq!(levels("Streets"), [0, 1, 2, 3, 4, 5], "vector tiles ignore the minimum scale");
    parameters.include_basemap = false;
    let plan = task.plan(&parameters, &Default::default()).await.expect("a plan");
    assert!(plan.tasks.iter().all(|t| t.exporter == "geodatabase"));
    assert_eq!(plan.skipped.iter().map(|s| s.id.as_str()).collect::<Vec<_>>(), ["world", "streets"]);
    assert!(plan.skipped.iter().all(|s| s.failure.is_none()), "left out on purpose");
    parameters.include_basemap = true;
    (parameters.min_scale, parameters.max_scale) = (1000.0, 500.0);
    let plan = task.plan(&parameters, &Default::default()).await.expect("a plan");
    let world = plan.skipped.iter().find(|s| s.id == "world").and_then(|s| s.failure.clone()).expect("a failure");
    assert!(world.message.contains("no level of \"World\" lies between"), "{world}");
}

#[tokio::test]
async fn one_failing_layer_stops_the_job_or_is_recorded_as_the_policy_says() {
    let bench = Bench::new().await;
    let words = "Error in creating runtime geodatabase.";
    bench.sandbox.fault(Fault::always("reference/featureserver/createreplica", FaultAction::Job(JobFault::Stuck)));
    let failed = json!({"status": "Failed", "error": {"code": 500, "message": words, "details": []}});
    let stop = bench.job(FIELD_MAP, |p| p.continue_on_errors = false).await;
    let mut status = stop.status();
    stop.start();
    while let Some(message) = status.next().await {
        if message.subject.id == "countries" && message.state == ExportState::Succeeded {
            // Only now, so that there is a replica to roll back.
            assert_eq!(bench.sandbox.replicas("Fieldwork"), 1);
            bench.sandbox.fault(Fault::always("reference/featureserver/jobs", FaultAction::Body(failed.clone())));
        }
    }
    let error = stop.result().await.expect_err("stopped");
    assert_eq!(error.failure.server_message.as_deref(), Some(words));
    assert_eq!((error.failure.owner, error.failure.kind), (FailureOwner::Source, FailureKind::ServiceError));
    assert_eq!(error.failure.layer.as_deref(), Some("borders"));
    assert!(!bench.destination().exists());
    assert_eq!(bench.sandbox.replicas("Fieldwork"), 0, "replicas of a job that made no package are unregistered");

    let go_on = run_to_end(&bench.job(FIELD_MAP, |_| {}).await).await.0.expect("a package");
    let missing: Vec<_> = go_on.layer_errors().map(|l| l.id.as_str()).collect();
    assert_eq!(missing, ["borders"]);
    let package = MobileMapPackage::open(&go_on.package).expect("opens");
    assert!(!package.maps()[0].layers.iter().any(|l| l.id == "borders"));
    assert_eq!(bench.sandbox.replicas("Fieldwork"), 1);
}

#[tokio::test]
async fn layers_that_cannot_go_offline_are_named_with_the_reason() {
    let bench = Bench::new().await;
    let task = bench.task(MIXED_MAP).await;
    let parameters = task.default_parameters(crate::support::area()).expect("parameters");
    let capabilities = task.capabilities(&parameters).await.expect("capabilities");
    assert!(capabilities.has_errors());
    let of = |id: &str| capabilities.layer_capabilities.iter().find(|c| c.id == id).expect("a capability");
    assert!(of("places").supports_offline);
    assert_eq!(json!(of("online").reason), json!("syncNotEnabled"));
    assert_eq!(json!(of("wms").reason), json!("layerTypeNotSupported"));
    assert_eq!(capabilities.table_capabilities.len(), 2);
}

#[tokio::test]
async fn without_updates_no_replica_is_registered() {
    let bench = Bench::new().await;
    let job = bench.job(FIELD_MAP, |p| p.update_mode = GenerateOfflineMapUpdateMode::NoUpdates).await;
    let result = run_to_end(&job).await.0.expect("a package");
    assert!(!result.has_errors(), "{:?}", result.layers);
    assert_eq!(bench.sandbox.replicas("Fieldwork"), 0);
    let request = bench.sandbox.requests().into_iter().find(|r| r.path.ends_with("createReplica")).expect("a replica");
    assert_eq!(request.parameters.get("syncmodel").map(String::as_str), Some("none"));
}

#[tokio::test]
async fn an_archive_is_stored_opens_and_verifies() {
    let bench = Bench::new().await;
    let result = bench.take(FIELD_MAP).await;
    let mmpk = bench.dir.path().join("map.mmpk");
    write_mmpk(&result.package, &mmpk).expect("zips");
    let mut zip = zip::ZipArchive::new(std::fs::File::open(&mmpk).expect("opens")).expect("a zip");
    for i in 0..zip.len() {
        let mut entry = zip.by_index(i).expect("an entry");
        assert_eq!(entry.compression(), zip::CompressionMethod::Stored);
        assert_eq!(entry.size(), entry.compressed_size());
        entry.read_to_end(&mut Vec::new()).expect("its checksum is right");
    }
    let verification = verify(&mmpk).expect("verifies");
    assert!(verification.ok && verification.by_manifest && verification.complete == Some(true), "{verification:?}");
    let package = MobileMapPackage::open(&mmpk).expect("opens");
    assert!(
        package.is_archive() && package.maps()[0].layers.iter().all(|l| l.data.as_ref().is_some_and(|d| d.bytes.is_some()))
    );
    assert!(write_mmpk(&result.package, &mmpk).is_err(), "an existing file is not replaced");
}

#[tokio::test]
async fn downloads_survive_broken_connections_and_busy_hosts() {
    let bench = Bench::new().await;
    bench.sandbox.fault(Fault::times(".geodatabase", 2, FaultAction::Truncate(20_000)));
    bench.sandbox.fault(Fault::times("world.tpkx", 1, FaultAction::Reset));
    bench.sandbox.fault(Fault::times("exporttiles/jobs", 2, FaultAction::Status(503, "busy".into(), Some(1))));
    bench.sandbox.fault(Fault::times("featureserver/jobs", 1, FaultAction::Status(429, String::new(), Some(2))));
    bench.sandbox.fault(Fault::times("vectortileserver/jobs", 1, FaultAction::Reset));
    let result = bench.take(FIELD_MAP).await;
    assert!(!result.has_errors(), "{:?}", result.layers);
    let created = bench
        .sandbox
        .requests()
        .iter()
        .filter(|r| r.path.ends_with("createReplica") || r.path.ends_with("exportTiles"))
        .count();
    assert_eq!(created, 4, "nothing was started twice");
}

#[tokio::test]
async fn an_area_outside_every_service_is_refused_before_anything_is_spent() {
    use offmap::arcgis::ServiceCall;
    let bench = Bench::new().await;
    let root = format!("{}/arcgis/rest/services/World/MapServer", bench.sandbox.url());
    let call = ServiceCall::get(&root).expect("a url");
    let mut described = bench.client.json(&call).await.expect("a description");
    described["fullExtent"] =
        json!({"xmin": -9e6, "ymin": -4e6, "xmax": -8e6, "ymax": -3e6, "spatialReference": {"wkid": 3857}});
    bench.sandbox.fault(Fault::always("world/mapserver", FaultAction::Body(described)));
    let map = json!({"operationalLayers": [{"id": "w", "layerType": "ArcGISTiledMapServiceLayer", "url": root}]});
    let source = offmap::OfflineMapSource::from_web_map(offmap::WebMap::from_value(map).expect("a map"));
    let task = offmap::OfflineMapTask::new(&bench.engine, source);
    let parameters = task.default_parameters(crate::support::area()).expect("parameters");
    let job = task.generate_offline_map(parameters, Default::default(), bench.destination());
    let error = run_to_end(&job).await.0.expect_err("refused");
    assert_eq!(error.failure.owner, FailureOwner::Caller);
    assert!(error.failure.message.contains("the area lies outside"), "{}", error.failure);
    assert!(!bench.sandbox.requests().iter().any(|r| r.path.ends_with("exportTiles")));
}

#[tokio::test]
async fn a_submission_that_was_refused_or_whose_answer_was_lost_is_repeated_and_one_replica_stays() {
    let bench = Bench::new().await;
    let refused = json!({"error": {"code": 500, "message": "Error in creating runtime geodatabase.", "details": []}});
    bench.sandbox.fault(Fault::times("fieldwork/featureserver/createreplica", 2, FaultAction::Body(refused)));
    bench.sandbox.fault(Fault::times("world/mapserver/exporttiles", 1, FaultAction::Status(503, "busy".into(), Some(1))));
    bench.sandbox.fault(Fault::times("reference/featureserver/createreplica", 1, FaultAction::Reset));
    let result = run_to_end(&bench.job(FIELD_MAP, |_| {}).await).await.0.expect("a package");
    assert!(!result.has_errors(), "{:?}", result.layers);
    let sent = |path: &str| bench.sandbox.requests().iter().filter(|r| r.path.ends_with(path)).count();
    assert_eq!(sent("Fieldwork/FeatureServer/createReplica"), 3);
    assert_eq!(sent("Reference/FeatureServer/createReplica"), 2);
    assert!(sent("Reference/FeatureServer/replicas") > 0, "what the lost one may have made is looked for by its name");
    assert_eq!((bench.sandbox.replicas("Fieldwork"), bench.sandbox.replicas("Reference")), (1, 1));
}

#[tokio::test]
async fn services_that_make_replicas_at_once_are_taken_too() {
    use offmap::arcgis::ServiceCall;
    for item in [FIELD_MAP, HOSTED_MAP] {
        let bench = Bench::new().await;
        let folder = if item == FIELD_MAP { "arcgis" } else { "hosted" };
        let root = format!("{}/{folder}/rest/services/Reference/FeatureServer", bench.sandbox.url());
        let mut described = bench.client.json(&ServiceCall::get(&root).expect("a url")).await.expect("a description");
        described["syncCapabilities"] = json!({"supportsASync": false, "supportsPerLayerSync": false});
        bench.sandbox.fault(Fault::times("reference/featureserver", 1, FaultAction::Body(described)));
        let map = json!({"operationalLayers": [{"id": "b", "layerType": "ArcGISFeatureLayer", "url": format!("{root}/0")}]});
        let source = offmap::OfflineMapSource::from_web_map(offmap::WebMap::from_value(map).expect("a map"));
        let task = offmap::OfflineMapTask::new(&bench.engine, source);
        let parameters = task.default_parameters(crate::support::area()).expect("parameters");
        let job = task.generate_offline_map(parameters, Default::default(), bench.destination());
        let result = run_to_end(&job).await.0.expect("a package");
        assert!(!result.has_errors(), "{:?}", result.layers);
        let request = bench.sandbox.requests().into_iter().find(|r| r.path.ends_with("createReplica")).expect("a replica");
        let p = |name: &str| request.parameters.get(name).map(String::as_str);
        assert_eq!((p("async"), p("syncmodel")), (Some("false"), Some("perReplica")));
        assert_eq!((p("attachmentssyncdirection"), p("replicaoptions")), (None, None), "only what the service knows");
    }
}

#[tokio::test]
async fn a_tile_package_of_the_old_kind_is_taken_as_it_comes() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/samples/tiles/packages/states_filled.tpk");
    let Ok(old) = std::fs::read(&path) else {
        eprintln!("skipped: {} is not there", path.display());
        return;
    };
    let bench = Bench::new().await;
    bench.sandbox.fault(Fault::always("world.tpkx", FaultAction::Replace(old)));
    // Levels 0 to 4, as the old package has.
    let result = run_to_end(&bench.job(FIELD_MAP, |p| p.max_scale = 36_978_595.474_472).await).await.0.expect("a package");
    let package = MobileMapPackage::open(&result.package).expect("opens");
    let world = package.maps()[0].layers.iter().find(|l| l.id == "world").and_then(|l| l.data.clone()).expect("data");
    assert!(world.path.ends_with(".tpk"), "{world:?}");
}

#[tokio::test]
async fn overrides_replace_one_service_s_parameters_and_a_template_of_them_changes_nothing() {
    use offmap::GenerateOfflineMapParameterOverrides;
    let bench = Bench::new().await;
    let task = bench.task(FIELD_MAP).await;
    let mut parameters = task.default_parameters(crate::support::area()).expect("parameters");
    parameters.max_scale = 10_000_000.0;
    let plan = task.plan(&parameters, &Default::default()).await.expect("a plan");
    let template = GenerateOfflineMapParameterOverrides::from_plan(&plan);
    let text = serde_json::to_string(&template).expect("JSON");
    let again = task
        .plan(&parameters, &GenerateOfflineMapParameterOverrides::from_json(&text).expect("reads"))
        .await
        .expect("a plan");
    assert_eq!(again, plan);

    let mut edited: Value = serde_json::from_str(&text).expect("JSON");
    let world = format!("{}/arcgis/rest/services/World/MapServer", bench.sandbox.url());
    edited["exportTileCacheParameters"][&world]["levelIds"] = json!([0, 1, 3]);
    let fieldwork = format!("{}/arcgis/rest/services/Fieldwork/FeatureServer", bench.sandbox.url());
    let options = edited["generateGeodatabaseParameters"][&fieldwork]["layerOptions"].as_array_mut().expect("options");
    options.retain(|o| o["layerId"] != 2);
    options[0]["whereClause"] = json!("COUNTRY = 'Switzerland'");
    let overrides = GenerateOfflineMapParameterOverrides::from_json(&edited.to_string()).expect("reads");
    let job = task.generate_offline_map(parameters, overrides, bench.destination());
    let result = run_to_end(&job).await.0.expect("a package");
    assert!(!result.has_errors(), "{:?}", result.layers);
    let layer = |id: &str| result.layers.iter().find(|l| l.id == id).expect("an outcome");
    assert_eq!(layer("places").contents.got, 2, "Bern and Geneva");
    assert_eq!(
        (layer("countries").state, layer("countries").contents.got),
        (ExportState::Skipped, 0),
        "left out on purpose"
    );
    assert_eq!(layer("world").contents.got, 3);
}

#[tokio::test]
async fn a_base_map_on_the_device_takes_the_place_of_the_map_s_own() {
    let bench = Bench::new().await;
    let first = bench.take(FIELD_MAP).await;
    let maps = bench.dir.path().join("maps");
    std::fs::create_dir(&maps).expect("makes");
    let tiles = crate::support::files_below(&first.package).into_iter().find(|p| p.extension().is_some_and(|e| e == "tpkx"));
    std::fs::copy(tiles.expect("a tile package"), maps.join("local map.tpkx")).expect("copies");
    std::fs::remove_dir_all(&first.package).expect("removes");
    let before = bench.sandbox.requests().len();

    for (directory, name, words) in [
        ("nowhere", "local map.tpkx", "nowhere is not there"),
        ("maps", "no.tpkx", "no.tpkx is not there"),
        ("maps", "../x.tpkx", "not a plain file name"),
    ] {
        let job = bench.job(FIELD_MAP, |p| {
            p.reference_basemap_directory = directory.into();
            p.reference_basemap_filename = name.into();
        });
        let error = run_to_end(&job.await).await.0.expect_err("refused");
        assert!(error.failure.message.contains(words), "{}", error.failure);
        assert_eq!(error.failure.owner, FailureOwner::Caller);
    }
    let absolute = maps.to_string_lossy().into_owned();
    for (directory, path) in [
        ("maps", "file:../../maps/local%20map.tpkx".to_owned()),
        (absolute.as_str(), format!("file://{absolute}/local%20map.tpkx")),
    ] {
        let job = bench.job(FIELD_MAP, |p| {
            p.reference_basemap_directory = directory.into();
            p.reference_basemap_filename = "local map.tpkx".into();
            p.area_of_interest = offmap::AreaOfInterest::from_numbers("2,43,25,52").expect("an area");
        });
        let result = run_to_end(&job.await).await.0.expect("a package");
        assert!(!result.has_errors(), "{:?}", result.layers);
        assert!(result.warnings.iter().any(|w| w.contains("does not cover the whole area")), "{:?}", result.warnings);
        let package = MobileMapPackage::open(&result.package).expect("opens");
        let map = serde_json::to_value(&package.maps()[0].map).expect("JSON");
        assert_eq!(map["baseMap"]["baseMapLayers"][0]["path"], path);
        assert_eq!(map["baseMap"]["baseMapLayers"].as_array().map(Vec::len), Some(1));
        assert!(package.maps()[0].layers[0].data.as_ref().is_some_and(|d| d.outside));
        assert!(verify(&result.package).expect("verifies").ok);
        std::fs::remove_dir_all(&result.package).expect("removes");
    }
    let exports = bench.sandbox.requests().iter().skip(before).filter(|r| r.path.ends_with("exportTiles")).count();
    assert_eq!(exports, 0, "nothing was downloaded for the basemap");
}
