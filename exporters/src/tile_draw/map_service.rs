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
//! | a layer that the service does not have, with a `source` | the same, above the layer of the service that comes next in the map; refused by name where the service has it not |
//! | such a layer with the data of a layer that the service does not have either | nothing, with a warning |
//! | a layer twice | the first of the two, with a warning |
//! | `gdbVersion` | `gdbVersion` |
//!
//! Source: ArcGIS REST API, Export Map (`layers`, `layerDefs`, `dynamicLayers`, `gdbVersion`, `transparent`, `dpi`), Layer Source Object;
//! web map specification, `mapServiceLayer`, `layer` (`defaultVisibility`, `layerDefinition`), `source`.

use super::arcgis_picture::of_frame;
use super::frame::{Frame, Parameters};
use offmap_model::number;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

/// Most layers of a service that are looked at.
const MOST_LAYERS: usize = 10_000;
/// Deepest nesting of groups that is followed.
const DEEPEST_GROUP: usize = 64;
/// Most layers that a warning lists.
const MOST_NAMED: usize = 10;

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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) gdb_version: Option<String>,
}

impl MapDrawing {
    pub(super) fn url(&self) -> String {
        format!("{}/export", self.root)
    }

    pub(super) fn parameters(&self, frame: &Frame) -> Parameters {
        let mut all = of_frame(frame, &self.format);
        all.push(("transparent", "true".to_owned()));
        all.push(("dpi", self.dpi.to_string()));
        let more = [
            ("layers", &self.layers),
            ("layerDefs", &self.layer_defs),
            ("dynamicLayers", &self.dynamic_layers),
            ("gdbVersion", &self.gdb_version),
        ];
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
    /// Whether the service has it; else the map alone defines it.
    is_of_service: bool,
}

fn id_of(value: Option<&Value>) -> Option<i64> {
    value.and_then(number::read::<i64>).filter(|id| *id >= 0)
}

/// Whether a source is the data of a layer of the service, and which layer it names.
fn is_map_layer(source: &Value) -> bool {
    source.get("type").and_then(Value::as_str) == Some("mapLayer")
}

fn map_layer_id(source: &Value) -> Option<i64> {
    id_of(source.get("mapLayerId")).filter(|_| is_map_layer(source))
}

/// The name of a version of the data, where one is said.
fn version_of(json: &Value) -> Option<&str> {
    json.get("gdbVersion").and_then(Value::as_str).map(str::trim).filter(|name| !name.is_empty())
}

/// Layers for people; `None` where there are none.
fn named(ids: &[i64]) -> Option<String> {
    let mut words: Vec<String> = ids.iter().take(MOST_NAMED).map(i64::to_string).collect();
    if ids.len() > MOST_NAMED {
        words.push(format!("and {} more", ids.len() - MOST_NAMED));
    }
    (!ids.is_empty()).then(|| words.join(", "))
}

/// What a map says of the layers of a service, in its order, each layer once.
struct OfMap<'a> {
    all: Vec<(i64, &'a Value)>,
    by_id: BTreeMap<i64, &'a Value>,
    /// Those that it has more than once.
    doubled: Vec<i64>,
}

impl<'a> OfMap<'a> {
    fn read(json: &'a Value) -> Self {
        let own = json.get("layers").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut read = Self { all: Vec::new(), by_id: BTreeMap::new(), doubled: Vec::new() };
        for (id, layer) in own.iter().take(MOST_LAYERS).filter_map(|layer| Some((id_of(layer.get("id"))?, layer))) {
            if let Entry::Vacant(place) = read.by_id.entry(id) {
                place.insert(layer);
                read.all.push((id, layer));
            } else {
                read.doubled.push(id);
            }
        }
        read
    }

    fn get(&self, id: i64) -> Option<&'a Value> {
        self.by_id.get(&id).copied()
    }

    /// Whether a layer of the map has other data than the layer of the service with its id.
    fn has_other_data(&self, id: i64) -> bool {
        let source = self.get(id).and_then(|own| definition(own, "source"));
        source.is_some_and(|source| map_layer_id(source) != Some(id) || version_of(source).is_some())
    }
}

