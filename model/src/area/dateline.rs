//! Areas across the dateline.
//!
//! | what | source |
//! | --- | --- |
//! | `xmin` above `xmax`, rings cut at the antimeridian | RFC 7946 §5.2, §3.1.9 |
//! | an area over the dateline is asked for in parts within ±180 | tile reference §10 |
//!
//! That an area may cross the dateline at all is this project's; the ArcGIS workflow names it as a limitation.

use super::area_of_interest::AreaOfInterest;
use super::rings::{Ring, clipped, esri_rings, is_entangled};
use crate::geometry::{Envelope, Polygon};
use crate::projection::Projection;
use i_overlay::core::fill_rule::FillRule;
use i_overlay::core::overlay_rule::OverlayRule;
use i_overlay::float::single::SingleFloatOverlay as _;

/// What touches the dateline, as a share of the world's width.
const TOUCHES: f64 = 1e-9;

impl AreaOfInterest {
    /// The area in one piece: x goes on beyond the dateline where the area crosses it.
    ///
    /// Read are an envelope whose `xmin` is above its `xmax`, and a polygon whose rings were cut at the dateline. Another area
    /// stays as it is.
    #[must_use]
    pub fn unwrapped(&self) -> Self {
        let width = self.spatial_reference().and_then(|s| Projection::of(s).ok()?.world_width());
        let Some(width) = width else { return self.clone() };
        match self {
            Self::Envelope(e) if e.xmin > e.xmax => Self::Envelope(Envelope { xmax: e.xmax + width, ..e.clone() }),
            Self::Envelope(_) => self.clone(),
            Self::Polygon(p) => {
                let reach = |r: &Ring| Envelope::of(r.iter().copied()).map_or((0.0, 0.0), |e| (e.xmin, e.xmax));
                let (half, near) = (width / 2.0, width * TOUCHES);
                let east = p.rings.iter().any(|r| reach(r).0 >= 0.0 && (reach(r).1 - half).abs() <= near);
                let west = p.rings.iter().any(|r| reach(r).1 <= 0.0 && (reach(r).0 + half).abs() <= near);
                let one_sided = p.rings.iter().all(|r| reach(r).0 >= 0.0 || reach(r).1 <= 0.0);
                if !(east && west && one_sided) {
                    return self.clone();
                }
                let moved = |r: &Ring| -> Ring {
                    let shift = if reach(r).0 < 0.0 { width } else { 0.0 };
                    r.iter().map(|[x, y]| [x + shift, *y]).collect()
                };
                Self::Polygon(Polygon { rings: p.rings.iter().map(moved).collect(), ..p.clone() })
            }
        }
    }

    /// Whether it reaches over the dateline.
    #[must_use]
    pub fn crosses_dateline(&self) -> bool {
        self.parts().len() > 1
    }

    /// The area as pieces that each lie within the world: one, or two where it crosses the dateline.
    ///
    /// An envelope gives envelopes, a polygon polygons. Pieces share at most an edge, so nothing is in two of them.
    #[must_use]
    pub fn parts(&self) -> Vec<Self> {
        let whole = self.unwrapped();
        let width = whole.spatial_reference().and_then(|s| Projection::of(s).ok()?.world_width());
        let (Some(width), Some(e)) = (width, whole.envelope()) else { return vec![whole] };
        let half = width / 2.0;
        let slack = width * TOUCHES;
        if e.xmin >= -half - slack && e.xmax <= half + slack {
            return vec![whole];
        }
        let mut parts = Vec::new();
        for turn in [-1.0, 0.0, 1.0] {
            let shift = turn * width;
            let (left, right) = (e.xmin.max(shift - half), e.xmax.min(shift + half));
            if right - left <= slack {
                continue;
            }
            let Some(strip) = whole.strip(left, right) else { continue };
            parts.push(match strip {
                Self::Envelope(e) => Self::Envelope(Envelope { xmin: left - shift, xmax: right - shift, ..e }),
                Self::Polygon(Polygon { rings, spatial_reference }) => {
                    let turned = |r: Ring| r.into_iter().map(|[x, y]| [(x - shift).clamp(-half, half), y]).collect();
                    let rings = rings.into_iter().map(turned).collect();
                    Self::Polygon(Polygon { rings, spatial_reference })
                }
            });
        }
        parts
    }

