//! Writes GeoJSON text sequences.

use super::features_json::{FeatureWriter, Written};
use crate::features::{Attachment, Feature, FeatureSink, LayerSchema, Relationship, Resume};
use offmap_disk::atomic_file;
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Ends the name of the file that says how far a sequence came.
const PROGRESS: &str = ".progress";
/// Begins a text of a sequence (RFC 8142, 2.2).
const RECORD_SEPARATOR: &[u8] = b"\x1e";
/// Ends the name of a file of lines, which have no separator.
const LINES: &str = "geojsonl";
/// Ends the name of a file that is one collection.
const COLLECTION: &str = "geojson";

/// What stands around the features of a file.
#[derive(Debug, Clone, Copy)]
struct Frame {
    begin: &'static [u8],
    /// Before the first feature, and before each other one.
    first: &'static [u8],
    other: &'static [u8],
    end: &'static [u8],
    /// Whether object ids stand among the properties as well: what draws a collection knows no other place.
    has_ids: bool,
}

const SEQUENCE: Frame = Frame { begin: b"", first: RECORD_SEPARATOR, other: RECORD_SEPARATOR, end: b"", has_ids: false };
const OF_LINES: Frame = Frame { first: b"", other: b"", ..SEQUENCE };
const OF_COLLECTION: Frame = Frame {
    begin: b"{\"type\":\"FeatureCollection\",\"features\":[\n",
    first: b"",
    other: b",",
    end: b"]}\n",
    has_ids: true,
};

fn frame_of(to: &Path) -> Frame {
    match to.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase().as_str() {
        LINES => OF_LINES,
        COLLECTION => OF_COLLECTION,
        _ => SEQUENCE,
    }
}

/// How far a sequence has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Progress {
    /// Bytes that are there for certain.
    bytes: u64,
    layers: Vec<LayerProgress>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct LayerProgress {
    name: String,
    after: Option<i64>,
    rows: u64,
    attachment_after: Option<i64>,
    attachments: u64,
}

/// Writes the features of all layers into one GeoJSON text sequence; into one of lines without separators where its name ends with
/// `.geojsonl`, and into one `FeatureCollection`, with object ids among the properties, where it ends with `.geojson`.
///
/// The file is written beside its destination, under the destination's name with `.new` behind it, and renamed when it is complete. A
/// file beside that one says how far it came. Each [`keep`](FeatureSink::keep) is on the disk when it returns.
#[derive(Debug)]
pub struct GeoJsonSequenceSink {
    to: PathBuf,
    file: BufWriter<File>,
    progress: Progress,
    current: usize,
    layer: Option<(LayerSchema, bool)>,
    frame: Frame,
    writer: FeatureWriter,
    left_out: Vec<String>,
    attachments: u64,
}

fn progress_path(to: &Path) -> PathBuf {
    let mut name = atomic_file::beside(to).file_name().unwrap_or_default().to_owned();
    name.push(PROGRESS);
    to.with_file_name(name)
}

impl GeoJsonSequenceSink {
    /// Begins a file anew; what an earlier process left of it goes.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn create(to: &Path) -> Result<Self, Failure> {
        Self::open(to, Progress::default())
    }

    /// Goes on with a file of which an earlier process wrote a part, or begins it where none did.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn resume(to: &Path) -> Result<Self, Failure> {
        let known = std::fs::read(progress_path(to)).ok().and_then(|json| serde_json::from_slice::<Progress>(&json).ok());
        let there = std::fs::symlink_metadata(atomic_file::beside(to)).ok().filter(std::fs::Metadata::is_file);
        let usable = known.filter(|known| there.is_some_and(|m| m.len() >= known.bytes));
        Self::open(to, usable.unwrap_or_default())
    }

    fn open(to: &Path, progress: Progress) -> Result<Self, Failure> {
        let new = atomic_file::beside(to);
        let failed = |e| Failure::io(FailureStage::Package, format!("cannot write {}", new.display()), &e);
        let mut file = offmap_disk::safe_path::open_to_write(&new).map_err(failed)?;
        // What came behind the last moment at which all was kept is written again.
        file.set_len(progress.bytes).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        let frame = frame_of(to);
        if progress.bytes == 0 {
            file.write_all(frame.begin).map_err(failed)?;
        }
        let mut sink = Self {
            frame,
            to: to.to_owned(),
            file: BufWriter::new(file),
            progress,
            current: 0,
            layer: None,
            writer: FeatureWriter::default(),
            left_out: Vec::new(),
            attachments: 0,
        };
        sink.keep()?;
        Ok(sink)
    }

    fn failed(&self, e: &std::io::Error) -> Failure {
        Failure::io(FailureStage::Package, format!("cannot write {}", atomic_file::beside(&self.to).display()), e)
    }

    fn sync(&mut self) -> std::io::Result<u64> {
        self.file.flush()?;
        self.file.get_ref().sync_data()?;
        self.file.stream_position()
    }
}

