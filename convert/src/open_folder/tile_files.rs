//! Tiled layers as PMTiles and MBTiles.

use super::data_file::DataFiles;
use super::names::Names;
use super::needs::TileNeed;
use super::progress::Parts;
use super::request::{LeftOut, TileForm};
use super::resources::{self, From, Resources};
use super::staging::{Staging, failed};
use crate::cartography::TileFiles;
use crate::files::FileProgress;
use crate::half::remove_all;
use offmap_formats::containers::Reading;
use offmap_formats::convert::{self, TileSelection, open_reader, open_sink};
use offmap_formats::{TileFormat, TileSetInfo};
use offmap_model::{Failure, FailureKind};
use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// A file of tiles in the folder.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TileLayer {
    pub(super) title: String,
    /// The file in the package.
    pub(super) origin: String,
    pub(super) files: TileFiles,
    pub(super) is_vector: bool,
    pub(super) tile_size: u32,
    /// First and last zoom level of the web.
    pub(super) levels: Option<(u8, u8)>,
    pub(super) attribution: Option<String>,
    pub(super) resources: Resources,
}

/// All tiled layers.
pub(super) type TileLayers = HashMap<TileNeed, TileLayer>;

/// Where tiles come from and go to.
pub(super) struct Job<'a> {
    pub(super) staging: &'a Staging,
    pub(super) files: &'a DataFiles<'a>,
    pub(super) form: TileForm,
    pub(super) parts: &'a Parts<'a>,
}

/// Writes the tiles of all layers; what no reader of tiles knows is left out by name.
pub(super) fn write(
    job: &Job<'_>,
    wanted: Vec<(TileNeed, String)>,
    left_out: &mut Vec<LeftOut>,
) -> Result<TileLayers, Failure> {
    let (mut names, mut fonts) = (Names::default(), HashSet::new());
    let mut layers = TileLayers::new();
    let mut done: HashMap<String, (String, TileLayer)> = HashMap::new();
    for (need, title) in wanted {
        job.files.go_on()?;
        job.parts.next_part();
        let path = job.files.at(&need.file)?;
        let name = names.file(&title);
        let written = match done.get(&need.file) {
            Some((_, known)) => Ok(known.clone()),
            None => job.layer(&path, &name, &title, &need.file),
        };
        let written = written.and_then(|layer| Ok((job.resources(&path, &need, &layer, &name, &mut fonts)?, layer)));
        match written {
            Ok((resources, layer)) => {
                done.insert(need.file.clone(), (name, layer.clone()));
                layers.insert(need, TileLayer { title, resources, ..layer });
            }
            Err(failure) if failure.kind == FailureKind::NotSupported => {
                left_out.push(LeftOut { layer: title, reason: failure.message });
            }
            Err(failure) => return Err(failure),
        }
    }
    for file in done.keys() {
        job.files.done_with(&job.files.at(file)?)?;
    }
    Ok(layers)
}

impl Job<'_> {
    /// Writes the tiles of a file.
    fn layer(&self, path: &Path, name: &str, title: &str, origin: &str) -> Result<TileLayer, Failure> {
        let info = open_reader(path, self.files.cancel())?.info().clone();
        if info.format == TileFormat::Lerc {
            return Err(Failure::not_supported("its tiles are numbers (LERC), no images that a reader draws"));
        }
        let of = |ending: &str| -> Result<Option<String>, Failure> {
            let file = format!("tiles/{name}.{ending}");
            self.one_form(path, &info, &file)?;
            Ok(Some(file))
        };
        let (pmtiles, mbtiles) = match self.form {
            TileForm::Both => (of("pmtiles")?, of("mbtiles")?),
            TileForm::Pmtiles => (of("pmtiles")?, None),
            TileForm::Mbtiles => (None, of("mbtiles")?),
        };
        let files = TileFiles { pmtiles, mbtiles };
        let first = files.pmtiles.as_ref().or(files.mbtiles.as_ref()).map(|file| self.staging.path_to(file)).transpose()?;
        let levels = match first {
            Some(file) => open_reader(&file, self.files.cancel())?.info().levels,
            None => None,
        };
        Ok(TileLayer {
            title: title.to_owned(),
            origin: origin.to_owned(),
            files,
            is_vector: info.format.is_vector(),
            tile_size: info.scheme.cols,
            levels: levels.and_then(|(first, last)| Some((u8::try_from(first).ok()?, u8::try_from(last).ok()?))),
            attribution: info.attribution,
            resources: Resources::default(),
        })
    }

    /// Writes the tiles in one form, unless an earlier call has.
    fn one_form(&self, path: &Path, info: &TileSetInfo, file: &str) -> Result<(), Failure> {
        let to = self.staging.path_to(file)?;
        if to.exists() {
            return Ok(());
        }
        let written = self.copy(path, info, file, &to);
        if written.as_ref().is_err_and(|failure| failure.kind == FailureKind::NotSupported) {
            remove_all(&to).map_err(|e| failed(format!("cannot remove the half of {file}"), &e))?;
        }
        written
    }

    fn copy(&self, path: &Path, info: &TileSetInfo, file: &str, to: &Path) -> Result<(), Failure> {
        let (cancel, all) = (self.files.cancel(), TileSelection::default());
        let mut reader = open_reader(path, cancel)?;
        let sink = open_sink(to, &convert::with_vector_layers(info.clone(), reader.as_mut(), &all, cancel)?)?;
        let is_resumed = sink.resumed().tiles > 0;
        let of = std::fs::metadata(path).ok().map(|found| found.len()).filter(|_| !is_resumed);
        let done = Cell::new(0_u64);
        let report = |bytes| {
            done.set(done.get().saturating_add(bytes));
            self.parts.tell(file, FileProgress::Bytes { done: of.map_or(done.get(), |of| of.min(done.get())), of });
        };
        let reading = Reading { cancel, report: &report };
        convert::tiles(reader.as_mut(), sink, &all, &reading).map(drop)
    }

    /// Writes style, sprites and fonts of vector tiles.
    fn resources(
        &self,
        path: &Path,
        need: &TileNeed,
        layer: &TileLayer,
        name: &str,
        fonts: &mut HashSet<String>,
    ) -> Result<Resources, Failure> {
        if !layer.is_vector {
            return Ok(Resources::default());
        }
        if let Some(folder) = &need.resources {
            let from = From::Folder { files: self.files, folder: folder.clone() };
            let found = resources::write(self.staging, name, from, fonts)?;
            if !found.style.is_null() {
                return Ok(found);
            }
        }
        let from = From::TilePackage(open_reader(path, self.files.cancel())?);
        resources::write(self.staging, name, from, fonts)
    }
}
