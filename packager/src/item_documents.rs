//! The documents that describe a package as an item: `package.info`, `esriinfo/item.pkinfo` and `esriinfo/iteminfo.xml`.
//!
//! Source: mobile map package reference A.2, A.5.

use crate::documents::Documents;
use crate::item_xml::ItemXml;
use crate::layout::{MAP_NAME, thumbnail_path};
use offmap_model::Failure;
use serde_json::{Value, json};

/// Type of the item.
const PACKAGE_TYPE: &str = "Mobile Map Package";
/// Package version that every SDK since 100.6 opens.
const PACKAGE_VERSION: &str = "3.2";
/// Version in `item.pkinfo`.
const PKINFO_VERSION: &str = "11.2";
/// Keywords of the item.
const TYPE_KEYWORDS: [&str; 6] = [PACKAGE_TYPE, "Map", "2D", "ArcGIS Runtime", "mmpk", "Mobile"];

/// `package.info`: one line, keys in order.
pub(crate) fn package_info(documents: &Documents<'_>) -> Result<Value, Failure> {
    let info = documents.item_info();
    let mut json = json!({
        "created": documents.created,
        "extent": documents.extent()?,
        "guid": documents.guid.simple().to_string(),
        "maps": [MAP_NAME],
        "modified": documents.created,
        "name": MAP_NAME,
        "spatialReference": documents.spatial_reference().name(),
        "title": info.title,
        "type": PACKAGE_TYPE,
        "typeKeywords": TYPE_KEYWORDS,
        "version": PACKAGE_VERSION,
    });
    let texts = [
        ("snippet", &info.snippet),
        ("description", &info.description),
        ("accessInformation", &info.access_information),
        ("licenseInfo", &info.terms_of_use),
    ];
    if let Some(json) = json.as_object_mut() {
        for (key, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
            json.insert(key.to_owned(), json!(text));
        }
        if !info.tags.is_empty() {
            json.insert("tags".to_owned(), json!(info.tags));
        }
        if let Some(thumbnail) = &info.thumbnail {
            json.insert("thumbnail".to_owned(), json!(thumbnail.data_uri()));
        }
    }
    Ok(json)
}

fn guid(documents: &Documents<'_>) -> String {
    documents.guid.hyphenated().to_string().to_uppercase()
}

/// `esriinfo/item.pkinfo`.
pub(crate) fn pkinfo(documents: &Documents<'_>) -> Result<String, Failure> {
    let guid = guid(documents);
    let mut xml = ItemXml::new("pkinfo")?;
    xml.elements([
        ("ID", guid.as_str()),
        ("name", MAP_NAME),
        ("version", PKINFO_VERSION),
        ("size", "-1"),
        ("created", ""),
        ("type", PACKAGE_TYPE),
        ("servable", "false"),
        ("packagelocation", ""),
        ("pkinfolocation", ""),
    ])?;
    xml.finish()
}

/// `esriinfo/iteminfo.xml`; times are in seconds here.
pub(crate) fn iteminfo(documents: &Documents<'_>) -> Result<String, Failure> {
    let info = documents.item_info();
    let seconds = (documents.created / 1000).to_string();
    let [[xmin, ymin], [xmax, ymax]] = documents.extent()?;
    let mut xml = ItemXml::new("ESRI_ItemInformation")?;
    xml.elements([
        ("name", MAP_NAME),
        ("guid", &guid(documents)),
        ("version", "1.0"),
        ("created", &seconds),
        ("modified", &seconds),
        ("catalogpath", ""),
        ("snippet", &info.snippet),
        ("description", &info.description),
        ("summary", &info.snippet),
        ("title", &info.title),
        ("tags", &info.tags.join(",")),
        ("type", PACKAGE_TYPE),
    ])?;
    xml.begin("typekeywords")?;
    xml.elements(TYPE_KEYWORDS.map(|keyword| ("typekeyword", keyword)))?;
    xml.end()?;
    let thumbnail = info.thumbnail.as_ref().map(thumbnail_path).unwrap_or_default();
    xml.elements([("thumbnail", thumbnail.as_str()), ("documentation", ""), ("url", "")])?;
    xml.begin("extent")?;
    for (name, number) in [("xmin", xmin), ("ymin", ymin), ("xmax", xmax), ("ymax", ymax)] {
        xml.element(name, &number.to_string())?;
    }
    xml.end()?;
    xml.elements([
        ("spatialreference", documents.spatial_reference().name().as_str()),
        ("minScale", &documents.plan.parameters.min_scale.to_string()),
        ("maxScale", &documents.plan.parameters.max_scale.to_string()),
        ("datalastModifiedTime", &seconds),
        ("accessinformation", &info.access_information),
        ("licenseinfo", &info.terms_of_use),
    ])?;
    xml.finish()
}
