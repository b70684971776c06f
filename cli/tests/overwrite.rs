//! `offmap take --overwrite`: the new package takes the old one's place, or the old one stays as it is.

use crate::support::{AREA, names, offmap, run, sandbox, words};
use offmap::packager::MobileMapPackage;
use offmap_sandbox::{FIELD_MAP, SandboxOptions};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

/// Id of the job that made a package.
fn maker(package: &Path) -> String {
    let opened = MobileMapPackage::open(package).expect("opens");
    opened.manifest().expect("a manifest").expect("a good one").job.clone()
}

/// Every file below a directory, with its bytes.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(dir).expect("lists") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => all.extend(files(&path)),
            false => drop(all.insert(path.clone(), std::fs::read(&path).expect("reads"))),
        }
    }
    all
}

fn take(portal: &str, dir: &Path, more: &[&str]) -> Output {
    let mut command =
        offmap(&["take", "-p", portal, "-i", FIELD_MAP, "-o", "map", "--progress", "off", "--retry-time", "0"]);
    command.args(more).current_dir(dir);
    run(command)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_and_its_archive_are_replaced_whole_also_by_less() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let (portal, dir) = (sandbox.portal_url(), offmap_sandbox::tempdir().expect("a directory"));
    let (package, archive) = (dir.path().join("map"), dir.path().join("map.mmpk"));
    let all = [&AREA[..], &["--mmpk", "map.mmpk", "--overwrite"]].concat();
    // There is nothing to overwrite yet.
    let first = take(&portal, dir.path(), &all);
    assert_eq!(first.status.code(), Some(0), "{}", words(&first));
    let (old, old_archive) = (maker(&package), maker(&archive));
    assert_eq!(old, old_archive);
    let refused = take(&portal, dir.path(), &all[..all.len() - 1]);
    assert_eq!(refused.status.code(), Some(2), "{}", words(&refused));

    // A smaller area and no basemap: fewer layers and rows than before.
    let less = ["-a", "5,45,6,46", "--no-basemap", "--mmpk", "map.mmpk", "--overwrite"];
    let second = take(&portal, dir.path(), &less);
    assert_eq!(second.status.code(), Some(0), "{}", words(&second));
    assert_ne!(maker(&package), old);
    assert_eq!(maker(&package), maker(&archive));
    for place in ["map", "map.mmpk"] {
        let mut verify = offmap(&["verify", "--deep", place]);
        verify.current_dir(dir.path());
        let verified = run(verify);
        assert_eq!(verified.status.code(), Some(0), "{}", words(&verified));
    }
    assert_eq!(names(dir.path()), ["map", "map.mmpk"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_package_of_ours_or_was_changed_since_is_refused_and_stays() {
    let sandbox = sandbox(SandboxOptions::default()).await;
    let (portal, dir) = (sandbox.portal_url(), offmap_sandbox::tempdir().expect("a directory"));
    let package = dir.path().join("map");
    let overwrite = [&AREA[..], &["--overwrite"]].concat();
    std::fs::create_dir(&package).expect("makes");
    std::fs::write(package.join("letters.txt"), "dear").expect("writes");
    let refused = take(&portal, dir.path(), &overwrite);
    assert_eq!(refused.status.code(), Some(2), "{}", words(&refused));
    assert!(words(&refused).contains("is not overwritten"), "{}", words(&refused));
    assert_eq!(names(&package), ["letters.txt"]);
    std::fs::remove_dir_all(&package).expect("removes");

    let made = take(&portal, dir.path(), &[&AREA[..], &["--mmpk", "map.mmpk"]].concat());
    assert_eq!(made.status.code(), Some(0), "{}", words(&made));
    let mut replicas = files(&package).into_keys();
    let replica = replicas.find(|p| p.extension().is_some_and(|e| e == "geodatabase")).expect("a replica");
    let edit = rusqlite::Connection::open(&replica).expect("opens");
    edit.execute_batch("CREATE TABLE edited (x)").expect("edits");
    drop(edit);
    let before = files(&package);
    let refused = take(&portal, dir.path(), &overwrite);
    assert_eq!(refused.status.code(), Some(2), "{}", words(&refused));
    assert!(words(&refused).contains("was changed since it was made"), "{}", words(&refused));
    assert_eq!(files(&package), before);

    // The archive is judged before anything is fetched.
    let archive = dir.path().join("map.mmpk");
    std::fs::write(&archive, "no archive").expect("writes");
    let arguments = [&overwrite[..], &["--mmpk", "map.mmpk"]].concat();
    std::fs::remove_dir_all(&package).expect("removes");
    let refused = take(&portal, dir.path(), &arguments);
    assert_eq!(refused.status.code(), Some(2), "{}", words(&refused));
    assert_eq!((std::fs::read(&archive).expect("reads").as_slice(), package.exists()), (&b"no archive"[..], false));
    assert_eq!(names(dir.path()), ["map.mmpk"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_package_stays_until_the_new_one_is_in_place_and_a_resumed_job_replaces_it_too() {
    let quick = sandbox(SandboxOptions::default()).await;
    let slow = sandbox(SandboxOptions { job_time: Duration::from_secs(3), ..SandboxOptions::default() }).await;
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let package = dir.path().join("map");
    let made = take(&quick.portal_url(), dir.path(), &AREA);
    assert_eq!(made.status.code(), Some(0), "{}", words(&made));
    let before = files(&package);
    let old = maker(&package);

    let nobody = take("http://localhost:9/portal", dir.path(), &[&AREA[..], &["--overwrite"]].concat());
    assert_eq!(nobody.status.code(), Some(1), "{}", words(&nobody));
    assert_eq!(files(&package), before);
    let late = take(&slow.portal_url(), dir.path(), &[&AREA[..], &["--overwrite", "--time-limit", "2"]].concat());
    assert_eq!(late.status.code(), Some(1), "{}", words(&late));
    assert_eq!(files(&package), before);
    let mut resume = offmap(&["resume", "map", "--progress", "off", "-p", &slow.portal_url()]);
    resume.current_dir(dir.path());
    let resumed = run(resume);
    assert_eq!(resumed.status.code(), Some(0), "{}", words(&resumed));
    assert_ne!(maker(&package), old);
    assert_eq!(names(dir.path()), ["map"]);
}
