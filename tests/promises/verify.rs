//! One flipped byte anywhere in a package of ours is found and its file named.

use crate::support::{files_below, run_scripted};
use offmap::packager::{verify, write_mmpk};
use offmap::testing::{Act, Script};

/// Flips one bit of a file at a position.
fn flip(path: &std::path::Path, at: usize) {
    let mut bytes = std::fs::read(path).expect("reads");
    bytes[at] ^= 1 << (at % 8);
    std::fs::write(path, bytes).expect("writes");
}

#[tokio::test]
async fn one_flipped_byte_anywhere_in_a_directory_is_found_and_its_file_named() {
    let ended = run_scripted(&[("a", Script::of(Act::Succeed)), ("b", Script::of(Act::Succeed))], true).await;
    assert!(verify(&ended.destination).expect("verifies").ok);
    for path in files_below(&ended.destination) {
        let name = path.strip_prefix(&ended.destination).expect("inside").to_string_lossy().into_owned();
        for at in 0..std::fs::metadata(&path).expect("a file").len() as usize {
            flip(&path, at);
            let found = verify(&ended.destination).expect("verifies");
            assert!(!found.ok && found.problems.iter().any(|p| p.file == name), "byte {at} of {name}: {:?}", found.problems);
            flip(&path, at);
        }
    }
    assert!(verify(&ended.destination).expect("verifies").ok, "all flips are taken back");
}

#[tokio::test]
async fn one_flipped_byte_anywhere_in_an_archive_is_found() {
    let ended = run_scripted(&[("a", Script::of(Act::Succeed))], true).await;
    let dir = tempfile::tempdir().expect("a directory");
    let mmpk = dir.path().join("p.mmpk");
    write_mmpk(&ended.destination, &mmpk).expect("zips");
    assert!(verify(&mmpk).expect("verifies").ok);
    let length = std::fs::metadata(&mmpk).expect("a file").len() as usize;
    for at in 0..length {
        flip(&mmpk, at);
        let found = verify(&mmpk).expect("verifies");
        assert!(!found.ok, "byte {at} of {length} went unnoticed");
        flip(&mmpk, at);
    }
}

#[tokio::test]
async fn missing_and_added_files_are_found() {
    let ended = run_scripted(&[("a", Script::of(Act::Succeed))], true).await;
    let stray = ended.destination.join("p13/stray.txt");
    std::fs::write(&stray, "x").expect("writes");
    let found = verify(&ended.destination).expect("verifies");
    assert!(found.problems.iter().any(|p| p.file == "p13/stray.txt"), "{found:?}");
    std::fs::remove_file(stray).expect("removes");
    let data = files_below(&ended.destination.join("p13")).into_iter().find(|p| p.extension().is_some_and(|e| e == "json"));
    std::fs::remove_file(data.expect("a data file")).expect("removes");
    let found = verify(&ended.destination).expect("verifies");
    assert!(found.problems.iter().any(|p| p.what.contains("not in the package")), "{found:?}");
    assert!(found.problems.iter().any(|p| p.what.contains("it is missing")), "{found:?}");
}
