//! Geodatabases that are written and read again.

use super::features::Geodatabase;
use super::sink::{GeodatabaseOptions, GeodatabaseSink};
use crate::features::{
    Attachment, Cardinality, Domain, DomainCode, DomainRule, Feature, FeatureReader, FeatureSink as _, Field, FieldType,
    GeometryField, LayerSchema, Relationship, Subtype, Subtypes, Value,
};
use crate::geometry::{Geometry, GeometryKind};
use offmap_model::SpatialReference;
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use std::path::Path;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

pub(super) fn open(path: &Path) -> Geodatabase {
    Geodatabase::open(path, &CancellationToken::new()).expect("opens")
}

type Row = (Option<i64>, Option<Geometry>, Vec<Value>);

fn rows(file: &dyn FeatureReader, layer: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut take = |f: &Feature| {
        rows.push((f.object_id, f.geometry().cloned(), f.values.clone()));
        Ok(())
    };
    file.read_features(layer, None, &mut take).expect("reads");
    rows.sort_by_key(|(id, ..)| *id);
    rows
}

type File = (i64, Option<i64>, String, String, Vec<u8>);

fn files(file: &dyn FeatureReader, layer: usize) -> Vec<File> {
    let mut files = Vec::new();
    file.read_attachments(layer, None, &mut |a: &Attachment, bytes| {
        let mut content = Vec::new();
        bytes.read_to_end(&mut content).expect("reads");
        files.push((a.id, a.object_id, a.name.clone(), a.content_type.clone(), content));
        Ok(())
    })
    .expect("reads");
    files
}

/// What a geodatabase says of a layer, as far as another one can say the same.
fn said(layer: &LayerSchema) -> LayerSchema {
    let mut said = layer.clone();
    for field in &mut said.fields {
        field.alias = field.alias.take().filter(|alias| *alias != field.name);
    }
    said
}

pub(super) fn assert_same(from: &Path, to: &Path) -> usize {
    let (before, after) = (open(from), open(to));
    let names = |file: &Geodatabase| file.layers().iter().map(|l| l.name.clone()).collect::<Vec<_>>();
    assert_eq!((names(&before), after.refused_layers().len()), (names(&after), 0));
    assert_eq!(before.relationships(), after.relationships());
    let mut compared = 0;
    for (place, layer) in before.layers().iter().enumerate() {
        let mut expected = said(layer);
        // What had no id of its own has one now.
        expected.item_id = expected.item_id.or(after.layers()[place].item_id);
        assert_eq!(said(&after.layers()[place]), expected, "{}", from.display());
        let (rows, expected) = (rows(&after, place), rows(&before, place));
        assert_eq!(rows.len(), expected.len(), "{}", layer.name);
        for (row, expected) in rows.iter().zip(&expected) {
            assert_eq!(row, expected, "{}", layer.name);
        }
        assert_eq!(files(&after, place), files(&before, place));
        compared += rows.len();
    }
    compared
}

fn shown(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        ValueRef::Integer(n) => n.to_string(),
        other => format!("{other:?}"),
    }
}

pub(super) fn text(sql: &Connection, query: &str) -> Vec<String> {
    let mut statement = sql.prepare(query).expect("prepares");
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| {
        let values = (0..columns).map(|at| row.get_ref(at).map(shown)).collect::<Result<Vec<_>, _>>()?;
        Ok(values.join(" "))
    });
    rows.expect("queries").map(|row| row.expect("a row")).collect()
}

fn field(name: &str, field_type: FieldType, domain: Option<Domain>) -> Field {
    let (length, domain) = ((field_type == FieldType::Text).then_some(40), domain.map(Arc::new));
    Field { name: name.into(), alias: None, field_type, length, is_nullable: true, domain }
}

