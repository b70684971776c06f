//! Which rows of each layer and table of a service come down by default.
//!
//! Source: API reference B.2 (`destinationTableRowFilter`), feature service reference §3.1.

use super::layer_option::{GenerateLayerOption, GenerateLayerQueryOption};
use super::service::FeatureService;
use offmap_engine::ServiceRequest;
use offmap_model::{DestinationTableRowFilter, LayerPlace, MapLayer, OfflineSettings};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// What a layer's rows are chosen by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rows {
    /// Its schema only.
    Nothing,
    /// Rows that are related to rows of other layers.
    Related,
    All,
    /// Where clause and area.
    Filtered {
        use_geometry: bool,
    },
}

/// The id of a layer in its service.
pub(crate) fn layer_id(layer: &MapLayer) -> Option<u32> {
    layer.service().and_then(|s| s.layer_id())
}

/// Ids of service layers, in the order of the map, and the map layers on each.
pub(crate) fn by_service_layer(layers: &[MapLayer]) -> (Vec<u32>, HashMap<u32, Vec<&MapLayer>>) {
    let mut order = Vec::new();
    let mut all: HashMap<u32, Vec<&MapLayer>> = HashMap::new();
    for (id, layer) in layers.iter().filter_map(|l| Some((layer_id(l)?, l))) {
        let twins = all.entry(id).or_default();
        if twins.is_empty() {
            order.push(id);
        }
        twins.push(layer);
    }
    (order, all)
}

/// The definition expressions of all map layers on one service layer, joined with OR; empty as soon as one has none.
pub(crate) fn joined_where(layers: &[&MapLayer]) -> String {
    let mut clauses: Vec<&str> = Vec::new();
    let mut seen: HashSet<&str> = HashSet::new();
    for layer in layers {
        match layer.definition_expression.as_deref() {
            Some(clause) if seen.insert(clause) => clauses.push(clause),
            Some(_) => {}
            None => return String::new(),
        }
    }
    match clauses.as_slice() {
        [] => String::new(),
        [one] => (*one).to_owned(),
        many => many.iter().map(|c| format!("({c})")).collect::<Vec<_>>().join(" OR "),
    }
}

/// One option for each layer of the service that the map uses, in the order of the map.
pub(crate) fn layer_options(
    request: &ServiceRequest,
    service: &FeatureService,
    authored: &OfflineSettings,
    can_edit: impl Fn(&MapLayer) -> bool,
) -> Vec<GenerateLayerOption> {
    let wanted = &request.parameters;
    let (order, twins) = by_service_layer(&request.layers);
    let mut rows: BTreeMap<u32, (Rows, String)> = BTreeMap::new();
    for (id, layers) in &twins {
        let filter = match wanted.definition_expression_filter_enabled {
            true => joined_where(layers),
            false => String::new(),
        };
        let is_table = service.layers.get(id).is_some_and(|l| l.is_table);
        let candidate = is_table
            && filter.is_empty()
            && wanted.destination_table_row_filter == DestinationTableRowFilter::RelatedOnly
            // Only what stands in `tables` is filtered.
            && layers.iter().all(|l| l.place == LayerPlace::Table)
            && has_all_origins(*id, service, &twins);
        let chosen = if wanted.return_schema_only_for_editable_layers && layers.iter().any(|l| can_edit(l)) {
            Rows::Nothing
        } else if candidate {
            Rows::Related
        } else if is_table && !authored.include_table_rows() {
            // The author wants tables without rows of their own.
            Rows::Nothing
        } else if is_table && filter.is_empty() {
            // A table that asks for nothing comes down empty.
            Rows::All
        } else {
            Rows::Filtered { use_geometry: !is_table }
        };
        rows.insert(*id, (chosen, filter));
    }
    select_first_rows(service, &mut rows, authored.include_table_rows());
    let option = |id: u32| {
        let (chosen, where_clause) = rows.remove(&id)?;
        let (query_option, use_geometry, include_related) = match chosen {
            Rows::Nothing => (GenerateLayerQueryOption::None, false, false),
            Rows::Related => (GenerateLayerQueryOption::None, false, true),
            Rows::All => (GenerateLayerQueryOption::All, false, false),
            Rows::Filtered { use_geometry } => (GenerateLayerQueryOption::UseFilter, use_geometry, false),
        };
        Some(GenerateLayerOption { layer_id: id, query_option, where_clause, use_geometry, include_related })
    };
    order.into_iter().filter_map(option).collect()
}

