#!/usr/bin/env bash
# Converts a map of every symbol, opens its project with QGIS and its style with MapLibre, and draws both to PNG.
# Usage: tests/open_maps.sh [FOLDER [PACKAGE ...]]; the pictures are FOLDER/qgis.png and FOLDER/maplibre.png.
# Each mobile map package becomes a folder by `offmap convert --to open`, which is opened and drawn in the same way, to
# FOLDER/<n>-qgis.png and FOLDER/<n>-maplibre.png. OFFMAP names the program, which is built without it.
# Says plainly what is skipped, because it cannot be installed here. A Python with QGIS is taken from QGIS_PYTHON.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-$(mktemp -d)}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
shift || true
map=convert/tests/fixtures/every_symbol.json
export QT_QPA_PLATFORM=offscreen XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-$folder}
python=${QGIS_PYTHON:-/usr/bin/python3}
tools=${OPEN_MAPS_TOOLS:-target/open_maps}

if ! "$python" -c 'import qgis.core' 2> /dev/null; then
  { [ "$(id -u)" = 0 ] && apt-get install -y --no-install-recommends python3-qgis > /dev/null 2>&1 && "$python" -c 'import qgis.core' 2> /dev/null; } || {
    echo "open maps: SKIPPED, python3-qgis cannot be installed here"
    exit 0
  }
fi
rm -f "$folder"/*.gpkg "$folder"/*.mbtiles "$folder"/*.pmtiles
"$python" tests/open_maps.py "$map" "$folder"
if [ -n "${OPEN_MAP:-}" ]; then "$OPEN_MAP" "$map" "$folder"; else cargo run --quiet -p offmap-convert --example open_map -- "$map" "$folder"; fi
"$python" tests/open_maps_qgis.py "$folder"
opened=()
for package in "$@"; do
  number=$((${#opened[@]} + 1))
  to=$folder/open-$number
  rm -rf "$to"
  offmap=${OFFMAP:-}
  if [ -z "$offmap" ]; then
    cargo build --quiet -p offmap-cli
    offmap=${CARGO_TARGET_DIR:-target}/debug/offmap
  fi
  # What is left out is named, and is no fault of the folder.
  "$offmap" convert "$package" "$to" --to open || [ $? = 3 ]
  "$python" tests/open_maps_qgis.py "$to" "$folder/$number-qgis.png"
  opened+=("$to")
done
echo "qgis: ok"

chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
if [ -z "$chromium" ] && [ "$(id -u)" = 0 ]; then
  apt-get install -y --no-install-recommends chromium > /dev/null 2>&1 || true
  chromium=$(command -v chromium || true)
fi
if [ ! -d "$tools/node_modules/maplibre-gl" ]; then
  mkdir -p "$tools"
  npm install --silent --prefix "$tools" maplibre-gl@6 pmtiles@4 puppeteer-core@24 @maplibre/maplibre-gl-style-spec@26 > /dev/null 2>&1 || true
fi
if [ ! -x "$tools/venv/bin/pmtiles-convert" ]; then
  python3 -m venv "$tools/venv" 2> /dev/null && "$tools/venv/bin/pip" install --quiet pmtiles 2> /dev/null || true
fi
if [ -z "$chromium" ] || [ ! -d "$tools/node_modules/maplibre-gl" ] || [ ! -x "$tools/venv/bin/pmtiles-convert" ]; then
  echo "maplibre: SKIPPED, chromium, maplibre-gl or pmtiles cannot be installed here"
  exit 0
fi
for name in raster vector; do "$tools/venv/bin/pmtiles-convert" "$folder/$name.mbtiles" "$folder/$name.pmtiles" > /dev/null; done
CHROMIUM=$chromium NODE_MODULES=$(cd "$tools" && pwd)/node_modules node tests/open_maps.mjs "$folder"
number=0
for to in ${opened[@]+"${opened[@]}"}; do
  number=$((number + 1))
  CHROMIUM=$chromium NODE_MODULES=$(cd "$tools" && pwd)/node_modules node tests/open_maps.mjs "$to" "$folder/$number-maplibre.png"
done
echo "maplibre: ok"
