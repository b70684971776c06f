//! The documents of a package, joined out of those of its parts: what only one part says is kept, extents reach around all.
//!
//! Source: tile reference §12 to §14.

use super::tilemap;
use super::tilemap::TILEMAP;
use offmap_model::number::read;
use serde_json::Value;

pub(super) const ITEM_JSON: &str = "iteminfo.json";
pub(super) const ITEM_XML: &str = "esriinfo/iteminfo.xml";

/// Joins a JSON document of several parts; `name` is its name in the package.
pub(super) fn join_json(name: &str, documents: Vec<Value>) -> Vec<u8> {
    let joined = documents.into_iter().reduce(|a, b| match name {
        TILEMAP => tilemap::join(&a, &b),
        _ => join_roots(a, &b),
    });
    root_text(&joined.unwrap_or(Value::Null))
}

/// A document as text.
pub(super) fn root_text(joined: &Value) -> Vec<u8> {
    let Some(path) = joined.get("tileBundlesPath") else { return joined.to_string().into_bytes() };
    // GDAL knows the file by this word, if it comes early.
    let mut rest = joined.clone();
    if let Some(rest) = rest.as_object_mut() {
        rest.remove("tileBundlesPath");
    }
    format!("{{\"tileBundlesPath\":{path},{}", rest.to_string().get(1..).unwrap_or_default()).into_bytes()
}

/// A level of either, and extents around both.
fn join_roots(mut a: Value, b: &Value) -> Value {
    let number = |v: &Value, key: &str| v.get(key).and_then(read::<f64>);
    let pick = |a: Option<&Value>, b: Option<&Value>, larger: bool| match (a, b) {
        (Some(a), Some(b)) => {
            let a_is_larger = read::<f64>(a) >= read::<f64>(b);
            Some(if a_is_larger == larger { a.clone() } else { b.clone() })
        }
        (one, other) => one.or(other).cloned(),
    };
    for (key, larger) in [("minLOD", false), ("maxLOD", true)] {
        if let (Some(value), Some(root)) = (pick(a.get(key), b.get(key), larger), a.as_object_mut()) {
            root.insert(key.to_owned(), value);
        }
    }
    for key in ["initialExtent", "fullExtent", "extent"] {
        let (Some(x), Some(y)) = (a.get(key).cloned(), b.get(key)) else { continue };
        let mut joined = x.clone();
        for (side, larger) in [("xmin", false), ("ymin", false), ("xmax", true), ("ymax", true)] {
            if number(&x, side).is_some()
                && let (Some(value), Some(extent)) = (pick(x.get(side), y.get(side), larger), joined.as_object_mut())
            {
                extent.insert(side.to_owned(), value);
            }
        }
        if let Some(root) = a.as_object_mut() {
            root.insert(key.to_owned(), joined);
        }
    }
    a
}

/// The first text with the extent of all.
pub(super) fn join_item_xml(texts: Vec<String>) -> String {
    let between = |text: &str, tag: &str| -> Option<(usize, usize)> {
        let start = text.find(&format!("<{tag}>"))? + tag.len() + 2;
        Some((start, start + text.get(start..)?.find(&format!("</{tag}>"))?))
    };
    let number = |text: &str, tag: &str| -> Option<f64> {
        let (start, end) = between(text, tag)?;
        text.get(start..end)?.trim().parse().ok()
    };
    let sides = [("xmin", false), ("ymin", false), ("xmax", true), ("ymax", true)].map(|(tag, larger)| {
        let all = texts.iter().filter_map(|t| number(t, tag));
        (tag, if larger { all.reduce(f64::max) } else { all.reduce(f64::min) })
    });
    let mut text = texts.into_iter().next().unwrap_or_default();
    for (tag, value) in sides {
        if let (Some(value), Some((start, end))) = (value, between(&text, tag)) {
            text.replace_range(start..end, &value.to_string());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn extents_of_parts_become_one() {
        let a = json!({"minLOD": 0, "maxLOD": 5, "fullExtent": {"xmin": 175.0, "ymin": -20, "xmax": 180, "ymax": -10}});
        let b = json!({"minLOD": 0, "maxLOD": 6, "fullExtent": {"xmin": -180, "ymin": -22, "xmax": -170, "ymax": -10}});
        let joined = join_roots(a, &b);
        assert_eq!(joined["maxLOD"], 6);
        assert_eq!(joined["fullExtent"], json!({"xmin": -180, "ymin": -22, "xmax": 180, "ymax": -10}));
        let xml = |x: f64| format!("<a><xmin>{x}</xmin><xmax>{}</xmax></a>", x + 1.0);
        assert_eq!(join_item_xml(vec![xml(5.0), xml(-3.0)]), "<a><xmin>-3</xmin><xmax>6</xmax></a>");
    }
}
