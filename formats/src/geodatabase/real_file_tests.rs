//! What is written, compared with files that other programs made.

use super::shape_blob::read_shape;
use super::shape_blob_writer::ShapeBlobWriter;
use super::sink::{GeodatabaseOptions, GeodatabaseSink};
use super::sink_tests::{assert_same, open, text};
use crate::features::{CopyOptions, FeatureReader as _, FeatureSink as _, copy_features};
use crate::geometry::Geometry;
use rusqlite::Connection;
use std::path::{Path, PathBuf};

/// Geodatabases that other programs made: the samples, and those below the directory that `OFFMAP_GEODATABASES` names.
fn samples(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        ["la-trails.geodatabase", "usa.mmpk"].iter().filter_map(|name| super::feature_tests::sample(name, dir)).collect();
    if let Some(more) = std::env::var_os("OFFMAP_GEODATABASES") {
        let listed = std::fs::read_dir(more).expect("lists").map(|e| e.expect("an entry").path());
        found.extend(listed.filter(|path| path.extension().is_some_and(|e| e == "geodatabase")));
    }
    if found.is_empty() {
        eprintln!("skipped: no sample is there");
    }
    found
}

fn write(from: &Path, to: &Path) -> Vec<String> {
    let reader = open(from);
    let mut sink = GeodatabaseSink::create(to, &GeodatabaseOptions::default()).expect("begins");
    let copied = copy_features(&reader, &mut sink, &CopyOptions::default()).expect("copies");
    sink.finish_file().expect("completes");
    copied.left_out
}

#[test]
fn real_shapes_are_written_byte_for_byte() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut same, mut other) = (0, 0);
    for path in samples(dir.path()) {
        let file = open(&path);
        let sql = Connection::open_with_flags(&path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).expect("opens");
        for layer in file.layers() {
            let (Some(geometry), Some(grid)) = (&layer.geometry, &layer.grid) else { continue };
            let query = format!("SELECT \"{}\" FROM \"{}\" WHERE \"{}\" NOT NULL", geometry.name, layer.name, geometry.name);
            let mut statement = sql.prepare(&query).expect("prepares");
            let mut blobs = statement.query([]).expect("queries");
            while let Some(row) = blobs.next().expect("a row") {
                let blob: Vec<u8> = row.get(0).expect("a blob");
                let (mut shape, mut again) = (Geometry::default(), Vec::new());
                read_shape(&blob, grid, &mut shape).expect("a shape");
                let srid = u32::from_le_bytes([blob[1], blob[2], blob[3], 0]);
                ShapeBlobWriter::default().write(&shape, srid, grid, &mut again).expect("short");
                let coordinates = again.len() - blob.len().min(again.len());
                assert_eq!((again.len(), coordinates), (blob.len(), 0), "{} {}", path.display(), layer.name);
                let differing: Vec<usize> = (0..blob.len()).filter(|at| blob[*at] != again[*at]).collect();
                // The unused bytes of length and flags say nothing; a line that crosses itself is written as one that does not.
                let tail = tail_of(&again);
                let allowed = |at: &usize| {
                    (*at == 9 && blob[9] & 0x3f == 0x02)
                        || (tail + 1..tail + 4).contains(at)
                        || (tail + 4..tail + 8).contains(at)
                };
                assert!(differing.iter().all(allowed), "{} {}: {differing:?}", path.display(), layer.name);
                if differing.is_empty() { same += 1 } else { other += 1 }
            }
        }
    }
    eprintln!("{same} shapes the same to the last byte, {other} but for bytes that say nothing");
}

/// Where length and flags of a blob that offmap wrote begin.
fn tail_of(blob: &[u8]) -> usize {
    (10..blob.len() - 7)
        .find(|at| {
            let mut length = Vec::new();
            super::shape_blob_writer::put_count(blob.len() - at - 8, &mut length);
            length.resize(4, 0);
            blob[*at..at + 4] == length && blob[at + 4] == 1 && blob[at + 6..at + 8] == [0, 0]
        })
        .expect("has a tail")
}

