"""Makes what the servers serve: features with the oddities of real services, raster tiles of which no two are alike.

Usage: data.py FOLDER [SIZE]   (SIZE is `small` or `large`)
Writes FOLDER/features/NAME.json (GeoJSON with Koop's `metadata`), FOLDER/raster.mbtiles and FOLDER/vector.mbtiles, and the same tiles
as single files and as PMTiles below FOLDER/files.
"""
import gzip, json, math, pathlib, random, sqlite3, struct, sys, zlib

from pmtiles.convert import mbtiles_to_pmtiles

SIZES = {"small": (1_203, 3), "large": (25_003, 6)}


def field(name, kind, **more):
    return {"name": name, "type": kind, **more}


def point(rng):
    return {"type": "Point", "coordinates": [rng.uniform(5.9, 10.5), rng.uniform(45.8, 47.8)]}


def line(rng):
    x, y = rng.uniform(5.9, 10.5), rng.uniform(45.8, 47.8)
    part = lambda dx: [[x + dx + k / 100, y + rng.uniform(0, 0.01)] for k in range(rng.randint(2, 9))]
    if rng.random() < 0.2:
        return {"type": "MultiLineString", "coordinates": [part(0), part(0.2)]}
    return {"type": "LineString", "coordinates": part(0)}


def ring(x, y, r, clockwise):
    turn = -1 if clockwise else 1
    corners = [[x + r * math.cos(turn * k * math.tau / 7), y + r * math.sin(turn * k * math.tau / 7)] for k in range(7)]
    return corners + [corners[0]]


def polygon(rng):
    x, y = rng.uniform(5.9, 10.5), rng.uniform(45.8, 47.8)
    whole = [ring(x, y, 0.02, False)]
    if rng.random() < 0.3:
        whole.append(ring(x, y, 0.01, True))
    if rng.random() < 0.2:
        return {"type": "MultiPolygon", "coordinates": [whole, [ring(x + 0.1, y, 0.02, False)]]}
    return {"type": "Polygon", "coordinates": whole}


def rows(rng, count, shape, id_field):
    """Ids in no order and with gaps; a text column that has numbers in it; nulls, umlauts, quotes and long texts."""
    ids = rng.sample(range(1, 10 * count), count)
    for n, fid in enumerate(ids):
        code = str(n) if n % 3 else f"A-{n}"
        properties = {
            # Numbers in a column of texts, as sheets and CSV files have them.
            "code": int(code) if n % 5 == 1 and code.isdigit() else code,
            "name": [f"Ort {n}", "Zürich \"Wiedikon\"", "L'Aquila", "", None, "東京 – Ω"][n % 6],
            "height": None if n % 7 == 0 else round(rng.uniform(0, 4000), 3),
            "count": None if n % 11 == 0 else rng.randint(-2_000_000_000, 2_000_000_000),
            "seen": None if n % 13 == 0 else 1_000 * rng.randint(-2_000_000_000, 2_000_000_000),
        }
        if id_field:
            properties[id_field] = fid
        yield {"type": "Feature", "properties": properties, "geometry": shape(rng) if shape else None}


def collection(name, kind, features, id_field, most):
    fields = [field("code", "String"), field("name", "String"), field("height", "Double"), field("count", "Integer"), field("seen", "Date")]
    if id_field:
        fields.insert(2, field(id_field, "Integer"))
    metadata = {"name": name, "maxRecordCount": most, "fields": fields}
    if id_field:
        metadata["idField"] = id_field
    if kind:
        metadata["geometryType"] = kind
    return {"type": "FeatureCollection", "metadata": metadata, "features": list(features)}


