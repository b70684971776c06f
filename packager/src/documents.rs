//! What the documents of a package are made of, and what several of them say alike: item, attribution, terms, extent.

use crate::layout::LayerData;
use offmap_engine::ReferenceBasemap;
use offmap_model::{
    ExportState, ExportTask, Failure, LayerItem, LayerOutcome, OfflineMapItemInfo, OfflineMapPlan, OfflineMapSource,
    SpatialReference, TaskLayer, WebMap,
};
use serde_json::Value;
use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};

/// What the documents of a package are made of.
#[derive(Debug)]
pub(crate) struct Documents<'a> {
    pub(crate) source: &'a OfflineMapSource,
    pub(crate) plan: &'a OfflineMapPlan,
    pub(crate) layers: &'a [LayerOutcome],
    pub(crate) data: &'a HashMap<String, LayerData>,
    pub(crate) items: &'a HashMap<String, &'a LayerItem>,
    pub(crate) basemap: Option<&'a ReferenceBasemap>,
    pub(crate) created: i64,
    pub(crate) guid: uuid::Uuid,
    /// The tasks of layers, by the layers' ids.
    pub(crate) planned: HashMap<&'a str, (&'a ExportTask, &'a TaskLayer)>,
    /// Made at the first look.
    pub(crate) info: OnceCell<OfflineMapItemInfo>,
}

/// The layers of a plan with their tasks, by their ids.
pub(crate) fn layers_of(plan: &OfflineMapPlan) -> HashMap<&str, (&ExportTask, &TaskLayer)> {
    let layers = plan.tasks.iter().flat_map(|task| task.layers.iter().map(move |layer| (task, layer)));
    layers.map(|(task, layer)| (layer.id.as_str(), (task, layer))).collect()
}

/// The map's own spatial reference; older maps have none, then Web Mercator as their basemaps.
fn spatial_reference_of(map: &WebMap) -> SpatialReference {
    map.spatial_reference().filter(|s| s.wkid.is_some() || s.wkt.is_some()).unwrap_or_else(SpatialReference::web_mercator)
}

/// Adds a source's text to that of the map, unless it is there already.
fn add_text(all: &mut String, text: Option<String>, between: &str) {
    let Some(text) = text.filter(|text| !all.contains(text.as_str())) else { return };
    if text.contains(all.as_str()) {
        *all = text;
    } else {
        all.push_str(between);
        all.push_str(&text);
    }
}

impl Documents<'_> {
    /// What the caller wants on the package, else what the item says, else what is known of the map.
    pub(crate) fn item_info(&self) -> &OfflineMapItemInfo {
        self.info.get_or_init(|| self.gathered())
    }

    fn gathered(&self) -> OfflineMapItemInfo {
        let item = self.source.item.as_ref();
        let of_map = item.map(|i| OfflineMapItemInfo::from_item(i, self.source.thumbnail.clone())).unwrap_or_default();
        let mut info = self.plan.parameters.item_info.clone().unwrap_or_else(|| of_map.clone());
        if info.title.is_empty() {
            let base = self.source.web_map.json().get("baseMap").and_then(|b| b.get("title")).and_then(Value::as_str);
            info.title = base.unwrap_or("Offline map").to_owned();
        }
        // What the caller wrote stays as it is; the manifest has the texts of the sources beside it.
        let attribution_is_the_map_s = info.access_information == of_map.access_information;
        let terms_are_the_map_s = info.terms_of_use == of_map.terms_of_use;
        // Many layers say the same.
        let (mut attributions, mut terms) = (HashSet::new(), HashSet::new());
        for layer in self.layers.iter().filter(|l| l.state == ExportState::Succeeded) {
            if let Some(text) = self.attribution(&layer.id).filter(|_| attribution_is_the_map_s)
                && attributions.insert(text.clone())
            {
                add_text(&mut info.access_information, Some(text), "; ");
            }
            if let Some(text) = self.terms_of_use(&layer.id).filter(|_| terms_are_the_map_s)
                && terms.insert(text.clone())
            {
                add_text(&mut info.terms_of_use, Some(text), "<br>");
            }
        }
        info
    }

    /// Attribution of a layer's data: the service's, and that of the layer's item.
    pub(crate) fn attribution(&self, layer: &str) -> Option<String> {
        let mut all = self.planned.get(layer).and_then(|(task, _)| task.attribution.clone()).unwrap_or_default();
        add_text(&mut all, self.items.get(layer).and_then(|i| i.access_information.clone()), "; ");
        Some(all).filter(|text| !text.trim().is_empty())
    }

    /// Terms of use of a layer's item.
    pub(crate) fn terms_of_use(&self, layer: &str) -> Option<String> {
        self.items.get(layer)?.license_info.clone().filter(|text| !text.trim().is_empty())
    }

    /// The offline map's spatial reference: that of a basemap on the device, else the map's own.
    pub(crate) fn spatial_reference(&self) -> SpatialReference {
        let basemap = self.basemap.and_then(|b| b.says.spatial_reference.clone());
        basemap.unwrap_or_else(|| spatial_reference_of(&self.source.web_map))
    }

    /// The area in WGS84 degrees.
    pub(crate) fn extent(&self) -> Result<[[f64; 2]; 2], Failure> {
        self.plan.parameters.area_of_interest.wgs84_extent()
    }
}
