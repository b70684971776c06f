//! What an earlier package holds, judged by what is in its files: a layer that its manifest calls succeeded may be gone, changed,
//! damaged, or incomplete, since an older program wrote it or because what wrote it did not look.

use crate::packager::{EarlierData, EarlierPackage};
use crate::resource_folder;
use offmap_disk::hash_file_until;
use offmap_formats::containers::{Damages, ExpectedLayer, Reading, Resources, notes_of_missing, of_the_layer};
use offmap_formats::{Containers, Contents, containers};
use offmap_model::{ExportState, Failure, FailureKind, FailureOwner, FailureStage, LayerOutcome};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// How the files of a package are, compared with what its manifest promises.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// Those that are as promised, and those that are not, with the words for it.
    states: BTreeMap<PathBuf, Option<&'static str>>,
}

/// Words about a file that is there and different, and about one that is not there.
const CHANGED: &str = "is not as its manifest says";
const GONE: &str = "is gone";

impl Files {
    /// Reads every file that the manifest promises. Blocks.
    pub(crate) fn read(earlier: &EarlierPackage, cancel: &CancellationToken) -> Result<Self, Failure> {
        let mut states = BTreeMap::new();
        for file in &earlier.files {
            let state = match hash_file_until(&file.path, cancel) {
                Ok((bytes, sha256)) if bytes == file.bytes && sha256 == file.sha256 => None,
                Err(failure) if failure.is_cancelled() => return Err(failure),
                Err(_) if file.path.symlink_metadata().is_err() => Some(GONE),
                _ => Some(CHANGED),
            };
            states.insert(file.path.clone(), state);
        }
        Ok(Self { states })
    }

    /// What is wrong with a file, or with one of a folder.
    fn wrong_at(&self, path: &Path) -> Option<(PathBuf, &'static str)> {
        let mut own = self.states.range(path.to_owned()..).take_while(|(p, _)| p.starts_with(path)).peekable();
        if own.peek().is_none() {
            // Nothing promises it.
            return Some((path.to_owned(), CHANGED));
        }
        own.find_map(|(p, state)| Some((p.clone(), (*state)?)))
    }

    fn in_words(&self, package: &Path, earlier: &EarlierPackage, tell: impl Fn(&Path, &str) -> bool) -> Damages {
        let mut found = Damages::default();
        for (path, state) in &self.states {
            if let Some(words) = state.filter(|words| tell(path, words)) {
                found.add(format!("{} {words}", shown(package, path)));
            }
        }
        earlier.unlisted.iter().for_each(|path| found.add(format!("{} was added", shown(package, path))));
        found
    }

    /// Checks that nothing in a package was changed since it was made. Data of layers that somebody edited, and files that somebody
    /// added, would be destroyed by completing it. What is gone is made anew, and the job that it was made by is no loss.
    ///
    /// # Errors
    /// If there are such; the message names them.
    pub(crate) fn check_unchanged(&self, package: &Path, earlier: &EarlierPackage) -> Result<(), Failure> {
        let found = self.in_words(package, earlier, |path, words| words == CHANGED && *path != earlier.document_file);
        if found.is_empty() {
            return Ok(());
        }
        let message = format!(
            "the package {} was changed since it was made ({}); completing it would destroy that, so it stays as it is: save \
             what was changed (synchronise or copy it), remove the changed files, which are then fetched again, and complete it, or \
             take the map to another place",
            package.display(),
            found.words()
        );
        Err(Failure::new(FailureOwner::Caller, FailureKind::DestinationNotUsable, FailureStage::Read, message))
    }

    /// Checks that a package none of whose layers failed is whole: by the same files that verifying it looks at.
    ///
    /// # Errors
    /// If a file was changed, is gone, or was added; the message names them.
    pub(crate) fn check_whole(&self, package: &Path, earlier: &EarlierPackage) -> Result<(), Failure> {
        let found = self.in_words(package, earlier, |_, _| true);
        if found.is_empty() || earlier.layers.iter().any(LayerOutcome::is_error) {
            return Ok(());
        }
        let message = format!(
            "the package {} has all of its layers and is not as it was made ({}); it stays as it is: bring its files back from a \
             copy, or take the map to another place",
            package.display(),
            found.words()
        );
        Err(Failure::new(FailureOwner::Storage, FailureKind::Corrupt, FailureStage::Check, message))
    }
}

fn shown(package: &Path, path: &Path) -> String {
    path.strip_prefix(package).unwrap_or(path).display().to_string()
}

/// What is read of each file and folder once, however many layers are in it.
struct Reader<'a> {
    containers: &'a Containers,
    reading: Reading<'a>,
    contents: HashMap<PathBuf, Option<Result<Arc<Contents>, Failure>>>,
    resources: HashMap<PathBuf, Result<Resources, Failure>>,
}

fn extension(path: &Path) -> &str {
    path.extension().and_then(|e| e.to_str()).unwrap_or_default()
}

