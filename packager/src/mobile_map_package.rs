//! Opens a mobile map package, ours or another writer's, without loading its data.
//!
//! Source: mobile map package reference A.1 to A.3 (reading rule).

use crate::manifest::{LARGEST_MANIFEST, MANIFEST_PATH, Manifest};
use crate::offline_map::{LayerFile, OfflineMap};
use offmap_disk::path as names;
use offmap_formats::package_files::{Container, damaged};
use offmap_model::{Failure, FailureStage, OfflineMapItemInfo, Thumbnail, UtilityNetwork, json};
use serde_json::Value;
use std::collections::{BTreeMap, HashSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// Bytes of all maps and descriptions of a package together that are read, and memory that they may need.
const ALL_DOCUMENTS: u64 = 64 << 20;
const ALL_MEMORY: u64 = 512 << 20;
/// Maps of a package, and texts of a list in its description, that are read.
const MAX_MAPS: usize = 100;
const MAX_TEXTS: usize = 10_000;

/// An opened package.
///
/// ```no_run
/// use offmap_packager::MobileMapPackage;
///
/// let package = MobileMapPackage::open("alps.mmpk".as_ref())?;
/// for layer in package.maps().iter().flat_map(|map| &map.layers) {
///     match &layer.data {
///         Some(data) => println!("{}: {}", layer.title, data.path),
///         None => println!("{}: online, or embedded in the map", layer.title),
///     }
/// }
/// # Ok::<_, offmap_model::Failure>(())
/// ```
#[derive(Debug)]
pub struct MobileMapPackage {
    container: Container,
    /// Its files when it was opened, by path.
    files: BTreeMap<String, u64>,
    info: Value,
    item: OfflineMapItemInfo,
    maps: Vec<OfflineMap>,
    manifest: Option<Result<Manifest, String>>,
}

fn text(value: &Value, keys: &[&str]) -> Option<String> {
    keys.iter().find_map(|key| value.get(*key)).and_then(Value::as_str).filter(|t| !t.is_empty()).map(str::to_owned)
}

fn texts(value: &Value, keys: &[&str]) -> Vec<String> {
    let list = keys.iter().find_map(|key| value.get(*key)).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).take(MAX_TEXTS).map(str::to_owned).collect()
}

/// The documents of a package, as long as they are within its limits together.
struct Documents<'a> {
    container: &'a Container,
    bytes: u64,
    memory: u64,
}

impl Documents<'_> {
    fn json(&mut self, name: &str) -> Result<Value, Failure> {
        let bytes = self.container.read(name, self.bytes)?;
        let value = json::read(&bytes, self.memory).map_err(|e| damaged(self.container.path(), format!("{name}: {e}")))?;
        self.bytes = self.bytes.saturating_sub(bytes.len() as u64);
        self.memory = self.memory.saturating_sub(json::memory_of(&bytes));
        Ok(value)
    }
}

/// The maps that a description names: not too many, each once.
fn map_names(path: &Path, info: &Value) -> Result<Vec<String>, Failure> {
    let listed = info.get("maps").and_then(Value::as_array).map_or(0, Vec::len);
    if listed > MAX_MAPS {
        return Err(damaged(path, format!("it lists {listed} maps, expected at most {MAX_MAPS}")));
    }
    let names = texts(info, &["maps"]);
    let mut seen = HashSet::new();
    match names.iter().find(|name| !seen.insert(name.as_str())) {
        Some(name) => Err(damaged(path, format!("it lists the map `{}` twice", names::shown(name)))),
        None => Ok(names),
    }
}

/// The one `.info` at the root of a package.
fn info_name<'a>(path: &Path, files: &'a BTreeMap<String, u64>) -> Result<&'a str, Failure> {
    let is_info = |name: &&str| name.ends_with(".info") && !name.contains('/');
    let infos: Vec<&str> = files.keys().map(String::as_str).filter(is_info).collect();
    match infos.as_slice() {
        [one] => Ok(one),
        [] => Err(damaged(path, "the mobile map package is missing a .info file at its root")),
        many => {
            let few = many.get(..3).unwrap_or(many);
            Err(damaged(path, format!("it has {} .info files at its root, such as {few:?}", many.len())))
        }
    }
}

/// A package's metadata, in the spellings of all writers.
fn item_of(info: &Value) -> OfflineMapItemInfo {
    let own = |keys: &[&str]| text(info, keys).unwrap_or_default();
    OfflineMapItemInfo {
        title: own(&["title", "name"]),
        snippet: own(&["snippet"]),
        description: own(&["description"]),
        tags: texts(info, &["tags"]),
        access_information: own(&["accessInformation", "accessinformation"]),
        terms_of_use: own(&["licenseInfo", "licenseinfo"]),
        thumbnail: text(info, &["thumbnail"]).and_then(|t| Thumbnail::from_data_uri(&t).ok()),
    }
}

