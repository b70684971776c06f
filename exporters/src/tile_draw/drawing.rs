//! What is asked of a service for a picture; kept in the plan.

use super::frame::{Frame, Parameters};
use super::image_service::ImageDrawing;
use super::map_service::MapDrawing;
use super::wms_drawing::{WmsDrawing, sent_to_wms};
use offmap_model::LayerSecrets;
use serde::{Deserialize, Serialize};

/// The request of each kind of service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Drawing {
    /// `export` of a map service.
    Map(MapDrawing),
    /// `exportImage` of an image service.
    Image(ImageDrawing),
    /// `GetMap` of a WMS.
    Wms(WmsDrawing),
}

impl Drawing {
    /// Where it is asked.
    pub(super) fn url(&self) -> String {
        match self {
            Self::Map(map) => map.url(),
            Self::Image(image) => image.url(),
            Self::Wms(wms) => wms.url.clone(),
        }
    }

    /// Of what the map says for the layer, that which goes with a request.
    pub(super) fn sent(&self, secrets: &LayerSecrets) -> LayerSecrets {
        match self {
            Self::Wms(_) => sent_to_wms(secrets),
            _ => secrets.clone(),
        }
    }

    pub(super) fn parameters(&self, frame: &Frame, secrets: &LayerSecrets) -> Parameters {
        match self {
            Self::Map(map) => map.parameters(frame),
            Self::Image(image) => image.parameters(frame),
            Self::Wms(wms) => wms.parameters(frame, secrets),
        }
    }
}
