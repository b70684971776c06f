#!/usr/bin/env bash
# Opens a package of ours with readers that others wrote: GDAL (rasterio), vtpk-reader, Python's sqlite3 and zipfile.
# Usage: tests/readers.sh PACKAGE_DIRECTORY [FILE.mmpk]
# Says plainly when it is skipped, because the readers cannot be installed here.
set -euo pipefail
package=${1:?the directory of a package}
mmpk=${2:-}
venv=${READERS_VENV:-target/readers}
if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -c 'import rasterio, vtpk_reader' 2>/dev/null; then
  python3 -m venv "$venv" 2>/dev/null && "$venv/bin/pip" install --quiet rasterio==1.4.4 vtpk-reader==0.1.0 2>/dev/null || {
    echo "readers: SKIPPED, rasterio and vtpk-reader cannot be installed here"
    exit 0
  }
fi
exec "$venv/bin/python" - "$package" "$mmpk" <<'PY'
import json, pathlib, sqlite3, sys, zipfile
import rasterio
from vtpk_reader import Vtpk

package, mmpk = pathlib.Path(sys.argv[1]), sys.argv[2]
manifest = json.loads((package / "offmap/manifest.json").read_text())
info = json.loads((package / "package.info").read_text())
document = json.loads((package / "p13" / (info["maps"][0] + ".mmap")).read_text())
got = {layer["id"]: layer["got"] for layer in manifest["layers"]}


def layers(node):
    for layer in node:
        yield from layers(layer["layers"]) if "layers" in layer else [layer]


everything = document["map"]["baseMap"]["baseMapLayers"] + document["map"]["operationalLayers"] + document["map"].get("tables", [])
seen = set()
for layer in layers(everything):
    name, _, query = layer["path"].removeprefix("file:./").partition("?")
    file = package / "p13" / name
    if file.suffix == ".tpkx":
        with rasterio.open(file) as raster:
            assert raster.driver == "ESRIC", raster.driver
            sums = [raster.checksum(i) for i in raster.indexes]
            assert any(sums), "an empty picture"
            print(f"tpkx         {raster.driver} {raster.width}x{raster.height} {raster.crs} checksums {sums}")
    elif file.suffix == ".vtpk":
        vtpk = Vtpk(str(file))
        tiles = list(vtpk.get_tiles(range(vtpk.min_lod, vtpk.max_lod + 1), None))
        features = sum(len(part) for tile in tiles for part in vtpk.tile_features(tile).values())
        assert len(tiles) == got[layer["id"]], (len(tiles), got[layer["id"]])
        print(f"vtpk         {len(tiles)} tiles, levels {vtpk.min_lod} to {vtpk.max_lod}, {features} feature parts decoded")
    elif file.suffix == ".geodatabase":
        item = int(query.removeprefix("itemId="))
        database = sqlite3.connect(f"file:{file}?immutable=1", uri=True)
        assert database.execute("PRAGMA application_id").fetchone()[0] == 0x45737269
        table, = database.execute("SELECT DatasetName FROM GDB_ServiceItems WHERE ItemType = 1 AND ItemId = ?", [item]).fetchone()
        rows, = database.execute(f'SELECT count(*) FROM "{table}"').fetchone()
        assert rows == got[layer["id"]], (table, rows, got[layer["id"]])
        print(f"geodatabase  {table}: {rows} rows, as planned")
    else:
        raise SystemExit(f"unknown file {file}")
    seen.add(file.suffix)
assert {".tpkx", ".vtpk", ".geodatabase"} <= seen, seen
if mmpk:
    with zipfile.ZipFile(mmpk) as archive:
        assert archive.testzip() is None
        assert all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())
        assert "package.info" in archive.namelist()
        print(f"mmpk         {len(archive.namelist())} entries, all stored, checksums right")
print("readers: ok")
PY
