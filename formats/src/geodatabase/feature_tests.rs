//! Features of real files against what the files themselves say of them, and files that lie.

use super::features::Geodatabase;
use super::shape_blob::read_shape_head;
use crate::features::{Cardinality, DomainRule, Feature, FeatureReader, FieldType, Value};
use rusqlite::Connection;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

fn open(path: &Path) -> Geodatabase {
    Geodatabase::open(path, &CancellationToken::new()).expect("opens")
}

fn all(file: &Geodatabase, layer: usize) -> Vec<Feature> {
    let mut features = Vec::new();
    let mut take = |f: &Feature| {
        features.push(f.clone());
        Ok(())
    };
    file.read_features(layer, None, &mut take).expect("reads");
    features
}

/// A sample that a desktop program made, where it is there; that of a package is taken out of it into `dir`.
pub(super) fn sample(name: &str, dir: &Path) -> Option<PathBuf> {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/samples/webmaps");
    let path = samples.join(name).canonicalize().ok()?;
    let Some(entry) = (name == "usa.mmpk").then_some("p12/feature_service_data.geodatabase") else { return Some(path) };
    let mut archive = zip::ZipArchive::new(std::fs::File::open(path).ok()?).ok()?;
    let mut bytes = Vec::new();
    archive.by_name(entry).ok()?.read_to_end(&mut bytes).ok()?;
    let path = dir.join("usa.geodatabase");
    std::fs::write(&path, bytes).ok()?;
    Some(path)
}

#[test]
fn real_shapes_lie_where_their_file_says() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut compared = 0;
    for (name, table) in [("la-trails.geodatabase", "Trailheads"), ("usa.mmpk", "a1")] {
        let Some(path) = sample(name, dir.path()) else {
            eprintln!("skipped: {name} is not there");
            continue;
        };
        let file = open(&path);
        let place = file.layers().iter().position(|l| l.name == table).expect("the layer");
        let grid = crate::geometry::PrecisionGrid::web_mercator();
        let sql = Connection::open_with_flags(&path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).expect("opens");
        let index = format!("SELECT minx, maxx, miny, maxy FROM \"st_spindex__{table}_Shape\" WHERE pkid = ?1");
        let mut whole: Option<[f64; 4]> = None;
        for feature in all(&file, place) {
            let [a, b, c, d] = feature.geometry().and_then(crate::geometry::Geometry::extent).expect("a shape");
            whole = Some(whole.map_or([a, b, c, d], |[e, f, g, h]| [e.min(a), f.min(b), g.max(c), h.max(d)]));
            // The index is in floats of 24 bits.
            let indexed = sql
                .query_row(&index, [feature.row_id], |r| Ok([r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?]))
                .expect("is there");
            let indexed: [f64; 4] = indexed;
            for (indexed, own) in indexed.into_iter().zip([a, c, b, d]) {
                assert!(
                    (indexed - own).abs() <= own.abs() * 2.0_f64.powi(-22),
                    "{name} {}: {indexed} {own}",
                    feature.row_id
                );
            }
            let blob: Vec<u8> = sql
                .query_row(&format!("SELECT Shape FROM {table} WHERE rowid = ?1"), [feature.row_id], |r| r.get(0))
                .expect("a blob");
            if let Some(stated) = read_shape_head(&blob).expect("a head").envelope {
                let lines = [grid.x.line(a), grid.y.line(b), grid.x.line(c), grid.y.line(d)];
                assert_eq!(stated, lines, "{name} {}", feature.row_id);
            }
            let mut again = Vec::new();
            let shape = feature.geometry().expect("a shape");
            super::shape_blob_writer::ShapeBlobWriter::default().write(shape, 3857, &grid, &mut again).expect("short");
            // Two of the four bytes of the length, and of the flags, are whatever they are.
            assert_eq!(again.len(), blob.len(), "{name} {}", feature.row_id);
            compared += 1;
        }
        let stated: [f64; 4] = sql
            .query_row("SELECT minx, miny, maxx, maxy FROM GDB_Layers WHERE table_name = ?1", [table], |r| {
                Ok([r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?])
            })
            .expect("is there");
        let near = stated.into_iter().zip(whole.expect("rows")).all(|(a, b)| (a - b).abs() < 1e-4);
        assert!(near, "{name}: {stated:?} {whole:?}");
    }
    eprintln!("{compared} shapes compared");
}

