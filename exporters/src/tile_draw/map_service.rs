//! Pictures of a map service, by `export`.
//!
//! | the map says | the request says |
//! | --- | --- |
//! | `visibleLayers` | `layers=show:` with those layers of the list that hold data and whose groups are in it as well |
//! | a group in that list, and nothing below it | its layers, as the service itself reads `show:` |
//! | a list without any group | its layers, whatever groups they are in |
//! | `layers[].defaultVisibility`, and no list | the same by what is visible in the service otherwise |
//! | `layers[].layerDefinition.definitionExpression` | `layerDefs` |
//! | `layers[].layerDefinition` with `drawingInfo` or `source` | `dynamicLayers`, where the service has `supportsDynamicLayers` |
//!
//! Source: ArcGIS REST API, Export Map (`layers`, `layerDefs`, `dynamicLayers`, `transparent`, `dpi`); web map specification,
//! `mapServiceLayer`, `layer` (`defaultVisibility`, `layerDefinition`).

use super::arcgis_picture::of_frame;
use super::frame::{Frame, Parameters};
use offmap_model::number;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Most layers of a service that are looked at.
const MOST_LAYERS: usize = 10_000;
/// Deepest nesting of groups that is followed.
const DEEPEST_GROUP: usize = 64;

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MapDrawing {
    pub(super) root: String,
    pub(super) format: String,
    pub(super) dpi: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) layers: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) layer_defs: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) dynamic_layers: Option<String>,
}

impl MapDrawing {
    pub(super) fn url(&self) -> String {
        format!("{}/export", self.root)
    }

    pub(super) fn parameters(&self, frame: &Frame) -> Parameters {
        let mut all = of_frame(frame, &self.format);
        all.push(("transparent", "true".to_owned()));
        all.push(("dpi", self.dpi.to_string()));
        let more = [("layers", &self.layers), ("layerDefs", &self.layer_defs), ("dynamicLayers", &self.dynamic_layers)];
        all.extend(more.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))));
        all
    }
}

/// A layer of the service, as it says and as the map says of it.
struct SubLayer {
    id: i64,
    parent: Option<i64>,
    is_group: bool,
    by_default: bool,
}

fn id_of(value: Option<&Value>) -> Option<i64> {
    value.and_then(number::read::<i64>).filter(|id| *id >= 0)
}

/// The layers of a service, and whether the map has them visible by default.
fn sub_layers(answer: &Value, of_map: &BTreeMap<i64, &Value>) -> Vec<SubLayer> {
    let all = answer.get("layers").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let read = |layer: &Value| {
        let id = id_of(layer.get("id"))?;
        let said = of_map.get(&id).and_then(|own| own.get("defaultVisibility")).and_then(Value::as_bool);
        let by_default = layer.get("defaultVisibility").and_then(Value::as_bool).unwrap_or(true);
        let is_group = layer.get("subLayerIds").and_then(Value::as_array).is_some_and(|ids| !ids.is_empty());
        Some(SubLayer { id, parent: id_of(layer.get("parentLayerId")), is_group, by_default: said.unwrap_or(by_default) })
    };
    all.iter().take(MOST_LAYERS).filter_map(read).collect()
}

type ById<'a> = BTreeMap<i64, &'a SubLayer>;

fn by_id(all: &[SubLayer]) -> ById<'_> {
    all.iter().map(|layer| (layer.id, layer)).collect()
}

/// The groups of a layer, the innermost first.
fn groups_of(layer: &SubLayer, by_id: &ById<'_>) -> Vec<i64> {
    let mut groups = Vec::new();
    let mut next = layer.parent;
    while let Some(group) = next.and_then(|id| by_id.get(&id)).filter(|_| groups.len() < DEEPEST_GROUP) {
        groups.push(group.id);
        next = group.parent;
    }
    groups
}

/// The layers with data that are visible by default, as their groups are.
fn by_default(all: &[SubLayer]) -> Vec<i64> {
    let by_id = by_id(all);
    let is_on = |id: &i64| by_id.get(id).is_some_and(|layer| layer.by_default);
    let shown = all.iter().filter(|l| !l.is_group && l.by_default && groups_of(l, &by_id).iter().all(is_on));
    shown.map(|layer| layer.id).collect()
}

