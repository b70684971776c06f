//! Every parameter of the on-demand workflow, as it arrives on the wire.
//!
//! The requests are checked against the reference of `createReplica` (feature service reference §3), parameter by parameter; what
//! the sandbox accepts shows nothing here.

use crate::support::{Bench, area, run_to_end};
use offmap::packager::MobileMapPackage;
use offmap::{
    AttachmentSyncDirection as Direction, DestinationTableRowFilter, EsriVectorTilesDownloadOption,
    GenerateOfflineMapParameters, GenerateOfflineMapUpdateMode, OnlineOnlyServicesOption, ReducedFontsService,
    ReturnLayerAttachmentOption as Attachments,
};
use offmap_sandbox::{FIELD_MAP, FULL_MAP, Fault, FaultAction};
use rusqlite::Connection;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The parameters of a request, names in lower case.
type Sent = BTreeMap<String, String>;

/// Checks every parameter of a `createReplica` against the reference §3: its name, its form, its values.
fn check_against_the_reference(sent: &Sent) {
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    let one_of = |value: &str, known: &[&str]| assert!(known.contains(&value), "{value} is none of {known:?}");
    let ids: Vec<u32> =
        sent["layers"].split(',').map(|id| id.parse().expect("comma list of ids without brackets")).collect();
    let mut unique = ids.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), ids.len(), "a layer listed twice is believed to be behind a 500");
    for (name, value) in sent {
        match name.as_str() {
            "f" => assert_eq!(value, "json"),
            "replicaname" => assert!(!value.is_empty() && value.len() < 64),
            "layers" => {}
            "layerqueries" => {
                for (id, query) in json(value).as_object().expect("an object keyed by layer id") {
                    assert!(ids.contains(&id.parse().expect("an id")), "a query for layer {id}, which is not asked for");
                    one_of(query["queryOption"].as_str().expect("an option"), &["useFilter", "all", "none"]);
                    let members: Vec<&str> = query.as_object().expect("an object").keys().map(String::as_str).collect();
                    members.iter().for_each(|m| one_of(m, &["queryOption", "where", "useGeometry", "includeRelated"]));
                }
            }
            "geometry" => assert!(json(value)["spatialReference"]["wkid"].is_u64(), "a geometry with its reference"),
            "geometrytype" => {
                let is_polygon = json(&sent["geometry"]).get("rings").is_some();
                assert_eq!(value, if is_polygon { "esriGeometryPolygon" } else { "esriGeometryEnvelope" });
            }
            "insr" | "replicasr" => assert!(json(value)["wkid"].is_u64()),
            "transporttype" => assert_eq!(value, "esriTransportTypeUrl"),
            "returnattachments" | "async" => one_of(value, &["true", "false"]),
            "attachmentssyncdirection" => one_of(value, &["none", "upload", "bidirectional"]),
            "syncdirection" => one_of(value, &["bidirectional", "download", "upload"]),
            "syncmodel" => one_of(value, &["perReplica", "perLayer", "none"]),
            "targettype" => assert_eq!(value, "client"),
            "dataformat" => assert_eq!(value, "sqlite"),
            "replicaoptions" => assert!(json(value)["syncDataOptions"].is_u64()),
            other => panic!("createReplica has no parameter {other}"),
        }
    }
    assert!(sent["syncmodel"] != "none" || !sent.contains_key("syncdirection"), "nothing is synchronised without a replica");
}

