"""Compares a GeoPackage, as GDAL reads it, with the geodatabase that it was made of, as plain SQLite reads that.

Usage: open_features.py FILE.geodatabase FILE.gpkg
"""

import math
import pathlib
import sqlite3
import sys

import numpy
import pyogrio

source = sqlite3.connect(f"file:{pathlib.Path(sys.argv[1]).resolve()}?immutable=1", uri=True)
package = sqlite3.connect(f"file:{pathlib.Path(sys.argv[2]).resolve()}?mode=ro", uri=True)
EPOCH, DAY = 2440587.5, 86_400_000


def one(connection, sql, *values):
    return connection.execute(sql, values).fetchone()[0]


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


assert one(package, "PRAGMA application_id") == 0x47504B47 and one(package, "PRAGMA user_version") == 10400
assert one(package, "PRAGMA integrity_check") == "ok"
assert package.execute("PRAGMA foreign_key_check").fetchall() == []
listed = {name for name, _ in pyogrio.list_layers(sys.argv[2])}
layers = package.execute("SELECT table_name, data_type FROM gpkg_contents").fetchall()
has_relations = one(package, "SELECT count(*) FROM sqlite_master WHERE name = 'gpkgext_relations'") == 1
mappings = {m for m, in package.execute("SELECT mapping_table_name FROM gpkgext_relations")} if has_relations else set()
# GDAL lists the tables of pairs as well.
assert listed - mappings == {name for name, _ in layers}, (listed, layers)
geometry_columns = dict(source.execute("SELECT f_table_name, f_geometry_column FROM st_geometry_columns"))


def same(expected, found, kind):
    if expected is None:
        return found is None or (isinstance(found, float) and math.isnan(found)) or (hasattr(found, "dtype") and numpy.isnat(found))
    if kind == "realdate":
        text = numpy.datetime_as_string(found, unit="ms")
        return text == str(numpy.datetime64(round((expected - EPOCH) * DAY), "ms"))
    if isinstance(expected, bytes):
        return bytes(found) == expected
    return found == expected


for table, kind in layers:
    columns = [(c[1], c[2].lower()) for c in source.execute(f"PRAGMA table_info({quoted(table)})")]
    if not columns or table.lower().endswith("__attach") or table == "layer_styles":
        continue
    names = [name for name, _ in columns]
    current = " WHERE gdb_to_date > 5373484.0" if "gdb_to_date" in names else ""
    meta, fids, shapes, fields = pyogrio.raw.read(sys.argv[2], layer=table, return_fids=True)
    key = next(c[1] for c in package.execute(f"PRAGMA table_info({quoted(table)})") if c[5])
    rows = source.execute(f"SELECT rowid, * FROM {quoted(table)}{current}").fetchall()
    assert len(rows) == len(fids), (table, len(rows), len(fids))
    at = {int(fid): place for place, fid in enumerate(fids)}
    compared = 0
    for row in rows:
        values = dict(zip(names, row[1:]))
        place = at[values[key]] if key in values else at[row[0]]
        for name, field in zip(meta["fields"], fields):
            declared = next(d for n, d in columns if n == name)
            assert same(values[name], field[place], declared), (table, row[0], name, values[name], field[place])
            compared += 1
    line = f"pyogrio    {table}: {len(rows)} rows, {compared} values as in the geodatabase"
    if kind == "features":
        column, (index_of,) = geometry_columns[table], package.execute(
            "SELECT column_name FROM gpkg_geometry_columns WHERE table_name = ?", [table]
        ).fetchone()
        assert one(package, "SELECT rtreecheck(?)", f"rtree_{table}_{index_of}") == "ok"
        index = dict((r[0], r[1:]) for r in source.execute(f"SELECT * FROM {quoted(f'st_spindex__{table}_{column}')}"))
        fids_of_bounds, bounds = pyogrio.read_bounds(sys.argv[2], layer=table)
        by_fid = dict(zip(map(int, fids_of_bounds), bounds.T))
        boxes = 0
        for row in rows:
            values = dict(zip(names, row[1:]))
            if row[0] not in index:
                assert values[column] is None or values[column][4:8] == b"\0\0\0\0", (table, row[0])
                continue
            xmin, xmax, ymin, ymax = index[row[0]]
            found = by_fid[values[key] if key in values else row[0]]
            for expected, own in zip((xmin, ymin, xmax, ymax), found):
                assert abs(expected - own) <= abs(own) * 2**-22, (table, row[0], index[row[0]], found)
            boxes += 1
        line += f", {boxes} shapes where its spatial index has them, {meta['geometry_type']} in {meta['crs']}"
    print(line)
for base, related, mapping in package.execute(
    "SELECT base_table_name, related_table_name, mapping_table_name FROM gpkgext_relations"
) if has_relations else []:
    print(f"relation   {base} - {related}: {one(package, f'SELECT count(*) FROM {quoted(mapping)}')} pairs")
    if related.lower().endswith("__attach"):
        content = f"SELECT id, length(data) FROM {quoted(related)} ORDER BY 1"
        stated = [c[1].lower() for c in source.execute(f"PRAGMA table_info({quoted(related)})")]
        current = " WHERE gdb_to_date > 5373484.0" if "gdb_to_date" in stated else ""
        expected = source.execute(f"SELECT ATTACHMENTID, coalesce(length(DATA), 0) FROM {quoted(related)}{current} ORDER BY 1")
        assert package.execute(content).fetchall() == expected.fetchall(), related
