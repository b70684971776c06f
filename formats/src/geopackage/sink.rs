//! Writes GeoPackages.

use super::binary;
use super::columns::bind;
use super::constraints::{Constraints, name_constraints};
use super::ddl::{APPLICATION_ID, CORE, VERSION};
use super::layer::{Layer, make_tables};
use super::references::{add_reference, add_required};
use super::related::{MediaError, add_media, add_relationship, media_names, refusal};
use super::styles::{LayerStyle, add_styles};
use crate::feature_writing::progress::Progress;
use crate::feature_writing::{Bound, NewFile, Stage, all_rows, count_rows, progress, put_in_place, write_failure};
use crate::features::{Attachment, Feature, FeatureSink, LayerSchema, Relationship, Resume, date_text};
use crate::geometry::RingGroups;
use offmap_disk::atomic_file;
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Bytes of an attachment that are held at a time.
const BUFFER: usize = 64 << 10;
/// What it is called in messages.
const FORMAT: &str = "GeoPackage";

/// How a GeoPackage is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GeoPackageOptions {
    /// What `gpkg_contents.last_change` says, in milliseconds since 1970-01-01 UTC. By default 1970 itself, so that the same input
    /// makes the same bytes.
    pub last_change: i64,
    /// Whether layers get a spatial index; by default they do.
    pub without_index: bool,
}

/// What an earlier process wrote of a layer.
enum Found {
    Nothing,
    Same(Progress),
    Other,
}

/// Writes layers, tables, attachments and relationships into a GeoPackage 1.4.
///
/// The file is written beside its destination, under the destination's name with `.new` behind it, and renamed when it is complete; an
/// older file of its name is replaced then. Each [`keep`](FeatureSink::keep) ends a transaction.
///
/// ```
/// use offmap_formats::features::{Feature, FeatureSink, GeometryField, LayerSchema};
/// use offmap_formats::geometry::GeometryKind;
/// use offmap_formats::geopackage::{GeoPackageOptions, GeoPackageSink};
/// use offmap_model::SpatialReference;
///
/// let dir = tempfile::tempdir()?;
/// let to = dir.path().join("peaks.gpkg");
/// let spatial_reference = SpatialReference::wgs84();
/// let geometry = GeometryField { name: "shape".into(), kind: GeometryKind::Point, has_z: false, has_m: false, spatial_reference };
/// let mut sink = GeoPackageSink::create(&to, &GeoPackageOptions::default())?;
/// sink.begin_layer(&LayerSchema::new("peaks", Some(geometry)))?;
/// let mut feature = Feature::with_fields(0);
/// let shape = feature.new_geometry(GeometryKind::Point, false, false);
/// shape.add_point([7.98, 46.54], 0.0, 0.0);
/// shape.close_part();
/// sink.put_feature(&feature)?;
/// sink.finish_file()?;
/// assert!(to.exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct GeoPackageSink {
    connection: Connection,
    stage: Stage,
    to: PathBuf,
    options: GeoPackageOptions,
    last_change: String,
    layers: Vec<Layer>,
    constraints: Constraints,
    styles: Vec<LayerStyle>,
    groups: RingGroups,
    blob: Vec<u8>,
    text: String,
    buffer: Vec<u8>,
}

impl std::fmt::Debug for GeoPackageSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GeoPackageSink").field("to", &self.to).finish_non_exhaustive()
    }
}

