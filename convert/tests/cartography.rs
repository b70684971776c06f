//! Whole maps: what is read from the web map and the services, and what both writers make of it.

use offmap_convert::cartography::maplibre::{self, StyleOptions, TileUrls};
use offmap_convert::cartography::{
    Choice, DataSource, FeatureSource, GeometryKind, LayerContent, LayerSource, Map, RasterSource, TextPart, TileFiles,
    VectorSource, geometry_kind, qgis,
};
use serde_json::{Value, json};

fn feature_source(layer: &Value) -> Option<LayerSource> {
    let folder = layer.get("folder")?;
    let text = |key: &str| folder.get(key).and_then(Value::as_str).map(str::to_owned);
    let data = match (folder.get("style"), text("geopackage")) {
        (Some(style), _) => DataSource::VectorTiles(Box::new(VectorSource {
            files: TileFiles { pmtiles: text("pmtiles"), mbtiles: text("mbtiles") },
            levels: Some((0, 6)),
            style: style.clone(),
            sprite: text("sprite"),
            glyphs: text("glyphs"),
            attribution: None,
        })),
        (None, Some(geopackage)) => DataSource::Features(FeatureSource {
            geopackage,
            table: text("table")?,
            geometry: geometry_kind(&text("geometry").unwrap_or_default()),
            geojson: text("geojson"),
            label_points: None,
            attribution: None,
            wkid: Some(4326),
        }),
        (None, None) => DataSource::RasterTiles(RasterSource {
            files: TileFiles { pmtiles: text("pmtiles"), mbtiles: text("mbtiles") },
            tile_size: 256,
            levels: Some((0, 6)),
            attribution: None,
        }),
    };
    Some(LayerSource { data, description: folder.get("description").cloned().unwrap_or(Value::Null) })
}

fn every_symbol() -> Map {
    let document = serde_json::from_str(include_str!("fixtures/every_symbol.json")).expect("JSON");
    Map::from_web_map(&document, &mut feature_source)
}

fn style_layer<'a>(style: &'a Value, id: &str) -> &'a Value {
    let layers = style["layers"].as_array().expect("an array");
    layers.iter().find(|layer| layer["id"] == id).unwrap_or_else(|| panic!("no {id}"))
}

