//! A mobile map package as a folder that opens without ArcGIS.
//!
//! | file | what |
//! | --- | --- |
//! | `map.gpkg` | all layers and tables of all geodatabases, and the features that lie in the maps themselves |
//! | `features/*.geojson` | the layers that a map draws, for MapLibre, which reads no GeoPackage |
//! | `tiles/*.pmtiles`, `tiles/*.mbtiles` | each tiled layer; QGIS reads the second form only |
//! | `sprites/`, `fonts/` | images and glyphs of the vector tiled layers |
//! | `style.json`, `sprite*` | the map as a MapLibre style; all its paths are relative to the folder |
//! | `map.qgz` | the map as a QGIS project, which QField opens as well |
//! | `approximations.json` | what is drawn more simply than ArcGIS does, and what is not in the folder, by name and reason |
//! | `manifest.json` | the package, whom to thank, the extent, each file with its size and SHA-256 |
//!
//! The data of a package with several maps are there once; each map has its own `<name>.style.json` and `<name>.qgz`.
//!
//! The folder is absent or whole. What an interrupted call left beside it (`<folder>.new`) is used by the next call with the same
//! request and package: finished files stay, half files of tiles and features go on.
//!
//! ```no_run
//! use offmap_convert::open_folder::{self, FolderRequest};
//! use tokio_util::sync::CancellationToken;
//!
//! let request = FolderRequest::new("alps.mmpk", "alps-open");
//! let folder = open_folder::make(&request, &|_| {}, &CancellationToken::new())?;
//! println!("{} files; left out: {:?}", folder.files, folder.left_out);
//! # Ok::<(), offmap_model::Failure>(())
//! ```

mod capped;
mod check;
mod data_file;
mod documents;
mod feature_files;
mod feature_set;
mod in_degrees;
mod label_points;
mod manifest;
mod manifest_file;
mod names;
mod needs;
mod place;
mod progress;
mod request;
mod resources;
mod sources;
mod staging;
mod tables;
mod tile_files;

pub use check::check_folder;
pub use manifest::{Manifest, ManifestLayer, ManifestMap, ManifestPackage};
pub use request::{FolderProgress, FolderRequest, LeftOut, OpenFolder, TileForm};

use crate::files::source;
use crate::half::Half;
use data_file::DataFiles;
use offmap_model::Failure;
use offmap_packager::MobileMapPackage;
use progress::Parts;
use staging::Staging;
use tokio_util::sync::CancellationToken;

/// Makes the folder. Blocks; `progress` is called often, from this thread.
///
/// # Errors
/// If the destination cannot be used, the package or a file of it is damaged, the disk refuses, or it was cancelled. There is no folder
/// then but the one that was there before.
pub fn make(
    request: &FolderRequest,
    progress: &dyn Fn(FolderProgress<'_>),
    cancel: &CancellationToken,
) -> Result<OpenFolder, Failure> {
    check::check_folder(&request.to, request.overwrite, cancel)?;
    check::check_apart(&request.from, &request.to)?;
    let package = MobileMapPackage::open(&request.from)?;
    let order = request.order(&source::state(&request.from)?)?;
    let half = Half::begin(&request.to, &order)?;
    half.write(request.keep, cancel, |half| {
        let staging = Staging::begin(&request.to)?;
        let folder = fill(&staging, &package, request, progress, cancel)?;
        place::put(&staging, half, request, cancel)?;
        Ok(folder)
    })
}

/// Writes all files of the folder.
fn fill(
    staging: &Staging,
    package: &MobileMapPackage,
    request: &FolderRequest,
    progress: &dyn Fn(FolderProgress<'_>),
    cancel: &CancellationToken,
) -> Result<OpenFolder, Failure> {
    let files = DataFiles::new(package, staging, cancel);
    let maps = needs::of_maps(package)?;
    let mut left_out = Vec::new();
    let tables = tables::open(package, &files, &maps, &mut left_out)?;
    let drawn = tables::drawn_in(&maps, &tables);
    let tiles = needs::tile_layers(&maps);
    let parts = Parts::new(1 + drawn.len() + tiles.len(), progress);
    let features = feature_files::write(staging, &tables, &drawn, &parts, cancel)?;
    left_out.extend(features.left_out.iter().cloned());
    let tiles = tile_files::write(
        &tile_files::Job { staging, files: &files, form: request.tiles, parts: &parts },
        tiles,
        &mut left_out,
    )?;
    let drawing = sources::Drawing { tables: &tables, features: &features, tiles: &tiles, form: request.tiles };
    let written = documents::write(staging, &maps, &drawing, &mut left_out)?;
    staging.end_work()?;
    let told = manifest_file::write(staging, package, &drawing, written.maps, cancel)?;
    Ok(OpenFolder {
        folder: request.to.clone(),
        files: told.files,
        bytes: told.bytes,
        maps: told.manifest.maps,
        layers: told.manifest.layers,
        approximations: written.approximations,
        left_out,
    })
}
