//! Where things are in a package.

use offmap_model::Thumbnail;

/// Base name of the map in a package.
pub(crate) const MAP_NAME: &str = "mobile_map";
/// Folder of the map and its data, whatever the SDK version that reads it.
pub(crate) const MAP_FOLDER: &str = "p13";
/// The item and the list of maps. Written last: without it the directory does not open as a package.
pub(crate) const INFO_PATH: &str = "package.info";
/// The job that made the package, kept to complete it later.
pub(crate) const JOB_PATH: &str = "offmap/job.json";

/// Where a layer's data are, relative to the map document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LayerData {
    /// File name beside the map.
    pub(crate) file: String,
    /// `GDB_ServiceItems.ItemId`.
    pub(crate) item_id: Option<i64>,
    /// Folder of item resources beside the map.
    pub(crate) resources: Option<String>,
}

/// Where a picture is below `esriinfo`: its extension is that of its format.
pub(crate) fn thumbnail_path(thumbnail: &Thumbnail) -> String {
    format!("thumbnail/thumbnail.{}", thumbnail.extension())
}
