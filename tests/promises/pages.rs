//! The pages of the project name files that are there.

use std::path::{Path, PathBuf};

/// Pages whose paths are checked: those of the root, the tests' and every decision.
fn pages(root: &Path) -> Vec<PathBuf> {
    let below = |folder: &str| std::fs::read_dir(root.join(folder)).expect("a folder").map(|e| e.expect("an entry").path());
    let all = below(".").chain(below("tests")).chain(below("engine/decisions"));
    all.filter(|path| path.extension().is_some_and(|e| e == "md")).collect()
}

/// Whether a word in code marks is a path of this repository: it begins with a folder of it, and has no placeholder.
fn is_path(root: &Path, word: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    let first = word.split('/').next().unwrap_or_default();
    word.contains('/') && word.chars().all(plain) && !word.contains("NNNN") && !first.is_empty() && root.join(first).is_dir()
}

#[test]
fn every_path_that_a_page_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut checked, mut wrong) = (0, Vec::new());
    for page in pages(root) {
        let text = std::fs::read_to_string(&page).expect("reads");
        for word in text.split('`').skip(1).step_by(2).filter(|word| is_path(root, word)) {
            checked += 1;
            if !root.join(word).exists() {
                wrong.push(format!("{}: {word}", page.strip_prefix(root).unwrap_or(&page).display()));
            }
        }
    }
    assert!(checked > 50, "{checked} paths");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
