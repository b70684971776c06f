//! Several polygons as one area: what lies in any of them. Polygons that no other reaches stay as they are.

use super::limits::MOST_VERTICES;
use super::rings::{MOST_PAIRS, Ring, esri_rings, overlap_often};
use crate::failure::Failure;
use crate::geometry::{Envelope, Polygon, SpatialReference};
use i_overlay::core::fill_rule::FillRule;
use i_overlay::float::simplify::SimplifyShape as _;

/// Several polygons as one.
pub(super) fn one_of(polygons: Vec<Vec<Ring>>, spatial_reference: Option<SpatialReference>) -> Result<Polygon, Failure> {
    let vertices: usize = polygons.iter().flatten().map(Vec::len).sum();
    if vertices > MOST_VERTICES {
        // The check says so by name.
        return Ok(Polygon { rings: polygons.into_iter().flatten().collect(), spatial_reference });
    }
    let count = polygons.len();
    let rings = united(polygons).ok_or_else(|| {
        Failure::invalid_parameter(format!(
            "the {count} polygons of the area overlap in too many places; unite them first, or give the envelope around them"
        ))
    })?;
    Ok(Polygon { rings, spatial_reference })
}

/// The rings of all polygons together. `None` where they overlap in so many places that uniting them would take long.
///
/// Each polygon is read even-odd by itself, as its own rings say; together they are united. Rings that are no rings are left to
/// the check of the area.
fn united(polygons: Vec<Vec<Ring>>) -> Option<Vec<Ring>> {
    let is_ring = |r: &Ring| r.len() >= 4 && r.first() == r.last() && r.iter().flatten().all(|n| n.is_finite());
    if polygons.len() < 2 || !polygons.iter().flatten().all(is_ring) {
        return Some(polygons.into_iter().flatten().collect());
    }
    let groups = groups(&polygons);
    let mut polygons: Vec<Option<Vec<Ring>>> = polygons.into_iter().map(Some).collect();
    let mut all = Vec::new();
    for group in groups {
        let mut members: Vec<Vec<Ring>> = group.iter().filter_map(|i| polygons.get_mut(*i)?.take()).collect();
        match members.pop() {
            Some(only) if members.is_empty() => all.extend(only),
            Some(last) => {
                members.push(last);
                all.extend(united_group(members)?);
            }
            None => {}
        }
    }
    Some(all)
}

fn united_group(polygons: Vec<Vec<Ring>>) -> Option<Vec<Ring>> {
    if overlap_often(polygons.iter().flatten()) {
        return None;
    }
    // Outer rings turn one way then, holes the other, so that what is in no polygon adds up to zero.
    let plain = |rings: Vec<Ring>| rings.simplify_shape_as::<i64>(FillRule::EvenOdd).into_iter().flatten();
    let rings: Vec<Ring> = polygons.into_iter().flat_map(plain).collect();
    Some(esri_rings(rings.simplify_shape_as::<i64>(FillRule::NonZero)))
}

/// Polygons whose envelopes meet, directly or by others between them; all together where that is too much to compare.
fn groups(polygons: &[Vec<Ring>]) -> Vec<Vec<usize>> {
    let reach = |i: usize| Envelope::of(polygons.get(i)?.iter().flatten().copied());
    let mut order: Vec<(usize, Envelope)> = (0..polygons.len()).filter_map(|i| Some((i, reach(i)?))).collect();
    order.sort_by(|a, b| a.1.xmin.total_cmp(&b.1.xmin));
    let mut heads: Vec<usize> = (0..polygons.len()).collect();
    let mut left = MOST_PAIRS;
    for (at, (i, e)) in order.iter().enumerate() {
        for (j, other) in order.iter().skip(at + 1).take_while(|(_, o)| o.xmin <= e.xmax) {
            let Some(rest) = left.checked_sub(1) else { return vec![(0..polygons.len()).collect()] };
            left = rest;
            if e.intersects(other) {
                let (a, b) = (head(&mut heads, *i), head(&mut heads, *j));
                if let Some(slot) = heads.get_mut(a.max(b)) {
                    *slot = a.min(b);
                }
            }
        }
    }
    let mut groups: Vec<Vec<usize>> = vec![Vec::new(); polygons.len()];
    for i in 0..polygons.len() {
        let head = head(&mut heads, i);
        if let Some(group) = groups.get_mut(head) {
            group.push(i);
        }
    }
    groups.into_iter().filter(|g| !g.is_empty()).collect()
}

/// The first of a polygon's group; the way there is shortened.
fn head(heads: &mut [usize], mut i: usize) -> usize {
    while let Some(next) = heads.get(i).copied().filter(|next| *next != i) {
        let after = heads.get(next).copied().unwrap_or(next);
        if let Some(slot) = heads.get_mut(i) {
            *slot = after;
        }
        i = next;
    }
    i
}