/// Takes a map without its basemap and answers the `createReplica` of the editable and of the read-only service.
async fn replicas(bench: &Bench, item: &str, change: impl FnOnce(&mut GenerateOfflineMapParameters)) -> (Sent, Sent) {
    let before = bench.sandbox.requests().len();
    let job = bench.job(item, |p| {
        p.include_basemap = false;
        change(p);
    });
    let result = run_to_end(&job.await).await.0.expect("a package");
    let broken: Vec<_> = result.layers.iter().filter(|l| l.contents.got == 0 && l.is_error()).map(|l| &l.failure).collect();
    assert!(item != FIELD_MAP || broken.is_empty(), "{broken:?}");
    let requests = bench.sandbox.requests();
    let of = |service: &str| {
        let path = format!("{service}/FeatureServer/createReplica");
        let mut found = requests.iter().skip(before).filter(|r| r.path.to_lowercase().ends_with(&path.to_lowercase()));
        let sent = found.next().unwrap_or_else(|| panic!("no {path}"));
        assert_eq!((sent.method.as_str(), found.count()), ("POST", 0), "one replica for a service");
        check_against_the_reference(&sent.parameters);
        sent.parameters.clone()
    };
    (of("Fieldwork"), of("Reference"))
}

fn queries(sent: &Sent) -> Value {
    sent.get("layerqueries").map_or_else(|| json!({}), |q| serde_json::from_str(q).expect("JSON"))
}

/// `returnAttachments` and `attachmentsSyncDirection` of the editable and the read-only service.
async fn attachments(option: Attachments, direction: Direction) -> [(String, String); 2] {
    let bench = Bench::new().await;
    let (editable, read_only) = replicas(&bench, FIELD_MAP, |p| {
        p.return_layer_attachment_option = option;
        p.attachment_sync_direction = direction;
    })
    .await;
    let package = MobileMapPackage::open(&bench.destination()).expect("opens");
    let places = package.maps()[0].layers.iter().find(|l| l.id == "places").and_then(|l| l.data.clone()).expect("data");
    let photos: i64 = Connection::open(bench.destination().join(places.path))
        .and_then(|c| c.query_row("SELECT count(*) FROM Places__ATTACH", [], |r| r.get(0)))
        .expect("counts");
    assert_eq!(
        photos > 0,
        editable["returnattachments"] == "true",
        "the photos were downloaded if and only if they were wanted"
    );
    let manifest = package.manifest().expect("a manifest").expect("a good one");
    let counted = manifest.layers.iter().find(|l| l.id == "places").expect("the layer");
    assert_eq!(counted.contents.attachments, Some(photos.unsigned_abs()));
    assert_eq!(counted.attachments_planned, (photos > 0).then_some(photos.unsigned_abs()), "planned = got");
    let pair = |sent: &Sent| (sent["returnattachments"].clone(), sent["attachmentssyncdirection"].clone());
    [pair(&editable), pair(&read_only)]
}

fn words(all: &[(String, String); 2]) -> [(&str, &str); 2] {
    all.each_ref().map(|(a, b)| (a.as_str(), b.as_str()))
}

#[tokio::test]
async fn attachment_workflow_1_all_layers_bidirectional() {
    let sent = attachments(Attachments::AllLayers, Direction::Bidirectional).await;
    assert_eq!(words(&sent), [("true", "bidirectional"), ("true", "bidirectional")]);
}

#[tokio::test]
async fn attachment_workflow_2_read_only_layers_bidirectional() {
    let sent = attachments(Attachments::ReadOnlyLayers, Direction::Bidirectional).await;
    assert_eq!(words(&sent), [("false", "none"), ("true", "bidirectional")]);
}

#[tokio::test]
async fn attachment_workflow_3_editable_layers_bidirectional() {
    let sent = attachments(Attachments::EditableLayers, Direction::Bidirectional).await;
    assert_eq!(words(&sent), [("true", "bidirectional"), ("false", "none")]);
}

#[tokio::test]
async fn attachment_workflow_4_none_upload() {
    let sent = attachments(Attachments::None, Direction::Upload).await;
    assert_eq!(words(&sent), [("false", "upload"), ("false", "upload")]);
}

