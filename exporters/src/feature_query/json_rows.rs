//! Rows out of JSON, feature by feature as they come: an answer is in memory as text and as rows, and never as a tree of values.
//!
//! Source: feature service reference §5.1.

use super::json_attributes::{AttributesSeed, JsonAttributes};
use super::json_other::{other_flag, other_list, other_null, other_object, other_scalars};
use super::json_shape::{JsonShape, ShapeSeed};
use super::row_reader::{ReadRows, RowReader, Wrong};
use offmap_model::Failure;
use offmap_model::json::{JsonBudget, Unread};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::fmt;

/// Members of an answer that are read beside its features: what may be an error, and what is said of all rows.
const SAID: [&str; 10] = [
    "error",
    "status",
    "statusMessage",
    "code",
    "message",
    "messages",
    "details",
    "exceededTransferLimit",
    "properties",
    "spatialReference",
];
/// Bytes of the rows of one answer, as they are kept; a page that is too much is asked for in halves.
const MOST_BYTES: usize = 256 << 20;
/// What may be read of each of them.
const SAID_BUDGET: JsonBudget = JsonBudget { bytes: 64 << 10, values: 10_000 };

/// The same of an error, which says what is to be done whatever its length.
const ERROR_BUDGET: JsonBudget = JsonBudget { bytes: 16 << 20, values: 100_000 };

/// The attribute of a field: by its name, else by the name without its letter case.
pub(super) fn attribute<'a>(attributes: &'a Map<String, Value>, name: &str) -> &'a Value {
    let other = || attributes.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    attributes.get(name).or_else(other).unwrap_or(&Value::Null)
}

/// What was read of an answer.
#[derive(Default)]
struct JsonPage {
    said: Map<String, Value>,
    has_features: bool,
    /// What is wrong with the first feature that cannot be kept.
    wrong: Option<Wrong>,
}

impl RowReader {
    /// Reads an object with `features`, and the members beside them that may tell an error.
    pub(super) fn json(&self, budget: JsonBudget, text: &[u8]) -> Result<(Result<ReadRows, Failure>, Value), Unread> {
        let mut read = self.begin(0);
        let JsonPage { said, has_features, wrong } = budget.stream(text, PageSeed { reader: self, read: &mut read })?;
        let said = Value::Object(said);
        let rows = match (has_features, wrong) {
            (false, _) => Err(self.invalid("there is no `features` in the answer")),
            (true, Some(wrong)) => Err(self.invalid(wrong)),
            (true, None) => self.checked(read, &said),
        };
        Ok((rows, said))
    }

    fn checked(&self, mut read: ReadRows, said: &Value) -> Result<ReadRows, Failure> {
        let reference = said.get("spatialReference").and_then(|json| serde_json::from_value(json.clone()).ok());
        self.check_reference(reference.as_ref())?;
        let flag = |json: &Value| json.get("exceededTransferLimit").and_then(Value::as_bool);
        read.has_more = flag(said).or_else(|| flag(said.get("properties")?)).unwrap_or(false);
        Ok(read)
    }

    /// Keeps a feature; the error is what is wrong with it.
    fn keep(&self, attributes: Option<JsonAttributes>, shape: Option<JsonShape>, read: &mut ReadRows) -> Result<(), Wrong> {
        let attributes = attributes.ok_or("a feature has no `attributes`")?;
        let Some(id) = attributes.object_id() else {
            let (field, found) = (&self.object_id_field, &attributes.id);
            return Err(format!("a feature has no object id in `{field}`, it has {found}"));
        };
        let shape = match (&self.shapes, shape) {
            (Some(shapes), Some(shape)) => shape.stored(shapes).map_err(|wrong| format!("feature {id}: {wrong}"))?,
            _ => None,
        };
        read.keep(id, attributes.values, shape);
        match read.bytes > MOST_BYTES {
            true => Err(format!("{} rows of it are more than {MOST_BYTES} bytes", read.rows.len())),
            false => Ok(()),
        }
    }
}

struct PageSeed<'a> {
    reader: &'a RowReader,
    read: &'a mut ReadRows,
}

