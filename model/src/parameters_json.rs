//! Parameters as JSON: alone, and over those that follow from the map.
//!
//! What a caller wrote is merged first and judged then, since the map's author may have said the other half of a pair.

use crate::failure::Failure;
use crate::parameters::{AttachmentSyncDirection, GenerateOfflineMapParameters, ReturnLayerAttachmentOption};
use serde_json::{Map, Value, json};

const OPTION: &str = "returnLayerAttachmentOption";
const DIRECTION: &str = "attachmentSyncDirection";
const ITEM_INFO: &str = "itemInfo";

fn unusable(error: &serde_json::Error) -> Failure {
    Failure::invalid_parameter(format!("the parameters cannot be used: {error}"))
}

impl GenerateOfflineMapParameters {
    /// Reads them from JSON and checks them. `returnLayerAttachmentOption` `none` that stands alone takes a direction that fits it:
    /// `upload`, so that what is collected in the field can still go up.
    ///
    /// # Errors
    /// If a key is unknown, a value has the wrong type, or [`Self::check`] refuses.
    pub fn from_json(text: &str) -> Result<Self, Failure> {
        let mut parameters: Self = serde_json::from_str(text).map_err(|e| unusable(&e))?;
        let given: Map<String, Value> = serde_json::from_str(text).map_err(|e| unusable(&e))?;
        parameters.follow(&given);
        parameters.check()?;
        Ok(parameters)
    }

    /// Reads them from JSON that is still to be put over those of a map ([`Self::with_json`]), and checks what can be judged without
    /// the map.
    ///
    /// # Errors
    /// As [`Self::from_json`], but of a pair only where both halves are given.
    pub fn check_json(given: &Value) -> Result<Self, Failure> {
        let parameters: Self = serde_json::from_value(given.clone()).map_err(|e| unusable(&e))?;
        parameters.check_values()?;
        if given.get(OPTION).is_some() && given.get(DIRECTION).is_some() {
            parameters.check_attachments()?;
        }
        Ok(parameters)
    }

    /// These parameters with what a JSON object says over them. Metadata are merged member by member: `{"itemInfo": {"title": "T"}}`
    /// keeps the item's snippet, and `null` all of it. Pairs are judged after that.
    ///
    /// # Errors
    /// As [`Self::from_json`].
    pub fn with_json(&self, given: &Value) -> Result<Self, Failure> {
        let Some(given) = given.as_object() else {
            return Err(Failure::invalid_parameter("the parameters are not a JSON object"));
        };
        let mut merged = serde_json::to_value(self).map_err(|e| Failure::internal(e.to_string()))?;
        if let Some(merged) = merged.as_object_mut() {
            for (key, value) in given {
                match (key.as_str(), value) {
                    (ITEM_INFO, Value::Null) => {}
                    (ITEM_INFO, Value::Object(members)) => {
                        let info = merged.entry(ITEM_INFO).or_insert_with(|| json!({}));
                        if let Some(info) = info.as_object_mut() {
                            info.extend(members.iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.clone(), v.clone())));
                        }
                    }
                    _ => {
                        merged.insert(key.clone(), value.clone());
                    }
                }
            }
        }
        let mut parameters: Self = serde_json::from_value(merged).map_err(|e| unusable(&e))?;
        parameters.follow(given);
        parameters.check()?;
        Ok(parameters)
    }

    /// Source: API reference B.3: `none` goes with `none` or `upload`.
    fn follow(&mut self, given: &Map<String, Value>) {
        let alone = given.contains_key(OPTION) && !given.contains_key(DIRECTION);
        if alone
            && self.return_layer_attachment_option == ReturnLayerAttachmentOption::None
            && self.attachment_sync_direction == AttachmentSyncDirection::Bidirectional
        {
            self.attachment_sync_direction = AttachmentSyncDirection::Upload;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::OfflineMapItemInfo;

    fn defaults() -> GenerateOfflineMapParameters {
        let area = crate::area::AreaOfInterest::from_numbers("5,45,10,48").expect("an area");
        let info = OfflineMapItemInfo {
            title: "Item".into(),
            snippet: "short".into(),
            description: "long".into(),
            tags: vec!["a".into()],
            access_information: "somebody".into(),
            terms_of_use: "terms".into(),
            thumbnail: crate::thumbnail::Thumbnail::new(b"\x89PNG\r\n\x1a\n".to_vec()).ok(),
        };
        GenerateOfflineMapParameters { item_info: Some(info), ..GenerateOfflineMapParameters::new(area) }
    }

    #[test]
    fn metadata_are_merged_member_by_member() {
        let before = defaults().item_info.expect("an item");
        let merged = |given: Value| defaults().with_json(&given).expect("merges").item_info.expect("metadata");
        let titled = OfflineMapItemInfo { title: "T".into(), ..before.clone() };
        assert_eq!(merged(json!({"itemInfo": {"title": "T"}})), titled);
        assert_eq!(merged(json!({"itemInfo": null})), before, "null copies the item's");
        assert_eq!(merged(json!({"itemInfo": {"snippet": ""}})).snippet, "", "what is given empty is empty");
        let words = defaults().with_json(&json!({"itemInfo": {"titel": "T"}})).expect_err("refused").message;
        assert!(words.contains("unknown field `titel`"), "{words}");
    }

    #[test]
    fn a_pair_is_judged_after_it_was_merged() {
        use {AttachmentSyncDirection as D, ReturnLayerAttachmentOption as O};
        let mut author = defaults();
        (author.return_layer_attachment_option, author.attachment_sync_direction) = (O::None, D::Upload);
        let given = json!({"attachmentSyncDirection": "none"});
        assert_eq!(author.with_json(&given).map(|p| p.attachment_sync_direction), Ok(D::None), "the author says none");
        assert!(defaults().with_json(&given).is_err(), "allLayers and none contradict each other");
        let alone = defaults().with_json(&json!({"returnLayerAttachmentOption": "none"})).expect("the direction follows");
        assert_eq!(alone.attachment_sync_direction, D::Upload);
        let given = json!({"returnLayerAttachmentOption": "none", "attachmentSyncDirection": "bidirectional"});
        assert!(defaults().with_json(&given).is_err());
        let with_area = |mut given: Value| {
            given["areaOfInterest"] = json!(defaults().area_of_interest);
            GenerateOfflineMapParameters::check_json(&given).is_ok()
        };
        assert!(with_area(json!({"attachmentSyncDirection": "none"})), "the map may say the other half");
        assert!(!with_area(given));
        assert!(!with_area(json!({"minScale": -1})));
    }
}
