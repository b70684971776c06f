//! Writes mobile geodatabases.

use super::indexes::{add_indexes, index_triggers};
use super::items::{ATTACHMENT_ID, Written, attachment_columns};
use super::link_xml::NewRelationship;
use super::new_fields::NewColumn;
use super::new_layer::{Buffers, NewLayer};
use super::new_names::{Names, guid};
use super::new_reference::{NewReference, write_references};
use super::registries::{register_all, register_system};
use super::system_tables;
use crate::feature_writing::progress::{self, Progress};
use crate::feature_writing::{NewFile, Stage, all_rows, count_rows, put_in_place, write_failure};
use crate::features::{Attachment, Cardinality, Feature, FeatureSink, LayerSchema, Relationship, Resume, date_text};
use crate::foreign_sqlite::quoted;
use offmap_disk::atomic_file;
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use rusqlite::{Connection, MAIN_DB, params};
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};

/// What it is called in messages.
const FORMAT: &str = "geodatabase";
/// "Esri", and the size of pages in newer files. Source: B.1.
const APPLICATION_ID: i32 = 0x4573_7269;
const PAGE_SIZE: i32 = 4096;
/// Bytes of an attachment that are held at a time.
const BUFFER: usize = 64 << 10;
/// The id of a feature that is not in the file.
const NO_FEATURE: &str = "{00000000-0000-0000-0000-000000000000}";

/// What an earlier process wrote of a layer.
enum Found {
    Nothing,
    Same(Progress),
    Other,
}

/// How a geodatabase is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GeodatabaseOptions {
    /// When it was made, in milliseconds since 1970-01-01 UTC. By default 1970 itself, so that the same input makes the same bytes.
    pub created: i64,
}

/// Writes layers, tables, attachments and relationships into a mobile geodatabase that is read and not synchronised.
///
/// The file is written beside its destination, under the destination's name with `.new` behind it, and renamed when it is complete; an
/// older file of its name is replaced then. Each [`keep`](FeatureSink::keep) ends a transaction. Coordinates lie on the grid of their
/// layer: the one that they come from, else ArcGIS's usual one. Names that a geodatabase does not allow are changed. Days are written
/// as dates, times of day and moments with an offset as texts.
///
/// ```
/// use offmap_formats::features::{Feature, FeatureSink, GeometryField, LayerSchema};
/// use offmap_formats::geodatabase::{GeodatabaseOptions, GeodatabaseSink};
/// use offmap_formats::geometry::GeometryKind;
/// use offmap_model::SpatialReference;
///
/// let dir = tempfile::tempdir()?;
/// let to = dir.path().join("peaks.geodatabase");
/// let spatial_reference = SpatialReference::wgs84();
/// let geometry = GeometryField { name: "Shape".into(), kind: GeometryKind::Point, has_z: false, has_m: false, spatial_reference };
/// let mut sink = GeodatabaseSink::create(&to, &GeodatabaseOptions::default())?;
/// sink.begin_layer(&LayerSchema::new("Peaks", Some(geometry)))?;
/// let mut feature = Feature::with_fields(0);
/// let shape = feature.new_geometry(GeometryKind::Point, false, false);
/// shape.add_point([7.98, 46.54], 0.0, 0.0);
/// shape.close_part();
/// sink.put_feature(&feature)?;
/// sink.finish_file()?;
/// assert!(to.exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: mobile map package reference B.
pub struct GeodatabaseSink {
    connection: Connection,
    stage: Stage,
    to: PathBuf,
    options: GeodatabaseOptions,
    layers: Vec<NewLayer>,
    /// Names of the layers' tables.
    tables: Names,
    references: Vec<NewReference>,
    relationships: Vec<NewRelationship>,
    buffers: Buffers,
    buffer: Vec<u8>,
}

impl std::fmt::Debug for GeodatabaseSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GeodatabaseSink").field("to", &self.to).finish_non_exhaustive()
    }
}

impl GeodatabaseSink {
    /// Bytes of the largest attachment: a row of SQLite has at most 1,000,000,000 bytes, of which its other columns need some.
    pub const LARGEST_ATTACHMENT: u64 = 1_000_000_000 - (1 << 20);

    /// Adds a feature, without its shape where that lies beyond the grid of its layer; answers why it could not be held.
    ///
    /// # Errors
    /// As [`put_feature`](FeatureSink::put_feature).
    pub fn put_feature_without_wrong_shape(&mut self, feature: &mut Feature) -> Result<Option<String>, Failure> {
        let why = self.layers.last().and_then(|layer| layer.cannot_hold_shape(feature));
        if why.is_some() {
            feature.drop_geometry();
        }
        self.put_feature(feature).map(|()| why)
    }

