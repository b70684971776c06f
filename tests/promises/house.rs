//! Which crate, module and file may refer to which: no circle, and nothing upwards. And how long files and functions may be.
//!
//! Everything is computed from the sources and manifests as they are. `house/planted.rs` shows that each kind of fault is
//! found. `cargo test --test promises house:: -- --nocapture` prints crates and files by floor and level, and the sizes.

mod analysis;
mod arrows;
mod attributes;
mod collect;
mod floors;
mod graph;
mod here;
mod manifest;
mod planted;
mod reader;
mod report;
mod resolve;
mod sizes;
mod sources;
mod tokens;
mod tree;
mod visit;
mod workflow_page;

use analysis::Analysis;
use arrows::Foreign;
use here::{analysis, files};
use sizes::{Size, Sizes};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

/// The most lines of a file, without what is for tests only.
const LINES_OF_A_FILE: usize = 400;

/// The most lines of a function.
const LINES_OF_A_FUNCTION: usize = 60;

/// Files (`engine/src/a.rs`) and functions (`engine/src/a.rs::name`) that may be longer, each with the reason.
const LONG_FILES: &[(&str, &str)] = &[];
const LONG_FUNCTIONS: &[(&str, &str)] = &[];

/// References to a crate that is not of the workspace, of files below a folder.
fn foreign<'a>(workspace: &'a Analysis, below: &str, path: &[&str]) -> Vec<(&'a str, &'a Foreign)> {
    let of = |foreign: &&Foreign| foreign.path.iter().zip(path).filter(|(a, b)| a == b).count() == path.len();
    let all = workspace.arrows.foreign.iter().filter(of).map(|f| (workspace.tree.files[f.file].path.as_str(), f));
    all.filter(|(path, _)| path.starts_with(below)).collect()
}

fn files_below<'a>(workspace: &'a Analysis, folder: &str) -> BTreeSet<&'a str> {
    workspace.product_files().map(|(_, file)| file.path.as_str()).filter(|path| path.starts_with(folder)).collect()
}

#[test]
fn no_circle_and_no_arrow_upwards() {
    let workspace = analysis();
    println!("{}", report::report(workspace));
    let described = workspace.describe();
    assert!(workspace.faults.is_empty(), "{} faults\n{described}", workspace.faults.len());
    let files = workspace.product_files().count();
    assert!(files > 150 && workspace.packages.len() > 7, "{files} files of {} crates", workspace.packages.len());
    assert!(workspace.arrows.all.len() > 4 * files, "{} references", workspace.arrows.all.len());
}

#[test]
fn each_crate_does_without_what_is_not_its_business() {
    let workspace = analysis();
    for (package, forbidden) in [
        ("offmap-model", &["actix", "reqwest", "rusqlite", "zip", "cap-std"][..]),
        ("offmap-disk", &["actix", "reqwest", "rusqlite", "zip"]),
        ("offmap-formats", &["actix", "reqwest"]),
        ("offmap-arcgis", &["actix", "rusqlite"]),
        ("offmap-engine", &["reqwest", "zip"]),
        ("offmap-exporters", &["actix"]),
        ("offmap-packager", &["actix", "reqwest"]),
        ("offmap-convert", &["actix", "reqwest"]),
    ] {
        let known = workspace.packages.iter().find(|p| p.name == package);
        let known = known.unwrap_or_else(|| panic!("there is no crate {package}"));
        let used = known.dependencies.iter().find(|d| forbidden.contains(&d.package.as_str()));
        assert!(used.is_none(), "{package} must not know {used:?}");
    }
}

#[test]
fn no_exporter_imports_another() {
    let workspace = analysis();
    let folder = |file: usize| {
        let path = workspace.tree.files[file].path.strip_prefix("exporters/src/")?;
        path.split_once('/').map(|(folder, _)| folder)
    };
    let blocks = workspace.tree.impls.iter().filter(|block| block.of_trait.as_deref() == Some("Exporter"));
    let exporters: BTreeSet<&str> = blocks.filter_map(|block| folder(block.file)).collect();
    assert!(exporters.len() > 2, "{exporters:?}");
    for arrow in &workspace.arrows.all {
        if let (Some(from), Some(to)) = (folder(arrow.from), folder(arrow.to)) {
            let both = exporters.contains(from) && exporters.contains(to);
            assert!(!both || from == to, "{from} refers to {to}, line {}: {}", arrow.line, arrow.text);
        }
    }
}

