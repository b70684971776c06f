//! Tables of any spatial reference in WGS84, which GeoJSON wants.

use offmap_formats::features::{Feature, FeatureReader, LayerSchema, Relationship, TakeAttachment, TakeFeature};
use offmap_formats::geometry::Geometry;
use offmap_model::projection::ToDegrees;
use offmap_model::{Failure, SpatialReference};

/// Decimals of projected degrees: a tenth of a millimetre.
const DECIMALS: f64 = 1e9;

/// One table of a file.
pub(super) struct InDegrees<'a> {
    reader: &'a dyn FeatureReader,
    table: usize,
    layers: Vec<LayerSchema>,
    /// None where the shapes stay as they are: in degrees, or in Web Mercator, which the sink knows.
    projected: Option<ToDegrees>,
}

impl<'a> InDegrees<'a> {
    /// A table by its place in a file.
    ///
    /// # Errors
    /// If its spatial reference is not known.
    pub(super) fn of_table(reader: &'a dyn FeatureReader, table: usize) -> Result<Self, Failure> {
        let mut layers: Vec<LayerSchema> = reader.layers().get(table).cloned().into_iter().collect();
        let mut projected = None;
        for layer in &mut layers {
            // They have no place in GeoJSON.
            layer.has_attachments = false;
            let Some(geometry) = &mut layer.geometry else { continue };
            let reference = &geometry.spatial_reference;
            if !reference.is_wgs84() && !reference.is_web_mercator() {
                projected = Some(ToDegrees::of(reference)?);
                geometry.spatial_reference = SpatialReference::wgs84();
            }
        }
        Ok(Self { reader, table, layers, projected })
    }
}

/// Gives a feature the shape of another one in degrees. A shape of which a point has no place on earth is none.
fn project(from: &Geometry, to_degrees: &ToDegrees, feature: &mut Feature) {
    let shape = feature.new_geometry(from.kind(), from.has_z(), from.has_m());
    for at in from.part_ranges().flat_map(|part| {
        let end = part.end;
        part.map(move |at| (at, at + 1 == end))
    }) {
        let (at, is_last) = at;
        let Some(degrees) = to_degrees.degrees_at(from.xy()[at]) else {
            feature.drop_geometry();
            return;
        };
        let value = |of: &[f64]| of.get(at).copied().unwrap_or(f64::NAN);
        shape.add_point(degrees.map(|n| (n * DECIMALS).round() / DECIMALS), value(from.z()), value(from.m()));
        if is_last {
            shape.close_part();
        }
    }
}

impl FeatureReader for InDegrees<'_> {
    fn layers(&self) -> &[LayerSchema] {
        &self.layers
    }

    fn relationships(&self) -> &[Relationship] {
        &[]
    }

    fn read_features(&self, _: usize, after: Option<i64>, take: &mut TakeFeature<'_>) -> Result<u64, Failure> {
        let Some(to_degrees) = &self.projected else { return self.reader.read_features(self.table, after, take) };
        let mut own = Feature::default();
        self.reader.read_features(self.table, after, &mut |feature| {
            (own.row_id, own.object_id) = (feature.row_id, feature.object_id);
            own.values.clone_from(&feature.values);
            match feature.geometry() {
                Some(shape) => project(shape, to_degrees, &mut own),
                None => own.drop_geometry(),
            }
            take(&own)
        })
    }

    fn read_attachments(&self, _: usize, _: Option<i64>, _: &mut TakeAttachment<'_>) -> Result<u64, Failure> {
        Ok(0)
    }
}
