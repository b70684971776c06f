//! What is analysed: the manifests and the Rust files of the workspace, as text.

use std::collections::BTreeMap;
use std::path::Path;

/// Text by path, relative to the root of the workspace and with `/` between its parts.
pub(super) type Files = BTreeMap<String, String>;

/// Folders of the root that hold what was built.
const BUILT: [&str; 1] = ["target"];

/// Every `Cargo.toml` and every Rust file below a folder. Which of them are part of the product, the manifests decide later.
pub(super) fn read(root: &Path) -> Files {
    let mut files = Files::new();
    read_folder(root, "", &mut files);
    files
}

fn read_folder(folder: &Path, prefix: &str, files: &mut Files) {
    for entry in std::fs::read_dir(folder).expect("a folder that lists") {
        let entry = entry.expect("an entry of a folder");
        let name = entry.file_name().into_string().expect("a name in UTF-8");
        if name.starts_with('.') || BUILT.contains(&name.as_str()) {
            continue;
        }
        let path = format!("{prefix}{name}");
        let kind = entry.file_type().expect("the kind of an entry");
        if kind.is_dir() {
            read_folder(&entry.path(), &format!("{path}/"), files);
        } else if name == "Cargo.toml" || name.ends_with(".rs") {
            let text = std::fs::read_to_string(entry.path()).unwrap_or_else(|e| panic!("{path}: {e}"));
            files.insert(path, text);
        }
    }
}
