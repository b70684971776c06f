//! Which items are only compiled for tests.

use proc_macro2::{TokenStream, TokenTree};
use syn::{Attribute, ImplItem, Item, Meta, TraitItem};

/// Whether an item with these attributes is left out of every build that is no test and no documentation test.
pub(super) fn only_in_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let last = attribute.path().segments.last().map(|s| s.ident.to_string());
        match (last.as_deref(), &attribute.meta) {
            (Some("cfg"), Meta::List(list)) => !may_be(list.tokens.clone(), true),
            (Some("test"), _) => true,
            _ => false,
        }
    })
}

/// Whether a `cfg` predicate can have this value in a build that is no test.
fn may_be(predicate: TokenStream, wanted: bool) -> bool {
    let tokens: Vec<TokenTree> = predicate.into_iter().collect();
    let [TokenTree::Ident(name), rest @ ..] = &tokens[..] else { return true };
    let inner = match rest {
        [TokenTree::Group(group), ..] => arguments(group.stream()),
        _ => Vec::new(),
    };
    match name.to_string().as_str() {
        "test" | "doctest" => !wanted,
        "not" => inner.into_iter().all(|p| may_be(p, !wanted)),
        "all" if wanted => inner.into_iter().all(|p| may_be(p, true)),
        "any" if !wanted => inner.into_iter().all(|p| may_be(p, false)),
        "all" | "any" => inner.into_iter().any(|p| may_be(p, wanted)),
        _ => true,
    }
}

/// Tokens between commas.
fn arguments(tokens: TokenStream) -> Vec<TokenStream> {
    let mut parts = vec![TokenStream::new()];
    for token in tokens {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == ',' => parts.push(TokenStream::new()),
            token => parts.last_mut().expect("at least one part").extend([token]),
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// Whether `#[path]` sends the compiler to another file than the name of the module says.
pub(super) fn moves_the_file(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let conditional = match &attribute.meta {
            Meta::List(list) if attribute.path().is_ident("cfg_attr") => {
                list.tokens.clone().into_iter().any(|t| matches!(t, TokenTree::Ident(name) if name == "path"))
            }
            _ => false,
        };
        attribute.path().is_ident("path") || conditional
    })
}

pub(super) fn of_item(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

pub(super) fn of_impl_item(item: &ImplItem) -> &[Attribute] {
    match item {
        ImplItem::Const(item) => &item.attrs,
        ImplItem::Fn(item) => &item.attrs,
        ImplItem::Type(item) => &item.attrs,
        ImplItem::Macro(item) => &item.attrs,
        _ => &[],
    }
}

pub(super) fn of_trait_item(item: &TraitItem) -> &[Attribute] {
    match item {
        TraitItem::Const(item) => &item.attrs,
        TraitItem::Fn(item) => &item.attrs,
        TraitItem::Type(item) => &item.attrs,
        TraitItem::Macro(item) => &item.attrs,
        _ => &[],
    }
}
