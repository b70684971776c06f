"""Compares GeoParquet files, as geopandas and pyarrow read them, with the layers of a GeoPackage, as GDAL reads those.

Usage: open_parquet.py FILE.gpkg DIRECTORY
"""

import json
import pathlib
import sqlite3
import sys

import geopandas
import pyarrow
import pyarrow.parquet
import pyogrio
import shapely

package = sqlite3.connect(f"file:{pathlib.Path(sys.argv[1]).resolve()}?mode=ro", uri=True)
paths = sorted(pathlib.Path(sys.argv[2]).glob("*.parquet"))
assert paths, f"there is no GeoParquet file in {sys.argv[2]}"
for path in paths:
    layer = path.stem
    key = next(c[1] for c in package.execute(f'PRAGMA table_info("{layer}")') if c[5])
    meta, expected = pyogrio.read_arrow(sys.argv[1], layer=layer, return_fids=True)
    table = pyarrow.parquet.read_table(path)
    shape = meta["geometry_name"]
    order = table.sort_by(key) if key in table.column_names else table
    ids = expected.column("fid").to_pylist() if "fid" in expected.column_names else expected.column(meta["fid_column"]).to_pylist()
    rows = sorted(range(len(ids)), key=ids.__getitem__)
    assert order.num_rows == len(rows), (layer, order.num_rows, len(rows))
    if key in order.column_names:
        assert order.column(key).to_pylist() == [ids[row] for row in rows]
    compared = 0
    for name in meta["fields"]:
        own = order.column(name).to_pylist()
        if pyarrow.types.is_dictionary(expected.schema.field(name).type):
            # GDAL answers what codes of a domain mean.
            codes = dict(package.execute(f'SELECT "{key}", "{name}" FROM "{layer}"'))
            theirs = [codes[i] for i in ids]
        else:
            theirs = expected.column(name).to_pylist()
        for found, row in zip(own, rows):
            other = theirs[row]
            if hasattr(found, "tzinfo") and hasattr(other, "tzinfo"):
                found, other = found.replace(tzinfo=None), other.replace(tzinfo=None)
            assert found == other or (found != found and other != other), (layer, name, found, other)
            compared += 1
    line = f"pyarrow    {layer}: {len(rows)} rows, {compared} values as GDAL reads them"
    has_shapes = package.execute("SELECT count(*) FROM gpkg_geometry_columns WHERE table_name = ?", [layer]).fetchone()[0]
    words = pyarrow.parquet.read_metadata(path).metadata or {}
    if has_shapes:
        geo = json.loads(words[b"geo"])
        assert geo["version"] == "1.1.0" and geo["columns"][geo["primary_column"]]["encoding"] == "WKB"
        frame = geopandas.read_parquet(path)
        crs = package.execute(
            "SELECT organization_coordsys_id FROM gpkg_geometry_columns JOIN gpkg_spatial_ref_sys USING(srs_id) WHERE table_name = ?", [layer]
        ).fetchone()[0]
        # Degrees are those of OGC's CRS84, longitude first.
        assert frame.crs is not None and (frame.crs.to_epsg() == crs or (crs == 4326 and frame.crs.to_authority() == ("OGC", "CRS84"))), frame.crs
        theirs = expected.column(shape or "wkb_geometry")
        has_m = package.execute("SELECT m FROM gpkg_geometry_columns WHERE table_name = ?", [layer]).fetchone()[0]
        own = order.column(geo["primary_column"]).to_pylist()
        boxes = order.column(geo["columns"][geo["primary_column"]]["covering"]["bbox"]["xmin"][0]).to_pylist()
        for found, box, row in zip(own, boxes, rows):
            other = theirs[row].as_py()
            if found is None or other is None:
                assert found is None and other is None, (layer, ids[row])
                continue
            a, b = shapely.from_wkb(found), shapely.from_wkb(other)
            assert shapely.equals_identical(a, b) or has_m and a.equals(b), (layer, ids[row])
            if not a.is_empty:
                assert (box["xmin"], box["ymin"], box["xmax"], box["ymax"]) == a.bounds, (layer, ids[row], box)
        line += f", {len(own)} shapes in {frame.crs.name}"
    print(line)