#[test]
fn real_geodatabases_are_the_same_again() {
    let dir = tempfile::tempdir().expect("a directory");
    for (place, from) in samples(dir.path()).iter().enumerate() {
        let to = dir.path().join(format!("{place}-written.geodatabase"));
        let left_out = write(from, &to);
        assert!(left_out.is_empty(), "{}: {left_out:?}", from.display());
        eprintln!("{}: {} rows the same", from.display(), assert_same(from, &to));
        let again = dir.path().join(format!("{place}-again.geodatabase"));
        write(&to, &again);
        assert!(std::fs::read(&to).expect("reads") == std::fs::read(&again).expect("reads"), "{}", from.display());
        assert_lists_alike(from, &to);
    }
}

/// The lists of a real file and of the one that was written say the same of each layer.
fn assert_lists_alike(from: &Path, to: &Path) {
    let sql = |path: &Path| Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).expect("opens");
    let (before, after) = (sql(from), sql(to));
    let system = "SELECT name, replace(sql, '\"', '') FROM sqlite_master WHERE (name LIKE 'GDB\\_%' ESCAPE '\\' OR name LIKE 'st\\_%' ESCAPE '\\')
         AND name NOT LIKE '%spindex\\_\\_%' ESCAPE '\\' AND name <> 'GDB_ServiceItems' AND type = 'table' ORDER BY 1";
    assert_eq!(text(&after, system), text(&before, system));
    for file in [&after, &before] {
        assert_eq!(text(file, "PRAGMA application_id"), ["1165193833"]);
    }
    for layer in open(from).layers() {
        let name = &layer.name;
        let is_tracked = text(&before, &format!("SELECT name FROM pragma_table_info('{name}')"))
            .iter()
            .any(|c| c.contains("gdb_to_date"));
        if is_tracked {
            continue;
        }
        for query in [
            "SELECT f_geometry_column, geometry_type, coord_dimension, spatial_index_type FROM st_geometry_columns WHERE f_table_name = '{}'",
            "SELECT spatial_column, eflags, layer_mask, round(minx, 6), round(miny, 6), round(maxx, 6), round(maxy, 6) FROM GDB_Layers WHERE table_name = '{}'",
            "SELECT rowid_column, object_flags, minimum_id FROM GDB_TableRegistry WHERE table_name = '{}'",
            "SELECT column_name, sde_type, column_size, decimal_digits, object_flags FROM GDB_ColumnRegistry WHERE table_name = '{}' ORDER BY 1",
            "SELECT name, lower(type), \"notnull\", pk FROM pragma_table_info('{}') ORDER BY 1",
            "SELECT Type, Name, PhysicalName, Properties, DatasetSubtype1, DatasetSubtype2, DatasetInfo1, Shape IS NULL FROM GDB_Items WHERE Name = 'main.{}'",
            "SELECT name, replace(replace(sql, '\"', ''), '  ', ' ') FROM sqlite_master WHERE type = 'trigger' AND tbl_name = '{}' AND name NOT LIKE '%update1%' ORDER BY 1",
        ] {
            let query = query.replace("{}", name);
            assert_eq!(text(&after, &query), text(&before, &query), "{name}: {query}");
        }
        let Some(geometry) = &layer.geometry else { continue };
        let index = format!("SELECT * FROM \"st_spindex__{name}_{}\" ORDER BY 1", geometry.name);
        let near = |a: &str, b: &str| {
            let numbers =
                |row: &str| -> Vec<f64> { row.split(['(', ')', ' ']).filter_map(|word| word.parse().ok()).collect() };
            numbers(a).iter().zip(numbers(b)).all(|(a, b)| (a - b).abs() <= b.abs() * 2.0_f64.powi(-22))
        };
        let (own, theirs) = (text(&after, &index), text(&before, &index));
        assert!(own.len() == theirs.len() && own.iter().zip(&theirs).all(|(a, b)| near(a, b)), "{name}: the index");
    }
}
