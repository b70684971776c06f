//! Rows out of `f=pbf`.
//!
//! x and y are differences to the vertex before, but for the first one of each part; z and m are absolute, and a stored m of 0 stands for
//! no measure. Source: feature service reference §5.2.

use super::fit::Raw;
use super::pbf::{FeatureCollection, FeatureResult, PbfFeature, PbfGeometry, PbfScalar, PbfValue, PerAxis, Transform};
use super::pbf_budget;
use super::row_reader::{ReadRows, RowReader, Shapes, Wrong};
use super::stored::StoredShape;
use offmap_formats::geometry::GeometryKind;
use offmap_model::{Failure, SpatialReference};
use prost::Message as _;

fn raw(value: Option<&PbfValue>) -> Raw<'_> {
    match value.and_then(|value| value.scalar.as_ref()) {
        None | Some(PbfScalar::Null(_)) => Raw::Null,
        Some(PbfScalar::Text(text)) => Raw::Text(text),
        // As short as it was written: 0.1 and not 0.10000000149.
        Some(PbfScalar::Float(n)) => n.to_string().parse().map_or(Raw::Null, Raw::Real),
        Some(PbfScalar::Double(n)) => Raw::Real(*n),
        Some(PbfScalar::Sint32(n)) => Raw::Integer(i64::from(*n)),
        Some(PbfScalar::Uint32(n)) => Raw::Integer(i64::from(*n)),
        Some(PbfScalar::Int64(n) | PbfScalar::Sint64(n)) => Raw::Integer(*n),
        Some(PbfScalar::Uint64(n)) => i64::try_from(*n).map_or_else(|_| Raw::Real(*n as f64), Raw::Integer),
        Some(PbfScalar::Bool(flag)) => Raw::Integer(i64::from(*flag)),
    }
}

fn kind_number(kind: GeometryKind) -> i32 {
    match kind {
        GeometryKind::Point => 0,
        GeometryKind::Multipoint => 1,
        GeometryKind::Line => 2,
        GeometryKind::Polygon => 3,
    }
}

/// How whole numbers become coordinates.
struct Grid {
    scale: PerAxis,
    translate: PerAxis,
    is_upper: bool,
    has_z: bool,
    has_m: bool,
}

impl Grid {
    fn of(result: &FeatureResult) -> Option<Self> {
        let Transform { origin, scale, translate } = result.transform.clone()?;
        let (has_z, has_m) = (result.has_z, result.has_m);
        Some(Self { scale: scale?, translate: translate.unwrap_or_default(), is_upper: origin != 1, has_z, has_m })
    }

    fn at(&self, x: i64, y: i64) -> [f64; 2] {
        let (step, up) = (y as f64 * self.scale.y, if self.is_upper { -1.0 } else { 1.0 });
        [x as f64 * self.scale.x + self.translate.x, self.translate.y + up * step]
    }

    /// The shape of a feature; none for one without vertices.
    fn shape(&self, found: &PbfGeometry, shapes: &Shapes) -> Result<Option<StoredShape>, Wrong> {
        let stride = 2 + usize::from(self.has_z) + usize::from(self.has_m);
        if found.coords.is_empty() {
            return Ok(None);
        }
        // A zero is not written at all.
        if found.geometry_type != 0 && found.geometry_type != kind_number(shapes.kind) {
            return Err(format!("its shape has the geometry type {}, expected a {}", found.geometry_type, shapes.kind));
        }
        let points = found.coords.len() / stride;
        let lengths: Vec<usize> = match found.lengths.is_empty() {
            true => vec![points],
            false => found.lengths.iter().map(|n| *n as usize).collect(),
        };
        if points * stride != found.coords.len() || lengths.iter().sum::<usize>() != points {
            let count = found.coords.len();
            return Err(format!(
                "its shape has {count} numbers for parts of {lengths:?} vertices with {stride} numbers each"
            ));
        }
        let mut shape = StoredShape::default();
        let mut vertices = found.coords.chunks_exact(stride);
        for length in lengths {
            let (mut x, mut y) = (0_i64, 0_i64);
            for vertex in vertices.by_ref().take(length) {
                (x, y) = (x.wrapping_add(vertex[0]), y.wrapping_add(vertex[1]));
                let z = if self.has_z { vertex[2] as f64 * self.scale.z + self.translate.z } else { f64::NAN };
                let m = vertex.get(2 + usize::from(self.has_z)).filter(|m| self.has_m && **m != 0);
                let m = m.map_or(f64::NAN, |m| *m as f64 * self.scale.m + self.translate.m);
                shape.add(self.at(x, y), shapes.has_z.then_some(z), shapes.has_m.then_some(m));
            }
            if shapes.kind != GeometryKind::Multipoint {
                shape.close_part();
            }
        }
        shape.close_part();
        Ok(Some(shape))
    }
}

