//! From files of ArcGIS to files that open without it.
//!
//! | what | where |
//! | --- | --- |
//! | a file of tiles or features into one of another format | [`files`] |
//! | the cartography of a web map as a MapLibre style and a QGIS project | [`cartography`] |

pub mod cartography;
pub mod files;