    /// Begins a file anew; what an earlier process left of it goes.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn create(to: &Path, options: &GeodatabaseOptions) -> Result<Self, Failure> {
        Self::open(to, options, NewFile::Anew)
    }

    /// Goes on with a file of which an earlier process wrote a part, or begins it where none did. What was kept is there;
    /// [`begin_layer`](FeatureSink::begin_layer) says how far it came.
    ///
    /// # Errors
    /// If the disk refuses, or what lies there is not what this sink writes.
    pub fn resume(to: &Path, options: &GeodatabaseOptions) -> Result<Self, Failure> {
        Self::open(to, options, NewFile::Resumed)
    }

    fn open(to: &Path, options: &GeodatabaseOptions, new: NewFile) -> Result<Self, Failure> {
        let mut text = String::new();
        if !date_text(options.created, false, &mut text) {
            return Err(Failure::invalid_parameter("the date of the geodatabase has a year that is not within 0 to 9999"));
        }
        let mut sink = Self {
            connection: new.connect(to, FORMAT)?,
            stage: Stage::New,
            to: to.to_owned(),
            options: options.clone(),
            layers: Vec::new(),
            tables: Names::default(),
            references: Vec::new(),
            relationships: Vec::new(),
            buffers: Buffers::default(),
            buffer: vec![0; BUFFER],
        };
        sink.begin().map_err(|e| sink.failed("the first tables", &e))?;
        Ok(sink)
    }

    fn begin(&mut self) -> rusqlite::Result<()> {
        self.stage = Stage::of(&self.connection, APPLICATION_ID)?;
        if self.stage == Stage::New {
            let header = format!("PRAGMA page_size = {PAGE_SIZE}; PRAGMA application_id = {APPLICATION_ID};");
            self.connection.execute_batch(&header)?;
        }
        self.connection.execute_batch("BEGIN")?;
        if self.stage == Stage::New {
            // Fails where a file lies there that this sink does not write.
            self.connection.execute_batch(system_tables::TABLES)?;
            self.connection.execute_batch(system_tables::ROWS)?;
            register_system(&self.connection, self.options.created)?;
            progress::make(&self.connection)?;
        }
        Ok(())
    }

    fn failed(&self, what: impl std::fmt::Display, error: &rusqlite::Error) -> Failure {
        write_failure(&self.to, FORMAT, what, error)
    }

    fn current(&mut self) -> Result<&mut NewLayer, Failure> {
        self.layers.last_mut().ok_or_else(|| Failure::internal("a feature was put before its layer was begun"))
    }

    fn make_tables(&self, layer: &NewLayer) -> rusqlite::Result<()> {
        self.connection.execute_batch(&layer.definition)?;
        if let Some(table) = layer.attachment_table() {
            let key = format!("{ATTACHMENT_ID} integer primary key not null");
            let others = attachment_columns();
            let columns: Vec<String> = std::iter::once(key).chain(others.iter().map(NewColumn::declaration)).collect();
            let columns = columns.join(", ");
            self.connection.execute_batch(&format!("CREATE TABLE {} ({columns})", quoted(&table)))?;
        }
        progress::write(&self.connection, &layer.schema.name, &layer.definition, &layer.progress)
    }

    /// What of a layer is there.
    fn found(&self, new: &NewLayer) -> rusqlite::Result<Found> {
        if self.stage == Stage::Complete {
            let Some(features) = all_rows(&self.connection, &new.table, &new.definition)? else { return Ok(Found::Other) };
            let attached = new.attachment_table();
            let attachments = attached.map_or(Ok(Resume::default()), |table| count_rows(&self.connection, &table))?;
            return Ok(Found::Same(Progress { features, attachments, extent: None }));
        }
        Ok(match progress::read(&self.connection, &new.schema.name)? {
            Some((definition, _)) if definition != new.definition => Found::Other,
            Some((_, progress)) => Found::Same(progress),
            None => Found::Nothing,
        })
    }

    fn save_progress(&self) -> rusqlite::Result<()> {
        if self.stage == Stage::Complete {
            return Ok(());
        }
        self.layers.last().map_or(Ok(()), |l| progress::write(&self.connection, &l.schema.name, &l.definition, &l.progress))
    }

    fn put_bytes(&mut self, attachment: &Attachment, bytes: &mut dyn Read) -> Result<(), Failure> {
        let Some(layer) = self.layers.last() else { return Ok(()) };
        let what = format!("attachment {} of layer `{}`", attachment.id, layer.schema.name);
        let failed = |e: rusqlite::Error| write_failure(&self.to, FORMAT, &what, &e);
        let table = layer.attachment_table().unwrap_or_default();
        let feature = match attachment.object_id {
            Some(id) => layer.global_id_of(&self.connection, id).map_err(failed)?,
            None => None,
        };
        let sql = format!("INSERT INTO {} VALUES (?1, ?2, ?3, ?4, ?5, ?6, zeroblob(?6))", quoted(&table));
        let id = guid(&["attachment", &table, &attachment.id.to_string()]);
        let content_type =
            if attachment.content_type.is_empty() { "application/octet-stream" } else { &attachment.content_type };
        let size = i64::try_from(attachment.size).unwrap_or(i64::MAX);
        let feature = feature.unwrap_or_else(|| NO_FEATURE.to_owned());
        let values = params![attachment.id, id, feature, content_type, attachment.name, size];
        self.connection.prepare_cached(&sql).and_then(|mut add| add.execute(values)).map_err(failed)?;
        let mut blob = self.connection.blob_open(MAIN_DB, table.as_str(), "DATA", attachment.id, false).map_err(failed)?;
        let io = |e: std::io::Error| Failure::io(FailureStage::Package, format!("cannot copy {what}"), &e);
        let mut found = 0_u64;
        loop {
            let count = bytes.read(&mut self.buffer).map_err(io)?;
            found += count as u64;
            if found > attachment.size || (count == 0 && found < attachment.size) {
                let message = format!("{what} has {found} bytes or more, its table says {}", attachment.size);
                return Err(Failure::new(FailureOwner::Source, FailureKind::Corrupt, FailureStage::Package, message));
            }
            if count == 0 {
                return blob.close().map_err(failed);
            }
            blob.write_all(self.buffer.get(..count).unwrap_or_default()).map_err(io)?;
        }
    }

    /// Everything that is written when all rows are there, in one transaction.
    fn complete(&mut self) -> rusqlite::Result<()> {
        progress::drop(&self.connection)?;
        for layer in &mut self.layers {
            add_indexes(&self.connection, layer)?;
        }
        write_references(&self.connection, &self.references)?;
        let moment = self.options.created;
        register_all(&self.connection, &Written { layers: &self.layers, relationships: &self.relationships, moment })?;
        self.connection.execute_batch(&index_triggers("GDB_Items", "Shape"))?;
        // Their modules are not here, so that they cannot be made by a statement.
        self.connection.execute_batch("PRAGMA writable_schema = ON")?;
        for (name, sql) in system_tables::VIRTUAL {
            let add = "INSERT INTO sqlite_master(type, name, tbl_name, rootpage, sql) VALUES('table', ?1, ?1, 0, ?2)";
            self.connection.execute(add, [name, sql])?;
        }
        self.connection.execute_batch("PRAGMA writable_schema = OFF; COMMIT")
    }
}