#[test]
fn real_points_agree_with_the_degrees_in_their_rows() {
    let dir = tempfile::tempdir().expect("a directory");
    let Some(path) = sample("la-trails.geodatabase", dir.path()) else {
        eprintln!("skipped: the sample is not there");
        return;
    };
    let file = open(&path);
    let layer = &file.layers()[0];
    let at = |name: &str| layer.fields.iter().position(|f| f.name.eq_ignore_ascii_case(name));
    let (lat, lon) = (at("LAT").or(at("TRL_LAT")), at("LON").or(at("TRL_LON")));
    let features = all(&file, 0);
    assert_eq!((features.len(), layer.object_id_field.as_deref()), (475, Some("OBJECTID_1")));
    let (Some(lat), Some(lon)) = (lat, lon) else {
        panic!("{:?}", layer.fields.iter().map(|f| &f.name).collect::<Vec<_>>())
    };
    for feature in features {
        let (Value::Real(lat), Value::Real(lon)) = (&feature.values[lat], &feature.values[lon]) else { continue };
        let [x, y] = offmap_model::geometry::to_wgs84(feature.geometry().expect("a shape").xy()[0]);
        assert!((x - lon).abs() < 1e-6 && (y - lat).abs() < 1e-6, "{:?}: {x} {y}", feature.object_id);
    }
}

