//! Areas as requests carry them: within the world, in one piece, and not too long.

use super::area_of_interest::AreaOfInterest;
use super::limits::LONGEST_GEOMETRY;
use super::simplify;
use crate::geometry::Polygon;
use serde_json::json;

impl AreaOfInterest {
    /// The area for one request: within the world (two pieces become one polygon), and simplified if its text is too long.
    #[must_use]
    pub fn for_wire(&self) -> Self {
        let mut parts = self.parts();
        let one = match (parts.pop(), parts.is_empty()) {
            (Some(only), true) => only,
            (Some(last), false) => {
                parts.push(last);
                let rings = parts.iter().flat_map(|p| p.polygon().rings).collect();
                Self::Polygon(Polygon { rings, spatial_reference: self.spatial_reference().cloned() })
            }
            (None, _) => self.clone(),
        };
        one.simplified(LONGEST_GEOMETRY)
    }

    /// ArcGIS's word for the kind of its geometry.
    #[must_use]
    pub fn geometry_type(&self) -> &'static str {
        match self {
            Self::Envelope(_) => "esriGeometryEnvelope",
            Self::Polygon(_) => "esriGeometryPolygon",
        }
    }

    /// The parameters by which an ArcGIS query selects what meets the area: `geometry`, `geometryType`, `inSR`, `spatialRel`. The area
    /// is as it goes over the wire ([`AreaOfInterest::for_wire`]).
    ///
    /// ```
    /// use offmap_model::AreaOfInterest;
    ///
    /// let [geometry, kind, reference, relation] = AreaOfInterest::from_numbers("7,46,8,47")?.query_parameters();
    /// assert_eq!((geometry.0, kind.1.as_str()), ("geometry", "esriGeometryEnvelope"));
    /// assert_eq!((reference.0, relation.1.as_str()), ("inSR", "esriSpatialRelIntersects"));
    /// # Ok::<(), offmap_model::Failure>(())
    /// ```
    #[must_use]
    pub fn query_parameters(&self) -> [(&'static str, String); 4] {
        let area = self.for_wire();
        [
            ("geometry", json!(area).to_string()),
            ("geometryType", area.geometry_type().to_owned()),
            ("inSR", json!(area.spatial_reference()).to_string()),
            ("spatialRel", "esriSpatialRelIntersects".to_owned()),
        ]
    }

    /// The area with fewer vertices, so that its JSON has at most `longest` characters. Never smaller than it was: lines are
    /// straightened within a tolerance, and the whole is grown by it.
    #[must_use]
    pub fn simplified(&self, longest: usize) -> Self {
        self.simplified_unless(longest, &|| false).unwrap_or_else(|| self.clone())
    }

    /// The same; `None` if `stop`, which is asked between the steps, says so.
    #[must_use]
    pub fn simplified_unless(&self, longest: usize, stop: &dyn Fn() -> bool) -> Option<Self> {
        match self {
            Self::Envelope(_) => Some(self.clone()),
            Self::Polygon(polygon) => simplify::simplified(polygon, longest, stop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::SpatialReference;

    #[test]
    fn a_polygon_of_very_many_vertices_shrinks_in_text_and_never_in_ground() {
        let count = 4_000;
        let star = |radius: f64, wave: f64| -> Vec<[f64; 2]> {
            let point = |i: i32| {
                let angle = f64::from(i % count) / f64::from(count) * std::f64::consts::TAU;
                let r = radius * (1.0 + wave * (angle * 40.0).sin());
                [8.0 + r * angle.sin(), 47.0 + r * angle.cos()]
            };
            (0..=count).map(point).collect()
        };
        let hole: Vec<[f64; 2]> = star(0.5, 0.01).into_iter().rev().collect();
        let polygon = Polygon { rings: vec![star(2.0, 0.02), hole], spatial_reference: Some(SpatialReference::wgs84()) };
        let area = AreaOfInterest::Polygon(polygon.clone());
        let small = area.for_wire();
        assert!(serde_json::to_string(&small).expect("JSON").len() <= LONGEST_GEOMETRY);
        let result = small.polygon();
        assert!(polygon.rings.iter().flatten().all(|p| result.contains(*p)), "every vertex is still inside");
        assert!(!result.contains([8.0, 47.0]), "the hole is still a hole");
        assert!(!result.contains([8.0, 49.5]), "and it has not grown beyond reason");
        let same = AreaOfInterest::from_numbers("5,45,10,48").expect("an area");
        assert_eq!(same.for_wire(), same);
    }
}