impl FeatureSink for GeoJsonSequenceSink {
    fn begin_layer(&mut self, layer: &LayerSchema) -> Result<(Resume, Resume), Failure> {
        let name = &layer.name;
        let is_mercator = match layer.geometry.as_ref().map(|g| &g.spatial_reference) {
            Some(reference) if reference.is_web_mercator() => true,
            Some(reference) if !reference.is_wgs84() => {
                return Err(Failure::not_supported(format!(
                    "layer `{name}` is in {reference}, expected WGS84 or Web Mercator, which GeoJSON can be made of"
                )));
            }
            _ => false,
        };
        if layer.geometry.as_ref().is_some_and(|g| g.has_m) {
            self.left_out.push(format!("the measures of layer `{name}`"));
        }
        self.layer = Some((layer.clone(), is_mercator));
        let known = self.progress.layers.iter().position(|l| l.name == *name);
        self.current = known.unwrap_or_else(|| {
            let new = LayerProgress { name: name.clone(), after: None, rows: 0, attachment_after: None, attachments: 0 };
            self.progress.layers.push(new);
            self.progress.layers.len() - 1
        });
        let there = &self.progress.layers[self.current];
        let attachments = Resume { after: there.attachment_after, rows: there.attachments };
        Ok((Resume { after: there.after, rows: there.rows }, attachments))
    }

    fn put_feature(&mut self, feature: &Feature) -> Result<(), Failure> {
        let Some((layer, is_mercator)) = &self.layer else {
            return Err(Failure::internal("a feature was put before its layer was begun"));
        };
        let is_first = self.progress.layers.iter().all(|layer| layer.rows == 0);
        let written = self.file.write_all(if is_first { self.frame.first } else { self.frame.other });
        let how = Written { is_mercator: *is_mercator, has_id: self.frame.has_ids };
        let written = written.and_then(|()| self.writer.write(layer, feature, how, &mut self.file));
        if let Err(e) = written.and_then(|()| self.file.write_all(b"\n")) {
            if e.kind() == std::io::ErrorKind::InvalidData {
                let message = format!("cannot write row {} of layer `{}` as GeoJSON: {e}", feature.row_id, layer.name);
                return Err(Failure::new(FailureOwner::Source, FailureKind::Corrupt, FailureStage::Package, message));
            }
            return Err(self.failed(&e));
        }
        let progress = &mut self.progress.layers[self.current];
        (progress.after, progress.rows) = (Some(feature.row_id), progress.rows + 1);
        Ok(())
    }

    fn put_attachment(&mut self, attachment: &Attachment, _: &mut dyn Read) -> Result<(), Failure> {
        if let Some(progress) = self.progress.layers.get_mut(self.current) {
            // Not written, so not counted as written; but not asked for again.
            progress.attachment_after = Some(attachment.row_id);
        }
        self.attachments += 1;
        Ok(())
    }

    fn put_relationships(&mut self, relationships: &[Relationship]) -> Result<Vec<String>, Failure> {
        let mut left_out = std::mem::take(&mut self.left_out);
        if self.attachments > 0 {
            left_out.push(format!("{} attachments", self.attachments));
        }
        left_out.extend(relationships.iter().map(|r| format!("relationship `{}`", r.name)));
        Ok(left_out)
    }

    fn keep(&mut self) -> Result<(), Failure> {
        self.progress.bytes = self.sync().map_err(|e| self.failed(&e))?;
        let json = serde_json::to_vec(&self.progress).map_err(|e| Failure::internal(e.to_string()))?;
        let path = progress_path(&self.to);
        let failed = |e: &std::io::Error| Failure::io(FailureStage::Package, format!("cannot write {}", path.display()), e);
        atomic_file::write(&path, failed, |file| file.write_all(&json).map_err(|e| failed(&e)))
    }

    fn finish_file(mut self) -> Result<(), Failure> {
        self.file.write_all(self.frame.end).map_err(|e| self.failed(&e))?;
        self.sync().map_err(|e| self.failed(&e))?;
        let Self { to, file, .. } = self;
        drop(file);
        let failed = |e| Failure::io(FailureStage::Package, format!("cannot put {} in place", to.display()), &e);
        atomic_file::put(&atomic_file::beside(&to), &to).map_err(failed)?;
        // Says nothing without the file that it was about.
        let _ = std::fs::remove_file(progress_path(&to));
        Ok(())
    }
}
