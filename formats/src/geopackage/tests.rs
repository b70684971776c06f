//! GeoPackages that are written, killed and gone on with, and read again.

use super::index::{Indexed, build};
use super::{GeoPackage, GeoPackageOptions, GeoPackageSink, LayerStyle, binary};
use crate::feature_writing::Envelopes;
use crate::features::{CopyOptions, Feature, FeatureReader, FeatureSink, GeometryField, LayerSchema, Value, copy_features};
use crate::geodatabase::Geodatabase;
use crate::geodatabase::feature_tests::made;
use crate::geometry::{Geometry, GeometryKind, RingGroups};
use offmap_model::SpatialReference;
use rusqlite::Connection;
use std::path::Path;
use tokio_util::sync::CancellationToken;

fn text(sql: &Connection, query: &str) -> String {
    let mut statement = sql.prepare(query).expect("a statement");
    let columns = statement.column_count();
    let row = |row: &rusqlite::Row<'_>| {
        let shown = |at: usize| match row.get::<_, rusqlite::types::Value>(at)? {
            rusqlite::types::Value::Null => Ok("-".to_owned()),
            rusqlite::types::Value::Integer(n) => Ok(n.to_string()),
            rusqlite::types::Value::Real(n) => Ok(n.to_string()),
            rusqlite::types::Value::Text(text) => Ok(text),
            rusqlite::types::Value::Blob(bytes) => Ok(format!("{bytes:?}")),
        };
        (0..columns).map(shown).collect::<rusqlite::Result<Vec<_>>>().map(|all| all.join(" "))
    };
    statement.query_map([], row).expect("rows").collect::<rusqlite::Result<Vec<_>>>().expect("rows").join("\n")
}

fn converted(dir: &Path, name: &str) -> std::path::PathBuf {
    let from = dir.join("x.geodatabase");
    if !from.exists() {
        made(&from);
    }
    let reader = Geodatabase::open(&from, &CancellationToken::new()).expect("opens");
    let to = dir.join(name);
    let mut sink = GeoPackageSink::create(&to, &GeoPackageOptions::default()).expect("a sink");
    sink.add_style(LayerStyle {
        layer: "Sites".into(),
        name: "plain".into(),
        qml: "<qgis/>".into(),
        ..LayerStyle::default()
    });
    let copied = copy_features(&reader, &mut sink, &CopyOptions::default()).expect("copies");
    assert_eq!(copied.layers.iter().map(|l| (l.features, l.attachments)).collect::<Vec<_>>(), [(3, 2), (3, 0)]);
    assert!(copied.left_out.is_empty() && !to.exists());
    sink.finish_file().expect("finishes");
    to
}

