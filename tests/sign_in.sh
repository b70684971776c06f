#!/usr/bin/env bash
# Esri's own client of Python signs in to the sandbox as a person: by a pasted code, by user name and password with a client id, without
# one, and by generateToken. Usage: tests/sign_in.sh
# Says plainly when it is skipped, because the client cannot be installed here.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${SIGN_IN_VENV:-target/sign-in}
if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -c 'import arcgis' 2>/dev/null; then
  python3 -m venv "$venv" 2>/dev/null && "$venv/bin/pip" install --quiet arcgis==2.4.4 2>/dev/null || {
    echo "sign-in: SKIPPED, the client arcgis cannot be installed here"
    exit 0
  }
fi
cargo build --quiet -p offmap-sandbox
work=$(mktemp -d)
"${CARGO_TARGET_DIR:-target}/debug/offmap-sandbox" --tls --secured > "$work/sandbox.txt" &
sandbox=$!
trap 'kill $sandbox; rm -rf "$work"' EXIT
until grep -q '^token' "$work/sandbox.txt"; do kill -0 $sandbox; sleep 0.1; done
portal=$(sed -n 's/^portal *//p' "$work/sandbox.txt")
"$venv/bin/python" -W ignore - "$portal" f1e1d0a9000000000000000000000001 <<'PY'
import getpass, re, sys, webbrowser
import requests
from arcgis.gis import GIS

portal, item = sys.argv[1:]
opened = []


def paste(_=""):
    """Plays the person: signs in at the page that was opened, and reads the code off the next one."""
    session = requests.Session()
    session.verify, session.trust_env = False, False
    page = session.get(opened[-1]).text
    state = re.search(r'name="oauth_state" value="([^"]+)"', page).group(1)
    filled_in = {"oauth_state": state, "username": "surveyor", "password": "not-a-secret"}
    shown = session.post(f"{portal}/sharing/rest/oauth2/signin", data=filled_in).text
    return re.search(r"<title>SUCCESS code=(.*?)</title>", shown).group(1)


webbrowser.open_new = opened.append
getpass.getpass = paste
person = {"username": "surveyor", "password": "not-a-secret"}
for way, how in {
    "client id, pasted code": {"client_id": "sandbox-app"},
    "client id, user and password": {"client_id": "sandbox-app", **person},
    "user and password": person,
    "generateToken": {**person, "use_gen_token": True},
}.items():
    gis = GIS(portal, verify_cert=False, **how)
    found = gis.content.get(item)
    print(f"sign-in      {way}: {type(gis.session.auth).__name__}, {gis.users.me.username}, item {found.title}")
    assert gis.users.me.username == "surveyor" and found.title == "Field inspection"
print("sign-in: ok")
PY
