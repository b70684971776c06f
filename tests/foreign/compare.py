"""Compares a file that `offmap fetch` wrote with what the server has. Nothing of offmap is used.

Usage: compare.py features FILE.gpkg SOURCE.json [FROM,TO,…]   every row, attribute and coordinate of a GeoJSON source; only these fields
       compare.py tiles FILE URL SOURCE.mbtiles                 every tile of the source, and what the server answers at URL ({z}, {x}, {y})
       compare.py tiles FILE URL LEVEL/X0-X1/Y0-Y1,…            every tile of these places, as the server answers
"""
import gzip, json, pathlib, re, sqlite3, struct, sys, urllib.error, urllib.request, zipfile

import numpy, pyogrio, shapely
from pmtiles.reader import MmapSource, all_tiles

TOLERANCE = 1e-9  # degrees
# What the layer says of its rows and they have not, by fields that the server adds.
ADDED = {"OBJECTID"}


def features(file, source, only=None):
    source = json.loads(pathlib.Path(source).read_text())
    (layer, kind), = pyogrio.list_layers(file)
    id_field = source["metadata"].get("idField")
    fields = [f for f in source["metadata"]["fields"] if f["name"] != id_field and (only is None or f["name"] in only)]
    meta, fids, shapes, columns = pyogrio.raw.read(file, layer=layer, return_fids=True, datetime_as_string=True)
    found = dict(zip(meta["fields"], columns))
    names = {f["name"] for f in fields}
    assert set(found) - ADDED == names, f"columns {sorted(found)}, expected {sorted(names)}"
    assert len(fids) == len(source["features"]), f"{len(fids)} rows, expected {len(source['features'])}"
    wanted = {}
    for feature in source["features"]:
        row = [expected(feature["properties"][f["name"]], f["type"]) for f in fields]
        key = feature["properties"][id_field] if id_field else json.dumps(row)
        assert key not in wanted, f"two rows of the source are {key}"
        wanted[key] = (row, feature["geometry"])
    worst, shapes = 0.0, shapes if shapes is not None else [None] * len(fids)
    for k, fid in enumerate(fids):
        row = [got(found[f["name"]][k], f["type"]) for f in fields]
        key = int(fid) if id_field else json.dumps(row)
        assert key in wanted, f"row {key} is not in the source"
        values, geometry = wanted.pop(key)
        assert row == values, f"row {key}: {row}, expected {values}"
        worst = max(worst, shape_differs(shapes[k], geometry, key))
    assert not wanted, f"{len(wanted)} rows did not come: {list(wanted)[:5]}"
    print(f"{layer}: {len(fids)} rows, {len(fields)} fields and {kind or 'no shapes'} as in the source, coordinates within {worst:.1e} degrees")


def expected(value, kind):
    """A value of the source, as text where its column is one."""
    if value is None:
        return None
    return str(value) if kind == "String" else float(value) if kind == "Double" else int(value)


def got(value, kind):
    if value is None or value != value or str(value) in ("NaT", "None"):
        return None
    if kind == "Date":
        text = str(value).replace("Z", "").replace("+00:00", "")
        return int(numpy.datetime64(text, "ms").astype("int64"))
    return str(value) if kind == "String" else float(value) if kind == "Double" else int(value)


def parts(geometry):
    """The coordinates of a shape, part by part; each ring from its least corner on, in one direction."""
    if geometry.geom_type.startswith(("Multi", "GeometryC")):
        return [ring for one in geometry.geoms for ring in parts(one)]
    if geometry.geom_type == "Polygon":
        return [turned(ring.coords) for ring in (geometry.exterior, *geometry.interiors)]
    return [list(geometry.coords)]


def turned(ring):
    corners = [tuple(c) for c in ring][:-1]
    area = sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(corners, corners[1:] + corners[:1]))
    corners = corners if area > 0 else corners[::-1]
    first = corners.index(min(corners))
    return corners[first:] + corners[:first]


