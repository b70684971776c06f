//! What a vector tiled service, its twin with fewer fonts and the styles of its layers say of themselves.

use crate::tile_service::{DESCRIPTION, TiledService, export_not_allowed, spatial_reference_not_supported, text, title_of};
use crate::vector_style::LayerStyle;
use offmap_arcgis::body::expect_description;
use offmap_arcgis::export_twin::export_root;
use offmap_arcgis::{AnswerKind, ArcGisClient, ServiceCall};
use offmap_model::{
    CapabilityReason, EsriVectorTilesDownloadOption, Failure, FailureStage, LayerSecrets, LayerType, MapLayer,
    OfflineMapSource, service_key,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// All that the export needs to know; kept in the plan.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Described {
    /// The service of the map, where it exports.
    pub(crate) service: Option<TiledService>,
    /// Its twin with fewer fonts, where one is known and exports.
    #[serde(default)]
    pub(crate) reduced: Option<TiledService>,
    #[serde(default)]
    pub(crate) styles: Vec<LayerStyle>,
    /// Why there is no twin, in words.
    #[serde(default)]
    pub(crate) no_twin: Option<String>,
}

impl Described {
    /// With the secrets of its layers, which no plan holds.
    pub(crate) fn with_secrets(mut self, secrets: &LayerSecrets) -> Self {
        for service in self.service.iter_mut().chain(self.reduced.iter_mut()) {
            service.secrets = secrets.clone();
        }
        self
    }

    /// The service to export from: the twin where it is wanted and there, else the original.
    pub(crate) fn chosen(&self, option: EsriVectorTilesDownloadOption) -> Result<&TiledService, Failure> {
        let reduced = self.reduced.as_ref().filter(|_| option == EsriVectorTilesDownloadOption::UseReducedFontsService);
        reduced.or(self.service.as_ref()).ok_or_else(|| {
            Failure::invalid_parameter("esriVectorTilesDownloadOption is `useOriginalService`, which does not export tiles")
        })
    }

    pub(crate) fn warnings(&self, option: EsriVectorTilesDownloadOption) -> Vec<String> {
        let wanted = option == EsriVectorTilesDownloadOption::UseReducedFontsService;
        self.no_twin.clone().filter(|_| wanted && self.reduced.is_none()).into_iter().collect()
    }
}

/// A service that exports, or why it does not.
pub(crate) struct Answer {
    pub(crate) title: String,
    pub(crate) attribution: Option<String>,
    pub(crate) service: Result<TiledService, (CapabilityReason, String)>,
}

/// How the tiles of a service are to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// By `exportTiles`, of the host that exports.
    Export,
    /// One by one, whether it exports or not.
    Direct,
}

/// Asks a service.
pub(crate) async fn describe(
    client: &ArcGisClient,
    (root, way): (&str, Way),
    source: &OfflineMapSource,
    secrets: &LayerSecrets,
) -> Result<Answer, Failure> {
    let root = match way {
        Way::Export => export_root(root, &source.export_hosts),
        Way::Direct => root.to_owned(),
    };
    let call = ServiceCall::get(&root)?.with_secrets(secrets).in_stage(FailureStage::Plan).answer(AnswerKind::Description);
    let answer = client.json(&call).await?;
    expect_description(&answer, &root, "a vector tile service", DESCRIPTION)?;
    let title = title_of(&root, &answer);
    let attribution = text(&answer, "copyrightText");
    if way == Way::Export && !answer.get("exportTilesAllowed").and_then(Value::as_bool).unwrap_or(false) {
        let refused = (CapabilityReason::ExportTilesNotAllowed, export_not_allowed(&title));
        return Ok(Answer { title, attribution, service: Err(refused) });
    }
    let service = TiledService::read(&root, &answer, secrets)?;
    let refused = spatial_reference_not_supported(&title, &service.tile_info.spatial_reference);
    let service = match refused {
        Some(words) => Err((CapabilityReason::SpatialReferenceNotSupported, words)),
        None => Ok(service),
    };
    Ok(Answer { title, attribution, service })
}

/// The twin of a service with fewer fonts, as the caller named it.
pub(crate) fn twin_of<'a>(root: &str, source: &'a OfflineMapSource) -> Option<&'a str> {
    let twin = source.reduced_fonts_services.iter().find(|t| service_key(&t.service_url) == service_key(root));
    twin.map(|t| t.reduced_fonts_url.as_str())
}

/// Words for a service without a twin; the option is for Esri's vector basemaps, others stay as they are.
pub(crate) fn no_twin(root: &str) -> Option<String> {
    let is_esri = url::Url::parse(root).ok().and_then(|u| u.host_str().map(|h| h.ends_with(".arcgis.com")));
    (is_esri == Some(true)).then(|| format!("no service with reduced fonts is known for {root}; the original one is taken"))
}

/// What a vector tiled layer is grouped by: its service, or the url of its style, which names one.
pub(crate) fn service_of(layer: &MapLayer, source: &OfflineMapSource) -> Option<String> {
    if layer.layer_type != LayerType::VectorTile {
        return None;
    }
    let service = layer.service().filter(|s| s.kind() == "vectortileserver").map(|s| s.root().to_owned());
    // One service, one key, one package, whatever its layers are drawn by.
    service.or_else(|| layer.style_url.clone()).or_else(|| item_style(layer, source))
}

/// The url of the style on a portal item.
pub(crate) fn item_style(layer: &MapLayer, source: &OfflineMapSource) -> Option<String> {
    let (portal, id) = (source.portal_url.as_ref()?, layer.item_id.as_ref()?);
    let plain = id.chars().all(|c| c.is_ascii_alphanumeric());
    plain.then(|| format!("{portal}/sharing/rest/content/items/{id}/resources/styles/root.json"))
}

/// Whether a url is that of a service's own style, which is in its package with all that it needs. Other styles of a service
/// are not.
pub(crate) fn is_own_style(url: &str, root: &str) -> bool {
    let (url, root) = (service_key(url), service_key(root));
    let below = url.strip_prefix(&root);
    below.is_some_and(|rest| matches!(rest, "/resources/styles" | "/resources/styles/root.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_service_s_own_style_is_in_its_package() {
        let root = "https://h/arcgis/rest/services/B/VectorTileServer";
        for own in ["styles", "styles/", "styles/root.json", "styles/root.json?f=json"] {
            assert!(
                is_own_style(&format!("http://H/ArcGIS/rest/services/B/VectorTileServer/resources/{own}"), root),
                "{own}"
            );
        }
        for other in ["resources/styles/dark.json", "resources/styles/root.json/x", "resources", ""] {
            assert!(!is_own_style(&format!("{root}/{other}"), root), "{other}");
        }
        assert!(!is_own_style("https://p/sharing/rest/content/items/x/resources/styles/root.json", root));
    }
}
