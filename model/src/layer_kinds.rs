//! Words for kinds of layers that have no offline form, as maps write them in `layerType` or `type`.
//!
//! Source: web map reference A.4.

/// Why a kind of layer has no offline form; `None` for a word that is not known.
pub(crate) fn without_offline_form(word: &str) -> Option<&'static str> {
    Some(match word {
        "ArcGISMapServiceLayer" => {
            "a dynamic map image layer is drawn by its server on request, unless drawTiles has it drawn tile by tile"
        }
        "ArcGISImageServiceLayer" => {
            "a dynamic imagery layer is drawn by its server on request, unless drawTiles has it drawn tile by tile"
        }
        "WMS" => {
            "its server draws pictures on request (OGC) and exports no tiles, unless drawTiles has it drawn tile by tile"
        }
        "WCS" => "its server draws pictures on request (OGC) and exports no tiles",
        "WFS" | "OGCFeatureLayer" => "a feature service of the OGC makes no replica",
        "WebTiledLayer" | "OpenStreetMap" | "WMTS" => "its tiles cannot be exported",
        "PMTiles" => "an archive has no export; `directDownload` has to allow that its tiles are read out of it",
        word if word.starts_with("BingMaps") => "its tiles cannot be exported",
        "MediaLayer" => "its pictures are read from their own urls each time",
        "CSV" | "GeoRSS" | "KML" | "GeoJSON" => "it is read from its file's url each time",
        "ArcGISStreamLayer" => "it is a live stream",
        "ArcGISSceneServiceLayer" | "IntegratedMeshLayer" | "BuildingSceneLayer" | "PointCloudLayer" => {
            "it belongs to scenes, not maps"
        }
        _ => return None,
    })
}
