//! The architecture as text, lowest crates first.

use super::analysis::{Analysis, Kind};
use super::floors::FLOORS;
use super::graph::{edges, levels};
use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;

/// Counts, then the crates of every floor with their files by level. A file of level 1 refers to no other file of its crate;
/// every other file is one level above the highest that it refers to.
pub(super) fn report(analysis: &Analysis) -> String {
    let mut text = String::new();
    let pairs: HashSet<(usize, usize)> = analysis.arrows.all.iter().map(|arrow| (arrow.from, arrow.to)).collect();
    let counts = [
        ("crates", analysis.packages.len()),
        ("files", analysis.product_files().count()),
        ("arrows between files", pairs.len()),
        ("references", analysis.arrows.all.len()),
        ("circles of files", analysis.count(Kind::Circle)),
        ("circles of modules", analysis.count(Kind::ModuleCircle)),
        ("upward arrows", analysis.count(Kind::Upward)),
        ("paths that lead nowhere", analysis.count(Kind::Unresolved)),
        ("files that nothing reaches, and the like", analysis.count(Kind::Unseen)),
    ];
    for (name, count) in counts {
        let _ = writeln!(text, "{count:>6} {name}");
    }
    for (index, names) in FLOORS.iter().enumerate() {
        let here = analysis.packages.iter().enumerate().filter(|(_, p)| names.contains(&p.name.as_str()));
        for (id, package) in here {
            let _ = writeln!(text, "\nfloor {} · {}", index + 1, package.name);
            for (level, files) in levels_of(analysis, id) {
                let _ = writeln!(text, "  {level:>2}: {}", files.join(" "));
            }
        }
    }
    text
}

fn levels_of(analysis: &Analysis, package: usize) -> BTreeMap<usize, Vec<String>> {
    let own = |file: usize| analysis.tree.files[file].package == package;
    let levels = levels(&edges(analysis.arrows.all.iter().filter(|arrow| own(arrow.from) && own(arrow.to))));
    let sources = analysis.packages[package].sources();
    let mut found: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for (id, file) in analysis.product_files().filter(|(id, _)| own(*id)) {
        let name = file.path.strip_prefix(&sources).unwrap_or(&file.path);
        let level = levels.get(&id).copied().unwrap_or(1);
        found.entry(level).or_default().push(name.trim_end_matches(".rs").to_owned());
    }
    found.values_mut().for_each(|names| names.sort());
    found
}
