//! What a path means: through modules, imports, re-exports, globs and the crates of the workspace.

use super::tree::{ANY, Bound, Path, Scope, Space, TYPE, Tree};

/// Where a path, or the beginning of one, leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// A module of the workspace.
    Module(usize),
    /// Anything else that the workspace defines.
    Item(usize),
    /// Something that is not of the workspace.
    Foreign,
}

/// The end of a path.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) found: Found,
    /// The part of the path behind an item: a variant, or a function of a type.
    pub(super) member: Option<String>,
}

/// A path of the workspace that leads nowhere.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Missing {
    pub(super) name: String,
    pub(super) module: usize,
}

/// Imports that are being followed, so that no search goes round.
type Followed = Vec<usize>;

impl Tree {
    /// All that a path may mean in one scope; more than one if the same name stands for a module and a function.
    pub(super) fn resolve(&self, scope: usize, path: &Path, space: Space) -> Result<Vec<End>, Missing> {
        self.follow(scope, path, space, &mut Vec::new())
    }

    /// Whether the first part of a path is one that only the workspace can explain.
    pub(super) fn is_own(&self, scope: usize, path: &Path) -> bool {
        let first = path.segments.first().map_or("", String::as_str);
        let keyword = matches!(first, "crate" | "self" | "super");
        (keyword && path.segments.len() > 1) || self.library(scope, first).is_some()
    }

    fn library(&self, scope: usize, name: &str) -> Option<usize> {
        let package = self.files[self.scopes[scope].file].package;
        self.crates.get(&(package, name.to_owned())).copied()
    }

    fn follow(&self, scope: usize, path: &Path, space: Space, followed: &mut Followed) -> Result<Vec<End>, Missing> {
        let (mut found, mut rest) = self.start(scope, path, followed)?;
        let mut ends = Vec::new();
        while let Some((name, after)) = rest.split_first() {
            let mut next = Vec::new();
            let mut last = None;
            for step in found.into_iter().filter(|step| self.space(*step) & TYPE != 0) {
                match step {
                    Found::Module(module) => {
                        last = Some(module);
                        next.extend(self.look_up(module, name, scope, followed));
                    }
                    found => ends.push(End { found, member: Some(name.clone()) }),
                }
            }
            if let (Some(module), true) = (last, next.is_empty() && ends.is_empty()) {
                if let Some(id) = self.scopes[module].maybe.get(name) {
                    return Ok(vec![End { found: Found::Item(*id), member: None }]);
                }
                if self.has_foreign_glob(module) {
                    return Ok(vec![End { found: Found::Foreign, member: None }]);
                }
                return Err(Missing { name: name.clone(), module });
            }
            (found, rest) = (next, after);
        }
        ends.extend(found.into_iter().map(|found| End { found, member: None }));
        if ends.iter().any(|end| self.space(end.found) & space != 0) {
            ends.retain(|end| end.member.is_some() || self.space(end.found) & space != 0);
        }
        Ok(ends)
    }

    /// The meaning of the first part, or of all `super` at the start, and what is left of the path.
    fn start<'p>(
        &self,
        scope: usize,
        path: &'p Path,
        followed: &mut Followed,
    ) -> Result<(Vec<Found>, &'p [String]), Missing> {
        let Some((first, mut rest)) = path.segments.split_first() else { return Ok((Vec::new(), &[])) };
        let Scope { module, root, .. } = self.scopes[scope];
        let found = match first.as_str() {
            _ if path.rooted => vec![self.library(scope, first).map_or(Found::Foreign, Found::Module)],
            "crate" => vec![Found::Module(root)],
            // Alone it is the receiver of a method.
            "self" if rest.is_empty() => Vec::new(),
            "self" | "super" => {
                let mut at = module;
                if first == "super" {
                    rest = &path.segments;
                }
                while let Some(("super", after)) = rest.split_first().map(|(name, after)| (name.as_str(), after)) {
                    let missing = || Missing { name: "super".to_owned(), module: at };
                    at = self.scopes[at].parent.ok_or_else(missing)?;
                    rest = after;
                }
                vec![Found::Module(at)]
            }
            name => self.first_name(scope, name, followed),
        };
        Ok((found, rest))
    }

    /// A name without anything before it: of the blocks around, of the module, of a crate.
    fn first_name(&self, scope: usize, name: &str, followed: &mut Followed) -> Vec<Found> {
        let mut at = Some(scope);
        while let Some(here) = at {
            let found = self.look_up(here, name, scope, followed);
            if !found.is_empty() {
                return found;
            }
            at = self.scopes[here].around;
        }
        self.library(scope, name).map(Found::Module).into_iter().collect()
    }

    /// A name in a scope. What stands there itself hides what a glob brings, for each kind of name separately.
    fn look_up(&self, scope: usize, name: &str, asker: usize, followed: &mut Followed) -> Vec<Found> {
        let mut found = Vec::new();
        let here = &self.scopes[scope];
        let all = self.is_inside(asker, here.module);
        for binding in here.names.get(name).into_iter().flatten().filter(|b| b.public || all) {
            match binding.to {
                Bound::Scope(id) => found.push(Found::Module(id)),
                Bound::Item(id) => found.push(Found::Item(id)),
                Bound::Import(id) => found.extend(self.import(id, followed)),
            }
        }
        let hidden = found.iter().fold(0, |spaces, found| spaces | self.space(*found));
        if hidden != ANY {
            for glob in here.globs.iter().filter(|id| self.imports[**id].public || all) {
                let brought = self.glob(*glob, name, followed);
                found.extend(brought.into_iter().filter(|brought| self.space(*brought) & !hidden != 0));
            }
        }
        found
    }

    fn import(&self, id: usize, followed: &mut Followed) -> Vec<Found> {
        if followed.contains(&id) {
            return Vec::new();
        }
        followed.push(id);
        let import = &self.imports[id];
        let ends = self.follow(import.scope, &import.path, import.space, followed);
        followed.pop();
        let mut found: Vec<Found> = ends.unwrap_or_default().into_iter().map(|end| end.found).collect();
        if found.is_empty() && !self.is_own(import.scope, &import.path) {
            found.push(Found::Foreign);
        }
        found
    }

    fn glob(&self, id: usize, name: &str, followed: &mut Followed) -> Vec<Found> {
        if followed.contains(&id) {
            return Vec::new();
        }
        followed.push(id);
        let import = &self.imports[id];
        let mut found = Vec::new();
        for end in self.follow(import.scope, &import.path, TYPE, followed).unwrap_or_default() {
            match end.found {
                Found::Module(module) => found.extend(self.look_up(module, name, import.scope, followed)),
                Found::Item(item) if self.items[item].variants.contains(name) => found.push(end.found),
                _ => {}
            }
        }
        followed.pop();
        found
    }

    /// A glob of another workspace's crate may bring any name.
    fn has_foreign_glob(&self, module: usize) -> bool {
        self.scopes[module].globs.iter().any(|id| {
            let import = &self.imports[*id];
            !self.is_own(import.scope, &import.path)
                && self
                    .resolve(import.scope, &import.path, TYPE)
                    .is_ok_and(|ends| ends.is_empty() || ends.iter().any(|end| end.found == Found::Foreign))
        })
    }

    fn space(&self, found: Found) -> Space {
        match found {
            Found::Module(_) => TYPE,
            Found::Item(item) => self.items[item].space,
            Found::Foreign => ANY,
        }
    }
}