/// A geodatabase by hand: a tracked layer with aliases, domains, subtypes and attachments, a related table.
pub(crate) fn made(path: &Path) {
    let reference = "<SpatialReference><WKT>GEOGCS[&quot;GCS_WGS_1984&quot;]</WKT><XOrigin>-400</XOrigin><YOrigin>-400</YOrigin><XYScale>1000000000</XYScale><WKID>4326</WKID></SpatialReference>";
    let field = |name: &str, alias: &str, kind: &str, domain: &str| {
        format!(
            "<GPFieldInfoEx><Name>main.Sites.{name}</Name><AliasName>{alias}</AliasName>{}<FieldType>esriFieldType{kind}</FieldType></GPFieldInfoEx>",
            if domain.is_empty() { String::new() } else { format!("<DomainName>{domain}</DomainName>") }
        )
    };
    let fields = [
        field("Kind", "Kind of site", "SmallInteger", ""),
        field("State", "State", "String", "States"),
        field("Height", "Height", "Double", "Heights"),
        field("Seen", "Seen", "Date", ""),
        field("Day", "Day", "DateOnly", ""),
        field("Big", "Big", "BigInteger", ""),
    ];
    let subtypes = "<SubtypeFieldName>Kind</SubtypeFieldName><Subtypes><Subtype><SubtypeName>Well</SubtypeName><SubtypeCode>1</SubtypeCode><FieldInfos><SubtypeFieldInfo><FieldName>State</FieldName><DomainName>Wells</DomainName></SubtypeFieldInfo></FieldInfos></Subtype><Subtype><SubtypeName>Spring</SubtypeName><SubtypeCode>2</SubtypeCode></Subtype></Subtypes>";
    let class = format!(
        "<DEFeatureClassInfo><Name>main.Sites</Name><OIDFieldName>OBJECTID</OIDFieldName><GlobalIDFieldName>GlobalID</GlobalIDFieldName><GPFieldInfoExs>{}</GPFieldInfoExs>{subtypes}{reference}</DEFeatureClassInfo>",
        fields.concat()
    );
    let relation = "<DERelationshipClassInfo><OriginClassNames><Name>main.Sites</Name></OriginClassNames><DestinationClassNames><Name>main.Visits</Name></DestinationClassNames><Cardinality>esriRelCardinalityOneToMany</Cardinality><IsComposite>true</IsComposite><OriginClassKeys><RelationshipClassKey><ObjectKeyName>GlobalID</ObjectKeyName><KeyRole>esriRelKeyRoleOriginPrimary</KeyRole></RelationshipClassKey><RelationshipClassKey><ObjectKeyName>SiteID</ObjectKeyName><KeyRole>esriRelKeyRoleOriginForeign</KeyRole></RelationshipClassKey></OriginClassKeys></DERelationshipClassInfo>";
    let states = "<GPCodedValueDomain2><DomainName>States</DomainName><FieldType>esriFieldTypeString</FieldType><Description>R&amp;D</Description><CodedValues><CodedValue><Name>In use</Name><Code>u</Code></CodedValue><CodedValue><Name>Dry</Name><Code>7</Code></CodedValue></CodedValues></GPCodedValueDomain2>";
    let heights = "<GPRangeDomain2><DomainName>Heights</DomainName><FieldType>esriFieldTypeDouble</FieldType><MaxValue>9000</MaxValue><MinValue>-500.5</MinValue></GPRangeDomain2>";
    let sql = Connection::open(path).expect("opens");
    sql.execute_batch(
        "CREATE TABLE GDB_Items(ObjectID integer primary key, Name text, Type text, Definition text);
         CREATE TABLE GDB_ServiceItems(OBJECTID integer primary key, DatasetName text, ItemType int32, ItemId int32, ItemInfo text);
         CREATE TABLE st_geometry_columns(f_table_name text, f_geometry_column text, geometry_type int32, srid int32);
         INSERT INTO st_geometry_columns VALUES('Sites', 'Shape', 1, 4326);
         INSERT INTO GDB_ServiceItems VALUES(1, 'Sites', 1, 3, '{\"name\":\"All sites\",\"fields\":[]}'), (2, 'Visits', 1, 4, NULL);
         CREATE TABLE Sites(OBJECTID int32 not null, GlobalID uuidtext not null, Kind int16, State text(8), Height float64, Seen realdate,
           Day realdate, Big int64, Shape geometryblob, gdb_archive_oid integer primary key, gdb_from_date realdate, gdb_to_date realdate);
         CREATE TABLE Visits(OBJECTID integer primary key not null, SiteID uuidtext, Note text(20));
         INSERT INTO Visits VALUES(1, '{A}', 'wet'), (2, '{A}', NULL), (3, '{gone}', 'dry');
         CREATE TABLE Sites__ATTACH(ATTACHMENTID integer primary key, REL_GLOBALID uuidtext, CONTENT_TYPE text, ATT_NAME text, DATA_SIZE int32, DATA blob);
         INSERT INTO Sites__ATTACH VALUES(5, '{A}', 'image/png', 'a.png', 3, x'010203'), (6, '{gone}', 'text/plain', 'b.txt', 0, NULL);",
    )
    .expect("tables");
    let item = "INSERT INTO GDB_Items(Name, Type, Definition) VALUES(?1, ?2, ?3)";
    for (name, kind, xml) in [
        ("main.Sites", "{70737809-852C-4A03-9E22-2CECEA5B9BFA}", class.as_str()),
        (
            "main.Visits",
            "{CD06BC3B-789D-4C51-AAFA-A467912B8965}",
            "<DETableInfo><OIDFieldName>OBJECTID</OIDFieldName></DETableInfo>",
        ),
        ("main.Sites__ATTACH", "{CD06BC3B-789D-4C51-AAFA-A467912B8965}", "<DETableInfo/>"),
        ("main.SiteVisits", "{B606A7E1-FA5B-439C-849C-6E9C2481537B}", relation),
        ("States", "{8C368B12-A12E-4C7E-9638-C9C64E69E98F}", states),
        ("Heights", "{C29DA988-8C3E-45F7-8B5C-18E51EE7BEB4}", heights),
    ] {
        sql.execute(item, [name, kind, xml]).expect("inserts");
    }
    let mut shape = crate::geometry::Geometry::default();
    let mut blob = Vec::new();
    let axis = crate::geometry::GridAxis::new(-400.0, 1e9);
    let grid = crate::geometry::PrecisionGrid { x: axis, y: axis, z: axis, m: axis };
    let insert =
        "INSERT INTO Sites(OBJECTID, GlobalID, Kind, State, Height, Seen, Day, Big, Shape, gdb_from_date, gdb_to_date)
         VALUES(?1, ?2, 1, 'u', 12, 2440587.5, 2460369.5, 9007199254740993, ?3, 2440587.5, ?4)";
    for (id, guid, is_current, is_null) in
        [(7, "{A}", false, false), (7, "{A}", true, false), (9, "{B}", true, true), (8, "{C}", true, false)]
    {
        shape.begin(crate::geometry::GeometryKind::Point, false, false);
        shape.add_point([f64::from(id), 46.5], 0.0, 0.0);
        shape.close_part();
        super::shape_blob_writer::ShapeBlobWriter::default().write(&shape, 4326, &grid, &mut blob).expect("short");
        let until = if is_current { 5_373_484.499_988_426 } else { 2_450_000.0 };
        sql.execute(insert, rusqlite::params![id, guid, (!is_null).then_some(&blob), until]).expect("inserts");
    }
}

