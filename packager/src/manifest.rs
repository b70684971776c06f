//! The manifest: what verifies a package. It lies in the package as `offmap/manifest.json`.
//!
//! Format `offmap-manifest`, version 1 (JSON schema: `manifest.schema.json` beside this crate's `Cargo.toml`): every file with size and SHA-256, every layer planned against got, where the data came
//! from, when they were last edited, attributions and terms, and every failure. `digest` is the SHA-256 of the manifest file
//! itself with the digest's own 64 digits read as zeros, so that no byte of the package is unverified.

use offmap_disk::{hex, path as names, sha256_of};
use offmap_model::{AreaOfInterest, CountUnit, ExportState, Failure, LayerContents, LayerNoteKind};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::HashSet;

/// Where the manifest is in a package.
pub const MANIFEST_PATH: &str = "offmap/manifest.json";
/// The manifest's format.
pub const FORMAT: &str = "offmap-manifest";
/// The version of the format that this code writes.
pub const VERSION: u32 = 1;
/// Largest manifest that is read, in bytes.
pub(crate) const LARGEST_MANIFEST: u64 = 128 << 20;
/// Layers that a manifest may list.
const MAX_LAYERS: usize = 100_000;
/// Memory that a manifest may need, in bytes.
const MEMORY: u64 = 768 << 20;
/// A digest that is not computed yet.
const NO_DIGEST: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// One file of a package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ManifestFile {
    /// Path in the package, with forward slashes.
    pub path: String,
    /// Size in bytes.
    pub bytes: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
}

/// One layer or table of the map.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ManifestLayer {
    /// Id in the map.
    pub id: String,
    /// Title.
    pub title: String,
    /// Whether it is a table.
    pub is_table: bool,
    /// What kind of layer it is online, as the map says; a layer of an image service is a tiled one in the package.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer_type: Option<String>,
    /// How it ended.
    pub state: ExportState,
    /// What is there of it, and what is missing.
    #[serde(flatten)]
    pub contents: LayerContents,
    /// How many attachments were planned, where they were counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attachments_planned: Option<u64>,
    /// What is counted.
    pub count_unit: CountUnit,
    /// Its file in the package.
    pub file: Option<String>,
    /// URL of the layer, else of its service.
    #[serde(rename = "address")]
    pub url: Option<String>,
    /// The exporter that exported it.
    pub exporter: Option<String>,
    /// Whether that exporter downloaded it directly, piece by piece, because the service offers no export or was not asked for one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub direct_download: bool,
    /// Whether its tiles are pictures that the service drew on demand for this package, not tiles of its own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drawn: bool,
    /// When its data were last edited, in milliseconds since 1970 UTC.
    pub edit_date: Option<i64>,
    /// Attribution: the service's, and that of the layer's item.
    pub attribution: Option<String>,
    /// Terms of use of the layer's item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terms_of_use: Option<String>,
    /// Why it is missing.
    pub failure: Option<Failure>,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// `offmap-manifest`.
    pub format: String,
    /// Version of the format.
    pub version: u32,
    /// SHA-256 of this file with these digits as zeros.
    pub digest: String,
    /// Program and version that made the package.
    pub generator: String,
    /// Id of the job.
    pub job: String,
    /// Milliseconds since 1970 UTC.
    pub created: i64,
    /// Whether every layer and table that was wanted is there, and nothing of them is missing.
    pub complete: bool,
    /// Portal of the map.
    pub portal_url: Option<String>,
    /// Item of the map.
    pub item_id: Option<String>,
    /// Attribution of the map.
    pub access_information: Option<String>,
    /// Terms of use of the map.
    pub terms_of_use: Option<String>,
    /// The area that was exported.
    pub area_of_interest: AreaOfInterest,
    /// Far limit of scales.
    pub min_scale: f64,
    /// Near limit of scales.
    pub max_scale: f64,
    /// Every file but this one, by path.
    pub files: Vec<ManifestFile>,
    /// Every layer and table of the map, in its order.
    pub layers: Vec<ManifestLayer>,
    /// Things worth knowing that are no failures.
    pub warnings: Vec<String>,
}

/// SHA-256 of a text in which the first place of `digest` reads as zeros.
fn digest_of(text: &str, digest: &str) -> String {
    let mut hasher = Sha256::new();
    match text.split_once(digest) {
        Some((before, after)) => [before, NO_DIGEST, after].iter().for_each(|part| hasher.update(part.as_bytes())),
        None => hasher.update(text.as_bytes()),
    }
    hex(hasher.finalize())
}

impl ManifestLayer {
    /// What is missing of it, a line each, for people; that it is missing itself is its failure.
    pub fn missing(&self) -> impl Iterator<Item = String> + '_ {
        let is_there = self.state == ExportState::Succeeded;
        self.contents.missing().filter(move |_| is_there)
    }
}

