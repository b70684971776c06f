//! The packages of the workspace, as their manifests declare them.

use super::sources::Files;
use std::collections::BTreeMap;

/// A crate of the workspace.
#[derive(Debug)]
pub(super) struct Package {
    pub(super) name: String,
    /// The folder with a `/` at its end, empty for the root.
    pub(super) folder: String,
    /// The name by which Rust code refers to its library.
    pub(super) library: String,
    /// The files where the compiler starts to read.
    pub(super) roots: Vec<String>,
    pub(super) dependencies: Vec<Dependency>,
}

/// What a package needs in a build that is no test.
#[derive(Debug)]
pub(super) struct Dependency {
    /// The name by which Rust code refers to it.
    pub(super) alias: String,
    pub(super) package: String,
    pub(super) line: usize,
}

impl Package {
    pub(super) fn manifest(&self) -> String {
        format!("{}Cargo.toml", self.folder)
    }

    pub(super) fn sources(&self) -> String {
        format!("{}src/", self.folder)
    }
}

/// A key of a manifest with its value, which may have been on several lines.
struct Entry {
    section: String,
    key: String,
    value: String,
    line: usize,
}

/// Reads all packages. What the manifests leave out is a fault: it would be seen by no check.
pub(super) fn packages(files: &Files, faults: &mut Vec<String>) -> Vec<Package> {
    let root = entries(files.get("Cargo.toml").map_or("", String::as_str));
    let members = root.iter().find(|e| e.section == "workspace" && e.key == "members");
    let members: Vec<String> = members.map(|e| strings(&e.value)).unwrap_or_default();
    let mut folders: Vec<String> = members.iter().map(|m| format!("{}/", m.trim_end_matches('/'))).collect();
    if root.iter().any(|e| e.section == "package") {
        folders.push(String::new());
    }
    let mut packages = Vec::new();
    for folder in folders {
        match files.get(&format!("{folder}Cargo.toml")) {
            Some(text) => packages.push(package(folder, text, files)),
            None => faults.push(format!("{folder}Cargo.toml is a member of the workspace and does not exist")),
        }
    }
    unknown_manifests(files, &packages, faults);
    strays(files, &packages, faults);
    packages
}

fn unknown_manifests(files: &Files, packages: &[Package], faults: &mut Vec<String>) {
    for (path, text) in files.iter().filter(|(path, _)| path.ends_with("Cargo.toml")) {
        let known = packages.iter().any(|p| p.manifest() == *path);
        let own_workspace = text.lines().any(|l| l.trim() == "[workspace]");
        if !known && !own_workspace {
            faults.push(format!("{path} is no member of the workspace"));
        }
    }
}

/// Rust files in a `src` folder of no package.
fn strays(files: &Files, packages: &[Package], faults: &mut Vec<String>) {
    for path in files.keys().filter(|p| p.ends_with(".rs")) {
        let owned = packages.iter().any(|p| path.starts_with(&p.sources()));
        let mut parts = path.split('/');
        let other = parts.clone().any(|part| matches!(part, "tests" | "benches"));
        if parts.any(|part| part == "src") && !owned && !other {
            faults.push(format!("{path} is in no package of the workspace"));
        }
    }
}

fn package(folder: String, text: &str, files: &Files) -> Package {
    let entries = entries(text);
    let value = |section: &str, key: &str| {
        let entry = entries.iter().find(|e| e.section == section && e.key == key);
        entry.and_then(|e| strings(&e.value).into_iter().next())
    };
    let name = value("package", "name").unwrap_or_else(|| panic!("{folder}Cargo.toml names its package"));
    let library = value("lib", "name").unwrap_or_else(|| name.replace('-', "_"));
    let mut package = Package { name, library, roots: Vec::new(), dependencies: Vec::new(), folder };
    let declared = entries.iter().filter(|e| matches!(e.section.as_str(), "lib" | "bin") && e.key == "path");
    let mut roots: Vec<String> =
        declared.flat_map(|e| strings(&e.value)).map(|p| format!("{}{p}", package.folder)).collect();
    roots.extend(usual_roots(&package.sources(), files));
    roots.sort();
    roots.dedup();
    roots.retain(|root| root.starts_with(&package.sources()));
    package.roots = roots;
    package.dependencies = dependencies(&entries);
    package
}

/// `lib.rs`, `main.rs`, and the programs below `bin`.
fn usual_roots(sources: &str, files: &Files) -> Vec<String> {
    let is_root = |path: &&String| {
        let Some(rest) = path.strip_prefix(sources) else { return false };
        let parts: Vec<&str> = rest.split('/').collect();
        match parts[..] {
            [file] => file == "lib.rs" || file == "main.rs",
            ["bin", file] => file.ends_with(".rs"),
            ["bin", _, file] => file == "main.rs",
            _ => false,
        }
    };
    files.keys().filter(is_root).cloned().collect()
}

/// Dependencies of every kind but for tests: of the package, of its build script and of one platform.
fn dependencies(entries: &[Entry]) -> Vec<Dependency> {
    let mut found: BTreeMap<(usize, String), String> = BTreeMap::new();
    for entry in entries {
        let section = entry.section.rsplit_once("dependencies").filter(|(before, _)| {
            !before.ends_with("dev-") && (matches!(*before, "" | "build-") || before.starts_with("target."))
        });
        let Some((_, table)) = section else { continue };
        let alias = match table.strip_prefix('.') {
            Some(_) if !matches!(entry.key.as_str(), "" | "package") => continue,
            Some(name) => name.trim_matches('"').to_owned(),
            None => entry.key.split('.').next().unwrap_or_default().trim_matches('"').to_owned(),
        };
        let renamed = entry.value.split_once("package").and_then(|(_, rest)| strings(rest).into_iter().next());
        let renamed = renamed.or_else(|| (entry.key == "package").then(|| strings(&entry.value).remove(0)));
        if !alias.is_empty() {
            let package = renamed.unwrap_or_else(|| alias.clone());
            found.insert((entry.line, alias), package);
        }
    }
    let dependency =
        |((line, alias), package): ((usize, String), String)| Dependency { alias: alias.replace('-', "_"), package, line };
    found.into_iter().map(dependency).collect()
}

/// The keys of a manifest. A header of a table counts as an entry without a key.
fn entries(text: &str) -> Vec<Entry> {
    let mut found: Vec<Entry> = Vec::new();
    let mut section = String::new();
    let mut open = 0;
    for (number, line) in text.lines().enumerate() {
        let line = without_comment(line).trim();
        if open > 0 {
            let last = found.last_mut().expect("the entry that is still open");
            last.value.push_str(line);
            open += depth(line);
            continue;
        }
        let (key, value) = if line.starts_with('[') {
            section = line.trim_matches(['[', ']']).to_owned();
            (String::new(), String::new())
        } else {
            let Some((key, value)) = line.split_once('=') else { continue };
            open = depth(value);
            (key.trim().to_owned(), value.trim().to_owned())
        };
        found.push(Entry { section: section.clone(), key, value, line: number + 1 });
    }
    found
}

fn without_comment(line: &str) -> &str {
    let mut quoted = false;
    for (at, c) in line.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '#' if !quoted => return &line[..at],
            _ => {}
        }
    }
    line
}

/// How many brackets a line leaves open.
fn depth(line: &str) -> i32 {
    line.chars().map(|c| i32::from(matches!(c, '[' | '{')) - i32::from(matches!(c, ']' | '}'))).sum()
}

/// The texts in quotes.
fn strings(value: &str) -> Vec<String> {
    value.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}