impl MobileMapPackage {
    /// The utility networks of its maps that have their data in it.
    pub(crate) fn networks(&self) -> Vec<(UtilityNetwork, LayerFile)> {
        self.maps.iter().flat_map(|map| map.networks(&self.files)).collect()
    }

    /// Opens a package: its directory (not `package.info`), or a `.mmpk`. Blocks; reads documents only, never data.
    ///
    /// # Errors
    /// If it is neither, has no `.info` at its root, or a document of it cannot be read.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let container = Container::open(path)?;
        let files: BTreeMap<String, u64> = container.files()?.into_iter().collect();
        let manifest = match files.contains_key(MANIFEST_PATH) {
            true => Some(Manifest::read(&container.read(MANIFEST_PATH, LARGEST_MANIFEST)?)),
            false => None,
        };
        Self::of(container, files, manifest)
    }

    /// Opens a package of which all files and the manifest are known.
    pub(crate) fn of(
        container: Container,
        files: BTreeMap<String, u64>,
        manifest: Option<Result<Manifest, String>>,
    ) -> Result<Self, Failure> {
        let path = container.path();
        let mut documents = Documents { container: &container, bytes: ALL_DOCUMENTS, memory: ALL_MEMORY };
        let info = documents.json(info_name(path, &files)?)?;
        let mut maps = Vec::new();
        for name in map_names(path, &info)? {
            let document = files.keys().map(String::as_str).find(|n| is_document(n, &name));
            let document =
                document.ok_or_else(|| damaged(path, format!("it has no document p*/{}.mmap", names::shown(&name))))?;
            let json = documents.json(document)?;
            maps.push(OfflineMap::read(path, &files, (&name, document), json)?);
        }
        Ok(Self { item: item_of(&info), container, files, info, maps, manifest })
    }

    /// Its files when it was opened, with their sizes.
    pub(crate) fn listed(&self) -> &BTreeMap<String, u64> {
        &self.files
    }

    /// Where it was opened from.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.container.path()
    }

    /// Whether it is an archive rather than a directory.
    #[must_use]
    pub fn is_archive(&self) -> bool {
        self.container.is_archive()
    }

    /// The package's metadata.
    #[must_use]
    pub fn item(&self) -> &OfflineMapItemInfo {
        &self.item
    }

    /// The package version, such as `3.2`.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.info.get("version").and_then(Value::as_str)
    }

    /// `[[xmin, ymin], [xmax, ymax]]` in WGS84 degrees: of the package, else of its first map.
    #[must_use]
    pub fn extent(&self) -> Option<[[f64; 2]; 2]> {
        self.info.get("extent").cloned().and_then(|v| serde_json::from_value(v).ok())
    }

    /// Its maps.
    #[must_use]
    pub fn maps(&self) -> &[OfflineMap] {
        &self.maps
    }

    /// Where the data of a layer are, by the JSON of the layer in a map of this package; `None` where it says nothing of a file.
    #[must_use]
    pub fn file_of_layer(&self, map: &OfflineMap, layer: &Value) -> Option<LayerFile> {
        map.place_of(layer, &self.files)
    }

    /// The manifest that offmap wrote, where there is one; of a damaged one, what is wrong with it.
    #[must_use]
    pub fn manifest(&self) -> Option<Result<&Manifest, &str>> {
        self.manifest.as_ref().map(|m| m.as_ref().map_err(String::as_str))
    }

    /// Every file with its size.
    ///
    /// # Errors
    /// If they cannot be listed.
    pub fn files(&self) -> Result<Vec<(String, u64)>, Failure> {
        self.container.files()
    }

    /// Reads all of one file of the package. Blocks.
    ///
    /// # Errors
    /// If it is not there, is no regular file, or has more than `limit` bytes.
    pub fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, Failure> {
        self.container.read(name, limit)
    }

    /// Writes one file of the package to `to`, for readers that want a file of its own. Blocks.
    ///
    /// # Errors
    /// If it is not there, is no regular file, or cannot be written.
    pub fn extract(&self, name: &str, to: &Path) -> Result<PathBuf, Failure> {
        self.extract_until(name, to, &CancellationToken::new())
    }

    /// Writes one file of the package as [`MobileMapPackage::extract`] does, until `cancel` is cancelled.
    ///
    /// # Errors
    /// As [`MobileMapPackage::extract`]; also if it was cancelled.
    pub fn extract_until(&self, name: &str, to: &Path, cancel: &CancellationToken) -> Result<PathBuf, Failure> {
        let mut file = std::fs::File::create_new(to)
            .map_err(|e| Failure::io(FailureStage::Package, format!("cannot write {}", to.display()), &e))?;
        self.container.copy(name, cancel, |part| file.write_all(part))?;
        Ok(to.to_owned())
    }
}

/// Whether an entry is `p<digits>/<name>.mmap`.
fn is_document(entry: &str, name: &str) -> bool {
    let Some((folder, file)) = entry.split_once('/') else { return false };
    let digits = folder.strip_prefix('p').unwrap_or_default();
    !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit()) && file.strip_suffix(".mmap") == Some(name)
}
