//! Services that others edit while they are exported, and services one layer of which is broken: nothing is lost but what is
//! touched, and nothing is called complete that is not.

use crate::support::{Bench, area, run_to_end};
use offmap::packager::MobileMapPackage;
use offmap::testing::VirtualClock;
use offmap::{
    ExportState, FailureKind, FailureOwner, GenerateOfflineMapParameterOverrides, GenerateOfflineMapResult, LayerNoteKind,
    LayerOutcome, OfflineMapSource, OfflineMapTask, WebMap, verify_deep,
};
use offmap_sandbox::{Colleague, FIELD_MAP, Fault, FaultAction, JobFault};
use serde_json::json;

fn layer<'a>(result: &'a GenerateOfflineMapResult, id: &str) -> &'a LayerOutcome {
    result.layers.iter().find(|l| l.id == id).expect("a layer")
}

/// Object ids of the places in the area, from low to high.
async fn places(bench: &Bench) -> Vec<i64> {
    let url = format!("{}/arcgis/rest/services/Fieldwork/FeatureServer/0/query", bench.sandbox.url());
    let area = json!({"xmin": 2, "ymin": 43, "xmax": 20, "ymax": 52, "spatialReference": {"wkid": 4326}});
    let call = offmap::arcgis::ServiceCall::get(&url).expect("a url");
    let call = call.with("where", "1=1").with("returnIdsOnly", true).with("geometry", area);
    let call = call.with("geometryType", "esriGeometryEnvelope").with("inSR", 4326);
    let answer = bench.client.json(&call).await.expect("answers");
    let mut ids: Vec<i64> = answer["objectIds"].as_array().expect("ids").iter().filter_map(|v| v.as_i64()).collect();
    ids.sort_unstable();
    assert!(ids.len() > 10, "{ids:?}");
    ids
}

/// Keeps rows out, and all rows that come after them: new rows have the highest object ids.
fn withhold_from(bench: &Bench, new: &[i64]) {
    if let Some(first) = new.first() {
        bench.sandbox.withhold("Fieldwork", 0, &(*first..*first + 10_000).collect::<Vec<_>>());
    }
}

/// Takes the map without its basemap and with few tiles: these tests are about rows.
async fn take_rows(bench: &Bench) -> GenerateOfflineMapResult {
    let job = bench.job(FIELD_MAP, |p| {
        p.include_basemap = false;
        p.max_scale = 100_000_000.0;
    });
    run_to_end(&job.await).await.0.expect("a package")
}

/// Takes the map, and checks that the package is one state of the data.
async fn take_complete(bench: &Bench) -> GenerateOfflineMapResult {
    let result = take_rows(bench).await;
    assert!(!result.has_errors(), "{:?}", result.layers);
    let found = verify_deep(&result.package).expect("verifies");
    assert!(found.ok && found.complete == Some(true), "{found:?}");
    result
}

#[tokio::test]
async fn rows_that_a_colleague_adds_deletes_or_both_cost_no_layer_and_are_told() {
    for (deletes, adds) in [(3, 0), (0, 3), (3, 3), (1, 4), (4, 1)] {
        let bench = Bench::new().await;
        let ids = places(&bench).await;
        let new = &ids[ids.len() - adds..];
        withhold_from(&bench, new);
        bench.sandbox.colleague(Colleague {
            service: "Fieldwork".into(),
            before: "createreplica".into(),
            deletes: ids[..deletes].iter().copied().collect(),
            ..Colleague::default()
        });
        // After the state that the replica holds, and before anything is counted again.
        bench.sandbox.colleague(Colleague {
            service: "Fieldwork".into(),
            before: "fieldwork/featureserver/jobs/".into(),
            adds: new.iter().copied().collect(),
            ..Colleague::default()
        });
        let result = take_complete(&bench).await;
        let places = layer(&result, "places");
        assert_eq!(places.contents.got as usize, ids.len() - adds - deletes, "deleted {deletes}, added {adds}");
        assert_eq!(places.contents.planned, Some(places.contents.got), "what came is one state of the data");
        let changed = places.contents.notes.iter().any(|n| n.kind == LayerNoteKind::DataChanged);
        assert_eq!(changed, deletes > 0, "deleted {deletes}, added {adds}: {:?}", places.contents.notes);
        let package = MobileMapPackage::open(&result.package).expect("opens");
        let manifest = package.manifest().expect("there").expect("readable");
        let told = manifest.layers.iter().find(|l| l.id == "places").expect("a layer");
        assert_eq!(told.contents.notes, places.contents.notes);
    }
}

