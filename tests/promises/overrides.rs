//! Overrides: one service's parameters in place of the defaults.

use crate::support::{Bench, area, run_to_end};
use offmap::{
    AreaOfInterest, ExportState, Failure, GenerateOfflineMapParameterOverrides as Overrides, GenerateOfflineMapParameters,
    GenerateOfflineMapResult, OfflineMapTask, OnlineOnlyServicesOption,
};
use offmap_sandbox::{FIELD_MAP, FULL_MAP};
use rusqlite::Connection;
use serde_json::{Value, json};

/// A map, its parameters, and the template of its overrides as JSON.
struct Template {
    bench: Bench,
    task: OfflineMapTask,
    parameters: GenerateOfflineMapParameters,
    json: Value,
}

impl Template {
    async fn of(item: &str) -> Self {
        let bench = Bench::new().await;
        let task = bench.task(item).await;
        let mut parameters = task.default_parameters(area()).expect("parameters");
        parameters.max_scale = 10_000_000.0;
        let plan = task.plan(&parameters, &Overrides::default()).await.expect("a plan");
        let json = serde_json::to_value(Overrides::from_plan(&plan)).expect("JSON");
        Self { bench, task, parameters, json }
    }

    /// The parameters of a service, by the end of its address.
    fn of_service(&mut self, kind: &str, service: &str) -> &mut Value {
        let all = self.json[kind].as_object_mut().unwrap_or_else(|| panic!("no {kind}"));
        all.iter_mut().find(|(url, _)| url.ends_with(service)).map(|(_, v)| v).unwrap_or_else(|| panic!("no {service}"))
    }

    fn drop_service(&mut self, kind: &str, service: &str) {
        self.json[kind].as_object_mut().expect("a dictionary").retain(|url, _| !url.ends_with(service));
    }

    async fn refused(&self) -> Failure {
        match Overrides::from_json(&self.json.to_string()) {
            Err(failure) => failure,
            Ok(overrides) => self.task.plan(&self.parameters, &overrides).await.expect_err("refused"),
        }
    }

    async fn take(&self) -> GenerateOfflineMapResult {
        let overrides = Overrides::from_json(&self.json.to_string()).expect("reads");
        let job = self.task.generate_offline_map(self.parameters.clone(), overrides, self.bench.destination());
        let result = run_to_end(&job).await.0.expect("a package");
        assert!(!result.has_errors(), "{:?}", result.layers);
        result
    }
}

const GEODATABASE: &str = "generateGeodatabaseParameters";
const TILES: &str = "exportTileCacheParameters";
const VECTOR: &str = "exportVectorTilesParameters";

fn of<'a>(result: &'a GenerateOfflineMapResult, id: &str) -> &'a offmap::LayerOutcome {
    result.layers.iter().find(|l| l.id == id).unwrap_or_else(|| panic!("no {id}"))
}

#[tokio::test]
async fn less_tile_data_for_one_layer() {
    let mut template = Template::of(FIELD_MAP).await;
    let plan = template.task.plan(&template.parameters, &Overrides::default()).await.expect("a plan");
    template.of_service(TILES, "World/MapServer")["levelIds"] = json!([2, 3]);
    template.of_service(VECTOR, "Streets/VectorTileServer")["maxLevel"] = json!(2);
    template.drop_service(GEODATABASE, "Fieldwork/FeatureServer");
    let result = template.take().await;
    let before = |id: &str| plan.tasks.iter().flat_map(|t| &t.layers).find(|l| l.id == id).and_then(|l| l.expected);
    assert!(
        Some(of(&result, "world").contents.got) < before("world")
            && Some(of(&result, "streets").contents.got) < before("streets")
    );
    let sent = template.bench.sandbox.requests();
    let mut levels: Vec<_> =
        sent.iter().filter(|r| r.path.ends_with("exportTiles")).map(|r| r.parameters["levels"].as_str()).collect();
    levels.sort_unstable();
    assert_eq!(levels, ["0-2", "2-3"]);
}

#[tokio::test]
async fn a_base_map_larger_than_the_study_area() {
    let mut template = Template::of(FIELD_MAP).await;
    let larger = json!(AreaOfInterest::from_numbers("-10,36,30,60").expect("an area"));
    let plan = template.task.plan(&template.parameters, &Overrides::default()).await.expect("a plan");
    template.of_service(TILES, "World/MapServer")["areaOfInterest"] = larger.clone();
    template.of_service(GEODATABASE, "Reference/FeatureServer")["extent"] = larger;
    let result = template.take().await;
    let before = |id: &str| plan.tasks.iter().flat_map(|t| &t.layers).find(|l| l.id == id).and_then(|l| l.expected);
    assert!(Some(of(&result, "world").contents.got) > before("world"));
    assert!(Some(of(&result, "borders").contents.got) > before("borders"));
    assert_eq!(Some(of(&result, "places").contents.got), before("places"), "the others keep the study area");
}