/// Layers and tables that a table is a destination of.
fn origins(id: u32, service: &FeatureService) -> impl Iterator<Item = Option<u32>> {
    let relationships = service.layers.get(&id).map(|l| l.relationships.as_slice()).unwrap_or_default();
    relationships.iter().filter(|r| r.is_destination()).map(|r| u32::try_from(r.related_table_id).ok())
}

/// Whether a table is a destination, and all that it is a destination of is in the map: rows that hang on something outside the
/// map would be lost.
fn has_all_origins(id: u32, service: &FeatureService, in_map: &HashMap<u32, Vec<&MapLayer>>) -> bool {
    let outside = service.layers.get(&id).is_some_and(|l| l.origin_outside);
    let mut all = origins(id, service).peekable();
    !outside && all.peek().is_some() && all.all(|origin| origin.is_some_and(|o| in_map.contains_key(&o)))
}

/// Related rows follow other rows, so a chain of them has to begin somewhere. Where nothing selects a first row (a table that is
/// related to itself, tables in a circle, an origin without rows) the tables of the chain come with all rows.
fn select_first_rows(service: &FeatureService, rows: &mut BTreeMap<u32, (Rows, String)>, include_table_rows: bool) {
    loop {
        let mut reached: BTreeSet<u32> = BTreeSet::new();
        loop {
            let next = |(id, (chosen, _)): (&u32, &(Rows, String))| {
                let begins = match chosen {
                    Rows::All | Rows::Filtered { .. } => true,
                    Rows::Nothing => false,
                    Rows::Related => origins(*id, service).flatten().any(|o| o != *id && reached.contains(&o)),
                };
                (begins && !reached.contains(id)).then_some(*id)
            };
            let more: Vec<u32> = rows.iter().filter_map(next).collect();
            if more.is_empty() {
                break;
            }
            reached.extend(more);
        }
        let stuck: BTreeSet<u32> = rows
            .iter()
            .filter(|(id, (chosen, _))| *chosen == Rows::Related && !reached.contains(id))
            .map(|(id, _)| *id)
            .collect();
        if stuck.is_empty() {
            return;
        }
        // A chain begins with the members of its circle, or with a table whose origins select nothing; the rest follows them.
        let begins_chain = |id: u32| {
            let mut above: BTreeSet<u32> = BTreeSet::new();
            let mut todo = vec![id];
            while let Some(one) = todo.pop() {
                todo.extend(origins(one, service).flatten().filter(|o| stuck.contains(o) && above.insert(*o)));
            }
            above.is_empty() || above.contains(&id)
        };
        let first: Vec<u32> = stuck.iter().copied().filter(|id| begins_chain(*id)).collect();
        for id in first {
            if let Some((chosen, _)) = rows.get_mut(&id) {
                *chosen = if include_table_rows { Rows::All } else { Rows::Nothing };
            }
        }
        if !include_table_rows {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offmap_model::WebMap;
    use serde_json::Value;

    fn layers(wheres: &[Option<&str>]) -> Vec<MapLayer> {
        let list: Vec<Value> = wheres
            .iter()
            .map(|w| {
                serde_json::json!({"layerType": "ArcGISFeatureLayer", "url": "https://h/S/FeatureServer/0",
                "layerDefinition": {"definitionExpression": w}})
            })
            .collect();
        WebMap::from_value(serde_json::json!({"operationalLayers": list})).expect("a map").layers().to_vec()
    }

    fn joined(wheres: &[Option<&str>]) -> String {
        let layers = layers(wheres);
        joined_where(&layers.iter().collect::<Vec<_>>())
    }

    #[test]
    fn two_filters_on_one_service_layer_are_joined_with_or() {
        assert_eq!(joined(&[Some("A = 1")]), "A = 1");
        assert_eq!(joined(&[Some("A = 1"), Some("B = 2"), Some("A = 1")]), "(A = 1) OR (B = 2)");
        assert_eq!(joined(&[Some("A = 1"), None]), "");
    }
}