#[tokio::test]
async fn edits_between_every_two_requests_cost_no_layer() {
    let bench = Bench::new().await;
    let ids = places(&bench).await;
    let new = &ids[ids.len() - 5..];
    withhold_from(&bench, new);
    bench.sandbox.colleague(Colleague {
        service: "Fieldwork".into(),
        before: "fieldwork".into(),
        at_a_time: 1,
        deletes: ids[..5].iter().copied().collect(),
        adds: new.iter().copied().collect(),
        ..Colleague::default()
    });
    let result = take_complete(&bench).await;
    assert_eq!(layer(&result, "places").state, ExportState::Succeeded);
}

#[tokio::test]
async fn rows_that_are_lost_are_found_though_a_colleague_adds_as_many() {
    let bench = Bench::new().await;
    let ids = places(&bench).await;
    let (lost, new) = (&ids[..3], &ids[ids.len() - 3..]);
    withhold_from(&bench, new);
    // The replica misses three rows, which are there before and after it.
    for (before, deletes, adds) in [
        ("createreplica", lost, &[][..]),
        ("fieldwork/featureserver/jobs/", &[][..], lost),
        ("fieldwork/featureserver/jobs/", &[][..], new),
    ] {
        bench.sandbox.colleague(Colleague {
            service: "Fieldwork".into(),
            before: before.into(),
            deletes: deletes.iter().copied().collect(),
            adds: adds.iter().copied().collect(),
            ..Colleague::default()
        });
    }
    let result = take_rows(&bench).await;
    let failure = layer(&result, "places").failure.clone().expect("a failure");
    assert_eq!((failure.owner, failure.kind), (FailureOwner::Source, FailureKind::Incomplete));
    let (there, came) = (ids.len() - 3, ids.len() - 6);
    assert!(
        failure.message.contains(&format!("at least {there} of them were there all the time; {came} came")),
        "{failure}"
    );
}

#[tokio::test]
async fn a_broken_layer_costs_only_itself_and_its_reason_is_its_own() {
    let error = |code: u16| FaultAction::Status(code, "boom".into(), None);
    let words = |text: &str| FaultAction::Body(json!({"error": {"code": 400, "message": text, "details": []}}));
    let cases = [
        ("description, 500", "fieldwork/featureserver/2", error(500), "does not describe this layer"),
        ("description, 403", "fieldwork/featureserver/2", error(403), "does not describe this layer"),
        ("description, no JSON", "fieldwork/featureserver/2", FaultAction::Replace(b"{\"id\": 2,".to_vec()), "describe"),
        ("description, a page", "fieldwork/featureserver/2", FaultAction::Html, "HTML page"),
        ("count, 500", "fieldwork/featureserver/2/query", error(500), "does not count its rows"),
        ("filter on a lost field", "fieldwork/featureserver/2/query", words("Invalid field: OLD_NAME"), "OLD_NAME"),
    ];
    for (case, path, action, expected) in cases {
        let bench = Bench::new().await;
        let fault = if path.ends_with("query") { Fault::always(path, action) } else { Fault::always_at(path, action) };
        bench.sandbox.fault(fault);
        let result = take_rows(&bench).await;
        for other in ["places", "borders", "inspections", "measurements"] {
            assert_eq!(layer(&result, other).state, ExportState::Succeeded, "{case}: {:?}", layer(&result, other).failure);
        }
        let failure = layer(&result, "countries").failure.clone().unwrap_or_else(|| panic!("{case}: no failure"));
        assert!(failure.to_string().contains(expected), "{case}: {failure}");
        let found = verify_deep(&result.package).expect("verifies");
        assert!(found.ok, "{case}: {found:?}");
    }
}

#[tokio::test]
async fn a_layer_that_the_service_refuses_by_name_is_left_out_and_the_others_come() {
    let refusal = "Unable to create replica: layer 2 is locked.";
    let at_once = FaultAction::Body(json!({"error": {"code": 400, "message": refusal, "details": []}}));
    let later = FaultAction::Job(JobFault::Failed(refusal.into()));
    for action in [at_once, later] {
        let bench = Bench::new().await;
        bench.sandbox.fault(Fault::times("fieldwork/featureserver/createreplica", 1, action));
        let result = take_rows(&bench).await;
        for other in ["places", "borders", "inspections", "measurements"] {
            assert_eq!(layer(&result, other).state, ExportState::Succeeded, "{:?}", layer(&result, other).failure);
        }
        let failure = layer(&result, "countries").failure.clone().expect("a failure");
        assert!(failure.to_string().contains("layer 2 is locked"), "{failure}");
        let requests = bench.sandbox.requests();
        let sets: Vec<_> =
            requests.iter().filter(|r| r.path.ends_with("createReplica")).map(|r| &r.parameters["layers"]).collect();
        let with = sets.iter().filter(|s| s.split(',').any(|id| id == "2")).count();
        assert_eq!(with, 1, "asked once with the layer, then without: {sets:?}");
    }
}

