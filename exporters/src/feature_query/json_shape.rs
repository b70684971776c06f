//! Shapes out of JSON, read as they come: no tree of values is built, a vertex takes the memory of its numbers.
//!
//! Source: feature service reference §5.1.

use super::json_other::{other_flag, other_list, other_null, other_object, other_scalars, skip_list};
use super::row_reader::{Shapes, Wrong};
use super::stored::StoredShape;
use offmap_formats::geometry::GeometryKind;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Members of a shape with arcs in it.
const CURVES: [&str; 2] = ["curvePaths", "curveRings"];
/// Vertices of the largest shape.
const MOST_VERTICES: usize = 8_000_000;
/// Numbers of a vertex.
const NUMBERS: usize = 4;

/// A shape as it is written, whatever is said of it before or behind its vertices.
#[derive(Debug, Default)]
pub(super) struct JsonShape {
    is_null: bool,
    is_too_large: bool,
    has_curves: bool,
    has_list: bool,
    has_x: bool,
    /// x, y, z, m of a point.
    point: [f64; NUMBERS],
    has_z: Option<bool>,
    has_m: Option<bool>,
    /// x and y of all vertices.
    xy: Vec<f64>,
    /// The third and fourth number of each vertex, where any has one; behind the last that has one, none has.
    further: [Vec<f64>; 2],
    ends: Vec<u32>,
}

impl JsonShape {
    fn vertices(&self) -> usize {
        self.xy.len() / 2
    }

    fn add(&mut self, numbers: [Option<f64>; NUMBERS]) {
        let before = self.vertices();
        if before >= MOST_VERTICES {
            self.is_too_large = true;
            return;
        }
        self.xy.extend([numbers[0].unwrap_or(f64::NAN), numbers[1].unwrap_or(f64::NAN)]);
        for (list, number) in self.further.iter_mut().zip(&numbers[2..]) {
            if let Some(number) = number {
                list.resize(before, f64::NAN);
                list.push(*number);
            }
        }
    }

    fn close_part(&mut self) {
        let end = u32::try_from(self.vertices()).unwrap_or(u32::MAX);
        if self.ends.last().copied().unwrap_or(0) < end {
            self.ends.push(end);
        }
    }

    /// The shape as it is kept; none for a point without coordinates.
    pub(super) fn stored(mut self, shapes: &Shapes) -> Result<Option<StoredShape>, Wrong> {
        if self.is_null {
            return Ok(None);
        }
        if self.is_too_large {
            return Err(format!("its shape has more than {MOST_VERTICES} vertices"));
        }
        if self.has_curves {
            return Err("its shape has true curves, which were not asked for (returnTrueCurves=false)".to_owned());
        }
        if shapes.kind == GeometryKind::Point {
            return self.stored_point(shapes);
        }
        if !self.has_list {
            return Err(format!("its shape has no `{}`", list_of(shapes.kind)));
        }
        if shapes.kind == GeometryKind::Multipoint {
            self.close_part();
        }
        // Where neither is said, it is as the layer says.
        let (has_z, has_m) = match (self.has_z, self.has_m) {
            (None, None) => (shapes.has_z, shapes.has_m),
            (z, m) => (z.unwrap_or(false), m.unwrap_or(false)),
        };
        let vertices = self.vertices();
        let [third, fourth] = &mut self.further;
        let mut of = |is_there: bool, is_fourth: bool| {
            let mut list = match (is_there, is_fourth) {
                (false, _) => Vec::new(),
                (true, false) => std::mem::take(third),
                (true, true) => std::mem::take(fourth),
            };
            list.resize(vertices, f64::NAN);
            list
        };
        let z = if shapes.has_z { of(has_z, false) } else { Vec::new() };
        let m = if shapes.has_m { of(has_m, has_z) } else { Vec::new() };
        // A coordinate that is none is kept as such: the shape cannot be written, and its row can.
        Ok(Some(StoredShape { ends: self.ends, xy: self.xy, z, m }))
    }

    fn stored_point(&self, shapes: &Shapes) -> Result<Option<StoredShape>, Wrong> {
        let [x, y, z, m] = self.point;
        if !self.has_x {
            return Err("its shape is no point".to_owned());
        }
        if x.is_nan() || y.is_nan() {
            return Ok(None);
        }
        let mut shape = StoredShape::default();
        shape.add([x, y], shapes.has_z.then_some(z), shapes.has_m.then_some(m));
        shape.close_part();
        Ok(Some(shape))
    }
}

/// The member that has the vertices of a kind.
fn list_of(kind: GeometryKind) -> &'static str {
    match kind {
        GeometryKind::Point => "x",
        GeometryKind::Multipoint => "points",
        GeometryKind::Line => "paths",
        GeometryKind::Polygon => "rings",
    }
}

/// Reads a shape of a kind; none where there is null. Something else than an object is a shape that cannot be kept.
pub(super) struct ShapeSeed(pub(super) GeometryKind);

impl<'de> DeserializeSeed<'de> for ShapeSeed {
    type Value = JsonShape;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ShapeSeed {
    type Value = JsonShape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a geometry")
    }

    other_flag!();
    other_scalars!();
    other_list!();

