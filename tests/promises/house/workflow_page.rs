//! The page of the workflow: every row has its test, and everything that can be asked for has its row.

use super::here::{analysis, files, root};
use std::collections::HashSet;

/// Every function that is a test, by name.
fn names_of_tests() -> HashSet<String> {
    let mut names = HashSet::new();
    for (file, text) in files().iter().filter(|(file, _)| file.ends_with(".rs")) {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let is_test = |line: &&str| line.starts_with("#[test") || line.starts_with("#[tokio::test");
        for (i, line) in lines.iter().enumerate().filter(|(_, line)| is_test(line)) {
            let name = lines.iter().skip(i + 1).find_map(|l| l.split_once("fn ").map(|(_, rest)| rest));
            let name = name.unwrap_or_else(|| panic!("{line} of {file} is of no function"));
            names.insert(name.split('(').next().unwrap_or_default().to_owned());
        }
    }
    names
}

/// Why a layer cannot be exported, as the page spells it.
fn reasons() -> Vec<String> {
    let workspace = analysis();
    let mut named = workspace.tree.items.iter().filter(|item| item.name == "CapabilityReason");
    let reasons = named.next().expect("the reasons");
    assert!(named.next().is_none() && !reasons.variants.is_empty(), "one enumeration of reasons");
    reasons.variants.iter().map(|name| format!("{}{}", name[..1].to_lowercase(), &name[1..])).collect()
}

/// The names in the first cell of each row. The last cell names a test that exists.
fn rows(page: &str) -> HashSet<String> {
    let tests = names_of_tests();
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
    told
}

#[test]
fn every_test_that_the_workflow_page_names_exists_and_no_row_is_missing() {
    let page = std::fs::read_to_string(root().join("tests/workflow.md")).expect("reads");
    let told = rows(&page);
    let area = offmap::AreaOfInterest::from_numbers("1,2,3,4").expect("an area");
    let mut parameters = offmap::GenerateOfflineMapParameters::new(area);
    parameters.item_info = Some(offmap::OfflineMapItemInfo::default());
    let parameters = serde_json::to_value(parameters).expect("JSON");
    let mut wanted: Vec<String> = parameters.as_object().expect("an object").keys().cloned().collect();
    wanted.extend(reasons());
    wanted.extend(
        ["exportTileCacheParameters", "exportVectorTilesParameters", "generateGeodatabaseParameters"].map(str::to_owned),
    );
    for name in wanted {
        assert!(told.contains(&name), "the page has no row for {name}");
    }
}