/// Facts of a package that ArcGIS Pro 1.2 wrote: its map says nothing of the drawing, the service's description says it all.
#[test]
fn a_desktop_package_draws_as_its_geodatabase_says() {
    let document = json!({"map": {"version": "1.0", "operationalLayers": [{
        "id": "2fb374f3cb2d45e6b22a2fd080e8185d", "title": "states", "visibility": true, "layerType": "ArcGISFeatureLayer",
        "path": "file:./feature_service_data.geodatabase?itemId=0"}],
        "baseMap": {"baseMapLayers": []}, "spatialReference": {"wkid": 102100, "latestWkid": 3857}},
        "item": {"title": "USA", "extent": [[-178.2, 18.9], [-66.9, 71.4]]}});
    let outline = json!({"type": "esriSLS", "style": "esriSLSSolid", "color": [26, 26, 26, 128], "width": 0.75});
    let description = json!({"id": 0, "minScale": 0, "maxScale": 0, "displayField": "STATE_NAME",
        "drawingInfo": {"transparency": 29, "renderer": {"type": "simple", "label": "",
            "symbol": {"type": "esriSFS", "style": "esriSFSSolid", "color": [115, 178, 255, 70], "outline": outline},
            "visualVariables": [{"type": "sizeInfo", "axis": "height", "valueUnit": ""}]},
            "labelingInfo": [{"labelPlacement": "esriServerPolygonPlacementAlwaysHorizontal", "where": null,
                "labelExpression": "[state_name]", "useCodedValues": true, "minScale": 0, "maxScale": 0,
                "symbol": {"type": "esriTS", "color": [0, 0, 0, 255],
                    "font": {"family": "Arial", "size": 8, "style": "italic", "weight": "bold"}}}]},
        "fields": [{"name": "STATE_NAME", "type": "esriFieldTypeString", "alias": "AREA"}]});
    let mut resolver = |_: &Value| {
        let geometry = GeometryKind::Polygon;
        let data = FeatureSource {
            geopackage: "data.gpkg".into(),
            table: "states".into(),
            geometry,
            geojson: Some("states.geojson".into()),
            label_points: None,
            attribution: None,
            wkid: Some(4326),
        };
        Some(LayerSource { data: DataSource::Features(data), description: description.clone() })
    };
    let map = Map::from_web_map(&document, &mut resolver);
    assert!(map.approximations.is_empty(), "{:?}", map.approximations);
    assert_eq!((map.title.as_str(), map.wkid), ("USA", Some(3857)));
    assert!((map.layers[0].opacity - 0.71).abs() < 1e-9, "{}", map.layers[0].opacity);
    let LayerContent::Features(features) = &map.layers[0].content else { panic!("features") };
    assert_eq!(features.labels[0].text, [TextPart::Field("STATE_NAME".into())], "spelled as the data do");
    assert_eq!(features.renderer.choice, Choice::Single);

    let style = maplibre::style(&map, &StyleOptions::default()).json;
    let fill = style_layer(&style, "2fb374f3cb2d45e6b22a2fd080e8185d/fill");
    assert_eq!(fill["paint"]["fill-color"], "rgba(115,178,255,0.275)");
    assert_eq!(fill["paint"]["fill-opacity"], 0.71);
    let line = style_layer(&style, "2fb374f3cb2d45e6b22a2fd080e8185d/line");
    assert_eq!((&line["paint"]["line-width"], &line["paint"]["line-opacity"]), (&json!(1), &json!(0.71)));
    let label = style_layer(&style, "2fb374f3cb2d45e6b22a2fd080e8185d/labels-0");
    assert_eq!(label["layout"]["text-field"], json!(["to-string", ["get", "STATE_NAME"]]));
    assert_eq!(label["layout"]["text-font"], json!(["Arial Bold Italic"]));

    let project = qgis::project(&map).qgs;
    for expected in [
        "<datasource>./data.gpkg|layername=states</datasource>",
        "<prop k=\"color\" v=\"115,178,255,70\"/>",
        "<layerOpacity>0.71</layerOpacity>",
        "fieldName=\"coalesce(to_string(&quot;STATE_NAME&quot;), &apos;&apos;)\"",
        "<alias field=\"STATE_NAME\" index=\"0\" name=\"AREA\"/>",
    ] {
        assert!(project.contains(expected), "{expected}\n{project}");
    }
}

#[test]
fn layers_stand_in_the_order_of_the_map_and_labels_on_top() {
    let map = every_symbol();
    let style = maplibre::style(&map, &StyleOptions::default()).json;
    let ids: Vec<&str> =
        style["layers"].as_array().expect("an array").iter().map(|layer| layer["id"].as_str().expect("a text")).collect();
    let at = |id: &str| ids.iter().position(|found| *found == id).unwrap_or_else(|| panic!("no {id} in {ids:?}"));
    let order = [
        "raster",
        "vector/land",
        "vector/lakes",
        "breaks/fill",
        "fills/fill",
        "lines/line",
        "markers/circle",
        "markers/icon",
        "heat/circle",
    ];
    assert!(order.windows(2).all(|pair| at(pair[0]) < at(pair[1])), "{ids:?}");
    let labels = ids.iter().position(|id| id.contains("/labels-")).expect("is there");
    assert!(ids[labels..].iter().all(|id| id.contains("/labels-")), "{ids:?}");
    assert_eq!(style["sources"]["raster"]["url"], "pmtiles://raster.pmtiles");
    assert_eq!(style_layer(&style, "raster")["paint"]["raster-opacity"], 0.5);
    assert_eq!(style_layer(&style, "hidden/circle")["layout"]["visibility"], "none");
    assert_eq!(style_layer(&style, "near/circle")["minzoom"].as_f64().expect("a number").floor(), 18.0);

    let project = qgis::project(&map).qgs;
    let tree = &project[..project.find("<relations").expect("is there")];
    let place = |name: &str| tree.find(&format!("name=\"{name}\"")).unwrap_or_else(|| panic!("no {name}"));
    let topmost_first =
        ["Only near", "Heat map", "Two fields", "Markers", "Hatches and lines", "Lines", "Fills", "Class breaks", "Vector"];
    assert!(topmost_first.windows(2).all(|pair| place(pair[0]) < place(pair[1])), "{tree}");
}