fn site_layer(kind: GeometryKind, z: bool, m: bool) -> LayerSchema {
    let codes =
        vec![(DomainCode::Text("u".into()), "In <use> & open".to_owned()), (DomainCode::Text("d".into()), "Dry".into())];
    let states = Domain { name: "States".into(), description: "R&D".into(), rule: DomainRule::Coded(codes) };
    let heights =
        Domain { name: "Heights".into(), description: String::new(), rule: DomainRule::Range { min: -500.5, max: 9_000.0 } };
    let wells = Domain {
        name: "Kinds".into(),
        description: String::new(),
        rule: DomainRule::Coded(vec![(DomainCode::Integer(1), "Well".into()), (DomainCode::Integer(2), "Spring".into())]),
    };
    let spatial_reference = SpatialReference { wkt: None, ..SpatialReference::web_mercator() };
    let mut layer =
        LayerSchema::new("Sites", Some(GeometryField { name: "Shape".into(), kind, has_z: z, has_m: m, spatial_reference }));
    layer.title = "All <sites>".into();
    layer.description = "Wells & springs".into();
    layer.item_id = Some(3);
    layer.object_id_field = Some("OBJECTID".into());
    layer.has_attachments = true;
    layer.fields = vec![
        Field { is_nullable: false, ..field("GlobalID", FieldType::GlobalId, None) },
        Field { alias: Some("Kind of site".into()), ..field("Kind", FieldType::SmallInteger, Some(wells)) },
        field("State", FieldType::Text, Some(states)),
        field("Height", FieldType::Double, Some(heights)),
        field("Seen", FieldType::Date, None),
        field("Big", FieldType::BigInteger, None),
        field("Group", FieldType::Integer, None),
        field("Data", FieldType::Blob, None),
        field("Part", FieldType::Single, None),
    ];
    let subtype = |code, name: &str, domains: &[(&str, &str)]| Subtype {
        code,
        name: name.into(),
        domains: domains.iter().map(|(f, d)| ((*f).to_owned(), (*d).to_owned())).collect(),
    };
    let subtypes = vec![subtype(1, "Well", &[("State", "States")]), subtype(2, "Spring", &[])];
    layer.subtypes = Some(Subtypes { field: "Kind".into(), subtypes });
    layer
}

fn site(id: i64, kind: GeometryKind, z: bool, m: bool) -> Feature {
    let mut feature = Feature::with_fields(9);
    (feature.row_id, feature.object_id) = (id, Some(id));
    feature.values[0] = Value::Text(format!("{{00000000-0000-4000-8000-{id:012}}}"));
    if id % 3 != 0 {
        feature.values[1] = Value::Integer(1 + id % 2);
        feature.values[2] = Value::Text("u".into());
        feature.values[3] = Value::Real(12.25 * id as f64);
        feature.values[4] = Value::Date(1_709_211_600_007 + id);
        feature.values[5] = Value::Integer(9_007_199_254_740_993 + id);
        feature.values[6] = Value::Integer(-7);
        feature.values[7] = Value::Blob(vec![0, 1, 2, 255]);
        feature.values[8] = Value::Real(0.5);
    }
    if id % 5 == 4 {
        return feature;
    }
    let shape = feature.new_geometry(kind, z, m);
    let parts = if id % 5 == 3 { 0 } else { 1 + id % 3 };
    for part in 0..if kind == GeometryKind::Point { parts.min(1) } else { parts } {
        let low = (id * 1_000 + part * 100) as f64;
        let corners = [[low, low], [low + 50.5, low], [low + 50.5, low + 50.25], [low, low + 50.25]];
        let count = if kind == GeometryKind::Point { 1 } else { corners.len() };
        for (at, corner) in corners.iter().take(count).enumerate() {
            shape.add_point(*corner, at as f64 + 0.5, -(at as f64));
        }
        if kind != GeometryKind::Multipoint {
            shape.close_part();
        }
    }
    shape.close_part();
    feature
}

