//! Features from one file into another.

use super::endings::{Written, holds_one_layer};
use super::request::{Converted, ConvertedLayer, FileProgress, Request};
use super::selected::{Selected, places_of};
use super::source::FeatureFile;
use offmap_formats::features::{Copied, CopyOptions, FeatureReader, FeatureSink, LayerSchema, copy_features};
use offmap_formats::geodatabase::{GeodatabaseOptions, GeodatabaseSink};
use offmap_formats::geojson_seq::GeoJsonSequenceSink;
use offmap_formats::geopackage::{GeoPackageOptions, GeoPackageSink};
#[cfg(feature = "geoparquet")]
use offmap_formats::geoparquet::GeoParquetSink;
use offmap_model::{Failure, FailureStage};
use tokio_util::sync::CancellationToken;

/// Names that a message lists.
const MOST_NAMES: usize = 30;

/// The layers that are asked for, in the order of the file, and what is left out because it cannot be read.
fn chosen(file: &FeatureFile, wanted: &[String]) -> Result<(Vec<usize>, Vec<String>), Failure> {
    let layers = file.reader.layers();
    let words = |(name, reason): &(String, String)| format!("layer `{name}` cannot be read: {reason}");
    if wanted.is_empty() {
        return Ok(((0..layers.len()).collect(), file.refused.iter().map(words).collect()));
    }
    let mut places = Vec::new();
    for name in wanted {
        let found = places_of(layers, name);
        if let Some(refused) = file.refused.iter().find(|(refused, _)| found.is_empty() && refused == name) {
            return Err(Failure::not_supported(words(refused)));
        }
        match found.as_slice() {
            [] => return Err(unknown(layers, name)),
            [_] => places.extend(found),
            _ => {
                let names: Vec<_> = found.iter().map(|at| layers[*at].name.as_str()).collect();
                let message = format!("several layers have the title `{name}`; name one of {}", names.join(", "));
                return Err(Failure::invalid_parameter(message));
            }
        }
    }
    places.sort_unstable();
    places.dedup();
    Ok((places, Vec::new()))
}

fn unknown(layers: &[LayerSchema], name: &str) -> Failure {
    let mut names: Vec<_> = layers.iter().take(MOST_NAMES).map(|l| l.name.as_str()).collect();
    if layers.len() > MOST_NAMES {
        names.push("…");
    }
    Failure::invalid_parameter(format!("there is no layer `{name}`; there are: {}", names.join(", ")))
}

fn notes(layers: &[LayerSchema], request: &Request) -> Vec<String> {
    let tables = layers.iter().filter(|l| l.geometry.is_none() && request.area.is_some());
    tables.map(|l| format!("table `{}` has no place: all its rows are copied", l.name)).collect()
}

/// Copies into a sink and completes its file.
fn copy<S: FeatureSink + Send>(reader: &dyn FeatureReader, mut sink: S) -> Result<Copied, Failure> {
    let copied = copy_features(reader, &mut sink, &CopyOptions::default())?;
    sink.finish_file()?;
    Ok(copied)
}

/// What is asked for of a file, and what of that cannot be read.
pub(super) fn choose<'a>(
    file: &'a FeatureFile,
    request: &Request,
    progress: &'a dyn Fn(FileProgress),
    cancel: &'a CancellationToken,
) -> Result<(Selected<'a>, Vec<String>), Failure> {
    let (places, left_out) = chosen(file, &request.layers)?;
    Ok((Selected::new(file.reader.as_ref(), &places, request.area.as_ref(), progress, cancel)?, left_out))
}

/// Refuses more layers than the file can hold.
pub(super) fn check_fits(selected: &Selected<'_>, request: &Request) -> Result<(), Failure> {
    let names: Vec<_> = selected.layers().iter().take(MOST_NAMES).map(|l| l.name.as_str()).collect();
    if holds_one_layer(&request.to) && names.len() != 1 {
        let (to, names) = (request.to.display(), names.join(", "));
        return Err(Failure::invalid_parameter(format!("{to} would hold one layer; choose one of: {names}")));
    }
    Ok(())
}

/// Converts features.
pub(super) fn convert(
    selected: &Selected<'_>,
    request: &Request,
    written: Written,
    mut left_out: Vec<String>,
) -> Result<Converted, Failure> {
    let to = &request.to;
    let copied = match written {
        Written::GeoJson => copy(selected, GeoJsonSequenceSink::resume(to)?)?,
        #[cfg(feature = "geoparquet")]
        Written::GeoParquet => copy(selected, GeoParquetSink::resume(to)?)?,
        Written::Geodatabase => copy(selected, GeodatabaseSink::resume(to, &GeodatabaseOptions::default())?)?,
        _ => copy(selected, GeoPackageSink::resume(to, &GeoPackageOptions::default())?)?,
    };
    let features: u64 = copied.layers.iter().map(|l| l.features).sum();
    let failed = |e| Failure::io(FailureStage::Package, format!("cannot read {}", to.display()), &e);
    left_out.extend(copied.left_out);
    let layers = copied.layers.into_iter();
    Ok(Converted {
        file: to.clone(),
        bytes: std::fs::metadata(to).map_err(failed)?.len(),
        tiles: None,
        layers: layers.map(|l| ConvertedLayer { name: l.layer, features: l.features, attachments: l.attachments }).collect(),
        resumed: features.saturating_sub(selected.written()),
        left_out,
        notes: notes(selected.layers(), request),
    })
}