#[test]
fn everything_that_a_geodatabase_says_of_a_layer_is_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("x.geodatabase");
    made(&path);
    let file = open(&path);
    let [sites, visits] = file.layers() else { panic!("{:?}", file.layers()) };
    assert_eq!((sites.title.as_str(), sites.item_id, sites.has_attachments), ("All sites", Some(3), true));
    assert_eq!((visits.item_id, &visits.geometry, visits.fields.len()), (Some(4), &None, 2));
    let field = |name: &str| sites.fields.iter().find(|f| f.name == name).expect("a field");
    assert_eq!((field("Kind").alias.as_deref(), field("State").alias.as_deref()), (Some("Kind of site"), None));
    assert_eq!((field("State").length, field("Big").field_type), (Some(8), FieldType::BigInteger));
    assert!(!field("GlobalID").is_nullable && field("State").is_nullable);
    let states = field("State").domain.as_ref().expect("a domain");
    let DomainRule::Coded(codes) = &states.rule else { panic!("{states:?}") };
    let codes: Vec<_> = codes.iter().map(|(code, name)| (code.to_string(), name.as_str())).collect();
    assert_eq!((states.description.as_str(), codes), ("R&D", vec![("u".to_owned(), "In use"), ("7".to_owned(), "Dry")]));
    assert_eq!(field("Height").domain.as_ref().map(|d| &d.rule), Some(&DomainRule::Range { min: -500.5, max: 9000.0 }));
    let subtypes = sites.subtypes.as_ref().expect("subtypes");
    assert_eq!((subtypes.field.as_str(), subtypes.subtypes.len()), ("Kind", 2));
    assert_eq!(subtypes.subtypes[0].domains, [("State".to_owned(), "Wells".to_owned())]);
    let [relationship] = file.relationships() else { panic!("{:?}", file.relationships()) };
    assert_eq!((relationship.origin_key.as_str(), relationship.destination_key.as_str()), ("GlobalID", "SiteID"));
    assert_eq!((relationship.cardinality, relationship.is_composite), (Cardinality::OneToMany, true));
    let features = all(&file, 0);
    let ids: Vec<_> = features.iter().map(|f| (f.row_id, f.object_id, f.geometry().map(|g| g.xy()[0]))).collect();
    assert_eq!(ids, [(2, Some(7), Some([7.0, 46.5])), (3, Some(9), None), (4, Some(8), Some([8.0, 46.5]))], "current rows");
    let values = &features[0].values;
    assert_eq!(values[1..4], [Value::Integer(1), Value::Text("u".into()), Value::Real(12.0)]);
    assert_eq!(values[4..], [Value::Date(0), Value::Date(1_709_164_800_000), Value::Integer(9_007_199_254_740_993)]);
    let mut rest = Vec::new();
    file.read_features(0, Some(3), &mut |f| {
        rest.push(f.object_id);
        Ok(())
    })
    .expect("reads");
    assert_eq!(rest, [Some(8)], "behind the third row");
    let mut attached = Vec::new();
    file.read_attachments(0, None, &mut |a, bytes| {
        let mut content = Vec::new();
        bytes.read_to_end(&mut content).expect("reads");
        attached.push((a.id, a.object_id, a.name.clone(), content));
        Ok(())
    })
    .expect("reads");
    let expected = [(5, Some(7), "a.png".to_owned(), vec![1, 2, 3]), (6, None, "b.txt".to_owned(), vec![])];
    assert_eq!(attached, expected);
}

#[test]
fn a_bad_shape_is_named_with_layer_and_feature_and_a_bad_layer_takes_no_other_with_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("x.geodatabase");
    made(&path);
    let sql = Connection::open(&path).expect("opens");
    sql.execute_batch("UPDATE Sites SET Shape = x'64000000FFFFFFFF04010000000001000000' WHERE OBJECTID = 8")
        .expect("changes");
    let failure = open(&path).read_features(0, None, &mut |_| Ok(())).expect_err("refused");
    assert!(failure.message.contains("layer `Sites`, feature 8") && failure.message.contains("4294967295"), "{failure}");
    for (change, why) in [
        ("UPDATE st_geometry_columns SET geometry_type = 9", "unknown type 9"),
        ("UPDATE GDB_Items SET Definition = replace(Definition, '<XYScale>1000000000', '<XYScale>nan')", "precision grid"),
        ("UPDATE GDB_Items SET Definition = replace(Definition, '<XYScale>nan', '<XYScale>0')", "unknown type 9"),
        ("UPDATE st_geometry_columns SET geometry_type = 1", "precision grid"),
        (
            "UPDATE GDB_Items SET Definition = replace(Definition, '<SpatialReference>', '<ShapeType>esriGeometryMultiPatch</ShapeType><SpatialReference>')",
            "multipatches",
        ),
    ] {
        sql.execute_batch(change).expect("changes");
        let file = open(&path);
        let names: Vec<_> = file.layers().iter().map(|l| l.name.as_str()).collect();
        let [refused] = file.refused_layers() else { panic!("{:?}", file.refused_layers()) };
        assert_eq!(names, ["Visits"]);
        assert!(
            refused.reason.contains(why) || why == "precision grid" && refused.reason.contains("unknown type"),
            "{}",
            refused.reason
        );
    }
}