impl<'de> DeserializeSeed<'de> for PageSeed<'_> {
    type Value = JsonPage;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<JsonPage, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for PageSeed<'_> {
    type Value = JsonPage;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with features")
    }

    other_flag!();
    other_null!();
    other_scalars!();
    other_list!();

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<JsonPage, A::Error> {
        let Self { reader, read } = self;
        let mut page = JsonPage::default();
        while let Some(name) = members.next_key::<String>()? {
            match name.as_str() {
                "features" => {
                    // Of a list that comes twice the last one counts.
                    *read = reader.begin(0);
                    page.wrong = None;
                    let wrong = &mut page.wrong;
                    page.has_features = members.next_value_seed(Features { reader, read, wrong })?;
                }
                said if SAID.contains(&said) => {
                    let text: Box<RawValue> = members.next_value()?;
                    let budget = if said == "error" { ERROR_BUDGET } else { SAID_BUDGET };
                    page.said.extend(budget.read(text.get().as_bytes()).ok().map(|value| (name, value)));
                }
                _ => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(page)
    }
}

/// The list of features; answers whether it is one.
struct Features<'a> {
    reader: &'a RowReader,
    read: &'a mut ReadRows,
    wrong: &'a mut Option<Wrong>,
}

impl<'de> DeserializeSeed<'de> for Features<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Features<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of features")
    }

    other_flag!();
    other_null!();
    other_scalars!();
    other_object!();

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<bool, A::Error> {
        let Self { reader, read, wrong } = self;
        while wrong.is_none() {
            let Some((attributes, shape)) = list.next_element_seed(FeatureSeed { reader, read })? else { return Ok(true) };
            *wrong = reader.keep(attributes, shape, read).err();
        }
        super::json_other::skip_list(list).map(|()| true)
    }
}

/// One feature.
struct FeatureSeed<'a> {
    reader: &'a RowReader,
    read: &'a mut ReadRows,
}

impl<'de> DeserializeSeed<'de> for FeatureSeed<'_> {
    type Value = (Option<JsonAttributes>, Option<JsonShape>);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for FeatureSeed<'_> {
    type Value = (Option<JsonAttributes>, Option<JsonShape>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a feature")
    }

    other_flag!();
    other_null!();
    other_scalars!();
    other_list!();

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let RowReader { fields, object_id_field, shapes, .. } = self.reader;
        let (mut attributes, mut shape) = (None, None);
        while let Some(name) = members.next_key::<String>()? {
            match (name.as_str(), shapes) {
                ("attributes", _) => {
                    let fits = &mut self.read.fits;
                    attributes = members.next_value_seed(AttributesSeed { fields, object_id_field, fits })?;
                }
                ("geometry", Some(shapes)) => shape = Some(members.next_value_seed(ShapeSeed(shapes.kind))?),
                _ => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok((attributes, shape))
    }
}

#[cfg(test)]
mod tests {
    use super::super::left_out::LeftOut;
    use super::super::row_reader::{ReadRows, Shapes};
    use super::super::stored::{StoredRow, fill};
    use super::*;
    use offmap_formats::features::{Feature, Field, FieldType, Value as FieldValue};
    use offmap_formats::geometry::GeometryKind;
    use offmap_model::SpatialReference;
    use prost::Message as _;
    use serde_json::json;

    fn field(name: &str, field_type: FieldType) -> Field {
        Field { name: name.to_owned(), alias: None, field_type, length: None, is_nullable: true, domain: None }
    }

    fn reader(kind: GeometryKind, has_z: bool, has_m: bool) -> RowReader {
        RowReader {
            url: "https://h/S/FeatureServer/0".to_owned(),
            object_id_field: "FID".to_owned(),
            fields: vec![
                field("NAME", FieldType::Text),
                field("SEEN", FieldType::Date),
                field("BIG", FieldType::BigInteger),
            ],
            shapes: Some(Shapes { kind, has_z, has_m, spatial_reference: SpatialReference::web_mercator() }),
        }
    }

    fn read(reader: &RowReader, answer: &Value) -> Result<ReadRows, Failure> {
        let budget = JsonBudget { bytes: 1 << 20, values: 0 };
        reader.json(budget, answer.to_string().as_bytes()).expect("JSON").0
    }

    fn features(read: ReadRows, reader: &RowReader) -> Vec<Feature> {
        let types: Vec<FieldType> = reader.fields.iter().map(|f| f.field_type).collect();
        let shapes = reader.shapes.as_ref().map(|s| (s.kind, s.has_z, s.has_m));
        let feature = |(id, bytes): (i64, Vec<u8>)| {
            let mut feature = Feature::default();
            let row = StoredRow::decode_length_delimited(bytes.as_slice()).expect("a row");
            fill(row, &types, shapes, &mut feature, &mut LeftOut::default());
            assert_eq!(feature.object_id, Some(id));
            feature
        };
        read.rows.into_iter().map(feature).collect()
    }

    fn one(kind: GeometryKind, has_z: bool, has_m: bool, geometry: Value) -> Result<Feature, Failure> {
        let reader = reader(kind, has_z, has_m);
        let read = read(&reader, &json!({"features": [{"attributes": {"FID": 1}, "geometry": geometry}]}))?;
        Ok(features(read, &reader).remove(0))
    }

