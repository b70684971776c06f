#!/usr/bin/env python3
"""Remakes countries.geojson, borders.geojson and places.geojson from Natural Earth (public domain).

Sources, both unmodified copies of Natural Earth in package registries:
  npm  world-atlas 2.0.2         countries-110m.json, countries-50m.json (TopoJSON of Admin 0 countries)
  PyPI geopandas 0.14.4          naturalearth_cities (populated places, points with a name)

Countries and borders that meet the window WEST..EAST, SOUTH..NORTH come from the 1:50m set, the rest of the world from 1:110m.
Needs npm and pip; writes beside itself.
"""
import io, json, pathlib, struct, subprocess, tarfile, tempfile, zipfile

WEST, SOUTH, EAST, NORTH = -11.0, 35.0, 30.0, 60.0
HERE = pathlib.Path(__file__).resolve().parent


def fetch(folder):
    subprocess.run(["npm", "pack", "--silent", "world-atlas@2.0.2"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["python3", "-m", "pip", "download", "-q", "--no-deps", "-d", folder, "geopandas==0.14.4"], check=True)
    atlas = tarfile.open(next(folder.glob("world-atlas-*.tgz")))
    topo = {s: json.load(atlas.extractfile(f"package/countries-{s}.json")) for s in ("110m", "50m")}
    wheel = zipfile.ZipFile(next(folder.glob("geopandas-*.whl")))
    base = "geopandas/datasets/naturalearth_cities/naturalearth_cities"
    return topo, wheel.read(base + ".shp"), wheel.read(base + ".dbf")


def decode_arcs(topo):
    (sx, sy), (tx, ty) = topo["transform"]["scale"], topo["transform"]["translate"]
    arcs = []
    for arc in topo["arcs"]:
        x = y = 0
        line = []
        for dx, dy in arc:
            x, y = x + dx, y + dy
            line.append((x * sx + tx, y * sy + ty))
        arcs.append(line)
    return arcs


def ring_of(arcs, refs):
    ring = []
    for ref in refs:
        line = arcs[ref] if ref >= 0 else arcs[~ref][::-1]
        ring += line[1:] if ring else line
    return ring


def polygons(geometry):
    if geometry["type"] == "Polygon":
        return [geometry["arcs"]]
    return geometry["arcs"] if geometry["type"] == "MultiPolygon" else []


def meets(points):
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    return max(xs) >= WEST and min(xs) <= EAST and max(ys) >= SOUTH and min(ys) <= NORTH


def rounded(line, digits):
    out = []
    for x, y in line:
        p = [round(x, digits), round(y, digits)]
        if not out or out[-1] != p:
            out.append(p)
    return out


def countries(topo):
    found = {}
    for size, digits in (("110m", 2), ("50m", 3)):
        arcs = decode_arcs(topo[size])
        for g in topo[size]["objects"]["countries"]["geometries"]:
            parts = [[rounded(ring_of(arcs, r), digits) for r in p] for p in polygons(g)]
            parts = [[r for r in p if len(r) > 3] for p in parts]
            parts = [p for p in parts if p]
            key, name = g.get("id", g["properties"]["name"]), g["properties"]["name"]
            if not parts or (size == "50m" and not any(meets(p[0]) for p in parts)):
                continue
            found[key] = {"type": "Feature", "properties": {"name": name, "code": str(key)},
                          "geometry": {"type": "MultiPolygon", "coordinates": parts}}
    return [found[k] for k in sorted(found)]


def borders(topo):
    features = []
    for size, digits in (("110m", 2), ("50m", 3)):
        arcs = decode_arcs(topo[size])
        sides = {}
        for g in topo[size]["objects"]["countries"]["geometries"]:
            for part in polygons(g):
                for ring in part:
                    for ref in ring:
                        sides.setdefault(ref if ref >= 0 else ~ref, set()).add(g["properties"]["name"])
        for ref, names in sorted(sides.items()):
            if len(names) == 2 and (size == "50m") == meets(arcs[ref]):
                left, right = sorted(names)
                line = rounded(arcs[ref], digits)
                if len(line) > 1:
                    features.append({"type": "Feature", "properties": {"left": left, "right": right},
                                     "geometry": {"type": "LineString", "coordinates": line}})
    return features


def places(shp, dbf):
    count, head, size = struct.unpack("<IHH", dbf[4:12])
    names, at = [], 1
    fields = []
    for k in range(32, head - 1, 32):
        fields.append((dbf[k:k + 11].split(b"\0")[0].decode(), at, dbf[k + 16]))
        at += dbf[k + 16]
    _, start, width = next(f for f in fields if f[0].lower() == "name")
    for i in range(count):
        row = dbf[head + i * size:head + (i + 1) * size]
        names.append(row[start:start + width].decode("latin-1").strip().replace("?saka", "Osaka"))
    features, at = [], 100
    for name in names:
        length = struct.unpack(">i", shp[at + 4:at + 8])[0] * 2
        x, y = struct.unpack("<dd", shp[at + 12:at + 28])
        features.append({"type": "Feature", "properties": {"name": name},
                         "geometry": {"type": "Point", "coordinates": [round(x, 4), round(y, 4)]}})
        at += 8 + length
    return sorted(features, key=lambda f: f["properties"]["name"])


def write(name, features):
    lines = ",\n".join(json.dumps(f, ensure_ascii=False, separators=(",", ":")) for f in features)
    (HERE / name).write_text('{"type":"FeatureCollection","features":[\n' + lines + "\n]}\n", encoding="utf-8")
    print(name, len(features), "features", (HERE / name).stat().st_size, "bytes")


with tempfile.TemporaryDirectory() as folder:
    topo, shp, dbf = fetch(pathlib.Path(folder))
write("countries.geojson", countries(topo))
write("borders.geojson", borders(topo))
write("places.geojson", places(shp, dbf))
