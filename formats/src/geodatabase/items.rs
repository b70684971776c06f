//! The items of a geodatabase that is being written, and the links between them.
//!
//! Source: mobile map package reference B.3.

use super::definition_xml::{self, Described};
use super::link_xml::{self, NewRelationship};
use super::new_fields::{NewColumn, Stored};
use super::new_layer::{NewLayer, on_grid};
use super::new_names::guid;
use super::shape_blob_writer::ShapeBlobWriter;
use crate::features::{Domain, DomainRule, date_text};
use crate::geometry::{Geometry, GeometryKind, GridAxis, PrecisionGrid};
use offmap_model::{AreaOfInterest, Envelope, SpatialReference};
use rusqlite::{Connection, params};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Types of items and links.
const FOLDER: &str = "{F3783E6F-65CA-4514-8315-CE3985DAD3B1}";
const WORKSPACE: &str = "{C673FE0F-7280-404F-8532-20755DD8FC06}";
const MARKER: &str = "{DC64B6E4-DC0F-43BD-B4F5-F22385DCF055}";
const FEATURE_CLASS: &str = "{70737809-852C-4A03-9E22-2CECEA5B9BFA}";
const TABLE: &str = "{CD06BC3B-789D-4C51-AAFA-A467912B8965}";
const RELATIONSHIP: &str = "{B606A7E1-FA5B-439C-849C-6E9C2481537B}";
const CODED: &str = "{8C368B12-A12E-4C7E-9638-C9C64E69E98F}";
const RANGE: &str = "{C29DA988-8C3E-45F7-8B5C-18E51EE7BEB4}";
const IN_FOLDER: &str = "{DC78F1AB-34E4-43AC-BA47-1C4EABD0E7C7}";
const HAS_DOMAIN: &str = "{17E08ADB-2B31-4DCD-8FDD-DF529E88F843}";
const IS_RELATED: &str = "{725BADAB-3452-491B-A795-55F32D67229C}";
/// Number of the spatial reference of the items' extents.
const ITEMS_SRID: u32 = 4326;

/// What is written, as the registries need it.
pub(super) struct Written<'a> {
    pub(super) layers: &'a [NewLayer],
    pub(super) relationships: &'a [NewRelationship],
    /// Milliseconds since 1970.
    pub(super) moment: i64,
}

/// Columns of an attachment table behind its id.
pub(super) fn attachment_columns() -> Vec<NewColumn> {
    let column = |name: &str, stored, is_nullable| NewColumn {
        name: name.to_owned(),
        alias: name.to_owned(),
        stored,
        is_nullable,
        domain: None,
    };
    vec![
        column("GLOBALID", Stored::GlobalId, false),
        column("REL_GLOBALID", Stored::Guid, false),
        column("CONTENT_TYPE", Stored::Text(150), false),
        column("ATT_NAME", Stored::Text(250), false),
        column("DATA_SIZE", Stored::Int32, false),
        column("DATA", Stored::Blob, true),
    ]
}

/// The column of an attachment table's ids.
pub(super) const ATTACHMENT_ID: &str = "ATTACHMENTID";

/// Adds an item for everything that was written.
pub(super) fn add_items(connection: &Connection, written: &Written<'_>) -> rusqlite::Result<()> {
    Items::new(connection, written).add_all()
}

/// Adds items and links.
struct Items<'a> {
    connection: &'a Connection,
    written: &'a Written<'a>,
    root: String,
    next: i64,
    next_link: i64,
    extent: Option<[f64; 4]>,
}

/// One item.
#[derive(Default)]
struct Item<'a> {
    name: &'a str,
    kind: &'a str,
    path: &'a str,
    properties: i64,
    subtypes: [Option<i64>; 2],
    info: Option<&'a str>,
    definition: Option<String>,
    extent: Option<[f64; 4]>,
}

impl<'a> Items<'a> {
    fn new(connection: &'a Connection, written: &'a Written<'a>) -> Self {
        Self { connection, written, root: guid(&["item", "\\"]), next: 1, next_link: 1, extent: None }
    }