#[test]
fn what_is_simplified_is_named() {
    let map = every_symbol();
    let style = maplibre::style(&map, &StyleOptions::default());
    let project = qgis::project(&map);
    let texts =
        |list: &[offmap_convert::cartography::Approximation]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    let heat = "Heat map: the heatmap renderer is shown as one symbol of the colour rgba(255,120,0,1)";
    for list in [texts(&style.approximations), texts(&project.approximations)] {
        assert!(list.iter().any(|text| text == heat), "{list:?}");
        assert!(!list.iter().any(|text| text.starts_with("Markers:") || text.starts_with("Lines:")), "{list:?}");
    }
}

#[test]
fn the_same_map_gives_the_same_bytes() {
    let [one, two] = [every_symbol(), every_symbol()].map(|map| {
        let (style, project) = (maplibre::style(&map, &StyleOptions::default()), qgis::project(&map));
        (style.json.to_string(), style.sprites.files("sprite"), project.qgz("map").expect("an archive"))
    });
    assert!(one == two);
    assert!(one.1.len() == 4 && one.2.starts_with(b"PK"));
}

#[test]
fn vector_tiles_bring_their_sources_images_and_fonts() {
    let own = json!({"version": 8, "sources": {"esri": {"type": "vector", "url": "../../"}}, "layers": [
        {"id": "back", "type": "background", "paint": {"background-color": "#fff"}},
        {"id": "poi", "type": "symbol", "source": "esri", "source-layer": "poi", "minzoom": 5, "filter": ["==", "kind", "a"],
            "layout": {"icon-image": "pin/{kind}", "text-field": "{name}", "text-font": ["Arial Regular"]}}]});
    let document = json!({"baseMap": {"baseMapLayers": [{"id": "v", "title": "V", "opacity": 0.5, "minScale": 295_828_763.8 / 4.0, "folder":
        {"style": own, "mbtiles": "v.mbtiles", "sprite": "v/sprites/sprite", "glyphs": "v/fonts/{fontstack}/{range}.pbf"}}]}});
    let map = Map::from_web_map(&document, &mut feature_source);
    let options =
        StyleOptions { tiles: TileUrls::MbTiles, base: "https://example.org/m/".into(), ..StyleOptions::default() };
    let style = maplibre::style(&map, &options).json;
    assert_eq!(style["sprite"], json!([{"id": "v", "url": "https://example.org/m/v/sprites/sprite"}]));
    assert_eq!(style["glyphs"], "https://example.org/m/v/fonts/{fontstack}/{range}.pbf");
    assert_eq!(style["sources"]["v"]["url"], "mbtiles://https://example.org/m/v.mbtiles");
    let poi = style_layer(&style, "v/poi");
    assert_eq!(
        (&poi["source"], &poi["layout"]["icon-image"], &poi["minzoom"]),
        (&json!("v"), &json!("v:pin/{kind}"), &json!(5.0))
    );
    assert_eq!((&poi["paint"]["icon-opacity"], &poi["paint"]["text-opacity"]), (&json!(0.5), &json!(0.5)));
    // Without its tiles in the asked form the layer is left out, and named.
    let style = maplibre::style(&map, &StyleOptions::default());
    assert_eq!((style.json["layers"].as_array().expect("an array").len(), style.approximations.len()), (0, 1));
}