def write_features(folder, count):
    rng = random.Random(7)
    folder.mkdir(parents=True, exist_ok=True)
    made = {
        "points": collection("Points", "Point", rows(rng, count, point, "gid"), "gid", max(200, count // 25)),
        # As many rows as whole pages have: the last page is full, too.
        "lines": collection("Lines", "LineString", rows(rng, 400, line, "ID_Nr"), "ID_Nr", 100),
        "polygons": collection("Polygons", "Polygon", rows(rng, 333, polygon, "fid"), "fid", 50),
        # Without a field of ids: the server makes some of the rows themselves.
        "nameless": collection("Nameless", "Point", rows(rng, 321, point, None), None, 100),
        "table": collection("Table", None, rows(rng, 250, None, "gid"), "gid", 100),
    }
    for name, found in made.items():
        (folder / f"{name}.json").write_text(json.dumps(found))


def png(z, x, y):
    """A picture of one grey, with the place of its tile in the first row."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    first = struct.pack(">BII", z, x, y).ljust(256, b"\0")
    lines = b"\0" + first + (b"\0" + bytes([(37 * x + 91 * y + 11 * z) % 256]) * 256) * 255
    header = struct.pack(">IIBBBBB", 256, 256, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def vector_tile(z, x, y):
    """A Mapbox vector tile with one point, whose name is the place of its tile; with gzip."""
    def varint(n):
        return bytes([n]) if n < 128 else bytes([n & 127 | 128]) + varint(n >> 7)
    def member(number, data):
        return varint(number << 3 | 2) + varint(len(data)) + data
    name = f"{z}/{x}/{y}".encode()
    feature = member(2, b"\0\0") + varint(3 << 3) + b"\1" + member(4, varint(9) + varint(2 * 2048) + varint(2 * 2048))
    layer = member(1, b"places") + member(2, feature) + member(3, b"name") + member(4, member(1, name)) + varint(5 << 3) + varint(4096) + varint(15 << 3) + b"\2"
    return gzip.compress(member(3, layer), mtime=0)


def mbtiles(path, tiles, metadata):
    path.unlink(missing_ok=True)
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE metadata (name TEXT, value TEXT)")
    database.execute("CREATE TABLE tiles (zoom_level INTEGER, tile_column INTEGER, tile_row INTEGER, tile_data BLOB)")
    database.execute("CREATE UNIQUE INDEX tile_index ON tiles (zoom_level, tile_column, tile_row)")
    database.executemany("INSERT INTO metadata VALUES (?, ?)", metadata.items())
    rows = ((z, x, (1 << z) - 1 - y, data) for (z, x, y), data in tiles)
    database.executemany("INSERT INTO tiles VALUES (?, ?, ?, ?)", rows)
    database.commit()
    database.close()


def single_files(mbtiles_file, folder, ending):
    rows = sqlite3.connect(mbtiles_file).execute("SELECT zoom_level, tile_column, tile_row, tile_data FROM tiles")
    for z, x, row, data in rows:
        path = folder / str(z) / str(x) / f"{(1 << z) - 1 - row}.{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def write_tiles(folder, deepest):
    places = ((z, x, y) for z in range(deepest + 1) for x in range(1 << z) for y in range(1 << z))
    about = {"name": "raster", "format": "png", "minzoom": "0", "maxzoom": str(deepest), "bounds": "-180,-85.0511,180,85.0511", "type": "baselayer", "version": "1", "description": "one grey a tile"}
    mbtiles(folder / "raster.mbtiles", ((place, png(*place)) for place in places), about)
    # Some places have none, as the sea has in most tile sets.
    places = [(z, x, y) for z in range(deepest + 1) for x in range(1 << z) for y in range(1 << z) if z < 2 or (x + 2 * y) % 5]
    about |= {"name": "vector", "format": "pbf", "type": "overlay", "description": "one point a tile", "json": json.dumps({"vector_layers": [{"id": "places", "fields": {"name": "String"}}]})}
    mbtiles(folder / "vector.mbtiles", ((place, vector_tile(*place)) for place in places), about)
    for name, ending in (("raster", "png"), ("vector", "pbf")):
        single_files(folder / f"{name}.mbtiles", folder / "files" / name, ending)
        mbtiles_to_pmtiles(str(folder / f"{name}.mbtiles"), str(folder / "files" / f"{name}.pmtiles"), None)


if __name__ == "__main__":
    place = pathlib.Path(sys.argv[1])
    count, deepest = SIZES[sys.argv[2] if len(sys.argv) > 2 else "large"]
    write_features(place / "features", count)
    write_tiles(place, deepest)
