//! The portal's web maps.
//!
//! Written after the web map reference A.

use crate::ids::{AWKWARD_MAP, DETAIL_MAP, FIELD_MAP, FULL_MAP, HOSTED_MAP, MIXED_MAP, STYLE_ITEM};
use crate::services::awkward;
use crate::state::State;
use serde_json::{Value, json};

/// The map of an item.
pub(crate) fn map_of(state: &State, id: &str) -> Option<Value> {
    let mut map = match id {
        FIELD_MAP | HOSTED_MAP | MIXED_MAP => field_map(state, id),
        FULL_MAP => Some(full_map(state)),
        AWKWARD_MAP => Some(awkward_map(state)),
        DETAIL_MAP => Some(detail_map(state)),
        _ => None,
    }?;
    // Where services want an API key, the author has written it into the map.
    if let Some((name, value)) = &state.options.api_key {
        add_parameters(&mut map, &json!({name: value}));
    }
    Some(map)
}

/// Gives `customParameters` to every layer that has a url.
fn add_parameters(value: &mut Value, parameters: &Value) {
    match value {
        Value::Object(map) => {
            if map.contains_key("url") || map.contains_key("styleUrl") {
                map.insert("customParameters".to_owned(), parameters.clone());
            }
            map.values_mut().for_each(|v| add_parameters(v, parameters));
        }
        Value::Array(list) => list.iter_mut().for_each(|v| add_parameters(v, parameters)),
        _ => {}
    }
}

fn detail_map(state: &State) -> Value {
    let services = |folder: &str| format!("{}/{folder}/rest/services", state.base());
    json!({"operationalLayers": [], "baseMap": {"title": "Detail", "baseMapLayers": [
            {"id": "detail", "title": "Detail", "layerType": "ArcGISTiledMapServiceLayer",
                "url": format!("{}/Detail/MapServer", services("arcgis"))},
            {"id": "streets", "title": "Streets", "layerType": "VectorTileLayer", "isReference": true,
                "url": format!("{}/DetailStreets/VectorTileServer", services("hosted"))}]},
        "spatialReference": {"wkid": 102_100, "latestWkid": 3857}, "version": "2.35"})
}

fn awkward_map(state: &State) -> Value {
    let services = format!("{}/arcgis/rest/services", state.base());
    let layer = |(id, name): (u32, &str)| {
        json!({"id": name.to_lowercase().replace(' ', "-"), "title": name, "layerType": "ArcGISFeatureLayer",
            "url": format!("{services}/Awkward/FeatureServer/{id}")})
    };
    let layers: Vec<Value> = (0..).zip(awkward::names()).map(layer).collect();
    json!({"operationalLayers": layers, "baseMap": {"title": "None", "baseMapLayers": []},
        "spatialReference": {"wkid": 102_100, "latestWkid": 3857}, "version": "2.35"})
}

/// An advanced symbol, as the map viewer writes one over a simple one.
fn cim_renderer() -> Value {
    let symbol = json!({"type": "CIMSymbolReference", "symbol": {"type": "CIMPointSymbol", "symbolLayers": [
        {"type": "CIMVectorMarker", "enable": true, "size": 11.5, "frame": {"xmin": 0, "ymin": 0, "xmax": 17, "ymax": 17},
         "markerGraphics": [{"type": "CIMMarkerGraphic", "geometry": {"rings": [[[0, 8], [8, 17], [17, 8], [8, 0], [0, 8]]]},
            "symbol": {"type": "CIMPolygonSymbol", "symbolLayers": [
                {"type": "CIMSolidFill", "enable": true, "color": [220, 60, 60, 255]}]}}]}]}});
    json!({"renderer": {"type": "simple", "symbol": symbol}, "labelingInfo": [{"labelExpressionInfo":
        {"expression": "$feature.NAME"}, "labelPlacement": "esriServerPointLabelPlacementAboveRight"}], "showLabels": true})
}

