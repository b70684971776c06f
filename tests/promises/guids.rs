//! GUIDs in where clauses: each kind of server takes its own spellings, and rows are counted on both, however a replica spells its
//! keys.

use crate::support::{Bench, files_below, run_to_end};
use offmap::arcgis::{Credentials, ServiceCall};
use offmap_sandbox::{Colleague, FIELD_MAP, HOSTED_MAP, SandboxOptions};
use rusqlite::{Connection, OpenFlags};
use std::collections::VecDeque;

/// The spellings of one GUID: of ArcGIS Enterprise, of ArcGIS Online, and two others.
fn spellings(guid: &str) -> [String; 4] {
    let bare = guid.trim_matches(['{', '}']);
    [guid.to_uppercase(), bare.to_lowercase(), bare.to_uppercase(), guid.to_lowercase()]
}

async fn count(bench: &Bench, service: &str, clause: &str) -> u64 {
    let url = format!("{}/{service}/query", bench.sandbox.url());
    let call = ServiceCall::post(&url).expect("a url").with("where", clause).with("returnCountOnly", true);
    bench.client.json(&call).await.expect("an answer")["count"].as_u64().expect("a count")
}

#[tokio::test]
async fn a_hosted_service_takes_any_spelling_of_a_guid_and_arcgis_server_only_its_own() {
    let bench = Bench::new().await;
    let row = "{0FF0A901-0000-4000-8000-00000000000A}";
    for (layer, field) in [("0", "GlobalID"), ("1", "PARENT")] {
        for clause in ["{field} = '{guid}'", "{field} IN ('{guid}', '{guid}')", "({field} IN ('{guid}')) AND OBJECTID <= 10"]
        {
            let mut found = Vec::new();
            for folder in ["hosted", "arcgis"] {
                for guid in spellings(row) {
                    let clause = clause.replace("{field}", field).replace("{guid}", &guid);
                    let service = format!("{folder}/rest/services/Plenty/FeatureServer/{layer}");
                    found.push(count(&bench, &service, &clause).await);
                }
            }
            assert_eq!(found, [1, 1, 1, 1, 1, 0, 0, 0], "{field}: {clause}");
        }
    }
    // Other text is compared as it is.
    for folder in ["hosted", "arcgis"] {
        let service = format!("{folder}/rest/services/Plenty/FeatureServer/0");
        assert_eq!(count(&bench, &service, "NAME = 'Post 10'").await, 1);
        assert_eq!(count(&bench, &service, "NAME IN ('post 10', '{Post 10}')").await, 0);
        assert_eq!(count(&bench, &service, "GlobalID = 'x'").await, 0);
    }
}

/// The keys of the places in a package.
fn keys(bench: &Bench) -> Vec<String> {
    let files = files_below(&bench.destination());
    let replicas = files.iter().filter(|p| p.extension().is_some_and(|e| e == "geodatabase"));
    let read = |path: &std::path::PathBuf| {
        let file = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("opens");
        let mut statement = file.prepare("SELECT GlobalID FROM Places").ok()?;
        Some(statement.query_map([], |row| row.get(0)).expect("rows").collect::<Result<Vec<String>, _>>().expect("keys"))
    };
    replicas.filter_map(read).flatten().collect()
}

#[tokio::test]
async fn related_rows_are_counted_however_a_replica_spells_its_guids() {
    for map in [FIELD_MAP, HOSTED_MAP] {
        for bare_guids in [false, true] {
            for lost in [false, true] {
                let options = SandboxOptions { bare_guids, ..SandboxOptions::default() };
                let bench = Bench::with(options, |_| Credentials::none()).await;
                if lost {
                    // The replica misses inspections that are there when it is verified.
                    let all: VecDeque<i64> = (1..10_000).collect();
                    let colleague = Colleague { service: "Fieldwork".into(), layer: 5, ..Colleague::default() };
                    let before = "fieldwork/featureserver/createreplica".to_owned();
                    bench.sandbox.colleague(Colleague { before, deletes: all.clone(), ..colleague.clone() });
                    let status = if map == HOSTED_MAP { "createreplica/" } else { "jobs/" };
                    let before = format!("fieldwork/featureserver/{status}");
                    bench.sandbox.colleague(Colleague { before, adds: all, ..colleague });
                }
                let job = bench.job(map, |p| p.include_basemap = false).await;
                let result = run_to_end(&job).await.0.expect("a package");
                let case = format!("{map}, bare: {bare_guids}, lost: {lost}");
                let keys = keys(&bench);
                assert!(keys.len() > 10, "{case}: {keys:?}");
                let is_bare = |key: &String| !key.contains('{') && !key.contains(|c: char| c.is_ascii_uppercase());
                assert!(keys.iter().all(|key| is_bare(key) == bare_guids), "{case}: {keys:?}");
                let inspections = result.layers.iter().find(|l| l.id == "inspections").expect("a table");
                assert_eq!(inspections.failure.is_some(), lost, "{case}: {inspections:?}");
                if !lost {
                    assert!(
                        inspections.contents.got > 0 && inspections.contents.planned == Some(inspections.contents.got),
                        "{case}: {inspections:?}"
                    );
                    assert_eq!(inspections.contents.notes, [], "{case}: all of it was counted");
                }
                // What is asked is what every server takes.
                let requests = bench.sandbox.requests();
                let clauses = requests.iter().filter_map(|r| r.parameters.get("where")).filter(|w| w.contains(" IN ("));
                let mut asked = 0;
                for literal in clauses.flat_map(|clause| clause.split('\'').skip(1).step_by(2)) {
                    let [own, ..] = spellings(literal);
                    assert!(literal == own && literal.starts_with('{') && literal.ends_with('}'), "{case}: {literal}");
                    asked += 1;
                }
                assert!(asked > 10, "{case}: {asked}");
            }
        }
    }
}
