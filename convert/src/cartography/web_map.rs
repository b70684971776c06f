//! Reads the web map JSON, or the document of a mobile map package, into a [`Map`].

use super::approximation::{Approximation, Report};
use super::data_source::{DataSource, FeatureSource, GeometryKind};
use super::feature_layer;
use super::map::{Features, Layer, LayerContent, Map};
use super::members::{list, number, text};
use super::relations;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// How a layer is named for which there are no data.
pub(crate) const WITHOUT_DATA: &str = "a layer without data in the folder";

/// What the open folder has of a layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerSource {
    /// Where its data lie.
    pub data: DataSource,
    /// What the service says of the layer: fields, drawing, relationships. The web map leaves out what it does not change.
    pub description: Value,
}

impl Map {
    /// Reads a map. `resolver` says for the JSON of each layer and table where its data lie; a layer without data is not shown and reported.
    ///
    /// `document` is web map JSON, or the document of a mobile map package with the web map in its member `map`.
    pub fn from_web_map(document: &Value, resolver: &mut dyn FnMut(&Value) -> Option<LayerSource>) -> Self {
        let web_map = document.get("map").filter(|map| map.is_object()).unwrap_or(document);
        let item = document.get("item").unwrap_or(&Value::Null);
        let mut reader = Reader { resolver, map: Self::default(), ids: BTreeSet::new(), described: Vec::new() };
        let basemap = web_map.get("baseMap").unwrap_or(&Value::Null);
        let (reference, below): (Vec<&Value>, Vec<&Value>) =
            list(basemap, "baseMapLayers").iter().partition(|layer| is_reference(layer));
        let operational = list(web_map, "operationalLayers");
        let layers = reader.layers(below.into_iter().chain(operational).chain(reference));
        reader.map.tables = reader.layers(list(web_map, "tables"));
        let Reader { mut map, described, .. } = reader;
        map.layers = layers;
        map.relations = relations::between(&described);
        map.title = text(item, "title").unwrap_or_default().to_owned();
        map.wkid = wkid(web_map.get("spatialReference").unwrap_or(&Value::Null));
        map.extent = extent(item);
        map
    }
}

fn is_reference(layer: &Value) -> bool {
    layer.get("isReference").and_then(Value::as_bool).unwrap_or(false)
}

fn wkid(reference: &Value) -> Option<u32> {
    let code = reference.get("latestWkid").or_else(|| reference.get("wkid"))?.as_u64()?;
    match u32::try_from(code).ok()? {
        102_100 | 102_113 | 900_913 => Some(3857),
        code => Some(code),
    }
}

/// The extent of an item: `[[west, south], [east, north]]` in degrees.
fn extent(item: &Value) -> Option<[f64; 4]> {
    let at = |corner: usize, axis: usize| item.get("extent")?.get(corner)?.get(axis)?.as_f64();
    Some([at(0, 0)?, at(0, 1)?, at(1, 0)?, at(1, 1)?])
}

struct Reader<'a> {
    resolver: &'a mut dyn FnMut(&Value) -> Option<LayerSource>,
    map: Map,
    ids: BTreeSet<String>,
    described: Vec<relations::Described>,
}

