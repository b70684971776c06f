//! Proves a package down to every row and tile: opens each container that it holds.

use crate::exporters::{geodatabase, tile_package};
use crate::packager::{MobileMapPackage, OfflineLayer, Problem, Verification, manifest::Manifest, verify};
use crate::{ExportState, Failure, FailureStage};
use serde_json::Value;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Verifies a package as [`verify`] does, then opens every container in it and compares what is inside with the manifest: rows of
/// geodatabases, tiles of tile packages (each one's bytes are read), resources that styles name. A layer of the map that is
/// neither online nor has data is found, too. Blocks; an archive's containers are unpacked one after the other to a directory
/// for temporary files.
///
/// # Errors
/// If there is no such package, or it cannot be read at all. What is wrong inside is in the [`Verification`].
pub fn verify_deep(path: &Path) -> Result<Verification, Failure> {
    let mut found = verify(path)?;
    if !found.ok {
        return Ok(found);
    }
    let package = MobileMapPackage::open(path)?;
    let manifest = package.manifest().and_then(Result::ok);
    let mut deep = Deep { package: &package, manifest, problems: Vec::new(), opened: HashMap::new() };
    for layer in package.maps().iter().flat_map(|m| &m.layers) {
        deep.layer(layer)?;
    }
    found.problems.extend(deep.problems);
    found.ok = found.problems.is_empty();
    Ok(found)
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
    manifest: Option<&'a Manifest>,
    problems: Vec<Problem>,
    opened: HashMap<String, Inside>,
}

impl Deep<'_> {
    fn problem(&mut self, file: &str, what: impl Into<String>) {
        self.problems.push(Problem { file: file.to_owned(), what: what.into() });
    }

    fn layer(&mut self, layer: &OfflineLayer) -> Result<(), Failure> {
        let proof = self.manifest.and_then(|m| m.layers.iter().find(|l| l.id == layer.id));
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
        if let Some(folder) = &data.resources {
            self.resources(folder)?;
        }
        if !self.opened.contains_key(&data.path) {
            let inside = self.open(&data.path)?;
            self.opened.insert(data.path.clone(), inside);
        }
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
            Some("geodatabase") => geodatabase::rows(&path).map(Inside::Rows),
            Some("tpkx" | "tpk" | "vtpk") => tile_package::check_tiles(&path).map(Inside::Tiles),
            _ => Ok(Inside::Unknown),
        };
        Ok(inside.unwrap_or_else(|failure| {
            self.problem(name, failure.message);
            Inside::Unknown
        }))
    }

    /// A file of the package on the disk, and the directory that holds it if it had to be unpacked.
    fn file(&self, name: &str) -> Result<(PathBuf, Option<tempfile::TempDir>), Failure> {
        if !self.package.is_archive() {
            return Ok((self.package.path().join(name), None));
        }
        let unpacked = tempfile::tempdir()
            .map_err(|e| Failure::io(FailureStage::Check, "cannot make a directory for temporary files", &e))?;
        let plain = Path::new(name).file_name().unwrap_or_default();
        let file = self.package.extract(name, &unpacked.path().join(plain))?;
        Ok((file, Some(unpacked)))
    }

    /// A style with its sprites and fonts: what the style names is there.
    fn resources(&mut self, folder: &str) -> Result<(), Failure> {
        let name = format!("{folder}/styles/root.json");
        let files: Vec<String> = self.package.files()?.into_iter().map(|(path, _)| path).collect();
        if !files.contains(&name) {
            self.problem(&name, "the style is missing");
            return Ok(());
        }
        let (path, _kept) = self.file(&name)?;
        let text = std::fs::read(&path)
            .map_err(|e| Failure::io(FailureStage::Check, format!("cannot read {}", path.display()), &e))?;
        let Ok(style) = serde_json::from_slice::<Value>(&text) else {
            self.problem(&name, "the style is not JSON");
            return Ok(());
        };
        if style.get("sprite").and_then(Value::as_str).is_some_and(|s| s.starts_with("../sprites/")) {
            for ending in ["json", "png"] {
                let sprite = format!("{folder}/sprites/sprite.{ending}");
                if !files.contains(&sprite) {
                    self.problem(&sprite, "the style names these sprites, which are missing");
                }
            }
        }
        let has_text = style.pointer("/layers").and_then(Value::as_array).into_iter().flatten();
        let names_fonts = has_text.into_iter().any(|l| l.pointer("/layout/text-font").is_some());
        let own = style.get("glyphs").and_then(Value::as_str).is_some_and(|g| g.starts_with("../fonts/"));
        if names_fonts && own && !files.iter().any(|f| f.starts_with(&format!("{folder}/fonts/"))) {
            self.problem(&format!("{folder}/fonts"), "the style names fonts, which are missing");
        }
        Ok(())
    }
}
