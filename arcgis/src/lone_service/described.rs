//! What a description says that a map of the service needs.

use super::level_scale::LevelScale;
use offmap_model::{AreaOfInterest, Failure, FailureKind, FailureOwner, FailureStage, ServiceUrl};
use serde_json::{Value, json};

/// Most layers and tables of a service.
const MOST_LAYERS: usize = 2_000;
/// Most levels of a cache; Esri's have 24.
const MOST_LEVELS: usize = 100;

/// What a service or layer is called.
pub(super) fn title_of(answer: &Value, root: &str) -> String {
    let said = ["name", "mapName"].iter().filter_map(|key| answer.get(*key)?.as_str());
    let said = said.map(str::trim).find(|name| !name.is_empty());
    let from_url = || root.rsplit('/').nth(1).unwrap_or("service");
    said.unwrap_or_else(from_url).chars().take(200).collect()
}

/// The layers and tables of a service, or the one that its url names, as the map has them.
pub(super) fn layers_of(
    service: &ServiceUrl,
    answer: &Value,
    title: &str,
    filter: &str,
) -> Result<(Vec<Value>, Vec<Value>), Failure> {
    let layer = |id: u64, name: &str, is_table: bool| {
        let mut layer = json!({"id": format!("layer-{id}"), "title": name, "url": format!("{}/{id}", service.root())});
        if let Some(object) = layer.as_object_mut() {
            if !is_table {
                object.insert("layerType".to_owned(), json!("ArcGISFeatureLayer"));
            }
            if !filter.trim().is_empty() {
                object.insert("layerDefinition".to_owned(), json!({"definitionExpression": filter}));
            }
        }
        layer
    };
    if let Some(id) = service.layer_id() {
        let is_table = answer.get("type").and_then(Value::as_str) == Some("Table");
        if is_group(answer) {
            return Err(Failure::invalid_parameter(format!(
                "{}/{id} is a group of layers and holds no features; name one of its layers, or the service",
                service.root()
            )));
        }
        let one = vec![layer(u64::from(id), title, is_table)];
        return Ok(if is_table { (vec![], one) } else { (one, vec![]) });
    }
    let listed = |key: &str, is_table: bool| -> Vec<Value> {
        let all = answer.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let with_rows = all.iter().filter(|l| !is_group(l)).take(MOST_LAYERS + 1);
        let named = with_rows.filter_map(|l| Some((l.get("id")?.as_u64()?, l.get("name").and_then(Value::as_str)?)));
        named.map(|(id, name)| layer(id, name, is_table)).collect()
    };
    let (layers, tables) = (listed("layers", false), listed("tables", true));
    let count = layers.len() + tables.len();
    if count == 0 || count > MOST_LAYERS {
        let message = format!("{} has {count} layers and tables, expected 1 to {MOST_LAYERS}", service.root());
        return Err(Failure::new(FailureOwner::Source, FailureKind::InvalidAnswer, FailureStage::Plan, message));
    }
    Ok((layers, tables))
}

/// Whether a layer holds layers and no rows of its own.
fn is_group(layer: &Value) -> bool {
    let has_layers = layer.get("subLayerIds").and_then(Value::as_array).is_some_and(|ids| !ids.is_empty());
    has_layers || layer.get("type").and_then(Value::as_str) == Some("Group Layer")
}

/// All of a service: its initial extent is a view, and not that. One without data has numbers that are none, or a point.
pub(super) fn extent_of(answer: &Value) -> Option<AreaOfInterest> {
    ["fullExtent", "extent"].iter().find_map(|key| {
        let extent = answer.get(*key).filter(|e| e.is_object())?;
        let read = AreaOfInterest::from_json(&extent.to_string()).ok()?;
        read.check().ok().map(|()| read)
    })
}

/// The levels of a cache.
pub(super) fn levels_of(answer: &Value) -> Vec<LevelScale> {
    let lods = answer.pointer("/tileInfo/lods").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let level = |lod: &Value| {
        let level = u32::try_from(lod.get("level")?.as_u64()?).ok()?;
        Some(LevelScale { level, scale: lod.get("scale")?.as_f64().filter(|s| *s > 0.0)? })
    };
    lods.iter().take(MOST_LEVELS).filter_map(level).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_hold_no_rows_and_a_filter_is_of_every_layer() {
        let service = ServiceUrl::parse("https://x.example/arcgis/rest/services/A/FeatureServer").expect("a url");
        let answer = json!({
            "layers": [{"id": 0, "name": "All", "subLayerIds": [1]}, {"id": 1, "name": "One"}],
            "tables": [{"id": 7, "name": "T"}],
        });
        let (layers, tables) = layers_of(&service, &answer, "A", "N > 1").expect("reads");
        let urls = |of: &[Value]| of.iter().map(|l| l["url"].as_str().expect("a url").to_owned()).collect::<Vec<_>>();
        assert_eq!(urls(&layers), ["https://x.example/arcgis/rest/services/A/FeatureServer/1"]);
        assert_eq!(urls(&tables), ["https://x.example/arcgis/rest/services/A/FeatureServer/7"]);
        assert_eq!(layers[0]["layerDefinition"]["definitionExpression"], "N > 1");
        assert!(tables[0].get("layerType").is_none());
        assert!(layers_of(&service, &json!({"layers": []}), "A", "").is_err());
    }

    #[test]
    fn an_extent_without_numbers_is_none() {
        let nan = json!({"extent": {"xmin": "NaN", "ymin": "NaN", "xmax": "NaN", "ymax": "NaN"}});
        assert!(extent_of(&nan).is_none());
        let view =
            json!({"initialExtent": {"xmin": 0, "ymin": 0, "xmax": 1, "ymax": 1, "spatialReference": {"wkid": 102100}}});
        assert!(extent_of(&view).is_none(), "a view is not all of it");
        let said = json!({
            "fullExtent": {"xmin": 1, "ymin": 2, "xmax": 3, "ymax": 4, "spatialReference": {"wkid": 102100}},
            "initialExtent": {"xmin": 0, "ymin": 0, "xmax": 1, "ymax": 1, "spatialReference": {"wkid": 102100}},
        });
        assert_eq!(extent_of(&said).and_then(|a| a.envelope()).map(|e| e.xmax), Some(3.0));
    }
}