/// The layers with data that are visible; `None` where the map says nothing of it, so that the service shows what it shows.
fn visible(json: &Value, all: &[SubLayer], of_map: &BTreeMap<i64, &Value>) -> Option<Vec<i64>> {
    let listed = json.get("visibleLayers").and_then(Value::as_array);
    let says_default = of_map.values().any(|layer| layer.get("defaultVisibility").is_some_and(Value::is_boolean));
    let with_data = all.iter().filter(|layer| !layer.is_group);
    let Some(listed) = listed else {
        return says_default.then(|| by_default(all));
    };
    let listed: BTreeSet<i64> = listed.iter().filter_map(|id| id_of(Some(id))).collect();
    let by_id = by_id(all);
    let has_groups = all.iter().any(|layer| layer.is_group && listed.contains(&layer.id));
    // Groups below which nothing is in the list stand for all that is below them.
    let led: BTreeSet<i64> =
        all.iter().filter(|l| listed.contains(&l.id)).flat_map(|layer| groups_of(layer, &by_id)).collect();
    let whole = |id: &i64| listed.contains(id) && !led.contains(id);
    let is_shown = |layer: &&SubLayer| {
        let groups = groups_of(layer, &by_id);
        match listed.contains(&layer.id) {
            true => !has_groups || groups.iter().all(|id| listed.contains(id)),
            false => groups.iter().any(whole),
        }
    };
    Some(with_data.filter(is_shown).map(|layer| layer.id).collect())
}

/// What a map says of the layers of a service.
fn of_map(json: &Value) -> BTreeMap<i64, &Value> {
    let own = json.get("layers").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    own.iter().take(MOST_LAYERS).filter_map(|layer| Some((id_of(layer.get("id"))?, layer))).collect()
}

/// The member of a layer's definition, where it says something.
fn definition<'a>(layer: &'a Value, key: &str) -> Option<&'a Value> {
    layer.get("layerDefinition")?.get(key).filter(|value| !value.is_null())
}

/// How a map has a service drawn. Answers warnings beside it.
///
/// # Errors
/// Why there is nothing to draw.
pub(super) fn drawing(
    (root, format): (&str, String),
    dpi: u32,
    json: &Value,
    answer: &Value,
) -> Result<(MapDrawing, Vec<String>), String> {
    let of_map = of_map(json);
    let all = sub_layers(answer, &of_map);
    let shown = visible(json, &all, &of_map);
    if shown.as_ref().is_some_and(Vec::is_empty) {
        return Err("has no visible layer in the map; switch one on there (visibleLayers)".to_owned());
    }
    let expression = |layer: &&Value| {
        let words = definition(layer, "definitionExpression")?.as_str()?.trim();
        (!words.is_empty()).then(|| words.to_owned())
    };
    let filters: Map<String, Value> =
        of_map.iter().filter_map(|(id, layer)| Some((id.to_string(), json!(expression(layer)?)))).collect();
    let is_own = |layer: &&Value| ["drawingInfo", "source"].iter().any(|key| definition(layer, key).is_some());
    let has_own = of_map.values().any(is_own);
    let can = answer.get("supportsDynamicLayers").and_then(Value::as_bool).unwrap_or(false);
    let mut warnings = Vec::new();
    let mut dynamic_layers = None;
    if has_own && can {
        let ids: Vec<i64> = shown.clone().unwrap_or_else(|| by_default(&all));
        if ids.is_empty() {
            return Err(
                "has no layer that is visible by default; name those that are to be drawn in the map (visibleLayers)"
                    .to_owned(),
            );
        }
        let one = |id: &i64| dynamic_layer(*id, of_map.get(id).copied());
        dynamic_layers = Some(Value::Array(ids.iter().map(one).collect()).to_string());
    } else if has_own {
        warnings.push(
            "the map draws layers of it in another way than the service does (layerDefinition), and the service draws its own way only \
             (supportsDynamicLayers is false)"
                .to_owned(),
        );
    }
    let list = |ids: &Vec<i64>| ids.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
    let drawing = MapDrawing {
        root: root.to_owned(),
        format,
        dpi,
        layers: shown.as_ref().map(|ids| format!("show:{}", list(ids))).filter(|_| dynamic_layers.is_none()),
        layer_defs: (!filters.is_empty() && dynamic_layers.is_none()).then(|| Value::Object(filters).to_string()),
        dynamic_layers,
    };
    Ok((drawing, warnings))
}

