//! The GeoPackage of all layers, and the GeoJSON of those that are drawn.

use super::capped::Capped;
use super::in_degrees::InDegrees;
use super::label_points::LabelPoints;
use super::names::Names;
use super::progress::Parts;
use super::request::LeftOut;
use super::staging::{Staging, failed};
use super::tables::Tables;
use crate::files::selected::Selected;
use crate::half::{remove, remove_all};
use offmap_formats::features::{CopyOptions, FeatureReader, FeatureSink, copy_features};
use offmap_formats::geojson_seq::GeoJsonSequenceSink;
use offmap_formats::geopackage::{GeoPackageOptions, GeoPackageSink};
use offmap_model::{Failure, FailureKind};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tokio_util::sync::CancellationToken;

/// The file of all layers.
pub(super) const GEOPACKAGE: &str = "map.gpkg";
/// Rows of a layer, and about the bytes of its GeoJSON, that a program which reads it whole can still draw.
const MOST_ROWS: u64 = 500_000;
const MOST_BYTES: u64 = 256 << 20;

/// Rows of a table and its attachments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Counts {
    pub(super) rows: u64,
    pub(super) attachments: u64,
}

/// What the GeoPackage holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Held {
    tables: Vec<Counts>,
    left_out: Vec<String>,
}

/// What was written.
#[derive(Debug, Default)]
pub(super) struct FeatureFiles {
    /// For each table.
    pub(super) counts: Vec<Counts>,
    /// For each table that is drawn its GeoJSON, or why there is none.
    pub(super) geojson: BTreeMap<usize, Result<String, String>>,
    /// For each table of areas that is labelled the points of its labels.
    pub(super) label_points: BTreeMap<usize, String>,
    pub(super) left_out: Vec<LeftOut>,
}

/// Writes the features.
pub(super) fn write(
    staging: &Staging,
    tables: &Tables,
    drawn: &BTreeMap<usize, bool>,
    parts: &Parts<'_>,
    cancel: &CancellationToken,
) -> Result<FeatureFiles, Failure> {
    let held = geopackage(staging, tables, parts, cancel)?;
    let mut files = FeatureFiles { counts: held.tables, ..FeatureFiles::default() };
    let told = held.left_out.into_iter().map(|reason| LeftOut { layer: GEOPACKAGE.to_owned(), reason });
    files.left_out.extend(told);
    let mut names = Names::default();
    for (at, is_labelled) in drawn {
        let stem = names.file(&tables.layers()[*at].name);
        let name = format!("features/{stem}.geojson");
        parts.next_part();
        let written = geojson(staging, (tables, *at), &name, parts, cancel)?;
        if written.is_ok() && *is_labelled {
            let name = format!("features/{}.geojson", names.file(&format!("{stem}_labels")));
            if geojson(staging, (&LabelPoints::of_table(tables, *at), 0), &name, parts, cancel)?.is_ok() {
                files.label_points.insert(*at, name);
            }
        }
        files.geojson.insert(*at, written.map(|()| name));
    }
    Ok(files)
}

/// Writes the GeoPackage; one that is complete is used again with what a note says of it.
fn geopackage(staging: &Staging, tables: &Tables, parts: &Parts<'_>, cancel: &CancellationToken) -> Result<Held, Failure> {
    parts.next_part();
    let places: Vec<usize> = (0..tables.layers().len()).collect();
    if places.is_empty() {
        return Ok(Held::default());
    }
    let (to, note) = (staging.path_to(GEOPACKAGE)?, staging.work_path("geopackage.json")?);
    let known = std::fs::read(&note).ok().and_then(|json| serde_json::from_slice::<Held>(&json).ok());
    if let Some(known) = known.filter(|known| to.exists() && known.tables.len() == places.len()) {
        return Ok(known);
    }
    remove(&to).map_err(|e| failed(format!("cannot begin {GEOPACKAGE} anew"), &e))?;
    let tell = |done| parts.tell(GEOPACKAGE, done);
    let selected = Selected::new(tables, &places, None, &tell, cancel)?;
    let options = GeoPackageOptions::default();
    let mut sink = match GeoPackageSink::resume(&to, &options) {
        Ok(sink) => sink,
        // A file that was complete and had not its name yet cannot be resumed.
        Err(_) => GeoPackageSink::create(&to, &options)?,
    };
    let copied = copy_features(&selected, &mut sink, &CopyOptions::default())?;
    sink.finish_file()?;
    let counts =
        |layer: &offmap_formats::features::CopiedLayer| Counts { rows: layer.features, attachments: layer.attachments };
    let held = Held { tables: copied.layers.iter().map(counts).collect(), left_out: copied.left_out };
    let json = serde_json::to_vec(&held).map_err(|e| Failure::internal(e.to_string()))?;
    staging.write_whole("work/geopackage.json", &json)?;
    Ok(held)
}

/// Writes the GeoJSON of a table, or says in words why there is none.
fn geojson(
    staging: &Staging,
    (reader, table): (&dyn FeatureReader, usize),
    name: &str,
    parts: &Parts<'_>,
    cancel: &CancellationToken,
) -> Result<Result<(), String>, Failure> {
    let to = staging.path_to(name)?;
    if to.exists() {
        return Ok(Ok(()));
    }
    let tell = |done| parts.tell(name, done);
    let in_degrees = match InDegrees::of_table(reader, table) {
        Ok(in_degrees) => in_degrees,
        Err(failure) => return Ok(Err(format!("GeoJSON cannot be made of its spatial reference {}", failure.message))),
    };
    let selected = Selected::new(&in_degrees, &[0], None, &tell, cancel)?;
    let mut sink = Capped::new(GeoJsonSequenceSink::resume(&to)?, MOST_ROWS, MOST_BYTES);
    let copied = copy_features(&selected, &mut sink, &CopyOptions::default());
    let is_full = sink.is_full;
    let done = copied.and_then(|_| sink.into_sink().finish_file());
    let why = match done {
        Ok(()) => return Ok(Ok(())),
        Err(_) if is_full => "it is too large to be drawn from GeoJSON".to_owned(),
        Err(failure) if failure.kind == FailureKind::NotSupported => failure.message,
        Err(failure) => return Err(failure),
    };
    remove_all(&to).map_err(|e| failed(format!("cannot remove the half of {name}"), &e))?;
    Ok(Err(why))
}
