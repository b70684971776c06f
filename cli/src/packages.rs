//! `offmap verify` and `offmap show`.

use crate::arguments::{PackageArguments, VerifyArguments};
use crate::interrupt::on_ctrl_c;
use crate::progress::state_word;
use crate::stop::{INCOMPLETE, Stop};
use crate::terminal::{self, Tone, columns, out, out_behind, size};
use offmap::packager::manifest::{Manifest, ManifestLayer};
use offmap::packager::{MobileMapPackage, OfflineLayer, verify_until};
use offmap::{ExportState, LayerNoteKind, run_blocking, verify_deep_until};
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// Exit code of a package that is damaged.
const DAMAGED: u8 = 1;
/// Exit code of a package of which nothing tells what should be in it.
const NOT_JUDGED: u8 = 4;

pub(crate) async fn verify(arguments: &VerifyArguments) -> Result<u8, Stop> {
    let VerifyArguments { which, deep } = arguments;
    let (cancel, package, deep) = (CancellationToken::new(), which.package.clone(), *deep);
    let cancelled = cancel.clone();
    tokio::spawn(on_ctrl_c(move || cancelled.cancel()));
    let look = move || if deep { verify_deep_until(&package, &cancel) } else { verify_until(&package, &cancel) };
    let found = run_blocking(look).await?;
    if which.json {
        terminal::json(&json!(found));
    } else {
        for problem in &found.problems {
            out_behind(Tone::Bad, "damaged  ", &format!("{}: {}", problem.file, problem.what));
        }
        if found.more_problems > 0 {
            out!(Tone::Bad => "damaged  and {} problems more", found.more_problems);
        }
        for words in &found.missing {
            out_behind(Tone::Lacking, "missing  ", words);
        }
        for words in &found.not_counted {
            out_behind(Tone::Lacking, "not counted  ", words);
        }
        for words in &found.not_read {
            out!(Tone::Lacking => "not read  {words}");
        }
        let verdict = match (found.ok, found.by_manifest, found.complete) {
            (false, ..) => "is damaged",
            (true, false, _) if !found.missing.is_empty() => {
                "can be read, and misses what is named above; it has no manifest, so that it is not known what else"
            }
            (true, false, _) => {
                "can be read, and is not judged: it has no manifest (offmap/manifest.json), so that nobody knows which layers, rows and tiles should be in it, and whether a file was changed"
            }
            (true, true, Some(false)) => "is undamaged, and incomplete: it misses what is named above",
            (true, true, _) => "is undamaged and complete",
        };
        let counts = format!("{} files, {}", found.files, size(found.bytes));
        out_behind(Tone::Plain, "", &format!("{} {verdict}: {counts}", found.package.display()));
    }
    Ok(match found.ok {
        false => DAMAGED,
        true if found.complete == Some(false) || !found.missing.is_empty() => INCOMPLETE,
        true if !found.by_manifest => NOT_JUDGED,
        true => 0,
    })
}

pub(crate) fn show(arguments: &PackageArguments) -> Result<u8, Stop> {
    let package = MobileMapPackage::open(&arguments.package)?;
    let (manifest, broken) = match package.manifest().transpose() {
        Ok(manifest) => (manifest, None),
        Err(message) => (None, Some(message)),
    };
    let files = package.files()?;
    let layers = || package.maps().iter().flat_map(|map| &map.layers).filter_map(|layer| layer.data.as_ref());
    let code = if layers().any(|data| data.bytes.is_none() && !data.outside) { INCOMPLETE } else { 0 };
    if arguments.json {
        show_json(&package, manifest, &files);
        return Ok(code);
    }
    show_item(&package);
    show_maps(&package);
    if let Some(manifest) = manifest {
        show_layers(manifest);
    }
    if let Some(message) = broken {
        out!("the manifest is damaged: {message}");
    }
    Ok(code)
}

/// Layers of a manifest that did not succeed.
fn without(manifest: &Manifest) -> impl Iterator<Item = &ManifestLayer> {
    manifest.layers.iter().filter(|l| l.state != ExportState::Succeeded)
}

fn show_json(package: &MobileMapPackage, manifest: Option<&Manifest>, files: &[(String, u64)]) {
    let files: Vec<_> = files.iter().map(|(path, bytes)| json!({"path": path, "bytes": bytes})).collect();
    let missing: Vec<_> = manifest.into_iter().flat_map(without).collect();
    terminal::json(
        &json!({"package": package.path(), "archive": package.is_archive(), "version": package.version(), "item": package.item(),
            "extent": package.extent(), "maps": package.maps(), "files": files, "missing": missing,
            "complete": manifest.map(|m| m.missing().is_empty()), "lacking": manifest.map(Manifest::missing),
            "notCounted": manifest.map(Manifest::not_counted)}),
    );
}

fn show_item(package: &MobileMapPackage) {
    let item = package.item();
    out!("{}", item.title);
    for (name, text) in [("snippet", &item.snippet), ("access", &item.access_information), ("terms", &item.terms_of_use)] {
        if !text.is_empty() {
            out_behind(Tone::Plain, &format!("  {name:<8} "), text);
        }
    }
    if !item.tags.is_empty() {
        out!("  {:<8} {}", "tags", item.tags.join(", "));
    }
    if let Some([[xmin, ymin], [xmax, ymax]]) = package.extent() {
        out!("  {:<8} {xmin:.4}, {ymin:.4} to {xmax:.4}, {ymax:.4}", "extent");
    }
    out!("  {:<8} {} (version {})", "package", package.path().display(), package.version().unwrap_or("?"));
}

/// The columns that a layer's file takes behind its title.
const LAYER_LINE: usize = 120;

fn title_of(layer: &OfflineLayer) -> String {
    layer.groups.iter().chain([&layer.title]).cloned().collect::<Vec<_>>().join(" / ")
}

fn show_maps(package: &MobileMapPackage) {
    let room = columns().is_none_or(|columns| columns >= LAYER_LINE);
    for map in package.maps() {
        out!("map {}", map.title);
        for layer in &map.layers {
            let at = match &layer.data {
                Some(data) => match (data.bytes, data.outside) {
                    (Some(bytes), _) => format!("{} ({})", data.path, size(bytes)),
                    (None, true) => format!("{} (outside the package)", data.path),
                    (None, false) => format!("{} (MISSING)", data.path),
                },
                None => layer.url.clone().unwrap_or_else(|| "in the map".to_owned()),
            };
            match room {
                true => out!("  {:<40} {at}", title_of(layer)),
                // Two lines in place of one that the terminal breaks.
                false => {
                    out!("  {}", title_of(layer));
                    out_behind(Tone::Plain, "    ", &at);
                }
            }
        }
    }
}

/// What of the layers is missing, noted, or left out.
fn show_layers(manifest: &Manifest) {
    for layer in manifest.layers.iter().filter(|l| l.state == ExportState::Succeeded) {
        for what in layer.missing() {
            out_behind(Tone::Lacking, "missing ", &format!("{}: {what}", layer.title));
        }
        for note in layer.contents.notes.iter().filter(|n| n.kind != LayerNoteKind::Missing) {
            out_behind(Tone::Plain, "note ", &format!("{}: {}: {}", layer.title, note.kind.words(), note.message));
        }
    }
    for layer in without(manifest) {
        let why = layer.failure.as_ref().map_or_else(|| "left out on purpose".to_owned(), ToString::to_string);
        out_behind(Tone::Lacking, "without ", &format!("{} ({}): {why}", layer.title, state_word(layer.state)));
    }
}
