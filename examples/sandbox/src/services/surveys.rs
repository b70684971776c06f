//! Feature services of rarer kinds: annotations and dimensions, tables related in every way, and a utility network.
//!
//! Written after the `feature-service-rest` reference §2.1, §2.3 and §3.1, and the web map reference B.5.

use super::capabilities::EDITABLE;
use super::fieldwork::{borders, countries, places};
use crate::data::{Data, Row, Shape};
use crate::feature::{FeatureService, Layer, Relation};
use serde_json::{Value, json};
use std::sync::{Arc, LazyLock};

/// Rows of a made-up table.
const ROWS: i64 = 6;

fn global_id(layer: u32, id: i64) -> String {
    format!("{{0FF0A901-{layer:04X}-4000-8000-{id:012X}}}")
}

/// A table whose rows each name the row before them, in a table of the same make, as their parent.
fn table(id: u32, name: &'static str, parent: u32, relations: Vec<Relation>) -> Layer {
    let row = |n: i64| {
        let attributes = json!({"OBJECTID": n, "GlobalID": global_id(id, n), "REMARK": format!("{name} {n}"),
            "PARENT": (n > 1).then(|| global_id(parent, n - 1)), "OTHER": null});
        Row { shape: None, attributes: attributes.as_object().cloned().unwrap_or_default() }
    };
    Layer {
        id,
        name,
        geometry: None,
        fields: vec![
            ("PARENT", "esriFieldTypeGUID", 38, None),
            ("OTHER", "esriFieldTypeGUID", 38, None),
            ("REMARK", "esriFieldTypeString", 80, None),
        ],
        relations,
        has_attachments: false,
        extra: Value::Null,
        rows: Arc::new((1..=ROWS).map(row).collect()),
    }
}

/// Sites and a second layer of sites; tables: one related to itself, two related in a circle, one with two origins, one below the
/// first.
fn surveys(data: &Data) -> Vec<Layer> {
    const ORIGIN: &str = "esriRelRoleOrigin";
    const DESTINATION: &str = "esriRelRoleDestination";
    let sites = Layer { relations: vec![(4, "Visits", 4, ORIGIN, "GlobalID")], ..places(data) };
    let sites = Layer { name: "Sites", has_attachments: false, ..sites };
    let others =
        Layer { id: 5, name: "Other sites", relations: vec![(5, "Visits", 4, ORIGIN, "GlobalID")], ..sites.clone() };
    vec![
        sites,
        table(
            1,
            "Threads",
            1,
            vec![
                (1, "Replies", 1, ORIGIN, "GlobalID"),
                (1, "Parent", 1, DESTINATION, "PARENT"),
                (6, "Details", 6, ORIGIN, "GlobalID"),
            ],
        ),
        table(2, "Left", 3, vec![(2, "Right", 3, ORIGIN, "GlobalID"), (3, "Right", 3, DESTINATION, "PARENT")]),
        table(3, "Right", 2, vec![(2, "Left", 2, DESTINATION, "PARENT"), (3, "Left", 2, ORIGIN, "GlobalID")]),
        table(4, "Visits", 0, vec![(4, "Sites", 0, DESTINATION, "PARENT"), (5, "Other sites", 5, DESTINATION, "OTHER")]),
        others,
        table(6, "Details", 1, vec![(6, "Threads", 1, DESTINATION, "PARENT")]),
    ]
}

/// An annotation layer, a dimension layer and a plain one.
fn drafting(data: &Data) -> Vec<Layer> {
    let kind = |id, name, kind: &str| Layer { id, name, extra: json!({"type": kind}), ..countries(data, id) };
    vec![
        kind(0, "Labels", "Annotation Layer"),
        kind(1, "Measures", "Dimension Layer"),
        Layer { name: "Ground", ..countries(data, 2) },
    ]
}