impl RowReader {
    /// Reads a `FeatureCollectionPBuffer`.
    pub(super) fn pbf(&self, bytes: &[u8]) -> Result<ReadRows, Failure> {
        pbf_budget::check(bytes).map_err(|unread| self.invalid(unread.words()))?;
        let collection =
            FeatureCollection::decode(bytes).map_err(|_| self.invalid("they are no FeatureCollectionPBuffer"))?;
        let Some(result) = collection.query_result.and_then(|result| result.feature_result) else {
            return Err(self.invalid("there is no feature result in the answer"));
        };
        if let Some(found) = &result.spatial_reference {
            let id = |n: u32| (n > 0).then_some(n);
            let (wkid, latest_wkid) = (id(found.wkid), id(found.latest_wkid));
            self.check_reference(Some(&SpatialReference { wkid, latest_wkid, ..SpatialReference::default() }))?;
        }
        let place = |name: &str| result.fields.iter().position(|field| field.name.eq_ignore_ascii_case(name));
        let Some(id_place) = place(&self.object_id_field) else {
            return Err(self.invalid(format!("there is no field `{}` in the answer", self.object_id_field)));
        };
        let places: Vec<Option<usize>> = self.fields.iter().map(|field| place(&field.name)).collect();
        let grid = Grid::of(&result);
        let mut read = self.begin(result.features.len());
        read.has_more = result.exceeded_transfer_limit;
        for feature in &result.features {
            let value = |at: usize| raw(feature.attributes.get(at));
            let Raw::Integer(id) = value(id_place) else {
                return Err(self.invalid(format!("a feature has no object id in `{}`", self.object_id_field)));
            };
            let shape = self.pbf_shape(feature, grid.as_ref());
            let shape = shape.map_err(|wrong| self.invalid(format!("feature {id}: {wrong}")))?;
            read.add(id, &self.fields, places.iter().map(|at| at.map_or(Raw::Null, value)), shape);
        }
        Ok(read)
    }

