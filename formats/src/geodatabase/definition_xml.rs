//! Writes the XML of `GDB_Items.Definition` for tables and layers.
//!
//! Source: mobile map package reference B.3; names and order of the elements as in the files named there.

use super::link_xml::{begin_dataset, editors};
use super::new_fields::{NewColumn, Stored};
use super::new_layer::NewLayer;
use super::new_reference::NewReference;
use super::xml_writer::Xml;
use crate::features::Subtypes;
use crate::geometry::{GeometryKind, PrecisionGrid};

/// Classes of ArcGIS's that stand for rows and for features.
const OBJECT: &str = "{7A566981-C114-11D2-8A28-006097AFF44E}";
const FEATURE: &str = "{52353152-891A-11D0-BEC6-00805F7C4268}";

pub(super) fn workspace() -> String {
    let mut xml = Xml::root("DEWorkspace");
    xml.text("CatalogPath", "\\");
    xml.text("Name", "");
    xml.says("ChildrenExpanded", false);
    xml.text("WorkspaceType", "esriRemoteDatabaseWorkspace");
    xml.empties(&["WorkspaceFactoryProgID", "ConnectionString"]);
    xml.0.push_str("<ConnectionInfo xsi:nil='true'/>");
    xml.list("Domains", "typens:ArrayOfDomain");
    for (name, number) in [("MajorVersion", "3"), ("MinorVersion", "0"), ("BugfixVersion", "0")] {
        xml.text(name, number);
    }
    xml.end("DEWorkspace")
}

pub(super) fn historical_marker(moment: &str) -> String {
    let mut xml = Xml::root("GPHistoricalMarker");
    xml.text("Name", "DEFAULT");
    xml.typed("TimeStamp", "xs:dateTime", moment);
    xml.end("GPHistoricalMarker")
}

/// How a table is described, whatever it is.
pub(super) struct Described<'a> {
    pub(super) table: &'a str,
    pub(super) alias: &'a str,
    /// Number of its item.
    pub(super) id: i64,
    pub(super) key: &'a str,
    pub(super) columns: &'a [NewColumn],
    pub(super) global_id: Option<&'a str>,
    /// Relationship classes that it is an end of.
    pub(super) relationships: &'a [String],
}

fn begin_field(xml: &mut Xml, name: &str, alias: Option<&str>) {
    xml.open("GPFieldInfoEx", "typens:GPFieldInfoEx");
    xml.text("Name", name);
    if let Some(alias) = alias {
        xml.text("AliasName", alias);
    }
    xml.text("ModelName", name);
}

fn end_field(xml: &mut Xml, kind: &str, is_nullable: bool, is_required: bool) {
    xml.text("FieldType", kind);
    xml.says("IsNullable", is_nullable);
    if is_required {
        xml.says("Required", true);
    }
    if is_required && kind != "esriFieldTypeGeometry" {
        xml.says("Editable", false);
    }
    xml.close("GPFieldInfoEx");
}

/// What feature classes and tables have alike, up to the times of edits.
fn describe(xml: &mut Xml, of: &Described<'_>, shape: Option<&str>) {
    xml.says("HasOID", true);
    xml.text("OIDFieldName", of.key);
    xml.open("GPFieldInfoExs", "typens:ArrayOfGPFieldInfoEx");
    begin_field(xml, of.key, Some(of.key));
    end_field(xml, "esriFieldTypeOID", false, true);
    for column in of.columns {
        begin_field(xml, &column.name, Some(&column.alias));
        if let Some(domain) = &column.domain {
            xml.text("DomainName", domain);
        }
        end_field(xml, column.stored.esri_type(), column.is_nullable, column.stored == Stored::GlobalId);
    }
    if let Some(shape) = shape {
        begin_field(xml, shape, None);
        end_field(xml, "esriFieldTypeGeometry", true, true);
    }
    xml.close("GPFieldInfoExs");
    xml.text("CLSID", if shape.is_some() { FEATURE } else { OBJECT });
    xml.text("EXTCLSID", "");
    xml.open("RelationshipClassNames", "typens:Names");
    of.relationships.iter().for_each(|name| xml.text("Name", &format!("main.{name}")));
    xml.close("RelationshipClassNames");
    xml.text("AliasName", of.alias);
    xml.text("ModelName", "");
    xml.says("HasGlobalID", of.global_id.is_some());
    xml.text("GlobalIDFieldName", of.global_id.unwrap_or_default());
    xml.text("RasterFieldName", "");
    xml.open("ExtensionProperties", "typens:PropertySet");
    xml.list("PropertyArray", "typens:ArrayOfPropertySetProperty");
    xml.close("ExtensionProperties");
    xml.list("ControllerMemberships", "typens:ArrayOfControllerMembership");
}

