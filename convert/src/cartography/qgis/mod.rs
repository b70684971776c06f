//! A map as a QGIS project, for QGIS 3.16 and later and for QField.
//!
//! All paths are relative to the project, all ids are made of the map's own: the same map gives the same project. Pictures are within it.
//! QGIS reads GeoPackage and MBTiles; it reads no PMTiles of rasters, so that a layer with nothing else is left out and reported.

mod expression;
mod fields;
mod labels;
mod layers;
mod renderers;
mod symbols;
mod vector_filter;
mod vector_tiles;
mod xml;

use super::approximation::{Approximation, Report};
use super::map::{Inherited, Layer, LayerContent, Map};
use layers::{MapLayer, authority_code, layer_id, map_layer, spatial_reference};
use std::io::{self, Cursor, Write};
use xml::Element;
use zip::write::SimpleFileOptions;
use zip::{DateTime, ZipWriter};

/// A project and what of the map it shows more simply.
#[derive(Clone, Debug)]
pub struct Project {
    /// The project's XML (`.qgs`).
    pub qgs: String,
    /// What reading the map and writing the project simplified.
    pub approximations: Vec<Approximation>,
}

impl Project {
    /// The project as a `.qgz`: a ZIP of its XML, which is named `<name>.qgs`. The same project gives the same bytes.
    pub fn qgz(&self, name: &str) -> io::Result<Vec<u8>> {
        let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default().last_modified_time(DateTime::default());
        archive.start_file(format!("{name}.qgs"), options).map_err(io::Error::from)?;
        archive.write_all(self.qgs.as_bytes())?;
        Ok(archive.finish().map_err(io::Error::from)?.into_inner())
    }
}

/// Writes a map as a QGIS project.
pub fn project(map: &Map) -> Project {
    let mut writer = Writer { layers: Vec::new(), approximations: map.approximations.clone() };
    // QGIS lists the topmost first.
    let mut tree = writer.tree(&map.layers, Inherited::default());
    tree.extend(writer.tree(&map.tables, Inherited::default()));
    let Writer { layers, approximations } = writer;
    let tree = Element::new("layer-tree-group").children(tree);
    let order = layers.iter().rev().map(|layer| Element::new("layer").attribute("id", layer.id.clone()));
    let mut root = Element::new("qgis").attribute("version", "3.16.0").attribute("projectname", map.title.clone());
    root = root.child(Element::new("homePath").attribute("path", "")).child(Element::with_text("title", map.title.clone()));
    let wkid = map.wkid.unwrap_or(3857);
    root = root.child(spatial_reference("projectCrs", wkid)).child(tree).child(relations(map));
    root = root.children(canvas(map, wkid));
    root = root.child(Element::new("layerorder").children(order));
    root = root.child(Element::new("projectlayers").children(layers.into_iter().map(|layer| layer.element)));
    let absolute = Element::with_text("Absolute", "false").attribute("type", "bool");
    // The old place of the project's reference system, for readers that do not find the new one.
    let projected = Element::with_text("ProjectionsEnabled", "1").attribute("type", "int");
    let code = Element::with_text("ProjectCrs", authority_code(wkid)).attribute("type", "QString");
    let properties = [Element::new("SpatialRefSys").child(projected).child(code), Element::new("Paths").child(absolute)];
    root = root.child(Element::new("properties").children(properties));
    Project { qgs: root.document(), approximations }
}

struct Writer {
    layers: Vec<MapLayer>,
    approximations: Vec<Approximation>,
}

impl Writer {
    /// The entries of layers in the tree, the topmost first.
    fn tree(&mut self, layers: &[Layer], above: Inherited) -> Vec<Element> {
        let mut entries: Vec<Element> = layers.iter().filter_map(|layer| self.entry(layer, above)).collect();
        entries.reverse();
        entries
    }

    fn entry(&mut self, layer: &Layer, above: Inherited) -> Option<Element> {
        let own = above.with(layer);
        let checked = if layer.visible { "Qt::Checked" } else { "Qt::Unchecked" };
        if let LayerContent::Group { layers, exclusive } = &layer.content {
            let entries = self.tree(layers, own);
            let mut group = Element::new("layer-tree-group").attribute("name", layer.title.clone());
            group = group.attribute("checked", checked).attribute("expanded", "1");
            if *exclusive {
                // Counted from the topmost.
                let shown = layers.iter().rev().position(|layer| layer.visible).map_or("-1".to_owned(), |at| at.to_string());
                group = group.attribute("mutually-exclusive", "1").attribute("mutually-exclusive-child", shown);
            }
            return Some(group.children(entries));
        }
        let made = map_layer(layer, own, &mut Report::new(&layer.title, &mut self.approximations))?;
        let entry = Element::new("layer-tree-layer")
            .attribute("id", made.id.clone())
            .attribute("name", layer.title.clone())
            .attribute("providerKey", made.provider)
            .attribute("source", made.source.clone())
            .attribute("checked", checked)
            .attribute("expanded", "1");
        self.layers.push(made);
        Some(entry)
    }
}

fn relations(map: &Map) -> Element {
    let relation = |(at, relation): (usize, &super::map::Relation)| {
        let fields = Element::new("fieldRef").attribute("referencingField", relation.foreign_key.clone());
        Element::new("relation")
            .attribute("id", format!("relation_{at}_{}", super::stable_id::uuid(&format!("{relation:?}")).replace('-', "_")))
            .attribute("name", relation.name.clone())
            .attribute("referencingLayer", layer_id(&relation.referencing))
            .attribute("referencedLayer", layer_id(&relation.referenced))
            .attribute("strength", "Association")
            .child(fields.attribute("referencedField", relation.key.clone()))
    };
    Element::new("relations").children(map.relations.iter().enumerate().map(relation))
}

/// What the project shows at first; only for projects in Web Mercator and in WGS 84.
fn canvas(map: &Map, wkid: u32) -> Option<Element> {
    let [west, south, east, north] = map.extent?;
    let mercator = |latitude: f64| 6_378_137.0 * latitude.clamp(-85.06, 85.06).to_radians().tan().asinh();
    let metres = |longitude: f64| 6_378_137.0 * longitude.to_radians();
    let (units, corners) = match wkid {
        4326 => ("degrees", [west, south, east, north]),
        3857 => ("meters", [metres(west), mercator(south), metres(east), mercator(north)]),
        _ => return None,
    };
    let names = ["xmin", "ymin", "xmax", "ymax"];
    let extent = names.into_iter().zip(corners).map(|(name, at)| Element::with_text(name, at.to_string()));
    let canvas = Element::new("mapcanvas").attribute("name", "theMapCanvas").child(Element::with_text("units", units));
    let canvas = canvas.child(Element::new("extent").children(extent)).child(Element::with_text("rotation", "0"));
    Some(canvas.child(spatial_reference("destinationsrs", wkid)))
}