#[tokio::test]
async fn attachment_pairs_follow_the_table() {
    use {Attachments as A, Direction as D};
    // Option, direction, whether the pair is valid (API reference B.3).
    for (option, direction, valid) in [
        (A::None, D::None, true),
        (A::None, D::Upload, true),
        (A::None, D::Bidirectional, false),
        (A::AllLayers, D::None, false),
        (A::AllLayers, D::Upload, true),
        (A::AllLayers, D::Bidirectional, true),
        (A::ReadOnlyLayers, D::None, true),
        (A::ReadOnlyLayers, D::Upload, true),
        (A::EditableLayers, D::None, true),
        (A::EditableLayers, D::Bidirectional, true),
    ] {
        let mut parameters = GenerateOfflineMapParameters::new(area());
        parameters.return_layer_attachment_option = option;
        parameters.attachment_sync_direction = direction;
        assert_eq!(parameters.check().is_ok(), valid, "{option:?} {direction:?}");
        let json = serde_json::to_string(&parameters).expect("JSON");
        assert_eq!(GenerateOfflineMapParameters::from_json(&json).is_ok(), valid, "from JSON alike");
    }
    // A layer with attachments treats none as bidirectional.
    let sent = attachments(A::EditableLayers, D::None).await;
    assert_eq!(words(&sent), [("true", "bidirectional"), ("false", "none")]);
    let sent = attachments(A::ReadOnlyLayers, D::Upload).await;
    assert_eq!(words(&sent), [("false", "upload"), ("true", "upload")]);
}

#[tokio::test]
async fn services_that_know_no_attachment_direction_are_not_told_one() {
    use offmap::arcgis::ServiceCall;
    let bench = Bench::new().await;
    let root = format!("{}/arcgis/rest/services/Fieldwork/FeatureServer", bench.sandbox.url());
    let mut described = bench.client.json(&ServiceCall::get(&root).expect("a url")).await.expect("a description");
    described["syncCapabilities"]["supportsAttachmentsSyncDirection"] = json!(false);
    bench.sandbox.fault(Fault::times("fieldwork/featureserver", 1, FaultAction::Body(described)));
    let (editable, read_only) = replicas(&bench, FIELD_MAP, |_| {}).await;
    assert_eq!((editable.get("attachmentssyncdirection"), editable["returnattachments"].as_str()), (None, "true"));
    assert_eq!(read_only["attachmentssyncdirection"], "bidirectional");
}

#[tokio::test]
async fn definition_expressions_filter_or_not() {
    let bench = Bench::new().await;
    let (editable, read_only) = replicas(&bench, FIELD_MAP, |_| {}).await;
    assert_eq!(queries(&read_only)["0"]["where"], "LENGTH_KM > 20");
    assert_eq!(queries(&editable).get("0"), None);
    std::fs::remove_dir_all(bench.destination()).expect("removes");
    let (_, read_only) = replicas(&bench, FIELD_MAP, |p| p.definition_expression_filter_enabled = false).await;
    assert_eq!(queries(&read_only), json!({}), "the whole layer within the area");
}

#[tokio::test]
async fn related_rows_only_or_all_rows_of_destination_tables() {
    let bench = Bench::new().await;
    let related = json!({"queryOption": "none", "useGeometry": false, "includeRelated": true});
    let (editable, _) = replicas(&bench, FIELD_MAP, |_| {}).await;
    assert_eq!(queries(&editable), json!({"5": related, "6": related}));
    std::fs::remove_dir_all(bench.destination()).expect("removes");
    let (editable, _) =
        replicas(&bench, FIELD_MAP, |p| p.destination_table_row_filter = DestinationTableRowFilter::All).await;
    let all = json!({"queryOption": "all", "useGeometry": false});
    assert_eq!(queries(&editable), json!({"5": all, "6": all}));
}

