//! Which rows a replica holds.

use super::parameters::{LayerQuery, Wanted};
use crate::answer::Rest;
use crate::data::Row;
use crate::feature::{FeatureService, Layer};
use std::collections::{BTreeMap, BTreeSet};

type Rows<'a> = BTreeMap<u32, Vec<&'a Row>>;

/// The rows of a layer that its own query selects.
fn rows_of<'a>(service: &FeatureService, layer: &'a Layer, query: &LayerQuery, wanted: &Wanted) -> Rest<Vec<&'a Row>> {
    Ok(match query.option.as_str() {
        "all" => layer.rows.iter().filter(|r| service.has_row(layer.id, r.id())).collect(),
        "none" => Vec::new(),
        _ => {
            // A table that is not spatial and has no filter is empty in the replica.
            let asks = !query.filter.is_empty() || layer.geometry.is_some();
            let filter = if query.filter.is_empty() { "1=1" } else { query.filter.as_str() };
            let ids: BTreeSet<i64> = service.ids_where(layer, filter, "OBJECTID", wanted.online)?.into_iter().collect();
            let inside = |r: &&Row| match (&wanted.area, &r.shape) {
                (Some(area), Some(shape)) if query.use_geometry => shape.meets(area),
                _ => true,
            };
            layer.rows.iter().filter(|r| asks && ids.contains(&r.id())).filter(inside).collect()
        }
    })
}

/// Adds the rows of a layer that are related to rows selected so far; answers whether there were any.
fn add_related<'a>(service: &'a FeatureService, layer: &'a Layer, rows: &mut Rows<'a>) -> bool {
    let mut added = false;
    for (relation, _, origin, _, foreign) in layer.relations.iter().filter(|r| r.3 == "esriRelRoleDestination") {
        let Ok(from) = service.layer(*origin) else { continue };
        let Some(key) = from.relations.iter().find(|r| r.0 == *relation).map(|r| r.4) else { continue };
        let keys: BTreeSet<&str> = rows.get(origin).into_iter().flatten().map(|r| r.text(key)).collect();
        let mine = rows.entry(layer.id).or_default();
        let have: BTreeSet<i64> = mine.iter().map(|r| r.id()).collect();
        let there = layer.rows.iter().filter(|r| service.has_row(layer.id, r.id()));
        let new = there.filter(|r| keys.contains(r.text(foreign)) && !have.contains(&r.id()));
        let before = mine.len();
        mine.extend(new);
        added |= mine.len() > before;
    }
    added
}

/// The rows of every layer by the table of the `feature-service-rest` reference §3.1.
pub(crate) fn select<'a>(service: &'a FeatureService, wanted: &Wanted) -> Rest<Rows<'a>> {
    let mut rows = Rows::new();
    for (id, query) in &wanted.queries {
        rows.insert(*id, rows_of(service, service.layer(*id)?, query, wanted)?);
    }
    // Related rows follow the selected rows, from origin to destination, until nothing is added.
    loop {
        let mut added = false;
        for (id, _) in wanted.queries.iter().filter(|(_, q)| q.option == "none" && q.include_related) {
            added |= add_related(service, service.layer(*id)?, &mut rows);
        }
        if !added {
            return Ok(rows);
        }
    }
}
