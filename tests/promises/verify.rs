//! One flipped byte anywhere in a package of ours is found and its file named.

use crate::support::{Bench, files_below, run_scripted, run_to_end};
use offmap::arcgis::Credentials;
use offmap::packager::{MobileMapPackage, verify, write_mmpk};
use offmap::testing::{Act, Script};
use offmap::{Allowance, ErrorBudget};
use offmap_sandbox::{HOSTED_MAP, MIXED_MAP, SandboxOptions};
use serde_json::{Value, json};

/// Flips one bit of a file at a position.
fn flip(path: &std::path::Path, at: usize) {
    let mut bytes = std::fs::read(path).expect("reads");
    bytes[at] ^= 1 << (at % 8);
    std::fs::write(path, bytes).expect("writes");
}

#[tokio::test]
async fn one_flipped_byte_anywhere_in_a_directory_is_found_and_its_file_named() {
    let ended = run_scripted(&[("a", Script::of(Act::Succeed)), ("b", Script::of(Act::Succeed))], true).await;
    assert!(verify(&ended.destination).expect("verifies").ok);
    for path in files_below(&ended.destination) {
        let name = path.strip_prefix(&ended.destination).expect("inside").to_string_lossy().into_owned();
        for at in 0..std::fs::metadata(&path).expect("a file").len() as usize {
            flip(&path, at);
            let found = verify(&ended.destination).expect("verifies");
            assert!(!found.ok && found.problems.iter().any(|p| p.file == name), "byte {at} of {name}: {:?}", found.problems);
            flip(&path, at);
        }
    }
    assert!(verify(&ended.destination).expect("verifies").ok, "all flips are undone");
}

#[tokio::test]
async fn one_flipped_byte_anywhere_in_an_archive_is_found() {
    let ended = run_scripted(&[("a", Script::of(Act::Succeed))], true).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let mmpk = dir.path().join("p.mmpk");
    write_mmpk(&ended.destination, &mmpk).expect("zips");
    assert!(verify(&mmpk).expect("verifies").ok);
    let length = std::fs::metadata(&mmpk).expect("a file").len() as usize;
    for at in 0..length {
        flip(&mmpk, at);
        let found = verify(&mmpk).expect("verifies");
        assert!(!found.ok, "byte {at} of {length} went unnoticed");
        flip(&mmpk, at);
    }
}

#[tokio::test]
async fn missing_and_added_files_are_found() {
    let ended = run_scripted(&[("a", Script::of(Act::Succeed))], true).await;
    let stray = ended.destination.join("p13/stray.txt");
    std::fs::write(&stray, "x").expect("writes");
    let found = verify(&ended.destination).expect("verifies");
    assert!(found.problems.iter().any(|p| p.file == "p13/stray.txt"), "{found:?}");
    std::fs::remove_file(stray).expect("removes");
    let data = files_below(&ended.destination.join("p13")).into_iter().find(|p| p.extension().is_some_and(|e| e == "json"));
    std::fs::remove_file(data.expect("a data file")).expect("removes");
    let found = verify(&ended.destination).expect("verifies");
    assert!(found.problems.iter().any(|p| p.what.contains("not in the package")), "{found:?}");
    assert!(found.problems.iter().any(|p| p.what.contains("it is missing")), "{found:?}");
}

