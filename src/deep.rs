//! Proves a package down to every row and tile: opens each container that it holds.

use crate::exporters::{geodatabase, packed_style, tile_package};
use crate::packager::{
    LayerFile, MobileMapPackage, OfflineLayer, Problem, Verification, manifest::ManifestLayer, verify_until,
};
use crate::{ExportState, Failure, FailureStage, LayerNoteKind};
use offmap_formats::json;
use offmap_formats::style::{self, Missing};
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Time to open all containers of a package, and for each MiB of it: whoever makes many that take long gains nothing.
const BASE_TIME: Duration = Duration::from_secs(600);
const TIME_PER_MIB: Duration = Duration::from_secs(1);
/// Largest style that is read, and memory that it may need, in bytes.
const LARGEST_STYLE: u64 = 64 << 20;
const STYLE_MEMORY: u64 = 256 << 20;

/// Verifies a package as [`verify`](crate::packager::verify) does, then opens every container in it and compares what is inside
/// with the manifest: rows of geodatabases, tiles of tile packages (each one's bytes are read), fonts and sprites of styles. A
/// layer of the map that is neither online nor has data is found, too. Blocks; an archive's containers are unpacked one after
/// the other to a directory for temporary files.
///
/// # Errors
/// If there is no such package, or it cannot be read at all. What is wrong inside is in the [`Verification`].
pub fn verify_deep(path: &Path) -> Result<Verification, Failure> {
    verify_deep_until(path, &CancellationToken::new())
}

/// Verifies a package as [`verify_deep`] does, until `cancel` is cancelled.
///
/// # Errors
/// As [`verify_deep`]; also if it was cancelled.
pub fn verify_deep_until(path: &Path, cancel: &CancellationToken) -> Result<Verification, Failure> {
    let mut found = verify_until(path, cancel)?;
    if !found.ok {
        return Ok(found);
    }
    let package = MobileMapPackage::open(path)?;
    let manifest = package.manifest().and_then(Result::ok);
    let mut deep = Deep {
        package: &package,
        layers: manifest.iter().flat_map(|m| &m.layers).map(|l| (l.id.as_str(), l)).collect(),
        files: package.files()?.into_iter().map(|(path, _)| path).collect(),
        problems: Vec::new(),
        opened: HashMap::new(),
        styles: HashMap::new(),
        lacking: Vec::new(),
        cancel,
    };
    let until = Instant::now() + time_for(found.bytes);
    for layer in package.maps().iter().flat_map(|m| &m.layers) {
        if cancel.is_cancelled() {
            return Err(Failure::cancelled());
        }
        if Instant::now() >= until {
            let seconds = time_for(found.bytes).as_secs();
            let what = format!("opening its containers took longer than {seconds} seconds; the rest was not opened");
            deep.problem("(time)", what);
            break;
        }
        deep.layer(layer)?;
    }
    found.lacking.extend(deep.lacking);
    found.problems.extend(deep.problems);
    found.ok = found.problems.is_empty();
    Ok(found)
}

fn time_for(bytes: u64) -> Duration {
    let pieces = u32::try_from(bytes >> 20).unwrap_or(u32::MAX);
    BASE_TIME.saturating_add(TIME_PER_MIB.saturating_mul(pieces))
}

/// What a container holds: rows by item id, or tiles in all.
#[derive(Debug, Clone)]
enum Inside {
    Rows(HashMap<i64, (u64, Option<u64>)>),
    Tiles(u64),
    Unknown,
}

struct Deep<'a> {
    package: &'a MobileMapPackage,
    /// What the manifest says of layers, by id.
    layers: HashMap<&'a str, &'a ManifestLayer>,
    /// Paths of all files.
    files: BTreeSet<String>,
    problems: Vec<Problem>,
    /// What is missing of layers of a package that has no manifest.
    lacking: Vec<String>,
    /// Containers that were opened, and what styles lack, by their folder or container: each once.
    opened: HashMap<String, Inside>,
    styles: HashMap<String, Vec<Missing>>,
    cancel: &'a CancellationToken,
}

