//! Verifies a package down to every row and tile: opens each container that it holds.
//!
//! The readers of containers are given: this crate knows no format of data. A packager verifies by this code before it puts a package
//! in place, so that what it calls complete is called complete later.

use crate::manifest::ManifestLayer;
use crate::mobile_map_package::MobileMapPackage;
use crate::offline_map::{LayerFile, OfflineLayer};
use crate::verification::Verification;
use crate::verify::{AlreadyRead, verify_opened};
use offmap_formats::containers::{Counted, Damages, ExpectedLayer, Reading, ResourceFiles, Resources, untold};
use offmap_formats::{Containers, Contents};
use offmap_model::{ExportState, Failure, FailureKind, FailureStage};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Time to open all containers of a package, and for each MiB of it: whoever makes many that take long gains nothing.
const BASE_TIME: Duration = Duration::from_secs(600);
const TIME_PER_MIB: Duration = Duration::from_secs(1);

/// Verifies a package as [`verify`](crate::verify) does, then opens every container in it that `containers` knows, and compares what is
/// inside with the manifest: rows and attachments of geodatabases, tiles of tile packages (each one's bytes are read), fonts and
/// sprites of styles. One damage does not hide the next. A layer of the map that is neither online nor has data is found, too. Data in
/// a format that `containers` does not know are named in [`Verification::not_read`]. Blocks;
/// an archive's containers are unpacked one after the other to a directory for temporary files.
///
/// # Errors
/// If there is no such package, or it cannot be read at all. What is wrong inside is in the [`Verification`].
pub fn verify_deep(path: &Path, containers: &Containers) -> Result<Verification, Failure> {
    verify_deep_until(path, containers, &CancellationToken::new())
}

/// Verifies a package as [`verify_deep`] does, until `cancel` is cancelled.
///
/// # Errors
/// As [`verify_deep`]; also if it was cancelled.
pub fn verify_deep_until(path: &Path, containers: &Containers, cancel: &CancellationToken) -> Result<Verification, Failure> {
    verify_all(path, containers, cancel, &|_| {}, None)
}

/// Verifies a package as [`verify_deep_until`] does, but for what was read a moment ago; `report` takes bytes that are read.
pub(crate) fn verify_staged(
    path: &Path,
    containers: &Containers,
    cancel: &CancellationToken,
    report: &dyn Fn(u64),
    read: &AlreadyRead<'_>,
) -> Result<Verification, Failure> {
    verify_all(path, containers, cancel, report, Some(read))
}

fn verify_all(
    path: &Path,
    containers: &Containers,
    cancel: &CancellationToken,
    report: &dyn Fn(u64),
    read: Option<&AlreadyRead<'_>>,
) -> Result<Verification, Failure> {
    let (found, package) = verify_opened(path, cancel, report, read)?;
    let Some(package) = package else { return Ok(found) };
    let manifest = package.manifest().and_then(Result::ok);
    let until = Instant::now() + time_for(found.bytes);
    let mut deep = Deep {
        package: &package,
        containers,
        layers: manifest.iter().flat_map(|m| &m.layers).map(|l| (l.id.as_str(), l)).collect(),
        files: package.listed(),
        found,
        read,
        opened: HashMap::new(),
        resources: HashMap::new(),
        reading: Reading { cancel, report },
    };
    for layer in package.maps().iter().flat_map(|m| &m.layers) {
        deep.reading.go_on(0)?;
        if Instant::now() >= until {
            let seconds = time_for(deep.found.bytes).as_secs();
            let what = format!("opening its containers took longer than {seconds} seconds; the rest was not opened");
            deep.found.problem("(time)", what);
            break;
        }
        deep.layer(layer)?;
    }
    Ok(deep.found)
}

fn time_for(bytes: u64) -> Duration {
    let pieces = u32::try_from(bytes >> 20).unwrap_or(u32::MAX);
    BASE_TIME.saturating_add(TIME_PER_MIB.saturating_mul(pieces))
}

fn extension(name: &str) -> &str {
    Path::new(name).extension().and_then(|e| e.to_str()).unwrap_or_default()
}

struct Deep<'a> {
    package: &'a MobileMapPackage,
    containers: &'a Containers,
    /// What the manifest says of layers, by id.
    layers: HashMap<&'a str, &'a ManifestLayer>,
    /// Paths of all files.
    files: &'a BTreeMap<String, u64>,
    found: Verification,
    read: Option<&'a AlreadyRead<'a>>,
    /// What is in containers that could be read, and in folders of resources: each is read once.
    opened: HashMap<String, Option<Arc<Contents>>>,
    resources: HashMap<String, Resources>,
    reading: Reading<'a>,
}

