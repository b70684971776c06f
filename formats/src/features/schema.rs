//! What a layer or table is.

use crate::geometry::{GeometryKind, PrecisionGrid};
use offmap_model::SpatialReference;
use std::sync::Arc;

/// Types of fields, by ArcGIS's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FieldType {
    /// Whole numbers of 16 bits.
    SmallInteger,
    /// Whole numbers of 32 bits.
    Integer,
    /// Whole numbers of 64 bits.
    BigInteger,
    /// Numbers of single precision.
    Single,
    /// Numbers of double precision.
    Double,
    /// Texts.
    Text,
    /// Moments, as [`Value::Date`](super::Value::Date).
    Date,
    /// Days, as [`Value::Date`](super::Value::Date) of their midnight.
    DateOnly,
    /// Times of day, as texts.
    TimeOnly,
    /// Moments with the offset of their place, as texts.
    TimestampOffset,
    /// GUIDs, as texts.
    Guid,
    /// GUIDs that name the row.
    GlobalId,
    /// Bytes.
    Blob,
    /// XML, as text.
    Xml,
}

/// A value that a coded domain allows.
#[derive(Debug, Clone, PartialEq)]
pub enum DomainCode {
    /// A whole number.
    Integer(i64),
    /// Another number.
    Real(f64),
    /// A text.
    Text(String),
}

impl std::fmt::Display for DomainCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Integer(n) => n.fmt(f),
            Self::Real(n) => n.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

/// What a domain allows.
#[derive(Debug, Clone, PartialEq)]
pub enum DomainRule {
    /// Codes, each with what it means.
    Coded(Vec<(DomainCode, String)>),
    /// From one number to another, both included.
    Range {
        /// The lowest.
        min: f64,
        /// The highest.
        max: f64,
    },
}

/// What values fields may have.
#[derive(Debug, Clone, PartialEq)]
pub struct Domain {
    /// Name; unique in its file.
    pub name: String,
    /// Description; may be empty.
    pub description: String,
    /// The rule.
    pub rule: DomainRule,
}

/// A field.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Name, as its column is called.
    pub name: String,
    /// What people call it, where that is another name.
    pub alias: Option<String>,
    /// Type.
    pub field_type: FieldType,
    /// Characters of the longest text, where that is limited.
    pub length: Option<u32>,
    /// Whether rows may have no value.
    pub is_nullable: bool,
    /// What values it may have.
    pub domain: Option<Arc<Domain>>,
}

/// A kind of rows within a layer, told by the code in one field.
#[derive(Debug, Clone, PartialEq)]
pub struct Subtype {
    /// The code.
    pub code: i64,
    /// What it means.
    pub name: String,
    /// Fields that have another domain in rows of this subtype, and its name.
    pub domains: Vec<(String, String)>,
}

/// The subtypes of a layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Subtypes {
    /// The field that holds the code.
    pub field: String,
    /// The subtypes.
    pub subtypes: Vec<Subtype>,
}

/// The shapes of a layer.
#[derive(Debug, Clone, PartialEq)]
pub struct GeometryField {
    /// Name, as its column is called.
    pub name: String,
    /// What kind all of them are.
    pub kind: GeometryKind,
    /// Whether points have heights.
    pub has_z: bool,
    /// Whether points have measures.
    pub has_m: bool,
    /// What their numbers mean.
    pub spatial_reference: SpatialReference,
}

/// What a layer or table is.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerSchema {
    /// Name of its table; unique in its file.
    pub name: String,
    /// What people call it.
    pub title: String,
    /// Description; may be empty.
    pub description: String,
    /// `GDB_ServiceItems.ItemId` in a geodatabase: the layer's id in its service.
    pub item_id: Option<i64>,
    /// Name of the column with object ids.
    pub object_id_field: Option<String>,
    /// The other fields, without that of the shapes.
    pub fields: Vec<Field>,
    /// Its shapes; `None` for a table.
    pub geometry: Option<GeometryField>,
    /// The grid on which the coordinates of its shapes lie, where its file has one.
    pub grid: Option<PrecisionGrid>,
    /// Its subtypes.
    pub subtypes: Option<Subtypes>,
    /// Whether there may be files attached to its rows.
    pub has_attachments: bool,
}

impl LayerSchema {
    /// A layer or table without fields; its title is its name.
    #[must_use]
    pub fn new(name: impl Into<String>, geometry: Option<GeometryField>) -> Self {
        let name = name.into();
        Self {
            title: name.clone(),
            name,
            description: String::new(),
            item_id: None,
            object_id_field: None,
            fields: Vec::new(),
            geometry,
            grid: None,
            subtypes: None,
            has_attachments: false,
        }
    }
}

/// How many rows of one side may belong to how many of the other one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cardinality {
    /// One to one.
    OneToOne,
    /// One to many.
    OneToMany,
    /// Many to many, by a table of its own.
    ManyToMany,
}

/// Which rows of one layer or table belong to which of another.
#[derive(Debug, Clone, PartialEq)]
pub struct Relationship {
    /// Name; unique in its file.
    pub name: String,
    /// Layer or table of the origin.
    pub origin: String,
    /// Its key.
    pub origin_key: String,
    /// Layer or table of the destination.
    pub destination: String,
    /// Its field with the key of the origin.
    pub destination_key: String,
    /// How many belong to how many.
    pub cardinality: Cardinality,
    /// Whether the destination goes with the origin.
    pub is_composite: bool,
}