    fn pbf_shape(&self, feature: &PbfFeature, grid: Option<&Grid>) -> Result<Option<StoredShape>, Wrong> {
        let Some(shapes) = &self.shapes else { return Ok(None) };
        if feature.curve_geometry.is_some() {
            return Err("its shape has true curves, which were not asked for (returnTrueCurves=false)".to_owned());
        }
        if feature.shape_buffer.is_some() {
            return Err("its shape is in Esri's binary form, which was not asked for".to_owned());
        }
        match (&feature.geometry, grid) {
            (None, _) => Ok(None),
            (Some(found), Some(grid)) => grid.shape(found, shapes),
            (Some(_), None) => Err("there is no transform for its shape".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::left_out::LeftOut;
    use super::super::stored::{StoredRow, fill};
    use super::*;
    use offmap_formats::features::{Feature, Field, FieldType, Value};

    fn reader(kind: GeometryKind, has_z: bool, has_m: bool) -> RowReader {
        let field = |name: &str, field_type| Field {
            name: name.to_owned(),
            alias: None,
            field_type,
            length: None,
            is_nullable: true,
            domain: None,
        };
        RowReader {
            url: "https://h/S/FeatureServer/0".to_owned(),
            object_id_field: "OBJECTID".to_owned(),
            fields: vec![field("A", FieldType::Double), field("B", FieldType::Date)],
            shapes: Some(Shapes { kind, has_z, has_m, spatial_reference: SpatialReference::web_mercator() }),
        }
    }

    fn features(reader: &RowReader, bytes: &[u8]) -> Result<Vec<Feature>, Failure> {
        let types = [FieldType::Double, FieldType::Date];
        let shapes = reader.shapes.as_ref().map(|s| (s.kind, s.has_z, s.has_m));
        let feature = |(_, bytes): (i64, Vec<u8>)| {
            let mut feature = Feature::default();
            let row = StoredRow::decode_length_delimited(bytes.as_slice()).expect("a row");
            fill(row, &types, shapes, &mut feature, &mut LeftOut::default());
            feature
        };
        Ok(reader.pbf(bytes)?.rows.into_iter().map(feature).collect())
    }

    /// Bytes of an answer, written by hand: field 2, in it field 1, in it what is given.
    fn answer(result: &[u8]) -> Vec<u8> {
        let length = |n: usize| u8::try_from(n).expect("a short answer");
        assert!(result.len() < 126);
        let mut bytes = vec![0x12, length(result.len() + 2), 0x0a, length(result.len())];
        bytes.extend(result);
        bytes
    }

    fn double(field: u8, n: f64) -> Vec<u8> {
        let mut bytes = vec![field << 3 | 1];
        bytes.extend(n.to_le_bytes());
        bytes
    }

    fn nested(field: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let mut bytes = vec![field << 3 | 2, u8::try_from(content.len()).expect("short")];
        bytes.extend(content);
        bytes
    }

    #[test]
    fn parts_begin_anew_heights_are_absolute_and_m_stands_before_z_in_the_transform() {
        // Scale: x 1 and z 0.5; translate: x 100, y 200, m 7.
        let scale = nested(2, &[&double(1, 1.0), &double(2, 1.0), &double(3, 1.0), &double(4, 0.5)]);
        let translate = nested(3, &[&double(3, 7.0)]);
        let transform = nested(12, &[&scale, &translate]);
        // Two parts of two and one vertices: (1,2,z 4,m 3) (1,1 more,z 6,m 0) and (5,5,z 0,m 1); zigzag doubles.
        let coords = nested(3, &[&[2, 4, 8, 6, 2, 2, 12, 0, 10, 10, 0, 2]]);
        let geometry = nested(2, &[&[0x08, 2], &nested(2, &[&[2, 1]]), &coords]);
        // An id of uint32, a double that is null, a date of sint64.
        let row = nested(15, &[&nested(1, &[&[5 << 3, 9]]), &nested(1, &[]), &nested(1, &[&[8 << 3, 1]]), &geometry]);
        let name = |text: &str| nested(13, &[&nested(1, &[text.as_bytes()])]);
        let result = [vec![10 << 3, 1, 11 << 3, 1], transform, name("OBJECTID"), name("A"), name("B"), row].concat();
        let reader = reader(GeometryKind::Line, true, true);
        let all = features(&reader, &answer(&result)).expect("reads");
        assert_eq!((all[0].object_id, all[0].values.as_slice()), (Some(9), &[Value::Null, Value::Date(-1)][..]));
        let shape = all[0].geometry().expect("a shape");
        assert_eq!(shape.xy(), [[1.0, -2.0], [2.0, -3.0], [5.0, -5.0]], "from the upper left corner");
        assert_eq!(shape.z(), [2.0, 3.0, 0.0]);
        assert_eq!((shape.m()[0], shape.m()[1].is_nan(), shape.m()[2]), (10.0, true, 8.0), "0 stands for no measure");
        assert!(shape.part_ranges().eq([0..2, 2..3]));
    }

    #[test]
    fn an_answer_of_empty_features_is_refused_before_it_is_read() {
        let features = [15 << 3 | 2, 0].repeat(4 << 20);
        // 8 MiB, as a length of four groups of seven bits; 5 bytes around it.
        let bytes = [&[0x12, 0x85, 0x80, 0x80, 0x04, 0x0a, 0x80, 0x80, 0x80, 0x04], features.as_slice()].concat();
        let failure = reader(GeometryKind::Point, false, false).pbf(&bytes).expect_err("refused");
        assert!(failure.message.contains("more than 64 MiB of memory"), "{failure}");
    }

    #[test]
    fn what_is_no_collection_or_no_shape_is_named() {
        let reader = reader(GeometryKind::Point, false, false);
        for (bytes, words) in [
            (b"\x12\x7fshort".to_vec(), "no FeatureCollectionPBuffer"),
            (vec![0x12, 0], "no feature result"),
            (answer(&[]), "no field `OBJECTID`"),
            (
                answer(&nested(13, &[&nested(1, &[b"OBJECTID"])]).into_iter().chain([15 << 3 | 2, 0]).collect::<Vec<_>>()),
                "no object id",
            ),
        ] {
            let failure = reader.pbf(&bytes).expect_err("refused");
            assert!(failure.message.contains(words), "{failure}");
        }
        let name = nested(13, &[&nested(1, &[b"OBJECTID"])]);
        let curve = nested(15, &[&nested(1, &[&[5 << 3, 1]]), &nested(7, &[])]);
        let failure = reader.pbf(&answer(&[name, curve].concat())).expect_err("refused");
        assert!(failure.message.contains("feature 1: its shape has true curves"), "{failure}");
    }
}
