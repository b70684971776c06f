#!/usr/bin/env bash
# `offmap fetch` against servers that others wrote: Koop (feature services), MapProxy (WMTS, TMS), fast-pmtiles (vector tiles, from a file
# that nginx has) and nginx, which drops connections and answers 429 and 503. Every row, attribute, coordinate and tile is compared by Python's sqlite3, GDAL
# (pyogrio), shapely and pmtiles with what the servers were given and with what they answer to a plain client.
# Usage: tests/foreign_servers.sh [small|large] [OFFMAP]
# `small` takes seconds, and is what CI runs; `large` is for a desk. OFFMAP is the built program; without it it is built.
# Says plainly what is skipped, because it cannot be installed here. Nothing but 127.0.0.1 is asked.
set -euo pipefail
cd "$(dirname "$0")/.."
size=${1:-large}
offmap=${2:-}
if [ -z "$offmap" ]; then
  cargo build --release --quiet -p offmap-cli
  offmap=${CARGO_TARGET_DIR:-target}/release/offmap
fi
offmap=$(realpath "$offmap")
tools=${FOREIGN_SERVERS_TOOLS:-target/foreign}
mkdir -p "$tools"
tools=$(cd "$tools" && pwd)
python=$tools/venv/bin/python
modules='import mapproxy, pyogrio, pmtiles.convert, shapely, fast_pmtiles, uvicorn'
if [ ! -x "$python" ] || ! "$python" -c "$modules" 2>/dev/null; then
  python3 -m venv "$tools/venv" 2>/dev/null && "$tools/venv/bin/pip" install --quiet MapProxy==7.0.0 fast-pmtiles==0.1.2 uvicorn==0.54.0 \
    pydantic-settings==2.16.3 pyogrio==0.13.0 shapely==2.2.0 pmtiles==3.8.1 numpy==2.4.6 setuptools==65.5.0 2>/dev/null || {
    echo "foreign servers: SKIPPED, MapProxy, fast-pmtiles, pyogrio, shapely and pmtiles cannot be installed here"
    exit 0
  }
fi
if [ ! -d "$tools/npm/node_modules/@koopjs/koop-core" ]; then
  mkdir -p "$tools/npm"
  npm install --silent --no-audit --no-fund --prefix "$tools/npm" @koopjs/koop-core@10.4.19 > /dev/null 2>&1 || true
fi
if ! command -v nginx > /dev/null && [ "$(id -u)" = 0 ]; then
  apt-get install -y --no-install-recommends nginx > /dev/null 2>&1 || true
fi

