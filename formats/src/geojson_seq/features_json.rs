//! One feature as GeoJSON.

use crate::features::{Feature, FieldType, LayerSchema, Value, date_text};
use crate::geometry::{Geometry, GeometryKind, RingGroups};
use offmap_model::geometry::to_wgs84;
use std::io::{self, Write};

/// Decimals of projected degrees: a tenth of a millimetre.
const DECIMALS: f64 = 1e9;

/// How features are written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written {
    /// Whether their shapes are in Web Mercator.
    pub(super) is_mercator: bool,
    /// Whether their object ids stand among the properties, too.
    pub(super) has_id: bool,
}

/// Writes features; its memory is used again for each.
#[derive(Debug, Default)]
pub(super) struct FeatureWriter {
    groups: RingGroups,
    projected: Geometry,
    text: String,
}

fn text(text: &str, out: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(out, text).map_err(io::Error::from)
}

fn number(n: f64, out: &mut impl Write) -> io::Result<()> {
    // JSON has no other numbers.
    if n.is_finite() { serde_json::to_writer(out, &n).map_err(io::Error::from) } else { out.write_all(b"null") }
}

/// Writes a list, each item by `write`.
fn list<T, W: Write>(
    items: impl Iterator<Item = T>,
    out: &mut W,
    write: impl Fn(T, &mut W) -> io::Result<()>,
) -> io::Result<()> {
    out.write_all(b"[")?;
    for (n, item) in items.enumerate() {
        if n > 0 {
            out.write_all(b",")?;
        }
        write(item, out)?;
    }
    out.write_all(b"]")
}

fn position(shape: &Geometry, at: usize, out: &mut impl Write) -> io::Result<()> {
    let [x, y] = shape.xy()[at];
    out.write_all(b"[")?;
    number(x, out)?;
    out.write_all(b",")?;
    number(y, out)?;
    // A height that is not known is left out.
    if let Some(z) = shape.z().get(at).filter(|z| z.is_finite()) {
        out.write_all(b",")?;
        number(*z, out)?;
    }
    out.write_all(b"]")
}

impl FeatureWriter {
    /// Writes a feature of a layer.
    pub(super) fn write(
        &mut self,
        layer: &LayerSchema,
        feature: &Feature,
        how: Written,
        out: &mut impl Write,
    ) -> io::Result<()> {
        out.write_all(b"{\"type\":\"Feature\"")?;
        if let Some(id) = feature.object_id {
            write!(out, ",\"id\":{id}")?;
        }
        out.write_all(b",\"layer\":")?;
        text(&layer.name, out)?;
        out.write_all(b",\"geometry\":")?;
        match feature.geometry() {
            None => out.write_all(b"null")?,
            Some(shape) if how.is_mercator => {
                let mut projected = std::mem::take(&mut self.projected);
                projected.copy_from(shape);
                projected.map_xy(|at| to_wgs84(at).map(|n| (n * DECIMALS).round() / DECIMALS));
                let written = self.shape(&projected, out);
                self.projected = projected;
                written?;
            }
            Some(shape) => self.shape(shape, out)?,
        }
        out.write_all(b",\"properties\":{")?;
        let id = layer.object_id_field.as_ref().zip(feature.object_id).filter(|_| how.has_id);
        if let Some((name, id)) = &id {
            text(name, out)?;
            write!(out, ":{id}")?;
        }
        for (n, (field, value)) in layer.fields.iter().zip(&feature.values).enumerate() {
            if n > 0 || id.is_some() {
                out.write_all(b",")?;
            }
            text(&field.name, out)?;
            out.write_all(b":")?;
            self.value(value, field.field_type == FieldType::DateOnly, out)?;
        }
        out.write_all(b"}}")
    }

    fn value(&mut self, value: &Value, is_date_only: bool, out: &mut impl Write) -> io::Result<()> {
        match value {
            Value::Null => out.write_all(b"null"),
            Value::Integer(n) => write!(out, "{n}"),
            Value::Real(n) => number(*n, out),
            Value::Text(value) => text(value, out),
            Value::Blob(bytes) => {
                out.write_all(b"\"")?;
                bytes.iter().try_for_each(|byte| write!(out, "{byte:02x}"))?;
                out.write_all(b"\"")
            }
            Value::Date(ms) if date_text(*ms, is_date_only, &mut self.text) => text(&self.text, out),
            Value::Date(ms) => {
                let message = format!("the moment {ms} ms from 1970 is not within the years 0 to 9999");
                Err(io::Error::new(io::ErrorKind::InvalidData, message))
            }
        }
    }

    fn shape(&mut self, shape: &Geometry, out: &mut impl Write) -> io::Result<()> {
        let (kind, points) = (shape.kind(), shape.xy().len());
        let name = match kind {
            GeometryKind::Point => "Point",
            GeometryKind::Multipoint => "MultiPoint",
            GeometryKind::Line => "MultiLineString",
            GeometryKind::Polygon => "MultiPolygon",
        };
        write!(out, "{{\"type\":\"{name}\",\"coordinates\":")?;
        match kind {
            GeometryKind::Point if points > 0 => position(shape, 0, out)?,
            GeometryKind::Point | GeometryKind::Multipoint => list(0..points, out, |at, out| position(shape, at, out))?,
            GeometryKind::Line => {
                list(shape.part_ranges(), out, |part, out| list(part, out, |at, out| position(shape, at, out)))?
            }
            GeometryKind::Polygon => {
                self.groups.sort(shape);
                list(self.groups.polygons(), out, |rings, out| {
                    list(rings.iter(), out, |ring, out| {
                        let ends = ring.points.start + ring.points.end - 1;
                        let order = ring.points.clone().map(|at| if ring.reversed { ends - at } else { at });
                        list(order, out, |at, out| position(shape, at, out))
                    })
                })?;
            }
        }
        out.write_all(b"}")
    }
}
