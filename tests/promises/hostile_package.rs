//! Packages, archives and replicas that somebody made to harm who reads them: named as damage, in bounded time, with nothing
//! read from outside.

use crate::support::{Bench, run_scripted, run_to_end};
use offmap::exporters::geodatabase;
use offmap::formats::tile_package;
use offmap::packager::manifest::{Manifest, ManifestFile};
use offmap::packager::{MobileMapPackage, Verification, verify, write_mmpk};
use offmap::testing::{Act, Script};
use offmap::{GenerateOfflineMapJob, hex, verify_deep};
use offmap_sandbox::{FIELD_MAP, Fault, FaultAction, HOSTED_MAP};
use rusqlite::Connection;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes on a slow machine; what hangs is a failure by then.
const DEADLINE: Duration = Duration::from_secs(60);

/// Runs what must end, and fails if it does not.
fn within<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, is_done) = mpsc::channel();
    std::thread::spawn(move || {
        let _ = done.send(work());
    });
    is_done.recv_timeout(DEADLINE).expect("it ends")
}

fn verified(path: &Path) -> Verification {
    let path = path.to_owned();
    within(move || verify(&path)).expect("verifies")
}

fn names_damage(found: &Verification, file: &str, what: &str) {
    let named = found.problems.iter().any(|p| p.file.contains(file) && p.what.contains(what));
    assert!(!found.ok && named, "{file}: {what}: {:?}", found.problems);
}

fn make_pipe(path: &Path) {
    assert!(std::process::Command::new("mkfifo").arg(path).status().expect("mkfifo runs").success());
}

/// Changes the manifest of a package and writes it with the right digest.
fn change_manifest(package: &Path, change: impl FnOnce(&mut Manifest)) {
    let path = package.join("offmap/manifest.json");
    let mut manifest = Manifest::read(&std::fs::read(&path).expect("reads")).expect("a manifest");
    change(&mut manifest);
    std::fs::write(&path, manifest.to_bytes().expect("writes")).expect("writes");
}

/// Writes a file of a package and makes the manifest agree.
fn replace(package: &Path, name: &str, bytes: &[u8]) {
    std::fs::write(package.join(name), bytes).expect("writes");
    change_manifest(package, |manifest| {
        for file in manifest.files.iter_mut().filter(|f| f.path == name) {
            (file.bytes, file.sha256) = (bytes.len() as u64, hex(Sha256::digest(bytes)));
        }
    });
}

/// Where something is planted, what it is called, and how it is made.
type Plant<'a> = (&'a str, &'a str, &'a dyn Fn(&Path));

async fn scripted_package() -> crate::support::Ended {
    run_scripted(&[("a", Script::of(Act::Succeed)), ("b", Script::of(Act::Succeed))], true).await
}