    fn visit_unit<E>(self) -> Result<JsonShape, E> {
        Ok(JsonShape { is_null: true, ..JsonShape::default() })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut shape = JsonShape { point: [f64::NAN; NUMBERS], ..JsonShape::default() };
        let list = list_of(self.0);
        while let Some(member) = members.next_key_seed(MemberSeed(list))? {
            match member {
                Member::Coordinate(at) => {
                    shape.has_x |= at == 0;
                    shape.point[at] = members.next_value_seed(Coordinate)?;
                }
                Member::List => {
                    // Of a list that comes twice the last one counts, as in a tree of values.
                    (shape.xy, shape.further, shape.ends) = Default::default();
                    shape.has_list = members.next_value_seed(Vertices { shape: &mut shape, depth: depth_of(self.0) })?;
                }
                Member::HasZ => shape.has_z = members.next_value_seed(Flag)?,
                Member::HasM => shape.has_m = members.next_value_seed(Flag)?,
                Member::Curves | Member::Other => {
                    shape.has_curves |= matches!(member, Member::Curves);
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(shape)
    }
}

/// Lists in the list of vertices of a kind.
fn depth_of(kind: GeometryKind) -> u32 {
    u32::from(kind != GeometryKind::Multipoint)
}

enum Member {
    Coordinate(usize),
    List,
    HasZ,
    HasM,
    Curves,
    Other,
}

/// Tells the members of a shape by their names.
struct MemberSeed(&'static str);

impl<'de> DeserializeSeed<'de> for MemberSeed {
    type Value = Member;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Member, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for MemberSeed {
    type Value = Member;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a member")
    }

    fn visit_str<E>(self, name: &str) -> Result<Member, E> {
        let is_point = self.0 == "x";
        Ok(match name {
            "hasZ" => Member::HasZ,
            "hasM" => Member::HasM,
            name if CURVES.contains(&name) => Member::Curves,
            name if !is_point && name == self.0 => Member::List,
            name if is_point => {
                ["x", "y", "z", "m"].iter().position(|n| *n == name).map_or(Member::Other, Member::Coordinate)
            }
            _ => Member::Other,
        })
    }
}

/// A coordinate; NaN where it is written as `"NaN"`, null or something else.
struct Coordinate;

impl<'de> DeserializeSeed<'de> for Coordinate {
    type Value = f64;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<f64, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Coordinate {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a coordinate")
    }

    #[inline]
    fn visit_f64<E>(self, n: f64) -> Result<f64, E> {
        Ok(n)
    }

    #[inline]
    fn visit_i64<E>(self, n: i64) -> Result<f64, E> {
        Ok(n as f64)
    }

    #[inline]
    fn visit_u64<E>(self, n: u64) -> Result<f64, E> {
        Ok(n as f64)
    }

    fn visit_str<E>(self, text: &str) -> Result<f64, E> {
        Ok(text.trim().parse().unwrap_or(f64::NAN))
    }

    fn visit_bool<E>(self, _: bool) -> Result<f64, E> {
        Ok(f64::NAN)
    }

    fn visit_unit<E>(self) -> Result<f64, E> {
        Ok(f64::NAN)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<f64, A::Error> {
        skip_list(list).map(|()| f64::NAN)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<f64, A::Error> {
        super::json_other::skip_object(object).map(|()| f64::NAN)
    }
}

/// True or false; none where there is something else.
struct Flag;

impl<'de> DeserializeSeed<'de> for Flag {
    type Value = Option<bool>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<bool>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Flag {
    type Value = Option<bool>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("true or false")
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Option<bool>, E> {
        Ok(Some(flag))
    }

    other_null!();
    other_scalars!();
    other_list!();
    other_object!();
}

/// A list of vertices, or at a depth of 1 a list of such lists. Answers whether it is a list at all.
struct Vertices<'a> {
    shape: &'a mut JsonShape,
    depth: u32,
}

impl<'de> DeserializeSeed<'de> for Vertices<'_> {
    type Value = bool;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Vertices<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of vertices")
    }

    other_flag!();
    other_null!();
    other_scalars!();
    other_object!();

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<bool, A::Error> {
        let shape = self.shape;
        match self.depth {
            0 => {
                while let Some(is_list) = list.next_element_seed(Vertex(shape))? {
                    if !is_list {
                        shape.add([None; NUMBERS]);
                    }
                }
            }
            _ => {
                while list.next_element_seed(Vertices { shape, depth: self.depth - 1 })?.is_some() {
                    shape.close_part();
                }
            }
        }
        Ok(true)
    }
}

/// A vertex: x, y, then z, then m. Answers whether it is a list at all.
struct Vertex<'a>(&'a mut JsonShape);

impl<'de> DeserializeSeed<'de> for Vertex<'_> {
    type Value = bool;

    #[inline]
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Vertex<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a vertex")
    }

    other_flag!();
    other_null!();
    other_scalars!();
    other_object!();

    #[inline]
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<bool, A::Error> {
        let mut numbers = [None; NUMBERS];
        for number in &mut numbers {
            *number = list.next_element_seed(Coordinate)?;
            if number.is_none() {
                self.0.add(numbers);
                return Ok(true);
            }
        }
        self.0.add(numbers);
        skip_list(list).map(|()| true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offmap_model::SpatialReference;

    #[test]
    fn a_shape_has_up_to_so_many_vertices() {
        let spatial_reference = SpatialReference::web_mercator();
        let shapes = Shapes { kind: GeometryKind::Multipoint, has_z: false, has_m: false, spatial_reference };
        let of = |vertices: usize| {
            let mut shape = JsonShape { has_list: true, ..JsonShape::default() };
            (0..vertices).for_each(|_| shape.add([Some(1.0), Some(2.0), None, None]));
            shape.close_part();
            (shape.vertices(), shape.stored(&shapes).map(|stored| stored.is_some()))
        };
        assert_eq!(of(3), (3, Ok(true)));
        let (kept, wrong) = of(MOST_VERTICES + 1);
        assert_eq!((kept, wrong), (MOST_VERTICES, Err("its shape has more than 8000000 vertices".to_owned())));
    }
}
