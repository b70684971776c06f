//! Walks the syntax tree of one file. Everything that only tests compile is passed over.

use super::attributes::{of_impl_item, of_item, of_trait_item, only_in_tests};
use super::reader::{Reader, is_public, line};
use super::tokens::name;
use super::tree::{ANY, Bound, Impl, MACRO, MethodCall, Path, TYPE, VALUE};
use proc_macro2::TokenStream;
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, ImplItem, Item, Meta, Stmt, TraitItem, Type, Visibility};

pub(super) fn walk(reader: &mut Reader<'_>, file: &syn::File) {
    reader.visit_file(file);
}

fn path_of(path: &syn::Path) -> Path {
    let segments = path.segments.iter().map(|s| name(&s.ident)).collect();
    Path { segments, rooted: path.leading_colon.is_some() }
}

fn note_async(reader: &mut Reader<'_>, signature: &syn::Signature) {
    if signature.asyncness.is_some() {
        reader.tree.files[reader.file].async_functions.push(line(signature.fn_token.span));
    }
}

/// The signature is what a public function promises, the body is not.
fn walk_function(reader: &mut Reader<'_>, public: bool, signature: &syn::Signature, block: Option<&syn::Block>) {
    note_async(reader, signature);
    reader.walk_public(public, |this| this.visit_signature(signature));
    if let Some(block) = block {
        reader.walk_public(false, |this| this.visit_block(block));
    }
}