#[tokio::test(flavor = "multi_thread")]
async fn links_pipes_and_devices_inside_a_package_are_damage_and_nothing_is_read_through_them() {
    let ended = scripted_package().await;
    let package = ended.destination.clone();
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let private = dir.path().join("private");
    std::fs::write(&private, "secret").expect("writes");
    let package_info = std::fs::read(package.join("package.info")).expect("reads");
    let plants: [Plant<'_>; 6] = [
        ("p13/stray", "a link", &|at| symlink(&private, at).expect("links")),
        ("p13/zero", "a link", &|at| symlink("/dev/zero", at).expect("links")),
        ("p13/pipe", "a named pipe", &make_pipe),
        ("p14", "a link", &|at| symlink(dir.path(), at).expect("links")),
        ("package.info", "a named pipe", &make_pipe),
        ("offmap/job.json", "a link", &|at| symlink(&private, at).expect("links")),
    ];
    for (name, what, plant) in plants {
        let at = package.join(name);
        let before = std::fs::read(&at).ok();
        if before.is_some() {
            std::fs::remove_file(&at).expect("removes");
        }
        plant(&at);
        names_damage(&verified(&package), name, what);
        let place = package.clone();
        let deep = within(move || verify_deep(&place)).expect("verifies");
        names_damage(&deep, name, what);
        let place = package.clone();
        let opened = within(move || MobileMapPackage::open(&place).map(drop)).expect_err("refused");
        assert!(opened.message.contains(what), "{opened}");
        let (place, mmpk) = (package.clone(), dir.path().join("x.mmpk"));
        let zipped = within(move || write_mmpk(&place, &mmpk)).expect_err("refused");
        assert!(zipped.message.contains(what), "{zipped}");
        assert!(!dir.path().join("x.mmpk").exists());
        let place = package.clone();
        let again = within(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let engine = crate::support::scripted_engine();
                let complete = GenerateOfflineMapJob::complete(&engine, &place).await.err();
                (complete, GenerateOfflineMapJob::resume(&engine, &place).await.err())
            })
        });
        assert!(again.0.is_some_and(|f| f.message.contains(what)), "{name}: it is not completed");
        assert!(again.1.is_some(), "{name}: it is not read through");
        std::fs::remove_file(&at).expect("removes");
        if let Some(before) = before {
            std::fs::write(&at, before).expect("writes");
        }
    }
    assert_eq!(std::fs::read(package.join("package.info")).expect("reads"), package_info);
    assert!(verified(&package).ok, "all is restored");
    // A pipe or device in place of the package is not waited for either.
    make_pipe(&dir.path().join("pipe.mmpk"));
    for path in [dir.path().join("pipe.mmpk"), PathBuf::from("/dev/zero")] {
        assert!(within(move || verify(&path)).is_ok_and(|found| !found.ok));
    }
}

#[tokio::test]
async fn a_manifest_names_only_plain_paths_below_the_package_and_each_once() {
    let ended = scripted_package().await;
    let package = ended.destination;
    let file = |path: &str| ManifestFile { path: path.to_owned(), bytes: 0, sha256: hex(Sha256::digest(b"")) };
    for bad in ["../../victim", "/etc/passwd", "C:\\x", "//srv/x", "p13/../x", "a\\..\\b", "./x", "a//b", "x\0"] {
        change_manifest(&package, |manifest| manifest.files.push(file(bad)));
        names_damage(&verified(&package), "offmap/manifest.json", "its name");
        change_manifest_unchecked(&package, |manifest| drop(manifest["files"].as_array_mut().expect("files").pop()));
        assert!(verified(&package).ok, "restored");
    }
    change_manifest(&package, |manifest| manifest.files.insert(0, manifest.files[0].clone()));
    names_damage(&verified(&package), "offmap/manifest.json", "twice");
    change_manifest_unchecked(&package, |manifest| drop(manifest["files"].as_array_mut().expect("files").remove(0)));
    change_manifest(&package, |manifest| manifest.layers[0].file = Some("../../x".to_owned()));
    names_damage(&verified(&package), "offmap/manifest.json", "its name");
}

/// Changes a manifest that may not be readable any more.
fn change_manifest_unchecked(package: &Path, change: impl FnOnce(&mut Value)) {
    let path = package.join("offmap/manifest.json");
    let mut json: Value = serde_json::from_slice(&std::fs::read(&path).expect("reads")).expect("JSON");
    change(&mut json);
    let manifest: Manifest = serde_json::from_value(json).expect("a manifest");
    std::fs::write(&path, manifest.to_bytes().expect("writes")).expect("writes");
}

/// An entry of an archive that is written byte by byte.
struct RawEntry<'a> {
    name: &'a str,
    bytes: &'a [u8],
    /// Where the directory says that its head is; `None` for where it is.
    at: Option<u32>,
}

