//! Faults that are planted in small workspaces: each kind is found and named, and what is right beside it passes.

use super::analysis::{Kind, analyse};
use super::report::report;
use super::sources::Files;

/// A workspace of three crates without a fault.
fn workspace(changes: &[(&str, &str)]) -> Files {
    let package = |name: &str, needs: &str| format!("[package]\nname = \"{name}\"\n\n[dependencies]\n{needs}\n");
    let root =
        "[workspace]\nmembers = [\"model\", # the ground\n  \"engine\"]\n\n[package]\nname = \"offmap\"\n\n[dependencies]\n";
    let mut files = Files::from(
        [
            ("Cargo.toml", format!("{root}offmap-engine.workspace = true\n")),
            ("model/Cargo.toml", package("offmap-model", "")),
            ("engine/Cargo.toml", package("offmap-engine", "offmap-model = { path = \"../model\" }")),
            ("src/lib.rs", "pub use offmap_engine::run;".to_owned()),
            ("model/src/lib.rs", "pub mod plan;".to_owned()),
            ("model/src/plan.rs", "pub struct Plan;".to_owned()),
            ("engine/src/lib.rs", "use offmap_model as model; pub fn run() {}".to_owned()),
        ]
        .map(|(path, text)| (path.to_owned(), text)),
    );
    files.extend(changes.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())));
    files
}

fn assert_clean(changes: &[(&str, &str)]) {
    let workspace = analyse(&workspace(changes));
    assert!(workspace.faults.is_empty(), "{changes:?}:\n{}", workspace.describe());
}

/// Exactly one fault, of this kind and with these words in its description.
fn assert_fault(changes: &[(&str, &str)], kind: Kind, words: &[&str]) {
    let workspace = analyse(&workspace(changes));
    let described = workspace.describe();
    let kinds: Vec<Kind> = workspace.faults.iter().map(|fault| fault.kind).collect();
    assert_eq!(kinds, [kind], "{changes:?}:\n{described}");
    for word in words {
        assert!(described.contains(word), "{word} is not in:\n{described}");
    }
}

