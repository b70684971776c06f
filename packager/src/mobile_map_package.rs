//! Opens a mobile map package, ours or another writer's, without loading its data.
//!
//! Source: mobile map package reference A.1 to A.3 (reading rule).

use crate::manifest::{MANIFEST_PATH, Manifest};
use offmap_disk::path as names;
use offmap_formats::package_files::{Container, damaged};
use offmap_model::{Failure, LayerPlace, MapLayer, OfflineMapItemInfo, Thumbnail, UtilityNetwork, WebMap, json};
use serde::Serialize;
use serde_json::Value;
use std::collections::HashSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// Bytes of all maps and descriptions of a package together that are read, and memory that they may need.
const ALL_DOCUMENTS: u64 = 64 << 20;
const ALL_MEMORY: u64 = 512 << 20;
/// Largest manifest that is read, in bytes.
pub(crate) const LARGEST_MANIFEST: u64 = 128 << 20;
/// Maps of a package, and words of a list in its description, that are read.
const MAX_MAPS: usize = 100;
const MAX_WORDS: usize = 10_000;
/// Bytes of the titles of groups, as often as they stand around a layer.
const MAX_GROUP_TITLES: usize = 64 << 20;

/// Where a layer's data are in a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerFile {
    /// Path in the package; for a reference to a file outside, the address as it stands.
    pub path: String,
    /// `GDB_ServiceItems.ItemId`.
    pub item_id: Option<i64>,
    /// Folder of style, sprites and fonts that goes with it.
    pub resources: Option<String>,
    /// Whether the address leads out of the package, as a reference base map does.
    pub outside: bool,
    /// Size in bytes; `None` if it is not there.
    pub bytes: Option<u64>,
}

/// A layer or table of a map in a package.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OfflineLayer {
    /// Id in the map.
    pub id: String,
    /// Title.
    pub title: String,
    /// Kind of layer.
    pub layer_type: String,
    /// Where in the map.
    pub place: LayerPlace,
    /// Titles of the groups around it.
    pub groups: Vec<String>,
    /// Online address.
    pub url: Option<String>,
    /// Its data; `None` for a layer that is online or has its data in the map.
    pub data: Option<LayerFile>,
}

/// A map in a package.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OfflineMap {
    /// Base name of its document.
    pub name: String,
    /// Path of its document in the package.
    pub path: String,
    /// Title.
    pub title: String,
    /// Item of the online map.
    pub original_portal_item_id: Option<String>,
    /// Its portal.
    pub portal_url: Option<String>,
    /// Layers and tables.
    pub layers: Vec<OfflineLayer>,
    /// The map as web map JSON.
    #[serde(skip)]
    pub map: WebMap,
}

/// An opened package.
#[derive(Debug)]
pub struct MobileMapPackage {
    container: Container,
    info: Value,
    item: OfflineMapItemInfo,
    maps: Vec<OfflineMap>,
    manifest: Option<Result<Manifest, String>>,
}

fn text(value: &Value, keys: &[&str]) -> Option<String> {
    keys.iter().find_map(|key| value.get(*key)).and_then(Value::as_str).filter(|t| !t.is_empty()).map(str::to_owned)
}

fn words(value: &Value, keys: &[&str]) -> Vec<String> {
    let list = keys.iter().find_map(|key| value.get(*key)).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str).take(MAX_WORDS).map(str::to_owned).collect()
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
    let names = words(info, &["maps"]);
    let mut seen = HashSet::new();
    match names.iter().find(|name| !seen.insert(name.as_str())) {
        Some(name) => Err(damaged(path, format!("it lists the map `{}` twice", names::shown(name)))),
        None => Ok(names),
    }
}

/// Bytes of the titles of groups, each counted for every layer in it.
fn group_titles(layers: Option<&Value>, around: usize) -> usize {
    let layers = layers.and_then(Value::as_array).into_iter().flatten();
    layers.fold(0_usize, |all, layer| {
        let own = match layer.get("layerType").and_then(Value::as_str) == Some("GroupLayer") {
            true => {
                let title = layer.get("title").or_else(|| layer.get("id")).and_then(Value::as_str).map_or(0, str::len);
                group_titles(layer.get("layers"), around.saturating_add(title))
            }
            false => around,
        };
        all.saturating_add(own)
    })
}

/// Reads a `file:` address of a map document that lies in `folder`.
fn layer_file(folder: &str, address: &str, resources: Option<&str>, container: &Container) -> LayerFile {
    let (file, query) = address.split_once('?').unwrap_or((address, ""));
    let item_id = query.split('&').find_map(|part| part.strip_prefix("itemId=")?.parse().ok());
    let inside = |address: &str| {
        let relative = address.strip_prefix("file:").unwrap_or(address).trim_start_matches("./");
        let relative = relative.replace("%20", " ").replace("%3F", "?").replace("%23", "#").replace("%25", "%");
        let mut parts: Vec<&str> = folder.split('/').filter(|p| !p.is_empty()).collect();
        if relative.starts_with('/') || relative.contains('\\') {
            return None;
        }
        for part in relative.split('/') {
            match part {
                "" | "." => {}
                ".." => {
                    parts.pop()?;
                }
                part => parts.push(part),
            }
        }
        let path = parts.join("/");
        // What is no path of a package is not in it.
        names::check(&path).is_ok().then_some(path)
    };
    match inside(file) {
        Some(path) => LayerFile {
            bytes: container.size_of(&path),
            path,
            item_id,
            resources: resources.and_then(inside),
            outside: false,
        },
        None => LayerFile { path: address.to_owned(), item_id, resources: None, outside: true, bytes: None },
    }
}