#[tokio::test]
async fn the_row_filter_has_the_exceptions_of_the_reference() {
    let bench = Bench::new().await;
    let services = format!("{}/arcgis/rest/services/Fieldwork/FeatureServer", bench.sandbox.url());
    let table = |id: u32, filter: Option<&str>| {
        let mut table = json!({"id": format!("t{id}"), "title": "T", "url": format!("{services}/{id}")});
        if let Some(filter) = filter {
            table["layerDefinition"] = json!({"definitionExpression": filter});
        }
        table
    };
    let plan = async |layers: Value, tables: Value| {
        let map = json!({"operationalLayers": layers, "tables": tables});
        let source = offmap::OfflineMapSource::from_web_map(offmap::WebMap::from_value(map).expect("a map"));
        let task = offmap::OfflineMapTask::new(&bench.engine, source);
        let parameters = task.default_parameters(area()).expect("parameters");
        let plan = task.plan(&parameters, &Default::default()).await.expect("a plan");
        let options = plan.tasks[0].parameters["layerOptions"].as_array().cloned().unwrap_or_default();
        options.iter().map(|o| (o["layerId"].as_u64(), o["queryOption"].clone())).collect::<Vec<_>>()
    };
    let places = json!([{"id": "p", "layerType": "ArcGISFeatureLayer", "url": format!("{services}/0")}]);
    // The origin is not in the map; the table is an origin only.
    assert_eq!(plan(json!([]), json!([table(5, None)])).await, [(Some(5), json!("all"))]);
    assert_eq!(plan(json!([]), json!([table(5, None), table(6, None)])).await[0], (Some(5), json!("all")));
    // A definition expression that is in use goes before.
    let filtered = plan(places.clone(), json!([table(5, Some("RESULT = 1"))])).await;
    assert_eq!(filtered[1], (Some(5), json!("useFilter")));
    assert_eq!(plan(places, json!([table(5, None)])).await[1], (Some(5), json!("none")));
}

#[tokio::test]
async fn schema_only_empties_editable_layers_and_fills_read_only_ones() {
    let bench = Bench::new().await;
    let (editable, read_only) = replicas(&bench, FIELD_MAP, |p| p.return_schema_only_for_editable_layers = true).await;
    let schema = json!({"queryOption": "none", "useGeometry": false, "includeRelated": false});
    assert_eq!(queries(&editable), json!({"0": schema, "2": schema, "5": schema, "6": schema}));
    assert_eq!(queries(&read_only)["0"]["queryOption"], "useFilter");
    let package = MobileMapPackage::open(&bench.destination()).expect("opens");
    let data = |id: &str| package.maps()[0].layers.iter().find(|l| l.id == id).and_then(|l| l.data.clone()).expect("data");
    let open = |id: &str| Connection::open(bench.destination().join(data(id).path)).expect("opens");
    let one = |connection: Connection, sql: &str| -> i64 { connection.query_row(sql, [], |r| r.get(0)).expect("counts") };
    assert_eq!(one(open("places"), "SELECT count(*) FROM Places"), 0);
    assert!(one(open("places"), "SELECT count(*) FROM pragma_table_info('Places')") > 5, "with the full schema");
    assert!(one(open("borders"), "SELECT count(*) FROM Borders") > 0);
}

#[tokio::test]
async fn update_modes_register_a_replica_or_none() {
    let bench = Bench::new().await;
    let (editable, read_only) = replicas(&bench, FIELD_MAP, |_| {}).await;
    assert_eq!((editable["syncmodel"].as_str(), editable["syncdirection"].as_str()), ("perLayer", "bidirectional"));
    assert_eq!((read_only["syncmodel"].as_str(), read_only["syncdirection"].as_str()), ("perLayer", "download"));
    assert_eq!((bench.sandbox.replicas("Fieldwork"), bench.sandbox.replicas("Reference")), (1, 1));
    std::fs::remove_dir_all(bench.destination()).expect("removes");
    let (editable, read_only) =
        replicas(&bench, FIELD_MAP, |p| p.update_mode = GenerateOfflineMapUpdateMode::NoUpdates).await;
    for sent in [editable, read_only] {
        assert_eq!((sent["syncmodel"].as_str(), sent.get("syncdirection"), sent.get("targettype")), ("none", None, None));
    }
    assert_eq!((bench.sandbox.replicas("Fieldwork"), bench.sandbox.replicas("Reference")), (1, 1), "no more than before");
}

