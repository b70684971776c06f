//! Joins tile packages of one service into one: the parts of an area on both sides of the dateline.
//!
//! A tile that is in several parts, as those of the first levels are, is taken once. Source: tile reference §12 to §14.

use crate::archive_file::ArchiveFile;
use crate::compact_cache::{TileRecord, bundle_origin, v2_head_of};
use crate::tile_package::{Archive, archive, corrupt, read_bundle, read_json};
use offmap_disk::atomic_file;
use offmap_model::number::read;
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// From this size on an entry needs zip64.
const ZIP64_FROM: u64 = u32::MAX as u64;
/// Largest text entry that is edited, in bytes.
const LARGEST_TEXT: u64 = 1 << 20;
/// The documents that are made anew.
const TILEMAP: &str = "p12/tilemap/root.json";
const ROOTS: [&str; 2] = ["root.json", "p12/root.json"];
const ITEM_JSON: &str = "iteminfo.json";
const ITEM_XML: &str = "esriinfo/iteminfo.xml";

struct Part<'a> {
    path: &'a Path,
    archive: Archive,
}

/// Joins the packages of `parts` as `to`, which appears when it is complete. Blocks until it is done or cancelled; holds one tile at a
/// time.
///
/// # Errors
/// If a part is damaged, is of the older kind that has no Compact Cache V2, `to` cannot be written, or it was cancelled.
pub fn merge(parts: &[PathBuf], to: &Path, cancel: &CancellationToken) -> Result<(), Failure> {
    let token = cancel.clone();
    merge_until(parts, to, move || token.is_cancelled())
}

fn merge_until(parts: &[PathBuf], to: &Path, stop: impl Stop) -> Result<(), Failure> {
    let failed = |e: &io::Error| Failure::io(FailureStage::Check, format!("cannot write {}", to.display()), e);
    let joined = atomic_file::write(to, failed, |file| join(parts, file, to, &stop));
    joined.map_err(|failure| if stop() { Failure::cancelled() } else { failure })
}

/// Asks whether nobody wants the package any more.
trait Stop: Fn() -> bool + Clone + Send + 'static {}
impl<T: Fn() -> bool + Clone + Send + 'static> Stop for T {}

/// The archive that is written; a cancel ends it in the middle of an entry.
type Joined<'a> = ZipWriter<ArchiveFile<BufWriter<&'a mut File>>>;

fn join(parts: &[PathBuf], file: &mut File, to: &Path, stop: &impl Stop) -> Result<(), Failure> {
    let write = |e: &dyn std::fmt::Display| {
        let message = format!("cannot write {}: {e}", to.display());
        Failure::new(FailureOwner::Storage, FailureKind::Io, FailureStage::Check, message)
    };
    let mut parts: Vec<Part<'_>> =
        parts.iter().map(|path| Ok(Part { path, archive: archive(path)? })).collect::<Result<_, Failure>>()?;
    let mut names: Vec<String> = Vec::new();
    let mut seen = HashSet::new();
    for part in &parts {
        for name in part.archive.file_names() {
            let name = name.map_err(|e| corrupt(part.path, e))?.into_owned();
            if seen.insert(name.clone()) {
                names.push(name);
            }
        }
    }
    let Some(root) = ROOTS.into_iter().find(|root| seen.contains(*root)) else {
        let message = "the service sent packages of the older kind (.tpk), which cannot be joined across the dateline; \
                       take the two sides as two areas";
        return Err(Failure::new(FailureOwner::Source, FailureKind::NotSupported, FailureStage::Check, message));
    };
    let mut zip = ZipWriter::new(ArchiveFile::new(BufWriter::new(file)).until(stop.clone()));
    for name in &names {
        if name.ends_with('/') {
            continue;
        }
        let holders: Vec<usize> = (0..parts.len()).filter(|i| parts[*i].archive.index_for_name(name).is_some()).collect();
        let many = holders.len() > 1;
        if many && name.ends_with(".bundle") {
            join_bundle(&mut parts, &holders, name, &mut zip)?;
        } else if many && (name == root || name == TILEMAP || name == ITEM_JSON || name == ITEM_XML) {
            let bytes = join_document(&mut parts, &holders, name)?;
            zip.start_file(name.as_str(), stored(bytes.len() as u64)).map_err(|e| write(&e))?;
            zip.write_all(&bytes).map_err(|e| write(&e))?;
        } else if let Some(part) = holders.first().and_then(|i| parts.get_mut(*i)) {
            let entry = part.archive.by_name(name).map_err(|e| corrupt(part.path, format!("{name}: {e}")))?;
            zip.raw_copy_file(entry).map_err(|e| write(&e))?;
        }
    }
    zip.finish().map_err(|e| write(&e))?.into_inner().into_inner().map_err(|e| write(&e.into_error()))?;
    Ok(())
}