    #[test]
    fn attributes_come_by_name_whatever_form_ids_and_values_have() {
        let reader = reader(GeometryKind::Point, false, false);
        let answer = json!({"exceededTransferLimit": true, "spatialReference": {"wkid": 102_100, "latestWkid": 3857}, "features": [
            {"attributes": {"FID": 6_442_450_944_i64, "name": 7, "SEEN": -86_400_000, "BIG": "9007199254740993"},
             "geometry": {"x": 1.5, "y": -2}},
            {"attributes": {"FID": "6.4579816E7", "NAME": null, "BIG": i64::MAX}},
            {"attributes": {"FID": 3.0, "NAME": "x"}, "geometry": null},
            {"attributes": {"FID": 4}, "geometry": {"x": "NaN", "y": "NaN"}}]});
        let read = read(&reader, &answer).expect("reads");
        assert!(read.has_more);
        let all = features(read, &reader);
        let ids: Vec<_> = all.iter().filter_map(|f| f.object_id).collect();
        assert_eq!(ids, [6_442_450_944, 64_579_816, 3, 4]);
        let first =
            [FieldValue::Text("7".to_owned()), FieldValue::Date(-86_400_000), FieldValue::Integer(9_007_199_254_740_993)];
        assert_eq!(all[0].values, first);
        assert_eq!(all[1].values[2], FieldValue::Integer(i64::MAX));
        assert_eq!(all[0].geometry().map(|g| g.xy()), Some(&[[1.5, -2.0]][..]));
        assert!(all[1..].iter().all(|f| f.geometry().is_none()), "no shape, a null one, and a point without coordinates");
    }

    #[test]
    fn heights_and_measures_stand_where_the_shape_says() {
        let paths = json!([[[0, 1, 2, 3], [4, 5, 6, 7]], [], [[8, 9, 10, "NaN"]]]);
        let line = one(GeometryKind::Line, true, true, json!({"hasZ": true, "hasM": true, "paths": paths})).expect("reads");
        let shape = line.geometry().expect("a shape");
        assert_eq!((shape.z(), &shape.m()[..2], shape.m()[2].is_nan()), (&[2.0, 6.0, 10.0][..], &[3.0, 7.0][..], true));
        assert!(shape.part_ranges().eq([0..2, 2..3]));
        let measured = json!({"hasM": true, "points": [[0, 1, 5]]});
        let points = one(GeometryKind::Multipoint, true, true, measured).expect("reads");
        let shape = points.geometry().expect("a shape");
        assert!(shape.z()[0].is_nan() && shape.m() == [5.0]);
        let flat = one(GeometryKind::Point, false, false, json!({"x": 1, "y": 2, "z": 3, "m": 4})).expect("reads");
        assert_eq!(flat.geometry().map(|g| (g.has_z(), g.has_m())), Some((false, false)));
        // A ring that is open is closed, and an empty polygon is no missing one.
        let rings = json!({"rings": [[[0, 0], [0, 9], [9, 9]]]});
        let polygon = one(GeometryKind::Polygon, false, false, rings).expect("reads");
        assert_eq!(polygon.geometry().map(|g| g.xy().len()), Some(4));
        // A coordinate that is none costs its shape when it is written, and no row.
        let line = one(GeometryKind::Line, false, false, json!({"paths": [[[0, null], [1, 1]]]})).expect("reads");
        assert!(line.geometry().is_some_and(|g| g.xy()[0][1].is_nan() && g.xy()[1] == [1.0, 1.0]));
        let empty = one(GeometryKind::Polygon, false, false, json!({"rings": []})).expect("reads");
        assert!(empty.geometry().is_some_and(|g| g.has_no_points()));
    }

    #[test]
    fn what_cannot_be_held_names_its_feature() {
        let curve = json!({"curveRings": [[[0, 0], {"c": [[1, 1], [2, 0]]}]]});
        for (kind, geometry, words) in [
            (GeometryKind::Polygon, curve, "feature 1: its shape has true curves"),
            (GeometryKind::Polygon, json!({"x": 1, "y": 2}), "has no `rings`"),
            (GeometryKind::Point, json!({"rings": []}), "is no point"),
        ] {
            let failure = one(kind, false, false, geometry).expect_err("refused");
            assert!(failure.message.contains(words), "{failure}");
        }
        let reader = reader(GeometryKind::Point, false, false);
        for (answer, words) in [
            (json!({}), "no `features`"),
            (json!({"features": [{"attributes": {"OBJECTID": 1}}]}), "no object id in `FID`"),
            (json!({"features": [], "spatialReference": {"wkid": 4326}}), "were asked for in"),
        ] {
            let failure = read(&reader, &answer).expect_err("refused");
            assert!(failure.message.contains(words), "{failure}");
        }
    }

