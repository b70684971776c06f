//! Where a job starts: the web map, its portal item and what the portal says.

use crate::failure::{Failure, check_no_user};
use crate::item::PortalItem;
use crate::thumbnail::Thumbnail;
use crate::web_map::WebMap;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// A host that draws tiles, and the host that exports them (`helperServices.packaging.exportTilesMap` of a portal).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportHost {
    /// Host in web maps.
    pub source: String,
    /// Host that exports.
    pub export: String,
}

impl ExportHost {
    /// The documented pairs of Esri's basemaps (tile reference §8: the list of ArcGIS Online): the default of a map that came as a
    /// file, or of a portal that has no list of its own.
    #[must_use]
    pub fn documented() -> Vec<Self> {
        [
            ("services.arcgisonline.com", "tiledbasemaps.arcgis.com"),
            ("basemaps-api.arcgis.com", "basemaps.arcgis.com"),
            ("ibasemaps-api.arcgis.com", "tiledbasemaps.arcgis.com"),
        ]
        .map(|(source, export)| Self { source: format!("https://{source}"), export: format!("https://{export}") })
        .to_vec()
    }
}

/// A vector tile service and the one that has the same tiles with fewer fonts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReducedFontsService {
    /// Service in web maps.
    pub service_url: String,
    /// Its twin with fewer fonts.
    pub reduced_fonts_url: String,
}

/// One web map with its surroundings, read and ready to be taken offline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OfflineMapSource {
    /// The map.
    pub web_map: WebMap,
    /// Its portal item; `None` for a map that came as a file.
    pub item: Option<PortalItem>,
    /// The portal without `/sharing`, where there is one.
    pub portal_url: Option<String>,
    /// The item's picture.
    pub thumbnail: Option<Thumbnail>,
    /// Which hosts export for which; the documented pairs of Esri's basemaps where neither portal nor caller says otherwise.
    pub export_hosts: Vec<ExportHost>,
    /// Which vector tile services have a twin with fewer fonts, for `esriVectorTilesDownloadOption`. No public document names
    /// Esri's, so the caller does.
    #[serde(default)]
    pub reduced_fonts_services: Vec<ReducedFontsService>,
    /// Items of the map's layers, for their attributions and terms, as far as they could be read.
    #[serde(default)]
    pub layer_items: Vec<LayerItem>,
}

/// What the portal item of a layer says of the use of its data.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LayerItem {
    /// 32 hexadecimal digits.
    pub id: String,
    /// Attribution.
    pub access_information: Option<String>,
    /// HTML; the API calls it terms of use.
    pub license_info: Option<String>,
}

/// What to do with an item that is no web map.
fn way_out(item_type: &str) -> &'static str {
    match item_type {
        "Tile Package" | "Compact Tile Package" | "Vector Tile Package" | "Mobile Basemap Package" => {
            "download it, and name the file as referenceBasemapFilename in the parameters of a web map"
        }
        "Mobile Map Package" | "Map Area" => {
            "it is an offline map already; download it, or give the id of the web map that it was made from"
        }
        "Web Scene" => "scenes are not supported; make a web map of its layers, and give the id of that",
        kind if kind.ends_with("Service") || kind == "Feature Collection" || kind == "WMTS" || kind == "WMS" => {
            "add it to a web map, and give the id of that"
        }
        _ => "give the id of the web map that it shows",
    }
}

impl OfflineMapSource {
    /// The title for people: the item's, else `offline map`.
    #[must_use]
    pub fn map_title(&self) -> &str {
        self.item.as_ref().map(|i| i.title.as_str()).filter(|t| !t.is_empty()).unwrap_or("offline map")
    }

    /// A map without portal item.
    #[must_use]
    pub fn from_web_map(web_map: WebMap) -> Self {
        Self {
            web_map,
            item: None,
            portal_url: None,
            thumbnail: None,
            export_hosts: ExportHost::documented(),
            reduced_fonts_services: Vec::new(),
            layer_items: Vec::new(),
        }
    }

    /// What the items of layers and tables, by their ids in the map, say of the use of their data.
    #[must_use]
    pub fn items_of_layers(&self) -> HashMap<String, &LayerItem> {
        let item = |id: &str| self.layer_items.iter().find(|i| i.id == id);
        self.web_map.layers().iter().filter_map(|l| Some((l.id.clone(), item(l.item_id.as_ref()?)?))).collect()
    }

    /// Checks that no url of the map's surroundings has a user name or password in it.
    ///
    /// # Errors
    /// If one has; it is not shown.
    pub fn check_urls(&self) -> Result<(), Failure> {
        let twins = self.reduced_fonts_services.iter().flat_map(|t| [&t.service_url, &t.reduced_fonts_url]);
        let hosts = self.export_hosts.iter().flat_map(|h| [&h.source, &h.export]);
        self.portal_url.iter().chain(twins).chain(hosts).try_for_each(|url| check_no_user(url))
    }

    /// Checks that this is a map that may be taken offline.
    ///
    /// # Errors
    /// If the item is not a web map, or its author forbids offline use (keyword `OfflineDisabled`).
    pub fn check(&self) -> Result<(), Failure> {
        self.check_urls()?;
        let Some(item) = &self.item else { return Ok(()) };
        if !item.item_type.is_empty() && item.item_type != "Web Map" {
            return Err(Failure::invalid_parameter(format!(
                "item {} \"{}\" is a {}, expected a Web Map; {}",
                item.id,
                item.title,
                item.item_type,
                way_out(&item.item_type)
            )));
        }
        if item.has_keyword("OfflineDisabled") {
            return Err(Failure::not_supported(format!(
                "the author of \"{}\" has forbidden offline use (keyword OfflineDisabled); ask the owner of item {} to allow it",
                item.title, item.id
            )));
        }
        Ok(())
    }
}