/// `model/src/a.rs` and `model/src/b.rs`, with their references to each other in these texts.
fn two(a: &str, b: &str) -> [(&'static str, String); 3] {
    let lib = "pub mod plan;\nmod a;\nmod b;";
    [("model/src/lib.rs", lib.to_owned()), ("model/src/a.rs", a.to_owned()), ("model/src/b.rs", b.to_owned())]
}

/// `a` refers to `b` in every way that Rust knows; each is an arrow, so it makes a circle with one arrow back.
#[test]
fn every_way_to_refer_to_a_file_is_an_arrow() {
    let b = "pub struct B; pub fn b() {} pub enum E { V } pub mod m { pub fn f() {} } impl B { pub fn new() {} }
        macro_rules! out { () => {} }";
    for reference in [
        "use crate::b::B;",
        "use super::b::B as _;",
        "use crate::{b::{self, B}};",
        "pub(crate) use crate::b::*;",
        "fn a() { use super::b::E::*; }",
        "fn a() { crate::b::b() }",
        "fn a() { super::b::m::f() }",
        "fn a() -> super::b::B { todo!() }",
        "fn a(b: &dyn Fn() -> Vec<crate::b::B>) {}",
        "fn a() { <crate::b::B>::new() }",
        "fn a<T>() where T: Into<crate::b::B> {}",
        "fn a(e: u8) { match e { crate::b::E::V => {} } }",
        "fn a() { crate::b::B { } ; }",
        "fn a() { println!(\"{}\", crate::b::b()) }",
        "fn a() { select! { x = f::<crate::b::B>() => {} } }",
        "make! { use crate::{b::{B, E}, plan}; }",
        "macro_rules! make { () => { $crate::b::b() } }",
        "#[derive(Serialize)] struct A { #[serde(with = \"crate::b::m\")] f: u8 }",
        "#[arg(value_parser = crate::b::b)] struct A;",
        "mod inner { fn a() { super::super::b::b() } }",
        "fn a() { out!() }",
        "impl crate::b::B { fn more() {} }",
        "trait A: Into<crate::b::B> {}",
        "static A: fn() = crate::b::b;",
        "fn a() { offmap_model::b::b() }",
        "fn a() { ::offmap_model::b::b() }",
    ] {
        let files = two(reference, &format!("{b} use super::a as _;"));
        let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
        assert_fault(
            &files,
            Kind::Circle,
            &["model/src/a.rs:1 -> model/src/b.rs (", "model/src/b.rs:2 -> model/src/a.rs ("],
        );
        let files = two(reference, b);
        assert_clean(&files.each_ref().map(|(path, text)| (*path, text.as_str())));
    }
}

#[test]
fn what_only_tests_compile_does_not_count() {
    for back in [
        "#[cfg(test)] mod tests { use crate::a::A; }",
        "#[cfg(all(test, unix))] use crate::a::A;",
        "#[test] fn t() { crate::a::A; }",
        "#[cfg(doctest)] struct R(crate::a::A);",
        "impl B { #[cfg(test)] fn t() { crate::a::A; } }",
        "/// [`crate::a::A`]\nstruct C;",
    ] {
        let files = two("pub struct A; use crate::b::B;", &format!("pub struct B; {back}"));
        assert_clean(&files.each_ref().map(|(path, text)| (*path, text.as_str())));
    }
    for back in ["#[cfg(not(test))] use crate::a::A;", "#[cfg(any(test, unix))] use crate::a::A;"] {
        let files = two("pub struct A; use crate::b::B;", &format!("pub struct B; {back}"));
        let files = files.each_ref().map(|(path, text)| (*path, text.as_str()));
        assert_fault(&files, Kind::Circle, &["use crate::a::A"]);
    }
}

#[test]
fn a_child_that_uses_its_parent_is_a_circle() {
    let child = ("model/src/plan/child.rs", "use super::Unit;");
    let own = ("model/src/plan.rs", "mod child; pub struct Unit;");
    assert_fault(&[own, child], Kind::Circle, &["plan.rs:1 -> model/src/plan/child.rs (mod child;)", "(use super::Unit)"]);
    let unit = ("model/src/plan/unit.rs", "pub struct Unit;");
    assert_clean(&[("model/src/plan.rs", "mod child; mod unit; pub use unit::Unit;"), child, unit]);
    let root = ("model/src/lib.rs", "pub mod plan; pub struct Unit;");
    let words = &["model/src/plan.rs:1 -> model/src/lib.rs (use crate::Unit)"];
    assert_fault(&[root, ("model/src/plan.rs", "pub struct Plan; use crate::Unit;")], Kind::Circle, words);
}

#[test]
fn re_exports_are_followed_to_the_file_that_defines() {
    let lib = ("model/src/lib.rs", "pub mod plan; mod a; mod b; mod c; pub use a::*;");
    let a = ("model/src/a.rs", "pub use super::b::Unit as Renamed;");
    let b = ("model/src/b.rs", "pub use crate::c::{Unit, Other};");
    let plan = ("model/src/plan.rs", "pub struct Plan; fn f() { crate::Renamed::new() }");
    let circle = ("model/src/c.rs", "pub struct Unit; pub struct Other(crate::plan::Plan);");
    let words =
        &["a circle of 2 files: model/src/plan.rs, model/src/c.rs", "plan.rs:1 -> model/src/c.rs (crate::Renamed::new)"];
    assert_fault(&[lib, a, b, plan, circle], Kind::Circle, words);
    assert_clean(&[lib, a, b, plan, ("model/src/c.rs", "pub struct Unit; pub struct Other;")]);
}

#[test]
fn functions_of_a_type_in_another_file_are_followed() {
    let lib = ("model/src/lib.rs", "pub mod plan; mod more;");
    let more = ("model/src/more.rs", "impl crate::plan::Plan { pub fn longer(&self) {} pub fn made() {} }");
    for call in ["self.longer()", "Self::made()", "Plan::made()", "other.longer()", "assert!(other.longer())"] {
        let plan = format!("pub struct Plan; impl Plan {{ fn own(&self) {{ {call} }} }}");
        assert_fault(&[lib, more, ("model/src/plan.rs", &plan)], Kind::Circle, &["plan.rs:1 -> model/src/more.rs ("]);
    }
    assert_clean(&[lib, more, ("model/src/plan.rs", "pub struct Plan; impl Plan { fn own(&self) { self.own() } }")]);
}

#[test]
fn folders_may_be_a_circle_where_files_are_none() {
    let lib = ("model/src/lib.rs", "pub mod plan; mod x; mod y;");
    let files = [
        lib,
        ("model/src/x/mod.rs", "mod one; pub(crate) mod four;"),
        ("model/src/y/mod.rs", "pub(crate) mod two; mod three;"),
        ("model/src/x/one.rs", "use crate::y::two::Two;"),
        ("model/src/x/four.rs", "pub struct Four;"),
        ("model/src/y/two.rs", "pub struct Two;"),
        ("model/src/y/three.rs", "use crate::x::four::Four;"),
    ];
    let words =
        &["modules of model/src/lib.rs: x, y", "x/one.rs:1 -> model/src/y/two.rs", "y/three.rs:1 -> model/src/x/four.rs"];
    assert_fault(&files, Kind::ModuleCircle, words);
    let mut clean = files;
    clean[6].1 = "use super::two::Two;";
    assert_clean(&clean);
}

#[test]
fn a_crate_knows_only_what_is_below_it() {
    let words =
        &["model/src/plan.rs:1 -> engine/src/lib.rs (use offmap_engine::run): offmap-model must not know offmap-engine"];
    let engine = ("engine/src/lib.rs", "pub fn run() {}");
    let plan = ("model/src/plan.rs", "use offmap_engine::run;");
    assert_fault(&[engine, plan], Kind::Upward, words);
    for dependency in [
        "[dependencies]\noffmap-engine.workspace = true",
        "[dependencies]\noffmap-engine = { workspace = true }",
        "[dependencies]\nother = { package = \"offmap-engine\", path = \"../engine\" }",
        "[dependencies.offmap-engine]\npath = \"../engine\"",
        "[target.'cfg(unix)'.dependencies]\noffmap-engine = { workspace = true }",
        "[build-dependencies]\noffmap-engine = { workspace = true }",
    ] {
        let manifest = format!("[package]\nname = \"offmap-model\"\n{dependency}\n");
        let words = &["model/Cargo.toml:", "offmap-model must not know offmap-engine"];
        assert_fault(&[("model/Cargo.toml", &manifest)], Kind::Upward, words);
    }
    let for_tests = "[package]\nname = \"offmap-model\"\n[dev-dependencies]\noffmap-engine.workspace = true\n";
    assert_clean(&[("model/Cargo.toml", for_tests)]);
}

#[test]
fn nothing_is_unseen() {
    let lost = ("model/src/lost.rs", "");
    assert_fault(&[lost], Kind::Unseen, &["model/src/lost.rs is reached by no `mod`"]);
    assert_clean(&[lost, ("model/src/lib.rs", "pub mod plan; mod lost;")]);
    assert_clean(&[lost, ("model/src/lib.rs", "pub mod plan; #[cfg(test)] mod lost;")]);
    let twice = ("model/src/lib.rs", "pub mod plan; #[path = \"plan.rs\"] mod lost;");
    assert_fault(&[lost, twice], Kind::Unseen, &["model/src/lib.rs:1: `#[path]` is not used here"]);
    assert_fault(&[("model/src/lib.rs", "pub mod plan; mod gone;")], Kind::Unseen, &["model/src/gone.rs"]);
    assert_fault(&[("model/src/plan.rs", "pub struct Plan; fn {")], Kind::Unseen, &["model/src/plan.rs:1"]);
    assert_fault(&[("extra/src/lib.rs", "")], Kind::Unseen, &["extra/src/lib.rs is in no package"]);
    let extra = ("extra/Cargo.toml", "[package]\nname = \"offmap-extra\"");
    assert_fault(&[extra], Kind::Unseen, &["extra/Cargo.toml is no member"]);
    assert_clean(&[("extra/Cargo.toml", "[package]\nname = \"offmap-extra\"\n\n[workspace]\n")]);
    let renamed = ("engine/Cargo.toml", "[package]\nname = \"offmap-motor\"\n[lib]\nname = \"offmap_engine\"");
    assert_fault(&[renamed], Kind::Upward, &["offmap-motor is on no floor"]);
}

#[test]
fn a_path_that_leads_nowhere_is_no_arrow_that_is_forgotten() {
    for path in ["crate::plan::Gone", "super::Gone", "self::gone", "offmap_model::gone::Gone"] {
        let plan = format!("pub struct Plan; fn f() {{ {path} }}");
        assert_fault(&[("model/src/plan.rs", &plan)], Kind::Unresolved, &["model/src/plan.rs:1: ", path]);
        let plan = format!("pub struct Plan; fn f() {{ print!({path}::new()) }}");
        assert_fault(&[("model/src/plan.rs", &plan)], Kind::Unresolved, &["model/src/plan.rs:1: ", path]);
        let plan = format!("pub struct Plan; use {path};");
        assert_fault(&[("model/src/plan.rs", &plan)], Kind::Unresolved, &["model/src/plan.rs:1: ", path]);
    }
    let made = "pub struct Plan; make! { Gone } fn f() { crate::plan::Gone; self::Plan; T::gone::x; std::gone() }";
    assert_clean(&[("model/src/plan.rs", made)]);
}

#[test]
fn the_report_has_every_floor_and_every_file() {
    let workspace = analyse(&workspace(&[]));
    let text = report(&workspace);
    for line in
        ["3 crates", "4 files", "0 circles of files", "0 upward arrows", "floor 1 · offmap-model\n   1: plan\n   2: lib\n"]
    {
        assert!(text.contains(line), "{line} is not in:\n{text}");
    }
}

#[test]
fn what_is_not_of_the_workspace_is_known_by_its_whole_path() {
    let engine =
        "use actix::{Addr, Actor as A}; use std::fs as disk; pub fn run() -> Addr<u8> {} fn own(_: impl A) { disk::read() }";
    let workspace = analyse(&workspace(&[("engine/src/lib.rs", engine)]));
    let found = |path: &[&str], public: bool| workspace.arrows.foreign.iter().any(|f| f.path == path && f.public == public);
    assert!(found(&["actix", "Addr"], true), "of a public signature");
    assert!(found(&["actix", "Actor"], false) && !found(&["actix", "Actor"], true), "of a private one");
    assert!(found(&["std", "fs", "read"], false));
}
