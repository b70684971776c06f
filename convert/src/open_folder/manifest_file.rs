//! Writes `manifest.json`, when all other files of the folder are there.

use super::feature_files::GEOPACKAGE;
use super::manifest::{MANIFEST, Manifest, ManifestLayer, ManifestMap, ManifestPackage, TYPE};
use super::sources::Drawing;
use super::staging::Staging;
use super::tile_files::TileLayer;
use offmap_disk::{hash_file_until, safe_path};
use offmap_formats::features::FeatureReader as _;
use offmap_model::Failure;
use offmap_packager::MobileMapPackage;
use offmap_packager::manifest::ManifestFile;
use std::path::Path;
use tokio_util::sync::CancellationToken;

/// The manifest, and what the whole folder has.
pub(super) struct Told {
    pub(super) manifest: Manifest,
    pub(super) files: u64,
    pub(super) bytes: u64,
}

/// Writes it.
pub(super) fn write(
    staging: &Staging,
    package: &MobileMapPackage,
    drawing: &Drawing<'_>,
    maps: Vec<ManifestMap>,
    cancel: &CancellationToken,
) -> Result<Told, Failure> {
    let manifest = Manifest {
        kind: TYPE.to_owned(),
        offmap: env!("CARGO_PKG_VERSION").to_owned(),
        package: package_of(package),
        extent: package.extent(),
        maps,
        layers: layers(drawing),
        files: files(staging.root(), cancel)?,
    };
    let mut bytes = serde_json::to_vec_pretty(&manifest).map_err(|e| Failure::internal(e.to_string()))?;
    bytes.push(b'\n');
    staging.write_whole(MANIFEST, &bytes)?;
    let all = manifest.files.iter().fold(bytes.len() as u64, |all, file| all.saturating_add(file.bytes));
    Ok(Told { files: manifest.files.len() as u64 + 1, bytes: all, manifest })
}

fn package_of(package: &MobileMapPackage) -> ManifestPackage {
    let item = package.item();
    let path = std::path::absolute(package.path()).unwrap_or_else(|_| package.path().to_owned());
    ManifestPackage {
        name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        title: item.title.clone(),
        snippet: item.snippet.clone(),
        tags: item.tags.clone(),
        access_information: item.access_information.clone(),
        terms_of_use: item.terms_of_use.clone(),
        version: package.version().map(str::to_owned),
        portal_items: package.maps().iter().filter_map(|map| map.original_portal_item_id.clone()).collect(),
    }
}

fn layers(drawing: &Drawing<'_>) -> Vec<ManifestLayer> {
    let mut layers = Vec::new();
    for (at, schema) in drawing.tables.layers().iter().enumerate() {
        let counts = drawing.features.counts.get(at).copied().unwrap_or_default();
        let geojson = drawing.features.geojson.get(&at).and_then(|written| written.as_ref().ok());
        let label_points = drawing.features.label_points.get(&at);
        layers.push(ManifestLayer {
            title: schema.title.clone(),
            table: Some(schema.name.clone()),
            files: [GEOPACKAGE.to_owned()].into_iter().chain(geojson.cloned()).chain(label_points.cloned()).collect(),
            source: drawing.tables.origins[at].file.clone(),
            rows: Some(counts.rows),
            attachments: counts.attachments,
            attribution: drawing.tables.attribution(at),
        });
    }
    let mut tiles: Vec<&TileLayer> = drawing.tiles.values().collect();
    tiles.sort_by_key(|layer| (&layer.files.pmtiles, &layer.files.mbtiles, &layer.title));
    layers.extend(tiles.into_iter().map(|layer| ManifestLayer {
        title: layer.title.clone(),
        table: None,
        files: layer.files.pmtiles.iter().chain(&layer.files.mbtiles).cloned().collect(),
        source: layer.origin.clone(),
        rows: None,
        attachments: 0,
        attribution: layer.attribution.clone(),
    }));
    layers
}

/// Every file but the manifest, in the order of their paths.
fn files(root: &Path, cancel: &CancellationToken) -> Result<Vec<ManifestFile>, Failure> {
    let found = safe_path::files_below(root).map_err(|e| safe_path::judged("the folder cannot be listed", &e))?;
    let mut files = Vec::new();
    for relative in found.iter().filter(|path| *path != Path::new(MANIFEST)) {
        let (bytes, sha256) = hash_file_until(&root.join(relative), cancel)?;
        let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
        files.push(ManifestFile { path: parts.join("/"), bytes, sha256 });
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}
