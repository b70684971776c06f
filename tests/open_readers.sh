#!/usr/bin/env bash
# Opens tiles that we converted with readers that others wrote: GDAL (rasterio for rasters, pyogrio for vectors), pmtiles,
# vtpk-reader, Python's sqlite3 and zipfile.
# Usage: tests/open_readers.sh [CONVERT_TILES]
# CONVERT_TILES is the built example of that name; without it it is built. SAMPLES is a directory of more files to convert.
# Says plainly when it is skipped, because the readers cannot be installed here.
set -euo pipefail
cd "$(dirname "$0")/.."
convert=${1:-}
if [ -z "$convert" ]; then
  cargo build --release --quiet -p offmap-formats --example convert_tiles
  convert=${CARGO_TARGET_DIR:-target}/release/examples/convert_tiles
fi
venv=${OPEN_READERS_VENV:-target/open_readers}
modules='import rasterio, pyogrio, pmtiles.reader, vtpk_reader'
if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -c "$modules" 2>/dev/null; then
  python3 -m venv "$venv" 2>/dev/null \
    && "$venv/bin/pip" install --quiet rasterio==1.4.4 pyogrio==0.13.0 pmtiles==3.8.1 vtpk-reader==0.1.0 2>/dev/null || {
    echo "open readers: SKIPPED, rasterio, pyogrio, pmtiles and vtpk-reader cannot be installed here"
    exit 0
  }
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
convert_all() { # NAME FILE PACKAGE_ENDING
  "$convert" "$2" "$work/$1.pmtiles" > /dev/null
  "$convert" "$work/$1.pmtiles" "$work/$1.mbtiles" > /dev/null
  "$convert" "$work/$1.mbtiles" "$work/$1.$3" > /dev/null
}
convert_all raster-states formats/tests/data/states_filled.tpk tpkx
convert_all vector-fixture formats/tests/data/test_fixture_1.pmtiles vtpk
if [ -n "${SAMPLES:-}" ]; then
  convert_all raster-toner "$SAMPLES/open/stamen_toner_z3.pmtiles" tpkx
  convert_all raster-cache "$SAMPLES/esri-sample-cache-v2" tpkx
  convert_all vector-points "$SAMPLES/open/manypoints_test.mbtiles" vtpk
fi
"$venv/bin/pmtiles-show" "$work/raster-states.pmtiles" > "$work/show.txt"
"$venv/bin/python" - "$work" <<'PY'
import gzip, mmap, pathlib, sqlite3, sys, zipfile
import pyogrio, rasterio
from rasterio.windows import from_bounds
from pmtiles.reader import MmapSource, Reader, all_tiles
from pmtiles.tile import Compression, zxy_to_tileid
from vtpk_reader import Vtpk

work = pathlib.Path(sys.argv[1])


def pmtiles(path):
    with open(path, "rb") as file:
        source = MmapSource(file)
        header, found = Reader(source).header(), {}
        order = []
        for (z, x, y), data in all_tiles(source):
            found[z, x, y] = data
            order.append(zxy_to_tileid(z, x, y))
        assert order == sorted(order) and header["clustered"]
        assert header["addressed_tiles_count"] == len(found), header
        assert header["tile_contents_count"] == len(set(found.values())), header
        assert Reader(source).get(*min(found)) == found[min(found)]
        return header, Reader(source).metadata(), found


def mbtiles(path):
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    rows = database.execute("SELECT zoom_level, tile_column, tile_row, tile_data FROM tiles")
    found = {(z, x, (1 << z) - 1 - y): data for z, x, y, data in rows}
    contents, = database.execute("SELECT count(*) FROM images").fetchone()
    assert contents == len(set(found.values())), "equal tiles are there once"
    return dict(database.execute("SELECT name, value FROM metadata")), found


def drawn_alike(package, other, level):
    """The rectangle of the tiles, drawn out of both files at full resolution."""
    with rasterio.open(package, EXTENT_SOURCE="TILING_SCHEME") as a, rasterio.open(other, USE_BOUNDS="NO", ZOOM_LEVEL=str(level)) as b:
        assert (a.driver, b.driver) == ("ESRIC", "MBTiles"), (a.driver, b.driver)
        assert a.crs.to_epsg() == b.crs.to_epsg() == 3857, (a.crs, b.crs)
        assert a.width == a.height == 256 << level and abs(a.res[0] - b.res[0]) < 1e-6, (a.width, level, a.res, b.res)
        window = from_bounds(*b.bounds, transform=a.transform).round_offsets().round_lengths()
        first, second = a.read([1, 2, 3], window=window), b.read([1, 2, 3])
        assert first.shape == second.shape, (first.shape, second.shape)
        assert first.any() and (first == second).all(), "the same picture"
        return [b.checksum(i) for i in (1, 2, 3)]


for path in sorted(work.glob("*.pmtiles")):
    header, metadata, tiles = pmtiles(path)
    about, same = mbtiles(path.with_suffix(".mbtiles"))
    assert tiles == same, "every tile is the same"
    levels = sorted({z for z, _, _ in tiles})
    assert (header["min_zoom"], header["max_zoom"]) == (levels[0], levels[-1])
    assert (int(about["minzoom"]), int(about["maxzoom"])) == (levels[0], levels[-1])
    assert about["name"] and len(about["bounds"].split(",")) == 4
    print(f"{path.stem:15} pmtiles and mbtiles: {len(tiles)} tiles, {header['tile_contents_count']} contents, all the same")
    package = path.with_suffix(".vtpk" if path.name.startswith("vector") else ".tpkx")
    with zipfile.ZipFile(package) as archive:
        assert archive.testzip() is None
        assert all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())
    if package.suffix == ".vtpk":
        assert all(data[:2] == b"\x1f\x8b" for data in tiles.values()) and header["tile_compression"] == Compression.GZIP
        vtpk = Vtpk(str(package))
        found = list(vtpk.get_tiles(range(vtpk.min_lod, vtpk.max_lod + 1), None))
        # A tilemap names the tiles above a tile as well, so that it is reachable; these may be missing in the source.
        above = {(z - n, x >> n, y >> n) for z, x, y in tiles for n in range(z + 1)}
        assert {(t.level, t.x, t.y) for t in found} == above, (len(found), len(above))
        stored = [t for t in found if (t.level, t.x, t.y) in tiles]
        features = sum(len(part) for tile in stored for part in vtpk.tile_features(tile).values())
        assert len(stored) == len(tiles) and features > 0
        names = {layer["id"] for layer in metadata["vector_layers"]}
        for file in (path, path.with_suffix(".mbtiles")):
            layers = {name for name, _ in pyogrio.list_layers(file)}
            assert layers == names, (file, layers, names)
            counts = {name: pyogrio.read_info(file, layer=name)["features"] for name in layers}
            print(f"{path.stem:15} {file.suffix[1:]} opened by GDAL: {counts}")
        print(f"{path.stem:15} vtpk opened by vtpk-reader: {len(stored)} tiles, {features} feature parts")
    else:
        deepest = levels[-1]
        sums = drawn_alike(package, path.with_suffix(".mbtiles"), deepest)
        print(f"{path.stem:15} tpkx and mbtiles drawn by GDAL, the same picture: checksums {sums}")
assert "max zoom" in (work / "show.txt").read_text().lower() or "max_zoom" in (work / "show.txt").read_text().lower()
print("open readers: ok")
PY