#[tokio::test]
async fn attachments_that_cannot_be_counted_cost_nothing_and_are_called_not_counted() {
    let bench = Bench::new().await;
    bench.sandbox.fault(Fault::always("queryattachments", FaultAction::Status(500, "boom".into(), None)));
    let result = take_rows(&bench).await;
    assert!(!result.has_errors(), "{:?}", result.layers);
    let notes = &layer(&result, "places").contents.notes;
    assert!(notes.iter().any(|n| n.kind == LayerNoteKind::NotCounted && n.message.contains("attachments")), "{notes:?}");
    let found = verify_deep(&result.package).expect("verifies");
    assert!(found.not_counted.iter().any(|w| w.contains("Places: attachments")), "{found:?}");
}

/// Lets a layer of the service describe other relationships than it has.
async fn relate(bench: &Bench, layer: u32, relationships: serde_json::Value) {
    let url = format!("{}/arcgis/rest/services/Fieldwork/FeatureServer/{layer}", bench.sandbox.url());
    let call = offmap::arcgis::ServiceCall::get(&url).expect("a url");
    let mut description = bench.client.json(&call).await.expect("a description");
    description["relationships"] = relationships;
    bench.sandbox.fault(Fault::always_at(&format!("fieldwork/featureserver/{layer}"), FaultAction::Body(description)));
}

#[tokio::test]
async fn a_relationship_that_no_key_follows_is_not_counted_and_costs_no_rows() {
    let bench = Bench::new().await;
    let many = |role: &str, other: u32| {
        json!([{"id": 0, "name": "Inspections", "relatedTableId": other, "cardinality": "esriRelCardinalityManyToMany",
            "role": role, "keyField": "GlobalID", "relationshipTableId": 9, "keyFieldInRelationshipTable": "PLACE"}])
    };
    relate(&bench, 0, many("esriRelRoleOrigin", 5)).await;
    relate(&bench, 5, many("esriRelRoleDestination", 0)).await;
    let result = take_rows(&bench).await;
    let inspections = layer(&result, "inspections");
    assert_eq!(inspections.failure, None);
    assert!(
        inspections.contents.got > 0 && inspections.contents.planned == Some(inspections.contents.got),
        "{inspections:?}"
    );
    let notes = &inspections.contents.notes;
    assert!(notes.iter().any(|n| n.kind == LayerNoteKind::NotCounted && n.message.contains("many to many")), "{notes:?}");
}

#[tokio::test]
async fn a_table_with_two_origins_is_verified_and_may_have_no_rows_at_all() {
    for is_empty in [false, true] {
        let bench = Bench::new().await;
        let relation = |id: i64, other: u32, role: &str, key: &str| {
            json!({"id": id, "name": "x", "relatedTableId": other, "cardinality": "esriRelCardinalityOneToMany",
                "role": format!("esriRelRole{role}"), "keyField": key})
        };
        relate(&bench, 0, json!([relation(0, 5, "Origin", "GlobalID"), relation(2, 6, "Origin", "GlobalID")])).await;
        let origins =
            json!([relation(1, 5, "Destination", "INSPECTION_ID"), relation(2, 0, "Destination", "INSPECTION_ID")]);
        relate(&bench, 6, origins).await;
        if is_empty {
            bench.sandbox.withhold("Fieldwork", 6, &(0..10_000).collect::<Vec<_>>());
        }
        let result = take_rows(&bench).await;
        let measurements = layer(&result, "measurements");
        assert_eq!(measurements.failure, None);
        assert_eq!(
            (measurements.contents.planned, measurements.contents.got == 0),
            (Some(measurements.contents.got), is_empty),
            "{measurements:?}"
        );
        assert_eq!(measurements.contents.notes, [], "all of it was counted");
    }
}

