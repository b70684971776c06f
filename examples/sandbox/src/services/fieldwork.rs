//! Layers and tables of the data: places, borders, countries, inspections and measurements.

use crate::data::Data;
use crate::feature::Layer;
use serde_json::Value;
use std::sync::Arc;

const KINDS: &[&str] = &["town", "city", "capital"];
const RESULTS: &[&str] = &["good", "worn", "broken"];

pub(crate) fn places(data: &Data) -> Layer {
    Layer {
        id: 0,
        name: "Places",
        geometry: Some("esriGeometryPoint"),
        fields: vec![
            ("NAME", "esriFieldTypeString", 80, None),
            ("COUNTRY", "esriFieldTypeString", 80, None),
            ("KIND", "esriFieldTypeInteger", 0, Some(KINDS)),
            ("SEEN", "esriFieldTypeDate", 8, None),
        ],
        relations: vec![(0, "Inspections", 5, "esriRelRoleOrigin", "GlobalID")],
        has_attachments: true,
        extra: Value::Null,
        rows: Arc::clone(&data.places),
    }
}

pub(crate) fn borders(data: &Data, id: u32) -> Layer {
    Layer {
        id,
        name: "Borders",
        geometry: Some("esriGeometryPolyline"),
        fields: vec![
            ("LEFT_SIDE", "esriFieldTypeString", 80, None),
            ("RIGHT_SIDE", "esriFieldTypeString", 80, None),
            ("LENGTH_KM", "esriFieldTypeDouble", 0, None),
        ],
        relations: Vec::new(),
        has_attachments: false,
        extra: Value::Null,
        rows: Arc::clone(&data.borders),
    }
}

pub(crate) fn countries(data: &Data, id: u32) -> Layer {
    Layer {
        id,
        name: "Countries",
        geometry: Some("esriGeometryPolygon"),
        fields: vec![("NAME", "esriFieldTypeString", 80, None), ("ISO_CODE", "esriFieldTypeString", 12, None)],
        relations: Vec::new(),
        has_attachments: false,
        extra: Value::Null,
        rows: Arc::clone(&data.countries),
    }
}

pub(crate) fn inspections(data: &Data) -> Layer {
    Layer {
        id: 5,
        name: "Place inspections",
        geometry: None,
        fields: vec![
            ("PLACE_ID", "esriFieldTypeGUID", 38, None),
            ("VISITED", "esriFieldTypeDate", 8, None),
            ("RESULT", "esriFieldTypeInteger", 0, Some(RESULTS)),
            ("REMARK", "esriFieldTypeString", 250, None),
        ],
        relations: vec![
            (0, "Places", 0, "esriRelRoleDestination", "PLACE_ID"),
            (1, "Measurements", 6, "esriRelRoleOrigin", "GlobalID"),
        ],
        has_attachments: false,
        extra: Value::Null,
        rows: Arc::clone(&data.inspections),
    }
}

pub(crate) fn measurements(data: &Data) -> Layer {
    Layer {
        id: 6,
        name: "Measurements",
        geometry: None,
        fields: vec![
            ("INSPECTION_ID", "esriFieldTypeGUID", 38, None),
            ("QUANTITY", "esriFieldTypeString", 40, None),
            ("VALUE", "esriFieldTypeDouble", 0, None),
        ],
        relations: vec![(1, "Place inspections", 5, "esriRelRoleDestination", "INSPECTION_ID")],
        has_attachments: false,
        extra: Value::Null,
        rows: Arc::clone(&data.measurements),
    }
}