fn visits() -> LayerSchema {
    let mut layer = LayerSchema::new("Visits to sites", None);
    layer.fields = vec![field("SiteID", FieldType::Guid, None), field("Day", FieldType::DateOnly, None)];
    layer
}

fn relation() -> Relationship {
    Relationship {
        name: "SiteVisits".into(),
        origin: "Sites".into(),
        origin_key: "GlobalID".into(),
        destination: "Visits to sites".into(),
        destination_key: "SiteID".into(),
        cardinality: Cardinality::OneToMany,
        is_composite: false,
    }
}

/// Puts what is not there yet; ends after so many rows if that is wanted.
fn put_all(sink: &mut GeodatabaseSink, layer: &LayerSchema, until: Option<i64>) {
    let geometry = layer.geometry.as_ref().expect("shapes");
    let (features, attachments) = sink.begin_layer(layer).expect("begins");
    for id in features.after.unwrap_or(0) + 1..=until.unwrap_or(20) {
        sink.put_feature(&site(id, geometry.kind, geometry.has_z, geometry.has_m)).expect("puts");
    }
    for id in attachments.after.unwrap_or(0) + 1..=until.unwrap_or(6) {
        let content = vec![id as u8; id as usize * 40_000];
        let (name, content_type) = (format!("{id}.jpg"), "image/jpeg".to_owned());
        let attachment = Attachment { row_id: id, id, object_id: Some(id), name, content_type, size: content.len() as u64 };
        sink.put_attachment(&attachment, &mut &content[..]).expect("puts");
    }
}

fn rest(mut sink: GeodatabaseSink) -> Vec<String> {
    sink.begin_layer(&visits()).expect("begins");
    for row in 1..=3 {
        let mut feature = Feature::with_fields(2);
        feature.row_id = row;
        feature.values = vec![Value::Text("{00000000-0000-4000-8000-000000000002}".into()), Value::Date(86_400_000 * row)];
        sink.put_feature(&feature).expect("puts");
    }
    let left_out = sink.put_relationships(&[relation()]).expect("puts");
    sink.finish_file().expect("completes");
    left_out
}

#[test]
fn everything_of_a_layer_is_there_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut first = None;
    for (kind, z, m) in [
        (GeometryKind::Point, false, false),
        (GeometryKind::Multipoint, true, false),
        (GeometryKind::Line, false, true),
        (GeometryKind::Polygon, true, true),
    ] {
        let to = dir.path().join("x.geodatabase");
        let mut sink = GeodatabaseSink::create(&to, &GeodatabaseOptions::default()).expect("begins");
        let layer = site_layer(kind, z, m);
        put_all(&mut sink, &layer, None);
        let left_out = rest(sink);
        assert_eq!(left_out, ["field `Day` of layer `Visits to sites`: its values are written as dates"]);
        let file = open(&to);
        let [sites, second] = file.layers() else { panic!("{:?}", file.layers()) };
        let mut expected = layer.clone();
        expected.grid = sites.grid;
        let shapes = expected.geometry.as_mut().expect("shapes");
        shapes.spatial_reference.wkt.clone_from(&sites.geometry.as_ref().expect("shapes").spatial_reference.wkt);
        assert_eq!(sites, &expected);
        assert_eq!(
            (second.name.as_str(), second.title.as_str(), second.item_id),
            ("Visits_to_sites", "Visits to sites", Some(4))
        );
        let [relationship] = file.relationships() else { panic!("{:?}", file.relationships()) };
        assert_eq!(relationship, &Relationship { destination: "Visits_to_sites".into(), ..relation() });
        let found = rows(&file, 0);
        assert_eq!(found.len(), 20);
        for (object_id, geometry, values) in found {
            let expected = site(object_id.expect("an id"), kind, z, m);
            assert_eq!((geometry.as_ref(), values), (expected.geometry(), expected.values.clone()));
        }
        let attached = files(&file, 0);
        assert_eq!(
            attached.iter().map(|f| (f.0, f.1, f.4.len())).collect::<Vec<_>>(),
            (1..=6).map(|id| (id, Some(id), id as usize * 40_000)).collect::<Vec<_>>()
        );
        let described = super::describe(&to, &CancellationToken::new()).expect("is what the engine counts");
        assert_eq!((described[0].rows, described[0].attachments), (20, Some(6)));
        let sql = Connection::open(&to).expect("opens");
        for index in ["st_spindex__Sites_Shape", "st_spindex__GDB_Items_Shape"] {
            assert_eq!(text(&sql, &format!("SELECT rtreecheck('{index}')")), ["ok"]);
        }
        assert_eq!(text(&sql, "SELECT count(*) FROM sqlite_master WHERE name LIKE 'offmap%'"), ["0"]);
        first.get_or_insert(std::fs::read(&to).expect("reads"));
    }
    assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), 1, "nothing beside");
    let to = dir.path().join("again.geodatabase");
    let mut sink = GeodatabaseSink::create(&to, &GeodatabaseOptions::default()).expect("begins");
    put_all(&mut sink, &site_layer(GeometryKind::Point, false, false), None);
    rest(sink);
    assert!(first.expect("was written") == std::fs::read(&to).expect("reads"), "the same input makes the same bytes");
}

