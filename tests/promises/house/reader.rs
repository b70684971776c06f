//! Notes what one file defines, imports, declares and refers to. `visit` walks its syntax tree and calls this.

use super::attributes::moves_the_file;
use super::tokens::{Scan, Sight, identifiers, name, scan};
use super::tree::{
    ANY, Bound, Import, Item as Definition, MACRO, MethodCall, Path, Reference, SourceFile, Space, TYPE, Tree, VALUE,
};
use proc_macro2::{Span, TokenStream};
use std::collections::HashSet;
use syn::spanned::Spanned as _;
use syn::{Fields, Item, UseTree, Visibility};

/// A module in a file that is still to be read.
pub(super) struct Pending {
    pub(super) file: usize,
    pub(super) scope: usize,
    /// Where the file may be, each with the folder of the modules in it.
    pub(super) candidates: Vec<(String, String)>,
    pub(super) live: bool,
}

pub(super) struct Reader<'a> {
    pub(super) tree: &'a mut Tree,
    pub(super) file: usize,
    pub(super) scope: usize,
    /// Where the files of declared modules are.
    pub(super) folder: String,
    pub(super) live: bool,
    /// What kind of name the next path is.
    pub(super) space: Space,
    /// What is walked is part of what a public item promises.
    pub(super) public: bool,
    /// The `impl` around.
    pub(super) within: Option<usize>,
    pub(super) pending: Vec<Pending>,
    pub(super) faults: Vec<String>,
}

pub(super) fn line(span: Span) -> usize {
    span.start().line
}

pub(super) fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

impl<'a> Reader<'a> {
    pub(super) fn new(tree: &'a mut Tree, file: usize, scope: usize, folder: String, live: bool) -> Self {
        Self {
            tree,
            file,
            scope,
            folder,
            live,
            space: ANY,
            public: false,
            within: None,
            pending: Vec::new(),
            faults: Vec::new(),
        }
    }

    pub(super) fn refer(&mut self, path: Path, space: Space, line: usize, text: String) {
        let (scope, public) = (self.scope, self.public);
        self.tree.references.push(Reference { scope, path, space, line, text, from_tokens: false, public });
    }

    pub(super) fn look_at_tokens(&mut self, tokens: TokenStream, texts: bool) {
        let mut sights = Vec::new();
        scan(tokens, Scan { texts, line: None, prefix: &[] }, &mut sights);
        for sight in sights {
            match sight {
                Sight::Method { name, line } => {
                    self.tree.calls.push(MethodCall { file: self.file, line, name, on_self: None });
                }
                Sight::Path { segments, rooted, line } => {
                    let text = segments.join("::");
                    self.refer(self.own_type(Path { segments, rooted }), ANY, line, text);
                    self.tree.references.last_mut().expect("just added").from_tokens = true;
                }
            }
        }
    }

    /// A path with `Self` replaced by the type that it stands for.
    pub(super) fn own_type(&self, path: Path) -> Path {
        match self.within.and_then(|id| self.tree.impls[id].of.as_ref()) {
            Some(of) if path.segments[0] == "Self" && path.segments.len() > 1 => {
                let segments = of.segments.iter().chain(&path.segments[1..]).cloned().collect();
                Path { segments, rooted: of.rooted }
            }
            _ => path,
        }
    }

    pub(super) fn walk_public(&mut self, public: bool, walk: impl FnOnce(&mut Self)) {
        let before = std::mem::replace(&mut self.public, public);
        walk(self);
        self.public = before;
    }

    pub(super) fn declare(&mut self, item: &Item) {
        let scope = self.scope;
        let (ident, space, public) = match item {
            Item::Fn(item) => (&item.sig.ident, VALUE, &item.vis),
            Item::Const(item) => (&item.ident, VALUE, &item.vis),
            Item::Static(item) => (&item.ident, VALUE, &item.vis),
            Item::Struct(item) => {
                let space = if matches!(item.fields, Fields::Named(_)) { TYPE } else { TYPE | VALUE };
                (&item.ident, space, &item.vis)
            }
            Item::Union(item) => (&item.ident, TYPE, &item.vis),
            Item::Trait(item) => (&item.ident, TYPE, &item.vis),
            Item::TraitAlias(item) => (&item.ident, TYPE, &item.vis),
            Item::Type(item) => (&item.ident, TYPE, &item.vis),
            Item::Enum(item) => {
                let id = self.tree.define(scope, &name(&item.ident), TYPE, !matches!(item.vis, Visibility::Inherited));
                self.tree.items[id].variants = item.variants.iter().map(|v| name(&v.ident)).collect();
                return;
            }
            Item::Macro(item) => return self.declare_macro(item),
            Item::ExternCrate(item) => {
                let place = format!("{}:{}", self.tree.files[self.file].path, line(item.ident.span()));
                self.faults.push(format!("{place}: `extern crate` is not used here"));
                return;
            }
            _ => return,
        };
        self.tree.define(scope, &name(ident), space, !matches!(public, Visibility::Inherited));
    }