    /// What of the area lies between two values of x, in its own spatial reference; `None` where nothing does.
    #[must_use]
    pub fn strip(&self, left: f64, right: f64) -> Option<Self> {
        let e = self.envelope()?;
        if left.max(e.xmin) > right.min(e.xmax) {
            return None;
        }
        match self {
            Self::Envelope(e) => {
                Some(Self::Envelope(Envelope { xmin: left.max(e.xmin), xmax: right.min(e.xmax), ..e.clone() }))
            }
            Self::Polygon(p) => {
                let rings = if is_entangled(p.rings.iter()) {
                    clipped(&p.rings, left, right)
                } else {
                    let window = vec![[left, e.ymin], [left, e.ymax], [right, e.ymax], [right, e.ymin]];
                    esri_rings(p.rings.overlay_as::<i64>(&window, OverlayRule::Intersect, FillRule::EvenOdd))
                };
                let spatial_reference = p.spatial_reference.clone();
                (!rings.is_empty()).then_some(Self::Polygon(Polygon { rings, spatial_reference }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{SpatialReference, signed_area};

    fn area(text: &str) -> AreaOfInterest {
        match text.starts_with('{') {
            true => AreaOfInterest::from_json(text).expect("an area"),
            false => AreaOfInterest::from_numbers(text).expect("an area"),
        }
    }

    fn reach(area: &AreaOfInterest) -> [f64; 2] {
        area.envelope().map(|e| [e.xmin, e.xmax]).expect("not empty")
    }

    #[test]
    fn three_ways_to_write_an_area_over_the_dateline_mean_the_same() {
        let cut = r#"{"type":"MultiPolygon","coordinates":[
            [[[175,-22],[180,-22],[180,-10],[175,-10],[175,-22]]], [[[-180,-22],[-170,-22],[-170,-10],[-180,-10],[-180,-22]]]]}"#;
        for text in ["175,-22,-170,-10", "175,-22,190,-10", "-185,-22,-170,-10", cut] {
            let area = area(text);
            let parts = area.parts();
            assert_eq!(parts.len(), 2, "{text}");
            let mut reaches: Vec<[f64; 2]> = parts.iter().map(reach).collect();
            reaches.sort_by(|a, b| b[0].total_cmp(&a[0]));
            for (found, expected) in reaches.iter().zip([[175.0, 180.0], [-180.0, -170.0]]) {
                assert!(
                    (found[0] - expected[0]).abs() < 1e-6 && (found[1] - expected[1]).abs() < 1e-6,
                    "{text}: {reaches:?}"
                );
            }
            let wire = area.for_wire().polygon();
            assert!(wire.contains([178.0, -18.0]) && wire.contains([-175.0, -18.0]) && !wire.contains([0.0, -18.0]));
            let [[xmin, _], [xmax, _]] = area.wgs84_extent().expect("an extent");
            assert!((xmax - xmin - 15.0).abs() < 1e-6, "{text}: in one piece");
        }
        assert!(!area("175,-22,180,-10").crosses_dateline());
        assert!(!area("-180,-90,180,90").crosses_dateline());
    }

    #[test]
    fn a_slanted_polygon_is_cut_at_the_dateline_and_loses_nothing() {
        let triangle = area(r#"{"rings":[[[175,-20],[180,-10],[189,-15],[175,-20]]],"spatialReference":{"wkid":4326}}"#);
        let mercator = triangle.parts_in(&SpatialReference::web_mercator()).expect("projects");
        assert_eq!(mercator.len(), 2);
        let parts = triangle.parts();
        let size = |a: &AreaOfInterest| a.polygon().rings.iter().map(|r| signed_area(r)).sum::<f64>();
        let sum: f64 = parts.iter().map(size).sum();
        assert!((sum - size(&triangle.unwrapped())).abs() < 1e-6, "{sum}");
        assert!(sum < 0.0, "outer rings are clockwise");
    }
}
