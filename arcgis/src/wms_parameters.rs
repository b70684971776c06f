//! Parameters of requests to a WMS, which its url in a map or from a user may hold.
//!
//! Source: WMS 1.3.0, §6.8.1 (names in any letter case), §7.2.3 and §7.3.3; WMS 1.1.1, §7.

const OF_REQUESTS: [&str; 14] = [
    "service",
    "request",
    "version",
    "layers",
    "styles",
    "crs",
    "srs",
    "bbox",
    "width",
    "height",
    "format",
    "transparent",
    "exceptions",
    "bgcolor",
];

/// Whether a parameter of a url, in any letter case, is of a request and not of the service itself, as `map` of MapServer is.
///
/// ```
/// assert!(offmap_arcgis::is_wms_parameter("Layers") && !offmap_arcgis::is_wms_parameter("map"));
/// ```
#[must_use]
pub fn is_wms_parameter(name: &str) -> bool {
    OF_REQUESTS.iter().any(|other| other.eq_ignore_ascii_case(name))
}