    fn declare_macro(&mut self, item: &syn::ItemMacro) {
        let Some(ident) = item.ident.as_ref().filter(|_| item.mac.path.is_ident("macro_rules")) else {
            let mut words = Vec::new();
            identifiers(item.mac.tokens.clone(), &mut words);
            let id = self.tree.items.len();
            self.tree.items.push(Definition { name: String::new(), file: self.file, space: ANY, variants: HashSet::new() });
            self.tree.scopes[self.scope].maybe.extend(words.into_iter().map(|word| (word, id)));
            return;
        };
        let ident = name(ident);
        let id = self.tree.define(self.scope, &ident, MACRO, true);
        let SourceFile { package, .. } = self.tree.files[self.file];
        if item.attrs.iter().any(|a| a.path().is_ident("macro_export")) {
            let root = self.tree.scopes[self.scope].root;
            self.tree.bind(root, &ident, Bound::Item(id), true);
        }
        self.tree.macros.entry((package, ident)).or_default().insert(id);
    }

    /// A module in a file of its own.
    pub(super) fn declare_file(&mut self, item: &syn::ItemMod, live: bool) {
        let ident = name(&item.ident);
        let at = line(item.ident.span());
        if moves_the_file(&item.attrs) {
            self.faults.push(format!("{}:{at}: `#[path]` is not used here", self.tree.files[self.file].path));
        }
        let below = format!("{}/{ident}", self.folder);
        let candidates = vec![(format!("{below}.rs"), below.clone()), (format!("{below}/mod.rs"), below)];
        let SourceFile { package, .. } = self.tree.files[self.file];
        let file = self.tree.add_file(&candidates[0].0, package, Some((self.file, at)), live);
        let scope = self.tree.add_module(file, Some(self.tree.scopes[self.scope].module));
        self.tree.bind(self.scope, &ident, Bound::Scope(scope), !matches!(item.vis, Visibility::Inherited));
        self.pending.push(Pending { file, scope, candidates, live });
    }

    /// Of what is only compiled for tests, the files count as reached and nothing else counts.
    pub(super) fn only_files(&mut self, item: &Item) {
        let Item::Mod(module) = item else { return };
        let Some((_, items)) = &module.content else { return self.declare_file(module, false) };
        let before = self.folder.clone();
        self.folder = format!("{before}/{}", name(&module.ident));
        items.iter().for_each(|item| self.only_files(item));
        self.folder = before;
    }

    pub(super) fn import(&mut self, tree: &UseTree, prefix: &[String], item: &syn::ItemUse) {
        let with = |ident: &proc_macro2::Ident| [prefix, &[name(ident)]].concat();
        match tree {
            UseTree::Path(path) => self.import(&path.tree, &with(&path.ident), item),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(tree, prefix, item)),
            UseTree::Glob(glob) => {
                let id = self.add_import(prefix.to_vec(), TYPE, line(glob.span()), item, "::*");
                self.tree.scopes[self.scope].globs.push(id);
            }
            UseTree::Name(leaf) => {
                let bound =
                    if leaf.ident == "self" { prefix.last().cloned().unwrap_or_default() } else { name(&leaf.ident) };
                self.import_leaf(prefix, &leaf.ident, &bound, item);
            }
            UseTree::Rename(leaf) => self.import_leaf(prefix, &leaf.ident, &name(&leaf.rename), item),
        }
    }

    fn import_leaf(&mut self, prefix: &[String], ident: &proc_macro2::Ident, bound: &str, item: &syn::ItemUse) {
        let mut path = prefix.to_vec();
        let module = ident == "self" && !path.is_empty();
        if !module {
            path.push(name(ident));
        }
        let id = self.add_import(path, if module { TYPE } else { ANY }, line(ident.span()), item, "");
        if bound != "_" {
            self.tree.bind(self.scope, bound, Bound::Import(id), !matches!(item.vis, Visibility::Inherited));
        }
    }

    fn add_import(&mut self, segments: Vec<String>, space: Space, line: usize, item: &syn::ItemUse, end: &str) -> usize {
        let text = format!("use {}{end}", segments.join("::"));
        let path = Path { segments, rooted: item.leading_colon.is_some() };
        let public = !matches!(item.vis, Visibility::Inherited);
        self.tree.imports.push(Import { scope: self.scope, path: path.clone(), space, public });
        self.walk_public(is_public(&item.vis), |this| this.refer(path, space, line, text));
        self.tree.imports.len() - 1
    }
}
