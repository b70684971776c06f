//! The contract of a packager: what makes the package out of what was exported.

use async_trait::async_trait;
use offmap_formats::{Containers, Contents};
use offmap_model::{
    Artifact, Envelope, ExportState, Failure, LayerOutcome, LayerType, OfflineMapPlan, OfflineMapSource, SecretRegistry,
    SpatialReference,
};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// What one task downloaded, and where it lies.
#[derive(Debug, Clone)]
pub struct TaskArtifact {
    /// The task's id in the plan.
    pub task: String,
    /// The task's work directory; paths in the artifact are below it.
    pub work_dir: PathBuf,
    /// What it downloaded.
    pub artifact: Artifact,
}

/// A basemap that is on the device already and takes the place of the map's own.
#[derive(Debug, Clone, PartialEq)]
pub struct ReferenceBasemap {
    /// The file.
    pub file: PathBuf,
    /// The directory as the caller gave it: absolute, or relative to the parent directory of the package.
    pub directory: PathBuf,
    /// What the file says of itself.
    pub says: LocalBasemap,
}

/// What a local `.tpk`, `.tpkx` or `.vtpk` says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct LocalBasemap {
    /// Raster or vector tiles.
    pub layer_type: LayerType,
    /// Its spatial reference, which becomes the offline map's.
    pub spatial_reference: Option<SpatialReference>,
    /// What it covers.
    pub extent: Option<Envelope>,
}

/// Where, beside the staging directory, a packager puts a package that is being replaced.
pub const REPLACED: &str = "replaced";

/// What is in files that were read in this run, by the SHA-256 of their bytes. A packager that finds the same bytes knows what is in
/// them without reading them once more.
pub type ReadContents = HashMap<String, Arc<Contents>>;

/// All that a packager is given.
#[derive(Debug, Clone)]
pub struct PackRequest {
    /// The job's id.
    pub job: String,
    /// The job as JSON without credentials, to keep in the package.
    pub document: String,
    /// Whether the package takes the place of an earlier one at the destination.
    pub replaces: bool,
    /// Whether the caller wants that earlier package replaced whatever is in the new one; it must not have been changed meanwhile.
    pub overwrites: bool,
    /// What is taken out of everything that is written.
    pub secrets: SecretRegistry,
    /// The map and its surroundings.
    pub source: Arc<OfflineMapSource>,
    /// The plan.
    pub plan: Arc<OfflineMapPlan>,
    /// What was exported, one entry per task that did.
    pub artifacts: Vec<TaskArtifact>,
    /// The basemap on the device that takes the place of the map's own.
    pub basemap: Option<ReferenceBasemap>,
    /// What reads the data files of the package before it is put in place.
    pub containers: Containers,
    /// What is in those that were read already.
    pub contents: ReadContents,
    /// How each layer and table ended, in the order of the map.
    pub layers: Vec<LayerOutcome>,
    /// A private directory on the destination's file system, to stage in.
    pub staging_dir: PathBuf,
    /// Where the package goes; absent or empty.
    pub destination: PathBuf,
    /// When the package is made, in milliseconds since 1970 UTC.
    pub created: i64,
}

/// A package that was made before.
#[derive(Debug, Clone, PartialEq)]
pub struct EarlierPackage {
    /// Id of the job that made it.
    pub job: String,
    /// Whether the caller wants it replaced whatever is in the new one.
    pub is_overwritten: bool,
    /// That job as JSON.
    pub document: String,
    /// How each layer and table ended.
    pub layers: Vec<LayerOutcome>,
    /// Where the data of layers are.
    pub data: Vec<EarlierData>,
    /// Ids of layers and tables that are in its map without data of their own: they are online, or embedded in the map.
    pub without_data: Vec<String>,
    /// The utility networks of its map that lie in it.
    pub networks: Vec<EarlierNetwork>,
    /// Ids of layers and tables that its manifest calls succeeded and whose data are not in it.
    pub lost: Vec<String>,
    /// The file that [`document`](Self::document) was read from.
    pub document_file: PathBuf,
    /// Every file that its manifest promises.
    pub files: Vec<EarlierFile>,
    /// Files that are in it though its manifest does not promise them.
    pub unlisted: Vec<PathBuf>,
    /// Its size on disk in bytes.
    pub bytes: u64,
}

