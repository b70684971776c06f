//! Members of an answer that describes a service or a layer.

use serde_json::Value;

/// Words of a `capabilities` list that mean editing.
const EDITING: [&str; 4] = ["editing", "create", "update", "delete"];

/// Whether a comma list of capabilities has a word, in any letter case.
pub(crate) fn has_word(list: &str, word: &str) -> bool {
    list.split(',').any(|w| w.trim().eq_ignore_ascii_case(word))
}

/// Whether a comma list of capabilities allows editing.
pub(crate) fn allows_editing(list: &str) -> bool {
    EDITING.iter().any(|w| has_word(list, w))
}

/// The first of some members that is there, as true or false.
pub(crate) fn flag(value: &Value, keys: &[&str]) -> Option<bool> {
    keys.iter().find_map(|key| value.get(*key)).and_then(Value::as_bool)
}

/// A text that is not blank.
pub(crate) fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str).filter(|t| !t.trim().is_empty())
}

/// What a service can that says nothing of it.
pub(crate) fn by_default() -> bool {
    true
}
