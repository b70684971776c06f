"""Makes the data of convert/tests/fixtures/every_symbol.json: for each feature layer one feature for each class, side by side."""
import json
import pathlib
import sqlite3
import sys

from osgeo import gdal, ogr, osr

gdal.UseExceptions()
document = json.loads(pathlib.Path(sys.argv[1]).read_text())
folder = pathlib.Path(sys.argv[2])
wgs84 = osr.SpatialReference()
wgs84.ImportFromEPSG(4326)
wgs84.SetAxisMappingStrategy(osr.OAMS_TRADITIONAL_GIS_ORDER)
# The column and the row of each layer, from the west and from the south.
columns = {"cim": 9.6, "amounts": 4.8, "counts": 6}
rows = {"breaks": 0, "cim": 0, "fills": 1.4, "lines": 2.8, "markers": 4.6, "twofields": 6, "heat": 7, "amounts": 7, "counts": 5.9, "hidden": 7.5, "near": 7.5}
values = {
    "breaks": [dict(KIND=str(pop), POP=pop) for pop in (0, 5, 10, 10.5, 20, 25, 99, None)],
    "cim": [dict(KIND="cim")],
    "twofields": [dict(KIND=kind, CODE=code) for kind, code in (("a", 1), ("a", 2), ("b", None), ("b", 1))],
    "heat": [dict(KIND="x")] * 3,
    "amounts": [dict(KIND="x", POP=pop) for pop in (0, 15, 30, None)],
    "counts": [dict(KIND="x", POP=pop) for pop in (0, 30)],
    "hidden": [dict(KIND="x")],
    "near": [dict(KIND="y")],
}


def layers(node):
    for layer in node:
        yield from layers(layer["layers"]) if "layers" in layer else [layer]


def shape(kind, x, y):
    corners = [(x, y), (x + 0.9, y), (x + 0.9, y + 1.1), (x, y + 1.1), (x, y)]
    if kind == "esriGeometryPoint":
        return {"type": "Point", "coordinates": [x + 0.45, y + 0.5]}
    if kind == "esriGeometryPolyline":
        return {"type": "LineString", "coordinates": [[x, y], [x + 0.5, y + 1], [x + 1.1, y + 1.2]]}
    return {"type": "Polygon", "coordinates": [corners]}


types = {"esriFieldTypeString": ogr.OFTString, "esriFieldTypeDouble": ogr.OFTReal, "esriFieldTypeInteger": ogr.OFTInteger}
geopackage = ogr.GetDriverByName("GPKG").CreateDataSource(str(folder / "data.gpkg"))
for layer in layers(document["map"]["operationalLayers"]):
    name, of = layer["id"], layer["folder"]
    infos = of["description"]["drawingInfo"]["renderer"].get("uniqueValueInfos", [])
    attributes = values.get(name) or [dict(KIND=None if info["value"] == "<Null>" else info["value"]) for info in infos]
    table = geopackage.CreateLayer(name, wgs84, ogr.wkbUnknown)
    for field in of["description"]["fields"]:
        table.CreateField(ogr.FieldDefn(field["name"], types[field["type"]]))
    features = []
    for at, row in enumerate(attributes):
        geometry = shape(of["geometry"], at * 1.2 + columns.get(name, 0), rows[name])
        features.append({"type": "Feature", "properties": row, "geometry": geometry})
        feature = ogr.Feature(table.GetLayerDefn())
        for key, value in row.items():
            if value is not None:
                feature.SetField(key, value)
        feature.SetGeometry(ogr.CreateGeometryFromJson(json.dumps(geometry)))
        table.CreateFeature(feature)
    (folder / of["geojson"]).write_text(json.dumps({"type": "FeatureCollection", "features": features}))
geopackage = None

# A raster of one colour with a darker half, as MBTiles with all levels.
drawing = gdal.GetDriverByName("MEM").Create("", 1024, 1024, 3)
edge = 20037508.342789244
mercator = osr.SpatialReference()
mercator.ImportFromEPSG(3857)
drawing.SetProjection(mercator.ExportToWkt())
drawing.SetGeoTransform([-edge / 16, edge / 8192, 0, edge / 16 * 1.5, 0, -edge / 8192])
for band, (left, right) in enumerate(((200, 255), (60, 240), (60, 200)), 1):
    drawing.GetRasterBand(band).Fill(right)
    drawing.GetRasterBand(band).WriteRaster(0, 0, 512, 1024, bytes([left]) * (512 * 1024))
made = gdal.Translate(str(folder / "raster.mbtiles"), drawing, format="MBTiles", creationOptions=["TILE_FORMAT=PNG"])
made.BuildOverviews("NEAREST", [2, 4, 8, 16, 32])
made = None

# Vector tiles of a land with a lake, level 0 to 6.
memory = gdal.GetDriverByName("Memory").Create("", 0, 0, 0, gdal.GDT_Unknown)
land = memory.CreateLayer("land", wgs84, ogr.wkbPolygon)
land.CreateField(ogr.FieldDefn("kind", ogr.OFTString))
for kind, (west, south, east, north) in (("land", (3, -0.8, 10.8, 8)), ("lake", (9, 5.5, 10.5, 7.5))):
    feature = ogr.Feature(land.GetLayerDefn())
    feature.SetField("kind", kind)
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    feature.SetGeometry(ogr.CreateGeometryFromJson(json.dumps({"type": "Polygon", "coordinates": [ring]})))
    land.CreateFeature(feature)
gdal.VectorTranslate(str(folder / "vector.mbtiles"), memory, format="MBTILES",
                     datasetCreationOptions=["MINZOOM=0", "MAXZOOM=6"])
for file in ("raster.mbtiles", "vector.mbtiles"):
    tiles = sqlite3.connect(folder / file).execute("SELECT min(zoom_level), max(zoom_level), count(*) FROM tiles").fetchone()
    print(f"{file}: levels {tiles[0]} to {tiles[1]}, {tiles[2]} tiles")
