//! Which file refers to which.

use super::resolve::Found;
use super::tree::{Impl, MACRO, MethodCall, Path, Reference, TYPE, Tree};
use std::collections::{BTreeSet, HashMap, HashSet};

/// One reference from one file to another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Arrow {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) line: usize,
    pub(super) text: String,
}

/// A reference to something that is not of the workspace.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Foreign {
    pub(super) file: usize,
    pub(super) line: usize,
    /// The whole path, imports replaced by what they import.
    pub(super) path: Vec<String>,
    /// It is part of what a public item promises.
    pub(super) public: bool,
}

/// Everything that was found in the sources.
#[derive(Debug, Default)]
pub(super) struct Arrows {
    pub(super) all: BTreeSet<Arrow>,
    pub(super) foreign: Vec<Foreign>,
    pub(super) faults: BTreeSet<String>,
}

/// Functions of a type that stand in another file than the type, by the type and their name.
type Away = HashMap<(usize, String), HashSet<usize>>;

/// Finds all arrows. A path of the workspace that leads nowhere is a fault.
pub(super) fn find(tree: &Tree) -> Arrows {
    let mut arrows = Arrows::default();
    for (file, source) in tree.files.iter().enumerate().filter(|(_, source)| source.live) {
        if let Some((parent, line)) = source.parent {
            let text = format!("mod {};", module_name(&source.path));
            arrows.all.insert(Arrow { from: parent, to: file, line, text });
        }
    }
    let away = functions_away(tree);
    for reference in &tree.references {
        follow(tree, reference, &away, &mut arrows);
    }
    for call in &tree.calls {
        follow_call(tree, call, &away, &mut arrows);
    }
    arrows.all.retain(|arrow| arrow.from != arrow.to);
    arrows
}

/// The name of the module that a file holds.
pub(super) fn module_name(path: &str) -> &str {
    let path = path.strip_suffix("/mod.rs").or_else(|| path.strip_suffix(".rs")).unwrap_or(path);
    path.rsplit('/').next().unwrap_or(path)
}

fn follow(tree: &Tree, reference: &Reference, away: &Away, arrows: &mut Arrows) {
    let Reference { scope, path, space, line, text, public, .. } = reference;
    let from = tree.scopes[*scope].file;
    let mut point = |to: usize| arrows.all.insert(Arrow { from, to, line: *line, text: text.clone() });
    let ends = match tree.resolve(*scope, path, *space) {
        Ok(ends) => ends,
        Err(missing) => {
            if !reference.from_tokens || tree.is_own(*scope, path) {
                let place = format!("{}:{line}", tree.files[from].path);
                let module = &tree.files[tree.scopes[missing.module].file].path;
                arrows.faults.insert(format!("{place}: `{text}`: there is no `{}` in {module}", missing.name));
            }
            return;
        }
    };
    for end in &ends {
        match end.found {
            Found::Module(module) => {
                point(tree.scopes[module].file);
            }
            Found::Item(item) => {
                point(tree.items[item].file);
                let member = end.member.clone().unwrap_or_default();
                away.get(&(item, member)).into_iter().flatten().for_each(|file| _ = point(*file));
            }
            Found::Foreign => {}
        }
    }
    let package = tree.files[from].package;
    if ends.is_empty() && *space == MACRO && path.segments.len() == 1 {
        let known = tree.macros.get(&(package, path.segments[0].clone()));
        known.into_iter().flatten().for_each(|item| _ = point(tree.items[*item].file));
    }
    if ends.iter().all(|end| end.found == Found::Foreign) {
        let path = tree.foreign_path(*scope, path);
        arrows.foreign.push(Foreign { file: from, line: *line, path, public: *public });
    }
}

/// A file that calls a function of a type needs the file of that function, though it does not name it.
fn functions_away(tree: &Tree) -> Away {
    let mut away = Away::new();
    for block in tree.impls.iter().filter(|block| block.of_trait.is_none()) {
        for item in self_types(tree, block).into_iter().filter(|item| tree.items[*item].file != block.file) {
            for function in &block.functions {
                away.entry((item, function.clone())).or_default().insert(block.file);
            }
        }
    }
    away
}

fn self_types(tree: &Tree, block: &Impl) -> Vec<usize> {
    let Some(path) = &block.of else { return Vec::new() };
    let ends = tree.resolve(block.scope, path, TYPE).unwrap_or_default();
    ends.into_iter().filter_map(|end| if let Found::Item(item) = end.found { Some(item) } else { None }).collect()
}

/// A call on `self` is looked up in the type around. Of any other call the type is not known here: it counts if the name is
/// used for one function away from its type and for nothing else in the workspace.
fn follow_call(tree: &Tree, call: &MethodCall, away: &Away, arrows: &mut Arrows) {
    let MethodCall { file, line, name, on_self } = call;
    let mut targets: HashSet<usize> = HashSet::new();
    if let Some(block) = on_self {
        for item in self_types(tree, &tree.impls[*block]) {
            targets.extend(away.get(&(item, name.clone())).into_iter().flatten());
        }
    } else if let Some(homes) = tree.method_homes.get(name).filter(|homes| homes.len() == 1) {
        let known: HashSet<usize> = away.iter().filter(|((_, n), _)| n == name).flat_map(|(_, f)| f).copied().collect();
        targets.extend(homes.intersection(&known));
    }
    for to in targets {
        arrows.all.insert(Arrow { from: *file, to, line: *line, text: format!(".{name}()") });
    }
}

impl Tree {
    /// A path with its first part replaced by the import that explains it.
    fn foreign_path(&self, scope: usize, path: &Path) -> Vec<String> {
        let mut segments = path.segments.clone();
        let mut at = Some(scope);
        while let (Some(here), false) = (at, path.rooted) {
            let bindings = self.scopes[here].names.get(&segments[0]).into_iter().flatten();
            let import =
                bindings.filter_map(|b| if let super::tree::Bound::Import(id) = b.to { Some(id) } else { None }).next();
            if let Some(import) = import.map(|id| &self.imports[id]).filter(|i| i.path.segments != path.segments) {
                segments.splice(0..1, import.path.segments.iter().cloned());
                return segments;
            }
            at = self.scopes[here].around;
        }
        segments
    }
}