/// Data layers of a utility network; the network itself is layer 7.
fn network(data: &Data) -> Vec<Layer> {
    let mut pipes = Layer { name: "Pipes", ..borders(data, 0) };
    pipes.fields.extend([("ASSETGROUP", "esriFieldTypeInteger", 0, None), ("ASSETTYPE", "esriFieldTypeInteger", 0, None)]);
    let mut valves = Layer { id: 1, name: "Valves", relations: Vec::new(), has_attachments: false, ..places(data) };
    valves.fields.extend([("ASSETGROUP", "esriFieldTypeInteger", 0, None), ("ASSETTYPE", "esriFieldTypeInteger", 0, None)]);
    let system =
        Layer { id: 7, name: "Network", extra: json!({"type": "Utility Network Layer", "fields": []}), ..borders(data, 7) };
    vec![pipes, valves, Layer { name: "Ground", ..countries(data, 2) }, system]
}

/// Posts and checks: more rows than the keys of one count.
const POSTS: i64 = 2_100;

fn post(n: i64) -> Row {
    let attributes = json!({"OBJECTID": n, "GlobalID": global_id(0, n), "NAME": format!("Post {n}"), "COUNTRY": "",
        "KIND": 0, "SEEN": null});
    let shape = Some(Shape::Point([900_000.0 + n as f64, 6_000_000.0]));
    Row { shape, attributes: attributes.as_object().cloned().unwrap_or_default() }
}

fn check(n: i64) -> Row {
    let attributes =
        json!({"OBJECTID": n, "GlobalID": global_id(1, n), "REMARK": "", "PARENT": global_id(0, n), "OTHER": null});
    Row { shape: None, attributes: attributes.as_object().cloned().unwrap_or_default() }
}

/// Posts, and a check of each; all sandboxes of a process have the same.
fn plenty(data: &Data) -> Vec<Layer> {
    static ROWS: LazyLock<[Arc<Vec<Row>>; 2]> =
        LazyLock::new(|| [post, check].map(|make| Arc::new((1..=POSTS).map(make).collect())));
    let [posts, checks] = &*ROWS;
    vec![
        Layer {
            name: "Posts",
            relations: vec![(0, "Checks", 1, "esriRelRoleOrigin", "GlobalID")],
            has_attachments: false,
            rows: Arc::clone(posts),
            ..places(data)
        },
        Layer {
            rows: Arc::clone(checks),
            ..table(1, "Checks", 0, vec![(0, "Posts", 0, "esriRelRoleDestination", "PARENT")])
        },
    ]
}

fn with_options(mut service: FeatureService, version: f64, options: u32, extra: Value) -> FeatureService {
    let mut described = service.description();
    described["syncCapabilities"]["supportedSyncDataOptions"] = json!(options);
    let mut members = json!({"currentVersion": version, "syncCapabilities": described["syncCapabilities"]});
    if let (Some(members), Some(extra)) = (members.as_object_mut(), extra.as_object()) {
        members.extend(extra.clone());
    }
    service.extra = members;
    service
}

/// All of them.
pub(crate) fn services(data: &Arc<Data>) -> Vec<FeatureService> {
    let make = |name, layers| FeatureService::new(name, EDITABLE, true, layers, data);
    let controller = json!({"controllerDatasetLayers": {"utilityNetworkLayerId": 7}});
    vec![
        make("Surveys", surveys(data)),
        make("Plenty", plenty(data)),
        // Annotation, dimensions, contingent values, attribute rules, the full annotation model.
        with_options(make("Drafting", drafting(data)), 11.2, 47, Value::Null),
        // Contingent values and attribute rules only.
        with_options(make("PlainDrafting", drafting(data)), 11.2, 12, Value::Null),
        // Utility networks: system tables, missing layers, full topology.
        with_options(make("Network", network(data)), 11.3, 12 | 16 | 128 | 1024, controller.clone()),
        with_options(make("OldNetwork", network(data)), 10.9, 12 | 16 | 128, controller.clone()),
        with_options(make("BareNetwork", network(data)), 11.2, 12, controller),
    ]
}
