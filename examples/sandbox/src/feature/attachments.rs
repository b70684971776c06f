//! Attachments of rows.

use super::layer::Layer;
use super::service::FeatureService;
use crate::answer::{Rest, RestError};
use crate::data::Attachment;
use crate::request::Call;
use serde_json::{Value, json};
use std::collections::HashSet;

fn attachment_info(a: &Attachment) -> Value {
    json!({"id": a.id, "globalId": a.global_id, "parentGlobalId": a.parent_global_id, "name": a.name,
        "contentType": "image/png", "size": a.bytes.len(), "keywords": ""})
}

impl FeatureService {
    /// The files of a row as they are listed.
    fn infos(&self, layer: &Layer, parent: i64) -> Vec<Value> {
        let number = |(at, mut info): (usize, Value)| {
            if let Some(info) = info.as_object_mut().filter(|_| self.abilities.numbers_files_by_row) {
                info.insert("id".to_owned(), json!(at + 1));
            }
            info
        };
        let infos = self.photos_of(layer, parent).map(attachment_info).enumerate().map(number);
        if !self.abilities.lists_files_badly {
            return infos.collect();
        }
        let without_size = |mut info: Value| {
            if let Some(info) = info.as_object_mut() {
                info.remove("size");
            }
            [info.clone(), info]
        };
        infos.flat_map(without_size).collect()
    }

    pub(crate) fn attachments(&self, id: u32, parent: i64) -> Rest<Value> {
        let layer = self.layer(id)?;
        if !self.has_row(id, parent) {
            return Err(RestError::new(404, "Feature not found."));
        }
        Ok(json!({"attachmentInfos": self.infos(layer, parent)}))
    }

    pub(crate) fn attachment(&self, id: u32, parent: i64, attachment: i64) -> Rest<Vec<u8>> {
        let is_there = self.has_row(id, parent);
        let mut own = (1_i64..).zip(self.photos_of(self.layer(id)?, parent));
        let is_by_row = self.abilities.numbers_files_by_row;
        let is_it = |at: i64, a: &Attachment| is_there && attachment == if is_by_row { at } else { a.id };
        let found = own.find(|(at, a)| is_it(*at, a)).map(|(_, a)| a);
        found.map(|a| a.bytes.clone()).ok_or_else(|| RestError::new(404, "Attachment not found."))
    }

    pub(crate) fn query_attachments(&self, id: u32, call: &Call) -> Rest<Value> {
        let layer = self.layer(id)?;
        let clause = call.text("definitionExpression").unwrap_or("1=1");
        let by_id: Option<HashSet<i64>> = call.numbers("objectIds").map(|ids| ids.into_iter().collect());
        let rows = self.ids_where(layer, clause, "OBJECTID ASC", call.is_online())?.into_iter();
        let groups: Vec<Value> = rows
            .filter(|id| by_id.as_ref().is_none_or(|ids| ids.contains(id)))
            .filter_map(|id| {
                let infos = self.infos(layer, id);
                let parent = layer.row(id)?.text("GlobalID");
                (!infos.is_empty())
                    .then(|| json!({"parentObjectId": id, "parentGlobalId": parent, "attachmentInfos": infos}))
            })
            .collect();
        Ok(json!({"attachmentGroups": groups}))
    }
}
