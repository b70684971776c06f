//! Queries and related records.
//!
//! Written after the `feature-service-rest` reference §5.

use super::abilities::{ID, LimitWord};
use super::area::area_of;
use super::layer::Layer;
use super::pbf::{Collection, PbfField};
use super::service::FeatureService;
use crate::answer::{Rest, RestError};
use crate::data::{Row, Shape};
use crate::request::Call;
use offmap_model::SpatialReference;
use offmap_model::geometry::to_wgs84;
use serde_json::{Map, Value, json};
use std::collections::{BTreeSet, HashSet};

fn geometry_json(shape: &Shape, in_degrees: bool) -> Value {
    let out = |p: &[f64; 2]| if in_degrees { to_wgs84(*p) } else { *p };
    let lists = |lines: &[Vec<[f64; 2]>]| lines.iter().map(|l| l.iter().map(out).collect::<Vec<_>>()).collect::<Vec<_>>();
    match shape {
        Shape::Point(p) => {
            let [x, y] = out(p);
            json!({"x": x, "y": y})
        }
        Shape::Lines(lines) => json!({"paths": lists(lines)}),
        Shape::Polygon(polygon) => json!({"rings": lists(&polygon.rings)}),
    }
}

/// A shape beyond every grid.
fn nowhere(shape: &Shape) -> Value {
    match shape {
        Shape::Point(_) => json!({"x": 1e30, "y": 0}),
        Shape::Lines(_) => json!({"paths": [[[0, 0], [1e30, 0]]]}),
        Shape::Polygon(_) => json!({"rings": [[[0, 0], [0, 1], [1e30, 0], [0, 0]]]}),
    }
}

/// The answer to a query.
pub(crate) enum Queried {
    Json(Value),
    Pbf(Vec<u8>),
}

