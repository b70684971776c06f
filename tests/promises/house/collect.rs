//! Reads the sources of all packages into a `Tree`, from the root of each crate along its `mod` declarations.

use super::attributes::only_in_tests;
use super::manifest::Package;
use super::reader::{Pending, Reader};
use super::sources::Files;
use super::tree::Tree;
use std::collections::HashMap;

/// Reads everything that the compiler would read. A Rust file below `src` that it would not read is a fault.
pub(super) fn collect(files: &Files, packages: &[Package], faults: &mut Vec<String>) -> Tree {
    let mut tree = Tree::default();
    let mut read: HashMap<String, usize> = HashMap::new();
    for (id, package) in packages.iter().enumerate() {
        if package.roots.is_empty() {
            faults.push(format!("{} has neither lib.rs nor main.rs", package.manifest()));
        }
        for root in &package.roots {
            let file = tree.add_file(root, id, None, true);
            let scope = tree.add_module(file, None);
            if *root == format!("{}lib.rs", package.sources()) {
                tree.crates.insert((id, package.library.clone()), scope);
            }
            let folder = root.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
            let mut waiting = vec![Pending { file, scope, candidates: vec![(root.clone(), folder)], live: true }];
            while let Some(next) = waiting.pop() {
                waiting.extend(read_file(&mut tree, files, &mut read, next, faults));
            }
        }
    }
    name_the_crates(&mut tree, packages);
    for package in packages {
        let below = files.keys().filter(|p| p.starts_with(&package.sources()) && p.ends_with(".rs"));
        for path in below.filter(|p| !read.contains_key(*p)) {
            faults.push(format!("{path} is reached by no `mod`"));
        }
    }
    tree
}

/// Reads one file and gives back the modules that it declares.
fn read_file(
    tree: &mut Tree,
    files: &Files,
    read: &mut HashMap<String, usize>,
    next: Pending,
    faults: &mut Vec<String>,
) -> Vec<Pending> {
    let mut there = next.candidates.iter().filter(|(path, _)| files.contains_key(path));
    let (Some((path, folder)), None) = (there.next(), there.next()) else {
        let names: Vec<&str> = next.candidates.iter().map(|(path, _)| path.as_str()).collect();
        faults.push(format!("{}: exactly one of {} must exist", declared_at(tree, next.file), names.join(" and ")));
        return Vec::new();
    };
    tree.files[next.file].path.clone_from(path);
    if read.insert(path.clone(), next.file).is_some() {
        faults.push(format!("{path} is a module twice, again at {}", declared_at(tree, next.file)));
        return Vec::new();
    }
    let parsed = match syn::parse_file(&files[path]) {
        Ok(parsed) => parsed,
        Err(error) => {
            faults.push(format!("{path}:{}: {error}", error.span().start().line));
            return Vec::new();
        }
    };
    let live = next.live && !only_in_tests(&parsed.attrs);
    tree.files[next.file].live = live;
    let mut reader = Reader::new(tree, next.file, next.scope, folder.clone(), live);
    super::visit::walk(&mut reader, &parsed);
    faults.append(&mut reader.faults);
    reader.pending
}

fn declared_at(tree: &Tree, file: usize) -> String {
    match tree.files[file].parent {
        Some((parent, line)) => format!("{}:{line}", tree.files[parent].path),
        None => tree.files[file].path.clone(),
    }
}

/// Makes every library known to every package by its name, and by the name that the package gives it.
fn name_the_crates(tree: &mut Tree, packages: &[Package]) {
    let libraries: Vec<(usize, String, usize)> =
        tree.crates.iter().map(|((package, name), scope)| (*package, name.clone(), *scope)).collect();
    for (library, name, scope) in libraries {
        for (user, package) in packages.iter().enumerate() {
            tree.crates.insert((user, name.clone()), scope);
            for dependency in package.dependencies.iter().filter(|d| d.package == packages[library].name) {
                if dependency.alias != packages[library].name.replace('-', "_") {
                    tree.crates.insert((user, dependency.alias.clone()), scope);
                }
            }
        }
    }
}