#[test]
fn everything_of_a_layer_is_in_the_geopackage() {
    let dir = tempfile::tempdir().expect("a directory");
    let sql = Connection::open(converted(dir.path(), "x.gpkg")).expect("opens");
    assert_eq!(text(&sql, "PRAGMA application_id"), 0x4750_4B47.to_string());
    assert_eq!(text(&sql, "PRAGMA user_version"), "10400");
    assert_eq!(text(&sql, "PRAGMA integrity_check"), "ok");
    assert_eq!(text(&sql, "PRAGMA foreign_key_check"), "");
    let contents = "SELECT table_name, data_type, identifier, last_change, min_x, max_y, srs_id FROM gpkg_contents";
    let expected = "Sites features All sites 1970-01-01T00:00:00.000Z 7 46.5 4326\n\
        Sites__ATTACH attributes Sites__ATTACH 1970-01-01T00:00:00.000Z - - -\n\
        Visits attributes Visits 1970-01-01T00:00:00.000Z - - -\n\
        layer_styles attributes layer_styles 1970-01-01T00:00:00.000Z - - -";
    assert_eq!(text(&sql, contents), expected);
    assert_eq!(text(&sql, "SELECT * FROM gpkg_geometry_columns"), "Sites Shape POINT 4326 0 0");
    let rows = "SELECT OBJECTID, typeof(Shape), GlobalID, Kind, Height, Seen, Day, Big FROM Sites";
    let rest = "1 12 1970-01-01T00:00:00.000Z 2024-02-29 9007199254740993";
    assert_eq!(text(&sql, rows), format!("7 blob {{A}} {rest}\n8 blob {{C}} {rest}\n9 null {{B}} {rest}"));
    let columns = "SELECT column_name, name, title, constraint_name FROM gpkg_data_columns ORDER BY 1";
    assert_eq!(text(&sql, columns), "Height - - heights\nKind Kind of site Kind of site sites_subtypes\nState - - states");
    let constraints = "SELECT constraint_name, constraint_type, value, min, max, description FROM gpkg_data_column_constraints ORDER BY 1, 3";
    let expected = "heights range - -500.5 9000 -\nsites_subtypes enum 1 - - Well\nsites_subtypes enum 2 - - Spring\n\
        states enum 7 - - Dry\nstates enum u - - In use";
    assert_eq!(text(&sql, constraints), expected);
    let relations = "SELECT base_table_name, base_primary_column, related_table_name, relation_name, mapping_table_name FROM gpkgext_relations";
    let expected = "Sites OBJECTID Sites__ATTACH media Sites__ATTACHREL\nSites OBJECTID Visits attributes Sites__SiteVisits";
    assert_eq!(text(&sql, relations), expected);
    assert_eq!(text(&sql, "SELECT * FROM Sites__SiteVisits"), "7 1\n7 2");
    assert_eq!(text(&sql, "SELECT * FROM Sites__ATTACHREL"), "7 5");
    assert_eq!(
        text(&sql, "SELECT id, data, content_type, name FROM Sites__ATTACH"),
        "5 [1, 2, 3] image/png a.png\n6 [] text/plain b.txt"
    );
    assert_eq!(
        text(&sql, "SELECT f_table_name, f_geometry_column, styleName, styleQML FROM layer_styles"),
        "Sites Shape plain <qgis/>"
    );
    let extensions = "SELECT coalesce(table_name, '-'), column_name, extension_name, scope FROM gpkg_extensions ORDER BY 1";
    let expected = "Sites Shape gpkg_rtree_index write-only\nSites__ATTACHREL - gpkg_related_tables read-write\n\
        Sites__SiteVisits - gpkg_related_tables read-write\ngpkg_data_column_constraints - gpkg_schema read-write\n\
        gpkg_data_columns - gpkg_schema read-write\ngpkgext_relations - gpkg_related_tables read-write";
    assert_eq!(text(&sql, extensions), expected);
    let triggers = "SELECT name FROM sqlite_master WHERE type = 'trigger' ORDER BY 1";
    let names = ["delete", "insert", "update2", "update4", "update5", "update6", "update7"];
    assert_eq!(text(&sql, triggers), names.map(|n| format!("rtree_Sites_Shape_{n}")).join("\n"));
    assert_eq!(text(&sql, "SELECT rtreecheck('rtree_Sites_Shape')"), "ok");
    assert_eq!(text(&sql, "SELECT id FROM rtree_Sites_Shape WHERE maxx > 7.5"), "8");
    assert_eq!(text(&sql, "SELECT count(*) FROM sqlite_master WHERE name LIKE 'offmap%'"), "0");
    assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), 2, "nothing beside");
}

#[test]
fn the_same_input_makes_the_same_bytes() {
    let dir = tempfile::tempdir().expect("a directory");
    let [a, b] = ["a.gpkg", "b.gpkg"].map(|name| std::fs::read(converted(dir.path(), name)).expect("reads"));
    assert!(a == b, "{} and {} bytes", a.len(), b.len());
}

#[test]
fn what_was_written_is_read_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = GeoPackage::open(&converted(dir.path(), "x.gpkg"), &CancellationToken::new()).expect("opens");
    let from = Geodatabase::open(&dir.path().join("x.geodatabase"), &CancellationToken::new()).expect("opens");
    let layer = |reader: &dyn FeatureReader| {
        let place = reader.layers().iter().position(|l| l.name == "Sites").expect("the layer");
        let mut rows = Vec::new();
        let mut take = |f: &Feature| {
            rows.push((f.object_id, f.geometry().cloned(), f.values.clone()));
            Ok(())
        };
        reader.read_features(place, None, &mut take).expect("reads");
        rows.sort_by_key(|(id, ..)| *id);
        (reader.layers()[place].clone(), rows)
    };
    let ((here, rows), (there, expected)) = (layer(&file), layer(&from));
    assert_eq!(rows, expected);
    let domains =
        |l: &LayerSchema| l.fields.iter().filter_map(|f| Some(f.domain.as_ref()?.name.to_lowercase())).collect::<Vec<_>>();
    assert_eq!(domains(&here), ["sites_subtypes", "states", "heights"]);
    assert_eq!(domains(&there), ["states", "heights"]);
    let reference = |l: &LayerSchema| l.geometry.as_ref().map(|g| (g.kind, g.spatial_reference.wkid)).expect("shapes");
    assert_eq!((reference(&here), here.title), (reference(&there), there.title));
}