#[test]
fn a_sink_that_ended_early_goes_on_behind_what_it_kept() {
    let dir = tempfile::tempdir().expect("a directory");
    let layer = site_layer(GeometryKind::Line, true, false);
    let (whole, half) = (dir.path().join("whole.geodatabase"), dir.path().join("half.geodatabase"));
    let mut sink = GeodatabaseSink::create(&whole, &GeodatabaseOptions::default()).expect("begins");
    put_all(&mut sink, &layer, None);
    rest(sink);
    let mut sink = GeodatabaseSink::create(&half, &GeodatabaseOptions::default()).expect("begins");
    put_all(&mut sink, &layer, Some(4));
    sink.keep().expect("keeps");
    sink.put_feature(&site(5, GeometryKind::Line, true, false)).expect("puts");
    drop(sink);
    assert!(!half.exists());
    let mut sink = GeodatabaseSink::resume(&half, &GeodatabaseOptions::default()).expect("goes on");
    let other = LayerSchema { fields: Vec::new(), ..layer.clone() };
    assert!(sink.begin_layer(&other).expect_err("refused").message.contains("with other fields"));
    drop(sink);
    let mut sink = GeodatabaseSink::resume(&half, &GeodatabaseOptions::default()).expect("goes on");
    put_all(&mut sink, &layer, None);
    rest(sink);
    assert_eq!(assert_same(&whole, &half), 23);
}

#[test]
fn a_file_that_was_complete_and_had_not_its_name_yet_gets_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let layer = site_layer(GeometryKind::Point, false, false);
    let (whole, again) = (dir.path().join("whole.geodatabase"), dir.path().join("again.geodatabase"));
    let mut sink = GeodatabaseSink::create(&whole, &GeodatabaseOptions::default()).expect("begins");
    put_all(&mut sink, &layer, None);
    let left_out = rest(sink);
    std::fs::copy(&whole, offmap_disk::atomic_file::beside(&again)).expect("copies");
    let mut sink = GeodatabaseSink::resume(&again, &GeodatabaseOptions::default()).expect("goes on");
    let (features, attachments) = sink.begin_layer(&layer).expect("is there");
    assert_eq!((features.rows, features.after, attachments.rows), (20, Some(i64::MAX), 6));
    let other = LayerSchema { name: "Others".into(), ..layer.clone() };
    assert!(sink.begin_layer(&other).expect_err("refused").message.contains("remove it to begin anew"));
    let (features, _) = sink.begin_layer(&visits()).expect("is there");
    assert_eq!(features.rows, 3);
    assert_eq!(sink.put_relationships(&[relation()]).expect("knows them"), left_out);
    sink.finish_file().expect("renames");
    assert!(std::fs::read(&whole).expect("reads") == std::fs::read(&again).expect("reads"));
}

