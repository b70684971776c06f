//! Groups of rows that are written, each a complete file of its own within one file beside the destination, and how far that is.

use super::columns::{Group, internal};
use bytes::Bytes;
use offmap_disk::{atomic_file, safe_path};
use offmap_model::{Failure, FailureStage};
use parquet::basic::Compression;
use parquet::column::writer::ColumnCloseResult;
use parquet::errors::Result as ParquetResult;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{WriterProperties, WriterPropertiesPtr};
use parquet::file::reader::FileReader as _;
use parquet::file::serialized_reader::SerializedFileReader;
use parquet::file::writer::SerializedFileWriter;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Ends the names of the groups, and of how far they are.
const PARTS: &str = ".parts";
const PROGRESS: &str = ".progress";

/// How far a layer has come.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Progress {
    /// Name and columns of the layer.
    pub(super) layer: String,
    pub(super) after: Option<i64>,
    pub(super) rows: u64,
    pub(super) attachment_after: Option<i64>,
    pub(super) extent: Option<[f64; 4]>,
    pub(super) has_shapes: bool,
    /// Where each group ends.
    ends: Vec<u64>,
}

impl Progress {
    /// That of a layer of which nothing is there.
    pub(super) fn of(layer: String) -> Self {
        Self { layer, ..Self::default() }
    }
}

/// The groups of a file.
#[derive(Debug)]
pub(super) struct Parts {
    to: PathBuf,
    file: File,
    pub(super) progress: Progress,
}

fn beside(to: &Path, more: &str) -> PathBuf {
    let mut name = atomic_file::beside(to).into_os_string();
    name.push(more);
    PathBuf::from(name)
}

fn failed(path: &Path) -> impl Fn(std::io::Error) -> Failure {
    move |e| Failure::io(FailureStage::Package, format!("cannot write {}", path.display()), &e)
}

fn properties() -> WriterPropertiesPtr {
    let built = WriterProperties::builder().set_compression(Compression::SNAPPY).set_created_by("offmap".to_owned());
    Arc::new(built.build())
}

impl Parts {
    /// Begins anew, or behind what an earlier process kept.
    pub(super) fn open(to: &Path, resume: bool) -> Result<Self, Failure> {
        let path = beside(to, PARTS);
        let known = || serde_json::from_slice::<Progress>(&std::fs::read(beside(to, PROGRESS)).ok()?).ok();
        let there = std::fs::symlink_metadata(&path).ok().filter(std::fs::Metadata::is_file).map(|m| m.len());
        let is_usable = |known: &Progress| {
            let end = known.ends.last().copied().unwrap_or(0);
            known.ends.is_sorted() && there.is_some_and(|there| there >= end)
        };
        let progress = if resume { known().filter(is_usable) } else { None }.unwrap_or_default();
        let mut file = safe_path::open_to_write(&path).map_err(failed(&path))?;
        file.set_len(progress.ends.last().copied().unwrap_or(0)).map_err(failed(&path))?;
        file.seek(SeekFrom::End(0)).map_err(failed(&path))?;
        Ok(Self { to: to.to_owned(), file, progress })
    }

    /// Forgets all groups: another layer begins.
    pub(super) fn begin_anew(&mut self, progress: Progress) -> Result<(), Failure> {
        let path = beside(&self.to, PARTS);
        self.file.set_len(0).and_then(|()| self.file.rewind()).map_err(failed(&path))?;
        self.progress = progress;
        Ok(())
    }

    /// Adds a group, and makes it empty.
    pub(super) fn add(&mut self, group: &mut Group) -> Result<(), Failure> {
        if group.rows == 0 {
            return Ok(());
        }
        let bytes = encode(group).map_err(|e| internal(&e))?;
        let path = beside(&self.to, PARTS);
        self.file.write_all(&bytes).map_err(failed(&path))?;
        let before = self.progress.ends.last().copied().unwrap_or(0);
        self.progress.ends.push(before + bytes.len() as u64);
        group.clear();
        Ok(())
    }

    /// Forces all to the disk.
    pub(super) fn keep(&mut self) -> Result<(), Failure> {
        let path = beside(&self.to, PARTS);
        self.file.sync_data().map_err(failed(&path))?;
        let json = serde_json::to_vec(&self.progress).map_err(|e| Failure::internal(e.to_string()))?;
        let path = beside(&self.to, PROGRESS);
        let io = |e: &std::io::Error| Failure::io(FailureStage::Package, format!("cannot write {}", path.display()), e);
        atomic_file::write(&path, io, |file| file.write_all(&json).map_err(|e| io(&e)))
    }

    /// Joins the groups into the file and gives it its name. One group is held at a time.
    pub(super) fn join(mut self, group: &Group, words: Option<String>) -> Result<(), Failure> {
        let new = atomic_file::beside(&self.to);
        let out = safe_path::open_to_write(&new).map_err(failed(&new))?;
        out.set_len(0).map_err(failed(&new))?;
        let mut writer =
            SerializedFileWriter::new(BufWriter::new(out), group.schema(), properties()).map_err(|e| internal(&e))?;
        self.file.rewind().map_err(failed(&new))?;
        let path = beside(&self.to, PARTS);
        let mut parts = safe_path::open_file(&path).map_err(failed(&path))?;
        let mut before = 0;
        for end in std::mem::take(&mut self.progress.ends) {
            let mut bytes = Vec::new();
            (&mut parts).take(end - before).read_to_end(&mut bytes).map_err(failed(&path))?;
            copy(bytes, &mut writer).map_err(|e| {
                Failure::io(FailureStage::Package, format!("cannot write {}", new.display()), &std::io::Error::other(e))
            })?;
            before = end;
        }
        if let Some(words) = words {
            writer.append_key_value_metadata(KeyValue::new("geo".to_owned(), words));
        }
        let end = |e: parquet::errors::ParquetError| {
            Failure::io(FailureStage::Package, format!("cannot write {}", new.display()), &std::io::Error::other(e))
        };
        let mut out = writer.into_inner().map_err(end)?;
        out.flush().and_then(|()| out.get_ref().sync_all()).map_err(failed(&new))?;
        drop(out);
        atomic_file::put(&new, &self.to).map_err(failed(&self.to))?;
        // Say nothing without the file that they were about.
        let _ = std::fs::remove_file(beside(&self.to, PROGRESS));
        let _ = std::fs::remove_file(path);
        Ok(())
    }
}

/// A group as a file of its own.
fn encode(group: &Group) -> ParquetResult<Vec<u8>> {
    let mut writer = SerializedFileWriter::new(Vec::new(), group.schema(), properties())?;
    let mut rows = writer.next_row_group()?;
    group.write(&mut rows)?;
    rows.close()?;
    writer.into_inner()
}

/// Copies the columns of a file as they are.
fn copy(bytes: Vec<u8>, to: &mut SerializedFileWriter<BufWriter<File>>) -> ParquetResult<()> {
    let bytes = Bytes::from(bytes);
    let reader = SerializedFileReader::new(bytes.clone())?;
    for group in reader.metadata().row_groups() {
        let mut rows = to.next_row_group()?;
        for column in group.columns() {
            let close = ColumnCloseResult {
                bytes_written: column.compressed_size().unsigned_abs(),
                rows_written: group.num_rows().unsigned_abs(),
                metadata: column.clone(),
                bloom_filter: None,
                column_index: None,
                offset_index: None,
            };
            rows.append_column(&bytes, close)?;
        }
        rows.close()?;
    }
    Ok(())
}
