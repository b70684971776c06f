//! The modules of all packages, the names in them, and what the code refers to. Filled by `collect`, read by `resolve`.

use std::collections::{HashMap, HashSet};

/// The kinds of names that Rust keeps apart.
pub(super) type Space = u8;
pub(super) const TYPE: Space = 1;
pub(super) const VALUE: Space = 2;
pub(super) const MACRO: Space = 4;
pub(super) const ANY: Space = TYPE | VALUE | MACRO;

#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) files: Vec<SourceFile>,
    pub(super) scopes: Vec<Scope>,
    pub(super) items: Vec<Item>,
    pub(super) imports: Vec<Import>,
    pub(super) references: Vec<Reference>,
    pub(super) calls: Vec<MethodCall>,
    pub(super) impls: Vec<Impl>,
    /// Scopes of the libraries of the workspace, by the package and the name that its code uses for them.
    pub(super) crates: HashMap<(usize, String), usize>,
    /// The files that define a method or function of a type, by its name.
    pub(super) method_homes: HashMap<String, HashSet<usize>>,
    /// Macros by the package and their name, for calls that no import explains.
    pub(super) macros: HashMap<(usize, String), HashSet<usize>>,
}

#[derive(Debug)]
pub(super) struct SourceFile {
    pub(super) path: String,
    pub(super) package: usize,
    /// The file that declares this one as its module, and the line of the declaration.
    pub(super) parent: Option<(usize, usize)>,
    /// The file is part of builds that are no tests.
    pub(super) live: bool,
    /// The lines of its `async fn`.
    pub(super) async_functions: Vec<usize>,
}

/// A module, or a block with names of its own.
#[derive(Debug)]
pub(super) struct Scope {
    pub(super) file: usize,
    /// The crate's first module.
    pub(super) root: usize,
    /// What `super` means.
    pub(super) parent: Option<usize>,
    /// What `self` means: a module itself, for a block the module around it.
    pub(super) module: usize,
    /// Where a block's names are looked for when it does not know them.
    pub(super) around: Option<usize>,
    pub(super) names: HashMap<String, Vec<Binding>>,
    pub(super) globs: Vec<usize>,
    /// Identifiers in calls of macros that may define items. They count where nothing else explains a name.
    pub(super) maybe: HashMap<String, usize>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Binding {
    pub(super) to: Bound,
    pub(super) public: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Bound {
    Scope(usize),
    Item(usize),
    Import(usize),
}

/// A definition that is no module.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) name: String,
    pub(super) file: usize,
    pub(super) space: Space,
    pub(super) variants: HashSet<String>,
}

/// One leaf of a `use`.
#[derive(Debug)]
pub(super) struct Import {
    pub(super) scope: usize,
    pub(super) path: Path,
    pub(super) space: Space,
    pub(super) public: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) segments: Vec<String>,
    /// It starts with `::`, so its first part is a crate.
    pub(super) rooted: bool,
}

#[derive(Debug)]
pub(super) struct Reference {
    pub(super) scope: usize,
    pub(super) path: Path,
    pub(super) space: Space,
    pub(super) line: usize,
    /// As the source has it.
    pub(super) text: String,
    /// It was found between tokens, where not everything that looks like a path is one.
    pub(super) from_tokens: bool,
    /// It is part of what a public item promises.
    pub(super) public: bool,
}

#[derive(Debug)]
pub(super) struct MethodCall {
    pub(super) file: usize,
    pub(super) line: usize,
    pub(super) name: String,
    /// The `impl` that it is in, for a call on `self`.
    pub(super) on_self: Option<usize>,
}

#[derive(Debug)]
pub(super) struct Impl {
    pub(super) scope: usize,
    pub(super) file: usize,
    /// The type, if it is a path.
    pub(super) of: Option<Path>,
    /// The last name of the trait's path.
    pub(super) of_trait: Option<String>,
    pub(super) functions: Vec<String>,
}

impl Tree {
    pub(super) fn add_file(&mut self, path: &str, package: usize, parent: Option<(usize, usize)>, live: bool) -> usize {
        self.files.push(SourceFile { path: path.to_owned(), package, parent, live, async_functions: Vec::new() });
        self.files.len() - 1
    }

    pub(super) fn add_module(&mut self, file: usize, parent: Option<usize>) -> usize {
        let id = self.scopes.len();
        let root = parent.map_or(id, |parent| self.scopes[parent].root);
        self.scopes.push(Scope {
            file,
            root,
            parent,
            module: id,
            around: None,
            names: HashMap::new(),
            globs: Vec::new(),
            maybe: HashMap::new(),
        });
        id
    }

    pub(super) fn add_block(&mut self, around: usize) -> usize {
        let id = self.add_module(self.scopes[around].file, Some(around));
        let Scope { module, parent, .. } = self.scopes[around];
        let block = &mut self.scopes[id];
        (block.module, block.parent, block.around) = (module, parent, Some(around));
        id
    }

    pub(super) fn bind(&mut self, scope: usize, name: &str, to: Bound, public: bool) {
        self.scopes[scope].names.entry(name.to_owned()).or_default().push(Binding { to, public });
    }

    pub(super) fn define(&mut self, scope: usize, name: &str, space: Space, public: bool) -> usize {
        let id = self.items.len();
        self.items.push(Item { name: name.to_owned(), file: self.scopes[scope].file, space, variants: HashSet::new() });
        self.bind(scope, name, Bound::Item(id), public);
        id
    }

    /// Whether a module is another one, or lies below it.
    pub(super) fn is_inside(&self, module: usize, other: usize) -> bool {
        let mut at = Some(self.scopes[module].module);
        while let Some(here) = at {
            if here == other {
                return true;
            }
            at = self.scopes[here].parent;
        }
        false
    }
}
