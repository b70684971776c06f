//! The area of interest: an envelope or polygon with a spatial reference.

use super::flat::{Flat, flat};
use crate::geometry::{Envelope, Polygon, SpatialReference};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// The area to take offline.
///
/// As JSON it is an Esri envelope (`xmin, ymin, xmax, ymax, spatialReference`) or polygon (`rings, spatialReference`).
/// A missing spatial reference is an error, never a guess: bare degrees read as metres would select almost nothing. Z and M are
/// left out; curves are refused.
///
/// ```
/// use offmap_model::{AreaOfInterest, SpatialReference};
///
/// let alps = AreaOfInterest::from_numbers("5.9,45.8,10.5,47.8")?;
/// let fiji = AreaOfInterest::from_json(
///     r#"{"xmin":175,"ymin":-22,"xmax":-170,"ymax":-10,"spatialReference":{"wkid":4326}}"#,
/// )?;
/// assert!(!alps.crosses_dateline() && fiji.crosses_dateline());
/// // Requests want pieces within the world.
/// assert_eq!(fiji.parts_in(&SpatialReference::web_mercator())?.len(), 2);
/// # Ok::<(), offmap_model::Failure>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum AreaOfInterest {
    /// A rectangle.
    Envelope(Envelope),
    /// A polygon; it filters features and tiles.
    Polygon(Polygon),
}

impl<'de> Deserialize<'de> for AreaOfInterest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = flat(Value::deserialize(deserializer)?).map_err(D::Error::custom)?;
        match serde_json::from_value(value) {
            Ok(Flat::Envelope(envelope)) => Ok(Self::Envelope(envelope)),
            Ok(Flat::Polygon(polygon)) => Ok(Self::Polygon(polygon)),
            Err(_) => Err(D::Error::custom(
                "an area is an Esri envelope (xmin, ymin, xmax, ymax) or polygon (rings of [x, y]) with its spatialReference",
            )),
        }
    }
}

impl From<Envelope> for AreaOfInterest {
    fn from(envelope: Envelope) -> Self {
        Self::Envelope(envelope)
    }
}

impl From<Polygon> for AreaOfInterest {
    fn from(polygon: Polygon) -> Self {
        Self::Polygon(polygon)
    }
}

impl AreaOfInterest {
    /// The spatial reference of its coordinates.
    #[must_use]
    pub fn spatial_reference(&self) -> Option<&SpatialReference> {
        match self {
            Self::Envelope(e) => e.spatial_reference.as_ref(),
            Self::Polygon(p) => p.spatial_reference.as_ref(),
        }
    }

    /// The smallest envelope around it, in its own spatial reference; `None` for a polygon without points.
    #[must_use]
    pub fn envelope(&self) -> Option<Envelope> {
        match self {
            Self::Envelope(e) => Some(e.clone()),
            Self::Polygon(p) => p.envelope(),
        }
    }

    /// The area as a polygon, in its own spatial reference.
    #[must_use]
    pub fn polygon(&self) -> Polygon {
        match self {
            Self::Envelope(e) => Polygon { rings: vec![e.ring()], spatial_reference: e.spatial_reference.clone() },
            Self::Polygon(p) => p.clone(),
        }
    }
}