impl Deep<'_> {
    fn problems(&mut self, file: &str, damages: &Damages) {
        damages.named().iter().for_each(|what| self.found.problem(file, what.clone()));
        self.found.more_problems = self.found.more_problems.saturating_add(damages.more());
    }

    fn layer(&mut self, layer: &OfflineLayer) -> Result<(), Failure> {
        let promise = self.layers.get(layer.id.as_str()).copied();
        let Some(data) = layer.data.clone() else {
            let is_promised = promise.is_some_and(|p| p.state == ExportState::Succeeded && p.file.is_some());
            if is_promised || (layer.url.is_none() && promise.is_some_and(|p| p.contents.got > 0)) {
                self.found.problem(&layer.title, "the map has this layer without its data".to_owned());
            }
            return Ok(());
        };
        // What is not there is a problem already.
        if data.outside || data.bytes.is_none() {
            return Ok(());
        }
        if self.containers.reader(extension(&data.path)).is_none() {
            let format = extension(&data.path);
            self.found.not_read.push(format!("{}: the data of \"{}\": no reader of .{format}", data.path, layer.title));
            return Ok(());
        }
        let Some(contents) = self.contents(&data.path)? else { return Ok(()) };
        let item_id = data.item_id;
        match (promise, &contents.counted) {
            (Some(p), _) => {
                let expected =
                    ExpectedLayer { title: &layer.title, item_id, got: p.contents.got, attachments: p.contents.attachments };
                let damages = contents.differences(&expected, "the manifest");
                self.problems(&data.path, &damages);
            }
            (None, Counted::Rows(items)) => {
                if let Some(item) = item_id.and_then(|id| items.get(&id)) {
                    self.problems(&data.path, &item.damages);
                }
            }
            (None, _) => {}
        }
        self.drawn_by(layer, &data, &contents)
    }

    /// What is in a container, read once.
    fn contents(&mut self, name: &str) -> Result<Option<Arc<Contents>>, Failure> {
        if let Some(contents) = self.opened.get(name) {
            return Ok(contents.clone());
        }
        let contents = match self.already_read(name) {
            Some(contents) => {
                self.problems(name, &contents.damages);
                Some(contents)
            }
            None => self.open(name)?.map(Arc::new),
        };
        self.opened.insert(name.to_owned(), contents.clone());
        Ok(contents)
    }

    /// What is in a file whose bytes were read before.
    fn already_read(&self, name: &str) -> Option<Arc<Contents>> {
        let read = self.read?;
        read.contents.get(&read.files.get(name)?.sha256).cloned()
    }

    /// Opens a container; one that is damaged is a problem.
    fn open(&mut self, name: &str) -> Result<Option<Contents>, Failure> {
        let Some(reader) = self.containers.reader(extension(name)) else { return Ok(None) };
        let (path, _kept) = self.file(name)?;
        match reader.read(&path, &self.reading) {
            Ok(contents) => {
                self.problems(name, &contents.damages);
                Ok(Some(contents))
            }
            Err(failure) if failure.is_cancelled() => Err(failure),
            Err(failure) => {
                self.found.problem(name, failure.message);
                Ok(None)
            }
        }
    }

    /// A file of the package on the disk, and the directory that holds it if it had to be unpacked.
    fn file(&self, name: &str) -> Result<(PathBuf, Option<tempfile::TempDir>), Failure> {
        if !self.package.is_archive() {
            return Ok((self.package.path().join(name), None));
        }
        let unpacked = tempfile::tempdir()
            .map_err(|e| Failure::io(FailureStage::Check, "cannot make a directory for temporary files", &e))?;
        let plain = Path::new(name).file_name().unwrap_or_default();
        let file = self.package.extract_until(name, &unpacked.path().join(plain), self.reading.cancel)?;
        Ok((file, Some(unpacked)))
    }

    /// What a layer is drawn with: its own folder of resources, or what lies in its container. What is missing there and no note of the
    /// layer says is a damage; without a manifest it is missing.
    fn drawn_by(&mut self, layer: &OfflineLayer, data: &LayerFile, contents: &Contents) -> Result<(), Failure> {
        let (place, missing) = match &data.resources {
            None => (&data.path, contents.missing.clone()),
            Some(folder) => {
                let found = match self.resources.get(folder) {
                    Some(found) => found.clone(),
                    None => {
                        let found = self.resources_in(folder, &data.path)?;
                        self.problems(folder, &found.damages);
                        self.resources.insert(folder.clone(), found.clone());
                        found
                    }
                };
                (folder, found.missing)
            }
        };
        match self.layers.get(layer.id.as_str()) {
            None => {
                let named = missing.iter().map(|name| format!("{}: {name} of its style", layer.title));
                self.found.missing.extend(named);
            }
            Some(promise) => {
                for name in untold(&missing, &promise.contents.notes) {
                    let what = format!("layer \"{}\" needs {name}, which is missing", layer.title);
                    self.found.problem(place, what);
                }
            }
        }
        Ok(())
    }

    fn resources_in(&self, folder: &str, of: &str) -> Result<Resources, Failure> {
        let Some(reader) = self.containers.reader(extension(of)) else { return Ok(Resources::default()) };
        let prefix = format!("{folder}/");
        let below = self.files.range(prefix.clone()..).map(|(name, _)| name).take_while(|name| name.starts_with(&prefix));
        let names = below.filter_map(|name| name.strip_prefix(&prefix)).map(str::to_owned).collect();
        let read = |name: &str, limit: u64| self.package.read(&format!("{prefix}{name}"), limit);
        match reader.read_resources(&ResourceFiles { names, read: &read }) {
            Err(failure) if failure.kind == FailureKind::Corrupt => {
                let mut damages = Damages::default();
                damages.add(failure.message);
                Ok(Resources { damages, ..Resources::default() })
            }
            resources => resources,
        }
    }
}