fn add_impl(reader: &mut Reader<'_>, item: &syn::ItemImpl) -> usize {
    let functions: Vec<String> = item
        .items
        .iter()
        .filter(|i| !only_in_tests(of_impl_item(i)))
        .filter_map(|i| if let ImplItem::Fn(function) = i { Some(name(&function.sig.ident)) } else { None })
        .collect();
    for function in &functions {
        reader.tree.method_homes.entry(function.clone()).or_default().insert(reader.file);
    }
    let of = if let Type::Path(path) = &*item.self_ty { Some(path_of(&path.path)) } else { None };
    let of_trait = item.trait_.as_ref().and_then(|(path, _)| Some(name(&path.segments.last()?.ident)));
    reader.tree.impls.push(Impl { scope: reader.scope, file: reader.file, of, of_trait, functions });
    reader.tree.impls.len() - 1
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if !self.live || only_in_tests(of_item(item)) {
            return self.only_files(item);
        }
        self.declare(item);
        visit::visit_item(self, item);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        item.attrs.iter().for_each(|a| self.visit_attribute(a));
        walk_function(self, is_public(&item.vis), &item.sig, Some(&item.block));
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let Some((_, items)) = &item.content else { return self.declare_file(item, true) };
        let ident = name(&item.ident);
        let scope = self.tree.add_module(self.file, Some(self.tree.scopes[self.scope].module));
        self.tree.bind(self.scope, &ident, Bound::Scope(scope), !matches!(item.vis, Visibility::Inherited));
        let folder = format!("{}/{ident}", self.folder);
        let before = (std::mem::replace(&mut self.scope, scope), std::mem::replace(&mut self.folder, folder));
        items.iter().for_each(|item| self.visit_item(item));
        (self.scope, self.folder) = before;
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.import(&item.tree, &[], item);
    }

    fn visit_item_type(&mut self, item: &'ast syn::ItemType) {
        self.walk_public(is_public(&item.vis), |this| visit::visit_item_type(this, item));
    }

    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        self.walk_public(is_public(&item.vis), |this| this.visit_type(&item.ty));
        visit::visit_item_const(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.walk_public(is_public(&item.vis), |this| visit::visit_item_trait(this, item));
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let id = add_impl(self, item);
        let before = self.within.replace(id);
        if let Some((path, _)) = &item.trait_ {
            self.space = TYPE;
            self.visit_path(path);
        }
        item.attrs.iter().for_each(|a| self.visit_attribute(a));
        self.visit_generics(&item.generics);
        self.visit_type(&item.self_ty);
        item.items.iter().for_each(|i| self.visit_impl_item(i));
        self.within = before;
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        if !only_in_tests(of_impl_item(item)) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        item.attrs.iter().for_each(|a| self.visit_attribute(a));
        walk_function(self, is_public(&item.vis), &item.sig, Some(&item.block));
    }

    fn visit_trait_item(&mut self, item: &'ast TraitItem) {
        if !only_in_tests(of_trait_item(item)) {
            visit::visit_trait_item(self, item);
        }
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        self.tree.method_homes.entry(name(&item.sig.ident)).or_default().insert(self.file);
        item.attrs.iter().for_each(|a| self.visit_attribute(a));
        walk_function(self, self.public, &item.sig, item.default.as_ref());
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        if !only_in_tests(&field.attrs) {
            self.walk_public(is_public(&field.vis), |this| visit::visit_field(this, field));
        }
    }

    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        if !only_in_tests(&variant.attrs) {
            visit::visit_variant(self, variant);
        }
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        if !only_in_tests(&arm.attrs) {
            visit::visit_arm(self, arm);
        }
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        if !only_in_tests(&local.attrs) {
            visit::visit_local(self, local);
        }
    }

    fn visit_block(&mut self, block: &'ast syn::Block) {
        let before = self.scope;
        if block.stmts.iter().any(|s| matches!(s, Stmt::Item(_))) {
            self.scope = self.tree.add_block(before);
        }
        visit::visit_block(self, block);
        self.scope = before;
    }

    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if attribute.path().is_ident("doc") {
            return;
        }
        self.visit_path(attribute.path());
        match &attribute.meta {
            Meta::List(list) => self.look_at_tokens(list.tokens.clone(), true),
            Meta::NameValue(pair) => match &pair.value {
                Expr::Lit(literal) => {
                    if let syn::Lit::Str(text) = &literal.lit {
                        self.look_at_tokens(proc_macro2::TokenTree::Literal(text.token()).into(), true);
                    }
                }
                value => self.visit_expr(value),
            },
            Meta::Path(_) => {}
        }
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.space = MACRO;
        visit::visit_macro(self, call);
    }

    fn visit_token_stream(&mut self, tokens: &'ast TokenStream) {
        self.look_at_tokens(tokens.clone(), false);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let space = std::mem::replace(&mut self.space, ANY);
        let at = path.segments.first().map_or(0, |s| line(s.ident.span()));
        let own = path_of(path);
        let text = format!("{}{}", own.segments.join("::"), if space == MACRO { "!" } else { "" });
        self.refer(self.own_type(own), space, at, text);
        visit::visit_path(self, path);
    }

    fn visit_expr_path(&mut self, path: &'ast syn::ExprPath) {
        if let Some(of) = &path.qself {
            self.visit_qself(of);
        }
        self.space = VALUE;
        self.visit_path(&path.path);
    }

    fn visit_type_path(&mut self, path: &'ast syn::TypePath) {
        if let Some(of) = &path.qself {
            self.visit_qself(of);
        }
        self.space = TYPE;
        self.visit_path(&path.path);
    }

    fn visit_expr_struct(&mut self, made: &'ast syn::ExprStruct) {
        if let Some(of) = &made.qself {
            self.visit_qself(of);
        }
        self.space = TYPE;
        self.visit_path(&made.path);
        made.fields.iter().for_each(|f| self.visit_field_value(f));
        if let Some(rest) = &made.rest {
            self.visit_expr(rest);
        }
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        let on_self = matches!(&*call.receiver, Expr::Path(path) if path.path.is_ident("self"));
        let (at, method) = (line(call.method.span()), name(&call.method));
        let on_self = self.within.filter(|_| on_self);
        self.tree.calls.push(MethodCall { file: self.file, line: at, name: method, on_self });
        visit::visit_expr_method_call(self, call);
    }
}
