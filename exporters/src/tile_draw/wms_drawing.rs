//! Pictures of a WMS, by `GetMap`.
//!
//! `customParameters` and `customLayerParameters` of the map's layer go with each request, in place of those in the url and beside the
//! request's own; they say how a picture looks (`STYLES`, `TRANSPARENT`, `BGCOLOR`), not where and how large it is.
//!
//! Source: WMS 1.3.0, §7.3 (`GetMap`), §6.7.2 (order of axes), §6.8.1 (letter case of names), annex A; WMS 1.1.1, §7.2; web map
//! specification, `wmsLayer`.

use super::frame::{Frame, Parameters};
use offmap_arcgis::is_wms_parameter;
use offmap_model::LayerSecrets;
use serde::{Deserialize, Serialize};
use url::Url;

/// What a map may say in place of a request.
const OF_LOOK: [&str; 3] = ["STYLES", "TRANSPARENT", "BGCOLOR"];

/// What a map says for its layer, without what the requests say themselves, in whatever version of the standard: a `SRS` of the map beside
/// the `CRS` of a request would be two of them.
pub(super) fn sent_to_wms(secrets: &LayerSecrets) -> LayerSecrets {
    secrets.with_names(|name| !is_wms_parameter(name) || OF_LOOK.iter().any(|look| look.eq_ignore_ascii_case(name)))
}

/// A version of the standard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum WmsVersion {
    #[serde(rename = "1.1.1")]
    V111,
    #[serde(rename = "1.3.0")]
    V130,
}

impl WmsVersion {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::V111 => "1.1.1",
            Self::V130 => "1.3.0",
        }
    }

    /// The one that a document says: 1.1.0 is asked as 1.1.1.
    pub(super) fn read(said: &str) -> Option<Self> {
        let said = said.trim();
        match said {
            _ if said.starts_with("1.3") => Some(Self::V130),
            _ if said.starts_with("1.1") => Some(Self::V111),
            _ => None,
        }
    }
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WmsDrawing {
    pub(super) url: String,
    pub(super) version: WmsVersion,
    /// Names of layers, the lowest first.
    pub(super) layers: Vec<String>,
    /// Name of the coordinate reference system, and whether its northing is the first axis.
    pub(super) crs: String,
    pub(super) is_north_first: bool,
    /// Media type.
    pub(super) format: String,
}

impl WmsDrawing {
    pub(super) fn parameters(&self, frame: &Frame, secrets: &LayerSecrets) -> Parameters {
        let is_new = self.version == WmsVersion::V130;
        let bbox = if is_new && self.is_north_first { frame.flipped_bbox() } else { frame.bbox() };
        let mut all = vec![
            ("SERVICE", "WMS".to_owned()),
            ("VERSION", self.version.word().to_owned()),
            ("REQUEST", "GetMap".to_owned()),
            ("LAYERS", self.layers.join(",")),
            (if is_new { "CRS" } else { "SRS" }, self.crs.clone()),
            ("BBOX", bbox),
            ("WIDTH", frame.width.to_string()),
            ("HEIGHT", frame.height.to_string()),
            ("FORMAT", self.format.clone()),
            ("TRANSPARENT", "TRUE".to_owned()),
            ("EXCEPTIONS", if is_new { "XML" } else { "application/vnd.ogc.se_xml" }.to_owned()),
        ];
        // The default style of each layer.
        all.push(("STYLES", ",".repeat(self.layers.len().saturating_sub(1))));
        if let Ok(url) = Url::parse(&self.url) {
            let says = |look: &str| secrets.parameters_for(&url).any(|(name, _)| name.eq_ignore_ascii_case(look));
            all.retain(|(name, _)| !(OF_LOOK.contains(name) && says(name)));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::FrameSize;
    use super::*;
    use offmap_formats::TileId;
    use offmap_formats::tiles::{Lod, Origin, TileInfo};
    use offmap_model::SpatialReference;

    fn parameters(version: WmsVersion, crs: &str, is_north_first: bool) -> Vec<(&'static str, String)> {
        let info = TileInfo {
            rows: 256,
            cols: 256,
            origin: Origin { x: -180.0, y: 90.0 },
            spatial_reference: SpatialReference::wgs84(),
            lods: vec![Lod { level: 3, resolution: 45.0 / 256.0, scale: 1.0 }],
            format: None,
        };
        let size = FrameSize::of(&info, (Some(256), None)).expect("fits");
        // 45° to 90° east, 0° to 45° north.
        let tile = TileId { level: 3, row: 1, column: 5 };
        let frame = size.frames((&info, &info.lods[0]), std::iter::once(tile)).next().expect("one");
        let layers = vec!["land".to_owned(), "roads".to_owned()];
        let (url, format) = ("https://h/wms".to_owned(), "image/png".to_owned());
        let drawing = WmsDrawing { url, version, layers, crs: crs.to_owned(), is_north_first, format };
        drawing.parameters(&frame, &LayerSecrets::default())
    }

    #[test]
    fn corners_are_in_the_order_of_the_axes_in_1_3_0_and_x_before_y_in_1_1_1() {
        let of = |version, crs, north| {
            let all = parameters(version, crs, north);
            let one = |name: &str| all.iter().find(|(n, _)| *n == name).map(|(_, value)| value.clone());
            (one("BBOX").expect("corners"), one("CRS"), one("SRS"))
        };
        let some = |text: &str| Some(text.to_owned());
        let (x_first, y_first) = ("45,0,90,45".to_owned(), "0,45,45,90".to_owned());
        assert_eq!(of(WmsVersion::V130, "EPSG:4326", true), (y_first, some("EPSG:4326"), None));
        assert_eq!(of(WmsVersion::V130, "CRS:84", false), (x_first.clone(), some("CRS:84"), None));
        assert_eq!(of(WmsVersion::V111, "EPSG:4326", true), (x_first, None, some("EPSG:4326")));
    }

    #[test]
    fn all_that_the_standard_wants_is_in_a_request() {
        for (version, exceptions) in [(WmsVersion::V130, "XML"), (WmsVersion::V111, "application/vnd.ogc.se_xml")] {
            let all = parameters(version, "EPSG:4326", true);
            let one = |name: &str| all.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_str());
            assert_eq!((one("LAYERS"), one("STYLES")), (Some("land,roads"), Some(",")));
            assert_eq!((one("WIDTH"), one("HEIGHT"), one("VERSION")), (Some("256"), Some("256"), Some(version.word())));
            assert_eq!((one("TRANSPARENT"), one("EXCEPTIONS")), (Some("TRUE"), Some(exceptions)));
        }
    }
}