fn full_map(state: &State) -> Value {
    let services = format!("{}/arcgis/rest/services", state.base());
    let feature = |id: &str, title: &str, path: &str, definition: Value| {
        json!({"id": id, "title": title, "layerType": "ArcGISFeatureLayer", "url": format!("{services}/{path}"),
            "layerDefinition": definition})
    };
    let group = |title: &str, layers: Value| json!({"id": title, "title": title, "layerType": "GroupLayer", "visibilityMode": "independent", "layers": layers});
    let other = |id: &str, kind: &str, path: &str| json!({"id": id, "title": id, "layerType": kind, "url": format!("{}/{path}", state.base())});
    let sketch = json!({"layers": [{"layerDefinition": {"name": "Sketch", "geometryType": "esriGeometryPoint", "objectIdField": "FID",
        "fields": [{"name": "FID", "type": "esriFieldTypeOID"}]}, "featureSet": {"geometryType": "esriGeometryPoint", "features": [
            {"geometry": {"x": 900_000, "y": 6_000_000}, "attributes": {"FID": 1}}]}}]});
    let places = "Fieldwork/FeatureServer/0";
    // Scheme and letter case as they come in real maps: it is the same service.
    let shouted = format!("{services}/FIELDWORK/FeatureServer/2").replace("/arcgis/", "/ArcGIS/");
    json!({
        "operationalLayers": [
            group("Work", json!([
                feature("towns", "Towns", places, json!({"definitionExpression": "KIND = 0", "drawingInfo": cim_renderer()})),
                group("Deeper", json!([
                    feature("capitals", "Capitals", places, json!({"definitionExpression": "KIND = 2"})),
                    group("Deepest", json!([feature("borders", "Borders", "Reference/FeatureServer/0", json!({}))])),
                ])),
            ])),
            group("Ground", json!([
                {"id": "countries", "title": "Countries", "layerType": "ArcGISFeatureLayer", "url": shouted},
                other("dynamic", "ArcGISMapServiceLayer", "arcgis/rest/services/World/MapServer"),
            ])),
            {"id": "sorts", "title": "Borders by sort", "layerType": "SubtypeGroupLayer", "url": format!("{services}/Fieldwork/FeatureServer/1"),
                "layers": [{"id": "sort-1", "subtypeCode": 1, "title": "Land"}, {"id": "sort-2", "subtypeCode": 2, "title": "Water"}]},
            {"id": "sketch", "title": "Sketch", "layerType": "ArcGISFeatureLayer", "featureCollection": sketch},
            feature("online", "Online only", "OnlineOnly/FeatureServer/0", json!({})),
            feature("kept-online", "Kept online", "Reference/FeatureServer/3", json!({})),
            feature("queried", "Of a map service", "World/MapServer/0", json!({})),
            other("wms", "WMS", "wms"),
            other("ogc", "OGCFeatureLayer", "ogc/collections/1"),
        ],
        "baseMap": {"title": "World", "baseMapLayers": [
            {"id": "world", "title": "World", "layerType": "ArcGISTiledMapServiceLayer", "url": format!("{services}/World/MapServer")},
            {"id": "streets", "title": "Streets", "type": "VectorTileLayer", "layerType": "VectorTileLayer",
                "url": format!("{services}/Streets/VectorTileServer"), "isReference": true}]},
        "tables": [
            {"id": "inspections", "title": "Inspections", "url": format!("{services}/Fieldwork/FeatureServer/5")},
            {"id": "measurements", "title": "Measurements", "url": format!("{services}/Fieldwork/FeatureServer/6")}],
        "spatialReference": {"wkid": 102_100, "latestWkid": 3857}, "version": "2.37",
        "applicationProperties": {"viewing": {"search": {"enabled": true}}, "offline": {
            "editableLayers": {"download": "featuresAndAttachments", "sync": "syncFeaturesUploadAttachments"},
            "readonlyLayers": {"downloadAttachments": true},
            "offlinebasemap": {"referenceBasemapName": "region.tpkx"},
            "connectedOnlineLayers": [{"id": "kept-online"}, {"id": "online"}],
            "syncDataOptions": 6, "tables": {"includeRows": true}}},
        "utilityNetworks": [{"id": "kept", "unread": true}],
    })
}

fn field_map(state: &State, id: &str) -> Option<Value> {
    let (folder, online) = match id {
        FIELD_MAP | MIXED_MAP => ("arcgis", false),
        HOSTED_MAP => ("hosted", true),
        _ => return None,
    };
    let services = format!("{}/{folder}/rest/services", state.base());
    let feature = |id: &str, title: &str, path: &str| {
        json!({"id": id, "title": title, "layerType": "ArcGISFeatureLayer", "url": format!("{services}/{path}"),
            "popupInfo": {"title": "{NAME}", "fieldInfos": []}, "visibility": true, "opacity": 1})
    };
    let mut borders = feature("borders", "Borders", "Reference/FeatureServer/0");
    if let Some(borders) = borders.as_object_mut() {
        borders.insert("layerDefinition".to_owned(), json!({"definitionExpression": "LENGTH_KM > 20"}));
    }
    let vector = if online {
        json!({"id": "streets", "title": "Streets", "layerType": "VectorTileLayer", "itemId": STYLE_ITEM, "isReference": true,
            "styleUrl": format!("{}/portal/sharing/rest/content/items/{STYLE_ITEM}/resources/styles/root.json", state.base())})
    } else {
        json!({"id": "streets", "title": "Streets", "layerType": "VectorTileLayer", "isReference": true,
            "url": format!("{services}/Streets/VectorTileServer")})
    };
    let mut operational = vec![
        feature("countries", "Countries", "Fieldwork/FeatureServer/2"),
        json!({"id": "work", "title": "Field work", "layerType": "GroupLayer", "layers": [
            borders,
            {"id": "inner", "title": "Places in a group", "layerType": "GroupLayer", "layers": [
                feature("places", "Places", "Fieldwork/FeatureServer/0")]}]}),
    ];
    if id == MIXED_MAP {
        operational.push(feature("online", "Online only", "OnlineOnly/FeatureServer/0"));
        operational.push(json!({"id": "wms", "title": "A WMS", "layerType": "WMS", "url": format!("{}/wms", state.base())}));
    }
    Some(json!({
        "operationalLayers": operational,
        "baseMap": {"title": "World", "baseMapLayers": [
            {"id": "world", "title": "World", "layerType": "ArcGISTiledMapServiceLayer", "url": format!("{services}/World/MapServer")},
            vector]},
        "tables": [
            {"id": "inspections", "title": "Inspections", "url": format!("{services}/Fieldwork/FeatureServer/5")},
            {"id": "measurements", "title": "Measurements", "url": format!("{services}/Fieldwork/FeatureServer/6")}],
        "spatialReference": {"wkid": 102_100, "latestWkid": 3857},
        "authoringApp": "ArcGISMapViewer", "authoringAppVersion": "2026.3", "version": "2.37",
        "bookmarks": [{"name": "Alps", "extent": {"xmin": 600_000, "ymin": 5_700_000, "xmax": 1_800_000, "ymax": 6_100_000,
            "spatialReference": {"wkid": 102_100}}}],
        "applicationProperties": {"viewing": {"search": {"enabled": true}}},
        "offmapSandbox": {"kept": ["any", "unknown", "key"]},
    }))
}
