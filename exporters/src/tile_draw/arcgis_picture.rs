//! What requests for pictures of map and image services have in common, and what such services say of themselves.
//!
//! Source: ArcGIS REST API, Export Map and Export Image (`bbox`, `bboxSR`, `imageSR`, `size`, `format`, `f=image`), Map Service and Image
//! Service (`capabilities`, `maxImageHeight`, `maxImageWidth`, `supportedImageFormatTypes`).

use super::frame::{Frame, Parameters};
use offmap_model::{SpatialReference, number};
use serde_json::Value;

/// Formats with a transparent background first.
const FORMATS: [&str; 5] = ["png32", "png", "png24", "png8", "jpg"];

/// A spatial reference as a parameter: its number, else its text as JSON.
fn reference(spatial_reference: Option<&SpatialReference>) -> String {
    let of = |sr: &SpatialReference| match sr.wkid.or(sr.latest_wkid) {
        Some(wkid) => wkid.to_string(),
        None => serde_json::to_string(sr).unwrap_or_default(),
    };
    spatial_reference.map(of).unwrap_or_default()
}

/// Where, how large, in which format.
pub(super) fn of_frame(frame: &Frame, format: &str) -> Parameters {
    let reference = reference(frame.envelope.spatial_reference.as_ref());
    vec![
        ("bbox", frame.bbox()),
        ("bboxSR", reference.clone()),
        ("imageSR", reference),
        ("size", format!("{},{}", frame.width, frame.height)),
        ("format", format.to_owned()),
        ("f", "image".to_owned()),
    ]
}

/// The best format that a service says it draws; one that says nothing draws PNG with 32 bits.
pub(super) fn format_of(answer: &Value) -> Result<String, String> {
    let said = answer.get("supportedImageFormatTypes").and_then(Value::as_str).filter(|said| !said.trim().is_empty());
    let Some(said) = said else { return Ok("png32".to_owned()) };
    let offered: Vec<String> = said.split(',').map(|word| word.trim().to_ascii_lowercase()).collect();
    let is_offered = |format: &str| {
        let is_it = |word: &String| word == format || (format == "jpg" && word == "jpeg");
        offered.iter().any(is_it)
    };
    let found = FORMATS.iter().find(|format| is_offered(format));
    found.map(|format| (*format).to_owned()).ok_or_else(|| format!("draws {said}, expected PNG or JPG among them"))
}

/// Whether it draws pictures: its capabilities have the word, or it says nothing of them.
pub(super) fn draws(answer: &Value, word: &str) -> Result<(), String> {
    let Some(said) = answer.get("capabilities").and_then(Value::as_str).filter(|said| !said.trim().is_empty()) else {
        return Ok(());
    };
    let has = |word: &str| said.split(',').any(|found| found.trim().eq_ignore_ascii_case(word));
    match has(word) && !has("TilesOnly") {
        true => Ok(()),
        false => Err(format!("does not draw pictures (its capabilities are {said}, expected {word} among them)")),
    }
}

/// The longest sides of a picture, width and height.
pub(super) fn largest(answer: &Value) -> (Option<u32>, Option<u32>) {
    let side = |key: &str| answer.get(key).and_then(number::read::<u32>);
    (side("maxImageWidth"), side("maxImageHeight"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_service_draws_follows_from_its_own_words() {
        let format = |said: &str| format_of(&json!({"supportedImageFormatTypes": said}));
        assert_eq!(format("PNG32,PNG24,PNG,JPG,DIB,TIFF"), Ok("png32".to_owned()));
        assert_eq!(format("JPEG, PNG"), Ok("png".to_owned()));
        assert_eq!(format("TIFF,JPEG"), Ok("jpg".to_owned()));
        assert_eq!(format_of(&json!({})), Ok("png32".to_owned()));
        assert!(format("TIFF,BMP").is_err_and(|words| words.contains("TIFF,BMP")));
        let draws = |said: &str| draws(&json!({"capabilities": said}), "Map");
        assert_eq!([draws("Map,Query,Data"), draws("query, map"), draws("")], [Ok(()), Ok(()), Ok(())]);
        assert!(draws("Query").is_err() && draws("Map,TilesOnly,Tilemap").is_err());
        assert_eq!(largest(&json!({"maxImageHeight": 4096.0, "maxImageWidth": "2048"})), (Some(2048), Some(4096)));
    }

    #[test]
    fn a_spatial_reference_goes_by_its_number_or_its_text() {
        assert_eq!(reference(Some(&SpatialReference::web_mercator())), "102100");
        let text = SpatialReference { wkt: Some("PROJCS[\"X\"]".to_owned()), ..SpatialReference::default() };
        assert_eq!(reference(Some(&text)), r#"{"wkt":"PROJCS[\"X\"]"}"#);
    }
}