impl FeatureSink for GeodatabaseSink {
    fn begin_layer(&mut self, layer: &LayerSchema) -> Result<(Resume, Resume), Failure> {
        let name = &layer.name;
        if self.layers.iter().any(|l| l.schema.name.eq_ignore_ascii_case(name)) {
            return Err(Failure::invalid_parameter(format!("two layers are called `{name}`, expected one of a name")));
        }
        self.save_progress().map_err(|e| self.failed("how far it came", &e))?;
        let mut new = NewLayer::new(layer, &mut self.tables, &mut self.references);
        let found = self.found(&new).map_err(|e| self.failed("how far it came", &e))?;
        match found {
            Found::Other => {
                let beside = atomic_file::beside(&self.to);
                let message =
                    format!("{} holds layer `{name}` with other fields; remove it to begin anew", beside.display());
                let kind = FailureKind::DestinationNotUsable;
                return Err(Failure::new(FailureOwner::Caller, kind, FailureStage::Package, message));
            }
            Found::Same(progress) => new.go_on(progress),
            Found::Nothing => {
                self.make_tables(&new).map_err(|e| self.failed(format!("the tables of layer `{name}`"), &e))?
            }
        }
        let there = (new.progress.features, new.progress.attachments);
        self.tables.take(&new.table);
        self.layers.push(new);
        Ok(there)
    }

