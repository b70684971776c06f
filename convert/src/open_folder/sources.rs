//! Where the data of a layer lie in the folder, for those who write how it is drawn.

use super::feature_files::{FeatureFiles, GEOPACKAGE};
use super::needs::Need;
use super::request::TileForm;
use super::tables::Tables;
use super::tile_files::TileLayers;
use crate::cartography::{DataSource, FeatureSource, LayerSource, RasterSource, VectorSource};
use offmap_formats::features::FeatureReader as _;
use offmap_model::SpatialReference;
use serde_json::Value;

/// All data of the folder.
pub(super) struct Drawing<'a> {
    pub(super) tables: &'a Tables,
    pub(super) features: &'a FeatureFiles,
    pub(super) tiles: &'a TileLayers,
    pub(super) form: TileForm,
}

/// The code by which readers know a spatial reference.
fn code_of(reference: &SpatialReference) -> Option<u32> {
    if reference.is_web_mercator() { Some(3857) } else { reference.id() }
}

impl Drawing<'_> {
    /// The data of a layer that has this need in the map whose document is at `map`.
    ///
    /// # Errors
    /// Why it has none, in words.
    pub(super) fn source_of(&self, need: &Need, map: &str) -> Result<LayerSource, String> {
        match need {
            Need::Features { .. } | Need::Set(_) => self.features_of(need, map),
            Need::Tiles(tiles) => {
                let layer = self.tiles.get(tiles).ok_or("its tiles are not in the folder")?;
                let (files, levels, attribution) = (layer.files.clone(), layer.levels, layer.attribution.clone());
                if !layer.is_vector {
                    let data =
                        DataSource::RasterTiles(RasterSource { files, tile_size: layer.tile_size, levels, attribution });
                    return Ok(LayerSource { data, description: Value::Null });
                }
                let of = &layer.resources;
                if of.style.is_null() {
                    return Err(
                        "its tiles are in the folder, but the package has no style by which they are drawn".to_owned()
                    );
                }
                let source = VectorSource {
                    files,
                    levels,
                    style: of.style.clone(),
                    sprite: of.sprite.clone(),
                    glyphs: of.glyphs.clone(),
                    attribution,
                };
                Ok(LayerSource { data: DataSource::VectorTiles(Box::new(source)), description: Value::Null })
            }
            Need::Nothing(why) => Err(why.clone()),
        }
    }

    fn features_of(&self, need: &Need, map: &str) -> Result<LayerSource, String> {
        let shown = self.tables.shown(need, map)?;
        let schema = &self.tables.layers()[shown.at];
        let geojson = self.features.geojson.get(&shown.at).and_then(|written| written.as_ref().ok()).cloned();
        let source = FeatureSource {
            geopackage: GEOPACKAGE.to_owned(),
            table: schema.name.clone(),
            geometry: self.tables.drawn(shown.at),
            geojson,
            label_points: self.features.label_points.get(&shown.at).cloned(),
            attribution: self.tables.attribution(shown.at),
            wkid: schema.geometry.as_ref().and_then(|geometry| code_of(&geometry.spatial_reference)),
        };
        let mut description = shown.item.map_or(Value::Null, |item| item.description.clone());
        // Not every service says it; its replica does.
        if let (Some(subtypes), Some(members)) = (&schema.subtypes, description.as_object_mut()) {
            let is_said = ["subtypeField", "subtypeFieldName"].iter().any(|key| members.get(*key).is_some_and(|v| v != ""));
            if !is_said {
                members.insert("subtypeField".to_owned(), subtypes.field.clone().into());
            }
        }
        Ok(LayerSource { data: DataSource::Features(source), description })
    }
}