/// A layer as `dynamicLayers` has it.
fn dynamic_layer(id: i64, own: Option<&Value>) -> Value {
    let mut layer = json!({"id": id, "source": {"type": "mapLayer", "mapLayerId": id}});
    if let Some(layer) = layer.as_object_mut() {
        for key in ["source", "definitionExpression", "drawingInfo", "minScale", "maxScale", "layerTimeOptions"] {
            if let Some(value) = own.and_then(|own| definition(own, key)) {
                layer.insert(key.to_owned(), value.clone());
            }
        }
    }
    layer
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A group 0 with the layers 1 and 2 and a group 3 with the layer 4; the layer 5, which is not visible by default.
    fn service() -> Value {
        json!({"supportsDynamicLayers": true, "layers": [
            {"id": 0, "parentLayerId": -1, "subLayerIds": [1, 2, 3], "defaultVisibility": true},
            {"id": 1, "parentLayerId": 0, "subLayerIds": null, "defaultVisibility": true},
            {"id": 2, "parentLayerId": 0, "defaultVisibility": true},
            {"id": 3, "parentLayerId": 0, "subLayerIds": [4], "defaultVisibility": false},
            {"id": 4, "parentLayerId": 3, "defaultVisibility": true},
            {"id": 5, "parentLayerId": -1, "defaultVisibility": false}]})
    }

    fn drawn(json: Value) -> Result<MapDrawing, String> {
        drawing(("https://h/M/MapServer", "png32".to_owned()), 96, &json, &service()).map(|(drawing, _)| drawing)
    }

    #[test]
    fn the_layers_that_are_visible_in_the_map_are_drawn() {
        let shown = |json: Value| drawn(json).map(|drawing| drawing.layers);
        let show = |ids: &str| Ok(Some(format!("show:{ids}")));
        assert_eq!(shown(json!({})), Ok(None), "as the service shows itself");
        assert_eq!(shown(json!({"visibleLayers": [1, 5]})), show("1,5"), "a list without groups");
        assert_eq!(shown(json!({"visibleLayers": [0, 1, 4]})), show("1"), "the group of 4 is not visible");
        assert_eq!(shown(json!({"visibleLayers": [0, 3, 4, 5]})), show("4,5"));
        assert_eq!(shown(json!({"visibleLayers": [0]})), show("1,2,4"), "a group that stands for all below it");
        assert_eq!(shown(json!({"layers": [{"id": 5, "defaultVisibility": true}]})), show("1,2,5"));
        assert_eq!(
            shown(json!({"layers": [{"id": 0, "defaultVisibility": false}, {"id": 5, "defaultVisibility": true}]})),
            show("5")
        );
        for none in [json!({"visibleLayers": []}), json!({"visibleLayers": [3, 4]}), json!({"visibleLayers": [77]})] {
            assert!(shown(none.clone()).is_err_and(|words| words.contains("visibleLayers")), "{none}");
        }
    }

    #[test]
    fn filters_and_symbols_of_the_map_go_with_the_request() {
        let filtered =
            json!({"visibleLayers": [1, 2], "layers": [{"id": 2, "layerDefinition": {"definitionExpression": "N > 1"}}]});
        let found = drawn(filtered).expect("draws");
        assert_eq!((found.layers.as_deref(), found.dynamic_layers), (Some("show:1,2"), None));
        assert_eq!(found.layer_defs.as_deref(), Some(r#"{"2":"N > 1"}"#));
        let own = json!({"visibleLayers": [1, 2], "layers": [
            {"id": 2, "layerDefinition": {"definitionExpression": "N > 1", "drawingInfo": {"transparency": 40}}}]});
        let found = drawn(own.clone()).expect("draws");
        assert_eq!((found.layers, found.layer_defs), (None, None));
        let layers: Value = serde_json::from_str(&found.dynamic_layers.expect("layers")).expect("JSON");
        assert_eq!(
            layers,
            json!([
            {"id": 1, "source": {"type": "mapLayer", "mapLayerId": 1}},
            {"id": 2, "source": {"type": "mapLayer", "mapLayerId": 2}, "definitionExpression": "N > 1", "drawingInfo": {"transparency": 40}}])
        );
        let mut plain = service();
        plain["supportsDynamicLayers"] = json!(false);
        let found = drawing(("https://h/M/MapServer", "png32".to_owned()), 96, &own, &plain);
        let (found, warnings) = found.expect("draws");
        assert_eq!((found.dynamic_layers, found.layers.as_deref()), (None, Some("show:1,2")));
        assert!(warnings[0].contains("supportsDynamicLayers"), "{warnings:?}");
    }
}
