//! The map as it is drawn: layers from the bottom to the top, each with its data and drawing.

use super::approximation::Approximation;
use super::data_source::{FeatureSource, RasterSource, VectorSource};
use super::field::Fields;
use super::filter::Filter;
use super::label::Label;
use super::renderer::Renderer;

/// A map whose data lie in a folder.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Map {
    /// Its title.
    pub title: String,
    /// The EPSG code of its coordinates.
    pub wkid: Option<u32>,
    /// What it shows at first: west, south, east, north in WGS 84 degrees.
    pub extent: Option<[f64; 4]>,
    /// From the bottom to the top: basemap layers, operational layers, reference layers of the basemap.
    pub layers: Vec<Layer>,
    /// Tables without geometry.
    pub tables: Vec<Layer>,
    /// Relationships between layers and tables of the map.
    pub relations: Vec<Relation>,
    /// What reading the map simplified. The writers return these together with their own.
    pub approximations: Vec<Approximation>,
}

/// A layer of a map.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Its id; no other layer of the map has it.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Whether it is shown, if the groups that it is in are shown.
    pub visible: bool,
    /// The smallest scale at which it is shown, as a denominator; 0 is no limit.
    pub min_scale: f64,
    /// The largest scale at which it is shown, as a denominator; 0 is no limit.
    pub max_scale: f64,
    /// From 0, transparent, to 1, opaque.
    pub opacity: f64,
    /// What it consists of.
    pub content: LayerContent,
}

/// What a layer consists of.
#[derive(Clone, Debug, PartialEq)]
pub enum LayerContent {
    /// Other layers.
    Group {
        /// From the bottom to the top.
        layers: Vec<Layer>,
        /// Whether only one of them is shown at a time.
        exclusive: bool,
    },
    /// Features, or rows of a table.
    Features(Box<Features>),
    /// Raster tiles.
    RasterTiles(RasterSource),
    /// Vector tiles.
    VectorTiles(Box<VectorSource>),
}

/// The features of a layer and how they are drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    /// Where they lie.
    pub source: FeatureSource,
    /// Their fields; empty where they are unknown.
    pub fields: Fields,
    /// The field by which people name a feature.
    pub display_field: Option<String>,
    /// The features that the layer shows; all without.
    pub filter: Option<Filter>,
    /// Their symbols.
    pub renderer: Renderer,
    /// Their labels.
    pub labels: Vec<Label>,
}

/// A relationship between two layers or tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// Its name.
    pub name: String,
    /// The layer whose features refer to others.
    pub referencing: String,
    /// Its field.
    pub foreign_key: String,
    /// The layer that they refer to.
    pub referenced: String,
    /// Its field.
    pub key: String,
}

/// What the groups above a layer leave of its drawing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Inherited {
    /// Whether all groups are shown.
    pub visible: bool,
    /// The smallest of the groups' smallest scales.
    pub min_scale: f64,
    /// The largest of the groups' largest scales.
    pub max_scale: f64,
    /// The product of their opacities.
    pub opacity: f64,
}

impl Default for Inherited {
    fn default() -> Self {
        Self { visible: true, min_scale: 0.0, max_scale: 0.0, opacity: 1.0 }
    }
}

impl Inherited {
    /// The same with a layer's own values.
    #[must_use]
    pub fn with(self, layer: &Layer) -> Self {
        let least = match (self.min_scale, layer.min_scale) {
            (none, scale) | (scale, none) if none <= 0.0 => scale,
            (a, b) => f64::min(a, b),
        };
        Self {
            visible: self.visible && layer.visible,
            min_scale: least,
            max_scale: f64::max(self.max_scale, layer.max_scale),
            opacity: self.opacity * layer.opacity,
        }
    }
}

impl Map {
    /// Calls `each` with every layer that is no group, from the bottom to the top, and what its groups and itself make of its drawing.
    pub fn each_drawn(&self, each: &mut dyn FnMut(&Layer, Inherited)) {
        fn walk(layers: &[Layer], above: Inherited, each: &mut dyn FnMut(&Layer, Inherited)) {
            for layer in layers {
                let own = above.with(layer);
                match &layer.content {
                    LayerContent::Group { layers, .. } => walk(layers, own, each),
                    _ => each(layer, own),
                }
            }
        }
        walk(&self.layers, Inherited::default(), each);
    }
}