fn write_subtypes(xml: &mut Xml, subtypes: &Subtypes, layer: &NewLayer) {
    let column = |field: &str| layer.column_of(field).unwrap_or(field).to_owned();
    xml.text("SubtypeFieldName", &column(&subtypes.field));
    if let Some(first) = subtypes.subtypes.first() {
        xml.text("DefaultSubtypeCode", &first.code.to_string());
    }
    xml.open("Subtypes", "typens:ArrayOfSubtype");
    for subtype in &subtypes.subtypes {
        xml.open("Subtype", "typens:Subtype");
        xml.text("SubtypeName", &subtype.name);
        xml.text("SubtypeCode", &subtype.code.to_string());
        xml.open("FieldInfos", "typens:ArrayOfSubtypeFieldInfo");
        for (field, domain) in &subtype.domains {
            xml.open("SubtypeFieldInfo", "typens:SubtypeFieldInfo");
            xml.text("FieldName", &column(field));
            xml.text("DomainName", domain);
            xml.close("SubtypeFieldInfo");
        }
        xml.close("FieldInfos");
        xml.close("Subtype");
    }
    xml.close("Subtypes");
}

fn tracking(xml: &mut Xml) {
    xml.says("ChangeTracked", false);
    xml.says("FieldFilteringEnabled", false);
    xml.list("FilteredFieldNames", "typens:Names");
}

/// A table; that of a layer has its subtypes.
pub(super) fn table(of: &Described<'_>, layer: Option<&NewLayer>) -> String {
    let mut xml = Xml::root("DETableInfo");
    begin_dataset(&mut xml, of.table, "esriDTTable", of.id);
    describe(&mut xml, of, None);
    editors(&mut xml);
    if let Some((layer, subtypes)) = layer.and_then(|l| Some((l, l.schema.subtypes.as_ref()?))) {
        write_subtypes(&mut xml, subtypes, layer);
    }
    tracking(&mut xml);
    xml.end("DETableInfo")
}

/// ArcGIS's name of a kind.
pub(super) fn shape_type(kind: GeometryKind) -> &'static str {
    match kind {
        GeometryKind::Point => "esriGeometryPoint",
        GeometryKind::Multipoint => "esriGeometryMultipoint",
        GeometryKind::Line => "esriGeometryPolyline",
        GeometryKind::Polygon => "esriGeometryPolygon",
    }
}

/// A layer with shapes; `None` for a table.
pub(super) fn feature_class(of: &Described<'_>, layer: &NewLayer) -> Option<String> {
    let (geometry, shape) = (layer.schema.geometry.as_ref()?, layer.shape.as_ref()?);
    let mut xml = Xml::root("DEFeatureClassInfo");
    begin_dataset(&mut xml, of.table, "esriDTFeatureClass", of.id);
    describe(&mut xml, of, Some(&shape.name));
    editors(&mut xml);
    if let Some(subtypes) = &layer.schema.subtypes {
        write_subtypes(&mut xml, subtypes, layer);
    }
    xml.text("FeatureType", "esriFTSimple");
    xml.text("ShapeType", shape_type(geometry.kind));
    xml.text("ShapeFieldName", &shape.name);
    xml.says("HasM", geometry.has_m);
    xml.says("HasZ", geometry.has_z);
    xml.says("HasSpatialIndex", true);
    xml.empties(&["AreaFieldName", "LengthFieldName"]);
    xml.open("Extent", "typens:EnvelopeN");
    let corners = layer.progress.extent.unwrap_or([f64::NAN; 4]);
    for (name, corner) in ["XMin", "YMin", "XMax", "YMax"].iter().zip(corners) {
        xml.text(name, &corner.to_string());
    }
    spatial_reference(&mut xml, &shape.reference);
    xml.close("Extent");
    spatial_reference(&mut xml, &shape.reference);
    tracking(&mut xml);
    Some(xml.end("DEFeatureClassInfo"))
}

fn spatial_reference(xml: &mut Xml, reference: &NewReference) {
    let kind = match reference {
        r if r.is_geographic => "typens:GeographicCoordinateSystem",
        r if r.wkt.is_none() && r.wkid.is_none() => "typens:UnknownCoordinateSystem",
        _ => "typens:ProjectedCoordinateSystem",
    };
    let PrecisionGrid { x, y, z, m } = &reference.grid;
    xml.open("SpatialReference", kind);
    if let Some(wkt) = &reference.wkt {
        xml.text("WKT", wkt);
    }
    for (name, number) in [
        ("XOrigin", x.origin()),
        ("YOrigin", y.origin()),
        ("XYScale", x.scale()),
        ("ZOrigin", z.origin()),
        ("ZScale", z.scale()),
        ("MOrigin", m.origin()),
        ("MScale", m.scale()),
        ("XYTolerance", reference.tolerance()),
        ("ZTolerance", 0.001),
        ("MTolerance", 0.001),
    ] {
        xml.text(name, &number.to_string());
    }
    xml.says("HighPrecision", true);
    if reference.is_geographic {
        xml.text("LeftLongitude", "-180");
    }
    for (name, number) in [("WKID", reference.wkid), ("LatestWKID", reference.latest_wkid)] {
        if let Some(number) = number {
            xml.text(name, &number.to_string());
        }
    }
    xml.close("SpatialReference");
}
