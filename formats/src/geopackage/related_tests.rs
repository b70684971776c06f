//! Attachments and relationships that are read out of GeoPackages.

use super::{GeoPackage, GeoPackageOptions, GeoPackageSink};
use crate::features::{
    Attachment, Cardinality, CopyOptions, FeatureReader, FeatureSink as _, FieldType, Relationship, copy_features,
};
use crate::geodatabase::feature_tests::made;
use crate::geodatabase::{Geodatabase, GeodatabaseOptions, GeodatabaseSink};
use proptest::prelude::*;
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use tokio_util::sync::CancellationToken;

fn converted(dir: &Path) -> (Geodatabase, PathBuf) {
    let (from, to) = (dir.join("x.geodatabase"), dir.join("x.gpkg"));
    made(&from);
    let reader = Geodatabase::open(&from, &CancellationToken::new()).expect("opens");
    let mut sink = GeoPackageSink::create(&to, &GeoPackageOptions::default()).expect("begins");
    copy_features(&reader, &mut sink, &CopyOptions::default()).expect("copies");
    sink.finish_file().expect("completes");
    (reader, to)
}

fn open(path: &Path) -> GeoPackage {
    GeoPackage::open(path, &CancellationToken::new()).expect("opens")
}

fn files(file: &dyn FeatureReader, layer: &str, after: Option<i64>) -> Vec<(Attachment, Vec<u8>)> {
    let place = file.layers().iter().position(|l| l.name == layer).expect("is there");
    let mut files = Vec::new();
    file.read_attachments(place, after, &mut |attachment, bytes| {
        let mut content = Vec::new();
        bytes.read_to_end(&mut content).expect("reads");
        files.push((attachment.clone(), content));
        Ok(())
    })
    .expect("reads");
    files
}

#[test]
fn the_column_that_names_the_rows_is_the_same_one_after_the_way_through_a_geopackage() {
    let dir = tempfile::tempdir().expect("a directory");
    let (_, to) = converted(dir.path());
    let sql = Connection::open(&to).expect("opens");
    // The functions of the index's triggers are not SQLite's own.
    for trigger in ["2", "4", "5", "6", "7"] {
        sql.execute_batch(&format!("DROP TRIGGER rtree_Sites_Shape_update{trigger}")).expect("drops");
    }
    let set = |text: &str, rows: &str| {
        sql.execute_batch(&format!("UPDATE Sites SET GlobalID = {text} WHERE {rows}")).expect("changes");
    };
    set("'{5d3f18a2-9c1e-4b77-8f60-2a4e6c8d0b1' || OBJECTID || '}'", "true");
    let global_id = |file: &GeoPackage| {
        let fields = &file.layers().iter().find(|l| l.name == "Sites").expect("is there").fields;
        fields.iter().find(|f| f.name == "GlobalID").expect("is there").field_type
    };
    assert_eq!(global_id(&open(&to)), FieldType::GlobalId);
    let made = dir.path().join("again.geodatabase");
    let mut sink = GeodatabaseSink::create(&made, &GeodatabaseOptions::default()).expect("begins");
    copy_features(&open(&to), &mut sink, &CopyOptions::default()).expect("copies");
    sink.finish_file().expect("completes");
    let columns = "SELECT group_concat(name) FROM pragma_table_info('Sites') WHERE name LIKE 'GlobalID%'";
    let made = Connection::open(&made).expect("opens");
    assert_eq!(made.query_row(columns, [], |row| row.get::<_, String>(0)).expect("a row"), "GlobalID");
    // A text that is no GUID, or one that two rows have, names no row.
    for text in [format!("'{}'", "x".repeat(38)), "(SELECT upper(max(GlobalID)) FROM Sites)".to_owned()] {
        set(&text, "OBJECTID = 7");
        assert_eq!(global_id(&open(&to)), FieldType::Text, "{text}");
    }
}

