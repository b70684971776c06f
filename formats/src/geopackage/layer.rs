//! One layer of a GeoPackage that is being written.

use super::columns::{geometry_type, key_name, table_sql};
use super::constraints::{Constraints, add_field_descriptions};
use super::index::{Indexed, build};
use super::related::{Side, add_media_tables};
use crate::feature_writing::progress::{self, Progress};
use crate::feature_writing::{Envelopes, MOST_HELD};
use crate::features::LayerSchema;
use rusqlite::{Connection, params};

/// A layer with how it is written, and how far.
pub(super) struct Layer {
    pub(super) schema: LayerSchema,
    pub(super) key: String,
    /// The statement that makes its table, and the one that adds a row.
    pub(super) definition: String,
    pub(super) insert: String,
    pub(super) srs_id: i32,
    pub(super) progress: Progress,
    pub(super) envelopes: Envelopes,
}

impl Layer {
    pub(super) fn new(schema: &LayerSchema, srs_id: i32) -> Self {
        let (definition, insert) = table_sql(schema);
        Self {
            schema: schema.clone(),
            key: key_name(schema),
            definition,
            insert,
            srs_id,
            progress: Progress::default(),
            envelopes: Envelopes::default(),
        }
    }

    /// What an earlier process has written of it.
    pub(super) fn go_on(&mut self, progress: Progress) {
        if progress.features.rows > 0 {
            self.envelopes = Envelopes::incomplete();
        }
        self.progress = progress;
    }

    /// As one side of a relationship.
    pub(super) fn side(&self) -> Side<'_> {
        let mut columns: Vec<&str> = self.schema.fields.iter().map(|f| f.name.as_str()).collect();
        columns.push(&self.key);
        Side { table: &self.schema.name, key: &self.key, is_features: self.schema.geometry.is_some(), columns }
    }

    /// Its extent and index, once all rows are there.
    pub(super) fn complete(&mut self, connection: &Connection, is_indexed: bool) -> rusqlite::Result<()> {
        if let Some([xmin, ymin, xmax, ymax]) = self.progress.extent {
            let sql = "UPDATE gpkg_contents SET min_x = ?2, min_y = ?3, max_x = ?4, max_y = ?5 WHERE table_name = ?1";
            connection.execute(sql, params![self.schema.name, xmin, ymin, xmax, ymax])?;
        }
        match &self.schema.geometry {
            Some(geometry) if is_indexed => {
                let of = Indexed { table: &self.schema.name, column: &geometry.name, key: &self.key };
                build(connection, of, &mut self.envelopes, MOST_HELD)
            }
            _ => Ok(()),
        }
    }
}

/// Makes the tables of a layer.
pub(super) fn make_tables(
    connection: &Connection,
    layer: &Layer,
    last_change: &str,
    constraints: &mut Constraints,
) -> rusqlite::Result<()> {
    let schema = &layer.schema;
    connection.execute_batch(&layer.definition)?;
    let kind = if schema.geometry.is_some() { "features" } else { "attributes" };
    let srs_id = schema.geometry.is_some().then_some(layer.srs_id);
    // Titles are unique here.
    let contents =
        "INSERT INTO gpkg_contents(table_name, data_type, identifier, description, last_change, srs_id) VALUES(?1, ?2,
         CASE WHEN EXISTS(SELECT 1 FROM gpkg_contents WHERE identifier = ?3) THEN ?1 ELSE ?3 END, ?4, ?5, ?6)";
    connection.execute(contents, params![schema.name, kind, schema.title, schema.description, last_change, srs_id])?;
    if let Some(geometry) = &schema.geometry {
        let columns = "INSERT INTO gpkg_geometry_columns VALUES(?1, ?2, ?3, ?4, ?5, ?6)";
        let kind = geometry_type(geometry.kind);
        let values = params![schema.name, geometry.name, kind, layer.srs_id, geometry.has_z, geometry.has_m];
        connection.execute(columns, values)?;
    }
    add_field_descriptions(connection, schema, constraints)?;
    if schema.has_attachments {
        add_media_tables(connection, (&schema.name, &layer.key), last_change)?;
    }
    progress::write(connection, &schema.name, &layer.definition, &layer.progress)
}