#[tokio::test]
async fn a_where_clause_and_features_without_the_area() {
    let mut template = Template::of(FIELD_MAP).await;
    template.parameters.include_basemap = false;
    template.json.as_object_mut().expect("an object").retain(|key, _| key == GEODATABASE);
    let options =
        template.of_service(GEODATABASE, "Fieldwork/FeatureServer")["layerOptions"].as_array_mut().expect("options");
    for option in options {
        match option["layerId"].as_u64() {
            Some(0) => option["whereClause"] = json!("COUNTRY = 'Switzerland'"),
            // The whole world's countries, whatever the area.
            Some(2) => option["useGeometry"] = json!(false),
            _ => {}
        }
    }
    let result = template.take().await;
    assert_eq!(of(&result, "places").contents.got, 2, "Bern and Geneva");
    assert!(of(&result, "countries").contents.got > 150, "{}", of(&result, "countries").contents.got);
}

#[tokio::test]
async fn a_layer_without_rows_and_related_tables_with_all_rows() {
    let mut template = Template::of(FIELD_MAP).await;
    template.parameters.include_basemap = false;
    template.json.as_object_mut().expect("an object").retain(|key, _| key == GEODATABASE);
    let service = template.of_service(GEODATABASE, "Fieldwork/FeatureServer");
    service["returnAttachments"] = json!(false);
    service["syncModel"] = json!("none");
    for option in service["layerOptions"].as_array_mut().expect("options") {
        match option["layerId"].as_u64() {
            Some(2) => option["queryOption"] = json!("none"),
            Some(5 | 6) => (option["queryOption"], option["includeRelated"]) = (json!("all"), json!(false)),
            _ => {}
        }
    }
    let result = template.take().await;
    assert_eq!(
        (of(&result, "countries").contents.got, of(&result, "countries").state),
        (0, ExportState::Succeeded),
        "its schema only"
    );
    assert!(of(&result, "inspections").contents.got > 100, "every row of the service");
    assert_eq!(template.bench.sandbox.replicas("Fieldwork"), 0);
    let file = offmap::packager::MobileMapPackage::open(&result.package).expect("opens");
    let data = file.maps()[0].layers.iter().find(|l| l.id == "places").and_then(|l| l.data.clone()).expect("data");
    let photos: i64 = Connection::open(result.package.join(data.path))
        .and_then(|c| c.query_row("SELECT count(*) FROM Places__ATTACH", [], |r| r.get(0)))
        .expect("counts");
    assert_eq!(photos, 0);
}

#[tokio::test]
async fn a_removed_entry_leaves_its_layers_out_and_a_removed_option_one_layer_without_an_error() {
    let mut template = Template::of(FIELD_MAP).await;
    template.drop_service(VECTOR, "Streets/VectorTileServer");
    template.drop_service(TILES, "World/MapServer");
    let options =
        template.of_service(GEODATABASE, "Fieldwork/FeatureServer")["layerOptions"].as_array_mut().expect("options");
    options.retain(|o| o["layerId"] != 2);
    let result = template.take().await;
    for id in ["streets", "world", "countries"] {
        let layer = of(&result, id);
        assert_eq!((layer.state, layer.contents.got, layer.is_error()), (ExportState::Skipped, 0, false), "{id}");
    }
    assert!(of(&result, "places").contents.got > 0);
    assert!(!template.bench.sandbox.requests().iter().any(|r| r.path.ends_with("exportTiles")));
    let package = offmap::packager::MobileMapPackage::open(&result.package).expect("opens");
    let ids: Vec<_> = package.maps()[0].layers.iter().map(|l| l.id.as_str()).collect();
    assert_eq!(ids, ["borders", "places", "inspections", "measurements"]);
}

#[tokio::test]
async fn from_code_an_entry_is_set_and_removed_by_its_key() {
    let template = Template::of(FIELD_MAP).await;
    let plan = template.task.plan(&template.parameters, &Overrides::default()).await.expect("a plan");
    let mut overrides = Overrides::from_plan(&plan);
    let world = plan.tasks.iter().find(|t| t.exporter == "tile-cache").expect("a task");
    let mut typed: offmap::exporters::tile_cache::ExportTileCacheParameters =
        serde_json::from_value(overrides.get(&world.key).expect("an entry").clone()).expect("typed");
    typed.level_ids = vec![0, 1];
    overrides.set(&world.key, &typed).expect("sets");
    let streets = plan.tasks.iter().find(|t| t.exporter == "vector-tiles").expect("a task");
    overrides.remove(&streets.key);
    let changed = template.task.plan(&template.parameters, &overrides).await.expect("a plan");
    assert_eq!(changed.tasks.iter().find(|t| t.key == world.key).map(|t| t.levels.len()), Some(2));
    assert!(!changed.tasks.iter().any(|t| t.key == streets.key));
}

