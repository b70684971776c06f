//! The reference base map: a file on the device in place of the map's own base map.
//!
//! Source: ArcGIS Maps SDK reference, `referenceBasemapDirectory` and `referenceBasemapFilename`: both must be set to take effect,
//! a relative directory counts from the parent directory of the package, a missing one fails the job, and both are ignored when
//! base maps are left out.

use crate::model::area::AreaOfInterest;
use crate::model::failure::{Failure, FailureKind};
use crate::model::parameters::GenerateOfflineMapParameters;
use crate::packager::{Packager, ReferenceBasemap};
use std::path::{Path, PathBuf};

/// Whether a base map on the device takes the place of the map's own.
pub(crate) fn is_wanted(parameters: &GenerateOfflineMapParameters) -> bool {
    parameters.include_basemap
        && !parameters.reference_basemap_directory.is_empty()
        && !parameters.reference_basemap_filename.is_empty()
}

/// Finds and reads the base map, before anything is spent. Blocks.
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
        return Err(missing("the reference base map", &file));
    }
    let says = packager.read_basemap(&file)?;
    Ok(Some(ReferenceBasemap { file, directory, says }))
}

/// A warning, if the base map does not cover the area.
pub(crate) fn uncovered(basemap: &ReferenceBasemap, area: &AreaOfInterest) -> Option<String> {
    let extent = basemap.says.extent.as_ref()?;
    let wanted = area.project(extent.spatial_reference.as_ref()?).ok()?.envelope()?;
    let covers = extent.contains([wanted.xmin, wanted.ymin]) && extent.contains([wanted.xmax, wanted.ymax]);
    (!covers).then(|| format!("the reference base map {} does not cover the whole area", basemap.file.display()))
}