#[test]
fn the_model_is_data_only() {
    let workspace = analysis();
    assert!(files_below(workspace, "model/src/").len() > 20, "the model is there");
    for module in [["std", "fs"], ["tokio", "fs"]] {
        let found = foreign(workspace, "model/src/", &module);
        assert!(found.is_empty(), "{found:?}");
    }
    for (_, file) in workspace.product_files().filter(|(_, file)| file.path.starts_with("model/src/")) {
        // Traits whose implementors wait, and the clock of the machine.
        let may_wait = ["model/src/clock.rs", "model/src/task_control.rs"].contains(&file.path.as_str());
        let waits = may_wait || file.async_functions.is_empty();
        assert!(waits, "{}: `async fn` in lines {:?}", file.path, file.async_functions);
    }
}

#[test]
fn no_actix_type_is_in_the_public_api() {
    let workspace = analysis();
    let found = foreign(workspace, "engine/src/", &["actix"]);
    assert!(!found.is_empty(), "the engine uses actix");
    let public: Vec<_> = found.iter().filter(|(_, foreign)| foreign.public).collect();
    assert!(public.is_empty(), "{public:?}");
    let actors = workspace.tree.references.iter().find(|reference| {
        let path = &workspace.tree.files[workspace.tree.scopes[reference.scope].file].path;
        path == "engine/src/lib.rs" && reference.public && reference.path.segments.iter().any(|s| s == "actor")
    });
    assert!(actors.is_none(), "the actors stay private: {actors:?}");
}

/// Every file of the product is measured once for all tests.
fn measured() -> &'static BTreeMap<&'static str, Sizes> {
    static MEASURED: OnceLock<BTreeMap<&'static str, Sizes>> = OnceLock::new();
    MEASURED.get_or_init(|| {
        let paths = analysis().product_files().map(|(_, file)| file.path.as_str());
        paths.map(|path| (path, sizes::measure(path, &files()[path]))).collect()
    })
}

/// The sizes in every file of the product, and a table by crate.
fn sizes(table: &str, lines: impl Fn(&str, &Sizes) -> Vec<Size>) -> (Vec<Size>, String) {
    let workspace = analysis();
    let mut by_crate: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let mut all = Vec::new();
    for (_, file) in workspace.product_files() {
        let sizes = lines(&file.path, &measured()[file.path.as_str()]);
        by_crate.entry(&workspace.packages[file.package].name).or_default().extend(sizes.iter().map(|s| s.lines));
        all.extend(sizes);
    }
    let mut text = format!("{table:<28} number  median    90%    max\n");
    for (name, lines) in by_crate {
        text.push_str(&sizes::row(name, lines));
    }
    text.push_str(&sizes::row("all", all.iter().map(|size| size.lines).collect()));
    (all, text)
}

#[test]
fn no_file_is_too_long() {
    let (_, whole) =
        sizes("lines of files, with tests", |path, sizes| vec![Size { name: path.to_owned(), lines: sizes.whole }]);
    let (files, product) = sizes("lines of files", |path, sizes| vec![Size { name: path.to_owned(), lines: sizes.product }]);
    println!("{product}\n{whole}");
    let faults = sizes::faults(&files, LINES_OF_A_FILE, LONG_FILES);
    assert!(faults.is_empty(), "more than {LINES_OF_A_FILE} lines:\n{}", faults.join("\n"));
}

#[test]
fn no_function_is_too_long() {
    let (functions, table) = sizes("lines of functions", |_, sizes| sizes.functions.clone());
    println!("{table}");
    let faults = sizes::faults(&functions, LINES_OF_A_FUNCTION, LONG_FUNCTIONS);
    assert!(faults.is_empty(), "more than {LINES_OF_A_FUNCTION} lines:\n{}", faults.join("\n"));
}