    fn add(&mut self, item: &Item<'_>) -> rusqlite::Result<String> {
        let id = if item.kind == FOLDER { self.root.clone() } else { guid(&["item", item.kind, item.name]) };
        let add = "INSERT INTO GDB_Items(ObjectID, UUID, Type, Name, PhysicalName, Path, Properties, DatasetSubtype1, DatasetSubtype2, DatasetInfo1, Definition, Shape)
             VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
        let shape = item.extent.map(extent_blob);
        self.connection.prepare_cached(add)?.execute(params![
            self.next,
            id,
            item.kind,
            item.name,
            item.name.to_uppercase(),
            item.path,
            item.properties,
            item.subtypes[0],
            item.subtypes[1],
            item.info,
            item.definition,
            shape
        ])?;
        if let Some([a, b, c, d]) = item.extent {
            let add = "INSERT INTO st_spindex__GDB_Items_Shape VALUES(?1, ?2, ?3, ?4, ?5)";
            self.connection.execute(add, params![self.next, a, c, b, d])?;
            let wider = |[e, f, g, h]: [f64; 4]| [e.min(a), f.min(b), g.max(c), h.max(d)];
            self.extent = Some(self.extent.map_or([a, b, c, d], wider));
        }
        self.next += 1;
        Ok(id)
    }

    fn link(&mut self, kind: &str, from: &str, to: &str) -> rusqlite::Result<()> {
        let add = "INSERT INTO GDB_ItemRelationships VALUES(?1, ?2, ?3, ?4, ?5, 1, NULL)";
        let id = guid(&["link", kind, from, to]);
        self.connection.prepare_cached(add)?.execute(params![self.next_link, id, kind, from, to])?;
        self.next_link += 1;
        Ok(())
    }

    fn add_all(&mut self) -> rusqlite::Result<()> {
        self.add(&Item { kind: FOLDER, path: "\\", properties: 1, ..Item::default() })?;
        let definition = Some(definition_xml::workspace());
        self.add(&Item { name: "Workspace", kind: WORKSPACE, subtypes: [Some(1), None], definition, ..Item::default() })?;
        let mut moment = String::new();
        date_text(self.written.moment, false, &mut moment);
        let definition = Some(definition_xml::historical_marker(moment.get(..19).unwrap_or_default()));
        self.add(&Item { name: "DEFAULT", kind: MARKER, properties: 1, definition, ..Item::default() })?;
        let domains = self.add_domains()?;
        let mut tables = BTreeMap::new();
        for layer in self.written.layers {
            let id = self.add_layer(layer)?;
            for domain in layer.columns.iter().filter_map(|c| domains.get(c.domain.as_ref()?)).collect::<BTreeSet<_>>() {
                self.link(HAS_DOMAIN, &id, domain)?;
            }
            tables.insert(layer.table.clone(), id);
            if let Some(table) = layer.attachment_table() {
                let id = self.add_attachments(&table)?;
                tables.insert(table, id);
            }
        }
        for relationship in self.written.relationships {
            self.add_relationship(relationship, &tables)?;
        }
        let [xmin, ymin, xmax, ymax] = self.extent.unwrap_or_default();
        let set = "UPDATE GDB_Layers SET minx = ?1, miny = ?2, maxx = ?3, maxy = ?4 WHERE table_name = 'GDB_Items'";
        self.connection.execute(set, [xmin, ymin, xmax, ymax])?;
        Ok(())
    }

    fn add_domains(&mut self) -> rusqlite::Result<BTreeMap<String, String>> {
        let mut all: BTreeMap<&str, (&Arc<Domain>, Stored)> = BTreeMap::new();
        for layer in self.written.layers {
            for (field, column) in layer.schema.fields.iter().zip(&layer.columns) {
                if let Some(domain) = &field.domain {
                    all.entry(&domain.name).or_insert((domain, column.stored));
                }
            }
        }
        let mut ids = BTreeMap::new();
        for (name, (domain, field)) in all {
            let kind = if matches!(domain.rule, DomainRule::Coded(_)) { CODED } else { RANGE };
            let definition = Some(link_xml::domain(domain, field));
            let id = self.add(&Item { name, kind, properties: 1, definition, ..Item::default() })?;
            ids.insert(name.to_owned(), id);
        }
        Ok(ids)
    }

    fn relationships_of(&self, table: &str) -> Vec<String> {
        let all = self.written.relationships.iter().filter(|r| r.origin == table || r.destination == table);
        all.map(|r| r.name.clone()).collect()
    }

