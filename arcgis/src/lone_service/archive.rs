//! PMTiles archives on web servers, which are known by the ending of their path. What they have is asked when they are planned.

use super::found::{LoneService, Wanted, map_of};
use super::template;
use crate::urls::parse_http;
use offmap_model::failure::without_secrets;
use offmap_model::{Failure, OfflineMapSource, WebMap};
use serde_json::json;

/// The ending of their names.
const ENDING: &str = ".pmtiles";

/// The title of an archive by its url; `None` for a url of something else.
pub(super) fn title_of(url: &str) -> Option<String> {
    let url = parse_http(url).ok()?;
    let name = url.path_segments()?.next_back()?.to_owned();
    let (title, ending) = name.split_at_checked(name.len().checked_sub(ENDING.len())?)?;
    (ending.eq_ignore_ascii_case(ENDING) && !title.is_empty()).then(|| title.chars().take(200).collect())
}

/// An archive as a map.
pub(super) fn lone(url: &str, title: String, wanted: Wanted) -> Result<LoneService, Failure> {
    if wanted == Wanted::Features {
        return Err(Failure::invalid_parameter(format!(
            "{} is an archive of tiles and has no features; tiles are written to a name with another ending, such as .pmtiles",
            without_secrets(url)
        )));
    }
    let layer = json!({"id": "tiles", "title": title, "layerType": "PMTiles", "url": url});
    let source = OfflineMapSource::from_web_map(WebMap::from_value(map_of(&title, vec![layer], vec![]))?);
    let (extent, levels) = (Some(template::extent()), template::levels(false));
    Ok(LoneService { source, title, extent, levels, has_only_tiles: true, has_vector_tiles: None, is_drawn: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_known_by_its_path_and_its_key_is_no_part_of_the_map() {
        for (url, title) in [
            ("https://tiles.example.org/planet/v4.pmtiles", Some("v4")),
            ("https://tiles.example.org/v4.PMTiles?key=abcdef123456", Some("v4")),
            ("https://tiles.example.org/.pmtiles", None),
            ("https://tiles.example.org/é", None),
            ("https://tiles.example.org/tiles?file=a.pmtiles", None),
            ("ftp://tiles.example.org/a.pmtiles", None),
        ] {
            assert_eq!(title_of(url).as_deref(), title, "{url}");
        }
        let url = "https://tiles.example.org/v4.pmtiles?key=abcdef123456";
        let lone = lone(url, "v4".to_owned(), Wanted::Tiles).expect("a map");
        let layers = lone.source.web_map.layers();
        assert_eq!(layers[0].url.as_deref(), Some("https://tiles.example.org/v4.pmtiles"));
        assert_eq!(layers[0].layer_type.to_string(), "PMTiles");
        let asked = parse_http(url).expect("a url");
        let secrets: Vec<_> = layers[0].secrets.parameters_for(&asked).collect();
        assert_eq!(secrets, [("key", "abcdef123456")]);
        assert!(!lone.source.web_map.json().iter().any(|(_, value)| value.to_string().contains("abcdef123456")));
        assert!(super::lone(url, "v4".to_owned(), Wanted::Features).is_err());
    }
}
