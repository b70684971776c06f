//! Utility networks: what of one comes along, and what is said where it does not (API reference B.5).

use crate::support::{Bench, area, run_to_end};
use offmap::packager::MobileMapPackage;
use offmap::{
    Failure, FailureOwner, GenerateOfflineMapJob, GenerateOfflineMapParameterOverrides as Overrides,
    GenerateOfflineMapParameters, GenerateOfflineMapUpdateMode, OfflineMapSource, OfflineMapTask, OnlineOnlyServicesOption,
    WebMap,
};
use offmap_sandbox::{Fault, FaultAction, JobFault};
use serde_json::{Value, json};

const GEODATABASE: &str = "generateGeodatabaseParameters";

struct Case {
    bench: Bench,
    task: OfflineMapTask,
    service: String,
    parameters: GenerateOfflineMapParameters,
}

/// What came of a case: what was asked for, the networks of the offline map, the warnings.
struct Taken {
    bits: u64,
    model: String,
    networks: Value,
    warnings: Vec<String>,
    gone: bool,
}

impl Case {
    /// A map with the data layers of a service's network, the network itself, and what its author says.
    async fn of(service: &str, offline: Value) -> Self {
        let bench = Bench::new().await;
        let url = format!("{}/arcgis/rest/services/{service}/FeatureServer", bench.sandbox.url());
        let layer = |id: u32| json!({"id": format!("l{id}"), "title": format!("L{id}"), "layerType": "ArcGISFeatureLayer", "url": format!("{url}/{id}")});
        let map = json!({"operationalLayers": [layer(0), layer(1), layer(2)],
            "utilityNetworks": [{"id": "n", "title": "Water", "url": format!("{url}/7"), "unread": true}],
            "applicationProperties": {"offline": offline}});
        let source = OfflineMapSource::from_web_map(WebMap::from_value(map).expect("a map"));
        let task = OfflineMapTask::new(&bench.engine, source);
        let parameters = task.default_parameters(area()).expect("parameters");
        Self { bench, task, service: url, parameters }
    }

    async fn template(&self) -> Value {
        let plan = self.task.plan(&self.parameters, &Overrides::default()).await.expect("a plan");
        serde_json::to_value(Overrides::from_plan(&plan)).expect("JSON")
    }

    async fn refused(&self, overrides: &Value) -> String {
        let read = Overrides::from_json(&overrides.to_string()).expect("reads");
        let failure: Failure = self.task.plan(&self.parameters, &read).await.expect_err("refused");
        assert_eq!(failure.owner, FailureOwner::Caller, "{failure}");
        failure.message
    }

    async fn take(&self, overrides: Overrides) -> Taken {
        let destination = self.bench.destination();
        let _ = std::fs::remove_dir_all(&destination);
        let job = self.task.generate_offline_map(self.parameters.clone(), overrides, destination);
        let result = run_to_end(&job).await.0.expect("a package");
        assert!(!result.has_errors(), "{:?}", result.layers);
        let sent =
            self.bench.sandbox.requests().into_iter().rfind(|r| r.path.ends_with("createReplica")).expect("a replica");
        let options = sent.parameters.get("replicaoptions").map(|t| serde_json::from_str::<Value>(t).expect("JSON"));
        let package = MobileMapPackage::open(&result.package).expect("opens");
        let map = package.maps()[0].map.json().clone();
        assert!(offmap::packager::verify(&result.package).expect("verifies").ok);
        Taken {
            bits: options.and_then(|o| o["syncDataOptions"].as_u64()).unwrap_or(0),
            model: sent.parameters["syncmodel"].clone(),
            gone: !map.contains_key("utilityNetworks"),
            networks: map.get("utilityNetworks").cloned().unwrap_or_default(),
            warnings: result.warnings,
        }
    }
}

fn warned(taken: &Taken, words: &str) -> bool {
    taken.warnings.iter().any(|w| w.contains("\"Water\"") && w.contains(words))
}

#[tokio::test]
async fn system_tables_come_along_by_themselves_and_the_network_lies_in_the_package() {
    for service in ["Network", "OldNetwork"] {
        let taken = Case::of(service, Value::Null).await.take(Overrides::default()).await;
        assert_eq!((taken.bits, taken.model.as_str()), (4 | 8 | 16 | 128, "perLayer"), "{service}");
        let network = &taken.networks[0];
        let path = network["path"].as_str().expect("a path");
        assert!(path.starts_with("file:./") && path.ends_with(".geodatabase?itemId=7"), "{path}");
        assert_eq!(network["unread"], true, "unknown keys survive");
        assert!(taken.warnings.iter().all(|w| !w.contains("Water")), "{:?}", taken.warnings);
    }
}

