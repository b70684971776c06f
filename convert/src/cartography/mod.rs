//! The cartography of a web map for readers that are not ArcGIS.
//!
//! [`Map::from_web_map`] reads the map with its renderers, labels, scales and opacities; [`maplibre::style`] writes it as a MapLibre
//! style, [`qgis::project`] as a QGIS project. What a reader cannot show as the author drew it becomes something simple of the right
//! colour and is named in a list of [`Approximation`]s, never silently.
//!
//! Everything here is pure: JSON and bytes in, JSON and bytes out.

mod approximation;
mod cim;
mod color;
mod data_source;
mod esri_symbol;
mod feature_layer;
mod field;
mod filter;
mod fit;
mod label;
mod map;
pub mod maplibre;
mod members;
mod picture;
pub mod qgis;
mod ramp;
mod relations;
mod renderer;
mod stable_id;
mod symbol;
mod text_expression;
mod web_map;

pub use approximation::Approximation;
pub use color::Rgba;
pub use data_source::{DataSource, FeatureSource, GeometryKind, RasterSource, TileFiles, VectorSource};
pub use field::{Domain, Field, FieldKind, Fields};
pub use filter::{Comparison, Filter, Literal};
pub use label::{Label, LabelPlace};
pub use map::{Features, Inherited, Layer, LayerContent, Map, Relation};
pub use ramp::Ramp;
pub use renderer::{Choice, Class, NULL_VALUE, Normalization, Renderer, Rotation};
pub use symbol::{Fill, FillStyle, Hatch, Marker, PIXELS_PER_POINT, Picture, Placement, Shape, Stroke, Symbol, TextSymbol};
pub use text_expression::TextPart;
pub(crate) use web_map::WITHOUT_DATA;
pub use web_map::{LayerSource, geometry_kind};
