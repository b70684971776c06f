//! Error budgets: how much of a layer may be missing, what is told of it, and when a job stops early.

use crate::support::{Bench, area, run_to_end};
use offmap::arcgis::Credentials;
use offmap::packager::{MobileMapPackage, verify};
use offmap::{
    Allowance, AreaOfInterest, ErrorBudget, FailureKind, FailureOwner, GenerateOfflineMapParameters, LayerImportance,
    LayerOutcome, OfflineMapTask,
};
use offmap_sandbox::{FIELD_MAP, SandboxOptions};

/// A sandbox whose packages lack four tiles of their deepest level and one attachment of each layer.
async fn bench() -> Bench {
    let options = SandboxOptions { lost_tiles: 4, lost_attachments: 1, ..SandboxOptions::default() };
    Bench::with(options, |_| Credentials::none()).await
}

fn tiles(allowance: Allowance) -> ErrorBudget {
    ErrorBudget { missing_tiles: Some(allowance), ..ErrorBudget::default() }
}

fn layer<'a>(layers: &'a [LayerOutcome], id: &str) -> &'a LayerOutcome {
    layers.iter().find(|l| l.id == id).expect("a layer")
}

#[tokio::test]
async fn within_its_budget_a_layer_is_taken_and_what_it_lacks_is_in_the_manifest() {
    let bench = bench().await;
    let job = bench
        .job(FIELD_MAP, |p| {
            p.error_budgets.insert("world".to_owned(), tiles(Allowance::Count(4)));
            p.error_budgets.insert("streets".to_owned(), tiles(Allowance::Share(0.9)));
            let attachments = Some(Allowance::Count(1));
            p.error_budgets
                .insert("places".to_owned(), ErrorBudget { missing_attachments: attachments, ..ErrorBudget::default() });
        })
        .await;
    let result = run_to_end(&job).await.0.expect("a package");
    assert!(!result.has_errors(), "{:?}", result.layers);
    let world = layer(&result.layers, "world");
    let missing = world.contents.missing_tiles.as_ref().expect("some are missing");
    assert_eq!((missing.count, Some(missing.of), missing.examples.len()), (4, world.contents.planned, 4));
    assert_eq!(world.contents.got + 4, missing.of);
    assert!(missing.examples[0].split('/').count() == 3, "{missing:?}");
    let streets = layer(&result.layers, "streets");
    assert_eq!(streets.contents.missing_tiles.as_ref().map(|m| m.count), Some(4), "{streets:?}");
    let photos = layer(&result.layers, "places").contents.missing_attachments.clone().expect("one is missing");
    assert_eq!(photos.count, 1);
    let verification = verify(&result.package).expect("verifies");
    assert!(verification.ok && verification.complete == Some(false) && !result.is_complete(), "{verification:?}");
    assert!(
        verification.missing.iter().any(|w| w.starts_with("World: 4 of 21 tiles are missing")),
        "{:?}",
        verification.missing
    );
    let package = MobileMapPackage::open(&result.package).expect("opens");
    let manifest = package.manifest().expect("there").expect("whole");
    let told = manifest.layers.iter().find(|l| l.id == "world").and_then(|l| l.contents.missing_tiles.clone());
    assert_eq!(told.as_ref(), Some(missing));
    assert!(manifest.warnings.iter().any(|w| w.contains("error budget allows that")), "{:?}", manifest.warnings);
    // The tiles that are named are those that are not there.
    let file = manifest.layers.iter().find(|l| l.id == "world").and_then(|l| l.file.clone()).expect("a file");
    let stored = offmap::formats::tile_package::open(&result.package.join(file)).expect("opens");
    assert_eq!(stored.total(), world.contents.got);
}

#[tokio::test]
async fn beyond_its_budget_a_layer_fails_and_without_one_attachments_may_not_be_missing() {
    let bench = bench().await;
    let job = bench
        .job(FIELD_MAP, |p| {
            p.error_budgets.insert("world".to_owned(), tiles(Allowance::Count(3)));
            p.error_budgets.insert("streets".to_owned(), tiles(Allowance::Share(0.001)));
        })
        .await;
    let result = run_to_end(&job).await.0.expect("a package with errors");
    for (id, words) in [
        ("world", "tiles are missing (the first: "),
        ("streets", "its error budget allows 0.1 %"),
        ("places", "attachments are missing; it has no error budget"),
    ] {
        let failure = layer(&result.layers, id).failure.clone().expect("a failure");
        assert_eq!((failure.owner, failure.kind), (FailureOwner::Source, FailureKind::Incomplete), "{failure}");
        assert!(failure.message.contains(words), "{id}: {failure}");
    }
    assert!(layer(&result.layers, "countries").failure.is_none());
}

#[tokio::test]
async fn a_budget_that_cannot_be_kept_any_more_ends_the_export_before_the_second_half_is_asked_for() {
    let bench = bench().await;
    let task: OfflineMapTask = bench.task(FIELD_MAP).await;
    let fiji = AreaOfInterest::from_numbers("176,-20,-176,-15").expect("an area");
    let mut parameters: GenerateOfflineMapParameters = task.default_parameters(fiji).expect("parameters");
    parameters.max_scale = 50_000_000.0;
    parameters.error_budgets.insert("world".to_owned(), tiles(Allowance::Count(0)));
    parameters.layer_importance.insert("world".to_owned(), LayerImportance::Required);
    let job = task.generate_offline_map(parameters, Default::default(), bench.destination());
    let error = run_to_end(&job).await.0.expect_err("a required layer fails");
    assert!(error.failure.message.contains("its error budget allows 0"), "{error}");
    let requests = bench.sandbox.requests();
    let exports = requests.iter().filter(|r| r.path.ends_with("World/MapServer/exportTiles")).count();
    assert_eq!(exports, 1, "the half beyond the dateline was not asked for");
    assert!(!bench.destination().exists());
}

#[tokio::test]
async fn a_budget_that_cannot_be_used_is_refused_by_name() {
    let bench = Bench::new().await;
    let task = bench.task(FIELD_MAP).await;
    for (id, allowance, words) in [
        ("world", Allowance::Share(7.0), "errorBudgets.world.missingTiles.share is 7"),
        ("nobody", Allowance::Count(1), "errorBudgets names `nobody`, which is not in the map"),
    ] {
        let mut parameters = task.default_parameters(area()).expect("parameters");
        parameters.error_budgets.insert(id.to_owned(), tiles(allowance));
        let job = task.generate_offline_map(parameters, Default::default(), bench.destination());
        let error = run_to_end(&job).await.0.expect_err("refused");
        assert!(error.failure.kind == FailureKind::InvalidParameter && error.to_string().contains(words), "{error}");
    }
    let text = r#"{"areaOfInterest":{"xmin":5,"ymin":45,"xmax":10,"ymax":48,"spatialReference":{"wkid":4326}},
        "errorBudgets":{"world":{"missingTiles":{"count":2}}}}"#;
    let read = GenerateOfflineMapParameters::from_json(text).expect("reads");
    assert_eq!(read.error_budgets["world"], tiles(Allowance::Count(2)));
}
