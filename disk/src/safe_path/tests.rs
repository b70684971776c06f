//! The functions together, on directories with everything in them that does not belong there.

use super::*;
use offmap_model::FailureKind;
use std::path::Path;

#[cfg(unix)]
#[test]
fn only_regular_files_behind_real_directories_are_files() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path().join("root");
    std::fs::create_dir_all(root.join("real/deep")).expect("makes");
    std::fs::write(dir.path().join("secret"), "secret").expect("writes");
    std::fs::write(root.join("real/deep/file"), "12345").expect("writes");
    symlink(root.join("real"), root.join("link")).expect("links");
    symlink(dir.path().join("secret"), root.join("real/secret")).expect("links");
    let made = std::process::Command::new("mkfifo").arg(root.join("fifo")).status().expect("runs mkfifo");
    assert!(made.success());
    let at = |path: &str| file(&root, Path::new(path)).map(|(_, m)| m.len()).map_err(|e| e.to_string());
    assert_eq!(at("real/deep/file"), Ok(5));
    for (path, word) in [
        ("link/deep/file", "is a link"),
        ("real/secret", "is a link"),
        ("fifo", "is a named pipe"),
        ("real", "is a directory"),
    ] {
        assert!(at(path).is_err_and(|e| e.contains(word)), "{path}: {:?}", at(path));
        assert!(open_file(&root.join(path)).is_err() || path.starts_with("link"), "{path}");
    }
    assert!(folder(&root, Path::new("real")).is_err_and(|e| e.to_string().contains("secret is a link")));
    assert!(make_dirs(&root, Path::new("link/new")).is_err());
    assert!(remove_tree(&root, Path::new("link/deep")).is_err(), "not through a link");
    for odd in ["real", "fifo", "real/secret"] {
        let refused = link_or_copy(&root.join(odd), &dir.path().join("copy")).expect_err(odd);
        assert_eq!(refused.kind, FailureKind::Corrupt, "{refused}");
        let _ = std::fs::remove_dir_all(dir.path().join("copy"));
    }
    // A link goes, what it leads to stays.
    remove_tree(&root, Path::new("link")).expect("removes");
    remove_tree(&root, Path::new("real/secret")).expect("removes");
    assert!(root.join("real/deep/file").exists() && dir.path().join("secret").exists());
    assert_eq!(folder(&root, Path::new("real")).map(|p| size_of(&p)).expect("plain now"), 5);
    remove_tree(&root, Path::new("real")).expect("removes");
    remove_tree(&root, Path::new("real")).expect("is gone already");
    assert!(!root.join("real").exists());
}
