//! A web map, parameters, overrides and an area out of any text.

#![no_main]

use libfuzzer_sys::fuzz_target;
use offmap::{AreaOfInterest, GenerateOfflineMapParameterOverrides, GenerateOfflineMapParameters, SpatialReference, WebMap};

fuzz_target!(|text: &str| {
    if let Ok(map) = WebMap::from_json(text) {
        let _ = (map.layers(), map.offline_settings(), map.spatial_reference());
    }
    let _ = GenerateOfflineMapParameters::from_json(text);
    let _ = GenerateOfflineMapParameterOverrides::from_json(text);
    for area in [AreaOfInterest::from_json(text), AreaOfInterest::from_numbers(text)].into_iter().flatten() {
        let _ = (area.parts(), area.for_wire(), area.wgs84_extent());
        let _ = area.parts_in(&SpatialReference::web_mercator());
    }
});