    fn add_dataset(&mut self, table: &str, item: Item<'_>) -> rusqlite::Result<String> {
        let (name, path) = (format!("main.{table}"), format!("\\main.{table}"));
        let id = self.add(&Item { name: &name, path: &path, properties: 1, ..item })?;
        let root = self.root.clone();
        self.link(IN_FOLDER, &root, &id)?;
        Ok(id)
    }

    fn add_layer(&mut self, layer: &NewLayer) -> rusqlite::Result<String> {
        let columns: Vec<NewColumn> = layer.columns.iter().cloned().chain(layer.own_global_id()).collect();
        let relationships = self.relationships_of(&layer.table);
        let described = Described {
            table: &layer.table,
            alias: &layer.schema.title,
            id: self.next,
            key: &layer.key,
            columns: &columns,
            global_id: layer.global_id.as_ref().map(|(name, _)| name.as_str()),
            relationships: &relationships,
        };
        let Some((geometry, shape)) = layer.schema.geometry.as_ref().zip(layer.shape.as_ref()) else {
            let definition = Some(definition_xml::table(&described, Some(layer)));
            return self.add_dataset(&layer.table, Item { kind: TABLE, definition, ..Item::default() });
        };
        let number = match geometry.kind {
            GeometryKind::Point => 1,
            GeometryKind::Multipoint => 2,
            GeometryKind::Line => 3,
            GeometryKind::Polygon => 4,
        };
        let item = Item {
            kind: FEATURE_CLASS,
            subtypes: [Some(1), Some(number)],
            info: Some(&shape.name),
            definition: definition_xml::feature_class(&described, layer),
            extent: in_degrees(layer.progress.extent, &geometry.spatial_reference),
            ..Item::default()
        };
        self.add_dataset(&layer.table, item)
    }

    fn add_attachments(&mut self, table: &str) -> rusqlite::Result<String> {
        let (columns, relationships) = (attachment_columns(), self.relationships_of(table));
        let described = Described {
            table,
            alias: "",
            id: self.next,
            key: ATTACHMENT_ID,
            columns: &columns,
            global_id: Some("GLOBALID"),
            relationships: &relationships,
        };
        let definition = Some(definition_xml::table(&described, None));
        self.add_dataset(table, Item { kind: TABLE, definition, ..Item::default() })
    }

    fn add_relationship(&mut self, of: &NewRelationship, tables: &BTreeMap<String, String>) -> rusqlite::Result<()> {
        let definition = Some(link_xml::relationship(of, self.next));
        let item = Item { kind: RELATIONSHIP, subtypes: [Some(2), Some(0)], definition, ..Item::default() };
        let id = self.add_dataset(&of.name, item)?;
        for end in [&of.origin, &of.destination] {
            if let Some(end) = tables.get(end) {
                self.link(IS_RELATED, end, &id)?;
            }
        }
        Ok(())
    }
}

/// An extent in degrees, where its spatial reference is known.
fn in_degrees(extent: Option<[f64; 4]>, reference: &SpatialReference) -> Option<[f64; 4]> {
    let [xmin, ymin, xmax, ymax] = extent?;
    let area = AreaOfInterest::from(Envelope::new(xmin, ymin, xmax, ymax, reference.clone()));
    let [[west, south], [east, north]] = area.wgs84_extent().ok()?;
    on_grid(Some([west, south, east, north]), &items_grid())
}

fn items_grid() -> PrecisionGrid {
    let (xy, other) = (GridAxis::new(-400.0, 1e9), GridAxis::new(0.0, 1.0));
    PrecisionGrid { x: xy, y: xy, z: other, m: other }
}

/// An extent as the polygon that real files have.
fn extent_blob([xmin, ymin, xmax, ymax]: [f64; 4]) -> Vec<u8> {
    let (mut shape, mut blob) = (Geometry::default(), Vec::new());
    shape.begin(GeometryKind::Polygon, false, false);
    for corner in [[xmin, ymin], [xmax, ymin], [xmax, ymax], [xmin, ymax]] {
        shape.add_point(corner, 0.0, 0.0);
    }
    shape.close_part();
    // Five points are short enough.
    let _ = ShapeBlobWriter::default().write(&shape, ITEMS_SRID, &items_grid(), &mut blob);
    blob
}
