//! Reads the data files of layers and the folders of resources beside them, each once however many layers are in it, and judges the
//! layers by what is in them: with the readers that a package is verified with.

use offmap_disk::safe_path;
use offmap_formats::containers::{
    self, Damages, ExpectedLayer, Reading, ResourceFiles, Resources, notes_of_missing, of_the_layer,
};
use offmap_formats::{ContainerReader, Containers, Contents};
use offmap_model::{Failure, FailureKind, FailureOwner, FailureStage, LayerContents};
use std::collections::{BTreeSet, HashMap};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Where the data of a layer are.
pub(crate) struct DataPlace<'a> {
    pub(crate) file: &'a Path,
    /// Extension of the file in the package, without dot.
    pub(crate) extension: &'a str,
    pub(crate) resources: Option<&'a Path>,
    /// `GDB_ServiceItems.ItemId` in a geodatabase.
    pub(crate) item_id: Option<i64>,
}

/// What is wrong with the data of a layer.
pub(crate) enum Wrong {
    /// They cannot be read.
    Unreadable(Failure),
    /// They are not what was said of them.
    Damaged(Damages),
}

/// What was read of each file and folder.
pub(crate) struct DataReader<'a> {
    containers: &'a Containers,
    cancel: &'a CancellationToken,
    contents: HashMap<PathBuf, Result<Arc<Contents>, Failure>>,
    resources: HashMap<PathBuf, Result<Resources, Failure>>,
}

impl<'a> DataReader<'a> {
    pub(crate) fn new(containers: &'a Containers, cancel: &'a CancellationToken) -> Self {
        Self { containers, cancel, contents: HashMap::new(), resources: HashMap::new() }
    }

    /// Whether a reader knows files of this extension.
    pub(crate) fn knows(&self, extension: &str) -> bool {
        self.containers.reader(extension).is_some()
    }

    /// Judges a layer; what is missing though no note says so becomes a note. A file that no reader knows is not judged. Blocks.
    ///
    /// # Errors
    /// Where nothing can be said of the layer, as of a disk that cannot be read.
    pub(crate) fn judge(
        &mut self,
        (title, layer): (&str, &mut LayerContents),
        place: &DataPlace<'_>,
        whose: &str,
    ) -> Result<Result<(), Wrong>, Failure> {
        let containers = self.containers;
        let Some(reader) = containers.reader(place.extension) else { return Ok(Ok(())) };
        let contents = match self.contents(reader, place.file)? {
            Ok(contents) => contents,
            Err(failure) => return Ok(Err(Wrong::Unreadable(failure))),
        };
        let resources = match place.resources.map(|folder| self.resources(reader, folder)).transpose()? {
            Some(Err(failure)) => return Ok(Err(Wrong::Unreadable(failure))),
            Some(Ok(resources)) => Some(resources),
            None => None,
        };
        let expected = ExpectedLayer { title, item_id: place.item_id, got: layer.got, attachments: layer.attachments };
        Ok(match containers::judge(&contents, resources.as_ref(), &expected, whose) {
            Ok(missing) => {
                layer.notes.extend(notes_of_missing(missing, &layer.notes));
                Ok(())
            }
            Err(damages) => Err(Wrong::Damaged(damages)),
        })
    }

    /// What is in a file that was read.
    pub(crate) fn read(&self, file: &Path) -> Option<Arc<Contents>> {
        self.contents.get(file)?.as_ref().ok().cloned()
    }

    fn contents(&mut self, reader: &dyn ContainerReader, file: &Path) -> Result<Result<Arc<Contents>, Failure>, Failure> {
        if let Some(read) = self.contents.get(file) {
            return Ok(read.clone());
        }
        let reading = Reading { cancel: self.cancel, report: &|_| {} };
        let read = of_the_layer(reader.read(file, &reading).map(Arc::new))?;
        self.contents.insert(file.to_owned(), read.clone());
        Ok(read)
    }

    fn resources(&mut self, reader: &dyn ContainerReader, folder: &Path) -> Result<Result<Resources, Failure>, Failure> {
        if let Some(read) = self.resources.get(folder) {
            return Ok(read.clone());
        }
        let read = of_the_layer(read_folder(reader, folder))?;
        self.resources.insert(folder.to_owned(), read.clone());
        Ok(read)
    }
}

/// Looks through a folder with the reader of the data that it goes with. Blocks.
fn read_folder(reader: &dyn ContainerReader, folder: &Path) -> Result<Resources, Failure> {
    let names = names_below(folder).map_err(|e| unreadable(folder, &e))?;
    let read = |name: &str, limit: u64| read_file(folder, name, limit);
    reader.read_resources(&ResourceFiles { names, read: &read })
}

pub(crate) fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::io(FailureStage::Check, format!("cannot read {}", path.display()), error)
}

/// Files below a folder, by their paths in it with forward slashes; what is no plain file is none of them.
fn names_below(root: &Path) -> std::io::Result<BTreeSet<String>> {
    let (files, _) = safe_path::plain_files_below(root)?;
    let name = |path: PathBuf| path.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/");
    Ok(files.into_iter().map(name).collect())
}

fn read_file(folder: &Path, name: &str, limit: u64) -> Result<Vec<u8>, Failure> {
    let path: PathBuf = folder.join(name);
    let mut bytes = Vec::new();
    let read = std::fs::File::open(&path).and_then(|file| file.take(limit.saturating_add(1)).read_to_end(&mut bytes));
    read.map_err(|e| unreadable(&path, &e))?;
    if bytes.len() as u64 > limit {
        let message = format!("{name} has more than {limit} bytes");
        return Err(Failure::new(FailureOwner::Source, FailureKind::Corrupt, FailureStage::Check, message));
    }
    Ok(bytes)
}