/// A zip in which the directory may say something else than the heads.
fn raw_zip(entries: &[RawEntry<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut directory = Vec::new();
    for entry in entries {
        let mut crc = flate2::Crc::new();
        crc.update(entry.bytes);
        let size = u32::try_from(entry.bytes.len()).expect("small");
        let name_length = u16::try_from(entry.name.len()).expect("short");
        let at = entry.at.unwrap_or(u32::try_from(out.len()).expect("small"));
        let mut common = Vec::new();
        for short in [10_u16, 0x800, 0, 0, 0x21] {
            common.extend(short.to_le_bytes());
        }
        for long in [crc.sum(), size, size] {
            common.extend(long.to_le_bytes());
        }
        common.extend(name_length.to_le_bytes());
        common.extend(0_u16.to_le_bytes());
        if entry.at.is_none() {
            out.extend(0x0403_4b50_u32.to_le_bytes());
            out.extend(&common);
            out.extend(entry.name.as_bytes());
            out.extend(entry.bytes);
        }
        directory.extend(0x0201_4b50_u32.to_le_bytes());
        directory.extend(20_u16.to_le_bytes());
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(at.to_le_bytes());
        directory.extend(entry.name.as_bytes());
    }
    let (start, size) = (u32::try_from(out.len()).expect("small"), u32::try_from(directory.len()).expect("small"));
    let count = u16::try_from(entries.len()).expect("few");
    out.extend(directory);
    out.extend(0x0605_4b50_u32.to_le_bytes());
    out.extend([0; 4]);
    out.extend(count.to_le_bytes());
    out.extend(count.to_le_bytes());
    out.extend(size.to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0; 2]);
    out
}

fn entry<'a>(name: &'a str, bytes: &'a [u8]) -> RawEntry<'a> {
    RawEntry { name, bytes, at: None }
}

const INFO: &[u8] = br#"{"maps":["m"],"title":"t"}"#;
const MAP: &[u8] = br#"{"item":{},"map":{"operationalLayers":[]}}"#;

#[test]
fn names_duplicates_and_overlaps_of_an_archive_are_damage_that_ends_the_check() {
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let look = |entries: &[RawEntry<'_>]| {
        let path = dir.path().join("x.mmpk");
        std::fs::write(&path, raw_zip(entries)).expect("writes");
        verified(&path)
    };
    let good = look(&[entry("x.info", INFO), entry("p13/m.mmap", MAP)]);
    assert!(good.ok, "the archive that is written byte by byte is a good one: {:?}", good.problems);
    for bad in ["/etc/x", "C:\\x", "C:/x", "//srv/x", "a\\..\\b", "../x", "./x", "a//b", "\u{1b}[2J", "x\0y"] {
        let found = look(&[entry("x.info", INFO), entry("p13/m.mmap", MAP), entry(bad, b"")]);
        names_damage(&found, "archive", "its name");
        assert_eq!(found.problems.len(), 1, "the check ends there");
        assert!(!found.problems[0].what.contains('\u{1b}'), "{:?}", found.problems);
    }
    // The second hides the first from one reader, and the first the second from another.
    let other = br#"{"item":{},"map":{"operationalLayers":[],"x":1}}"#;
    let found = look(&[entry("x.info", INFO), entry("p13/m.mmap", MAP), entry("p13/m.mmap", other)]);
    names_damage(&found, "archive", "two entries of the same name");
    assert_eq!(found.problems.len(), 1, "{:?}", found.problems);
    let found = look(&[entry("x.info", INFO), entry("p13/m.mmap", MAP), entry("p13/m.mmap/x", b"")]);
    names_damage(&found, "archive", "is a file and a directory");
    // Entries that share their bytes.
    let data = vec![7; 100_000];
    let names: Vec<String> = (0..20_000).map(|i| format!("p13/{i}.bin")).collect();
    let first = entry("p13/data.bin", &data);
    let mut entries = vec![entry("x.info", INFO), entry("p13/m.mmap", MAP), first];
    let at = u32::try_from(2 * 30 + "x.infop13/m.mmap".len() + INFO.len() + MAP.len()).expect("small");
    entries.extend(names.iter().map(|name| RawEntry { name, bytes: &data, at: Some(at) }));
    let begun = Instant::now();
    let found = look(&entries);
    assert_eq!(found.problems.len(), 1, "{:?}", found.problems.iter().take(3).collect::<Vec<_>>());
    names_damage(&found, "archive", "");
    assert!(begun.elapsed() < Duration::from_secs(10), "not every one of 20,000 entries is read: {:?}", begun.elapsed());
    // One whose head is another's.
    let found = look(&[entry("x.info", INFO), entry("p13/m.mmap", MAP), RawEntry { name: "b", bytes: INFO, at: Some(0) }]);
    names_damage(&found, "archive", "");
    assert_eq!(found.problems.len(), 1, "{:?}", found.problems);
    // A head that the directory does not list.
    let mut bytes = raw_zip(&[entry("hidden", b"x")]);
    bytes.truncate(30 + "hidden".len() + 1);
    let hidden = bytes.clone();
    let found = look(&[entry("x.info", INFO), entry("p13/m.mmap", MAP), entry("data", &hidden)]);
    assert!(found.ok, "an archive inside an entry is data: {:?}", found.problems);
}

