//! How long files and functions are.

use super::attributes::{of_impl_item, of_item, of_trait_item, only_in_tests};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{ImplItem, Item, TraitItem};

/// A file or a function, with its lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Size {
    /// The path of the file; for a function with `::` and its name.
    pub(super) name: String,
    pub(super) lines: usize,
}

/// The sizes in one file.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    /// All lines of the file.
    pub(super) whole: usize,
    /// Lines that are in no item for tests only.
    pub(super) product: usize,
    /// From the line of `fn` to the closing brace.
    pub(super) functions: Vec<Size>,
}

pub(super) fn measure(path: &str, text: &str) -> Sizes {
    let file = syn::parse_file(text).unwrap_or_else(|e| panic!("{path}: {e}"));
    let whole = text.lines().count();
    let mut visitor = Functions { path, found: Vec::new() };
    visitor.visit_file(&file);
    let for_tests: usize = file.items.iter().filter(|item| only_in_tests(of_item(item))).map(lines).sum();
    Sizes { whole, product: whole - for_tests, functions: visitor.found }
}

fn lines(item: &Item) -> usize {
    let span = item.span();
    span.end().line - span.start().line + 1
}

struct Functions<'a> {
    path: &'a str,
    found: Vec<Size>,
}

impl Functions<'_> {
    fn add(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let (start, end) = (signature.fn_token.span.start().line, block.brace_token.span.close().end().line);
        self.found.push(Size { name: format!("{}::{}", self.path, signature.ident), lines: end - start + 1 });
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if !only_in_tests(of_item(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        if !only_in_tests(of_impl_item(item)) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_trait_item(&mut self, item: &'ast TraitItem) {
        if !only_in_tests(of_trait_item(item)) {
            visit::visit_trait_item(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.add(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.add(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.add(&item.sig, block);
        }
        visit::visit_trait_item_fn(self, item);
    }
}

/// Number, median, nine tenths and highest.
pub(super) fn row(name: &str, mut lines: Vec<usize>) -> String {
    lines.sort_unstable();
    let at = |share: usize| lines.get((lines.len() * share / 100).min(lines.len().saturating_sub(1))).copied().unwrap_or(0);
    format!("{name:<28} {:>6} {:>7} {:>6} {:>6}\n", lines.len(), at(50), at(90), lines.last().copied().unwrap_or(0))
}

/// What is longer than allowed, and what the list of exceptions has without need.
pub(super) fn faults(sizes: &[Size], limit: usize, allowed: &[(&str, &str)]) -> Vec<String> {
    let exception = |size: &&Size| allowed.iter().any(|(name, _)| *name == size.name);
    let long: Vec<&Size> = sizes.iter().filter(|size| size.lines > limit).collect();
    let mut faults: Vec<String> =
        long.iter().filter(|size| !exception(size)).map(|s| format!("{:>4} lines: {}", s.lines, s.name)).collect();
    faults.sort_by(|a, b| b.cmp(a));
    for (name, reason) in allowed {
        if !long.iter().any(|size| size.name == *name) {
            faults.push(format!("{name} is no longer an exception: take it from the list"));
        } else if reason.trim().is_empty() {
            faults.push(format!("{name} is an exception without a reason"));
        }
    }
    faults
}

#[test]
fn a_long_function_and_a_stale_exception_are_found() {
    let text = "/// One.\nfn one() {\n}\n#[cfg(test)]\nmod tests {\n    fn t() {\n    }\n}\n";
    let text = format!("{text}impl A {{\n    pub async fn two(\n    ) {{\n    }}\n}}\n");
    let sizes = measure("a.rs", &text);
    assert_eq!((sizes.whole, sizes.product), (13, 8));
    let size = |name: &str, lines| Size { name: name.to_owned(), lines };
    assert_eq!(sizes.functions, [size("a.rs::one", 2), size("a.rs::two", 3)]);
    assert_eq!(faults(&sizes.functions, 2, &[]), ["   3 lines: a.rs::two"]);
    assert!(faults(&sizes.functions, 2, &[("a.rs::two", "a table")]).is_empty());
    assert!(faults(&sizes.functions, 3, &[]).is_empty());
    assert_eq!(faults(&sizes.functions, 2, &[("a.rs::two", " ")]).len(), 1, "without a reason");
    assert_eq!(faults(&sizes.functions, 3, &[("a.rs::two", "a table"), ("b.rs", "gone")]).len(), 2, "stale");
}
