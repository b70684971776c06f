//! The order of the crates: which may depend on which.

use super::arrows::Arrow;
use super::manifest::Package;
use super::tree::Tree;

/// The floors, ground first. A crate knows only crates of lower floors, so two of one floor know nothing of each other.
pub(super) const FLOORS: [&[&str]; 8] = [
    &["offmap-model"],
    &["offmap-disk"],
    &["offmap-formats", "offmap-arcgis"],
    &["offmap-engine"],
    &["offmap-exporters", "offmap-packager", "offmap-sandbox"],
    &["offmap-convert"],
    &["offmap"],
    &["offmap-cli"],
];

/// The crate that only examples and tests may know.
const FOR_TESTS: &str = "offmap-sandbox";

/// The floor of a crate, counted from 1.
pub(super) fn floor(package: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&package)).map(|index| index + 1)
}

fn is_upward(from: &str, to: &str) -> bool {
    let (Some(user), Some(used)) = (floor(from), floor(to)) else { return false };
    from != to && (to == FOR_TESTS || used >= user)
}

/// Crates without a floor, and every arrow that does not lead down: between manifests, and between sources.
pub(super) fn faults(packages: &[Package], tree: &Tree, arrows: impl IntoIterator<Item = Arrow>) -> Vec<String> {
    let mut faults = Vec::new();
    for package in packages {
        if floor(&package.name).is_none() {
            faults.push(format!("{}: {} is on no floor", package.manifest(), package.name));
        }
        let known = package.dependencies.iter().filter(|d| packages.iter().any(|p| p.name == d.package));
        for dependency in known.filter(|d| is_upward(&package.name, &d.package)) {
            let place = format!("{}:{}", package.manifest(), dependency.line);
            faults.push(format!("{place}: {} must not know {}", package.name, dependency.package));
        }
    }
    for arrow in arrows {
        let (from, to) = (&tree.files[arrow.from], &tree.files[arrow.to]);
        let (user, used) = (&packages[from.package].name, &packages[to.package].name);
        if is_upward(user, used) {
            let place = format!("{}:{} -> {}", from.path, arrow.line, to.path);
            faults.push(format!("{place} ({}): {user} must not know {used}", arrow.text));
        }
    }
    faults
}