impl Reader<'_> {
    fn layers<'v>(&mut self, layers: impl IntoIterator<Item = &'v Value>) -> Vec<Layer> {
        layers.into_iter().filter_map(|layer| self.layer(layer)).collect()
    }

    /// An id that no other layer has: old maps repeat ids, and feature collections have none.
    fn id(&mut self, layer: &Value) -> String {
        let own = text(layer, "id").or(text(layer, "title")).unwrap_or("layer");
        let mut id = own.to_owned();
        let mut count = 1;
        while !self.ids.insert(id.clone()) {
            count += 1;
            id = format!("{own}-{count}");
        }
        id
    }

    fn layer(&mut self, layer: &Value) -> Option<Layer> {
        let id = self.id(layer);
        let title = text(layer, "title").unwrap_or(&id).to_owned();
        if let Some(parts) = parts_of(layer) {
            let layers = self.layers(&parts);
            let exclusive = text(layer, "visibilityMode") == Some("exclusive");
            let content = LayerContent::Group { layers, exclusive };
            return Some(self.with_common(layer, &Value::Null, id, title, content));
        }
        let Some(source) = (self.resolver)(layer) else {
            let what = WITHOUT_DATA.to_owned();
            self.map.approximations.push(Approximation { layer: title, what, shown_as: "nothing".to_owned() });
            return None;
        };
        let description = source.description;
        let content = match source.data {
            DataSource::RasterTiles(tiles) => LayerContent::RasterTiles(tiles),
            DataSource::VectorTiles(tiles) => LayerContent::VectorTiles(tiles),
            DataSource::Features(source) => {
                self.described.push(relations::Described::new(&id, layer, &description));
                LayerContent::Features(Box::new(self.features(layer, &description, source, &title)))
            }
        };
        Some(self.with_common(layer, &description, id, title, content))
    }

    fn features(&mut self, layer: &Value, description: &Value, source: FeatureSource, title: &str) -> Features {
        let mut report = Report::new(title, &mut self.map.approximations);
        feature_layer::read(layer, description, source, &mut report)
    }

    fn with_common(&self, layer: &Value, description: &Value, id: String, title: String, content: LayerContent) -> Layer {
        let definition = layer.get("layerDefinition").unwrap_or(&Value::Null);
        let is_features = matches!(&content, LayerContent::Features(_));
        // The scale range of tiles is a matter of the map; that of features comes from the service where the map says none.
        let scale = |key: &str| {
            let own = number(definition, key).or_else(|| number(layer, key));
            own.or_else(|| number(description, key).filter(|_| is_features)).unwrap_or(0.0).max(0.0)
        };
        let transparency = |of: &Value| of.get("drawingInfo").and_then(|info| number(info, "transparency"));
        let opacity = number(layer, "opacity").or_else(|| {
            let percent = transparency(definition).or_else(|| transparency(description).filter(|_| is_features))?;
            Some(1.0 - percent / 100.0)
        });
        Layer {
            id,
            title,
            visible: layer.get("visibility").and_then(Value::as_bool).unwrap_or(true),
            min_scale: scale("minScale"),
            max_scale: scale("maxScale"),
            opacity: opacity.unwrap_or(1.0).clamp(0.0, 1.0),
            content,
        }
    }
}

/// The layers that a group, a feature collection or a subtype group consists of.
fn parts_of(layer: &Value) -> Option<Vec<Value>> {
    let (title, id) = (text(layer, "title").unwrap_or_default(), text(layer, "id").unwrap_or_default());
    if let Some(parts) = layer.get("featureCollection").map(|collection| list(collection, "layers")) {
        let part = |(at, part): (usize, &Value)| {
            let mut part = part.clone();
            let name =
                part.get("layerDefinition").and_then(|definition| text(definition, "name")).unwrap_or(title).to_owned();
            let members = part.as_object_mut()?;
            members.entry("id").or_insert(json!(format!("{id}-{at}")));
            members.entry("title").or_insert(json!(name));
            Some(part)
        };
        return Some(parts.iter().enumerate().filter_map(part).collect());
    }
    let parts = layer.get("layers").and_then(Value::as_array)?;
    if !matches!(text(layer, "layerType"), Some("SubtypeGroupLayer" | "SubtypeGroupTable")) {
        return Some(parts.clone());
    }
    // The parts of a subtype group have the data of the group.
    let part = |part: &Value| {
        let mut whole = layer.as_object()?.clone();
        for key in ["layers", "id", "title", "layerType", "opacity", "visibility", "minScale", "maxScale", "layerDefinition"]
        {
            whole.remove(key);
        }
        whole.extend(part.as_object()?.clone());
        Some(Value::Object(whole))
    };
    Some(parts.iter().filter_map(part).collect())
}

/// Reads Esri's name of a geometry type.
pub fn geometry_kind(name: &str) -> GeometryKind {
    match name {
        "esriGeometryPoint" | "esriGeometryMultipoint" => GeometryKind::Point,
        "esriGeometryPolyline" => GeometryKind::Line,
        "esriGeometryPolygon" | "esriGeometryEnvelope" => GeometryKind::Polygon,
        _ => GeometryKind::None,
    }
}