#[test]
fn attachments_and_relationships_are_read_again_and_written_into_the_next_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let (from, to) = converted(dir.path());
    let file = open(&to);
    assert_eq!(
        file.layers().iter().map(|l| (l.name.as_str(), l.has_attachments)).collect::<Vec<_>>(),
        [("Sites", true), ("Visits", false)]
    );
    assert_eq!(files(&file, "Sites", None), files(&from, "Sites", None));
    assert_eq!(files(&file, "Sites", Some(5)).len(), 1, "behind the first one");
    assert!(files(&file, "Visits", None).is_empty());
    // Whether the destination goes with the origin has no place in a GeoPackage.
    let expected: Vec<_> = from.relationships().iter().map(|r| Relationship { is_composite: false, ..r.clone() }).collect();
    assert_eq!(file.relationships(), expected);
    let again = dir.path().join("again.gpkg");
    let mut sink = GeoPackageSink::create(&again, &GeoPackageOptions::default()).expect("begins");
    let copied = copy_features(&file, &mut sink, &CopyOptions::default()).expect("copies");
    assert_eq!((copied.left_out, copied.layers[0].attachments), (vec![], 2));
    sink.finish_file().expect("completes");
    let again = open(&again);
    assert_eq!(files(&again, "Sites", None), files(&file, "Sites", None));
    assert_eq!(again.relationships(), file.relationships());
}

#[test]
fn pairs_that_no_fields_make_are_many_to_many_and_named_as_left_out() {
    let dir = tempfile::tempdir().expect("a directory");
    let (_, to) = converted(dir.path());
    let sql = Connection::open(&to).expect("opens");
    // A pair more than the keys make, and one less.
    for change in ["INSERT INTO Sites__SiteVisits VALUES(8, 3)", "DELETE FROM Sites__SiteVisits WHERE related_id > 1"] {
        sql.execute_batch(change).expect("changes");
        let file = open(&to);
        assert_eq!(file.relationships()[0].cardinality, Cardinality::ManyToMany, "{change}");
        let next = dir.path().join("next.gpkg");
        let mut sink = GeoPackageSink::create(&next, &GeoPackageOptions::default()).expect("begins");
        let copied = copy_features(&file, &mut sink, &CopyOptions::default()).expect("copies");
        assert!(copied.left_out[0].contains("relationship `SiteVisits` is many to many"), "{:?}", copied.left_out);
    }
}

#[test]
fn relations_that_lie_relate_nothing_and_a_file_of_several_rows_is_the_first_ones() {
    let dir = tempfile::tempdir().expect("a directory");
    let (_, to) = converted(dir.path());
    let sql = Connection::open(&to).expect("opens");
    sql.execute_batch("INSERT INTO Sites__ATTACHREL VALUES(8, 5), (9, 5)").expect("changes");
    let attached = files(&open(&to), "Sites", None);
    assert_eq!(attached.iter().map(|(a, _)| (a.id, a.object_id)).collect::<Vec<_>>(), [(5, Some(7)), (6, None)]);
    for change in [
        "UPDATE gpkgext_relations SET mapping_table_name = mapping_table_name || 'x'",
        "UPDATE gpkgext_relations SET mapping_table_name = 'gpkg_contents' WHERE id = 1",
        "DROP TABLE gpkgext_relations",
        "CREATE TABLE gpkgext_relations(base_table_name)",
    ] {
        sql.execute_batch(change).expect("changes");
        let file = open(&to);
        let names: Vec<_> = file.layers().iter().map(|l| l.name.as_str()).collect();
        assert_eq!((names, file.relationships().len()), (vec!["Sites", "Sites__ATTACH", "Visits"], 0), "{change}");
        assert!(files(&file, "Sites", None).is_empty());
    }
}

proptest! {
    #[test]
    fn no_bytes_that_are_changed_make_the_reader_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40)) {
        static FILE: OnceLock<Vec<u8>> = OnceLock::new();
        let good = FILE.get_or_init(|| {
            let dir = tempfile::tempdir().expect("a directory");
            std::fs::read(converted(dir.path()).1).expect("reads")
        });
        let mut bytes = good.clone();
        for (place, byte) in changes {
            // Behind the first words, without which SQLite does not begin to read.
            let place = 100 + place.index(bytes.len() - 100);
            bytes[place] = byte;
        }
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("x.gpkg");
        std::fs::write(&path, bytes).expect("writes");
        if let Ok(file) = GeoPackage::open(&path, &CancellationToken::new()) {
            let mut sink = GeodatabaseSink::create(&dir.path().join("x.geodatabase"), &GeodatabaseOptions::default()).expect("begins");
            if copy_features(&file, &mut sink, &CopyOptions::default()).is_ok() {
                // What could be read can be written, or is refused by name.
                let _ = sink.finish_file();
            }
        }
    }
}