impl GeoPackageSink {
    /// Begins a file anew; what an earlier process left of it goes.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn create(to: &Path, options: &GeoPackageOptions) -> Result<Self, Failure> {
        Self::open(to, options, NewFile::Anew)
    }

    /// Goes on with a file of which an earlier process wrote a part, or begins it where none did. What was kept is there;
    /// [`begin_layer`](FeatureSink::begin_layer) says how far it came.
    ///
    /// # Errors
    /// If the disk refuses, or what lies there is not what this sink writes.
    pub fn resume(to: &Path, options: &GeoPackageOptions) -> Result<Self, Failure> {
        Self::open(to, options, NewFile::Resumed)
    }

    fn open(to: &Path, options: &GeoPackageOptions, new: NewFile) -> Result<Self, Failure> {
        let connection = new.connect(to, FORMAT)?;
        let mut last_change = String::new();
        if !date_text(options.last_change, false, &mut last_change) {
            return Err(Failure::invalid_parameter("the date of the last change has a year that is not within 0 to 9999"));
        }
        let mut sink = Self {
            connection,
            stage: Stage::New,
            to: to.to_owned(),
            options: options.clone(),
            last_change,
            layers: Vec::new(),
            constraints: Constraints::default(),
            styles: Vec::new(),
            groups: RingGroups::default(),
            blob: Vec::new(),
            text: String::new(),
            buffer: vec![0; BUFFER],
        };
        sink.begin().map_err(|e| write_failure(to, FORMAT, "the first tables", &e))?;
        Ok(sink)
    }

    fn begin(&mut self) -> rusqlite::Result<()> {
        self.stage = Stage::of(&self.connection, APPLICATION_ID)?;
        if self.stage == Stage::New {
            self.connection
                .execute_batch(&format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION};"))?;
        }
        self.connection.execute_batch("BEGIN")?;
        if self.stage == Stage::New {
            // Fails where a file lies there that this sink does not write.
            self.connection.execute_batch(CORE)?;
            add_required(&self.connection)?;
            progress::make(&self.connection)?;
        }
        Ok(())
    }

    fn failed(&self, what: impl std::fmt::Display, error: &rusqlite::Error) -> Failure {
        write_failure(&self.to, FORMAT, what, error)
    }

    /// Adds a style of a layer, which must have been begun when the file is finished.
    pub fn add_style(&mut self, style: LayerStyle) {
        self.styles.push(style);
    }

    fn current(&mut self) -> Result<&mut Layer, Failure> {
        self.layers.last_mut().ok_or_else(|| Failure::internal("a feature was put before its layer was begun"))
    }

    fn put_row(&mut self, feature: &Feature) -> rusqlite::Result<Result<(), String>> {
        let Some(layer) = self.layers.last_mut() else { return Ok(Ok(())) };
        let mut statement = self.connection.prepare_cached(&layer.insert)?;
        let key = match (&layer.schema.object_id_field, feature.object_id) {
            (Some(_), Some(id)) => Some(id),
            (Some(name), None) => return Ok(Err(format!("it has no object id in `{name}`"))),
            // Numbered by SQLite, in the order in which they come.
            (None, _) => None,
        };
        statement.raw_bind_parameter(1, key)?;
        let mut place = 2;
        let mut envelope = None;
        if layer.schema.geometry.is_some() {
            match feature.geometry() {
                Some(shape) => {
                    envelope = binary::write(shape, layer.srs_id, &mut self.groups, &mut self.blob);
                    statement.raw_bind_parameter(place, Bound(ValueRef::Blob(&self.blob)))?;
                }
                None => statement.raw_bind_parameter(place, rusqlite::types::Null)?,
            }
            place += 1;
        }
        for (field, value) in layer.schema.fields.iter().zip(&feature.values) {
            if !bind(&mut statement, place, (value, field), &mut self.text)? {
                return Ok(Err(format!("the date in `{}` is not within the years 0 to 9999", field.name)));
            }
            place += 1;
        }
        statement.raw_execute()?;
        drop(statement);
        let row = key.unwrap_or_else(|| self.connection.last_insert_rowid());
        if let Some(envelope) = envelope {
            layer.progress.widen(envelope);
            layer.envelopes.note(row, envelope);
        }
        layer.progress.features = Resume { after: Some(feature.row_id), rows: layer.progress.features.rows + 1 };
        Ok(Ok(()))
    }

    /// What of a layer is there.
    fn found(&self, new: &Layer) -> rusqlite::Result<Found> {
        let name = &new.schema.name;
        if self.stage == Stage::Complete {
            let Some(features) = all_rows(&self.connection, name, &new.definition)? else { return Ok(Found::Other) };
            let attached = new.schema.has_attachments.then(|| media_names(name).0);
            let attachments = attached.map_or(Ok(Resume::default()), |table| count_rows(&self.connection, &table))?;
            return Ok(Found::Same(Progress { features, attachments, extent: None }));
        }
        Ok(match progress::read(&self.connection, name)? {
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

    /// Everything that is written when all rows are there, in one transaction.
    fn complete(&mut self) -> rusqlite::Result<()> {
        let connection = &self.connection;
        progress::drop(connection)?;
        for layer in &mut self.layers {
            layer.complete(connection, !self.options.without_index)?;
        }
        let layers = &self.layers;
        let column_of =
            |name: &str| layers.iter().find(|l| l.schema.name == name)?.schema.geometry.as_ref().map(|g| g.name.clone());
        add_styles(connection, &self.styles, column_of, &self.last_change)?;
        connection.execute_batch("COMMIT")
    }
}

impl FeatureSink for GeoPackageSink {
    fn begin_layer(&mut self, layer: &LayerSchema) -> Result<(Resume, Resume), Failure> {
        let name = &layer.name;
        if self.layers.iter().any(|l| l.schema.name.eq_ignore_ascii_case(name)) {
            return Err(Failure::invalid_parameter(format!("two layers are called `{name}`, expected one of a name")));
        }
        let reserved = ["gpkg_", "gpkgext_", "rtree_", "sqlite_", "offmap_progress", "layer_styles"];
        if let Some(word) = reserved.iter().find(|word| name.to_ascii_lowercase().starts_with(**word)) {
            return Err(Failure::invalid_parameter(format!(
                "a layer is called `{name}`: GeoPackages keep names with `{word}`"
            )));
        }
        self.save_progress().map_err(|e| self.failed("how far it came", &e))?;
        let failed = |sink: &Self, e: &rusqlite::Error| sink.failed(format!("the tables of layer `{name}`"), e);
        let reference = layer.geometry.as_ref().map(|g| &g.spatial_reference);
        let srs_id = reference.map_or(Ok(0), |r| add_reference(&self.connection, r)).map_err(|e| failed(self, &e))?;
        let mut new = Layer::new(layer, srs_id);
        let found = self.found(&new).map_err(|e| failed(self, &e))?;
        match found {
            Found::Other => {
                let new = atomic_file::beside(&self.to);
                let message = format!("{} holds layer `{name}` with other fields; remove it to begin anew", new.display());
                let kind = FailureKind::DestinationNotUsable;
                return Err(Failure::new(FailureOwner::Caller, kind, FailureStage::Package, message));
            }
            Found::Same(progress) => {
                new.go_on(progress);
                name_constraints(layer, &mut self.constraints);
            }
            Found::Nothing => make_tables(&self.connection, &new, &self.last_change, &mut self.constraints)
                .map_err(|e| failed(self, &e))?,
        }
        let there = (new.progress.features, new.progress.attachments);
        self.layers.push(new);
        Ok(there)
    }

    fn put_feature(&mut self, feature: &Feature) -> Result<(), Failure> {
        let layer = &self.current()?.schema;
        let (name, expected) = (layer.name.clone(), layer.fields.len());
        let found = feature.values.len();
        if found != expected {
            return Err(Failure::internal(format!("a row of `{name}` has {found} values, expected {expected}")));
        }
        let what = || {
            let id = feature.object_id.map_or_else(|| format!("row {}", feature.row_id), |id| format!("feature {id}"));
            format!("{id} of layer `{name}`")
        };
        match self.put_row(feature) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(why)) => {
                let message = format!("cannot write {} into the GeoPackage: {why}", what());
                Err(Failure::new(FailureOwner::Source, FailureKind::Corrupt, FailureStage::Package, message))
            }
            Err(e) => Err(self.failed(what(), &e)),
        }
    }

    fn put_attachment(&mut self, attachment: &Attachment, bytes: &mut dyn Read) -> Result<(), Failure> {
        let name = self.current()?.schema.name.clone();
        let what = format!("attachment {} of layer `{name}`", attachment.id);
        match add_media(&self.connection, &name, attachment, bytes, &mut self.buffer) {
            Ok(()) => {}
            Err(MediaError::Sql(e)) => return Err(self.failed(what, &e)),
            Err(MediaError::Read(e)) => return Err(Failure::io(FailureStage::Package, format!("cannot copy {what}"), &e)),
            Err(MediaError::Size(found)) => {
                let message = format!("{what} has {found} bytes or more, its table says {}", attachment.size);
                return Err(Failure::new(FailureOwner::Source, FailureKind::Corrupt, FailureStage::Package, message));
            }
        }
        let progress = &mut self.current()?.progress.attachments;
        *progress = Resume { after: Some(attachment.row_id), rows: progress.rows + 1 };
        Ok(())
    }

    fn put_relationships(&mut self, relationships: &[Relationship]) -> Result<Vec<String>, Failure> {
        let mut left_out = Vec::new();
        let side = |name: &str| self.layers.iter().find(|l| l.schema.name == name).map(Layer::side);
        for relationship in relationships {
            let (Some(origin), Some(destination)) = (side(&relationship.origin), side(&relationship.destination)) else {
                left_out.push(format!("relationship `{}` names a layer that was not written", relationship.name));
                continue;
            };
            if let Some(why) = refusal(relationship, &origin, &destination) {
                left_out.push(why);
            } else if self.stage != Stage::Complete {
                let added = add_relationship(&self.connection, relationship, &origin, &destination);
                added.map_err(|e| self.failed(format!("relationship `{}`", relationship.name), &e))?;
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
            self.complete().map_err(|e| self.failed("the indexes", &e))?;
        }
        put_in_place(self.connection, &self.to, FORMAT)
    }
}
