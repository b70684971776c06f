//! A layer or table: its fields, relationships and rows.

use crate::data::Row;
use serde_json::{Value, json};
use std::sync::Arc;

/// One end of a relationship: id, name, other layer, role, key field here.
pub(crate) type Relation = (i64, &'static str, u32, &'static str, &'static str);

/// A layer or table of a service.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    pub(crate) id: u32,
    pub(crate) name: &'static str,
    pub(crate) geometry: Option<&'static str>,
    /// Name, ArcGIS type, length, coded values.
    pub(crate) fields: Vec<(&'static str, &'static str, u32, Option<&'static [&'static str]>)>,
    pub(crate) relations: Vec<Relation>,
    pub(crate) has_attachments: bool,
    /// Members that replace those of its description.
    pub(crate) extra: Value,
    pub(crate) rows: Arc<Vec<Row>>,
}

impl Layer {
    pub(crate) fn kind(&self) -> &'static str {
        if self.geometry.is_some() { "Feature Layer" } else { "Table" }
    }

    pub(crate) fn display_field(&self) -> &'static str {
        self.fields.first().map_or("OBJECTID", |f| f.0)
    }

    pub(crate) fn field_names(&self) -> Vec<&'static str> {
        ["OBJECTID", "GlobalID"].into_iter().chain(self.fields.iter().map(|f| f.0)).collect()
    }

    pub(crate) fn is_guid(&self, name: &str) -> bool {
        name == "GlobalID" || self.fields.iter().any(|(field, kind, ..)| *field == name && *kind == "esriFieldTypeGUID")
    }

    pub(crate) fn row(&self, id: i64) -> Option<&Row> {
        // Ids start at 1 and have no gaps.
        self.rows.get(usize::try_from(id).ok()?.checked_sub(1)?)
    }

    pub(crate) fn fields_json(&self) -> Vec<Value> {
        let field = |name: &str, kind: &str, length: u32, editable: bool, domain: Value| {
            let mut json = json!({"name": name, "type": kind, "alias": name, "nullable": editable, "editable": editable,
                "domain": domain, "defaultValue": null});
            if let (true, Some(json)) = (length > 0, json.as_object_mut()) {
                json.insert("length".to_owned(), json!(length));
            }
            json
        };
        let mut fields = vec![
            field("OBJECTID", "esriFieldTypeOID", 0, false, Value::Null),
            field("GlobalID", "esriFieldTypeGlobalID", 38, false, Value::Null),
        ];
        for (name, kind, length, values) in &self.fields {
            let domain = values.map_or(Value::Null, |values| {
                let coded: Vec<Value> =
                    values.iter().enumerate().map(|(code, name)| json!({"name": name, "code": code})).collect();
                json!({"type": "codedValue", "name": format!("{name}_values"), "codedValues": coded})
            });
            fields.push(field(name, kind, *length, true, domain));
        }
        fields
    }
}
