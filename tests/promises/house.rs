//! Who may know whom: no arrow upwards between crates, none upwards inside the engine.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(dir: &Path) -> Vec<PathBuf> {
    crate::support::files_below(dir).into_iter().filter(|p| p.extension().is_some_and(|e| e == "rs")).collect()
}

/// Lines of code before the tests of a file.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).expect("reads");
    text.split("#[cfg(test)]").next().unwrap_or_default().to_owned()
}

#[test]
fn exporters_and_packager_know_the_engine_and_nothing_of_each_other() {
    for (krate, forbidden) in [
        ("formats", &["offmap-engine", "offmap-exporters", "offmap-packager", "offmap-sandbox", "reqwest", "actix"][..]),
        ("engine", &["offmap-exporters", "offmap-packager", "offmap-sandbox", "reqwest", "zip"]),
        ("exporters", &["offmap-packager", "offmap-sandbox", "actix"]),
        ("packager", &["offmap-exporters", "offmap-sandbox", "actix", "reqwest"]),
    ] {
        let manifest = std::fs::read_to_string(root().join(krate).join("Cargo.toml")).expect("a manifest");
        for name in forbidden {
            let used = manifest.lines().any(|l| l.starts_with(&format!("{name}.")) || l.starts_with(&format!("{name} ")));
            assert!(!used, "{krate} must not know {name}");
        }
    }
}

#[test]
fn no_exporter_imports_another() {
    let exporters = ["geodatabase", "tile_cache", "vector_tiles"];
    for own in exporters {
        for path in rust_files(&root().join("exporters/src").join(own)) {
            let text = code(&path);
            for other in exporters.iter().filter(|e| **e != own) {
                assert!(!text.contains(&format!("crate::{other}")), "{} imports {other}", path.display());
            }
        }
    }
}

#[test]
fn inside_the_engine_data_lies_below_logic_and_logic_below_actors() {
    let source = root().join("engine/src");
    for path in rust_files(&source.join("model")) {
        let text = code(&path);
        for line in text.lines().filter(|l| l.contains("crate::") && !l.trim_start().starts_with("//")) {
            let down = line.contains("crate::model") || line.contains("crate::clock");
            assert!(down, "{}: {line}", path.display());
        }
        assert!(!text.contains("async fn") && !text.contains("std::fs"), "{}: data only", path.display());
    }
    for floor in
        ["ledger.rs", "board.rs", "context.rs", "exporter.rs", "packager.rs", "registry.rs", "planner.rs", "clock.rs"]
    {
        let text = code(&source.join(floor));
        for above in ["crate::actor", "crate::job", "crate::engine", "crate::task"] {
            assert!(!text.contains(above), "{floor} reaches up to {above}");
        }
    }
}

#[test]
fn no_actix_type_is_in_the_public_api() {
    let text = std::fs::read_to_string(root().join("engine/src/lib.rs")).expect("reads");
    assert!(!text.lines().any(|l| l.starts_with("pub") && l.contains("actor")), "the actors stay private");
    for path in rust_files(&root().join("engine/src")) {
        let public = code(&path);
        let leak = public.lines().find(|l| l.trim_start().starts_with("pub fn") && l.contains("actix"));
        assert!(leak.is_none(), "{}: {leak:?}", path.display());
    }
}

/// Every function that is a test, by name.
fn tests_of_the_house() -> HashSet<String> {
    let mut names = HashSet::new();
    for folder in ["tests", "formats", "engine", "exporters", "packager", "cli", "examples"] {
        for file in rust_files(&root().join(folder)) {
            let text = std::fs::read_to_string(&file).expect("reads");
            let lines: Vec<&str> = text.lines().map(str::trim).collect();
            for (i, line) in
                lines.iter().enumerate().filter(|(_, l)| l.starts_with("#[test") || l.starts_with("#[tokio::test"))
            {
                let name = lines.iter().skip(i + 1).find_map(|l| l.split_once("fn ").map(|(_, rest)| rest));
                let name = name.unwrap_or_else(|| panic!("{line} of {} is of no function", file.display()));
                names.insert(name.split('(').next().unwrap_or_default().to_owned());
            }
        }
    }
    names
}

#[test]
fn every_test_that_the_workflow_page_names_exists_and_no_row_is_missing() {
    let page = std::fs::read_to_string(root().join("tests/workflow.md")).expect("reads");
    let tests = tests_of_the_house();
    let mut rows = 0;
    let mut told: HashSet<String> = HashSet::new();
    for line in page.lines().filter(|l| l.starts_with('|') && !l.starts_with("| ---")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        told.extend(cells[0].split('`').skip(1).step_by(2).map(str::to_owned));
        let Some(name) = cells.last().and_then(|c| c.strip_prefix('`')?.strip_suffix('`')) else {
            assert_eq!(cells.last(), Some(&"test"), "a row names its test: {line}");
            continue;
        };
        assert!(tests.contains(name), "there is no test {name}");
        rows += 1;
    }
    assert!(rows > 60, "{rows}");
    let mut wanted: Vec<String> = Vec::new();
    let area = offmap::AreaOfInterest::from_numbers("1,2,3,4").expect("an area");
    let mut parameters = offmap::GenerateOfflineMapParameters::new(area);
    parameters.item_info = Some(offmap::OfflineMapItemInfo::default());
    let parameters = serde_json::to_value(parameters).expect("JSON");
    wanted.extend(parameters.as_object().expect("an object").keys().cloned());
    let reasons = code(&root().join("engine/src/model/capability.rs"));
    let reasons =
        reasons.split("pub enum CapabilityReason {").nth(1).and_then(|t| t.split('}').next()).expect("the reasons");
    for name in reasons.lines().map(str::trim).filter_map(|l| l.strip_suffix(',')) {
        wanted.push(format!("{}{}", name[..1].to_lowercase(), &name[1..]));
    }
    wanted.extend(
        ["exportTileCacheParameters", "exportVectorTilesParameters", "generateGeodatabaseParameters"].map(str::to_owned),
    );
    for name in wanted {
        assert!(told.contains(&name), "the page has no row for {name}");
    }
}