#[tokio::test]
async fn from_11_1_on_the_author_s_capability_decides_and_the_sync_model_follows_the_release() {
    let all = 4 | 8 | 16 | 128 | 1024;
    let traced = Case::of("Network", json!({"syncDataOptions": 16 | 1024})).await.take(Overrides::default()).await;
    assert_eq!((traced.bits, traced.model.as_str()), (all, "perReplica"), "a geodatabase from 11.3 on");
    let system = Case::of("Network", json!({"syncDataOptions": 144})).await.take(Overrides::default()).await;
    assert_eq!((system.bits, system.model.as_str()), (4 | 8 | 16 | 128, "perLayer"));
    let none = Case::of("Network", json!({"syncDataOptions": 4})).await.take(Overrides::default()).await;
    assert_eq!(none.bits, 4 | 8);
    assert!(none.gone && warned(&none, "does not come along"), "{:?}", none.warnings);
    // Earlier releases bring the system tables, whatever the author says.
    let old = Case::of("OldNetwork", json!({"syncDataOptions": 1024})).await.take(Overrides::default()).await;
    assert_eq!(old.bits, 4 | 8 | 16 | 128);
    // Without updates nothing is registered.
    let mut case = Case::of("Network", json!({"syncDataOptions": 1040})).await;
    case.parameters.update_mode = GenerateOfflineMapUpdateMode::NoUpdates;
    let taken = case.take(Overrides::default()).await;
    assert_eq!((taken.bits, taken.model.as_str()), (all, "none"));
}

#[tokio::test]
async fn a_network_that_cannot_be_had_is_a_warning_and_leaves_the_map_unless_it_is_kept_online() {
    let mut case = Case::of("BareNetwork", Value::Null).await;
    let taken = case.take(Overrides::default()).await;
    assert_eq!(taken.bits, 4 | 8);
    assert!(taken.gone && warned(&taken, "cannot be had offline"), "{:?}", taken.warnings);
    case.parameters.online_only_services_option = OnlineOnlyServicesOption::Include;
    let taken = case.take(Overrides::default()).await;
    assert!(warned(&taken, "online"), "{:?}", taken.warnings);
    assert_eq!(taken.networks[0]["url"], format!("{}/7", case.service));
    assert!(taken.networks[0].get("path").is_none());
    // A network whose service is not taken at all.
    let map = json!({"operationalLayers": [{"id": "b", "title": "B", "layerType": "ArcGISFeatureLayer",
            "url": format!("{}/0", case.service.replace("BareNetwork", "Reference"))}],
        "utilityNetworks": [{"title": "Water", "url": format!("{}/7", case.service)}]});
    case.task =
        OfflineMapTask::new(&case.bench.engine, OfflineMapSource::from_web_map(WebMap::from_value(map).expect("a map")));
    case.parameters.online_only_services_option = OnlineOnlyServicesOption::Exclude;
    let taken = case.take(Overrides::default()).await;
    assert!(taken.gone && warned(&taken, "cannot be had offline"), "{:?}", taken.warnings);
}

#[tokio::test]
async fn the_network_has_an_entry_of_its_own_whose_removal_takes_it_out_of_the_map() {
    let case = Case::of("Network", Value::Null).await;
    let template = case.template().await;
    let own = format!("{}/7", case.service);
    assert_eq!(template[GEODATABASE][&own], json!({"utilityNetworkSyncMode": "syncSystemTables"}));
    let read = |overrides: &Value| Overrides::from_json(&overrides.to_string()).expect("reads");
    let same = case.take(read(&template)).await;
    assert_eq!(same.bits, 4 | 8 | 16 | 128, "a template changes nothing");
    let mut removed = template.clone();
    removed[GEODATABASE].as_object_mut().expect("a dictionary").remove(&own);
    let taken = case.take(read(&removed)).await;
    assert!(taken.gone && taken.bits == 4 | 8, "{}", taken.bits);
    let mut traced = template.clone();
    traced[GEODATABASE][&own]["utilityNetworkSyncMode"] = json!("syncSystemAndTopologyTables");
    assert!(case.refused(&traced).await.contains("syncModel `geodatabase`"), "the service's entry says `layer`");
    traced[GEODATABASE][&case.service]["syncModel"] = json!("geodatabase");
    let taken = case.take(read(&traced)).await;
    assert_eq!((taken.bits, taken.model.as_str()), (4 | 8 | 16 | 128 | 1024, "perReplica"));
}

