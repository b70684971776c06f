//! What is known of a service whose tiles are downloaded one by one; kept in the plan.

use super::template::TileTemplate;
use crate::tile_service::TiledService;
use crate::vector_service::Described;
use offmap_arcgis::{ServiceCall, resolve};
use offmap_formats::tile_package::check_tile_format;
use offmap_formats::{TileFormat, TileId, TileSetInfo};
use offmap_model::{Failure, FailureStage, LayerSecrets};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// See the module.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TileSource {
    pub(super) service: TiledService,
    pub(super) template: TileTemplate,
    /// The service of vector tiles, and the styles of items that draw them; a template has neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) vector: Option<Described>,
    pub(super) title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) attribution: Option<String>,
    /// Whether a parameter says that no picture is wanted in place of a tile that is not there.
    #[serde(default)]
    pub(super) says_no_blank: bool,
}

impl TileSource {
    /// A service of raster tiles.
    pub(super) fn raster(service: TiledService, title: String, attribution: Option<String>) -> Self {
        let template = TileTemplate::new(format!("{}/tile/{{level}}/{{row}}/{{col}}", service.root));
        Self { service, template, vector: None, title, attribution, says_no_blank: true }
    }

    /// A service of vector tiles with the styles that draw them.
    pub(super) fn vector(service: TiledService, described: Described, title: String, attribution: Option<String>) -> Self {
        let template = TileTemplate::new(vector_template(&service));
        Self { service, template, vector: Some(described), title, attribution, says_no_blank: false }
    }

    /// A template of urls that a map has.
    pub(super) fn web(service: TiledService, template: TileTemplate, title: String, attribution: Option<String>) -> Self {
        Self { service, template, vector: None, title, attribution, says_no_blank: false }
    }

    /// With the secrets of its layers, which no plan holds.
    pub(super) fn with_secrets(mut self, secrets: &LayerSecrets) -> Self {
        self.service = self.service.with_secrets(secrets);
        self.vector = self.vector.map(|described| described.with_secrets(secrets));
        self
    }

    pub(super) fn is_vector(&self) -> bool {
        self.vector.is_some() || self.stated_format().is_some_and(TileFormat::is_vector)
    }

    fn stated_format(&self) -> Option<TileFormat> {
        self.service.tile_info.format.as_deref().and_then(TileFormat::of_esri_word)
    }

    /// What its tiles are, as far as it says.
    pub(super) fn format(&self) -> TileFormat {
        match self.is_vector() {
            true => TileFormat::Mvt,
            false => self.stated_format().unwrap_or(TileFormat::Mixed),
        }
    }

    /// What the tiles of a unit are: all that decides what comes. Who asks for them decides nothing.
    pub(super) fn purpose(&self, unit: &str) -> [u8; 32] {
        let mut digest = Sha256::new_with_prefix(format!("{:?} {:?} {unit}", self.template, self.service.tile_info));
        let deciding = self.service.secrets.deciding();
        if !deciding.is_empty() {
            digest.update(format!(" {deciding:?}"));
        }
        digest.finalize().into()
    }

    /// What asks for a tile. Vector tiles stay gzip as they come.
    pub(super) fn call(&self, place: TileId) -> Result<ServiceCall, Failure> {
        let call = ServiceCall::get(&self.template.url_of(place))?;
        let call = call.with_secrets_in_url(&self.service.secrets).in_stage(FailureStage::Download);
        let call = if self.says_no_blank { call.with("blankTile", false) } else { call };
        Ok(if self.is_vector() { call.keeping_gzip() } else { call })
    }

    /// Whether a package can hold a tile: what it cannot is told by the first one, before the others are asked for.
    pub(super) fn check_packable(&self, place: TileId, bytes: &[u8]) -> Result<(), Failure> {
        let found = TileFormat::of_image(bytes).filter(|_| !self.is_vector()).unwrap_or(self.format());
        let Err(failure) = check_tile_format(found) else { return Ok(()) };
        let (title, words) = (&self.title, failure.message);
        let message = format!(
            "the tiles of \"{title}\" cannot be packed: {words}; take a service or template that answers with one of those, or leave the \
             layer out"
        );
        Err(Failure::not_supported(message).in_stage(FailureStage::Download).with_url(&self.template.url_of(place)))
    }

    /// What a package of its tiles says of itself.
    pub(super) fn tile_set(&self, level_ids: &[u32]) -> TileSetInfo {
        let mut info = TileSetInfo::new(self.service.tile_info.clone(), self.format());
        info.levels = level_ids.iter().min().copied().zip(level_ids.iter().max().copied());
        info.name = Some(self.title.clone());
        info.attribution.clone_from(&self.attribution);
        info
    }
}

/// Where vector tiles are: as the service says below its root, else where they are on every ArcGIS server.
fn vector_template(service: &TiledService) -> String {
    const USUAL: &str = "tile/{z}/{y}/{x}.pbf";
    let has_all = |said: &&String| ["{z}", "{y}", "{x}"].iter().all(|part| said.contains(part));
    let said = service.vector_tiles.as_ref().filter(has_all).map_or(USUAL, String::as_str);
    let named = said.replace("{z}", "{level}").replace("{y}", "{row}").replace("{x}", "{col}");
    let below = |named: &str| {
        let url = resolve(&format!("{}/", service.root), named).ok()?;
        let root = resolve(&service.root, "").ok()?;
        // Braces are no part of a url; they go through resolving as they are.
        let text = url.as_str().replace("%7B", "{").replace("%7D", "}");
        (url.origin() == root.origin()).then_some(text)
    };
    let usual = || format!("{}/tile/{{level}}/{{row}}/{{col}}.pbf", service.root);
    below(&named).unwrap_or_else(usual)
}

#[cfg(test)]
mod tests {
    use super::*;
    use offmap_formats::tiles::web_mercator_scheme;
    use offmap_model::{FailureKind, FailureOwner};

    #[test]
    fn a_tile_that_no_package_holds_is_refused_for_good_with_the_way_out() {
        let url = "https://h/{level}/{row}/{col}";
        let service = TiledService::of_template(url, web_mercator_scheme(256, 3), None);
        let source = TileSource::web(service, TileTemplate::new(url), "Photos".to_owned(), None);
        let place = TileId { level: 1, row: 0, column: 1 };
        assert_eq!(source.check_packable(place, b"\x89PNG\r\n\x1a\n"), Ok(()));
        assert_eq!(source.check_packable(place, b"\xff\xd8\xff"), Ok(()));
        for (bytes, name) in [(&b"RIFF\0\0\0\0WEBPVP8 "[..], "WebP"), (b"\0\0\0\x1cftypavif", "Avif")] {
            let failure = source.check_packable(place, bytes).expect_err("refused");
            assert_eq!(
                (failure.owner, failure.kind, failure.retryable),
                (FailureOwner::Source, FailureKind::NotSupported, false)
            );
            assert!(failure.message.contains(name) && failure.message.contains("leave the layer out"), "{failure}");
            assert_eq!(failure.url.as_deref(), Some("https://h/1/0/1"));
        }
    }
}
