//! Old tile packages (`.tpk`), whose entries may be deflated, and compressed packages of the newer kinds.

use crate::support::{run_to_end, scripted_engine, scripted_task};
use offmap::formats::tile_package::{TilePackageKind, check_tiles, open};
use offmap::testing::Script;
use offmap::{AreaOfInterest, Failure, FailureKind, GenerateOfflineMapParameterOverrides, GenerateOfflineMapParameters};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

const SLOTS: usize = 16_384;
/// Bytes of a V1 bundle before its tiles: its head and the zero words of empty tiles.
const FIRST_TILE: usize = 60 + 4 * SLOTS;

/// Bytes that begin like a PNG and hardly compress.
fn tile(seed: u64) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for _ in 0..40 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes
}

/// A V1 bundle and its index (tile reference §15). Tiles are row and column in the bundle; the last two share their data.
fn bundle(tiles: &[(usize, usize)]) -> (Vec<u8>, Vec<u8>) {
    let mut bytes = vec![0; FIRST_TILE];
    let mut index = vec![0; 16 + 5 * SLOTS + 16];
    // Empty slots point to their own zero words.
    let mut point = |row: usize, column: usize, offset: usize| {
        let slot = 16 + 5 * (128 * column + row);
        index[slot..slot + 5].copy_from_slice(&(offset as u64).to_le_bytes()[..5]);
    };
    for slot in 0..SLOTS {
        point(slot % 128, slot / 128, 60 + 4 * slot);
    }
    let mut last = 0;
    for (i, (row, column)) in tiles.iter().enumerate() {
        if i + 1 < tiles.len() || i == 0 {
            last = bytes.len();
            let tile = tile(i as u64 + 1);
            bytes.extend(u32::try_from(tile.len()).expect("small").to_le_bytes());
            bytes.extend(tile);
        }
        point(*row, *column, last);
    }
    (bytes, index)
}

fn write(path: &Path, method: CompressionMethod, entries: &[(&str, &[u8])]) {
    let mut zip = ZipWriter::new(std::fs::File::create(path).expect("a file"));
    for (name, bytes) in entries {
        zip.start_file(*name, SimpleFileOptions::default().compression_method(method)).expect("an entry");
        zip.write_all(bytes).expect("writes");
    }
    zip.finish().expect("a zip");
}

const BUNDLE: &str = "v101/Layers/_alllayers/L17/Rac00Cf780.bundle";
const CONF: &[u8] =
    b"<CacheInfo><TileCacheInfo><SpatialReference><WKID>102100</WKID></SpatialReference></TileCacheInfo></CacheInfo>";

fn old_package(dir: &Path, method: CompressionMethod) -> PathBuf {
    let path = dir.join("old.tpk");
    let (bytes, index) = bundle(&[(3, 7), (127, 127), (0, 0), (5, 80), (6, 80)]);
    let index_name = BUNDLE.replace("bundle", "bundlx");
    write(&path, method, &[("v101/Layers/Conf.xml", CONF), (BUNDLE, &bytes), (&index_name, &index)]);
    path
}

/// Overwrites `length` bytes of an entry's sizes or method, in its own head and in the directory.
fn patch(path: &Path, name: &str, in_head: usize, bytes: &[u8]) {
    let mut all = std::fs::read(path).expect("reads");
    let places: Vec<usize> = (0..all.len()).filter(|at| all[*at..].starts_with(name.as_bytes())).collect();
    let [head, directory] = places.as_slice() else { panic!("{places:?}") };
    // The name is at 30 of a head and at 46 of a directory's entry, whose fields lie two bytes farther.
    for at in [head - 30 + in_head, directory - 46 + in_head + 2] {
        all[at..at + bytes.len()].copy_from_slice(bytes);
    }
    std::fs::write(path, all).expect("writes");
}

fn refused(path: &Path) -> Failure {
    let failure = open(path).expect_err("refused");
    assert_eq!(check_tiles(path, &CancellationToken::new()).expect_err("refused").message, failure.message);
    failure
}

#[test]
fn an_old_package_is_read_alike_stored_and_deflated() {
    let dir = offmap_sandbox::tempdir().expect("a directory");
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let path = old_package(dir.path(), method);
        let package = open(&path).unwrap_or_else(|e| panic!("{method}: {e}"));
        assert_eq!((package.kind, package.total(), package.tiles.get(&17)), (TilePackageKind::Tpk, 5, Some(&5)), "{method}");
        assert_eq!(check_tiles(&path, &CancellationToken::new()).expect("all are tiles"), 5, "{method}");
    }
}

#[test]
fn a_damaged_tile_of_a_deflated_package_is_still_found() {
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let path = dir.path().join("old.tpk");
    let (mut bytes, index) = bundle(&[(3, 7), (127, 127), (0, 0)]);
    bytes[FIRST_TILE + 4] = b'X';
    let index_name = BUNDLE.replace("bundle", "bundlx");
    write(&path, CompressionMethod::Deflated, &[("v101/L/conf.xml", CONF), (BUNDLE, &bytes), (&index_name, &index)]);
    let message = check_tiles(&path, &CancellationToken::new()).expect_err("found").message;
    assert!(message.contains("tile 44035/63367") && message.contains("is no tile"), "{message}");
}

