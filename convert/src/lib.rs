//! From files of ArcGIS to files that open without it.
//!
//! | what | where |
//! | --- | --- |
//! | a file of tiles or features into one of another format | [`files`] |
//! | a mobile map package into a folder that opens without ArcGIS | [`open_folder`] |
//! | what a call left that did not end well | [`left_half`] |
//! | the cartography of a web map as a MapLibre style and a QGIS project | [`cartography`] |

pub mod cartography;
pub mod files;
mod half;
pub mod left_half;
pub mod open_folder;