#[tokio::test]
async fn the_author_s_settings_become_default_parameters_and_default_overrides() {
    let bench = Bench::new().await;
    let task = bench.task(FULL_MAP).await;
    let parameters = task.default_parameters(area()).expect("parameters");
    assert_eq!(parameters.attachment_sync_direction, Direction::Upload);
    assert_eq!(parameters.return_layer_attachment_option, Attachments::AllLayers);
    assert_eq!(
        (parameters.reference_basemap_filename.as_str(), parameters.reference_basemap_directory.as_str()),
        ("region.tpkx", "")
    );
    assert!(!parameters.return_schema_only_for_editable_layers);
    let (editable, read_only) = replicas(&bench, FULL_MAP, |_| {}).await;
    assert_eq!(editable["attachmentssyncdirection"], "upload");
    // The author's bits 2 and 4 beside the defaults, of which the service offers 4 and 8.
    assert_eq!(serde_json::from_str::<Value>(&editable["replicaoptions"]).expect("JSON"), json!({"syncDataOptions": 12}));
    assert!(read_only.contains_key("replicaoptions"));
    let plain = bench.task(FIELD_MAP).await.default_parameters(area()).expect("parameters");
    assert_eq!(plain.attachment_sync_direction, Direction::Bidirectional, "without settings the plain defaults hold");
}

#[tokio::test]
async fn the_author_may_want_tables_without_rows() {
    let bench = Bench::new().await;
    let services = format!("{}/arcgis/rest/services/Fieldwork/FeatureServer", bench.sandbox.url());
    for tables in [json!({"includeRows": false}), json!([{"includeRows": false}])] {
        let map = json!({"tables": [{"id": "t", "url": format!("{services}/5")}],
            "applicationProperties": {"offline": {"tables": tables}}});
        let source = offmap::OfflineMapSource::from_web_map(offmap::WebMap::from_value(map).expect("a map"));
        let task = offmap::OfflineMapTask::new(&bench.engine, source);
        let parameters = task.default_parameters(area()).expect("parameters");
        let plan = task.plan(&parameters, &Default::default()).await.expect("a plan");
        let option = &plan.tasks[0].parameters["layerOptions"][0];
        assert_eq!((&option["queryOption"], &option["includeRelated"]), (&json!("none"), &json!(false)));
    }
}

#[tokio::test]
async fn online_only_layers_are_excluded_included_or_as_the_author_says() {
    let bench = Bench::new().await;
    let task = bench.task(FULL_MAP).await;
    let kept = async |option: OnlineOnlyServicesOption| {
        let mut parameters = task.default_parameters(area()).expect("parameters");
        parameters.online_only_services_option = option;
        let plan = task.plan(&parameters, &Default::default()).await.expect("a plan");
        plan.skipped.into_iter().filter(|s| s.remains_online).map(|s| s.id).collect::<Vec<_>>()
    };
    assert!(kept(OnlineOnlyServicesOption::Exclude).await.is_empty());
    assert_eq!(kept(OnlineOnlyServicesOption::Include).await, ["dynamic", "online", "queried", "wms", "ogc"]);
    assert_eq!(kept(OnlineOnlyServicesOption::UseAuthoredSettings).await, ["online", "kept-online"]);
}

#[tokio::test]
async fn vector_tiles_come_from_the_original_or_the_reduced_fonts_service() {
    let bench = Bench::new().await;
    let services = format!("{}/arcgis/rest/services", bench.sandbox.url());
    let mut source = bench.task(FIELD_MAP).await.source().clone();
    source.reduced_fonts_services.push(ReducedFontsService {
        service_url: format!("{services}/streets/VectorTileServer/"),
        reduced_fonts_url: format!("{services}/StreetsReduced/VectorTileServer"),
    });
    let task = offmap::OfflineMapTask::new(&bench.engine, source);
    let mut parameters = task.default_parameters(area()).expect("parameters");
    parameters.max_scale = 100_000_000.0;
    for (option, path) in [
        (EsriVectorTilesDownloadOption::UseOriginalService, "/Streets/VectorTileServer/exportTiles"),
        (EsriVectorTilesDownloadOption::UseReducedFontsService, "/StreetsReduced/VectorTileServer/exportTiles"),
    ] {
        parameters.esri_vector_tiles_download_option = option;
        let before = bench.sandbox.requests().len();
        let job = task.generate_offline_map(parameters.clone(), Default::default(), bench.destination());
        let result = run_to_end(&job).await.0.expect("a package");
        assert!(!result.has_errors(), "{:?}", result.layers);
        assert!(bench.sandbox.requests().iter().skip(before).any(|r| r.path.ends_with(path)), "no {path}");
        std::fs::remove_dir_all(bench.destination()).expect("removes");
    }
}