#[test]
fn a_deflated_bundle_never_inflates_beyond_what_it_states_nor_beyond_the_ceiling() {
    let dir = offmap_sandbox::tempdir().expect("a directory");
    // It states fewer bytes than it has: no byte beyond them is taken.
    let path = old_package(dir.path(), CompressionMethod::Deflated);
    patch(&path, BUNDLE, 22, &u32::try_from(FIRST_TILE + 10).expect("small").to_le_bytes());
    let failure = open(&path).expect_err("refused");
    assert!(failure.message.contains(&format!("the bundle has {} bytes", FIRST_TILE + 10)), "{failure}");
    // It states 4 GiB and more, as a bomb would.
    let path = old_package(dir.path(), CompressionMethod::Deflated);
    patch(&path, BUNDLE, 22, &0xffff_fffe_u32.to_le_bytes());
    let began = std::time::Instant::now();
    let _ = open(&path);
    assert!(began.elapsed() < std::time::Duration::from_secs(20), "what is stated is not allocated");
}

#[test]
fn a_compressed_package_is_called_compressed_and_never_damaged() {
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let head = vec![0; 64 + 8 * SLOTS];
    for (name, entries) in [
        ("x.tpkx", [("root.json", b"{}".as_slice()), ("tile/L00/R0000C0000.bundle", head.as_slice())]),
        ("x.vtpk", [("p12/root.json", b"{}".as_slice()), ("p12/tile/L00/R0000C0000.bundle", head.as_slice())]),
    ] {
        let path = dir.path().join(name);
        write(&path, CompressionMethod::Deflated, &entries);
        let failure = refused(&path);
        assert_eq!(failure.kind, FailureKind::NotSupported, "{failure}");
        assert!(failure.message.contains("compressed") && failure.message.contains("zip -0"), "{failure}");
        assert!(!failure.message.contains("damaged"), "{failure}");
    }
    // Method 12, bzip2, which offmap does not read.
    let path = old_package(dir.path(), CompressionMethod::Stored);
    patch(&path, BUNDLE, 8, &12_u16.to_le_bytes());
    let failure = refused(&path);
    assert!(failure.message.contains("is compressed") && !failure.message.contains("damaged"), "{failure}");
    assert_eq!(failure.kind, FailureKind::NotSupported, "{failure}");
}

/// An old package in UTM zone 32N whose documents are deflated and give the reference by text alone.
fn package_by_text(dir: &Path, name: &str) {
    let wkt = format!(
        "<SpatialReference><WKT>PROJCS[&quot;{name}&quot;,GEOGCS[&quot;GCS_WGS_1984&quot;]]</WKT></SpatialReference>"
    );
    let conf = format!("<CacheInfo><TileCacheInfo>{wkt}<TileCols>256</TileCols></TileCacheInfo></CacheInfo>");
    // A square of 200 km around 9° E, 47° N.
    let sides = "<XMin>400000</XMin><YMin>5100000</YMin><XMax>600000</XMax><YMax>5300000</YMax>";
    let cdi = format!("<?xml version=\"1.0\"?><EnvelopeN>{sides}{wkt}</EnvelopeN>");
    let entries: [(&str, &[u8]); 2] = [("v101/Layers/conf.xml", conf.as_bytes()), ("v101/Layers/conf.cdi", cdi.as_bytes())];
    write(&dir.join("old.tpk"), CompressionMethod::Deflated, &entries);
}

#[tokio::test]
async fn a_base_map_whose_reference_is_given_by_text_alone_is_judged_by_it_or_the_caller_is_told() {
    let engine = scripted_engine();
    let dir = offmap_sandbox::tempdir().expect("a directory");
    let inside = "8.5,46.5,9.5,47.5";
    for (name, area, expected) in [
        ("WGS_1984_UTM_Zone_32N", inside, None),
        ("WGS_1984_UTM_Zone_32N", "8.5,46.5,11.5,47.5", Some("does not cover the whole area")),
        ("Our town's own grid", inside, Some("given by text only")),
    ] {
        package_by_text(dir.path(), name);
        let mut parameters = GenerateOfflineMapParameters::new(AreaOfInterest::from_numbers(area).expect("an area"));
        parameters.reference_basemap_directory = dir.path().to_string_lossy().into_owned();
        parameters.reference_basemap_filename = "old.tpk".to_owned();
        let task = scripted_task(&engine, &[("a", Script::default())]);
        let destination = dir.path().join("package");
        let job = task.generate_offline_map(parameters, GenerateOfflineMapParameterOverrides::default(), &destination);
        let result = run_to_end(&job).await.0.expect("a package");
        let told: Vec<&String> = result.warnings.iter().filter(|w| w.contains("reference basemap")).collect();
        match expected {
            None => assert!(told.is_empty(), "{told:?}"),
            Some(words) => assert!(told.len() == 1 && told[0].contains(words), "{name}: {told:?}"),
        }
        std::fs::remove_dir_all(destination).expect("removes");
    }
}