#[test]
fn an_archive_that_claims_far_more_than_its_length_is_refused() {
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let path = dir.path().join("x.mmpk");
    let mut bytes = raw_zip(&[entry("x.info", INFO), entry("p13/m.mmap", MAP), entry("big", b"x")]);
    // The directory and the head of `big` say that it is deflated and has 4 GiB - 2 unpacked.
    let claim = (u32::MAX - 1).to_le_bytes();
    let head = bytes.windows(4).rposition(|w| w == b"PK\x03\x04").expect("a head");
    let central = bytes.windows(4).rposition(|w| w == b"PK\x01\x02").expect("an entry");
    bytes[head + 8] = 8;
    bytes[central + 10] = 8;
    bytes[head + 22..head + 26].copy_from_slice(&claim);
    bytes[central + 24..central + 28].copy_from_slice(&claim);
    std::fs::write(&path, bytes).expect("writes");
    names_damage(&verified(&path), "archive", "times its length");
}

/// A package directory of another writer.
fn foreign(dir: &Path, info: &str, documents: &[(&str, &str)]) -> PathBuf {
    let package = dir.join("package");
    std::fs::create_dir_all(package.join("p13")).expect("makes");
    std::fs::write(package.join("package.info"), info).expect("writes");
    for (name, text) in documents {
        std::fs::write(package.join("p13").join(format!("{name}.mmap")), text).expect("writes");
    }
    package
}