impl Manifest {
    /// Whether nothing is missing of these layers.
    pub(crate) fn is_complete(layers: &[ManifestLayer]) -> bool {
        layers.iter().all(|l| l.failure.is_none() && l.missing().next().is_none())
    }

    /// What is missing, a line each, for people: each layer that is not there though it was wanted, and what is missing of layers that are
    /// there.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let of_layer = |l: &ManifestLayer| {
            let title = l.title.clone();
            let itself = l.failure.as_ref().map(|f| format!("the layer is missing: {f}"));
            itself.into_iter().chain(l.missing()).map(move |what| format!("{title}: {what}")).collect::<Vec<_>>()
        };
        self.layers.iter().flat_map(of_layer).collect()
    }

    /// What of layers that are there could not be counted, a line each, for people: it was exported and not verified.
    #[must_use]
    pub fn not_counted(&self) -> Vec<String> {
        let succeeded = self.layers.iter().filter(|l| l.state == ExportState::Succeeded);
        let of_layer = |l: &ManifestLayer| {
            let notes = l.contents.notes.iter().filter(|n| n.kind == LayerNoteKind::NotCounted);
            notes.map(|n| format!("{}: {}", l.title, n.message)).collect::<Vec<_>>()
        };
        succeeded.flat_map(of_layer).collect()
    }

    /// The manifest's file, with its digest in it.
    ///
    /// # Errors
    /// If it cannot be written as JSON.
    pub fn to_bytes(&self) -> Result<Vec<u8>, serde_json::Error> {
        let blank = Self { digest: NO_DIGEST.to_owned(), ..self.clone() };
        let text = serde_json::to_string_pretty(&blank)?;
        let digest = sha256_of(text.as_bytes());
        Ok(text.replacen(NO_DIGEST, &digest, 1).into_bytes())
    }

    /// Reads a manifest and checks its digest.
    ///
    /// # Errors
    /// What is wrong with the file, for people.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        let manifest: Self = offmap_model::json::read(bytes, MEMORY).map_err(|e| format!("it cannot be read: {e}"))?;
        if manifest.format != FORMAT {
            return Err(format!("its format is `{}`, expected `{FORMAT}`", manifest.format));
        }
        if manifest.version > VERSION {
            return Err(format!("its version is {}, this program knows up to {VERSION}", manifest.version));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
        if manifest.digest.len() != NO_DIGEST.len() || digest_of(text, &manifest.digest) != manifest.digest {
            return Err("its digest does not match its content; it was changed after it was written".to_owned());
        }
        manifest.check_paths()?;
        Ok(manifest)
    }

    /// Paths are those of files below the package, each once.
    fn check_paths(&self) -> Result<(), String> {
        if self.files.len() > offmap_disk::folder::MAX_FILES || self.layers.len() > MAX_LAYERS {
            let (files, layers) = (self.files.len(), self.layers.len());
            return Err(format!(
                "it lists {files} files and {layers} layers, expected at most {} and {MAX_LAYERS}",
                offmap_disk::folder::MAX_FILES
            ));
        }
        let mut seen = HashSet::with_capacity(self.files.len());
        for path in self.files.iter().map(|f| &f.path) {
            names::check(path).map_err(|what| format!("it lists `{}`: {what}", names::shown(path)))?;
            if !seen.insert(path.as_str()) {
                return Err(format!("it lists `{}` twice", names::shown(path)));
            }
        }
        for path in self.layers.iter().filter_map(|l| l.file.as_ref()) {
            names::check(path).map_err(|what| format!("a layer has its data in `{}`: {what}", names::shown(path)))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_changed_byte_of_a_manifest_is_found() {
        let manifest = Manifest {
            format: FORMAT.into(),
            version: VERSION,
            digest: String::new(),
            generator: "offmap 0".into(),
            job: "j".into(),
            created: 1,
            complete: true,
            portal_url: None,
            item_id: None,
            access_information: None,
            terms_of_use: None,
            area_of_interest: AreaOfInterest::from_numbers("1,2,3,4").expect("an area"),
            min_scale: 0.0,
            max_scale: 0.0,
            files: vec![ManifestFile { path: "a".into(), bytes: 1, sha256: NO_DIGEST.into() }],
            layers: Vec::new(),
            warnings: Vec::new(),
        };
        let bytes = manifest.to_bytes().expect("writes");
        Manifest::read(&bytes).expect("reads");
        for i in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[i] ^= 1;
            assert!(Manifest::read(&changed).is_err(), "byte {i} of {}", bytes.len());
        }
    }
}
