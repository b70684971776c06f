//! How the maps are drawn: a MapLibre style and a QGIS project each, and what of it is simpler than in ArcGIS.

use super::manifest::ManifestMap;
use super::names::Names;
use super::needs::MapNeeds;
use super::request::{LeftOut, TileForm};
use super::sources::Drawing;
use super::staging::Staging;
use crate::cartography::maplibre::{self, StyleOptions, TileUrls};
use crate::cartography::{Approximation, Map, WITHOUT_DATA, qgis};
use offmap_formats::features::FeatureReader as _;
use offmap_model::Failure;
use serde_json::{Value, json};

/// What is named in the folder.
const APPROXIMATIONS: &str = "approximations.json";

/// What was written.
pub(super) struct Documents {
    pub(super) maps: Vec<ManifestMap>,
    /// How many things are drawn more simply.
    pub(super) approximations: u64,
}

fn pretty(value: &Value) -> Result<Vec<u8>, Failure> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|e| Failure::internal(e.to_string()))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// The files of a map: those of the only one have the plainest names.
fn names_of(map: &MapNeeds, is_only: bool, names: &mut Names) -> (ManifestMap, String) {
    let title = map.title.clone();
    if is_only {
        return (ManifestMap { title, style: "style.json".into(), project: "map.qgz".into() }, "sprite".into());
    }
    let name = names.file(&map.name);
    let files = ManifestMap { title, style: format!("{name}.style.json"), project: format!("{name}.qgz") };
    (files, format!("{name}.sprite"))
}

/// Writes the documents of all maps.
pub(super) fn write(
    staging: &Staging,
    maps: &[MapNeeds],
    drawing: &Drawing<'_>,
    left_out: &mut Vec<LeftOut>,
) -> Result<Documents, Failure> {
    let mut names = Names::default();
    let (mut told, mut written) = (Vec::new(), Documents { maps: Vec::new(), approximations: 0 });
    let mut without: Vec<LeftOut> = Vec::new();
    for needs in maps {
        let (files, sprite) = names_of(needs, maps.len() == 1, &mut names);
        let map = read(needs, drawing, &mut without);
        let style = draw_style(staging, &map, &files.style, sprite, drawing.form)?;
        let project = qgis::project(&map);
        let stem = files.project.strip_suffix(".qgz").unwrap_or(&files.project);
        let qgz = project.qgz(stem).map_err(|e| Failure::internal(format!("the project cannot be packed: {e}")))?;
        staging.write_whole(&files.project, &qgz)?;
        written.approximations += (style.len() + project.approximations.len()) as u64;
        told.push(json!({"map": needs.title, "maplibre": listed(&style), "qgis": listed(&project.approximations)}));
        written.maps.push(files);
    }
    let new = without.into_iter().filter(|one| !left_out.contains(one)).collect::<Vec<_>>();
    left_out.extend(new);
    let json = json!({"leftOut": left_out, "maps": told});
    staging.write_whole(APPROXIMATIONS, &pretty(&json)?)?;
    Ok(written)
}

/// Reads a map with the data that its layers have in the folder.
fn read(needs: &MapNeeds, drawing: &Drawing<'_>, left_out: &mut Vec<LeftOut>) -> Map {
    let mut number = 0;
    let mut map = Map::from_web_map(&needs.document, &mut |_| {
        let at = number;
        number += 1;
        match drawing.source_of(needs.needs.get(at)?, &needs.path) {
            Ok(source) => Some(source),
            Err(reason) => {
                let layer = needs.titles.get(at).cloned().unwrap_or_default();
                let one = LeftOut { layer, reason };
                if !left_out.contains(&one) {
                    left_out.push(one);
                }
                None
            }
        }
    });
    map.title.clone_from(&needs.title);
    // Those are named as left out, with the reason.
    map.approximations.retain(|one| one.what != WITHOUT_DATA);
    map.approximations.extend(more_simply(needs, drawing));
    map
}

/// What of the data is drawn more simply, whatever the writer.
fn more_simply(needs: &MapNeeds, drawing: &Drawing<'_>) -> Vec<Approximation> {
    let mut all = Vec::new();
    for (need, title) in needs.needs.iter().zip(&needs.titles) {
        let mut add = |what: String, shown_as: &str| {
            let one = Approximation { layer: title.clone(), what, shown_as: shown_as.to_owned() };
            if !all.contains(&one) {
                all.push(one);
            }
        };
        if let super::needs::Need::Tiles(tiles) = need {
            let missing = drawing.tiles.get(tiles).map_or(&[][..], |layer| &layer.resources.missing);
            missing.iter().for_each(|missing| add(format!("{missing}, which is not in the package"), "nothing"));
        }
        if let Ok(shown) = drawing.tables.shown(need, &needs.path) {
            let schema = &drawing.tables.layers()[shown.at];
            if let Some(Err(why)) = drawing.features.geojson.get(&shown.at) {
                add(
                    format!("table `{}` of {}: {why}", schema.name, super::feature_files::GEOPACKAGE),
                    "nothing in MapLibre",
                );
            }
        }
    }
    all
}

fn draw_style(
    staging: &Staging,
    map: &Map,
    name: &str,
    sprite: String,
    form: TileForm,
) -> Result<Vec<Approximation>, Failure> {
    let tiles = if form == TileForm::Mbtiles { TileUrls::MbTiles } else { TileUrls::PmTiles };
    let style = maplibre::style(map, &StyleOptions { tiles, sprite: sprite.clone(), ..StyleOptions::default() });
    staging.write_whole(name, &pretty(&style.json)?)?;
    let sheet = if style.sprites.is_empty() { Vec::new() } else { style.sprites.files(&sprite) };
    for (name, bytes) in sheet {
        staging.write_whole(&name, &bytes)?;
    }
    Ok(style.approximations)
}

fn listed(all: &[Approximation]) -> Value {
    let one = |of: &Approximation| json!({"layer": of.layer, "what": of.what, "shownAs": of.shown_as});
    all.iter().map(one).collect()
}