#[tokio::test]
async fn what_a_network_does_not_take_is_refused_by_name() {
    let case = Case::of("Network", Value::Null).await;
    let template = case.template().await;
    let mut without = template.clone();
    let options = without[GEODATABASE][&case.service]["layerOptions"].as_array_mut().expect("options");
    options.retain(|o| o["layerId"] != 1);
    let words = case.refused(&without).await;
    assert!(words.contains("leaves out layer 1 \"Valves\"") && words.contains("queryOption"), "{words}");
    // The ground is no data of the network.
    let mut without = template.clone();
    let options = without[GEODATABASE][&case.service]["layerOptions"].as_array_mut().expect("options");
    options.retain(|o| o["layerId"] != 2);
    case.take(Overrides::from_json(&without.to_string()).expect("reads")).await;
    for mode in ["syncSystemTables", "syncSystemAndTopologyTables"] {
        let bare = Case::of("BareNetwork", Value::Null).await;
        let mut asked = bare.template().await;
        asked[GEODATABASE][format!("{}/7", bare.service)] = json!({"utilityNetworkSyncMode": mode});
        let words = bare.refused(&asked).await;
        assert!(words.contains(mode) && words.contains("supportedSyncDataOptions"), "{words}");
    }
    let mut wrong = template;
    wrong[GEODATABASE][format!("{}/7", case.service)] = json!({"syncMode": "none"});
    assert!(case.refused(&wrong).await.contains("unknown field `syncMode`"));
}

#[tokio::test]
async fn a_data_layer_that_cannot_be_taken_costs_the_network_and_not_its_siblings() {
    use offmap::arcgis::ServiceCall;
    use offmap_sandbox::{Fault, FaultAction};
    let case = Case::of("Network", Value::Null).await;
    let url = format!("{}/1", case.service);
    let mut valves = case.bench.client.json(&ServiceCall::get(&url).expect("a url")).await.expect("a description");
    valves["globalIdField"] = json!("");
    case.bench.sandbox.fault(Fault::always("/network/featureserver/1", FaultAction::Body(valves)));
    let plan = case.task.plan(&case.parameters, &Overrides::default()).await.expect("a plan");
    assert_eq!(plan.tasks[0].layers.iter().map(|l| l.id.as_str()).collect::<Vec<_>>(), ["l0", "l2"]);
    assert_eq!(plan.tasks[0].parameters["utilityNetworkSyncMode"], "none");
    assert!(plan.warnings.iter().any(|w| w.contains("its data layer \"Valves\" cannot be taken")), "{:?}", plan.warnings);
}

#[tokio::test]
async fn a_network_stays_in_the_map_when_its_package_is_completed() {
    let mut case = Case::of("Network", Value::Null).await;
    let borders = format!("{}/0", case.service.replace("Network", "Reference"));
    let mut map = Value::Object(case.task.source().web_map.json().clone());
    let layer = json!({"id": "b", "title": "B", "layerType": "ArcGISFeatureLayer", "url": borders});
    map["operationalLayers"].as_array_mut().expect("a list").push(layer);
    let source = OfflineMapSource::from_web_map(WebMap::from_value(map).expect("a map"));
    case.task = OfflineMapTask::new(&case.bench.engine, source);
    let failed = FaultAction::Job(JobFault::Failed("no".into()));
    case.bench.sandbox.fault(Fault::always("reference/featureserver/createreplica", failed));
    let destination = case.bench.destination();
    let job = case.task.generate_offline_map(case.parameters.clone(), Overrides::default(), &destination);
    assert!(run_to_end(&job).await.0.expect("a package").has_errors());
    case.bench.sandbox.heal();
    // Nothing is asked of the service that the network came from.
    case.bench.sandbox.fault(Fault::always("/network/featureserver", FaultAction::Reset));
    let job = GenerateOfflineMapJob::complete(&case.bench.engine, &destination).await.expect("a job");
    let result = run_to_end(&job).await.0.expect("a package");
    assert!(!result.has_errors(), "{:?}", result.layers);
    assert!(result.warnings.iter().all(|w| !w.contains("Water")), "{:?}", result.warnings);
    let package = MobileMapPackage::open(&destination).expect("opens");
    let map = package.maps()[0].map.json().clone();
    let path = map["utilityNetworks"][0]["path"].as_str().expect("a path");
    assert!(path.ends_with(".geodatabase?itemId=7"), "{path}");
    let layer = map["operationalLayers"][0]["path"].as_str().expect("a path");
    assert_eq!(path.split('?').next(), layer.split('?').next(), "in the file of its layers");
    assert!(offmap::packager::verify(&destination).expect("verifies").ok);
}