/// The layers of a service and those that the map alone defines, and whether the map has them visible by default; beside them those of
/// the map whose data were of a layer that the service does not have.
fn sub_layers(answer: &Value, of_map: &OfMap<'_>) -> (Vec<SubLayer>, Vec<i64>) {
    let listed = answer.get("layers").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let read = |layer: &Value, is_of_service: bool| {
        let id = id_of(layer.get("id"))?;
        let said = of_map.get(id).and_then(|own| own.get("defaultVisibility")).and_then(Value::as_bool);
        let by_default = layer.get("defaultVisibility").and_then(Value::as_bool).unwrap_or(true);
        let is_group = layer.get("subLayerIds").and_then(Value::as_array).is_some_and(|ids| !ids.is_empty());
        let (parent, by_default) = (id_of(layer.get("parentLayerId")), said.unwrap_or(by_default));
        Some(SubLayer { id, parent, is_group, by_default, is_of_service })
    };
    let mut all: Vec<SubLayer> = listed.iter().take(MOST_LAYERS).filter_map(|layer| read(layer, true)).collect();
    let of_service: BTreeSet<i64> = all.iter().map(|layer| layer.id).collect();
    // Each goes before the layer of the service that follows it in the map, and behind all where none does.
    let (mut next, mut stale) = (None, Vec::new());
    for (id, own) in of_map.all.iter().rev() {
        let source = definition(own, "source");
        let is_there = |source: &Value| map_layer_id(source).is_some_and(|id| of_service.contains(&id));
        if of_service.contains(id) {
            next = Some(*id);
        } else if source.is_some_and(|source| is_map_layer(source) && !is_there(source)) {
            stale.push(*id);
        } else if source.is_some()
            && all.len() < MOST_LAYERS
            && let Some(layer) = read(own, false)
        {
            let at = next.and_then(|next| all.iter().position(|layer| layer.id == next)).unwrap_or(all.len());
            all.insert(at, layer);
            next = Some(*id);
        }
    }
    stale.reverse();
    (all, stale)
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
fn visible(json: &Value, all: &[SubLayer], of_map: &OfMap<'_>) -> Option<Vec<i64>> {
    let listed = json.get("visibleLayers").and_then(Value::as_array);
    let says_default = of_map.all.iter().any(|(_, layer)| layer.get("defaultVisibility").is_some_and(Value::is_boolean));
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
    let of_map = OfMap::read(json);
    let (all, stale) = sub_layers(answer, &of_map);
    let shown = visible(json, &all, &of_map);
    if shown.as_ref().is_some_and(Vec::is_empty) {
        return Err("has no visible layer in the map; switch one on there (visibleLayers)".to_owned());
    }
    let expression = |layer: &Value| {
        let words = definition(layer, "definitionExpression")?.as_str()?.trim();
        (!words.is_empty()).then(|| words.to_owned())
    };
    let of_shown: Option<BTreeSet<i64>> = shown.as_ref().map(|ids| ids.iter().copied().collect());
    let is_filtered = |id: &i64| of_shown.as_ref().is_none_or(|shown| shown.contains(id));
    let of_service = all.iter().filter(|layer| layer.is_of_service).map(|layer| layer.id).filter(is_filtered);
    let filters: Map<String, Value> =
        of_service.filter_map(|id| Some((id.to_string(), json!(expression(of_map.get(id)?)?)))).collect();
    let can = answer.get("supportsDynamicLayers").and_then(Value::as_bool).unwrap_or(false);
    let (dynamic_layers, mut warnings) = dynamic_layers(can, &all, shown.as_deref(), &of_map)?;
    warnings.extend(named(&stale).map(|ids| {
        format!("of the layers {ids} of the map the service does not have the data any more (layerDefinition.source); they are not drawn")
    }));
    warnings.extend(
        named(&of_map.doubled).map(|ids| format!("the map has the layers {ids} more than once; the first of each counts")),
    );
    let list = |ids: &Vec<i64>| ids.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
    let drawing = MapDrawing {
        root: root.to_owned(),
        format,
        dpi,
        layers: shown.as_ref().map(|ids| format!("show:{}", list(ids))).filter(|_| dynamic_layers.is_none()),
        layer_defs: (!filters.is_empty() && dynamic_layers.is_none()).then(|| Value::Object(filters).to_string()),
        dynamic_layers,
        gdb_version: version_of(json).map(str::to_owned),
    };
    Ok((drawing, warnings))
}

/// The layers that are shown as `dynamicLayers`, where the map draws one in its own way, and warnings.
///
/// # Errors
/// Why they cannot be drawn so.
fn dynamic_layers(
    can: bool,
    all: &[SubLayer],
    shown: Option<&[i64]>,
    of_map: &OfMap<'_>,
) -> Result<(Option<String>, Vec<String>), String> {
    let has_drawing = |id: i64| of_map.get(id).is_some_and(|layer| definition(layer, "drawingInfo").is_some());
    if !all.iter().any(|layer| has_drawing(layer.id) || of_map.has_other_data(layer.id)) {
        return Ok((None, Vec::new()));
    }
    let ids: Vec<i64> = shown.map_or_else(|| by_default(all), <[i64]>::to_vec);
    if can && ids.is_empty() {
        return Err(
            "has no layer that is visible by default; name those that are to be drawn in the map (visibleLayers)".to_owned()
        );
    }
    if can {
        let one = |id: &i64| dynamic_layer(*id, of_map.get(*id));
        return Ok((Some(Value::Array(ids.iter().map(one).collect()).to_string()), Vec::new()));
    }
    if let Some(id) = ids.iter().find(|id| of_map.has_other_data(**id)) {
        let title = of_map.get(*id).and_then(|own| ["title", "name"].iter().find_map(|key| own.get(*key)?.as_str()));
        let named = title.map_or_else(|| format!("layer {id}"), |title| format!("layer {id} (\"{title}\")"));
        return Err(format!(
            "has the {named} in the map with data that the service does not draw by itself (layerDefinition.source), and the service \
             draws its own layers only (supportsDynamicLayers is false); switch that layer off in the map, or have dynamic layers \
             allowed on the service"
        ));
    }
    let words = "the map draws layers of it in another way than the service does (layerDefinition), and the service draws its own way only \
                 (supportsDynamicLayers is false)";
    Ok((None, vec![words.to_owned()]))
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
        assert_eq!(drawn(json!({"gdbVersion": "SDE.plan"})).expect("draws").gdb_version.as_deref(), Some("SDE.plan"));
        let mut plain = service();
        plain["supportsDynamicLayers"] = json!(false);
        let found = drawing(("https://h/M/MapServer", "png32".to_owned()), 96, &own, &plain);
        let (found, warnings) = found.expect("draws");
        assert_eq!((found.dynamic_layers, found.layers.as_deref()), (None, Some("show:1,2")));
        assert!(warnings[0].contains("supportsDynamicLayers"), "{warnings:?}");
    }

    /// The service, and a map with a layer 10 of other data above layer 2, and one of another version of layer 5 at the bottom.
    fn with_own_layers() -> Value {
        let table = json!({"type": "dataLayer", "dataSource": {"type": "table", "workspaceId": "W", "dataSourceName": "T"}});
        json!({"layers": [
            {"id": 1}, {"id": 10, "name": "Wells", "layerDefinition": {"source": table, "drawingInfo": {"transparency": 40}}}, {"id": 2},
            {"id": 11, "layerDefinition": {"source": {"type": "mapLayer", "mapLayerId": 5, "gdbVersion": "SDE.plan"}}}]})
    }

    fn dynamic(json: Value) -> Value {
        let found = drawn(json).expect("draws").dynamic_layers.expect("layers");
        serde_json::from_str(&found).expect("JSON")
    }

    #[test]
    fn layers_that_the_map_alone_defines_are_drawn_where_they_stand_in_it() {
        let ids = |layers: &Value| layers.as_array().expect("a list").iter().map(|l| l["id"].clone()).collect::<Vec<_>>();
        let layers = dynamic(with_own_layers());
        // Of the service, 3 is hidden and with it 4; 5 is not visible by default.
        assert_eq!(ids(&layers), [1, 10, 2, 11]);
        assert_eq!(layers[1]["source"]["dataSource"]["dataSourceName"], "T");
        assert_eq!(layers[3]["source"], json!({"type": "mapLayer", "mapLayerId": 5, "gdbVersion": "SDE.plan"}));
        let mut listed = with_own_layers();
        listed["visibleLayers"] = json!([2, 10]);
        assert_eq!(ids(&dynamic(listed)), [10, 2]);
        // One whose data are those of the service is drawn as the service does.
        let same = json!({"layers": [{"id": 1, "layerDefinition": {"source": {"type": "mapLayer", "mapLayerId": 1}}}]});
        assert_eq!(drawn(same).expect("draws").dynamic_layers, None);
        let stale = json!({"visibleLayers": [1, 77], "layers": [{"id": 77}]});
        assert_eq!(drawn(stale).expect("draws").layers.as_deref(), Some("show:1"));
    }

    #[test]
    fn a_layer_whose_data_the_service_lacks_is_left_out_and_costs_the_others_nothing() {
        let of = |json: Value| drawing(("https://h/M/MapServer", "png32".to_owned()), 96, &json, &service()).expect("draws");
        for of_layer in [json!(7), json!("7"), json!(8), json!(-1), Value::Null] {
            let source = json!({"type": "mapLayer", "mapLayerId": of_layer});
            let stale = json!({"id": 7, "layerDefinition": {"source": source, "drawingInfo": {"transparency": 40}}});
            let (found, warnings) = of(json!({"visibleLayers": [1, 7], "layers": [stale, {"id": 1}]}));
            assert_eq!((found.layers.as_deref(), found.dynamic_layers), (Some("show:1"), None), "{of_layer}");
            assert!(warnings.len() == 1 && warnings[0].contains("of the layers 7 of the map"), "{warnings:?}");
        }
        // One of data of a layer that the service has is drawn.
        let source = json!({"type": "mapLayer", "mapLayerId": 5});
        let (found, warnings) =
            of(json!({"visibleLayers": [7], "layers": [{"id": 7, "layerDefinition": {"source": source}}]}));
        assert!(warnings.is_empty(), "{warnings:?}");
        let layers: Value = serde_json::from_str(&found.dynamic_layers.expect("layers")).expect("JSON");
        assert_eq!(layers, json!([{"id": 7, "source": source}]));
    }

    #[test]
    fn the_same_data_are_known_however_they_are_written() {
        let of = |source: Value| {
            let map = json!({"visibleLayers": [1], "layers": [{"id": 1, "layerDefinition": {"source": source}}]});
            drawn(map).expect("draws").dynamic_layers.is_some()
        };
        for same in [
            json!({"type": "mapLayer", "mapLayerId": "1"}),
            json!({"type": "mapLayer", "mapLayerId": 1.0}),
            json!({"type": "mapLayer", "mapLayerId": 1, "gdbVersion": ""}),
            json!({"type": "mapLayer", "mapLayerId": 1, "gdbVersion": null}),
        ] {
            assert!(!of(same.clone()), "{same}");
        }
        for other in [
            json!({"type": "mapLayer", "mapLayerId": 2}),
            json!({"type": "mapLayer", "mapLayerId": 1, "gdbVersion": "SDE.plan"}),
            json!({"type": "dataLayer", "mapLayerId": 1}),
        ] {
            assert!(of(other.clone()), "{other}");
        }
    }

    #[test]
    fn a_layer_is_drawn_once_and_filtered_where_the_service_has_it_and_it_is_shown() {
        let mut twice = with_own_layers();
        let again =
            json!({"id": 10, "name": "Other wells", "layerDefinition": {"source": {"type": "mapLayer", "mapLayerId": 5}}});
        twice["layers"].as_array_mut().expect("a list").push(again);
        let (found, warnings) =
            drawing(("https://h/M/MapServer", "png32".to_owned()), 96, &twice, &service()).expect("draws");
        let layers: Value = serde_json::from_str(&found.dynamic_layers.expect("layers")).expect("JSON");
        let tens: Vec<&Value> = layers.as_array().expect("a list").iter().filter(|layer| layer["id"] == 10).collect();
        assert!(tens.len() == 1 && tens[0]["source"]["type"] == "dataLayer", "{layers}");
        assert!(warnings.len() == 1 && warnings[0].contains("the layers 10 more than once"), "{warnings:?}");
        let filter = |id: i64| json!({"id": id, "layerDefinition": {"definitionExpression": "N > 1"}});
        let found = drawn(json!({"visibleLayers": [1], "layers": [filter(1), filter(2), filter(77)]})).expect("draws");
        assert_eq!(found.layer_defs.as_deref(), Some(r#"{"1":"N > 1"}"#));
    }

    #[test]
    fn a_layer_that_a_service_cannot_draw_is_refused_by_name_where_it_is_shown() {
        let mut plain = service();
        plain["supportsDynamicLayers"] = json!(false);
        let of = |json: &Value| drawing(("https://h/M/MapServer", "png32".to_owned()), 96, json, &plain);
        let mut map = with_own_layers();
        let refused = of(&map).expect_err("refused");
        assert!(refused.contains("layer 10 (\"Wells\")") && refused.contains("switch that layer off"), "{refused}");
        map["visibleLayers"] = json!([1, 2]);
        let (found, warnings) = of(&map).expect("draws");
        assert_eq!((found.layers.as_deref(), found.dynamic_layers), (Some("show:1,2"), None));
        assert_eq!(warnings.len(), 1);
    }

    #[test]
    fn what_lies_in_a_hidden_group_is_not_drawn_by_dynamic_layers_either() {
        let own = json!({"layers": [{"id": 1, "layerDefinition": {"drawingInfo": {"transparency": 40}}}]});
        let ids =
            |json: Value| dynamic(json).as_array().expect("a list").iter().map(|l| l["id"].clone()).collect::<Vec<_>>();
        assert_eq!(ids(own.clone()), [1, 2], "the group of 4 is hidden in the service");
        let mut hidden = own;
        hidden["layers"] =
            json!([hidden["layers"][0], {"id": 0, "defaultVisibility": false}, {"id": 5, "defaultVisibility": true}]);
        assert_eq!(ids(hidden), [5], "the map hides the group of 1 and 2");
    }
}
