//! Styles of layers, in the table that QGIS and GDAL read.
//!
//! `layer_styles` is no part of the standard; it is listed among the contents as a table of attributes, as QGIS does.

use rusqlite::{Connection, params};

/// A style of a layer, as text in a language of those who read it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LayerStyle {
    /// The layer.
    pub layer: String,
    /// Name of the style.
    pub name: String,
    /// The style in QGIS's language; may be empty.
    pub qml: String,
    /// The style as OGC Styled Layer Descriptor; may be empty.
    pub sld: String,
    /// Description; may be empty.
    pub description: String,
    /// Whether the layer is drawn by it unless another one is chosen.
    pub is_default: bool,
}

const TABLE: &str = "
CREATE TABLE IF NOT EXISTS layer_styles (id INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL, f_table_catalog TEXT(256), f_table_schema TEXT(256), f_table_name TEXT(256), f_geometry_column TEXT(256), styleName TEXT(30), styleQML TEXT, styleSLD TEXT, useAsDefault BOOLEAN, description TEXT, owner TEXT(30), ui TEXT(30), update_time DATETIME DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ','now')));
";

/// Writes styles.
pub(super) fn add_styles(
    connection: &Connection,
    styles: &[LayerStyle],
    column_of: impl Fn(&str) -> Option<String>,
    last_change: &str,
) -> rusqlite::Result<()> {
    if styles.is_empty() {
        return Ok(());
    }
    connection.execute_batch(TABLE)?;
    let contents = "INSERT INTO gpkg_contents(table_name, data_type, identifier, last_change)
         VALUES('layer_styles', 'attributes', 'layer_styles', ?1)";
    connection.execute(contents, [last_change])?;
    // Readers look for an empty catalog and schema, not for none.
    let sql =
        "INSERT INTO layer_styles(f_table_catalog, f_table_schema, f_table_name, f_geometry_column, styleName, styleQML,
         styleSLD, useAsDefault, description, owner, update_time) VALUES('', '', ?1, ?2, ?3, ?4, ?5, ?6, ?7, '', ?8)";
    let mut add = connection.prepare(sql)?;
    for s in styles {
        let column = column_of(&s.layer).unwrap_or_default();
        add.execute(params![s.layer, column, s.name, s.qml, s.sld, s.is_default, s.description, last_change])?;
    }
    Ok(())
}