#[tokio::test]
async fn online_lists_keep_layers_and_tables_online() {
    let mut template = Template::of(FULL_MAP).await;
    assert_eq!((&template.json["onlineLayers"], &template.json["onlineTables"]), (&json!([]), &json!([])));
    template.parameters.include_basemap = false;
    template.parameters.online_only_services_option = OnlineOnlyServicesOption::Include;
    template.json = json!({"onlineLayers": ["wms", "countries"], "onlineTables": ["measurements"]});
    let overrides = Overrides::from_json(&template.json.to_string()).expect("reads");
    let job = template.task.generate_offline_map(template.parameters.clone(), overrides, template.bench.destination());
    let result = run_to_end(&job).await.0.expect("a package");
    let package = offmap::packager::MobileMapPackage::open(&result.package).expect("opens");
    let map = &package.maps()[0];
    let online: Vec<_> = map.layers.iter().filter(|l| l.data.is_none()).map(|l| l.id.as_str()).collect();
    assert_eq!(online, ["countries", "sketch", "wms", "measurements"], "the lists say exactly which ones stay");
    template.json["onlineLayers"] = json!(["nobody"]);
    assert!(template.refused().await.message.contains("onlineLayers names `nobody`"));
    template.json = json!({"onlineTables": ["wms"]});
    assert!(template.refused().await.message.contains("onlineTables names `wms`"));
}

#[tokio::test]
async fn what_an_entry_says_supersedes_the_parameters() {
    let mut template = Template::of(FIELD_MAP).await;
    template.parameters.include_basemap = false;
    template.parameters.return_schema_only_for_editable_layers = true;
    template.parameters.definition_expression_filter_enabled = false;
    template.parameters.min_scale = 100_000.0;
    template.parameters.max_scale = 50_000.0;
    template.parameters.update_mode = offmap::GenerateOfflineMapUpdateMode::NoUpdates;
    template.drop_service(VECTOR, "Streets/VectorTileServer");
    let result = template.take().await;
    assert!(of(&result, "world").contents.got > 0, "the basemap's entry counts, and its levels");
    assert!(of(&result, "places").contents.got > 0, "and its query options");
    assert_eq!(template.bench.sandbox.replicas("Fieldwork"), 1, "and its sync model");
    assert_eq!(of(&result, "streets").state, ExportState::Skipped);
}

#[tokio::test]
async fn what_matches_nothing_or_has_a_wrong_form_is_refused_by_name() {
    let mut template = Template::of(FIELD_MAP).await;
    let good = template.json.clone();
    for (pointer, value, words) in [
        ("/exportTileCacheParameters", json!({"https://nowhere/MapServer": {}}), "matches nothing in the map"),
        ("/exportTilesParameters", json!({}), "the overrides have `exportTilesParameters`"),
        ("/onlineLayers", json!("world"), "cannot be used"),
        ("/exportTileCacheParameters", json!([]), "cannot be used"),
    ] {
        template.json = good.clone();
        let key = pointer.trim_start_matches('/');
        template.json.as_object_mut().expect("an object").insert(key.to_owned(), value);
        let failure = template.refused().await;
        assert!(failure.message.contains(words), "{failure}");
        assert_eq!(failure.owner, offmap::FailureOwner::Caller);
    }
    for (kind, service, key, value, words) in [
        (TILES, "World/MapServer", "levelIds", json!([]), "levelIds is empty"),
        (TILES, "World/MapServer", "levelIds", json!([99]), "has no level 99"),
        (TILES, "World/MapServer", "levels", json!([1]), "unknown field `levels`"),
        (TILES, "World/MapServer", "compressionQuality", json!(101), "compressionQuality is 101"),
        (VECTOR, "Streets/VectorTileServer", "maxLevel", json!("deep"), "`maxLevel` is \"deep\""),
        (GEODATABASE, "Fieldwork/FeatureServer", "syncModel", json!("sometimes"), "unknown variant `sometimes`"),
        (GEODATABASE, "Fieldwork/FeatureServer", "layerOptions", json!([{"layerId": 77}]), "names layer 77"),
        (
            GEODATABASE,
            "Fieldwork/FeatureServer",
            "layerOptions",
            json!([{"layerId": 0}, {"layerId": 0}]),
            "names layer 0 twice",
        ),
        (
            GEODATABASE,
            "Fieldwork/FeatureServer",
            "extent",
            json!({"xmin": 1, "ymin": 2, "xmax": 3, "ymax": 4}),
            "no spatial reference",
        ),
    ] {
        template.json = good.clone();
        template.of_service(kind, service)[key] = value;
        let failure = template.refused().await;
        assert!(failure.message.contains(words), "{failure}");
    }
    // One service under two spellings.
    template.json = good;
    let all = template.json[TILES].as_object_mut().expect("a dictionary");
    let (url, value) = all.iter().next().map(|(u, v)| (u.to_uppercase(), v.clone())).expect("an entry");
    all.insert(url, value);
    assert!(template.refused().await.message.contains("twice"));
}
