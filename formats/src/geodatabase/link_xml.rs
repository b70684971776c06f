//! Writes the XML of `GDB_Items.Definition` for what links tables: domains and relationship classes.
//!
//! Source: mobile map package reference B.3, B.4.

use super::new_fields::Stored;
use super::xml_writer::Xml;
use crate::features::{Cardinality, Domain, DomainCode, DomainRule};

/// The beginning of every dataset.
pub(super) fn begin_dataset(xml: &mut Xml, name: &str, kind: &str, id: i64) {
    xml.text("CatalogPath", &format!("\\main.{name}"));
    xml.text("Name", &format!("main.{name}"));
    xml.says("ChildrenExpanded", false);
    xml.text("DatasetType", kind);
    xml.text("DSID", &id.to_string());
    xml.says("Versioned", false);
    xml.says("CanVersion", kind != "esriDTRelationshipClass");
    xml.text("ConfigurationKeyword", "");
    xml.text("RequiredGeodatabaseClientVersion", "10.0");
}

/// Who edits it when: nobody.
pub(super) fn editors(xml: &mut Xml) {
    xml.says("EditorTrackingEnabled", false);
    xml.empties(&["CreatorFieldName", "CreatedAtFieldName", "EditorFieldName", "EditedAtFieldName"]);
    xml.says("IsTimeInUTC", true);
}

/// A domain of the fields of a type.
pub(super) fn domain(domain: &Domain, field: Stored) -> String {
    let (root, kind) = match domain.rule {
        DomainRule::Coded(_) => ("GPCodedValueDomain2", field.esri_type()),
        DomainRule::Range { .. } => ("GPRangeDomain2", field.esri_type()),
    };
    let code_type = match field {
        Stored::Int16 => "xs:short",
        Stored::Int32 => "xs:int",
        Stored::Int64 => "xs:long",
        Stored::Float32 => "xs:float",
        Stored::Float64 => "xs:double",
        _ => "xs:string",
    };
    let mut xml = Xml::root(root);
    xml.text("DomainName", &domain.name);
    xml.text("FieldType", kind);
    xml.text("MergePolicy", "esriMPTDefaultValue");
    xml.text("SplitPolicy", "esriSPTDefaultValue");
    xml.text("Description", &domain.description);
    xml.text("Owner", "");
    match &domain.rule {
        DomainRule::Coded(codes) => {
            xml.open("CodedValues", "typens:ArrayOfCodedValue");
            for (code, name) in codes {
                xml.open("CodedValue", "typens:CodedValue");
                xml.text("Name", name);
                let own = if matches!(code, DomainCode::Text(_)) { "xs:string" } else { code_type };
                xml.typed("Code", own, &code.to_string());
                xml.close("CodedValue");
            }
            xml.close("CodedValues");
        }
        DomainRule::Range { min, max } => {
            xml.typed("MaxValue", code_type, &max.to_string());
            xml.typed("MinValue", code_type, &min.to_string());
        }
    }
    xml.end(root)
}

/// A relationship class between tables that were written.
pub(super) struct NewRelationship {
    pub(super) name: String,
    pub(super) origin: String,
    pub(super) origin_key: String,
    pub(super) destination: String,
    pub(super) destination_key: String,
    pub(super) cardinality: Cardinality,
    pub(super) is_composite: bool,
    pub(super) is_of_attachments: bool,
}

pub(super) fn relationship(of: &NewRelationship, id: i64) -> String {
    let mut xml = Xml::root("DERelationshipClassInfo");
    begin_dataset(&mut xml, &of.name, "esriDTRelationshipClass", id);
    xml.says("HasOID", false);
    xml.text("OIDFieldName", "");
    xml.list("GPFieldInfoExs", "typens:ArrayOfGPFieldInfoEx");
    xml.empties(&["CLSID", "EXTCLSID"]);
    xml.list("RelationshipClassNames", "typens:Names");
    xml.empties(&["AliasName", "ModelName"]);
    xml.says("HasGlobalID", false);
    xml.empties(&["GlobalIDFieldName", "RasterFieldName"]);
    xml.open("ExtensionProperties", "typens:PropertySet");
    xml.list("PropertyArray", "typens:ArrayOfPropertySetProperty");
    xml.close("ExtensionProperties");
    xml.list("ControllerMemberships", "typens:ArrayOfControllerMembership");
    editors(&mut xml);
    let cardinality = match of.cardinality {
        Cardinality::OneToOne => "esriRelCardinalityOneToOne",
        Cardinality::OneToMany => "esriRelCardinalityOneToMany",
        Cardinality::ManyToMany => "esriRelCardinalityManyToMany",
    };
    xml.text("Cardinality", cardinality);
    xml.text("Notification", "esriRelNotificationNone");
    xml.says("IsAttributed", false);
    xml.says("IsComposite", of.is_composite);
    for (list, name) in [("OriginClassNames", &of.origin), ("DestinationClassNames", &of.destination)] {
        xml.open(list, "typens:Names");
        xml.text("Name", &format!("main.{name}"));
        xml.close(list);
    }
    xml.text("KeyType", "esriRelKeyTypeSingle");
    xml.text("ClassKey", "esriRelClassKeyUndefined");
    let labels = if of.is_of_attachments { ["attachment", "object"] } else { [&*of.destination, &*of.origin] };
    xml.text("ForwardPathLabel", labels[0]);
    xml.text("BackwardPathLabel", labels[1]);
    xml.says("IsReflexive", false);
    xml.open("OriginClassKeys", "typens:ArrayOfRelationshipClassKey");
    for (name, role) in [(&of.origin_key, "OriginPrimary"), (&of.destination_key, "OriginForeign")] {
        xml.open("RelationshipClassKey", "typens:RelationshipClassKey");
        xml.text("ObjectKeyName", name);
        xml.text("ClassKeyName", "");
        xml.text("KeyRole", &format!("esriRelKeyRole{role}"));
        xml.close("RelationshipClassKey");
    }
    xml.close("OriginClassKeys");
    xml.list("DestinationClassKeys", "typens:ArrayOfRelationshipClassKey");
    xml.list("RelationshipRules", "typens:ArrayOfRelationshipRule");
    xml.says("IsAttachmentRelationship", of.is_of_attachments);
    xml.says("ChangeTracked", false);
    xml.end("DERelationshipClassInfo")
}