work=$(mktemp -d)
# The workers of nginx are nobody.
chmod 755 "$work"
servers=()
stop() {
  for server in ${servers[@]+"${servers[@]}"}; do kill "$server" 2>/dev/null || true; done
  wait
  rm -rf "$work"
}
trap stop EXIT
"$python" tests/foreign/data.py "$work" "$size"
read -r koop mapproxy vector nginx < <("$python" - <<'PY'
import socket
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(4)]
print(*(one.getsockname()[1] for one in held))
PY
)
filled() { sed "s#FOLDER#$work#g; s#PORT#$nginx#g; s#KOOP#$koop#g" "tests/foreign/$1" > "$work/$1"; }
filled mapproxy.yaml
filled nginx.conf
answers() { # URL: waits until a server answers
  for _ in $(seq 300); do
    if "$python" -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=5)' "$1" 2> /dev/null; then return 0; fi
    sleep 0.1
  done
  echo "foreign servers: nothing answers at $1" >&2
  tail -n 5 "$work"/*.txt >&2
  exit 1
}
fetch() { # URL OUT OPTION…
  "$offmap" fetch "$@" --progress off > "$work/fetch.txt" 2>&1 || { cat "$work/fetch.txt"; echo "foreign servers: offmap fetch $* failed" >&2; exit 1; }
}
compare() { "$python" tests/foreign/compare.py "$@" | sed 's/^/  /'; }

has_koop=
if [ -d "$tools/npm/node_modules/@koopjs/koop-core" ]; then
  has_koop=yes
  (cd "$tools/npm" && SUPPRESS_NO_CONFIG_WARNING=1 NODE_PATH=$tools/npm/node_modules exec node "$OLDPWD/tests/foreign/koop.cjs" "$work/features" "$koop") > "$work/koop.txt" 2>&1 &
  servers+=($!)
  answers "http://127.0.0.1:$koop/status"
  echo "Koop"
  services=http://127.0.0.1:$koop/odd/rest/services
  for name in points lines polygons nameless table; do
    fetch "$services/$name/FeatureServer/0" "$work/$name.gpkg"
    compare features "$work/$name.gpkg" "$work/features/$name.json"
  done
  fetch "$services/points/FeatureServer/0" "$work/fields.gpkg" --fields CODE,height
  compare features "$work/fields.gpkg" "$work/features/points.json" code,height
else
  echo "Koop: SKIPPED, @koopjs/koop-core cannot be installed here"
fi

"$python" tests/foreign/mapproxy_server.py "$work/mapproxy.yaml" "$mapproxy" > "$work/mapproxy.txt" 2>&1 &
servers+=($!)
answers "http://127.0.0.1:$mapproxy/service?SERVICE=WMTS&REQUEST=GetCapabilities"
echo "MapProxy"
deepest=$("$python" -c 'import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute("SELECT max(zoom_level) FROM tiles").fetchone()[0])' "$work/raster.mbtiles")
at=http://127.0.0.1:$mapproxy
tile="$at/service?SERVICE=WMTS&VERSION=1.0.0&REQUEST=GetTile&LAYER=grey&STYLE=&TILEMATRIXSET=web&FORMAT=image/png"
fetch "$at/wmts/grey/web/{z}/{x}/{y}.png" "$work/rest.mbtiles" --levels "0-$deepest"
compare tiles "$work/rest.mbtiles" "$at/wmts/grey/web/{z}/{x}/{y}.png" "$work/raster.mbtiles"
fetch "$tile&TILEMATRIX={z}&TILEROW={y}&TILECOL={x}" "$work/kvp.pmtiles" --levels "0-$deepest"
compare tiles "$work/kvp.pmtiles" "$tile&TILEMATRIX={z}&TILEROW={y}&TILECOL={x}" "$work/raster.mbtiles"
fetch "$at/wmts/1.0.0/WMTSCapabilities.xml" "$work/web.pmtiles" --layer grey --levels "0-$deepest"
compare tiles "$work/web.pmtiles" "$at/wmts/grey/web/{z}/{x}/{y}.png" "$work/raster.mbtiles"
capabilities="$at/service?SERVICE=WMTS&REQUEST=GetCapabilities"
fetch "$capabilities" "$work/country.tpkx" --layer country --levels 0-2
compare tiles "$work/country.tpkx" "$at/wmts/country/country/{z}/{x}/{y}.png" 0/0-2/0-3,1/0-5/0-7,2/0-12/0-17
fetch "$capabilities" "$work/degrees.tpkx" --layer degrees --levels 0-3
compare tiles "$work/degrees.tpkx" "$at/wmts/degrees/degrees/{z}/{x}/{y}.png" 0/0-0/0-0,1/0-1/0-0,2/0-3/0-1,3/0-7/0-3
# Rows from the south; below /tms MapProxy calls level 1 level 0.
fetch "$at/tiles/1.0.0/grey/web/{z}/{x}/{-y}.png" "$work/tms.mbtiles" --levels "0-$deepest"
compare tiles "$work/tms.mbtiles" "$at/tiles/1.0.0/grey/web/{z}/{x}/{y_up}.png" "$work/raster.mbtiles"

if command -v nginx > /dev/null; then
  nginx -c "$work/nginx.conf" > "$work/nginx.txt" 2>&1 &
  servers+=($!)
  answers "http://127.0.0.1:$nginx/raster/0/0/0.png"
  echo "nginx, dropping each tenth connection, and busy"
  at=http://127.0.0.1:$nginx/stormy
  fetch "$at/raster/{z}/{x}/{y}.png" "$work/stormy.pmtiles" --levels "0-$deepest"
  compare tiles "$work/stormy.pmtiles" "$at/raster/{z}/{x}/{y}.png" "$work/raster.mbtiles"
  fetch "$at/vector/{z}/{x}/{y}.pbf" "$work/stormy.mbtiles" --levels "0-$deepest"
  compare tiles "$work/stormy.mbtiles" "$at/vector/{z}/{x}/{y}.pbf" "$work/vector.mbtiles"
  if [ -n "$has_koop" ]; then
    at=http://127.0.0.1:$nginx/stormy
    fetch "$at/odd/rest/services/points/FeatureServer/0" "$work/stormy.gpkg"
    compare features "$work/stormy.gpkg" "$work/features/points.json"
  fi
  echo "nginx, ranges of an archive"
  for at in "http://127.0.0.1:$nginx" "http://127.0.0.1:$nginx/stormy"; do
    fetch "$at/vector.pmtiles" "$work/archive.pmtiles" --overwrite
    compare tiles "$work/archive.pmtiles" "http://127.0.0.1:$nginx/vector/{z}/{x}/{y}.pbf" "$work/vector.mbtiles"
  done
  if "$offmap" fetch "http://127.0.0.1:$nginx/whole/vector.pmtiles" "$work/whole.pmtiles" --progress off > "$work/fetch.txt" 2>&1 ||
    ! grep -q "serves no ranges" "$work/fetch.txt"; then
    cat "$work/fetch.txt"; echo "foreign servers: a server without ranges was not refused" >&2; exit 1
  fi
  "$python" -m uvicorn fast_pmtiles.main:app --host 127.0.0.1 --port "$vector" --log-level error > "$work/vector.txt" 2>&1 &
  servers+=($!)
  answers "http://127.0.0.1:$vector/healthz"
  echo "fast-pmtiles"
  at="http://127.0.0.1:$vector/tiles/{z}/{x}/{y}?url=http://127.0.0.1:$nginx/vector.pmtiles"
  fetch "$at" "$work/vector.pmtiles" --levels "0-$deepest"
  compare tiles "$work/vector.pmtiles" "$at" "$work/vector.mbtiles"
else
  echo "nginx and fast-pmtiles: SKIPPED, nginx cannot be installed here"
fi
echo "foreign servers: ok after $SECONDS s"