fn stored(size: u64) -> SimpleFileOptions {
    SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(size >= ZIP64_FROM)
}

/// One bundle of all tiles that the parts' bundles of that name hold.
fn join_bundle(parts: &mut [Part<'_>], holders: &[usize], name: &str, zip: &mut Joined<'_>) -> Result<(), Failure> {
    let mut tiles: BTreeMap<(u64, u64), (usize, TileRecord)> = BTreeMap::new();
    let mut origin = (0, 0);
    for i in holders {
        let Some(part) = parts.get_mut(*i) else { continue };
        origin = bundle_origin(name).ok_or_else(|| corrupt(part.path, format!("bundle `{name}` has no position")))?;
        for tile in read_bundle(part.path, &mut part.archive, name, origin, "v2")? {
            tiles.entry((tile.row, tile.column)).or_insert((*i, tile));
        }
    }
    // Tiles that share their bytes in a part share them in the joined bundle: it never becomes larger than its parts.
    let mut blobs: BTreeMap<(usize, u64, u64), usize> = BTreeMap::new();
    for (i, tile) in tiles.values() {
        blobs.entry((*i, tile.offset, tile.size)).or_default();
    }
    blobs.values_mut().enumerate().for_each(|(index, blob)| *blob = index);
    let sizes: Vec<u64> = blobs.keys().map(|(_, _, size)| *size).collect();
    let blob_of = |i: usize, tile: &TileRecord| blobs.get(&(i, tile.offset, tile.size)).copied().unwrap_or(0);
    let records: Vec<(u64, u64, usize)> =
        tiles.values().map(|(i, t)| (t.row - origin.0, t.column - origin.1, blob_of(*i, t))).collect();
    let head = v2_head_of(&sizes, &records);
    let size = head.len() as u64 + sizes.iter().map(|size| size + 4).sum::<u64>();
    let failed = |e: &dyn std::fmt::Display| {
        let message = format!("cannot join {name}: {e}");
        Failure::new(FailureOwner::Storage, FailureKind::Io, FailureStage::Check, message)
    };
    zip.start_file(name, stored(size)).map_err(|e| failed(&e))?;
    zip.write_all(&head).map_err(|e| failed(&e))?;
    let mut bytes = Vec::new();
    for (i, offset, size) in blobs.keys() {
        let Some(part) = parts.get_mut(*i) else { continue };
        let mut entry = part.archive.by_name_seek(name).map_err(|e| corrupt(part.path, format!("{name}: {e}")))?;
        bytes.clear();
        let read = entry.seek(SeekFrom::Start(*offset)).and_then(|_| entry.take(*size).read_to_end(&mut bytes));
        let complete = read.and_then(|n| match n as u64 == *size {
            true => Ok(()),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        });
        complete.map_err(|e| corrupt(part.path, format!("{name}: {e}")))?;
        // A record holds 24 bits of size.
        let length = u32::try_from(*size).unwrap_or(u32::MAX);
        zip.write_all(&length.to_le_bytes()).and_then(|()| zip.write_all(&bytes)).map_err(|e| failed(&e))?;
    }
    Ok(())
}

fn join_document(parts: &mut [Part<'_>], holders: &[usize], name: &str) -> Result<Vec<u8>, Failure> {
    if name == ITEM_XML {
        let mut texts = Vec::new();
        for i in holders {
            let Some(part) = parts.get_mut(*i) else { continue };
            let entry = part.archive.by_name(name).map_err(|e| corrupt(part.path, format!("{name}: {e}")))?;
            let mut text = String::new();
            entry.take(LARGEST_TEXT).read_to_string(&mut text).map_err(|e| corrupt(part.path, format!("{name}: {e}")))?;
            texts.push(text);
        }
        return Ok(join_item_xml(texts).into_bytes());
    }
    let mut all = Vec::new();
    for i in holders {
        let Some(part) = parts.get_mut(*i) else { continue };
        all.push(read_json(part.path, &mut part.archive, name)?);
    }
    let joined = all.into_iter().reduce(|a, b| match name {
        TILEMAP => join_tilemaps(&a, &b),
        _ => join_roots(a, &b),
    });
    let joined = joined.unwrap_or(Value::Null);
    let mut text = joined.to_string();
    if let Some(path) = joined.get("tileBundlesPath") {
        // GDAL knows the file by this word, if it comes early.
        let mut rest = joined.clone();
        if let Some(rest) = rest.as_object_mut() {
            rest.remove("tileBundlesPath");
        }
        text = format!("{{\"tileBundlesPath\":{path},{}", rest.to_string().get(1..).unwrap_or_default());
    }
    Ok(text.into_bytes())
}

/// A level of either, and extents around both.
fn join_roots(mut a: Value, b: &Value) -> Value {
    let number = |v: &Value, key: &str| v.get(key).and_then(read::<f64>);
    let pick = |a: Option<&Value>, b: Option<&Value>, larger: bool| match (a, b) {
        (Some(a), Some(b)) => {
            let a_is_larger = read::<f64>(a) >= read::<f64>(b);
            Some(if a_is_larger == larger { a.clone() } else { b.clone() })
        }
        (one, other) => one.or(other).cloned(),
    };
    for (key, larger) in [("minLOD", false), ("maxLOD", true)] {
        if let (Some(value), Some(root)) = (pick(a.get(key), b.get(key), larger), a.as_object_mut()) {
            root.insert(key.to_owned(), value);
        }
    }
    for key in ["initialExtent", "fullExtent", "extent"] {
        let (Some(x), Some(y)) = (a.get(key).cloned(), b.get(key)) else { continue };
        let mut joined = x.clone();
        for (side, larger) in [("xmin", false), ("ymin", false), ("xmax", true), ("ymax", true)] {
            if number(&x, side).is_some()
                && let (Some(value), Some(extent)) = (pick(x.get(side), y.get(side), larger), joined.as_object_mut())
            {
                extent.insert(side.to_owned(), value);
            }
        }
        if let Some(root) = a.as_object_mut() {
            root.insert(key.to_owned(), joined);
        }
    }
    a
}

/// A node that either has: an array is a tile that goes on, 1 a tile that ends, 0 none.
fn join_tilemaps(a: &Value, b: &Value) -> Value {
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            let mut joined = x.clone();
            if let (Some(a), Some(b)) = (x.get("index"), y.get("index")) {
                joined.insert("index".to_owned(), join_tilemaps(a, b));
            }
            Value::Object(joined)
        }
        (Value::Array(x), Value::Array(y)) => x.iter().zip(y).map(|(a, b)| join_tilemaps(a, b)).collect(),
        (Value::Array(_), _) => a.clone(),
        (_, Value::Array(_)) => b.clone(),
        _ => {
            if read(a) == Some(0_u64) {
                b.clone()
            } else {
                a.clone()
            }
        }
    }
}

