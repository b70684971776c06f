//! What a package contains, for comparison.

use offmap::packager::MobileMapPackage;
use rusqlite::Connection;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::error::Error;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

/// Adds the rows of a layer.
fn add_rows(digest: &mut Sha256, path: &Path, item_id: Option<i64>) -> Result<(), Box<dyn Error>> {
    let connection = Connection::open(path)?;
    let sql = "SELECT DatasetName FROM GDB_ServiceItems WHERE ItemId = ?1";
    let table: String = connection.query_row(sql, [item_id], |r| r.get(0))?;
    let table = table.trim_start_matches("main.").to_owned();
    let mut statement = connection.prepare(&format!("SELECT * FROM \"{table}\" ORDER BY 1"))?;
    let columns = statement.column_count();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        for column in 0..columns {
            digest.update(format!("{:?};", row.get_ref(column)?));
        }
    }
    Ok(())
}

/// Adds the bundles of a tile package and the index of its tiles.
fn add_tiles(digest: &mut Sha256, path: &Path) -> Result<(), Box<dyn Error>> {
    let mut zip = zip::ZipArchive::new(File::open(path)?)?;
    let mut names: Vec<String> = Vec::new();
    for name in zip.file_names() {
        names.push(name?.into_owned());
    }
    names.sort();
    for name in names.iter().filter(|n| n.ends_with(".bundle") || n.ends_with("tilemap/root.json")) {
        digest.update(name);
        let mut bytes = Vec::new();
        zip.by_name(name)?.read_to_end(&mut bytes)?;
        digest.update(&bytes);
    }
    Ok(())
}

/// A digest of what a package holds, without the ids that every job makes anew.
pub(crate) fn content(package: &Path) -> Result<BTreeMap<String, String>, Box<dyn Error>> {
    let opened = MobileMapPackage::open(package)?;
    let mut all = BTreeMap::new();
    for layer in opened.maps().iter().flat_map(|m| &m.layers) {
        let Some(data) = &layer.data else { continue };
        let path = package.join(&data.path);
        let mut digest = Sha256::new();
        if data.path.ends_with(".geodatabase") {
            add_rows(&mut digest, &path, data.item_id)?;
        } else {
            add_tiles(&mut digest, &path)?;
        }
        all.insert(layer.id.clone(), offmap::hex(digest.finalize()));
    }
    let manifest = opened.manifest().ok_or("no manifest")??;
    for layer in &manifest.layers {
        let verification = json!({"state": layer.state, "planned": layer.contents.planned, "got": layer.contents.got, "attachments": layer.contents.attachments});
        all.insert(format!("verification of {}", layer.id), verification.to_string());
    }
    Ok(all)
}
