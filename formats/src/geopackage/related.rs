//! The related tables extension: attachments as media, and relationships.
//!
//! Source: OGC 18-000, clause 7 and annex A; extensions are listed by OGC 12-128r19, 2.3.2.

use super::ddl::{RELATED_EXTENSION, RELATIONS, quoted};
use crate::features::{Attachment, Cardinality, Relationship};
use rusqlite::{Connection, MAIN_DB, params};
use std::io::{Read, Write as _};

/// Lists an extension of a table or column, or of the whole file.
pub(super) fn add_extension(
    connection: &Connection,
    (table, column): (Option<&str>, Option<&str>),
    (name, definition): (&str, &str),
    scope: &str,
) -> rusqlite::Result<()> {
    // Requirement 61's key does not hold where a part of it is null.
    let sql = "INSERT INTO gpkg_extensions SELECT ?1, ?2, ?3, ?4, ?5 WHERE NOT EXISTS
         (SELECT 1 FROM gpkg_extensions WHERE table_name IS ?1 AND column_name IS ?2 AND extension_name = ?3)";
    connection.execute(sql, params![table, column, name, definition, scope])?;
    Ok(())
}

/// A table with its key.
pub(super) type Keyed<'a> = (&'a str, &'a str);

/// Makes a mapping table and lists it.
fn add_mapping(
    connection: &Connection,
    mapping: &str,
    (base, base_key): Keyed<'_>,
    (related, related_key): Keyed<'_>,
    kind: &str,
) -> rusqlite::Result<()> {
    connection.execute_batch(RELATIONS)?;
    connection.execute_batch(&format!(
        "CREATE TABLE {} (base_id INTEGER NOT NULL, related_id INTEGER NOT NULL)",
        quoted(mapping)
    ))?;
    let add =
        "INSERT INTO gpkgext_relations(base_table_name, base_primary_column, related_table_name, related_primary_column,
         relation_name, mapping_table_name) VALUES(?1, ?2, ?3, ?4, ?5, ?6)";
    connection.execute(add, params![base, base_key, related, related_key, kind, mapping])?;
    add_extension(connection, (Some("gpkgext_relations"), None), RELATED_EXTENSION, "read-write")?;
    add_extension(connection, (Some(mapping), None), RELATED_EXTENSION, "read-write")
}

/// Names of the table of a layer's attachments, and of the one that maps them.
pub(super) fn media_names(layer: &str) -> (String, String) {
    (format!("{layer}__ATTACH"), format!("{layer}__ATTACHREL"))
}

/// Makes the tables for a layer's attachments.
pub(super) fn add_media_tables(connection: &Connection, base: Keyed<'_>, last_change: &str) -> rusqlite::Result<()> {
    let (media, mapping) = media_names(base.0);
    connection.execute_batch(&format!(
        "CREATE TABLE {} (id INTEGER PRIMARY KEY NOT NULL, data BLOB NOT NULL, content_type TEXT NOT NULL, name TEXT)",
        quoted(&media)
    ))?;
    let contents = "INSERT INTO gpkg_contents(table_name, data_type, identifier, description, last_change)
         VALUES(?1, 'attributes', ?1, ?2, ?3)";
    connection.execute(contents, params![media, format!("Files attached to {}", base.0), last_change])?;
    add_mapping(connection, &mapping, base, (&media, "id"), "media")
}

/// Why an attachment could not be written.
pub(super) enum MediaError {
    /// SQLite says so.
    Sql(rusqlite::Error),
    /// The stream could not be read.
    Read(std::io::Error),
    /// The stream had another number of bytes than was said.
    Size(u64),
}

impl From<rusqlite::Error> for MediaError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

/// Adds an attachment; its bytes go through `buffer`.
pub(super) fn add_media(
    connection: &Connection,
    layer: &str,
    attachment: &Attachment,
    bytes: &mut dyn Read,
    buffer: &mut [u8],
) -> Result<(), MediaError> {
    let (media, mapping) = media_names(layer);
    let sql = format!("INSERT INTO {} (id, data, content_type, name) VALUES (?1, zeroblob(?2), ?3, ?4)", quoted(&media));
    let size = i64::try_from(attachment.size).unwrap_or(i64::MAX);
    let content_type =
        if attachment.content_type.is_empty() { "application/octet-stream" } else { &attachment.content_type };
    connection.prepare_cached(&sql)?.execute(params![attachment.id, size, content_type, attachment.name])?;
    let mut blob = connection.blob_open(MAIN_DB, media.as_str(), "data", attachment.id, false)?;
    let mut found = 0_u64;
    loop {
        let count = bytes.read(buffer).map_err(MediaError::Read)?;
        if count == 0 {
            break;
        }
        found += count as u64;
        if found > attachment.size {
            return Err(MediaError::Size(found));
        }
        blob.write_all(&buffer[..count]).map_err(MediaError::Read)?;
    }
    blob.close()?;
    if found != attachment.size {
        return Err(MediaError::Size(found));
    }
    if let Some(feature) = attachment.object_id {
        let sql = format!("INSERT INTO {} (base_id, related_id) VALUES (?1, ?2)", quoted(&mapping));
        connection.prepare_cached(&sql)?.execute([feature, attachment.id])?;
    }
    Ok(())
}

/// What a relationship needs to know of one of its sides.
pub(super) struct Side<'a> {
    pub(super) table: &'a str,
    pub(super) key: &'a str,
    pub(super) is_features: bool,
    pub(super) columns: Vec<&'a str>,
}

/// Why a relationship cannot be written; `None` where it can.
pub(super) fn refusal(relationship: &Relationship, origin: &Side<'_>, destination: &Side<'_>) -> Option<String> {
    let name = &relationship.name;
    if relationship.cardinality == Cardinality::ManyToMany {
        return Some(format!("relationship `{name}` is many to many by a table of its own, which offmap does not read"));
    }
    let has = |side: &Side<'_>, key: &str| side.columns.iter().any(|c| c.eq_ignore_ascii_case(key));
    let sides = [(origin, &relationship.origin_key), (destination, &relationship.destination_key)];
    let (side, key) = sides.into_iter().find(|(side, key)| !has(side, key))?;
    Some(format!("relationship `{name}`: `{}` has no field `{key}`", side.table))
}

/// Writes which rows belong to which.
pub(super) fn add_relationship(
    connection: &Connection,
    relationship: &Relationship,
    origin: &Side<'_>,
    destination: &Side<'_>,
) -> rusqlite::Result<()> {
    let mapping = format!("{}__{}", origin.table, relationship.name);
    let kind = if destination.is_features { "features" } else { "attributes" };
    add_mapping(connection, &mapping, (origin.table, origin.key), (destination.table, destination.key), kind)?;
    connection.execute_batch(&format!(
        "INSERT INTO {} SELECT o.{}, d.{} FROM {} o JOIN {} d ON o.{} = d.{} ORDER BY 1, 2",
        quoted(&mapping),
        quoted(origin.key),
        quoted(destination.key),
        quoted(origin.table),
        quoted(destination.table),
        quoted(&relationship.origin_key),
        quoted(&relationship.destination_key),
    ))
}