def shape_differs(wkb, geojson, key):
    if geojson is None or wkb is None:
        assert geojson is None and wkb is None, f"row {key}: one shape is missing"
        return 0.0
    ours, theirs = sorted(parts(shapely.from_wkb(wkb))), sorted(parts(shapely.geometry.shape(geojson)))
    assert [len(p) for p in ours] == [len(p) for p in theirs], f"row {key}: other corners"
    worst = max(float(numpy.abs(numpy.array(a) - numpy.array(b)).max()) for a, b in zip(ours, theirs))
    assert worst <= TOLERANCE, f"row {key}: its coordinates are {worst} degrees off"
    return worst


def bundles(file):
    """The tiles of a package: bundles of 128 × 128 tiles, with an index of offsets (40 bits) and sizes (24 bits) behind 64 bytes."""
    with zipfile.ZipFile(file) as package:
        for name in package.namelist():
            found = re.search(r"/L(\d+)/R([0-9a-f]+)C([0-9a-f]+)\.bundle$", name)
            if found is None:
                continue
            level, row, column, data = int(found[1]), int(found[2], 16), int(found[3], 16), package.read(name)
            for k, (entry,) in enumerate(struct.iter_unpack("<Q", data[64 : 64 + 8 * 128 * 128])):
                offset, size = entry & ((1 << 40) - 1), entry >> 40
                if size:
                    yield (level, column + k % 128, row + k // 128), data[offset : offset + size]


def tiles_of(file):
    if str(file).endswith(".tpkx"):
        return dict(bundles(file))
    if str(file).endswith(".pmtiles"):
        with open(file, "rb") as opened:
            return dict(all_tiles(MmapSource(opened)))
    database = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    rows = database.execute("SELECT zoom_level, tile_column, tile_row, tile_data FROM tiles")
    return {(z, x, (1 << z) - 1 - y): data for z, x, y, data in rows}


def plain(data):
    """Vector tiles may come with gzip or without."""
    return gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data


def answer(url):
    """What the server gives to a plain client; again where it is busy or hangs up."""
    for _ in range(200):
        try:
            with urllib.request.urlopen(url, timeout=30) as response:
                return response.read() or None
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            if error.code not in (429, 503):
                raise
        except (urllib.error.URLError, ConnectionError, OSError):
            pass
    raise SystemExit(f"{url} does not answer")


def places_of(text):
    for part in text.split(","):
        level, columns, rows = part.split("/")
        (x0, x1), (y0, y1) = (map(int, side.split("-")) for side in (columns, rows))
        yield from ((int(level), x, y) for x in range(x0, x1 + 1) for y in range(y0, y1 + 1))


def tiles(file, url, source):
    found = {place: plain(data) for place, data in tiles_of(file).items()}
    if source.endswith((".mbtiles", ".pmtiles")):
        wanted = {place: plain(data) for place, data in tiles_of(source).items()}
        same(found, wanted, "the source")
    else:
        wanted = {place: b"" for place in places_of(source)}
    if url != "-":
        served = {}
        for z, x, y in wanted:
            data = answer(url.format(z=z, x=x, y=y, y_up=(1 << z) - 1 - y))
            if data is not None:
                served[z, x, y] = plain(data)
        same(found, served, "the server")
    levels = sorted({z for z, _, _ in found})
    print(f"{pathlib.Path(file).name}: {len(found)} tiles of levels {levels[0]} to {levels[-1]}, byte for byte as the server has them")


def same(found, wanted, whose):
    missing, extra = wanted.keys() - found.keys(), found.keys() - wanted.keys()
    other = [place for place in wanted.keys() & found.keys() if wanted[place] != found[place]]
    assert found and not missing and not extra and not other, (
        f"against {whose}: {len(missing)} missing {sorted(missing)[:3]}, {len(extra)} too many {sorted(extra)[:3]}, "
        f"{len(other)} differ {sorted(other)[:3]}, of {len(wanted)}"
    )


what, *rest = sys.argv[1:]
if what == "features":
    features(rest[0], rest[1], rest[2].split(",") if len(rest) > 2 else None)
elif what == "tiles":
    tiles(*rest)
else:
    raise SystemExit(__doc__)
