//! The reference basemap: a file on the device in place of the map's own basemap.
//!
//! Source: ArcGIS Maps SDK reference, `referenceBasemapDirectory` and `referenceBasemapFilename`: both must be set to take effect,
//! a relative directory counts from the parent directory of the package, a missing one fails the job, and both are ignored when
//! basemaps are left out.

use crate::packager::{Packager, ReferenceBasemap};
use offmap_model::{AreaOfInterest, Failure, FailureKind, GenerateOfflineMapParameters};
use std::path::{Path, PathBuf};

/// Whether a basemap on the device takes the place of the map's own.
pub(crate) fn is_wanted(parameters: &GenerateOfflineMapParameters) -> bool {
    parameters.include_basemap
        && !parameters.reference_basemap_directory.is_empty()
        && !parameters.reference_basemap_filename.is_empty()
}

/// Finds and reads the basemap, before anything is spent. Blocks.
pub(crate) fn find(
    parameters: &GenerateOfflineMapParameters,
    destination: &Path,
    packager: &dyn Packager,
) -> Result<Option<ReferenceBasemap>, Failure> {
    if !is_wanted(parameters) {
        return Ok(None);
    }
    let directory = PathBuf::from(&parameters.reference_basemap_directory);
    let name = &parameters.reference_basemap_filename;
    if Path::new(name).file_name().is_none_or(|n| n != name.as_str()) {
        return Err(Failure::invalid_parameter(format!("referenceBasemapFilename `{name}` is not a plain file name")));
    }
    // An absolute directory takes the place of the parent in the join.
    let from = destination.parent().unwrap_or(destination).join(&directory);
    let missing = |what: &str, path: &Path| {
        let mut failure = Failure::invalid_parameter(format!("{what} {} is not there", path.display()));
        failure.kind = FailureKind::NotFound;
        failure
    };
    if !from.is_dir() {
        return Err(missing("referenceBasemapDirectory", &from));
    }
    let file = from.join(name);
    if !file.is_file() {
        return Err(missing("the reference basemap", &file));
    }
    let says = packager.read_basemap(&file)?;
    Ok(Some(ReferenceBasemap { file, directory, says }))
}

/// A warning, if the basemap does not cover the area, or if that cannot be judged.
pub(crate) fn uncovered(basemap: &ReferenceBasemap, area: &AreaOfInterest) -> Option<String> {
    let file = basemap.file.display();
    let unknown = |why: &str| {
        Some(format!(
            "it is not known whether the reference basemap {file} covers the area: {why}; look at it before going out"
        ))
    };
    let Some(extent) = &basemap.says.extent else { return unknown("it does not say what it covers") };
    let Some(spatial_reference) = extent.spatial_reference.as_ref().or(basemap.says.spatial_reference.as_ref()) else {
        return unknown("it has no spatial reference");
    };
    let parts = match spatial_reference.check().and_then(|()| area.parts_in(spatial_reference)) {
        Ok(parts) => parts,
        Err(failure) => return unknown(&failure.message),
    };
    let covers = |part: AreaOfInterest| {
        part.envelope().is_some_and(|e| extent.contains([e.xmin, e.ymin]) && extent.contains([e.xmax, e.ymax]))
    };
    let covers = parts.into_iter().all(covers);
    (!covers).then(|| format!("the reference basemap {file} does not cover the whole area"))
}
