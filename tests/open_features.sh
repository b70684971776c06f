#!/usr/bin/env bash
# Makes GeoPackages of mobile geodatabases and opens them with programs that others wrote: GDAL (pyogrio, ogrinfo), Python's sqlite3,
# and PDOK's validator. Attributes are compared with the geodatabase's own tables, shapes with its own spatial index. Of the GeoPackages
# geodatabases are made again, which sqlite3 and file(1) look at; of each layer a GeoParquet file, which geopandas and pyarrow read.
# Usage: tests/open_features.sh FILE.geodatabase|DIRECTORY ...   (every geodatabase below a directory)
# OPEN_FEATURES_PROGRAMS is a folder of the built examples; without it they are built.
# Says plainly what is skipped, because it cannot be installed here.
set -euo pipefail
[ $# -gt 0 ] || { echo "usage: tests/open_features.sh FILE.geodatabase|DIRECTORY ..." >&2; exit 2; }
cd "$(dirname "$0")/.."
venv=${OPEN_FEATURES_VENV:-target/open-features}
if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -c 'import pyogrio, numpy' 2>/dev/null; then
  python3 -m venv "$venv" 2>/dev/null && "$venv/bin/pip" install --quiet pyogrio==0.13.0 numpy 2>/dev/null || {
    echo "open features: SKIPPED, pyogrio cannot be installed here"
    exit 0
  }
fi
if ! "$venv/bin/python" -c 'import geopandas, pyarrow' 2>/dev/null && ! "$venv/bin/pip" install --quiet geopandas pyarrow 2>/dev/null; then
  echo "open features: GeoParquet SKIPPED, geopandas and pyarrow cannot be installed here"
fi
# PDOK's validator needs GDAL's own binding, which has to be of the library's version: the distribution has both.
validator_venv=${OPEN_FEATURES_VALIDATOR_VENV:-target/geopackage-validator}
validator=$validator_venv/bin/geopackage-validator
if [ ! -x "$validator" ]; then
  has_gdal() { /usr/bin/python3 -c 'from osgeo import gdal; import venv, ensurepip' 2>/dev/null; }
  if ! has_gdal && [ "$(id -u)" = 0 ]; then
    apt-get install -y --no-install-recommends python3-gdal python3-venv libsqlite3-mod-spatialite > /dev/null 2>&1 || true
  fi
  if ! has_gdal || ! /usr/bin/python3 -m venv --system-site-packages "$validator_venv" \
    || ! "$validator_venv/bin/pip" install --quiet --no-deps pdok-geopackage-validator==0.14.5 2>/dev/null \
    || ! "$validator_venv/bin/pip" install --quiet Click click-log minio pydantic pyyaml semver setuptools 2>/dev/null; then
    echo "open features: PDOK's validator SKIPPED, it cannot be installed here (it needs python3-gdal and mod_spatialite)"
    validator=
  fi
fi
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
programs=${OPEN_FEATURES_PROGRAMS:-}
if [ -z "$programs" ]; then
  cargo build --release --quiet -p offmap-formats --features geoparquet \
    --example geodatabase_to_geopackage --example geopackage_to_geodatabase --example to_geoparquet
  programs=${CARGO_TARGET_DIR:-target}/release/examples
fi
program=$programs/geodatabase_to_geopackage
count=0
while IFS= read -r -d '' from; do
  count=$((count + 1))
  to=$out/$count.gpkg
  echo "== $(basename "$from")"
  "$program" "$from" "$to"
  "$program" "$from" "$out/again.gpkg" > /dev/null
  cmp "$to" "$out/again.gpkg"
  "$venv/bin/python" tests/open_features.py "$from" "$to"
  made=$out/$count.geodatabase
  "$programs/geopackage_to_geodatabase" "$to" "$made"
  "$program" "$made" "$out/back.gpkg" > /dev/null
  "$venv/bin/python" tests/open_features.py "$made" "$out/back.gpkg" > /dev/null
  "$venv/bin/python" tests/open_features.py "$from" "$out/back.gpkg" > /dev/null
  "$venv/bin/python" tests/open_geodatabase.py "$made"
  if command -v file > /dev/null; then file "$made" | grep -q 'Esri Spatially-Enabled Database'; fi
  if "$venv/bin/python" -c 'import geopandas, pyarrow' 2>/dev/null; then
    mkdir -p "$out/parquet" && rm -f "$out/parquet"/*
    "$programs/to_geoparquet" "$to" "$out/parquet" > /dev/null
    "$venv/bin/python" tests/open_parquet.py "$to" "$out/parquet"
  fi
  if command -v ogrinfo > /dev/null; then
    ogrinfo -ro -so -al "$to" > "$out/ogrinfo.txt" 2> "$out/ogrinfo.err"
    # GDAL before 3.7 knows version 1.3 and says so.
    if grep -v 'v1.4.0.*may only be partially supported' "$out/ogrinfo.err"; then exit 1; fi
    echo "ogrinfo    $(grep -c '^Layer name' "$out/ogrinfo.txt") layers and tables, no other warning"
  fi
  if [ -n "$validator" ]; then
    # Not asked: lower-case names, a few spatial references, no empty layer or null shape: the rules of one publisher for his own data.
    "$validator" validate --gpkg-path "$to" --validations "${PDOK_RULES:-RQ4,RQ7,RQ9,RQ10,RQ14,RQ15,RQ21,RQ26,RC20}" \
      > "$out/validator.json" 2> "$out/validator.err" || { cat "$out/validator.json" "$out/validator.err"; exit 1; }
    "$venv/bin/python" -c 'import json,sys; r=json.load(open(sys.argv[1])); assert r["success"], r["results"]; print("validator ", len(r["validations_executed"]), "rules, all kept")' "$out/validator.json"
  fi
done < <(find "$@" -type f -name '*.geodatabase' -print0 | sort -z)
[ "$count" -gt 0 ] || { echo "no geodatabase found" >&2; exit 1; }
echo "open features: ok, $count geodatabases"