fn points(name: &str) -> LayerSchema {
    let spatial_reference = SpatialReference::web_mercator();
    LayerSchema::new(
        name,
        Some(GeometryField {
            name: "geom".into(),
            kind: GeometryKind::Point,
            has_z: false,
            has_m: false,
            spatial_reference,
        }),
    )
}

fn put(sink: &mut GeoPackageSink, rows: std::ops::Range<i32>) {
    let mut feature = Feature::with_fields(0);
    for row in rows {
        feature.row_id = i64::from(row) * 10;
        let shape = feature.new_geometry(GeometryKind::Point, false, false);
        shape.add_point([f64::from(row % 977), f64::from(row % 1_013) / 3.0], 0.0, 0.0);
        shape.close_part();
        sink.put_feature(&feature).expect("puts");
    }
}

#[test]
fn a_sink_that_ended_early_goes_on_behind_what_it_kept() {
    let dir = tempfile::tempdir().expect("a directory");
    let (to, whole) = (dir.path().join("x.gpkg"), dir.path().join("whole.gpkg"));
    let options = GeoPackageOptions::default();
    let mut sink = GeoPackageSink::create(&to, &options).expect("a sink");
    assert_eq!(sink.begin_layer(&points("p")).expect("begins").0.after, None);
    put(&mut sink, 0..700);
    sink.keep().expect("keeps");
    put(&mut sink, 700..900);
    drop(sink);
    assert!(!to.exists());
    let mut sink = GeoPackageSink::resume(&to, &options).expect("a sink");
    let there = sink.begin_layer(&points("p")).expect("begins").0;
    assert_eq!((there.after, there.rows), (Some(6_990), 700));
    put(&mut sink, 700..3_000);
    sink.finish_file().expect("finishes");
    let mut sink = GeoPackageSink::create(&whole, &options).expect("a sink");
    sink.begin_layer(&points("p")).expect("begins");
    put(&mut sink, 0..3_000);
    sink.finish_file().expect("finishes");
    for query in [
        "SELECT * FROM gpkg_contents",
        "SELECT count(*), min(fid), max(fid) FROM p",
        "SELECT * FROM rtree_p_geom ORDER BY id",
        "SELECT rtreecheck('rtree_p_geom')",
        "SELECT * FROM gpkg_spatial_ref_sys",
    ] {
        let [a, b] = [&to, &whole].map(|path| text(&Connection::open(path).expect("opens"), query));
        assert_eq!(a, b, "{query}");
    }
    assert_eq!(text(&Connection::open(&to).expect("opens"), "SELECT rtreecheck('rtree_p_geom')"), "ok");
    // Begun with other fields.
    let mut sink = GeoPackageSink::create(&to, &options).expect("a sink");
    sink.begin_layer(&points("p")).expect("begins");
    sink.keep().expect("keeps");
    drop(sink);
    let mut other = points("p");
    other.object_id_field = Some("OID".into());
    let mut sink = GeoPackageSink::resume(&to, &options).expect("a sink");
    let failure = sink.begin_layer(&other).expect_err("refused");
    assert!(failure.message.contains("remove it to begin anew"), "{failure}");
}

