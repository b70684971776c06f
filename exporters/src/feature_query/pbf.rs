//! The messages of `f=pbf`: those of Esri's `FeatureCollection.proto` that features need, with its numbers.
//!
//! Source: feature service reference §5.2; Esri/arcgis-pbf `FeatureCollection.proto`.

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct FeatureCollection {
    #[prost(message, optional, tag = "2")]
    pub(super) query_result: Option<QueryResult>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct QueryResult {
    #[prost(message, optional, tag = "1")]
    pub(super) feature_result: Option<FeatureResult>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct FeatureResult {
    #[prost(string, tag = "1")]
    pub(super) object_id_field_name: String,
    #[prost(message, optional, tag = "8")]
    pub(super) spatial_reference: Option<PbfReference>,
    #[prost(bool, tag = "9")]
    pub(super) exceeded_transfer_limit: bool,
    #[prost(bool, tag = "10")]
    pub(super) has_z: bool,
    #[prost(bool, tag = "11")]
    pub(super) has_m: bool,
    #[prost(message, optional, tag = "12")]
    pub(super) transform: Option<Transform>,
    #[prost(message, repeated, tag = "13")]
    pub(super) fields: Vec<PbfField>,
    #[prost(message, repeated, tag = "15")]
    pub(super) features: Vec<PbfFeature>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PbfReference {
    #[prost(uint32, tag = "1")]
    pub(super) wkid: u32,
    #[prost(uint32, tag = "2")]
    pub(super) latest_wkid: u32,
}

/// Whole numbers become coordinates by it.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Transform {
    /// 0 for the upper left corner, 1 for the lower left one.
    #[prost(int32, tag = "1")]
    pub(super) origin: i32,
    #[prost(message, optional, tag = "2")]
    pub(super) scale: Option<PerAxis>,
    #[prost(message, optional, tag = "3")]
    pub(super) translate: Option<PerAxis>,
}

/// `m` stands before `z`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PerAxis {
    #[prost(double, tag = "1")]
    pub(super) x: f64,
    #[prost(double, tag = "2")]
    pub(super) y: f64,
    #[prost(double, tag = "3")]
    pub(super) m: f64,
    #[prost(double, tag = "4")]
    pub(super) z: f64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PbfField {
    #[prost(string, tag = "1")]
    pub(super) name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PbfFeature {
    #[prost(message, repeated, tag = "1")]
    pub(super) attributes: Vec<PbfValue>,
    #[prost(message, optional, tag = "2")]
    pub(super) geometry: Option<PbfGeometry>,
    /// A shape in Esri's binary form, which is not asked for.
    #[prost(bytes = "vec", optional, tag = "3")]
    pub(super) shape_buffer: Option<Vec<u8>>,
    /// A shape with arcs in it.
    #[prost(message, optional, tag = "7")]
    pub(super) curve_geometry: Option<Curve>,
}

/// Of a shape with arcs it is only known that it is one.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Curve {}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PbfValue {
    #[prost(oneof = "PbfScalar", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10")]
    pub(super) scalar: Option<PbfScalar>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum PbfScalar {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(float, tag = "2")]
    Float(f32),
    #[prost(double, tag = "3")]
    Double(f64),
    #[prost(sint32, tag = "4")]
    Sint32(i32),
    #[prost(uint32, tag = "5")]
    Uint32(u32),
    #[prost(int64, tag = "6")]
    Int64(i64),
    #[prost(uint64, tag = "7")]
    Uint64(u64),
    #[prost(sint64, tag = "8")]
    Sint64(i64),
    #[prost(bool, tag = "9")]
    Bool(bool),
    #[prost(bool, tag = "10")]
    Null(bool),
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PbfGeometry {
    /// 0 point, 1 multipoint, 2 polyline, 3 polygon.
    #[prost(int32, tag = "1")]
    pub(super) geometry_type: i32,
    /// Vertices of each part; absent for some points.
    #[prost(uint32, repeated, tag = "2")]
    pub(super) lengths: Vec<u32>,
    /// x, y, z, m of all vertices.
    #[prost(sint64, repeated, tag = "3")]
    pub(super) coords: Vec<i64>,
}
