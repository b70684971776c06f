//! Which layers are drawn tile by tile, as the command line says it.

use crate::stop::Stop;
use offmap::{GenerateOfflineMapParameterOverrides, WebMap};

/// The word for all layers.
const ALL: &str = "all";
/// Names that a message lists.
const MOST_NAMES: usize = 20;

/// Whether all layers are meant.
pub(crate) fn draws_all(named: &[String]) -> bool {
    named.iter().any(|name| name == ALL)
}

/// Says in the overrides that layers are drawn, each of which is named by its id or by its title.
pub(crate) fn draw_layers(
    named: &[String],
    map: &WebMap,
    overrides: &mut GenerateOfflineMapParameterOverrides,
) -> Result<(), Stop> {
    let layers = map.layers();
    for name in named.iter().filter(|name| *name != ALL) {
        let by_id = layers.iter().filter(|l| l.id == *name).map(|l| l.id.clone()).collect::<Vec<_>>();
        let by_title = || layers.iter().filter(|l| l.title == *name).map(|l| l.id.clone()).collect();
        let ids = if by_id.is_empty() { by_title() } else { by_id };
        if ids.is_empty() {
            let known: Vec<String> = layers.iter().take(MOST_NAMES).map(|l| format!("{} ({})", l.id, l.title)).collect();
            return Err(Stop::usage(format!(
                "--draw-tiles names `{name}`, which is no layer of the map; known are: {}, or {ALL} for every layer",
                known.join(", ")
            )));
        }
        ids.into_iter().for_each(|id| overrides.set_draw_tiles(id, true));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_layer_is_named_by_its_id_or_by_its_title() {
        let layer = |id: &str, title: &str| json!({"id": id, "title": title, "layerType": "WMS", "url": "https://h/wms"});
        let map = json!({"operationalLayers": [layer("a", "Roads"), layer("b", "Roads"), layer("c", "a")]});
        let map = WebMap::from_value(map).expect("a map");
        let drawn = |names: &[&str]| {
            let named: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            let mut overrides = GenerateOfflineMapParameterOverrides::default();
            let said = draw_layers(&named, &map, &mut overrides);
            said.map(|()| overrides.draw_tiles().keys().cloned().collect::<Vec<_>>().join(","))
        };
        assert_eq!(drawn(&["Roads"]).ok().as_deref(), Some("a,b"));
        assert_eq!(drawn(&["a", "c"]).ok().as_deref(), Some("a,c"));
        assert_eq!(drawn(&["all"]).ok().as_deref(), Some(""));
        assert!(drawn(&["rivers"]).is_err());
        assert!(draws_all(&["a".to_owned(), "all".to_owned()]) && !draws_all(&["a".to_owned()]));
    }
}