#[test]
fn a_process_that_is_killed_in_the_middle_of_a_transaction_leaves_what_was_kept() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = GeoPackageOptions::default();
    let mut layer = LayerSchema::new("photos", None);
    let field = ("bytes".into(), crate::features::FieldType::Blob);
    layer.fields.push(crate::features::Field {
        name: field.0,
        alias: None,
        field_type: field.1,
        length: None,
        is_nullable: true,
        domain: None,
    });
    let mut feature = Feature::with_fields(1);
    let mut sink = GeoPackageSink::create(&dir.path().join("x.gpkg"), &options).expect("a sink");
    sink.begin_layer(&layer).expect("begins");
    let mut put = |sink: &mut GeoPackageSink, rows: std::ops::Range<i64>, byte: u8| {
        feature.values[0].set_blob(&vec![byte; 400_000]);
        for row in rows {
            feature.row_id = row;
            sink.put_feature(&feature).expect("puts");
        }
    };
    put(&mut sink, 0..5, 1);
    sink.keep().expect("keeps");
    // More than SQLite holds in memory, so that the file on the disk is in the middle of the next transaction.
    put(&mut sink, 5..70, 2);
    let other = dir.path().join("other");
    std::fs::create_dir(&other).expect("makes");
    for name in ["x.gpkg.new", "x.gpkg.new-journal"] {
        std::fs::copy(dir.path().join(name), other.join(name)).expect("is there");
    }
    assert!(std::fs::metadata(other.join("x.gpkg.new")).expect("is there").len() > 5_000_000);
    let to = other.join("x.gpkg");
    let mut sink = GeoPackageSink::resume(&to, &options).expect("a sink");
    let there = sink.begin_layer(&layer).expect("begins").0;
    assert_eq!((there.after, there.rows), (Some(4), 5));
    put(&mut sink, 5..8, 3);
    sink.finish_file().expect("finishes");
    let sql = Connection::open(&to).expect("opens");
    assert_eq!(text(&sql, "SELECT count(*), sum(hex(substr(bytes, 9, 1))) FROM photos"), format!("8 {}", 5 + 3 * 3));
    assert_eq!(text(&sql, "PRAGMA integrity_check"), "ok");
}

#[test]
fn an_index_made_in_pieces_finds_every_row_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a directory");
    for (rows, held) in [(0, 10), (1, 10), (51, 100), (52, 100), (3_000, 500), (6_000, 2_500)] {
        let to = dir.path().join(format!("{rows}.gpkg"));
        let options = GeoPackageOptions { without_index: true, ..GeoPackageOptions::default() };
        let mut sink = GeoPackageSink::create(&to, &options).expect("a sink");
        sink.begin_layer(&points("p")).expect("begins");
        put(&mut sink, 0..rows);
        sink.finish_file().expect("finishes");
        let sql = Connection::open(&to).expect("opens");
        // The sink makes the index in its own transaction; here each node would wait for the disk.
        sql.execute_batch("BEGIN").expect("begins");
        let of = Indexed { table: "p", column: "geom", key: "fid" };
        build(&sql, of, &mut Envelopes::incomplete(), held).expect("builds");
        assert_eq!(text(&sql, "SELECT rtreecheck('rtree_p_geom')"), "ok", "{rows} {held}");
        assert_eq!(text(&sql, "SELECT count(*) FROM rtree_p_geom"), rows.to_string());
        let found = text(
            &sql,
            "SELECT count(*) FROM rtree_p_geom WHERE maxx >= 100 AND minx <= 200 AND maxy >= 50 AND miny <= 99.5",
        );
        let expected = (0..rows)
            .filter(|r| (100..=200).contains(&(r % 977)) && (50.0..=99.5).contains(&(f64::from(r % 1_013) / 3.0)))
            .count();
        assert_eq!(found, expected.to_string(), "{rows}");
        // SQLite can go on with it.
        if rows > 100 {
            sql.execute_batch(
                "DELETE FROM rtree_p_geom WHERE id % 3 = 0; INSERT INTO rtree_p_geom VALUES(999999, 1, 2, 3, 4)",
            )
            .expect("changes");
            assert_eq!(text(&sql, "SELECT rtreecheck('rtree_p_geom')"), "ok");
        }
    }
}

