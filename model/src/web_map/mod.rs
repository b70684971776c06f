//! The ArcGIS web map and typed views on its layers and tables.

mod layer;
mod layer_type;
mod layers;
mod map;
mod secret_text;
mod template_hosts;
mod withheld;
mod withheld_values;

pub(crate) use layer::LONGEST_URL;
pub use layer::{LayerPlace, MapLayer};
pub use layer_type::LayerType;
pub use map::{MOST_LAYERS, WebMap};
pub use secret_text::url_without_secrets;
pub use template_hosts::{has_sub_domain, sub_domains, with_sub_domain};
