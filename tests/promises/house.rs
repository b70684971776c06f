//! Who may know whom: no arrow upwards between crates, none upwards inside the engine.

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
        ("engine", &["offmap-exporters", "offmap-packager", "offmap-sandbox", "reqwest", "zip"][..]),
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
