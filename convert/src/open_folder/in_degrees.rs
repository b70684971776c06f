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
    let points = from.part_ranges().flat_map(|part| part.clone().map(move |at| (at, at + 1 == part.end)));
    for (at, is_last) in points {
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

#[cfg(test)]
mod tests {
    use super::*;
    use offmap_formats::features::GeometryField;
    use offmap_formats::geometry::GeometryKind;

    struct Lines(Vec<LayerSchema>, Vec<Feature>);

    impl FeatureReader for Lines {
        fn layers(&self) -> &[LayerSchema] {
            &self.0
        }

        fn relationships(&self) -> &[Relationship] {
            &[]
        }

        fn read_features(&self, _: usize, _: Option<i64>, take: &mut TakeFeature<'_>) -> Result<u64, Failure> {
            self.1.iter().try_for_each(take)?;
            Ok(self.1.len() as u64)
        }

        fn read_attachments(&self, _: usize, _: Option<i64>, _: &mut TakeAttachment<'_>) -> Result<u64, Failure> {
            Ok(0)
        }
    }

    #[test]
    fn shapes_of_a_national_grid_become_degrees_part_by_part() {
        let spatial_reference = SpatialReference::from_wkid(2056);
        let geometry =
            GeometryField { name: "s".into(), kind: GeometryKind::Line, has_z: true, has_m: false, spatial_reference };
        let mut layers = vec![LayerSchema::new("lines", Some(geometry))];
        let mut feature = Feature::with_fields(0);
        let shape = feature.new_geometry(GeometryKind::Line, true, false);
        for part in [[2_600_000.0, 2_600_100.0], [2_700_000.0, 2_700_100.0]] {
            part.iter().for_each(|x| shape.add_point([*x, 1_200_000.0], 540.0, 0.0));
            shape.close_part();
        }
        let lines = Lines(layers.clone(), vec![feature, Feature::with_fields(0)]);
        let table = InDegrees::of_table(&lines, 0).expect("is known");
        assert!(table.layers()[0].geometry.as_ref().is_some_and(|g| g.spatial_reference.is_wgs84()));
        let mut found = Vec::new();
        let mut take = |feature: &Feature| {
            found.push(feature.geometry().map(|g| (g.part_ranges().collect::<Vec<_>>(), g.xy().to_vec(), g.z().to_vec())));
            Ok(())
        };
        assert_eq!(table.read_features(0, None, &mut take).expect("reads"), 2);
        let (parts, xy, z) = found[0].clone().expect("a shape");
        assert_eq!((parts, z, &found[1]), (vec![0..2, 2..4], vec![540.0; 4], &None));
        assert!((xy[0][0] - 7.438_63).abs() < 1e-4 && (xy[0][1] - 46.951_08).abs() < 1e-4, "{xy:?}");
        assert!(xy[2][0] > 8.7 && xy[2][0] < 8.8, "{xy:?}");
        if let Some(geometry) = &mut layers[0].geometry {
            geometry.spatial_reference = SpatialReference::from_wkid(1);
        }
        assert!(InDegrees::of_table(&Lines(layers, Vec::new()), 0).is_err());
    }
}
