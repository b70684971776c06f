//! Texts of `--help`: usage lines, examples, exit codes.

/// Heading of the options that say which map and which area.
pub(crate) const MAP: &str = "Map and area";
/// Heading of the options that say what is written.
pub(crate) const PACKAGE: &str = "Package";
/// Heading of the options of a job that runs.
pub(crate) const RUN: &str = "Run";
/// Heading of the options about credentials.
pub(crate) const SIGN_IN: &str = "Sign-in";
/// Heading of the options about hosts, certificates and times.
pub(crate) const NETWORK: &str = "Network";

/// Usage of `offmap take`: what is required, first.
pub(crate) const TAKE_USAGE: &str = "offmap take --item <ID|URL> --area <AREA> --out <DIR> [OPTIONS]
       offmap take --web-map <FILE|URL|-> --area <AREA> --out <DIR> [OPTIONS]";
/// Usage of `offmap check`.
pub(crate) const CHECK_USAGE: &str = "offmap check --item <ID|URL> --area <AREA> [OPTIONS]
       offmap check --web-map <FILE|URL|-> --area <AREA> [OPTIONS]";
/// Usage of `offmap plan`.
pub(crate) const PLAN_USAGE: &str = "offmap plan --item <ID|URL> --area <AREA> [OPTIONS]
       offmap plan --web-map <FILE|URL|-> --area <AREA> [OPTIONS]";

/// What follows the options of `offmap --help`.
pub(crate) const AFTER: &str = "\
Examples:
  offmap check -i 0123456789abcdef… -a 5.9,45.8,10.5,47.8
  offmap take -i 0123456789abcdef… -a area.geojson -o alps
  offmap verify --deep alps

Exit codes:
  0    complete
  1    failed, nothing is left; of verify: damaged
  2    wrong usage
  3    incomplete; of check: not all can go offline
  4    of verify: no manifest, so nothing missing can be told
  130  cancelled by Ctrl-C

Environment:
  OFFMAP_PORTAL         portal, without --portal
  OFFMAP_DATA           data directory, without --data
  OFFMAP_PASSWORD       password of --user
  OFFMAP_CLIENT_SECRET  secret of --client-id
  OFFMAP_SETTINGS       settings file, without --settings
  OFFMAP_LOG            log on stderr: error, warn, debug, …
                        or warn,offmap_arcgis=debug
  NO_COLOR              no colours, if it is not empty

Settings file (TOML), with the options of sign-in, network and run by their names:
  portal = \"https://gis.example.com/portal\"
  trust-host = [\"tiles.example.com\"]
Without --settings it is offmap/settings.toml in $XDG_CONFIG_HOME or ~/.config, on macOS in ~/Library/Application Support, on Windows \
in %APPDATA%. Options win over the environment, the environment over the file. Secrets are not read from it.";

/// What follows the options of `offmap take --help`.
pub(crate) const AFTER_TAKE: &str = "\
Examples:
  A map of ArcGIS Online, by its page, down to 1:10,000:
    offmap take --max-scale 10000 -o alps \\
      -i 'https://www.arcgis.com/home/item.html?id=…' \\
      -a 5.9,45.8,10.5,47.8 --mmpk alps.mmpk
  A portal that wants a sign-in (OFFMAP_PASSWORD is set):
    offmap take -p https://gis.example.com/portal \\
      -u surveyor -i 0123456789abcdef… \\
      -a district.geojson -o district
  With a folder for QGIS, QField and MapLibre beside the package:
    offmap take -i 0123456789abcdef… -a district.geojson \\
      -o district --open district-open
  A map by another program, with progress for programs:
    make-map | offmap take -m - -a area.geojson -o alps \\
      --progress json

Exit codes:
  0    complete
  1    failed, nothing is left at the destination
  2    wrong usage
  3    incomplete; what is missing is in the result
  130  cancelled by Ctrl-C";

/// What follows the options of `offmap verify --help`.
pub(crate) const AFTER_VERIFY: &str = "\
Exit codes:
  0    undamaged and complete
  1    damaged, or not to be read
  2    wrong usage
  3    undamaged, and something is missing
  4    can be read, but has no manifest: a package of another
       program, of which nothing tells what should be in it
  130  cancelled by Ctrl-C";

/// What follows the options of `offmap show --help`.
pub(crate) const AFTER_SHOW: &str = "\
Exit codes:
  0    shown
  1    not to be read
  2    wrong usage
  3    shown, and the data of a layer are not there";

/// What follows the options of `offmap jobs --help`.
pub(crate) const AFTER_JOBS: &str = "\
Examples:
  offmap jobs --data /var/lib/maps
  offmap jobs --data /var/lib/maps --tenant forestry \\
    --state failed --json

A service that runs has its data directory for itself: ask it, or end it first. What it was doing when it ended is called running.";

/// What follows the options of `offmap status --help`.
pub(crate) const AFTER_STATUS: &str = "\
Examples:
  offmap status alps
  offmap status --data /var/lib/maps \\
    7c0dd0a2-6c5f-4a0e-9d52-0a4c5a2b7a11

Exit codes:
  0    complete, or not at its end yet
  1    failed or cancelled
  2    wrong usage, or no such job
  3    ended, and something is missing";

/// What follows the options of `offmap login --help`.
pub(crate) const AFTER_LOGIN: &str = "\
Examples:
  With the browser of this machine:
    offmap login --portal https://gis.example.com/portal \\
      --client-id rM5YZ…
  Over SSH, by a code that the portal shows:
    offmap login --portal https://gis.example.com/portal \\
      --client-id rM5YZ… --no-browser";
