//! One row of a layer or table, and one file attached to it.

use super::value::Value;
use crate::geometry::{Geometry, GeometryKind};

/// One row. Who reads rows one after the other gets the same `Feature` filled anew.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Feature {
    /// Where the row stands in the file: rows are read in ascending order of it, and a copy that was interrupted goes on behind it.
    pub row_id: i64,
    /// Its object id, where its table has them.
    pub object_id: Option<i64>,
    /// Its values, in the order of [`LayerSchema::fields`](super::LayerSchema::fields).
    pub values: Vec<Value>,
    geometry: Geometry,
    has_geometry: bool,
}

impl Feature {
    /// A row of so many fields, all without values.
    #[must_use]
    pub fn with_fields(count: usize) -> Self {
        Self { values: vec![Value::Null; count], ..Self::default() }
    }

    /// Its shape; `None` where it has none, which is something else than an empty one.
    #[must_use]
    pub fn geometry(&self) -> Option<&Geometry> {
        self.has_geometry.then_some(&self.geometry)
    }

    /// Gives it a shape, to be filled; its memory is that of the last one.
    pub fn new_geometry(&mut self, kind: GeometryKind, has_z: bool, has_m: bool) -> &mut Geometry {
        self.has_geometry = true;
        self.geometry.begin(kind, has_z, has_m);
        &mut self.geometry
    }

    /// Makes it what another one is, into its own memory.
    pub(super) fn copy_from(&mut self, other: &Self) {
        (self.row_id, self.object_id, self.has_geometry) = (other.row_id, other.object_id, other.has_geometry);
        self.values.resize(other.values.len(), Value::Null);
        self.values.iter_mut().zip(&other.values).for_each(|(own, other)| own.copy_from(other));
        if other.has_geometry {
            self.geometry.copy_from(&other.geometry);
        }
    }

    /// Takes its shape from it.
    pub fn drop_geometry(&mut self) {
        self.has_geometry = false;
    }
}

/// What is said of a file that is attached to a feature. Its bytes are read from a stream beside it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attachment {
    /// Where it stands in the file, as [`Feature::row_id`].
    pub row_id: i64,
    /// Its own id.
    pub id: i64,
    /// Object id of its feature; `None` where its feature is not in the file.
    pub object_id: Option<i64>,
    /// File name.
    pub name: String,
    /// Media type.
    pub content_type: String,
    /// Bytes that its stream has.
    pub size: u64,
}
