//! GeoPackages that were complete when their process ended, and had not their names yet.

use super::{GeoPackageOptions, GeoPackageSink};
use crate::features::{CopyOptions, FeatureSink as _, LayerSchema, copy_features};
use crate::geodatabase::Geodatabase;
use crate::geodatabase::feature_tests::made;
use offmap_disk::atomic_file;
use rusqlite::Connection;
use tokio_util::sync::CancellationToken;

#[test]
fn a_file_between_its_last_commit_and_its_name_is_not_begun_anew() {
    let dir = tempfile::tempdir().expect("a directory");
    let from = dir.path().join("x.geodatabase");
    made(&from);
    let reader = Geodatabase::open(&from, &CancellationToken::new()).expect("opens");
    let (whole, again) = (dir.path().join("whole.gpkg"), dir.path().join("again.gpkg"));
    let options = GeoPackageOptions::default();
    let mut sink = GeoPackageSink::create(&whole, &options).expect("begins");
    let copied = copy_features(&reader, &mut sink, &CopyOptions::default()).expect("copies");
    sink.finish_file().expect("completes");
    std::fs::copy(&whole, atomic_file::beside(&again)).expect("copies");
    let mut sink = GeoPackageSink::resume(&again, &options).expect("goes on");
    let other = LayerSchema::new("others", None);
    assert!(sink.begin_layer(&other).expect_err("refused").message.contains("remove it to begin anew"));
    drop(sink);
    let mut sink = GeoPackageSink::resume(&again, &options).expect("goes on");
    assert_eq!(copy_features(&reader, &mut sink, &CopyOptions::default()), Ok(copied), "nothing is written twice");
    sink.finish_file().expect("renames");
    assert!(std::fs::read(&whole).expect("reads") == std::fs::read(&again).expect("reads"));
}

#[test]
fn a_file_that_has_no_tables_yet_is_begun_and_that_of_another_program_is_left_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let to = dir.path().join("x.gpkg");
    let beside = atomic_file::beside(&to);
    let sql = Connection::open(&beside).expect("opens");
    sql.execute_batch("PRAGMA application_id = 0x47504B47; PRAGMA user_version = 10400").expect("writes");
    drop(sql);
    let mut sink = GeoPackageSink::resume(&to, &GeoPackageOptions::default()).expect("begins");
    sink.begin_layer(&LayerSchema::new("notes", None)).expect("begins");
    sink.finish_file().expect("completes");
    assert!(to.exists() && !beside.exists());
    let sql = Connection::open(&beside).expect("opens");
    sql.execute_batch("CREATE TABLE gpkg_contents(mine)").expect("writes");
    drop(sql);
    assert!(GeoPackageSink::resume(&to, &GeoPackageOptions::default()).is_err());
    assert_eq!(
        Connection::open(&beside).and_then(|sql| sql.query_row("SELECT count(*) FROM gpkg_contents", [], |r| r.get(0))),
        Ok(0)
    );
}