impl MobileMapPackage {
    /// The utility networks of its maps that have their data in it.
    pub(crate) fn networks(&self) -> Vec<(UtilityNetwork, LayerFile)> {
        let of_map = |map: &OfflineMap| {
            let folder = map.path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
            let list = map.map.json().get("utilityNetworks").and_then(Value::as_array).cloned().unwrap_or_default();
            let own = move |network: UtilityNetwork| {
                let address = list.get(network.index)?.get("path")?.as_str()?;
                let file = layer_file(&folder, address, None, &self.container);
                (!file.outside && file.bytes.is_some()).then_some((network, file))
            };
            UtilityNetwork::of(&map.map).into_iter().filter_map(own).collect::<Vec<_>>()
        };
        self.maps.iter().flat_map(of_map).collect()
    }

    /// Opens a package: its directory (not `package.info`), or a `.mmpk`. Blocks; reads documents only, never data.
    ///
    /// # Errors
    /// If it is neither, has no `.info` at its root, or a document of it cannot be read.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let container = Container::open(path)?;
        let files = container.files()?;
        let infos: Vec<&str> =
            files.iter().map(|(n, _)| n.as_str()).filter(|n| n.ends_with(".info") && !n.contains('/')).collect();
        let info_name = match infos.as_slice() {
            [one] => (*one).to_owned(),
            [] => return Err(damaged(path, "the mobile map package is missing a .info file at its root")),
            many => {
                let few = many.get(..3).unwrap_or(many);
                return Err(damaged(path, format!("it has {} .info files at its root, such as {few:?}", many.len())));
            }
        };
        let mut documents = Documents { container: &container, bytes: ALL_DOCUMENTS, memory: ALL_MEMORY };
        let info = documents.json(&info_name)?;
        let mut maps = Vec::new();
        for name in map_names(path, &info)? {
            let document = files.iter().map(|(n, _)| n.as_str()).find(|n| is_document(n, &name));
            let document =
                document.ok_or_else(|| damaged(path, format!("it has no document p*/{}.mmap", names::shown(&name))))?;
            let json = documents.json(document)?;
            maps.push(read_map(&container, &name, document, json)?);
        }
        let thumbnail = text(&info, &["thumbnail"]).and_then(|t| Thumbnail::from_data_uri(&t).ok());
        let item = OfflineMapItemInfo {
            title: text(&info, &["title", "name"]).unwrap_or_default(),
            snippet: text(&info, &["snippet"]).unwrap_or_default(),
            description: text(&info, &["description"]).unwrap_or_default(),
            tags: words(&info, &["tags"]),
            access_information: text(&info, &["accessInformation", "accessinformation"]).unwrap_or_default(),
            terms_of_use: text(&info, &["licenseInfo", "licenseinfo"]).unwrap_or_default(),
            thumbnail,
        };
        let manifest = match files.iter().any(|(n, _)| n == MANIFEST_PATH) {
            true => Some(Manifest::read(&container.read(MANIFEST_PATH, LARGEST_MANIFEST)?)),
            false => None,
        };
        Ok(Self { container, info, item, maps, manifest })
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

    /// The manifest that offmap wrote, where there is one; the words say what is wrong with a broken one.
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

    /// Reads one file of the package whole. Blocks.
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
        let mut file = std::fs::File::create_new(to).map_err(|e| {
            Failure::io(offmap_model::failure::FailureStage::Package, format!("cannot write {}", to.display()), &e)
        })?;
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

/// The part of a map that a layer's pointer leads to.
fn at<'a>(map: &'a serde_json::Map<String, Value>, pointer: &str) -> Option<&'a Value> {
    let pointer = pointer.strip_prefix('/')?;
    let (first, rest) = pointer.split_at(pointer.find('/').unwrap_or(pointer.len()));
    map.get(first)?.pointer(rest)
}

fn read_map(container: &Container, name: &str, path: &str, mut document: Value) -> Result<OfflineMap, Failure> {
    let folder = path.split('/').next().unwrap_or_default();
    let item = document.get("item").cloned().unwrap_or(Value::Null);
    let map = document.get_mut("map").map(Value::take).unwrap_or(Value::Null);
    let map = WebMap::from_value(map).map_err(|f| damaged(container.path(), format!("{path}: {}", f.message)))?;
    let json = map.json();
    let lists = ["/operationalLayers", "/baseMap/baseMapLayers", "/tables"];
    let titles = lists.iter().fold(0_usize, |all, list| all.saturating_add(group_titles(at(json, list), 0)));
    if titles > MAX_GROUP_TITLES {
        let most = MAX_GROUP_TITLES >> 20;
        return Err(damaged(container.path(), format!("{path}: titles of groups around its layers exceed {most} MiB")));
    }
    let layer = |layer: MapLayer| {
        let own = |key: &str| at(json, &layer.pointer).and_then(|l| l.get(key)).and_then(Value::as_str);
        OfflineLayer {
            data: own("path").map(|address| layer_file(folder, address, own("itemPath"), container)),
            layer_type: layer.layer_type.to_string(),
            id: layer.id.clone(),
            title: layer.title.clone(),
            place: layer.place,
            groups: layer.groups.clone(),
            url: layer.url.clone(),
        }
    };
    Ok(OfflineMap {
        name: name.to_owned(),
        path: path.to_owned(),
        title: text(&item, &["title"]).unwrap_or_else(|| name.to_owned()),
        original_portal_item_id: text(&item, &["originalPortalItemId"]),
        portal_url: text(&item, &["portalUrl"]),
        layers: map.layers().into_iter().map(layer).collect(),
        map,
    })
}