    #[test]
    fn what_stands_in_the_place_of_something_else_is_passed_over_or_kept_as_none() {
        let odd = [json!(null), json!(true), json!(-7), json!(1.5), json!("x"), json!([[1]]), json!({"a": {"b": []}})];
        let reader = reader(GeometryKind::Line, true, false);
        for odd in odd {
            let shape = json!({"hasZ": odd, "hasM": odd, "other": odd, "paths": [odd, [[0, 0, 9], odd, [2, 2]], odd]});
            let feature = json!({"attributes": {"FID": 1, "NAME": odd, "other": odd}, "geometry": shape, "more": odd});
            let answer = json!({"fields": odd, "spatialReference": odd, "properties": odd, "features": [feature]});
            let all = features(read(&reader, &answer).expect("reads"), &reader);
            let shape = all[0].geometry().expect("a shape");
            // The vertex that is none is kept, so that the shape is not taken for another one.
            let of_it: Vec<_> = shape.xy().iter().filter(|[x, _]| !x.is_nan() && *x != 1.0).collect();
            assert_eq!((of_it.len(), shape.xy().iter().any(|[_, y]| y.is_nan())), (2, true), "{odd}");
            let answer = json!({"features": [{"attributes": {"FID": 1}, "geometry": odd}]});
            assert_eq!(read(&reader, &answer).is_ok(), odd.is_null(), "{odd}");
            for answer in [
                odd.clone(),
                json!({"features": odd}),
                json!({"features": [odd]}),
                json!({"features": [{"attributes": odd}]}),
            ] {
                let failure = read(&reader, &answer).expect_err("no rows");
                let words = ["no `features`", "no `attributes`", "no object id"];
                assert!(words.iter().any(|words| failure.message.contains(words)), "{failure}");
            }
        }
    }

    #[test]
    fn an_error_is_handed_on_and_a_name_in_its_own_letter_case_goes_before() {
        let reader = reader(GeometryKind::Point, false, false);
        let budget = JsonBudget { bytes: 1 << 20, values: 0 };
        let (rows, said) = reader.json(budget, br#"{"error": {"code": 499, "x": [NaN]}}"#).expect("JSON");
        assert!(rows.is_err() && said["error"]["code"] == 499, "{said}");
        for text in [&b"{\"features\": [{]}"[..], b"<html>", b"", b"{\"features\": []} x", b"\"text"] {
            assert!(reader.json(budget, text).is_err(), "{}", text.escape_ascii());
        }
        let answer = json!({"features": [
            {"attributes": {"fid": 9, "name": "a", "NAME": "b", "Name": "c", "FID": 1, "Fid": 8}},
            {"attributes": {"Name": "c", "name": "a", "fid": 2}}]});
        let all = features(read(&reader, &answer).expect("reads"), &reader);
        let names: Vec<_> = all.iter().map(|f| (f.object_id, f.values[0].clone())).collect();
        let text = |name: &str| FieldValue::Text(name.to_owned());
        assert_eq!(names, [(Some(1), text("b")), (Some(2), text("c"))]);
    }

    #[test]
    fn rows_of_an_answer_are_kept_up_to_a_size() {
        let reader = reader(GeometryKind::Point, false, false);
        let kept = |bytes: usize| {
            let mut read = reader.begin(0);
            read.bytes = bytes;
            let values = Vec::new();
            let wrong = reader.keep(Some(JsonAttributes { values, id: json!(7) }), None, &mut read);
            (wrong, read.bytes - bytes)
        };
        let (whole, size) = kept(0);
        assert!(whole.is_ok() && size > 0);
        assert!(kept(MOST_BYTES - size).0.is_ok());
        let wrong = kept(MOST_BYTES - size + 1).0.expect_err("too much");
        assert!(wrong.contains("more than 268435456 bytes"), "{wrong}");
    }

    #[test]
    fn of_a_list_that_comes_twice_the_last_one_counts_and_a_long_error_is_read() {
        let reader = reader(GeometryKind::Point, false, false);
        let budget = JsonBudget { bytes: 1 << 20, values: 0 };
        let twice = br#"{"features": [{"attributes": {"FID": 1}}, {}], "features": [{"attributes": {"FID": 2}}]}"#;
        let rows = reader.json(budget, twice).expect("JSON").0.expect("rows");
        assert_eq!(features(rows, &reader).iter().map(|f| f.object_id).collect::<Vec<_>>(), [Some(2)]);
        let long = json!({"error": {"code": 500, "message": "x".repeat(200_000)}}).to_string();
        let (_, said) = reader.json(budget, long.as_bytes()).expect("JSON");
        assert_eq!(said["error"]["code"], 500);
    }
}