#[tokio::test]
async fn item_info_overrides_the_item_and_is_read_without_the_map() {
    let bench = Bench::new().await;
    let picture = include_bytes!("../../examples/sandbox/data/thumbnail.jpg");
    let uri = offmap::Thumbnail::new(picture.to_vec()).expect("a picture").data_uri();
    let info = json!({"title": "Mine", "snippet": "short", "description": "<p>long</p>", "tags": ["a", "b"],
        "accessInformation": "me", "termsOfUse": "<i>none</i>", "thumbnail": uri});
    let job = bench.job(FIELD_MAP, |p| {
        p.include_basemap = false;
        p.item_info = Some(serde_json::from_value(info).expect("item info"));
    });
    run_to_end(&job.await).await.0.expect("a package");
    let item = MobileMapPackage::open(&bench.destination()).expect("opens").item().clone();
    assert_eq!((item.title.as_str(), item.snippet.as_str(), item.description.as_str()), ("Mine", "short", "<p>long</p>"));
    assert_eq!((item.tags, item.access_information.as_str()), (vec!["a".to_owned(), "b".to_owned()], "me"));
    assert_eq!(item.terms_of_use, "<i>none</i>");
    assert!(item.thumbnail.is_some_and(|t| t.media_type() == "image/jpeg"));
    let too_large = offmap::Thumbnail::new([b"\xff\xd8\xff".as_slice(), &vec![0; 2 << 20]].concat());
    assert!(too_large.expect_err("refused").message.contains("make the picture smaller"));
}

#[tokio::test]
async fn a_table_that_fails_is_a_table_error_and_the_rest_goes_on() {
    let bench = Bench::new().await;
    bench
        .sandbox
        .fault(Fault::always("featureserver/6", FaultAction::Body(json!({"error": {"code": 400, "message": "Gone"}}))));
    let map = json!({"operationalLayers": [{"id": "b", "layerType": "ArcGISFeatureLayer",
            "url": format!("{}/arcgis/rest/services/Reference/FeatureServer/0", bench.sandbox.url())}],
        "tables": [{"id": "m", "title": "Measurements", "url": format!("{}/arcgis/rest/services/Fieldwork/FeatureServer/6", bench.sandbox.url())}]});
    let source = offmap::OfflineMapSource::from_web_map(offmap::WebMap::from_value(map).expect("a map"));
    let task = offmap::OfflineMapTask::new(&bench.engine, source);
    let mut parameters = task.default_parameters(area()).expect("parameters");
    let job = task.generate_offline_map(parameters.clone(), Default::default(), bench.destination());
    let result = run_to_end(&job).await.0.expect("a package");
    assert_eq!(result.table_errors().map(|t| t.id.as_str()).collect::<Vec<_>>(), ["m"]);
    assert_eq!(result.layer_errors().count(), 0);
    assert!(result.has_errors());
    parameters.continue_on_errors = false;
    std::fs::remove_dir_all(bench.destination()).expect("removes");
    let job = task.generate_offline_map(parameters, Default::default(), bench.destination());
    let error = run_to_end(&job).await.0.expect_err("stopped");
    assert_eq!(error.failure.layer.as_deref(), Some("m"));
    assert!(!bench.destination().exists());
}