#[tokio::test]
async fn a_deep_look_finds_rows_tiles_and_styles_that_the_manifest_does_not_know() {
    use offmap::verify_deep;
    use rusqlite::Connection;
    use sha2::{Digest as _, Sha256};
    let bench = crate::support::Bench::new().await;
    let result = bench.take(offmap_sandbox::HOSTED_MAP).await;
    assert!(verify_deep(&result.package).expect("verifies").ok);
    let mmpk = bench.dir.path().join("map.mmpk");
    offmap::packager::write_mmpk(&result.package, &mmpk).expect("zips");
    assert!(verify_deep(&mmpk).expect("verifies").ok);
    // Whoever changes a file and corrects the manifest deceives a look at hashes, not a deep one.
    let package = offmap::packager::MobileMapPackage::open(&result.package).expect("opens");
    let data = |id: &str| package.maps()[0].layers.iter().find(|l| l.id == id).and_then(|l| l.data.clone()).expect("data");
    let correct = |path: &str| {
        let mut manifest = package.manifest().expect("a manifest").expect("a good one").clone();
        let bytes = std::fs::read(result.package.join(path)).expect("reads");
        for file in manifest.files.iter_mut().filter(|f| f.path == path) {
            (file.bytes, file.sha256) = (bytes.len() as u64, offmap::hex(Sha256::digest(&bytes)));
        }
        let text = manifest.to_bytes().expect("writes");
        std::fs::write(result.package.join("offmap/manifest.json"), text).expect("writes");
    };
    let finds = |what: &str| {
        assert!(offmap::packager::verify(&result.package).expect("verifies").ok, "a look at hashes is deceived");
        let found = verify_deep(&result.package).expect("verifies");
        assert!(!found.ok && found.problems.iter().any(|p| p.what.contains(what)), "{what}: {:?}", found.problems);
    };
    let change = |path: &str, act: &dyn Fn(&std::path::Path), what: &str| {
        let file = result.package.join(path);
        let before = std::fs::read(&file).expect("reads");
        act(&file);
        correct(path);
        finds(what);
        std::fs::write(&file, before).expect("writes");
        correct(path);
    };
    change(
        &data("measurements").path,
        &|file| {
            let connection = Connection::open(file).expect("opens");
            connection
                .execute_batch("PRAGMA journal_mode=DELETE; DELETE FROM Measurements WHERE rowid = 1")
                .expect("deletes");
        },
        "rows, the manifest says",
    );
    change(
        &data("world").path,
        &|file| {
            // The first tile of the first bundle becomes rubbish.
            let mut bytes = std::fs::read(file).expect("reads");
            let at =
                bytes.windows(4).enumerate().filter(|(_, w)| *w == b"\x89PNG").nth(1).map(|(at, _)| at).expect("a tile");
            bytes[at] = 0;
            std::fs::write(file, bytes).expect("writes");
        },
        "is no tile",
    );
    change(
        &format!("{}/styles/root.json", data("streets").resources.expect("a style")),
        &|file| std::fs::write(file, "<html>").expect("writes"),
        "not JSON",
    );
    assert!(verify_deep(&result.package).expect("verifies").ok);
}

#[tokio::test]
async fn the_manifest_is_what_its_schema_says() {
    let schema = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("packager/manifest.schema.json");
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    let compiled = compiler.compile(&schema.to_string_lossy(), &mut schemas).expect("a schema");
    // One with layers that cannot go offline, one with an item and tiles and attachments that are missing.
    let lossy = SandboxOptions { lost_tiles: 2, lost_attachments: 1, ..SandboxOptions::default() };
    for (options, item) in [(SandboxOptions::default(), MIXED_MAP), (lossy, HOSTED_MAP)] {
        let bench = Bench::with(options, |_| Credentials::none()).await;
        let photos = ErrorBudget { missing_attachments: Some(Allowance::Count(9)), ..ErrorBudget::default() };
        let job = bench.job(item, |p| p.error_budgets = [("places".to_owned(), photos)].into()).await;
        let result = run_to_end(&job).await.0.expect("a package");
        let text = std::fs::read(result.package.join("offmap/manifest.json")).expect("reads");
        let manifest: Value = serde_json::from_slice(&text).expect("JSON");
        if let Err(error) = schemas.validate(&manifest, compiled) {
            panic!("{error:#}");
        }
        if item == HOSTED_MAP {
            let of = |id: &str| manifest["layers"].as_array().expect("layers").iter().find(|l| l["id"] == id).cloned();
            assert_eq!(of("world").expect("a layer")["missingTiles"]["count"], 2);
            assert_eq!(of("places").expect("a layer")["missingAttachments"]["count"], 1);
            assert!(of("streets").expect("a layer")["termsOfUse"].is_string());
        }
        for (key, wrong) in [("got", json!("many")), ("missingTiles", json!(3)), ("unknown", json!(1))] {
            let mut other = manifest.clone();
            other["layers"][0][key] = wrong;
            assert!(schemas.validate(&other, compiled).is_err(), "the schema can refuse {key}");
        }
    }
}

#[tokio::test]
async fn attributions_and_terms_of_the_sources_are_in_the_package_s_item_and_manifest() {
    let bench = Bench::new().await;
    let result = bench.take(HOSTED_MAP).await;
    let package = MobileMapPackage::open(&result.package).expect("opens");
    // The map's own, the services', and those of the one layer that has an item; each once.
    assert_eq!(package.item().access_information, "Natural Earth, public domain; Streets by the sandbox");
    assert_eq!(package.item().terms_of_use, "<b>Public domain</b><br><b>Not for navigation</b>");
    let manifest = package.manifest().expect("there").expect("whole");
    let streets = manifest.layers.iter().find(|l| l.id == "streets").expect("a layer");
    assert_eq!(streets.attribution.as_deref(), Some("Natural Earth, public domain; Streets by the sandbox"));
    assert_eq!(streets.terms_of_use.as_deref(), Some("<b>Not for navigation</b>"));
    let places = manifest.layers.iter().find(|l| l.id == "places").expect("a layer");
    assert_eq!(places.attribution.as_deref(), Some("Natural Earth, public domain"));
    assert_eq!(places.terms_of_use, None);
}