/// Where the data of a layer are in a package that was made before.
#[derive(Debug, Clone, PartialEq)]
pub struct EarlierData {
    /// Id of the layer or table.
    pub id: String,
    /// Its file.
    pub file: PathBuf,
    /// `GDB_ServiceItems.ItemId` in a geodatabase.
    pub item_id: Option<i64>,
    /// The folder of its item resources.
    pub resources: Option<PathBuf>,
    /// The exporter that brought it.
    pub exporter: Option<String>,
    /// Whether that exporter downloaded it directly.
    pub direct_download: bool,
    /// Whether its tiles were drawn on demand.
    pub drawn: bool,
    /// URL of the layer or its service.
    pub url: Option<String>,
    /// How many attachments were planned, where they were counted.
    pub attachments_planned: Option<u64>,
    /// Attribution.
    pub attribution: Option<String>,
    /// When its data were last edited, in milliseconds since 1970 UTC.
    pub edit_date: Option<i64>,
}

/// Where a utility network is in a package that was made before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EarlierNetwork {
    /// Its url, without query.
    pub url: String,
    /// Its file.
    pub file: PathBuf,
    /// Its id in the service, and in the file.
    pub service_layer_id: u32,
}

/// A file of a package that was made before, as its manifest promises it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EarlierFile {
    /// Where it is.
    pub path: PathBuf,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
}

/// What a new package would do to the one that it is to replace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replacement {
    /// It holds all that the earlier one holds, and more.
    Gains,
    /// It holds the same layers.
    Same,
    /// It holds less: the first layer that would be lost, in words.
    Loses(String),
}

impl EarlierPackage {
    /// Judges a package that is to take this one's place: every layer that succeeded must be there with as much as before, but where
    /// the caller wants it overwritten.
    #[must_use]
    pub fn replaced_by(&self, layers: &[LayerOutcome]) -> Replacement {
        if self.is_overwritten {
            return Replacement::Gains;
        }
        let mut gains = false;
        let by_id: HashMap<(&str, bool), &LayerOutcome> =
            layers.iter().rev().map(|l| ((l.id.as_str(), l.is_table), l)).collect();
        let succeeded = |l: &LayerOutcome| l.state == ExportState::Succeeded;
        for old in &self.layers {
            let new = by_id.get(&(old.id.as_str(), old.is_table)).copied();
            let lost = match new {
                None => Some("is not in the new one at all".to_owned()),
                Some(new) if succeeded(old) && !succeeded(new) => Some("succeeded and would be missing".to_owned()),
                Some(new) if succeeded(old) && new.contents.got < old.contents.got => {
                    Some(format!("has {} of what the new one has {} of", old.contents.got, new.contents.got))
                }
                Some(new)
                    if succeeded(old) && new.contents.attachments.unwrap_or(0) < old.contents.attachments.unwrap_or(0) =>
                {
                    Some("has more attachments".to_owned())
                }
                Some(new) => {
                    gains |= succeeded(new) && !succeeded(old);
                    None
                }
            };
            if let Some(what) = lost {
                return Replacement::Loses(format!("layer \"{}\" {what}", old.title));
            }
        }
        if gains { Replacement::Gains } else { Replacement::Same }
    }
}

/// A finished package.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Packed {
    /// The package's directory.
    pub path: PathBuf,
    /// Its size on disk in bytes.
    pub bytes: u64,
    /// Number of its files.
    pub files: u64,
}

/// Makes the package: stage, verify down to every row and tile, rename into place. At every moment the destination is absent (or the empty directory
/// that it was), or complete and verified.
#[async_trait]
pub trait Packager: Debug + Send + Sync + 'static {
    /// Checks that a package can be made at the destination, before anything is spent.
    ///
    /// # Errors
    /// If it exists and is not an empty directory, or its parent cannot be used.
    fn check_destination(&self, destination: &Path) -> Result<(), Failure>;

    /// Reads what a basemap on the device says of itself, before anything is spent. Blocks.
    ///
    /// # Errors
    /// If it is no basemap, or this packager knows none.
    fn read_basemap(&self, file: &Path) -> Result<LocalBasemap, Failure> {
        Err(Failure::not_supported(format!("this packager takes no reference basemap ({})", file.display())))
    }

    /// Reads back a package that this packager made, to complete it or to see which job made it. Blocks.
    ///
    /// # Errors
    /// If it is no package of this packager.
    fn read_package(&self, package: &Path) -> Result<EarlierPackage, Failure> {
        Err(Failure::not_supported(format!("this packager cannot read {} back", package.display())))
    }

    /// Makes the package. `report` takes how much is done of how much in all, writing and verifying counted in; the engine shows it
    /// as per cent, of which the last one is the package at its place.
    ///
    /// # Errors
    /// If it cannot be written or does not verify; the destination is then as it was before.
    ///
    /// # Cancel safety
    /// Dropping the future may leave files in the staging directory, never at the destination.
    async fn pack(
        &self,
        request: PackRequest,
        report: Arc<dyn Fn(u64, u64) + Send + Sync>,
        cancel: CancellationToken,
    ) -> Result<Packed, Failure>;
}
