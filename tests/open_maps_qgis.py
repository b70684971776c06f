"""Opens map.qgz of a folder with QGIS, says whether every layer is valid, and draws it to qgis.png beside the folder's data.

`open_maps_qgis.py FOLDER [PICTURE]`; the extent is that of the folder's manifest, where it has one, or of BOUNDS (west,south,east,north)."""
import json
import os
import pathlib
import sys

from qgis.core import QgsApplication, QgsMapRendererParallelJob, QgsMapSettings, QgsProject, QgsRectangle, QgsCoordinateReferenceSystem, QgsCoordinateTransform
from qgis.PyQt.QtCore import QSize
from qgis.PyQt.QtGui import QColor

folder = sys.argv[1]
picture = sys.argv[2] if len(sys.argv) > 2 else f"{folder}/qgis.png"
manifest = pathlib.Path(folder, "manifest.json")
bounds = [-0.5, -0.6, 11.5, 8.2]
if manifest.exists():
    bounds = sum(json.loads(manifest.read_text())["extent"], [])
if os.environ.get("BOUNDS"):
    bounds = [float(number) for number in os.environ["BOUNDS"].split(",")]
application = QgsApplication([], False)
application.initQgis()
project = QgsProject.instance()
assert project.read(f"{folder}/map.qgz"), project.error()
layers = list(project.mapLayers().values())
invalid = [layer.name() for layer in layers if not layer.isValid() or (layer.isSpatial() and not layer.crs().isValid())]
assert layers and not invalid, f"invalid layers: {invalid}"
shown = [node.layer() for node in project.layerTreeRoot().findLayers() if node.isVisible() and node.layer()]
lost = [node.name() for node in project.layerTreeRoot().findLayers() if node.layer() is None]
assert not lost, f"layers of the tree that are not there: {lost}"
for layer in project.layerTreeRoot().findLayers():
    kind = layer.layer()
    renderer = kind.renderer()
    detail = renderer.type() if renderer else "-"
    count = f"{kind.featureCount()} features, {kind.crs().authid()}" if hasattr(kind, "featureCount") else kind.crs().authid()
    print(f"qgis: {kind.name():16} {'shown ' if layer.isVisible() else 'hidden'} {detail:18} {count}, opacity {kind.opacity():.2f}")
settings = QgsMapSettings()
settings.setDestinationCrs(project.crs())
assert project.crs().authid() == "EPSG:3857", project.crs().authid()
wgs84 = QgsCoordinateReferenceSystem("EPSG:4326")
transform = QgsCoordinateTransform(wgs84, project.crs(), project)
settings.setExtent(transform.transformBoundingBox(QgsRectangle(*bounds)))
settings.setLayers(shown)
settings.setOutputSize(QSize(1200, 900))
settings.setOutputDpi(96)
settings.setBackgroundColor(QColor("white"))
job = QgsMapRendererParallelJob(settings)
job.start()
job.waitForFinished()
assert not job.errors(), [error.message for error in job.errors()]
image = job.renderedImage()
colors = {image.pixel(x, y) for x in range(0, 1200, 3) for y in range(0, 900, 3)}
assert len(colors) > 40, f"an empty picture: {len(colors)} colours"
image.save(picture)
print(f"qgis: {len(colors)} colours drawn")