/// The first text with the extent of all.
fn join_item_xml(texts: Vec<String>) -> String {
    let between = |text: &str, tag: &str| -> Option<(usize, usize)> {
        let start = text.find(&format!("<{tag}>"))? + tag.len() + 2;
        Some((start, start + text.get(start..)?.find(&format!("</{tag}>"))?))
    };
    let number = |text: &str, tag: &str| -> Option<f64> {
        let (start, end) = between(text, tag)?;
        text.get(start..end)?.trim().parse().ok()
    };
    let sides = [("xmin", false), ("ymin", false), ("xmax", true), ("ymax", true)].map(|(tag, larger)| {
        let all = texts.iter().filter_map(|t| number(t, tag));
        (tag, if larger { all.reduce(f64::max) } else { all.reduce(f64::min) })
    });
    let mut text = texts.into_iter().next().unwrap_or_default();
    for (tag, value) in sides {
        if let (Some(value), Some((start, end))) = (value, between(&text, tag)) {
            text.replace_range(start..end, &value.to_string());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A package of one bundle.
    fn package(path: &Path, bundle: &[u8]) {
        let mut zip = ZipWriter::new(File::create(path).expect("creates"));
        for (name, bytes) in [("root.json", b"{}".as_slice()), ("tile/L00/R0000C0000.bundle", bundle)] {
            zip.start_file(name, stored(bytes.len() as u64)).and_then(|()| Ok(zip.write_all(bytes)?)).expect("writes");
        }
        zip.finish().expect("finishes");
    }

    #[test]
    fn packages_that_cannot_be_joined_leave_nothing_under_the_final_name() {
        let dir = tempfile::tempdir().expect("a directory");
        let (to, parts) = (dir.path().join("package"), [dir.path().join("package.part1"), dir.path().join("package.part2")]);
        let bundle = v2_head_of(&[], &[]);
        package(&parts[0], &bundle);
        package(&parts[1], b"no bundle");
        let failure = merge(&parts, &to, &CancellationToken::new()).expect_err("the second is damaged");
        assert!(failure.message.contains("package.part2"), "{failure}");
        let mut names: Vec<_> =
            std::fs::read_dir(dir.path()).expect("lists").map(|e| e.expect("entry").file_name()).collect();
        names.sort();
        assert_eq!(names, ["package.part1", "package.part2"], "what a later step trusts is not there by half");
        package(&parts[1], &bundle);
        merge(&parts, &to, &CancellationToken::new()).expect("joins");
        assert!(to.is_file());
    }

    /// A package of one bundle with eight tiles in a row that fill a megabyte.
    fn large_package(path: &Path, row: u64) {
        let sizes = vec![1 << 17; 8];
        let records: Vec<(u64, u64, usize)> = (0..8).map(|n| (row, n as u64, n)).collect();
        let mut bundle = v2_head_of(&sizes, &records);
        for size in sizes {
            bundle.extend(u32::try_from(size).expect("small").to_le_bytes());
            bundle.resize(bundle.len() + usize::try_from(size).expect("small"), 7);
        }
        package(path, &bundle);
    }

    #[test]
    fn a_cancel_ends_the_joining_wherever_it_comes_and_leaves_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let (to, parts) = (dir.path().join("package"), [dir.path().join("package.part1"), dir.path().join("package.part2")]);
        large_package(&parts[0], 0);
        // Its tiles are joined one by one; without a bundle, the other's is copied in one go.
        for has_bundle in [true, false] {
            if has_bundle {
                large_package(&parts[1], 5);
            } else {
                let mut zip = ZipWriter::new(File::create(&parts[1]).expect("creates"));
                zip.start_file("root.json", stored(2)).and_then(|()| Ok(zip.write_all(b"{}")?)).expect("writes");
                zip.finish().expect("finishes");
            }
            let asked = Arc::new(AtomicUsize::new(0));
            let counter = Arc::clone(&asked);
            merge_until(&parts, &to, move || counter.fetch_add(1, Ordering::Relaxed) == usize::MAX).expect("joins");
            std::fs::remove_file(&to).expect("removes");
            let times = asked.load(Ordering::Relaxed);
            assert!(times > 20, "asked often enough in a megabyte: {times}");
            for at in 0..times {
                let asked = Arc::new(AtomicUsize::new(0));
                let counter = Arc::clone(&asked);
                let failure = merge_until(&parts, &to, move || counter.fetch_add(1, Ordering::Relaxed) >= at);
                assert!(failure.expect_err("it is cancelled").is_cancelled(), "{at}");
                let after = asked.load(Ordering::Relaxed) - at;
                assert!(after <= 3, "it goes on for {after} steps after a cancel at {at}");
                assert!(!to.exists() && !atomic_file::beside(&to).exists(), "the parts stay and nothing else");
            }
        }
    }

    #[test]
    fn tilemaps_are_joined_node_by_node() {
        let a = json!({"index": [0, 1, [1, 0, 0, 0], 0]});
        let b = json!({"index": [1, [0, 1, 0, 0], [0, 1, 0, 0], 0]});
        assert_eq!(join_tilemaps(&a, &b), json!({"index": [1, [0, 1, 0, 0], [1, 1, 0, 0], 0]}));
    }

    #[test]
    fn extents_of_parts_become_one() {
        let a = json!({"minLOD": 0, "maxLOD": 5, "fullExtent": {"xmin": 175.0, "ymin": -20, "xmax": 180, "ymax": -10}});
        let b = json!({"minLOD": 0, "maxLOD": 6, "fullExtent": {"xmin": -180, "ymin": -22, "xmax": -170, "ymax": -10}});
        let joined = join_roots(a, &b);
        assert_eq!(joined["maxLOD"], 6);
        assert_eq!(joined["fullExtent"], json!({"xmin": -180, "ymin": -22, "xmax": 180, "ymax": -10}));
        let xml = |x: f64| format!("<a><xmin>{x}</xmin><xmax>{}</xmax></a>", x + 1.0);
        assert_eq!(join_item_xml(vec![xml(5.0), xml(-3.0)]), "<a><xmin>-3</xmin><xmax>6</xmax></a>");
    }
}