#[tokio::test]
async fn related_rows_are_counted_by_long_lists_of_keys_and_a_lost_one_is_found() {
    for lost in [false, true] {
        let bench = Bench::new().await;
        let services = format!("{}/arcgis/rest/services/Plenty/FeatureServer", bench.sandbox.url());
        let map = json!({
            "operationalLayers": [{"id": "posts", "title": "Posts", "layerType": "ArcGISFeatureLayer", "url": format!("{services}/0")}],
            "tables": [{"id": "checks", "title": "Checks", "url": format!("{services}/1")}],
        });
        if lost {
            // The replica misses one row, which is there when it is verified.
            for (before, deletes, adds) in
                [("createreplica", &[77][..], &[][..]), ("plenty/featureserver/jobs/", &[], &[77])]
            {
                bench.sandbox.colleague(Colleague {
                    service: "Plenty".into(),
                    layer: 1,
                    before: before.into(),
                    deletes: deletes.iter().copied().collect(),
                    adds: adds.iter().copied().collect(),
                    ..Colleague::default()
                });
            }
        }
        let source = OfflineMapSource::from_web_map(WebMap::from_value(map).expect("a map"));
        let task = OfflineMapTask::new(&bench.engine, source);
        let parameters = task.default_parameters(area()).expect("parameters");
        let job =
            task.generate_offline_map(parameters, GenerateOfflineMapParameterOverrides::default(), bench.destination());
        let result = run_to_end(&job).await.0.expect("a package");
        let checks = layer(&result, "checks");
        assert_eq!(checks.failure.is_some(), lost, "{checks:?}");
        assert_eq!(checks.contents.notes, [], "all of it was counted");
        let requests = bench.sandbox.requests();
        let counts = requests.iter().filter(|r| r.parameters.get("where").is_some_and(|w| w.contains(" IN ("))).count();
        assert_eq!(counts, 6, "2,100 keys are three lists, each counted now and as it was before");
    }
}

#[tokio::test]
async fn a_job_that_failed_has_failed_and_is_not_submitted_again() {
    let cases = [
        (include_str!("../cases/job-failed-with-error.json"), "Replica creation failed.; Layer 0 failed."),
        (include_str!("../cases/job-failed-message-as-text.json"), "Export failed"),
    ];
    for (state, words) in cases {
        let state: serde_json::Value = serde_json::from_str(state).expect("JSON");
        for (path, submission, id) in [
            ("fieldwork/featureserver/jobs/", "Fieldwork/FeatureServer/createReplica", "places"),
            ("world/mapserver/exporttiles/jobs/", "World/MapServer/exportTiles", "world"),
        ] {
            let bench = Bench::new().await;
            bench.sandbox.fault(Fault::always(path, FaultAction::Body(state.clone())));
            let result = bench.take(FIELD_MAP).await;
            let failure = layer(&result, id).failure.clone().unwrap_or_else(|| panic!("{id}: {words}: no failure"));
            assert_eq!((failure.owner, failure.kind), (FailureOwner::Source, FailureKind::ServiceError), "{id}: {failure}");
            assert!(failure.to_string().contains(words), "{id}: {failure}");
            // A layer that is named as the culprit is left out of the set; the same set is never asked for twice.
            let requests = bench.sandbox.requests();
            let submitted: Vec<_> =
                requests.iter().filter(|r| r.path.ends_with(submission)).map(|r| &r.parameters).collect();
            let same = |p: &&&std::collections::BTreeMap<String, String>| p.get("layers") == submitted[0].get("layers");
            assert_eq!(submitted.iter().filter(same).count(), 1, "{id}: {words}");
        }
    }
}

#[tokio::test]
async fn a_result_that_is_late_is_waited_for_and_only_one_that_stays_away_is_gone() {
    for (late, submissions) in [(3, 1), (1000, 2)] {
        let mut bench = Bench::new().await;
        let builder = offmap::with_defaults(&bench.client).expect("exporters");
        bench.engine = builder.clock(VirtualClock::default()).start().expect("starts");
        let missing = FaultAction::Status(404, "Not found".into(), None);
        bench.sandbox.fault(Fault::times("directories/arcgisoutput", late, missing));
        let (result, _) = run_to_end(&bench.job(FIELD_MAP, |_| {}).await).await;
        let requests = bench.sandbox.requests();
        for submission in ["Fieldwork/FeatureServer/createReplica", "World/MapServer/exportTiles"] {
            let submitted = requests.iter().filter(|r| r.path.ends_with(submission)).count();
            assert_eq!(submitted, submissions, "{submission}: {late} answers of 404");
        }
        assert_eq!(result.is_ok_and(|r| !r.has_errors()), late < 1000, "{late}");
    }
}

#[tokio::test]
async fn a_submission_that_a_gateway_answered_is_repeated_and_one_replica_stays() {
    for status in [502, 503, 504] {
        for path in ["fieldwork/featureserver/createreplica", "world/mapserver/exporttiles"] {
            let bench = Bench::new().await;
            bench.sandbox.fault(Fault::times(path, 1, FaultAction::Status(status, "<html>gateway</html>".into(), None)));
            let result = bench.take(FIELD_MAP).await;
            assert!(!result.has_errors(), "{status} at {path}: {:?}", result.layers);
            assert_eq!(bench.sandbox.replicas("Fieldwork"), 1, "{status} at {path}");
        }
    }
}