    fn put_feature(&mut self, feature: &Feature) -> Result<(), Failure> {
        let Some(layer) = self.layers.last_mut() else {
            return Err(Failure::internal("a feature was put before its layer was begun"));
        };
        let (found, expected) = (feature.values.len(), layer.schema.fields.len());
        if found != expected {
            let name = &layer.schema.name;
            return Err(Failure::internal(format!("a row of `{name}` has {found} values, expected {expected}")));
        }
        let put = layer.put_row(&self.connection, feature, &mut self.buffers);
        let what = || {
            let id = feature.object_id.map_or_else(|| format!("row {}", feature.row_id), |id| format!("feature {id}"));
            format!("{id} of layer `{}`", layer.schema.name)
        };
        match put {
            Ok(Ok(())) => Ok(()),
            Ok(Err(why)) => {
                let message = format!("cannot write {} into the geodatabase: {why}", what());
                Err(Failure::new(FailureOwner::Source, FailureKind::Corrupt, FailureStage::Package, message))
            }
            Err(e) => Err(write_failure(&self.to, FORMAT, what(), &e)),
        }
    }

    fn put_attachment(&mut self, attachment: &Attachment, bytes: &mut dyn Read) -> Result<(), Failure> {
        let layer = self.current()?;
        if !layer.schema.has_attachments {
            let name = &layer.schema.name;
            return Err(Failure::internal(format!("layer `{name}` has no attachments, and one was put")));
        }
        self.put_bytes(attachment, bytes)?;
        let progress = &mut self.current()?.progress.attachments;
        *progress = Resume { after: Some(attachment.row_id), rows: progress.rows + 1 };
        Ok(())
    }

    fn put_relationships(&mut self, relationships: &[Relationship]) -> Result<Vec<String>, Failure> {
        let mut left_out: Vec<String> = self.layers.iter().flat_map(NewLayer::changed_fields).collect();
        for layer in self.layers.iter().filter(|l| l.has_unknown) {
            let name = &layer.schema.name;
            left_out.push(format!("heights or measures of layer `{name}` that are not known are written as 0"));
        }
        self.relationships.clear();
        for layer in &self.layers {
            if let (Some(table), Some((global_id, _))) = (layer.attachment_table(), &layer.global_id) {
                self.relationships.push(NewRelationship {
                    name: format!("{table}REL"),
                    origin: layer.table.clone(),
                    origin_key: global_id.clone(),
                    destination: table,
                    destination_key: "REL_GLOBALID".to_owned(),
                    cardinality: Cardinality::OneToMany,
                    is_composite: true,
                    is_of_attachments: true,
                });
            }
        }
        let mut names = self.tables.clone();
        self.relationships.iter().for_each(|known| names.take(&known.name));
        for relationship in relationships {
            match self.relationship(relationship, &mut names) {
                Ok(new) => self.relationships.push(new),
                Err(why) => left_out.push(format!("relationship `{}` {why}", relationship.name)),
            }
        }
        Ok(left_out)
    }

    fn keep(&mut self) -> Result<(), Failure> {
        let kept = self.save_progress().and_then(|()| self.connection.execute_batch("COMMIT; BEGIN"));
        kept.map_err(|e| self.failed("what was put so far", &e))
    }

    fn finish_file(mut self) -> Result<(), Failure> {
        if self.stage != Stage::Complete {
            self.complete().map_err(|e| self.failed("its lists and indexes", &e))?;
        }
        put_in_place(self.connection, &self.to, FORMAT)
    }
}

impl GeodatabaseSink {
    /// A relationship between what was written; the error is why it cannot be held.
    fn relationship(&self, of: &Relationship, names: &mut Names) -> Result<NewRelationship, String> {
        if of.cardinality == Cardinality::ManyToMany {
            return Err("is many to many by a table of its own, which offmap does not write".to_owned());
        }
        let side = |name: &str, key: &str| {
            let layer = self.layers.iter().find(|l| l.schema.name == name);
            let layer = layer.ok_or_else(|| "names a layer that was not written".to_owned())?;
            let column = layer.column_of(key).ok_or_else(|| format!("names the field `{key}`, which `{name}` has not"))?;
            Ok::<_, String>((layer.table.clone(), column.to_owned()))
        };
        let (origin, origin_key) = side(&of.origin, &of.origin_key)?;
        let (destination, destination_key) = side(&of.destination, &of.destination_key)?;
        let name = names.free(&of.name);
        names.take(&name);
        let (cardinality, is_composite) = (of.cardinality, of.is_composite);
        Ok(NewRelationship {
            name,
            origin,
            origin_key,
            destination,
            destination_key,
            cardinality,
            is_composite,
            is_of_attachments: false,
        })
    }
}
