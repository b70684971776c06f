//! What is known of a service that draws tiles; kept in the plan.

use super::drawing::Drawing;
use super::frame::{Frame, FrameSize};
use crate::tile_service::TiledService;
use offmap_arcgis::ServiceCall;
use offmap_formats::{TileFormat, TileSetInfo};
use offmap_model::{DirectDownloadHosts, Failure, FailureStage, LayerSecrets};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

/// See the module.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DrawSource {
    /// The scheme, its levels and the extent of the data.
    pub(super) service: TiledService,
    pub(super) drawing: Drawing,
    pub(super) size: FrameSize,
    pub(super) title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) attribution: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) warnings: Vec<String>,
}

impl DrawSource {
    /// With the secrets of its layer, which no plan holds.
    pub(super) fn with_secrets(mut self, secrets: &LayerSecrets) -> Self {
        self.service = self.service.with_secrets(&self.drawing.sent(secrets));
        self
    }

    /// What asks for a picture.
    pub(super) fn call(&self, frame: &Frame, hosts: &Arc<DirectDownloadHosts>) -> Result<ServiceCall, Failure> {
        let secrets = &self.service.secrets;
        let call = ServiceCall::get(&self.drawing.url())?.with_secrets_in_url(secrets);
        let parameters = self.drawing.parameters(frame, secrets).into_iter();
        let call = parameters.fold(call, |call, (name, value)| call.with(name, value));
        Ok(call.in_stage(FailureStage::Download).directly(hosts))
    }

    /// What the pictures of a unit are of: all that decides what is on them. Who asks for them decides nothing.
    pub(super) fn purpose(&self, unit: &str) -> [u8; 32] {
        let Self { service, drawing, size, .. } = self;
        let mut digest = Sha256::new_with_prefix(format!("{drawing:?} {size:?} {:?} {unit}", service.tile_info));
        let deciding = service.secrets.deciding();
        if !deciding.is_empty() {
            digest.update(format!(" {deciding:?}"));
        }
        digest.finalize().into()
    }

    /// What a package of its tiles says of itself.
    pub(super) fn tile_set(&self, level_ids: &[u32]) -> TileSetInfo {
        let mut info = TileSetInfo::new(self.service.tile_info.clone(), TileFormat::Png);
        info.levels = level_ids.iter().min().copied().zip(level_ids.iter().max().copied());
        info.name = Some(self.title.clone());
        info.attribution.clone_from(&self.attribution);
        info
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::Parameters;
    use super::super::wms_drawing::{WmsDrawing, WmsVersion};
    use super::*;
    use offmap_formats::tiles::web_mercator_scheme;

    /// A WMS with parameters of its map.
    fn source(of_map: &[(&str, &str)]) -> DrawSource {
        let url = "https://h/wms?map=a&season=wet";
        let info = web_mercator_scheme(256, 3);
        let size = FrameSize::of(&info, (None, None)).expect("fits");
        let drawing = Drawing::Wms(WmsDrawing {
            url: url.to_owned(),
            version: WmsVersion::V130,
            layers: vec!["land".to_owned(), "roads".to_owned()],
            crs: "EPSG:3857".to_owned(),
            is_north_first: false,
            format: "image/png".to_owned(),
        });
        let mut secrets = LayerSecrets::default();
        let origin = url.parse().expect("a url");
        of_map.iter().for_each(|(name, value)| secrets.add(&origin, name, value));
        let service = TiledService::of_template(url, info, None);
        let source = DrawSource { service, drawing, size, title: "W".to_owned(), attribution: None, warnings: Vec::new() };
        source.with_secrets(&secrets)
    }

    /// What the request for a picture says itself.
    fn frame_parameters(source: &DrawSource) -> Parameters {
        let lods = &source.service.tile_info;
        let tile = offmap_formats::TileId { level: 0, row: 0, column: 0 };
        let frame = source.size.frames((lods, &lods.lods[0]), std::iter::once(tile)).next().expect("one");
        source.drawing.parameters(&frame, &source.service.secrets)
    }

    #[test]
    fn how_a_picture_looks_the_map_says_and_where_it_is_the_request() {
        let of = |of_map: &[(&str, &str)]| {
            let source = source(of_map);
            let (secrets, own) = (&source.service.secrets, frame_parameters(&source));
            let one = |name: &str| own.iter().find(|(n, _)| *n == name).map(|(_, value)| value.clone());
            let url = source.drawing.url().parse().expect("a url");
            let mut of_map: Vec<_> = secrets.parameters_for(&url).map(|(name, value)| format!("{name}={value}")).collect();
            of_map.sort();
            (one("STYLES"), one("TRANSPARENT"), one("WIDTH"), of_map.join("&"))
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(of(&[]), (some(","), some("TRUE"), some("256"), String::new()));
        // Those of the map go with the request beside its own.
        let of_map = [
            ("styles", "thin,"),
            ("Transparent", "FALSE"),
            ("width", "1"),
            ("SRS", "x"),
            ("crs", "x"),
            ("bgColor", "0"),
            ("SEASON", "dry"),
        ];
        let sent = "SEASON=dry&Transparent=FALSE&bgColor=0&styles=thin,".to_owned();
        assert_eq!(of(&of_map), (None, None, some("256"), sent));
        // What goes to another host says nothing of what is asked of this one.
        let mut elsewhere = LayerSecrets::default();
        elsewhere.add(&"https://other/".parse().expect("a url"), "STYLES", "thin,");
        let source = source(&[]).with_secrets(&elsewhere);
        assert!(frame_parameters(&source).iter().any(|(name, value)| *name == "STYLES" && value == ","));
    }

    #[test]
    fn what_is_drawn_of_other_parameters_is_not_used_and_who_asks_counts_nothing() {
        let of = |of_map: &[(&str, &str)]| source(of_map).purpose("tiles-0");
        let dry = of(&[("season", "dry")]);
        assert_ne!(dry, of(&[("season", "wet")]));
        assert_ne!(dry, of(&[]));
        assert_eq!(dry, of(&[("apiKey", "0123456789abcdef"), ("Season", "dry")]));
        assert_ne!(dry, source(&[("season", "dry")]).purpose("tiles-1"));
    }
}
