"""Looks at a mobile geodatabase that offmap wrote with plain SQLite: tables, spatial indexes, and lists that agree with each other.

Usage: open_geodatabase.py FILE.geodatabase
"""

import pathlib
import sqlite3
import sys
import xml.etree.ElementTree

file = sqlite3.connect(f"file:{pathlib.Path(sys.argv[1]).resolve()}?immutable=1", uri=True)


def all_of(sql, *values):
    return file.execute(sql, values).fetchall()


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


assert all_of("PRAGMA application_id") == [(0x45737269,)]
tables = [name for name, in all_of("SELECT name FROM sqlite_master WHERE type = 'table' AND rootpage > 0")]
for table in tables:
    assert all_of(f"PRAGMA quick_check({quoted(table)})") == [("ok",)], table
for index, in all_of("SELECT name FROM sqlite_master WHERE sql LIKE '%USING RTREE%'"):
    assert all_of("SELECT rtreecheck(?)", index) == [("ok",)], index
# What each list says of a table is there, and the other way round.
ids = {uuid for uuid, in all_of("SELECT UUID FROM GDB_Items")}
for origin, destination in all_of("SELECT OriginID, DestID FROM GDB_ItemRelationships"):
    assert {origin, destination} <= ids
registered = dict(all_of("SELECT table_name, rowid_column FROM GDB_TableRegistry"))
for name, definition in all_of("SELECT Name, Definition FROM GDB_Items WHERE Definition IS NOT NULL"):
    root = xml.etree.ElementTree.fromstring(definition)
    if root.tag not in ("DEFeatureClassInfo", "DETableInfo"):
        continue
    table = name.removeprefix("main.")
    columns = [column for _, column, *_ in all_of(f"PRAGMA table_info({quoted(table)})")]
    listed = [field.findtext("Name") for field in root.iter("GPFieldInfoEx")]
    assert sorted(columns) == sorted(listed), (table, columns, listed)
    in_registry = [column for column, in all_of("SELECT column_name FROM GDB_ColumnRegistry WHERE table_name = ?", table)]
    assert sorted(columns) == sorted(in_registry), (table, columns, in_registry)
    assert registered[table] == root.findtext("OIDFieldName") in columns
    (following,), = all_of(
        "SELECT base_id FROM GDB_RowidGenerators JOIN GDB_TableRegistry USING(registration_id) WHERE table_name = ?", table
    )
    (last,), = all_of(f"SELECT coalesce(max({quoted(registered[table])}), 0) FROM {quoted(table)}")
    assert following == last + 1, (table, following, last)
layers = all_of("SELECT f_table_name, f_geometry_column, srid FROM st_geometry_columns")
for table, column, srid in layers:
    shapes = f"SELECT count(*) FROM {quoted(table)} WHERE {quoted(column)} IS NOT NULL AND substr({quoted(column)}, 5, 4) <> x'00000000'"
    assert all_of(shapes) == all_of(f"SELECT count(*) FROM {quoted(f'st_spindex__{table}_{column}')}"), table
    assert srid in (3857, 4326) or all_of("SELECT 1 FROM st_aux_spatial_reference_systems WHERE srid = ?", srid), srid
print(f"sqlite3    the geodatabase made of it: {len(tables)} tables and {len(layers) - 1} spatial indexes in order")
