//! Mobile geodatabases (`.geodatabase`), the SQLite files that feature services make of replicas: checked, rows counted, keys read,
//! and their features read with all that belongs to them ([`Geodatabase`]). Read-only ones are written ([`GeodatabaseSink`]).

mod catalog;
mod current_rows;
mod definition;
mod definition_xml;
mod domains;
#[cfg(test)]
pub(crate) mod feature_tests;
mod features;
mod indexes;
mod items;
mod keys;
mod layer_table;
mod link_xml;
mod new_fields;
mod new_layer;
mod new_names;
mod new_reference;
mod reader;
#[cfg(test)]
mod real_file_tests;
mod registries;
mod replica;
mod service_items;
mod service_json;
mod service_schema;
mod shape_blob;
mod shape_blob_writer;
#[cfg(test)]
mod shape_tests;
mod sink;
#[cfg(test)]
mod sink_tests;
mod sync_state;
mod system_tables;
mod xml_writer;

pub use crate::geometry::{GridAxis, PrecisionGrid};
pub use features::{Geodatabase, RefusedLayer};
pub use keys::key_literals;
pub use new_fields::holds_date;
pub use reader::GeodatabaseReader;
pub use replica::{ReplicaLayer, describe};
pub use service_items::{ServiceItem, service_items};
pub use service_schema::{ServiceSchema, schema_of_service};
pub use shape_blob::{ShapeHead, read_shape, read_shape_head};
pub use shape_blob_writer::ShapeBlobWriter;
pub use sink::{GeodatabaseOptions, GeodatabaseSink};
pub use sync_state::{SyncState, sync_state};
