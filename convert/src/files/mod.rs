//! Converts a file of tiles or features into one of another format.
//!
//! | from | to |
//! | --- | --- |
//! | tiles: `.tpkx`, `.vtpk`, `.tpk`, a cache in a directory, `.mbtiles`, `.pmtiles` | `.tpkx`, `.vtpk`, `.mbtiles`, `.pmtiles` |
//! | features: `.geodatabase`, `.gpkg` | `.gpkg`, `.geodatabase`, `.geojsons`, `.geojsonl`, one layer: `.parquet` (feature `geoparquet`) |
//!
//! What the source is, its content tells; what is written, the ending of its name. The file that is written is absent or complete. What
//! an interrupted call left beside it is used by the next call with the same request and the same source, and by no other one.
//!
//! ```no_run
//! use offmap_convert::files::{self, Request};
//! use tokio_util::sync::CancellationToken;
//!
//! let request = Request::new("imagery.tpkx", "imagery.pmtiles");
//! let converted = files::convert(&request, &|_| {}, &CancellationToken::new())?;
//! println!("{} bytes; left out: {:?}", converted.bytes, converted.left_out);
//! # Ok::<(), offmap_model::Failure>(())
//! ```

mod destination;
mod endings;
mod feature_files;
mod request;
pub(crate) mod selected;
pub(crate) mod source;
mod tile_files;

pub use request::{Converted, ConvertedLayer, FileProgress, Request};

use crate::half::Half;
use endings::Written;
use offmap_model::Failure;
use source::Source;
use std::path::Path;
use tokio_util::sync::CancellationToken;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Tiles.
    Tiles,
    /// Features.
    Features,
}

/// What a file of this name holds, by its ending.
///
/// # Errors
/// If no such file is written.
pub fn content_of(to: &Path) -> Result<Content, Failure> {
    Ok(match endings::of_destination(to)? {
        Written::Tiles => Content::Tiles,
        _ => Content::Features,
    })
}

/// Whether the file of a request may be written: it is absent or may be overwritten, and its directory is there. Blocks; the source need
/// not be there yet.
///
/// # Errors
/// That it may not.
pub fn check_destination(request: &Request) -> Result<(), Failure> {
    destination::check(request, endings::of_destination(&request.to)?)
}

/// Whether a file of this name holds tiles of a kind, before there are any: vector tiles, or pictures.
///
/// # Errors
/// That it does not, and which one does.
pub fn check_tiles(to: &Path, is_vector: bool) -> Result<(), Failure> {
    offmap_formats::convert::check_holds(to, is_vector).map_err(|failure| Failure::invalid_parameter(failure.message))
}

/// Converts a file. Blocks; `progress` is called often, from this thread.
///
/// # Errors
/// If the request cannot be done (all of it is checked before anything is written), the source is damaged, the disk refuses, or it was
/// cancelled. There is no file then but the one that was there before.
pub fn convert(
    request: &Request,
    progress: &dyn Fn(FileProgress),
    cancel: &CancellationToken,
) -> Result<Converted, Failure> {
    let written = endings::of_destination(&request.to)?;
    destination::check(request, written)?;
    let source = source::open(&request.from, cancel)?;
    check_fits(request, written, &source)?;
    let order = request.order(&source::state(&request.from)?)?;
    match source {
        Source::Tiles(reader) => {
            let selection = tile_files::selection(request, reader.info())?;
            let half = Half::begin(&request.to, &order)?;
            half.write(request.keep, cancel, |_| tile_files::convert(reader, request, &selection, progress, cancel))
        }
        Source::Features(file) => {
            let (selected, left_out) = feature_files::choose(&file, request, progress, cancel)?;
            feature_files::check_fits(&selected, request)?;
            let half = Half::begin(&request.to, &order)?;
            half.write(request.keep, cancel, |_| feature_files::convert(&selected, request, written, left_out))
        }
    }
}

/// Refuses tiles as features, features as tiles, and selections that the source does not have.
fn check_fits(request: &Request, written: Written, source: &Source) -> Result<(), Failure> {
    let (from, to) = (request.from.display(), request.to.display());
    let refused = |what: String| Err(Failure::invalid_parameter(what));
    match (source, written) {
        (Source::Features(_), Written::Tiles) => {
            refused(format!("{from} holds features and {to} would hold tiles; write one of {}", endings::of_features()))
        }
        (Source::Tiles(_), written) if written != Written::Tiles => {
            refused(format!("{from} holds tiles and {to} would hold features; write one of {}", endings::of_tiles()))
        }
        (Source::Tiles(_), Written::Tiles) if !request.layers.is_empty() => {
            refused(format!("{from} holds tiles, whose layers cannot be chosen; leave the layers out"))
        }
        (Source::Features(_), _) if request.levels.is_some() => {
            refused(format!("{from} holds features, which have no levels; leave the levels out"))
        }
        _ => Ok(()),
    }
}
