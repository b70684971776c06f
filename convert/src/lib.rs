//! Turns a mobile map package into a folder that opens without ArcGIS.
//!
//! [`cartography`] draws the map anew: it reads the web map's layers, renderers and labels, and writes a MapLibre style and a QGIS project.

pub mod cartography;
