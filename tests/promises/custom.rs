//! The conformance suite, on the scripted exporter and on the built-in ones.

use crate::support::{Bench, area, run_to_end, scripted_engine, scripted_task};
use offmap::exporters::geodatabase::GeodatabaseExporter;
use offmap::exporters::tile_cache::TileCacheExporter;
use offmap::exporters::vector_tiles::VectorTilesExporter;
use offmap::testing::{Act, Script, ScriptedExporter, exporter_conformance, scripted_map};
use offmap::{
    FailureKind, GenerateOfflineMapParameterOverrides, GenerateOfflineMapParameters, OfflineMapSource, OfflineMapTask,
    PortalItem,
};
use offmap_sandbox::{FIELD_MAP, HOSTED_MAP};

#[tokio::test]
async fn the_built_in_exporters_keep_the_contract() {
    let bench = Bench::new().await;
    for item in [FIELD_MAP, HOSTED_MAP] {
        let source = bench.task(item).await.source().clone();
        let mut parameters = GenerateOfflineMapParameters::new(area());
        parameters.max_scale = 20_000_000.0;
        let client = bench.client.clone();
        let checked =
            exporter_conformance(GeodatabaseExporter::new(client.clone()), source.clone(), parameters.clone()).await;
        assert_eq!(checked, Ok(()));
        let checked = exporter_conformance(TileCacheExporter::new(client.clone()), source.clone(), parameters.clone()).await;
        assert_eq!(checked, Ok(()));
        let checked = exporter_conformance(VectorTilesExporter::new(client), source, parameters).await;
        assert_eq!(checked, Ok(()));
    }
}

#[tokio::test]
async fn the_conformance_suite_finds_broken_promises() {
    let parameters = GenerateOfflineMapParameters::new(area());
    let check = |act: Act| {
        let source = OfflineMapSource::from_web_map(scripted_map([("a", Script::of(act))]));
        exporter_conformance(ScriptedExporter, source, parameters.clone())
    };
    assert_eq!(check(Act::Succeed).await, Ok(()));
    for (act, words) in [
        (Act::Unfinished, "is started after a good export"),
        (Act::Short, "planned Some(10), got 9"),
        (Act::Fail, "export failed"),
    ] {
        let broken = check(act).await.expect_err("broken");
        assert!(broken.iter().any(|b| b.contains(words)), "{act:?}: {broken:?}");
    }
}

#[tokio::test]
async fn overrides_of_a_custom_exporter_are_typed_and_keyed_like_the_built_in_ones() {
    let engine = scripted_engine();
    let task = scripted_task(&engine, &[("a", Script::of(Act::Succeed)), ("b", Script::of(Act::Succeed))]);
    let parameters = GenerateOfflineMapParameters::new(area());
    let read = |text: &str| GenerateOfflineMapParameterOverrides::from_json(text).expect("reads");
    let a = "https://scripted.invalid/a/Server";
    let overrides = read(&format!(r#"{{"scriptedParameters": {{"{a}": {{"script": {{"items": 3}}}}}}}}"#));
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let job = task.generate_offline_map(parameters.clone(), overrides, dir.path().join("p"));
    let result = run_to_end(&job).await.0.expect("a package");
    let got: Vec<(&str, u64)> = result.layers.iter().map(|l| (l.id.as_str(), l.contents.got)).collect();
    assert_eq!(got, [("a", 3), ("b", 0)], "what has no entry is left out");
    assert!(!result.has_errors());
    for (text, words) in [
        (format!(r#"{{"scriptedParameters": {{"{a}": {{"scrpt": {{}}}}}}}}"#), "unknown field `scrpt`"),
        (format!(r#"{{"scriptedParameters": {{"{a}": {{"script": {{"act": "dance"}}}}}}}}"#), "unknown variant `dance`"),
        (r#"{"scriptedParameter": {}}"#.to_owned(), "the overrides have `scriptedParameter`"),
    ] {
        let failure = task.plan(&parameters, &read(&text)).await.expect_err("refused");
        assert!(failure.message.contains(words), "{failure}");
    }
}

#[tokio::test]
async fn a_map_whose_author_forbids_offline_use_is_refused() {
    let engine = scripted_engine();
    let mut source = OfflineMapSource::from_web_map(scripted_map([("a", Script::of(Act::Succeed))]));
    let item = serde_json::json!({"id": "1", "title": "Secret", "type": "Web Map", "typeKeywords": ["OfflineDisabled"]});
    source.item = Some(serde_json::from_value::<PortalItem>(item).expect("an item"));
    let task = OfflineMapTask::new(&engine, source.clone());
    let parameters = GenerateOfflineMapParameters::new(area());
    let failure = task.plan(&parameters, &Default::default()).await.expect_err("refused");
    assert_eq!(failure.kind, FailureKind::NotSupported);
    assert!(failure.message.contains("OfflineDisabled"), "{failure}");
    // Without the word `Offline` there is a warning, and the map goes offline.
    if let Some(item) = &mut source.item {
        item.type_keywords = vec!["Web Map".to_owned()];
    }
    let plan = OfflineMapTask::new(&engine, source).plan(&parameters, &Default::default()).await.expect("a plan");
    assert!(plan.warnings.iter().any(|w| w.contains("keyword Offline")), "{:?}", plan.warnings);
}