impl Deep<'_> {
    fn problem(&mut self, file: &str, what: impl Into<String>) {
        self.problems.push(Problem { file: file.to_owned(), what: what.into() });
    }

    fn layer(&mut self, layer: &OfflineLayer) -> Result<(), Failure> {
        let proof = self.layers.get(layer.id.as_str()).copied();
        let Some(data) = layer.data.clone() else {
            let is_promised = proof.is_some_and(|p| p.state == ExportState::Succeeded && p.file.is_some());
            if is_promised || (layer.url.is_none() && proof.is_some_and(|p| p.got > 0)) {
                self.problem(&layer.title, "the map has this layer without its data");
            }
            return Ok(());
        };
        if data.outside {
            return Ok(());
        }
        if !self.opened.contains_key(&data.path) {
            let inside = self.open(&data.path)?;
            self.opened.insert(data.path.clone(), inside);
        }
        self.drawn_by(layer, &data)?;
        let Some(proof) = proof else { return Ok(()) };
        match self.opened.get(&data.path).cloned() {
            Some(Inside::Rows(rows)) => match data.item_id.and_then(|id| rows.get(&id)).copied() {
                None => self.problem(&data.path, format!("it has no table for layer \"{}\"", layer.title)),
                Some((rows, _)) if rows != proof.got => {
                    self.problem(
                        &data.path,
                        format!("layer \"{}\" has {rows} rows, the manifest says {}", layer.title, proof.got),
                    );
                }
                Some((_, attachments)) if attachments != proof.attachments => {
                    let (found, told) = (attachments.unwrap_or(0), proof.attachments.unwrap_or(0));
                    let what = format!("layer \"{}\" has {found} attachments, the manifest says {told}", layer.title);
                    self.problem(&data.path, what);
                }
                Some(_) => {}
            },
            Some(Inside::Tiles(tiles)) if tiles != proof.got => {
                self.problem(&data.path, format!("it has {tiles} tiles, the manifest says {}", proof.got));
            }
            _ => {}
        }
        Ok(())
    }

    /// Opens a container; one that is damaged is a problem.
    fn open(&mut self, name: &str) -> Result<Inside, Failure> {
        let (path, _kept) = self.file(name)?;
        let inside = match path.extension().and_then(|e| e.to_str()) {
            Some("geodatabase") => geodatabase::rows(&path, self.cancel).map(Inside::Rows),
            Some("tpkx" | "tpk" | "vtpk") => self.tiles(name, &path),
            _ => Ok(Inside::Unknown),
        };
        match inside {
            Err(failure) if failure.is_cancelled() => Err(failure),
            Err(failure) => {
                self.problem(name, failure.message);
                Ok(Inside::Unknown)
            }
            Ok(inside) => Ok(inside),
        }
    }

    /// Tiles of a tile package; what the style in one of vector tiles lacks is kept for its layers.
    fn tiles(&mut self, name: &str, path: &Path) -> Result<Inside, Failure> {
        let tiles = tile_package::check_tiles(path, self.cancel)?;
        self.styles.insert(name.to_owned(), packed_style::missing_resources(path)?);
        Ok(Inside::Tiles(tiles))
    }

    /// A file of the package on the disk, and the directory that holds it if it had to be unpacked.
    fn file(&self, name: &str) -> Result<(PathBuf, Option<tempfile::TempDir>), Failure> {
        if !self.package.is_archive() {
            return Ok((self.package.path().join(name), None));
        }
        let unpacked = tempfile::tempdir()
            .map_err(|e| Failure::io(FailureStage::Check, "cannot make a directory for temporary files", &e))?;
        let plain = Path::new(name).file_name().unwrap_or_default();
        let file = self.package.extract_until(name, &unpacked.path().join(plain), self.cancel)?;
        Ok((file, Some(unpacked)))
    }

    /// The style of a folder of resources: whether it can be read, and what it needs and does not find there.
    fn style_in(&mut self, folder: &str) -> Result<Vec<Missing>, Failure> {
        let name = format!("{folder}/styles/root.json");
        if !self.files.contains(&name) {
            return Ok(vec![Missing::Style]);
        }
        let text = self.package.read(&name, LARGEST_STYLE)?;
        match json::read::<Value>(&text, STYLE_MEMORY) {
            Ok(style) => Ok(style::missing(&style, &name, &self.files)),
            Err(words) => {
                self.problem(&name, format!("the style is not JSON: {words}"));
                Ok(Vec::new())
            }
        }
    }

    /// What a layer is drawn with: its own style, or the one in its package. What is missing there and no note of the layer says is a
    /// damage; without a manifest it is missing.
    fn drawn_by(&mut self, layer: &OfflineLayer, data: &LayerFile) -> Result<(), Failure> {
        let place = data.resources.as_ref().unwrap_or(&data.path);
        if let Some(folder) = data.resources.as_ref().filter(|folder| !self.styles.contains_key(*folder)) {
            let found = self.style_in(folder)?;
            self.styles.insert(folder.clone(), found);
        }
        let missing = self.styles.get(place).cloned().unwrap_or_default();
        let proof = self.layers.get(layer.id.as_str()).copied();
        for words in missing.iter().map(Missing::to_string) {
            let mut notes = proof.into_iter().flat_map(|p| &p.notes).filter(|n| n.kind == LayerNoteKind::Missing);
            match proof {
                None => self.lacking.push(format!("{}: {words} of its style", layer.title)),
                Some(_) if notes.any(|note| note.message.contains(&words)) => {}
                Some(_) => self.problem(place, format!("layer \"{}\" needs {words}, which is missing", layer.title)),
            }
        }
        Ok(())
    }
}