impl Reader<'_> {
    fn contents(&mut self, file: &Path) -> Result<Option<Result<Arc<Contents>, Failure>>, Failure> {
        if let Some(read) = self.contents.get(file) {
            return Ok(read.clone());
        }
        let read = match self.containers.reader(extension(file)) {
            Some(reader) => Some(of_the_layer(reader.read(file, &self.reading).map(Arc::new))?),
            None => None,
        };
        self.contents.insert(file.to_owned(), read.clone());
        Ok(read)
    }

    fn resources(&mut self, folder: &Path, of: &Path) -> Result<Result<Resources, Failure>, Failure> {
        if let Some(read) = self.resources.get(folder) {
            return Ok(read.clone());
        }
        let read = match self.containers.reader(extension(of)) {
            Some(reader) => of_the_layer(resource_folder::read(reader, folder))?,
            None => Ok(Resources::default()),
        };
        self.resources.insert(folder.to_owned(), read.clone());
        Ok(read)
    }

    /// What is wrong with a layer's data; what they lack though no note says so becomes a note.
    fn judge(&mut self, layer: &mut LayerOutcome, data: &EarlierData) -> Result<Result<(), Failure>, Failure> {
        let contents = match self.contents(&data.file)? {
            None => return Ok(Ok(())),
            Some(Ok(contents)) => contents,
            Some(Err(failure)) => return Ok(Err(failure)),
        };
        let resources = match &data.resources {
            None => None,
            Some(folder) => match self.resources(folder, &data.file)? {
                Ok(resources) => Some(resources),
                Err(failure) => return Ok(Err(failure)),
            },
        };
        let (title, item_id) = (layer.title.as_str(), data.item_id);
        let expected = ExpectedLayer { title, item_id, got: layer.contents.got, attachments: layer.contents.attachments };
        let missing = match containers::judge(&contents, resources.as_ref(), &expected, "the manifest") {
            Ok(missing) => missing,
            Err(damages) => return Ok(Err(damaged(title, &damages.words()))),
        };
        layer.contents.notes.extend(notes_of_missing(missing, &layer.contents.notes));
        Ok(Ok(()))
    }
}

fn damaged(title: &str, words: &str) -> Failure {
    let message = format!("the data of layer \"{title}\" in the package are damaged: {words}");
    Failure::new(FailureOwner::Source, FailureKind::Corrupt, FailureStage::Check, message)
}

/// How the layers of an earlier package are.
pub(crate) struct Judged {
    /// How its files are.
    pub(crate) files: Files,
    /// Layers that succeeded, and whose data are there and good.
    pub(crate) good: HashSet<String>,
    /// Why the others that its manifest calls succeeded are not.
    pub(crate) failed: Vec<(String, Failure)>,
}

/// Reads all of a package. A layer that its manifest calls succeeded and whose data are gone, changed or damaged inside has failed from
/// then on; what is missing and untold becomes its note. Blocks: reads every byte.
pub(crate) fn judge(
    earlier: &mut EarlierPackage,
    containers: &Containers,
    cancel: &CancellationToken,
) -> Result<Judged, Failure> {
    let files = Files::read(earlier, cancel)?;
    let reading = Reading { cancel, report: &|_| {} };
    let mut reader = Reader { containers, reading, contents: HashMap::new(), resources: HashMap::new() };
    let mut judged = Judged { files, good: HashSet::new(), failed: Vec::new() };
    let data: HashMap<&str, &EarlierData> = earlier.data.iter().map(|d| (d.id.as_str(), d)).collect();
    let lost: HashSet<&str> = earlier.lost.iter().map(String::as_str).collect();
    for layer in earlier.layers.iter_mut().filter(|l| l.state == ExportState::Succeeded) {
        let found = match data.get(layer.id.as_str()) {
            None if lost.contains(layer.id.as_str()) => Err(damaged(&layer.title, "they are not there")),
            // It is online, or embedded in the map.
            None => continue,
            Some(own) => {
                let paths = [Some(&own.file), own.resources.as_ref()];
                match paths.into_iter().flatten().find_map(|path| judged.files.wrong_at(path)) {
                    Some((path, words)) => {
                        let name = path.file_name().unwrap_or_default().to_string_lossy();
                        Err(damaged(&layer.title, &format!("{name} {words}")))
                    }
                    None => reader.judge(layer, own)?,
                }
            }
        };
        match found {
            Ok(()) => drop(judged.good.insert(layer.id.clone())),
            Err(failure) => {
                let failure = failure.for_layer(&layer.id);
                layer.state = ExportState::Failed;
                layer.failure = Some(failure.clone());
                judged.failed.push((layer.id.clone(), failure));
            }
        }
    }
    Ok(judged)
}

/// Says again which layers were found damaged, as an earlier run did.
pub(crate) fn mark(earlier: &mut EarlierPackage, damaged: &[(String, Failure)]) {
    for layer in &mut earlier.layers {
        if let Some((_, failure)) = damaged.iter().find(|(id, _)| *id == layer.id) {
            layer.state = ExportState::Failed;
            layer.failure = Some(failure.clone());
        }
    }
}
