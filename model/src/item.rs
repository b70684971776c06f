//! The portal item of a web map, and the metadata that a package carries.

use crate::thumbnail::Thumbnail;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

/// A portal item. Most strings of real items may be null; null reads as absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PortalItem {
    /// 32 hexadecimal digits.
    #[serde(deserialize_with = "null_is_default")]
    pub id: String,
    /// `Web Map`, `Feature Service`, …
    #[serde(rename = "type", deserialize_with = "null_is_default")]
    pub item_type: String,
    /// Title.
    #[serde(deserialize_with = "null_is_default")]
    pub title: String,
    /// Words with a meaning for software, such as `OfflineDisabled`.
    #[serde(deserialize_with = "null_is_default")]
    pub type_keywords: Vec<String>,
    /// HTML.
    pub description: Option<String>,
    /// Short text.
    pub snippet: Option<String>,
    /// Words for search.
    #[serde(deserialize_with = "null_is_default")]
    pub tags: Vec<String>,
    /// Path of the picture below the item's `info/`.
    pub thumbnail: Option<String>,
    /// `[[xmin, ymin], [xmax, ymax]]` in degrees, or an empty list.
    pub extent: Value,
    /// Attribution.
    pub access_information: Option<String>,
    /// HTML; the API calls it terms of use.
    pub license_info: Option<String>,
    /// Url of the service, for items that are one.
    pub url: Option<String>,
    /// Everything else.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl PortalItem {
    /// The extent in WGS84 degrees, where the item has a usable one.
    #[must_use]
    pub fn wgs84_extent(&self) -> Option<[[f64; 2]; 2]> {
        let e: [[f64; 2]; 2] = serde_json::from_value(self.extent.clone()).ok()?;
        (e.iter().flatten().all(|n| n.is_finite()) && e[0][0] < e[1][0] && e[0][1] < e[1][1]).then_some(e)
    }

    /// Whether a keyword is set, in any letter case.
    #[must_use]
    pub fn has_keyword(&self, word: &str) -> bool {
        self.type_keywords.iter().any(|k| k.eq_ignore_ascii_case(word))
    }
}

/// Metadata of a package; overrides what the portal item says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct OfflineMapItemInfo {
    /// Title.
    pub title: String,
    /// Short text.
    pub snippet: String,
    /// HTML.
    pub description: String,
    /// Words for search.
    pub tags: Vec<String>,
    /// Attribution.
    pub access_information: String,
    /// HTML.
    pub terms_of_use: String,
    /// PNG or JPEG; as JSON a `data:` url.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thumbnail: Option<Thumbnail>,
}

impl OfflineMapItemInfo {
    /// What a portal item says, as metadata of a package.
    #[must_use]
    pub fn from_item(item: &PortalItem, thumbnail: Option<Thumbnail>) -> Self {
        let text = |t: &Option<String>| t.clone().unwrap_or_default();
        Self {
            title: item.title.clone(),
            snippet: text(&item.snippet),
            description: text(&item.description),
            tags: item.tags.clone(),
            access_information: text(&item.access_information),
            terms_of_use: text(&item.license_info),
            thumbnail,
        }
    }
}
