//! What a feature service can when its rows are asked for, and how it keeps its word.

use serde_json::{Map, Value, json};

/// Rows of one answer.
pub(crate) const MAX_RECORDS: usize = 1000;

/// What it says of `exceededTransferLimit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LimitWord {
    /// True where there are more rows.
    Honest,
    Never,
    /// True with every page that is full.
    OnFullPages,
}

/// Abilities of a service, and its lies.
#[derive(Debug, Clone)]
pub(crate) struct Abilities {
    pub(crate) has_pages: bool,
    pub(crate) orders: bool,
    pub(crate) speaks_pbf: bool,
    /// Rows of one answer, as it says.
    pub(crate) most: usize,
    /// Rows of one answer in truth, where that is less.
    pub(crate) cut: Option<usize>,
    pub(crate) limit_word: LimitWord,
    /// Object ids of one list in truth.
    pub(crate) ids_cut: Option<usize>,
    /// Object ids of rows that are counted and listed, and never sent.
    pub(crate) withheld: &'static [i64],
    /// What the field of object ids is called.
    pub(crate) id_name: &'static str,
    /// Whether ids and rows come in no order unless one is asked for, and values are of other types than their fields.
    pub(crate) is_sloppy: bool,
    /// Whether it can be asked as it was at a moment.
    pub(crate) has_moments: bool,
    /// Whether it refuses PBF and rows of a moment, whatever it states.
    pub(crate) refuses_rows: bool,
    /// Object ids of rows whose shapes lie nowhere, and whose dates are before all calendars.
    pub(crate) odd: &'static [i64],
    /// Whether its lists of attachments say no sizes, and name each file twice.
    pub(crate) lists_files_badly: bool,
    /// Whether the ids of attachments begin with 1 in each row.
    pub(crate) numbers_files_by_row: bool,
}

impl Default for Abilities {
    fn default() -> Self {
        Self {
            has_pages: true,
            orders: true,
            speaks_pbf: false,
            most: MAX_RECORDS,
            cut: None,
            limit_word: LimitWord::Honest,
            ids_cut: None,
            withheld: &[],
            id_name: ID,
            is_sloppy: false,
            has_moments: false,
            refuses_rows: false,
            odd: &[],
            lists_files_badly: false,
            numbers_files_by_row: false,
        }
    }
}

/// What object ids are called in the data.
pub(crate) const ID: &str = "OBJECTID";

impl Abilities {
    /// A word of a request in the names of the data.
    pub(crate) fn inward(&self, words: &str) -> String {
        if self.id_name == ID { words.to_owned() } else { words.replace(self.id_name, ID) }
    }

    /// A description or an answer with the service's own name of the object ids.
    pub(crate) fn outward(&self, json: Value) -> Value {
        if self.id_name == ID {
            return json;
        }
        match json {
            Value::Object(map) => {
                let own = |key: String| if key == ID { self.id_name.to_owned() } else { key };
                Value::Object(map.into_iter().map(|(key, value)| (own(key), self.outward(value))).collect())
            }
            Value::Array(list) => list.into_iter().map(|value| self.outward(value)).collect(),
            Value::String(text) if text == ID => json!(self.id_name),
            other => other,
        }
    }

    /// The members of a layer's description that follow.
    pub(crate) fn described(&self) -> Map<String, Value> {
        let formats = if self.speaks_pbf { "JSON, geoJSON, PBF" } else { "JSON" };
        let json = json!({"maxRecordCount": self.most, "supportedQueryFormats": formats, "supportsAdvancedQueries": self.orders,
            "advancedQueryCapabilities": {"supportsPagination": self.has_pages, "supportsOrderBy": self.orders,
                "supportsDistinct": false, "supportsStatistics": false, "supportsQueryAttachments": self.orders,
                "supportsReturningQueryExtent": self.orders, "supportsQueryWithHistoricMoment": self.has_moments}});
        match json {
            Value::Object(members) => members,
            _ => Map::new(),
        }
    }

    /// Attributes as a service writes them that does not keep to its types.
    pub(crate) fn written(&self, id: i64, mut attributes: Map<String, Value>) -> Map<String, Value> {
        if self.odd.contains(&id)
            && let Some(seen) = attributes.get_mut("SEEN")
        {
            *seen = json!(-400_000_000_000_000_i64);
        }
        if !self.is_sloppy {
            return attributes;
        }
        for (name, value) in &mut attributes {
            *value = match (name.as_str(), &*value) {
                // Numbers in a column of texts, and texts in one of numbers.
                ("NAME", Value::String(text)) if text.len() % 3 == 0 => json!(text.len()),
                ("KIND", Value::Number(n)) => json!(n.to_string()),
                (_, value) => value.clone(),
            };
        }
        attributes
    }
}
