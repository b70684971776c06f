//! The command line of `offmap fetch`.

use crate::access_arguments::AccessArguments;
use crate::direct::Direct;
use crate::help;
use crate::progress_style::ProgressStyle;
use clap::Args;
use std::path::PathBuf;

/// What follows the options of `offmap fetch --help`.
pub(crate) const AFTER: &str = "\
URL is that of a service or of one of its layers:
  features  …/FeatureServer, …/FeatureServer/3, …/MapServer/3
            → .gpkg .geodatabase .geojsons .geojsonl; one: .parquet
  tiles     …/MapServer, …/ImageServer, …/VectorTileServer with a
            cache; …/WMTSCapabilities.xml or
            …?SERVICE=WMTS&REQUEST=GetCapabilities; a template with
            {z}, {x} and {y} ({-y} for rows from the south); ….pmtiles on
            a web server, of which only the parts that are wanted come
            → .tpkx .vtpk .mbtiles .pmtiles
  drawn     …/MapServer, …/ImageServer without a cache, or a WMS with
            its LAYERS in the url, with --draw-tiles
            → .tpkx .mbtiles .pmtiles

Examples:
  offmap fetch https://gis.example.com/arcgis/rest/services/\\
    Trees/FeatureServer/0 trees.gpkg --where 'HEIGHT > 10'
  offmap fetch https://gis.example.com/arcgis/rest/services/\\
    Relief/MapServer relief.pmtiles --levels 0-12 \\
    --area 5.9,45.8,10.5,47.8
  offmap fetch https://tiles.example.org/planet.pmtiles alps.pmtiles \\
    --levels 0-12 --area 5.9,45.8,10.5,47.8 --plan

OUT is absent or complete. The same command goes on with what an earlier one left (in OUT.fetch-… beside it, if it was killed or \
--keep was given); offmap clean removes that.

Exit codes:
  0    complete
  1    failed, nothing is left at OUT
  2    wrong usage
  3    written, and something is missing, which is named
  130  cancelled by Ctrl-C";

/// `offmap fetch`.
#[derive(Debug, Args)]
pub(crate) struct Fetch {
    /// Url of a service or layer, an archive, or a template of tiles.
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// File to write; its ending says the format.
    #[arg(value_name = "OUT")]
    pub(crate) out: PathBuf,
    /// Four numbers and a wkid, or a file with GeoJSON or Esri JSON.
    #[arg(
        short,
        long,
        value_name = "AREA",
        help = "Only this area: xmin,ymin,xmax,ymax[,wkid] (wkid 4326 if left out), or a file with GeoJSON or Esri JSON [default: all of it]",
        allow_hyphen_values = true,
        help_heading = help::MAP
    )]
    pub(crate) area: Option<String>,
    /// Levels of tiles by their ids, from the coarsest to the finest [default: all; a template has no default].
    #[arg(long, value_name = "A-B", help_heading = help::MAP)]
    pub(crate) levels: Option<String>,
    /// Only rows that meet this where clause.
    #[arg(long = "where", value_name = "CLAUSE", help_heading = help::MAP)]
    pub(crate) filter: Option<String>,
    /// Layer of a WMTS, by its identifier or title; a service with one layer needs none.
    #[arg(long, value_name = "NAME", help_heading = help::MAP)]
    pub(crate) layer: Option<String>,
    /// Only these fields of features, in any letter case; object id, global id, shape and keys of relationships come always.
    #[arg(long, value_name = "A,B", value_delimiter = ',', help_heading = help::MAP)]
    pub(crate) fields: Option<Vec<String>>,
    /// Whether it is downloaded tile by tile and page by page: always, only where the service does not export it, or never
    /// [default: always].
    #[arg(long, value_name = "WHEN", help_heading = help::RUN)]
    pub(crate) direct: Option<Direct>,
    /// Host whose owner allows you to download directly though its terms are known to forbid it; may be given several times.
    #[arg(long, value_name = "HOST", help_heading = help::RUN)]
    pub(crate) allow_direct_from: Vec<String>,
    /// Have tiles drawn by a service that has no cache, in the scheme of the web; wants --levels.
    #[arg(long, help_heading = help::RUN)]
    pub(crate) draw_tiles: bool,
    /// Say what would come, and fetch nothing of it.
    #[arg(long, conflicts_with_all = ["keep", "overwrite"], help_heading = help::RUN)]
    pub(crate) plan: bool,
    /// Replace OUT, which stays until the new file is complete. What is not of its format is refused.
    #[arg(long, help_heading = help::RUN)]
    pub(crate) overwrite: bool,
    /// Keep the work beside OUT when it fails or is cancelled; the same command goes on with it.
    #[arg(short, long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = help::RUN)]
    pub(crate) keep: Option<bool>,
    /// Longest time of the download in seconds; what was downloaded is kept.
    #[arg(long, value_name = "SECS", value_parser = clap::value_parser!(u64).range(1..), help_heading = help::RUN)]
    pub(crate) time_limit: Option<u64>,
    /// How progress is shown [default: auto].
    #[arg(long, value_name = "HOW", help_heading = help::RUN)]
    pub(crate) progress: Option<ProgressStyle>,
    #[command(flatten)]
    pub(crate) access: AccessArguments,
}