#[test]
fn a_row_that_cannot_be_held_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut sink =
        GeodatabaseSink::create(&dir.path().join("x.geodatabase"), &GeodatabaseOptions::default()).expect("begins");
    sink.begin_layer(&site_layer(GeometryKind::Point, false, false)).expect("begins");
    let good = site(1, GeometryKind::Point, false, false);
    let mut refused = |change: &dyn Fn(&mut Feature), why: &str| {
        let mut feature = good.clone();
        change(&mut feature);
        let failure = sink.put_feature(&feature).expect_err(why);
        assert!(failure.message.contains("of layer `Sites`") && failure.message.contains(why), "{failure}");
    };
    refused(&|f| f.object_id = None, "no object id in `OBJECTID`");
    refused(&|f| f.values[0] = Value::Text("x".into()), "`GlobalID` is no GUID");
    refused(&|f| f.values[0] = Value::Null, "NOT NULL");
    refused(&|f| f.values[1] = Value::Integer(40_000), "CHECK");
    refused(&|f| f.values[2] = Value::Text("x".repeat(41)), "CHECK");
    refused(&|f| f.values[4] = Value::Text("soon".into()), "not of the field's type");
    refused(&|f| f.values[4] = Value::Date(-400_000_000_000_000), "before the year -4712");
    refused(
        &|f| {
            let shape = f.new_geometry(GeometryKind::Point, false, false);
            shape.add_point([-3e7, 0.0], 0.0, 0.0);
            shape.close_part();
        },
        "beyond the grid",
    );
    sink.put_feature(&good).expect("puts");
}

#[test]
fn a_shape_beyond_the_grid_costs_its_row_nothing_else() {
    let dir = tempfile::tempdir().expect("a directory");
    let to = dir.path().join("x.geodatabase");
    let mut sink = GeodatabaseSink::create(&to, &GeodatabaseOptions::default()).expect("begins");
    let layer = site_layer(GeometryKind::Line, true, false);
    sink.begin_layer(&layer).expect("begins");
    let points = [([1e30, 0.0], 1.0), ([f64::NAN, 0.0], 1.0), ([0.0, f64::INFINITY], 1.0), ([0.0, 0.0], 1e300)];
    let reasons = ["the x 1000000", "the x NaN", "the y inf", "the z 1000000"];
    for (id, ((xy, z), reason)) in (1..).zip(points.into_iter().zip(reasons)) {
        let mut feature = site(id, GeometryKind::Line, true, false);
        let shape = feature.new_geometry(GeometryKind::Line, true, false);
        shape.add_point([0.0, 0.0], 0.0, 0.0);
        shape.add_point(xy, z, 0.0);
        shape.close_part();
        assert!(sink.put_feature(&feature).is_err());
        let why = sink.put_feature_without_wrong_shape(&mut feature).expect("puts").expect("without its shape");
        assert!(why.contains(reason), "{why}");
    }
    let mut good = site(9, GeometryKind::Line, true, false);
    let shape = good.new_geometry(GeometryKind::Line, true, false);
    shape.add_point([0.0, 0.0], 0.0, 0.0);
    shape.add_point([1.0, 1.0], 1.0, 0.0);
    shape.close_part();
    assert_eq!(sink.put_feature_without_wrong_shape(&mut good), Ok(None));
    sink.finish_file().expect("finishes");
    let rows = rows(&open(&to), 0);
    assert_eq!(rows.iter().map(|(id, ..)| *id).collect::<Vec<_>>(), [1, 2, 3, 4, 9].map(Some));
    assert!(rows[..4].iter().all(|(_, shape, values)| shape.is_none() && values.len() == layer.fields.len()));
    assert!(rows[4].1.is_some());
}