#[test]
fn shapes_have_the_headers_that_the_standard_wants() {
    let mut shape = Geometry::default();
    let (mut groups, mut blob) = (RingGroups::default(), Vec::new());
    shape.begin(GeometryKind::Point, false, false);
    assert_eq!(binary::write(&shape, -1, &mut groups, &mut blob), None);
    // Requirement 152: the empty flag, no envelope, quiet NaN.
    let mut expected = vec![0x47, 0x50, 0, 0x11, 0xff, 0xff, 0xff, 0xff, 1, 1, 0, 0, 0];
    expected.extend([0, 0, 0, 0, 0, 0, 0xf8, 0x7f, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f]);
    assert_eq!(blob, expected);
    shape.begin(GeometryKind::Line, true, true);
    for n in [1.0, 2.0] {
        shape.add_point([n, -n], n * 10.0, n * 100.0);
    }
    shape.close_part();
    binary::write(&shape, 4326, &mut groups, &mut blob);
    let header = binary::read_header(&blob).expect("a header");
    assert_eq!((header.srs_id, header.size, header.envelope), (4326, 72, Some([1.0, -2.0, 2.0, -1.0])));
    assert_eq!(blob[3], 0x01 | 4 << 1);
    // The well-known binary says that it is a multi line with z and m: 3005, and its line 3002.
    assert_eq!((&blob[72..77], &blob[81..86]), (&[1, 0xbd, 0x0b, 0, 0][..], &[1, 0xba, 0x0b, 0, 0][..]));
    for (at, byte, word) in [(0, b'g', "`GP`"), (3, 0x21, "extended"), (3, 0x0f, "code")] {
        let mut bad = blob.clone();
        bad[at] = byte;
        let error = binary::read(&bad, &mut shape).expect_err("refused").to_string();
        assert!(error.contains(word), "{error}");
    }
    for kind in 7..18_u8 {
        let curve = [&blob[..72], &[1, kind, 0, 0, 0, 0, 0, 0, 0]].concat();
        assert!(
            matches!(binary::read(&curve, &mut shape), Err(crate::geometry::GeometryError::Unsupported { .. })),
            "{kind}"
        );
    }
}

#[test]
fn a_row_that_cannot_be_held_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut layer = points("p");
    layer.object_id_field = Some("OID".into());
    layer.fields.push(crate::features::Field {
        name: "Seen".into(),
        alias: None,
        field_type: crate::features::FieldType::Date,
        length: None,
        is_nullable: false,
        domain: None,
    });
    let mut sink = GeoPackageSink::create(&dir.path().join("x.gpkg"), &GeoPackageOptions::default()).expect("a sink");
    sink.begin_layer(&layer).expect("begins");
    let mut feature = Feature::with_fields(1);
    for (id, value, word) in [
        (None, Value::Date(0), "no object id in `OID`"),
        (Some(1), Value::Date(i64::MAX), "not within the years"),
        (Some(2), Value::Null, "NOT NULL"),
        (Some(4), Value::Date(0), ""),
        (Some(4), Value::Date(0), "UNIQUE"),
    ] {
        (feature.object_id, feature.values[0]) = (id, value);
        match sink.put_feature(&feature) {
            Ok(()) => assert_eq!(word, ""),
            Err(failure) => assert!(failure.message.contains(word) && failure.message.contains("layer `p`"), "{failure}"),
        }
    }
    assert!(sink.begin_layer(&points("P")).is_err() && sink.begin_layer(&points("rtree_x")).is_err());
}

#[test]
fn a_file_that_is_none_or_lies_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("x.gpkg");
    let open = || GeoPackage::open(&path, &CancellationToken::new());
    Connection::open(&path).expect("opens").execute_batch("CREATE TABLE a(b)").expect("a table");
    assert!(open().expect_err("refused").message.contains("`gpkg_contents`"));
    std::fs::rename(converted(dir.path(), "y.gpkg"), &path).expect("moves");
    let sql = Connection::open(&path).expect("opens");
    sql.execute_batch("PRAGMA foreign_keys = OFF").expect("off");
    let read = || open().and_then(|file| file.read_features(0, None, &mut |_| Ok(())));
    assert_eq!(read().expect("reads"), 3);
    for (change, word) in [
        (
            "DROP TRIGGER rtree_Sites_Shape_update6; DROP TRIGGER rtree_Sites_Shape_update7; DROP TRIGGER rtree_Sites_Shape_update2; DROP TRIGGER rtree_Sites_Shape_update4; DROP TRIGGER rtree_Sites_Shape_update5; UPDATE Sites SET Shape = x'4750000100000000010700000001000000' WHERE OBJECTID = 8",
            "layer `Sites`, row 8",
        ),
        ("UPDATE Sites SET Shape = 'text' WHERE OBJECTID = 7", "layer `Sites`, row 7"),
        ("UPDATE gpkg_geometry_columns SET geometry_type_name = 'CURVE'", "without curves"),
        (
            "UPDATE gpkg_contents SET table_name = 'v' WHERE table_name = 'Sites'; CREATE VIEW v AS SELECT 1",
            "no ordinary table",
        ),
    ] {
        sql.execute_batch(change).expect("changes");
        let failure = read().expect_err("refused");
        assert!(failure.message.contains(word), "{word}: {failure}");
    }
}
