//! The whole analysis: from paths and texts to faults and a report.

use super::arrows::{self, Arrow, Arrows};
use super::collect::collect;
use super::floors;
use super::graph::{Edges, circles, edges, shortest_circle};
use super::manifest::{Package, packages};
use super::sources::Files;
use super::tree::Tree;
use std::collections::{BTreeMap, BTreeSet};

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Something would be seen by no check: a file without a `mod`, a crate that is no member.
    Unseen,
    /// A path of the workspace leads nowhere.
    Unresolved,
    /// Files refer to each other in a circle.
    Circle,
    /// Modules of one parent refer to each other in a circle, with all that lies below them.
    ModuleCircle,
    /// A crate knows one that is not below it.
    Upward,
}

#[derive(Debug)]
pub(super) struct Fault {
    pub(super) kind: Kind,
    pub(super) text: String,
}

#[derive(Debug)]
pub(super) struct Analysis {
    pub(super) packages: Vec<Package>,
    pub(super) tree: Tree,
    pub(super) arrows: Arrows,
    pub(super) faults: Vec<Fault>,
}

/// Analyses a workspace. It sees nothing but these texts.
pub(super) fn analyse(files: &Files) -> Analysis {
    let mut unseen = Vec::new();
    let packages = packages(files, &mut unseen);
    let tree = collect(files, &packages, &mut unseen);
    let arrows = arrows::find(&tree);
    let mut faults = Vec::new();
    let mut add = |kind, texts: Vec<String>| faults.extend(texts.into_iter().map(|text| Fault { kind, text }));
    add(Kind::Unseen, unseen);
    add(Kind::Unresolved, arrows.faults.iter().cloned().collect());
    add(Kind::Circle, file_circles(&tree, &arrows.all));
    add(Kind::ModuleCircle, module_circles(&tree, &arrows.all));
    add(Kind::Upward, floors::faults(&packages, &tree, arrows.all.iter().cloned()));
    Analysis { packages, tree, arrows, faults }
}

impl Analysis {
    pub(super) fn count(&self, kind: Kind) -> usize {
        self.faults.iter().filter(|fault| fault.kind == kind).count()
    }

    /// All faults, each with what is needed to find it.
    pub(super) fn describe(&self) -> String {
        self.faults.iter().map(|fault| format!("{:?}: {}\n", fault.kind, fault.text)).collect()
    }

    /// Files that are part of a build that is no test.
    pub(super) fn product_files(&self) -> impl Iterator<Item = (usize, &super::tree::SourceFile)> {
        self.tree.files.iter().enumerate().filter(|(_, file)| file.live)
    }
}

fn file_circles(tree: &Tree, all: &BTreeSet<Arrow>) -> Vec<String> {
    let graph = edges(all);
    let describe = |set: Vec<usize>| {
        let names: Vec<&str> = set.iter().map(|file| tree.files[*file].path.as_str()).collect();
        let mut text = format!("a circle of {} files: {}", set.len(), names.join(", "));
        text.push_str(&way(&graph, &set, |file| tree.files[file].path.clone()));
        let inside = all.iter().filter(|arrow| set.contains(&arrow.from) && set.contains(&arrow.to));
        text + &lines(tree, inside.map(|arrow| ((arrow.from, arrow.to), arrow)))
    };
    circles(&graph).into_iter().map(describe).collect()
}

fn way(graph: &Edges, set: &[usize], name: impl Fn(usize) -> String) -> String {
    let mut way = shortest_circle(graph, set);
    way.extend(way.first().copied());
    let names: Vec<String> = way.into_iter().map(name).collect();
    format!("\n    shortest: {}", names.join(" -> "))
}

/// One line for each pair of files or modules: the first reference between them, and how many there are.
fn lines<'a>(tree: &Tree, arrows: impl Iterator<Item = ((usize, usize), &'a Arrow)>) -> String {
    let mut pairs: BTreeMap<(usize, usize), Vec<&Arrow>> = BTreeMap::new();
    for (pair, arrow) in arrows {
        pairs.entry(pair).or_default().push(arrow);
    }
    let line = |same: Vec<&Arrow>| {
        let Arrow { from, to, line, text } = same[0];
        let more = if same.len() > 1 { format!(" and {} more", same.len() - 1) } else { String::new() };
        format!("\n    {}:{line} -> {} ({text}){more}", tree.files[*from].path, tree.files[*to].path)
    };
    pairs.into_values().map(line).collect()
}

/// The modules of each parent as one graph. A circle of files without modules below them is already known.
fn module_circles(tree: &Tree, all: &BTreeSet<Arrow>) -> Vec<String> {
    let parents: BTreeSet<usize> = tree.files.iter().filter_map(|file| file.parent).map(|(parent, _)| parent).collect();
    let mut found = Vec::new();
    for parent in &parents {
        let lifted: Vec<(Arrow, &Arrow)> = all.iter().filter_map(|arrow| lift(tree, *parent, arrow)).collect();
        let graph = edges(lifted.iter().map(|(arrow, _)| arrow));
        for set in circles(&graph).into_iter().filter(|set| set.iter().any(|file| parents.contains(file))) {
            let names: Vec<&str> = set.iter().map(|file| arrows::module_name(&tree.files[*file].path)).collect();
            let mut text = format!("a circle of modules of {}: {}", tree.files[*parent].path, names.join(", "));
            text.push_str(&way(&graph, &set, |file| arrows::module_name(&tree.files[file].path).to_owned()));
            let inside = lifted.iter().filter(|(arrow, _)| set.contains(&arrow.from) && set.contains(&arrow.to));
            found.push(text + &lines(tree, inside.map(|(lifted, arrow)| ((lifted.from, lifted.to), *arrow))));
        }
    }
    found
}

/// An arrow between two modules of one parent, or below them.
fn lift<'a>(tree: &Tree, parent: usize, arrow: &'a Arrow) -> Option<(Arrow, &'a Arrow)> {
    let (from, to) = (child_above(tree, parent, arrow.from)?, child_above(tree, parent, arrow.to)?);
    (from != to).then(|| (Arrow { from, to, line: arrow.line, text: arrow.text.clone() }, arrow))
}

fn child_above(tree: &Tree, parent: usize, file: usize) -> Option<usize> {
    let mut at = file;
    loop {
        let (above, _) = tree.files[at].parent?;
        if above == parent {
            return Some(at);
        }
        at = above;
    }
}