#[test]
fn a_document_that_is_listed_often_and_very_many_maps_are_damage() {
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let map = r#"{"item":{},"map":{"operationalLayers":[]}}"#;
    let package = foreign(dir.path(), &json!({"maps": vec!["m"; 50]}).to_string(), &[("m", map)]);
    names_damage(&verified(&package), "package.info", "twice");
    let names: Vec<String> = (0..60_000).map(|i| i.to_string()).collect();
    let package = foreign(dir.path(), &json!({"maps": names}).to_string(), &[("0", map)]);
    names_damage(&verified(&package), "package.info", "60000 maps");
    let package = foreign(dir.path(), r#"{"maps":["other"]}"#, &[]);
    names_damage(&verified(&package), "package.info", "no document");
}

#[test]
fn a_small_document_of_very_many_values_is_refused_before_it_is_built() {
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let values = "{\"\":0},".repeat(2_000_000);
    let map = format!(r#"{{"item":{{}},"map":{{"operationalLayers":[],"x":[{values}0]}}}}"#);
    let package = foreign(dir.path(), r#"{"maps":["m"]}"#, &[("m", &map)]);
    names_damage(&verified(&package), "package.info", "MiB of memory");
    // The titles of groups stand in each of their layers.
    let layers = r#"{"layerType":"VectorTileLayer"},"#.repeat(9_000);
    let title = "x".repeat(1 << 20);
    let layers = layers.trim_end_matches(',');
    let map =
        format!(r#"{{"map":{{"operationalLayers":[{{"layerType":"GroupLayer","title":"{title}","layers":[{layers}]}}]}}}}"#);
    let package = foreign(dir.path(), r#"{"maps":["m"]}"#, &[("m", &map)]);
    names_damage(&verified(&package), "package.info", "titles of groups");
}

/// A V2 bundle whose records all point to these ranges, each in turn.
fn bundle(ranges: &[(u64, u64)], length: usize) -> Vec<u8> {
    let mut bytes = offmap::formats::compact_cache::v2_head(&[]);
    for record in 0..16_384 {
        let (offset, size) = ranges[record % ranges.len()];
        let at = 64 + 8 * record;
        bytes[at..at + 8].copy_from_slice(&((size << 40) | offset).to_le_bytes());
    }
    bytes.resize(length, 0);
    bytes
}

/// A tile package of these bundles.
fn tile_package_of(path: &Path, bundles: &[(&str, Vec<u8>)]) {
    let mut entries = vec![entry("root.json", b"{}")];
    entries.extend(bundles.iter().map(|(name, bytes)| entry(name, bytes)));
    std::fs::File::create(path).and_then(|mut f| f.write_all(&raw_zip(&entries))).expect("writes");
}

#[test]
fn a_bundle_that_claims_far_more_than_its_length_is_read_once_or_refused() {
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let path = dir.path().join("x.tpkx");
    let check = |path: &Path| {
        let path = path.to_owned();
        within(move || tile_package::check_tiles(&path, &CancellationToken::new()))
    };
    // 16,384 records that share one tile of 8 MiB: 128 GiB by the index, which are read as 8 MiB.
    let (first, size) = (131_140, 8 << 20);
    let mut bytes = bundle(&[(first, size)], 131_140 + (8 << 20));
    bytes[131_140..131_144].copy_from_slice(b"\x89PNG");
    tile_package_of(&path, &[("tile/L05/R0000C0000.bundle", bytes)]);
    let begun = Instant::now();
    assert_eq!(check(&path).expect("reads"), 16_384);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    // Tiles that overlap without being the same.
    let bytes = bundle(&[(first, size), (first + 1, size), (first + 2, size - 5)], 131_140 + (9 << 20));
    tile_package_of(&path, &[("tile/L05/R0000C0000.bundle", bytes)]);
    let refused = check(&path).expect_err("refused");
    assert!(refused.message.contains("overlap"), "{refused}");
    assert!(tile_package::open(&path).is_err());
    // The same block of tiles twice would count twice.
    let one = || bundle(&[(first, 4)], 131_140 + 4);
    tile_package_of(&path, &[("tile/L05/R0000C0000.bundle", one()), ("tile/l05/R0000C0000.bundle", one())]);
    let refused = tile_package::open(&path).expect_err("refused");
    assert!(refused.message.contains("twice"), "{refused}");
}

/// What a hostile author does to a replica: statements, and what the failure says.
const HOSTILE: [(&str, &str); 5] = [
    (
        "CREATE VIEW endless AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n;
         UPDATE GDB_ServiceItems SET DatasetName = 'main.endless' WHERE ItemType = 1",
        "no table `endless`",
    ),
    (
        // The list of its items is the endless view itself.
        "ALTER TABLE GDB_ServiceItems RENAME TO items;
         CREATE VIEW GDB_ServiceItems AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
           SELECT i AS ItemId, 'x' AS DatasetName, 1 AS ItemType FROM n",
        "no table GDB_ServiceItems",
    ),
    (
        // A view that the schema calls a table.
        "CREATE VIEW sly AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n;
         PRAGMA writable_schema = ON;
         UPDATE sqlite_master SET type = 'table', rootpage = 2 WHERE name = 'sly';
         UPDATE GDB_ServiceItems SET DatasetName = 'main.sly' WHERE ItemType = 1",
        "sly",
    ),
    (
        "CREATE TABLE computed(a, gdb_to_date GENERATED ALWAYS AS (replace(hex(zeroblob(1000000)), '00', 'x')) VIRTUAL);
         INSERT INTO computed(a) VALUES(1);
         UPDATE GDB_ServiceItems SET DatasetName = 'main.computed' WHERE ItemType = 1",
        "computed column",
    ),
    (
        "CREATE VIRTUAL TABLE words USING fts5(a); UPDATE GDB_ServiceItems SET DatasetName = 'main.words' WHERE ItemType = 1",
        "no table `words`",
    ),
];

/// The replica of a package as a hostile author leaves it; `None` if this SQLite cannot make it.
fn spoil(replica: &Path, statements: &str) -> bool {
    let connection = Connection::open(replica).expect("opens");
    connection.execute_batch("PRAGMA journal_mode = DELETE").expect("one file");
    connection.execute_batch(statements).is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_whose_tables_are_endless_views_is_damaged_and_read_in_no_time() {
    let bench = Bench::new().await;
    let result = bench.take(HOSTED_MAP).await;
    let package = MobileMapPackage::open(&result.package).expect("opens");
    let data = |id: &str| package.maps()[0].layers.iter().find(|l| l.id == id).and_then(|l| l.data.clone()).expect("data");
    let name = data("measurements").path;
    let good = std::fs::read(result.package.join(&name)).expect("reads");
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let mut made = 0;
    for (statements, what) in HOSTILE {
        let replica = dir.path().join("hostile.geodatabase");
        std::fs::write(&replica, &good).expect("writes");
        if !spoil(&replica, statements) {
            continue;
        }
        made += 1;
        let bytes = std::fs::read(&replica).expect("reads");
        let place = replica.clone();
        let refused = within(move || geodatabase::rows(&place, &CancellationToken::new())).expect_err("damaged");
        assert!(refused.message.contains(what), "{what}: {refused}");
        replace(&result.package, &name, &bytes);
        let place = result.package.clone();
        let found = within(move || verify_deep(&place)).expect("verifies");
        names_damage(&found, &name, what);
    }
    assert!(made >= 4, "{made}");
    replace(&result.package, &name, &good);
    assert!(verify_deep(&result.package).expect("verifies").ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_sends_a_replica_with_endless_views_fails_its_layers_only() {
    let bench = Bench::new().await;
    let good = bench.take(FIELD_MAP).await;
    let files = crate::support::files_below(&good.package);
    let replica = files.iter().find(|p| p.extension().is_some_and(|e| e == "geodatabase")).expect("a replica");
    let hostile = bench.dir.path().join("hostile.geodatabase");
    std::fs::copy(replica, &hostile).expect("copies");
    assert!(spoil(&hostile, HOSTILE[0].0));
    let bytes = std::fs::read(&hostile).expect("reads");
    std::fs::remove_dir_all(&good.package).expect("removes");
    bench.sandbox.fault(Fault::always(".geodatabase", FaultAction::Replace(bytes)));
    let job = bench.job(FIELD_MAP, |_| {}).await;
    let (result, _) = tokio::time::timeout(DEADLINE, run_to_end(&job)).await.expect("it ends");
    let layers = result.map_or_else(|e| e.layers, |r| r.layers);
    let damaged = layers.iter().filter_map(|l| l.failure.as_ref()).filter(|f| f.message.contains("no table `endless`"));
    assert!(damaged.count() > 0, "{layers:?}");
}

#[tokio::test]
async fn a_title_with_characters_that_xml_forbids_gives_well_formed_documents() {
    let bench = Bench::new().await;
    let title = "Hut\u{fffe}s & <b>\u{b}paths]]>\u{ffff}";
    let job = bench.job(HOSTED_MAP, |parameters| {
        let item = offmap::OfflineMapItemInfo { title: title.to_owned(), ..Default::default() };
        parameters.item_info = Some(item);
    });
    let result = run_to_end(&job.await).await.0.expect("a package");
    for name in ["esriinfo/iteminfo.xml", "esriinfo/item.pkinfo"] {
        let text = std::fs::read_to_string(result.package.join(name)).expect("UTF-8");
        let forbidden = |c: char| matches!(c, '\u{fffe}' | '\u{ffff}') || (c.is_control() && !"\r\n\t".contains(c));
        assert!(!text.chars().any(forbidden), "{name}: {text:?}");
    }
    let text = std::fs::read_to_string(result.package.join("esriinfo/iteminfo.xml")).expect("UTF-8");
    assert!(text.contains("<title>Huts &amp; &lt;b&gt;paths]]&gt;</title>\r\n"), "{text}");
    // Elsewhere the title stays what it is.
    assert_eq!(MobileMapPackage::open(&result.package).expect("opens").item().title, title);
}