impl FeatureService {
    /// The rows that a query selects, in order.
    pub(crate) fn select<'a>(&self, layer: &'a Layer, call: &Call) -> Rest<Vec<&'a Row>> {
        let area = area_of(call)?;
        let ids: Option<BTreeSet<i64>> = call.numbers("objectIds").map(|ids| ids.into_iter().collect());
        let clause = match (call.text("where"), &ids, &area) {
            (Some(clause), _, _) => self.abilities.inward(clause),
            (None, None, None) => return Err(RestError::new(400, "No where clause specified.")),
            _ => "1=1".to_owned(),
        };
        let unasked = if self.abilities.is_sloppy { "OBJECTID DESC" } else { "OBJECTID ASC" };
        let order = self.abilities.inward(call.text("orderByFields").unwrap_or(unasked));
        if call.text("orderByFields").is_some() && !self.abilities.orders {
            return Err(RestError::new(400, "'orderByFields' parameter is not supported"));
        }
        if !order.chars().all(|c| c.is_ascii_alphanumeric() || "_ ,".contains(c)) {
            return Err(RestError::new(400, "'orderByFields' parameter is invalid"));
        }
        let moment = self.abilities.has_moments && call.number("historicMoment").is_some();
        let found = self.ids_where_at(layer, &clause, &order, (call.is_online(), moment))?;
        let wanted = |id: &i64| ids.as_ref().is_none_or(|ids| ids.contains(id));
        let rows = found.into_iter().filter(wanted).filter_map(|id| layer.row(id));
        Ok(rows.filter(|r| area.as_ref().is_none_or(|a| r.shape.as_ref().is_some_and(|s| s.meets(a)))).collect())
    }

    pub(crate) fn query(&self, id: u32, call: &Call) -> Rest<Queried> {
        let (layer, abilities) = (self.layer(id)?, &self.abilities);
        let rows = self.select(layer, call)?;
        if call.flag("returnCountOnly", false) {
            return Ok(Queried::Json(json!({"count": rows.len()})));
        }
        if call.flag("returnIdsOnly", false) {
            let ids: Vec<i64> = rows.iter().map(|r| r.id()).take(abilities.ids_cut.unwrap_or(usize::MAX)).collect();
            return Ok(Queried::Json(json!({"objectIdFieldName": abilities.id_name, "objectIds": ids})));
        }
        if abilities.refuses_rows && (call.text("f") == Some("pbf") || call.number("historicMoment").is_some()) {
            return Err(RestError::new(400, "Unable to perform query operation."));
        }
        let offset = usize::try_from(call.number("resultOffset").unwrap_or(0)).unwrap_or(0);
        if offset > 0 && !abilities.has_pages {
            return Err(RestError::new(400, "Pagination is not supported."));
        }
        let rows: Vec<&Row> = rows.into_iter().filter(|r| !abilities.withheld.contains(&r.id())).collect();
        let asked = call.number("resultRecordCount").and_then(|n| usize::try_from(n).ok()).unwrap_or(abilities.most);
        let limit = asked.min(abilities.most).min(abilities.cut.unwrap_or(usize::MAX));
        let page: Vec<&Row> = rows.iter().copied().skip(offset).take(limit).collect();
        let exceeded = match abilities.limit_word {
            LimitWord::Honest => rows.len() > offset + limit,
            LimitWord::Never => false,
            LimitWord::OnFullPages => page.len() == limit,
        };
        self.answer(layer, call, &page, exceeded)
    }

    /// A page of features.
    fn answer(&self, layer: &Layer, call: &Call, page: &[&Row], exceeded: bool) -> Rest<Queried> {
        let in_degrees = call.text("outSR").is_some_and(|t| t.contains("4326"));
        let fields: Option<HashSet<String>> = call
            .text("outFields")
            .filter(|t| *t != "*")
            .map(|t| self.abilities.inward(t).split(',').map(|f| f.trim().to_owned()).collect());
        let with_geometry = call.flag("returnGeometry", true) && layer.geometry.is_some();
        let attributes = |row: &Row| {
            let kept = row.attributes.iter().filter(|(k, _)| fields.as_ref().is_none_or(|f| f.contains(*k)));
            self.abilities.written(row.id(), kept.map(|(k, v)| (k.clone(), v.clone())).collect::<Map<String, Value>>())
        };
        let listed = layer.fields_json();
        if call.text("f") == Some("pbf") && self.abilities.speaks_pbf {
            let word = |field: &Value, key: &str| field.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            let names: Vec<(String, String)> = listed.iter().map(|f| (word(f, "name"), word(f, "type"))).collect();
            let collection = Collection {
                id_name: ID,
                fields: names.iter().map(|(name, kind)| PbfField { name, kind }).collect(),
                rows: page.iter().map(|row| (attributes(row), *row)).collect(),
                with_geometry,
                in_degrees,
                exceeded,
                out: &|p| if in_degrees { to_wgs84(*p) } else { *p },
            };
            return Ok(Queried::Pbf(collection.encode()));
        }
        let feature = |row: &&Row| {
            let attributes = attributes(row);
            let shape = row.shape.as_ref().filter(|_| with_geometry).map(|s| match self.abilities.odd.contains(&row.id()) {
                true => nowhere(s),
                false => geometry_json(s, in_degrees),
            });
            match shape {
                Some(geometry) => json!({"attributes": attributes, "geometry": geometry}),
                None => json!({"attributes": attributes}),
            }
        };
        let features: Vec<Value> = page.iter().map(feature).collect();
        let spatial_reference = if in_degrees { SpatialReference::wgs84() } else { SpatialReference::web_mercator() };
        let mut json = json!({"objectIdFieldName": ID, "globalIdFieldName": "GlobalID",
            "uniqueIdField": {"name": ID, "isSystemMaintained": true},
            "fields": listed, "features": features});
        if let Some(json) = json.as_object_mut() {
            if let Some(geometry) = layer.geometry {
                json.insert("geometryType".to_owned(), json!(geometry));
                json.insert("spatialReference".to_owned(), json!(spatial_reference));
            }
            if exceeded {
                json.insert("exceededTransferLimit".to_owned(), json!(true));
            }
        }
        Ok(Queried::Json(self.abilities.outward(json)))
    }

    pub(crate) fn related(&self, id: u32, call: &Call) -> Rest<Value> {
        let layer = self.layer(id)?;
        let relation = call.number("relationshipId").unwrap_or(-1);
        let found = layer.relations.iter().find(|r| r.0 == relation);
        let (_, _, other, _, key) = found.ok_or_else(|| RestError::new(400, "Invalid relationshipId."))?;
        let other = self.layer(*other)?;
        let other_key = other.relations.iter().find(|r| r.0 == relation).map_or("", |r| r.4);
        let ids = call.numbers("objectIds").unwrap_or_default();
        let groups: Vec<Value> = ids
            .iter()
            .filter_map(|id| layer.row(*id))
            .filter_map(|row| {
                let own = row.attributes.get(*key);
                let related = other.rows.iter().filter(|r| self.has_row(other.id, r.id()));
                let related = related.filter(|r| r.attributes.get(other_key) == own);
                let records: Vec<Value> = related.map(|r| json!({"attributes": r.attributes})).collect();
                (!records.is_empty()).then(|| json!({"objectId": row.id(), "relatedRecords": records}))
            })
            .collect();
        Ok(json!({"fields": other.fields_json(), "relatedRecordGroups": groups}))
    }
}
