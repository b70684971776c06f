//! What the folder says of itself: `manifest.json`.

use offmap_disk::safe_path;
use offmap_model::json;
use offmap_packager::manifest::ManifestFile;
use serde::{Deserialize, Serialize};
use std::io::Read as _;
use std::path::Path;

/// The file in the folder.
pub(super) const MANIFEST: &str = "manifest.json";
/// What its member `type` says.
pub(super) const TYPE: &str = "offmap open folder";
/// Bytes of the largest manifest that is read, and memory that it may need.
const LARGEST: u64 = 64 << 20;
const MEMORY: u64 = 256 << 20;

/// A map of the folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ManifestMap {
    /// Its title.
    pub title: String,
    /// Its MapLibre style.
    pub style: String,
    /// Its QGIS project.
    pub project: String,
}

/// A layer or table of the folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ManifestLayer {
    /// Its title.
    pub title: String,
    /// Its table in the GeoPackage; of features only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// Its files.
    pub files: Vec<String>,
    /// The file of the package that it comes from.
    pub source: String,
    /// Its rows; of features only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Its attachments.
    #[serde(default, skip_serializing_if = "has_no_attachments")]
    pub attachments: u64,
    /// Whom to thank for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attribution: Option<String>,
}

fn has_no_attachments(count: &u64) -> bool {
    *count == 0
}

/// The package that the folder was made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ManifestPackage {
    /// Its file or directory, without the way there.
    pub name: String,
    /// Its title.
    pub title: String,
    /// A sentence about it.
    pub snippet: String,
    /// Words for search.
    pub tags: Vec<String>,
    /// Whom to thank.
    pub access_information: String,
    /// Terms of its use, as HTML.
    pub terms_of_use: String,
    /// The version that it says.
    pub version: Option<String>,
    /// The items of its maps in their portal.
    pub portal_items: Vec<String>,
}

/// The manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// `offmap open folder`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The version of offmap that made it.
    pub offmap: String,
    /// Where it comes from.
    pub package: ManifestPackage,
    /// `[[xmin, ymin], [xmax, ymax]]` in WGS84 degrees.
    pub extent: Option<[[f64; 2]; 2]>,
    /// Its maps.
    pub maps: Vec<ManifestMap>,
    /// Its layers and tables.
    pub layers: Vec<ManifestLayer>,
    /// Every file but this one.
    pub files: Vec<ManifestFile>,
}

impl Manifest {
    /// Reads the manifest of a folder.
    ///
    /// # Errors
    /// In words, if there is none that was made here.
    pub fn of_folder(folder: &Path) -> Result<Self, String> {
        let mut bytes = Vec::new();
        let opened = safe_path::open_file(&folder.join(MANIFEST));
        let read = opened.and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes));
        read.map_err(|e| format!("{MANIFEST}: {e}"))?;
        if bytes.len() as u64 > LARGEST {
            return Err(format!("{MANIFEST} is larger than {LARGEST} bytes"));
        }
        let manifest: Self = json::read(&bytes, MEMORY).map_err(|e| format!("{MANIFEST}: {e}"))?;
        if manifest.kind != TYPE {
            return Err(format!("{MANIFEST} is of the type `{}`, expected `{TYPE}`", manifest.kind.escape_debug()));
        }
        Ok(manifest)
    }
}
