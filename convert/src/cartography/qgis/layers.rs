//! Layers of a project: `maplayer` elements.

use super::xml::Element;
use super::{expression, fields, labels, renderers, vector_tiles};
use crate::cartography::approximation::Report;
use crate::cartography::data_source::{GeometryKind, RasterSource, VectorSource};
use crate::cartography::map::{Features, Inherited, Layer, LayerContent};
use crate::cartography::stable_id::uuid;

/// A layer of a project.
pub(crate) struct MapLayer {
    /// Its id, the same each time.
    pub(crate) id: String,
    pub(crate) provider: &'static str,
    pub(crate) source: String,
    pub(crate) element: Element,
}

/// The id of a layer in the project: letters, digits and `_`, with a UUID behind it.
pub(crate) fn layer_id(id: &str) -> String {
    let kept: String = id.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).take(40).collect();
    format!("{kept}_{}", uuid(id).replace('-', "_"))
}

/// A coordinate reference system by its authority and code.
pub(crate) fn authority_code(wkid: u32) -> String {
    // Esri's own codes begin at 100,000 and, for some families, at 37,000.
    let authority = if wkid >= 100_000 || (37_000..38_000).contains(&wkid) { "ESRI" } else { "EPSG" };
    format!("{authority}:{wkid}")
}

/// A coordinate reference system. QGIS looks it up by its code where the element has an id below those of users' own systems; the id
/// itself is that of its database and differs between versions.
pub(crate) fn spatial_reference(name: &'static str, wkid: u32) -> Element {
    let id = Element::with_text("srsid", "1");
    let code = Element::with_text("authid", authority_code(wkid));
    Element::new(name).child(Element::new("spatialrefsys").child(id).child(code))
}

/// The layer of a project; none for groups, and for tiles that QGIS cannot read, which are reported.
pub(crate) fn map_layer(layer: &Layer, inherited: Inherited, report: &mut Report<'_>) -> Option<MapLayer> {
    match &layer.content {
        LayerContent::Group { .. } => None,
        LayerContent::Features(features) => Some(vector(layer, inherited, features, report)),
        LayerContent::RasterTiles(tiles) => raster(layer, inherited, tiles, report),
        LayerContent::VectorTiles(tiles) => vector_tile(layer, inherited, tiles, report),
    }
}

fn common(layer: &Layer, inherited: Inherited, kind: &str, source: &str) -> Element {
    let limited = inherited.min_scale > 0.0 || inherited.max_scale > 0.0;
    Element::new("maplayer")
        .attribute("type", kind)
        .attribute("hasScaleBasedVisibilityFlag", if limited { "1" } else { "0" })
        .attribute("minScale", inherited.min_scale.to_string())
        .attribute("maxScale", inherited.max_scale.to_string())
        .attribute("styleCategories", "AllStyleCategories")
        .child(Element::with_text("id", layer_id(&layer.id)))
        .child(Element::with_text("datasource", source))
        .child(Element::with_text("layername", layer.title.clone()))
}

fn opacity(inherited: Inherited) -> [Element; 2] {
    [Element::with_text("blendMode", "0"), Element::with_text("layerOpacity", inherited.opacity.to_string())]
}

fn vector(layer: &Layer, inherited: Inherited, features: &Features, report: &mut Report<'_>) -> MapLayer {
    let of = &features.source;
    let mut source = format!("./{}|layername={}", of.geopackage, of.table);
    if let Some(filter) = &features.filter {
        source.push_str("|subset=");
        source.push_str(&expression::sql(filter));
    }
    let geometry = match of.geometry {
        GeometryKind::Point => "Point",
        GeometryKind::Line => "Line",
        GeometryKind::Polygon => "Polygon",
        GeometryKind::None => "No geometry",
    };
    let mut element = common(layer, inherited, "vector", &source)
        .attribute("geometry", geometry)
        .attribute("labelsEnabled", if features.labels.is_empty() { "0" } else { "1" })
        .attribute("readOnly", "0");
    if let Some(wkid) = of.wkid {
        element = element.child(spatial_reference("srs", wkid));
    }
    element = element.child(Element::with_text("provider", "ogr").attribute("encoding", "UTF-8"));
    if of.geometry != GeometryKind::None {
        element = element.child(renderers::renderer(&features.renderer, of.geometry, &features.fields, &layer.id, report));
        if !features.labels.is_empty() {
            element =
                element.child(labels::labeling(&features.labels, &features.fields, features.renderer.reach(), &layer.id));
        }
    }
    element = element.children(opacity(inherited)).children(fields::elements(&features.fields));
    if let Some(field) = &features.display_field {
        element = element.child(Element::with_text("previewExpression", expression::name(field)));
    }
    MapLayer { id: layer_id(&layer.id), provider: "ogr", source, element }
}

fn raster(layer: &Layer, inherited: Inherited, tiles: &RasterSource, report: &mut Report<'_>) -> Option<MapLayer> {
    let Some(file) = &tiles.files.mbtiles else {
        report.approximate("raster tiles that are not in the folder as mbtiles", "nothing in QGIS");
        return None;
    };
    let source = format!("./{file}");
    let renderer = Element::new("rasterrenderer")
        .attribute("type", "multibandcolor")
        .attribute("redBand", "1")
        .attribute("greenBand", "2")
        .attribute("blueBand", "3")
        .attribute("alphaBand", "4")
        .attribute("opacity", inherited.opacity.to_string());
    let element = common(layer, inherited, "raster", &source)
        .child(spatial_reference("srs", 3857))
        .child(Element::with_text("provider", "gdal"))
        .child(Element::new("pipe").child(renderer).child(resampler()))
        .child(Element::with_text("blendMode", "0"));
    Some(MapLayer { id: layer_id(&layer.id), provider: "gdal", source, element })
}

fn resampler() -> Element {
    let smooth =
        Element::new("rasterresampler").attribute("zoomedInResampler", "bilinear").attribute("maxOversampling", "2");
    smooth.attribute("zoomedOutResampler", "bilinear")
}

fn vector_tile(layer: &Layer, inherited: Inherited, tiles: &VectorSource, report: &mut Report<'_>) -> Option<MapLayer> {
    let Some(file) = &tiles.files.mbtiles else {
        report.approximate("vector tiles that are not in the folder as mbtiles", "nothing in QGIS");
        return None;
    };
    let source = format!("type=mbtiles&url=./{file}");
    let [renderer, labeling] = vector_tiles::styles(&tiles.style, report);
    let element = common(layer, inherited, "vector-tile", &source)
        .child(spatial_reference("srs", 3857))
        .child(renderer)
        .child(labeling)
        .children(opacity(inherited));
    Some(MapLayer { id: layer_id(&layer.id), provider: "vectortile", source, element })
}