#[test]
fn relations_fields_and_filters_reach_the_project() {
    let folder = |table: &str, geometry: &str, description: Value| json!({"geopackage": "d.gpkg", "table": table, "geometry": geometry, "geojson": "d.geojson", "description": description});
    let end = |role: &str, other: u32, key: &str| json!([{"id": 3, "name": "checks", "relatedTableId": other, "role": role, "keyField": key}]);
    let field = |name: &str, kind: &str, domain: Value| json!({"name": name, "type": format!("esriFieldType{kind}"), "domain": domain});
    let coded = json!({"type": "codedValue", "codedValues": [{"code": 1, "name": "open & <free>"}]});
    let range = json!({"type": "range", "range": [0, 5]});
    let points = json!({"id": 0, "relationships": end("esriRelRoleOrigin", 2, "GUID"),
        "fields": [field("STATE", "Integer", coded), field("RANK", "Integer", range)]});
    let table = json!({"id": 2, "relationships": end("esriRelRoleDestination", 0, "PARENT"), "fields": []});
    let document = json!({"operationalLayers": [{"id": "p", "title": "P", "url": "https://h/rest/services/S/FeatureServer/0",
            "layerDefinition": {"definitionExpression": "state = 1 AND NAME = 'it''s'"}, "folder": folder("p", "esriGeometryPoint", points)}],
        "tables": [{"id": "t", "title": "T", "url": "http://H/rest/services/S/FeatureServer/2/", "folder": folder("t", "", table)}]});
    let map = Map::from_web_map(&document, &mut feature_source);
    assert_eq!(map.relations.len(), 1);
    assert_eq!((map.relations[0].foreign_key.as_str(), map.relations[0].key.as_str()), ("PARENT", "GUID"));
    let project = qgis::project(&map).qgs;
    for expected in [
        "<fieldRef referencingField=\"PARENT\" referencedField=\"GUID\"/>",
        "layername=p|subset=(&quot;STATE&quot; = 1) AND (&quot;NAME&quot; = &apos;it&apos;&apos;s&apos;)</datasource>",
        "<editWidget type=\"ValueMap\">",
        "<Option name=\"open &amp; &lt;free&gt;\" type=\"QString\" value=\"1\"/>",
        "<Option name=\"Max\" type=\"double\" value=\"5\"/>",
        "geometry=\"No geometry\"",
    ] {
        assert!(project.contains(expected), "{expected}\n{project}");
    }
}

#[test]
fn a_layer_without_data_is_named_and_groups_pass_on_what_they_say() {
    let circle = json!({"type": "esriSMS", "style": "esriSMSCircle", "color": [1, 2, 3, 255], "size": 6});
    let description = json!({"drawingInfo": {"renderer": {"type": "simple", "symbol": circle}}});
    let folder = json!({"geopackage": "d.gpkg", "table": "d", "geometry": "esriGeometryPoint", "geojson": "d.geojson", "description": description});
    let document = json!({"operationalLayers": [{"id": "g", "title": "G", "layerType": "GroupLayer", "visibility": false, "opacity": 0.5,
        "layers": [{"id": "a", "title": "A", "opacity": 0.5, "folder": folder}, {"id": "a", "title": "Online"}]}]});
    let map = Map::from_web_map(&document, &mut feature_source);
    let list: Vec<String> = map.approximations.iter().map(ToString::to_string).collect();
    assert_eq!(list, ["Online: a layer without data in the folder is shown as nothing"]);
    let style = maplibre::style(&map, &StyleOptions::default()).json;
    let made = style_layer(&style, "a/circle");
    assert_eq!((&made["layout"]["visibility"], &made["paint"]["circle-opacity"]), (&json!("none"), &json!(0.25)));
    // 6 points are 8 pixels, the radius is half of it.
    assert_eq!((&made["paint"]["circle-radius"], &made["paint"]["circle-stroke-width"]), (&json!(4), &json!(0)));
}
