//! Fields of a feature layer: names, types, aliases and domains.

use super::members::{as_number, list, scalar, text};
use serde_json::Value;

/// A field.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Its name in the data.
    pub name: String,
    /// Its name for people.
    pub alias: Option<String>,
    /// Its type.
    pub kind: FieldKind,
    /// The values it may have.
    pub domain: Option<Domain>,
    /// Whether it may be edited.
    pub editable: bool,
}

/// The type of a field, as far as drawing depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// Text, GUIDs.
    Text,
    /// Whole numbers.
    Integer,
    /// Other numbers.
    Real,
    /// A date with or without a time.
    Date,
    /// Anything else.
    Other,
}

/// The values that a field may have.
#[derive(Clone, Debug, PartialEq)]
pub enum Domain {
    /// Codes, each with its text.
    Coded(Vec<(String, String)>),
    /// From the least to the greatest.
    Range(f64, f64),
}

impl Field {
    /// Reads a field of a service's layer description.
    pub fn read(field: &Value) -> Option<Self> {
        let name = text(field, "name")?;
        let kind = match text(field, "type").unwrap_or_default() {
            "esriFieldTypeString" | "esriFieldTypeGUID" | "esriFieldTypeGlobalID" => FieldKind::Text,
            "esriFieldTypeOID" | "esriFieldTypeInteger" | "esriFieldTypeSmallInteger" | "esriFieldTypeBigInteger" => {
                FieldKind::Integer
            }
            "esriFieldTypeDouble" | "esriFieldTypeSingle" => FieldKind::Real,
            "esriFieldTypeDate" | "esriFieldTypeDateOnly" => FieldKind::Date,
            _ => FieldKind::Other,
        };
        let alias = text(field, "alias").filter(|alias| *alias != name).map(str::to_owned);
        let domain = field.get("domain").and_then(domain);
        let editable = field.get("editable").and_then(Value::as_bool).unwrap_or(true);
        Some(Self { name: name.to_owned(), alias, kind, domain, editable })
    }
}

fn domain(domain: &Value) -> Option<Domain> {
    match text(domain, "type")? {
        "codedValue" => {
            let pair =
                |value: &Value| Some((scalar(value.get("code")?)?, text(value, "name").unwrap_or_default().to_owned()));
            Some(Domain::Coded(list(domain, "codedValues").iter().filter_map(pair).collect()))
        }
        "range" => match list(domain, "range") {
            [least, greatest] => Some(Domain::Range(as_number(least)?, as_number(greatest)?)),
            _ => None,
        },
        _ => None,
    }
}

/// The fields of a layer, found by name without regard to case, as ArcGIS does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fields(pub Vec<Field>);

impl Fields {
    /// The field of a name.
    pub fn named(&self, name: &str) -> Option<&Field> {
        self.0.iter().find(|field| field.name.eq_ignore_ascii_case(name))
    }

    /// The name as the data spell it.
    pub fn spelled(&self, name: &str) -> String {
        self.named(name).map_or(name, |field| &field.name).to_owned()
    }

    /// The type of a field; none where the fields are unknown.
    pub fn kind(&self, name: &str) -> Option<FieldKind> {
        self.named(name).map(|field| field.kind)
    }
}
