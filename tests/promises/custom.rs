//! The conformance suite, on the scripted exporter and on the built-in ones.

use crate::support::{Bench, area};
use offmap::exporters::geodatabase::GeodatabaseExporter;
use offmap::exporters::tile_cache::TileCacheExporter;
use offmap::exporters::vector_tiles::VectorTilesExporter;
use offmap::testing::{Act, Script, ScriptedExporter, exporter_conformance, scripted_map};
use offmap::{GenerateOfflineMapParameters, OfflineMapSource};
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
