//! The command line. It is a contract: other programs call it.

use crate::access_arguments::AccessArguments;
use crate::convert_arguments::{self, Convert};
use crate::direct::Direct;
use crate::fetch_arguments::{self, Fetch};
use crate::help;
use crate::job_arguments::{Jobs, Status};
use crate::login_arguments::{Login, Logout, Whoami};
pub(crate) use crate::progress_style::ProgressStyle;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use std::path::PathBuf;

/// Takes ArcGIS web maps offline.
#[derive(Debug, Parser)]
#[command(name = "offmap", version, max_term_width = 120, after_help = help::AFTER)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Settings file (TOML); `offmap --help` says what is in it and where it is looked for without this.
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) settings: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Take a web map offline: one map and one area in, a mobile map package out.
    #[command(override_usage = help::TAKE_USAGE, after_help = help::AFTER_TAKE)]
    Take(Box<Take>),
    /// Say what can go offline and why not.
    #[command(override_usage = help::CHECK_USAGE)]
    Check(Box<Ask>),
    /// Say what would be done: tasks, layers, levels, tiles, features, bytes.
    #[command(override_usage = help::PLAN_USAGE)]
    Plan(Box<Plan>),
    /// Resume a job that did not finish, or complete a package where layers are missing.
    Resume(Box<Resume>),
    /// Fetch one service or layer by its url, without a map, into one file.
    #[command(after_help = fetch_arguments::AFTER)]
    Fetch(Box<Fetch>),
    /// List what unfinished jobs, fetches and conversions left beside their destinations, roll back what they began on services, and
    /// remove it.
    Clean(Box<Clean>),
    /// Verify a package by its manifest.
    #[command(after_help = help::AFTER_VERIFY)]
    Verify(VerifyArguments),
    /// Convert a file of tiles or features into another format, or a package into a folder that opens without ArcGIS.
    #[command(after_help = convert_arguments::AFTER)]
    Convert(Box<Convert>),
    /// Show what is in a package, and what is missing and why.
    #[command(after_help = help::AFTER_SHOW)]
    Show(PackageArguments),
    /// List the jobs of a service, from its data directory.
    #[command(after_help = help::AFTER_JOBS)]
    Jobs(Jobs),
    /// Show a job: of a service by its id, or of `offmap take` by the directory of its package.
    #[command(after_help = help::AFTER_STATUS)]
    Status(Status),
    /// Sign in to a portal with the browser; the other commands use that from then on.
    #[command(after_help = help::AFTER_LOGIN)]
    Login(Login),
    /// End a sign-in, here and at the portal.
    Logout(Logout),
    /// Say who is signed in where, and until when.
    Whoami(Whoami),
    /// Print the completions of a shell.
    Completions(Completions),
    /// Print the manual page, or write the pages of all commands.
    Man(Man),
}

/// `offmap completions`.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell.
    pub(crate) shell: Shell,
}

/// `offmap man`.
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// Directory to write the pages of all commands to, one file each; without it the page of offmap goes to stdout.
    #[arg(short, long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
}

/// Which map and which area.
#[derive(Debug, Args)]
pub(crate) struct MapArguments {
    /// Id of the web map's item on the portal, or the url of the item's page or of the map in the map viewer.
    #[arg(short, long, value_name = "ID|URL", required_unless_present = "web_map")]
    pub(crate) item: Option<String>,
    /// Web map as a file or url, or - for stdin.
    #[arg(short = 'm', long, value_name = "FILE|URL|-", conflicts_with = "item")]
    pub(crate) web_map: Option<String>,
    /// Four numbers and a wkid, or a file with GeoJSON or Esri JSON.
    #[arg(
        short,
        long,
        value_name = "AREA",
        help = "xmin,ymin,xmax,ymax[,wkid] (wkid 4326 if left out), or a file with GeoJSON or Esri JSON",
        allow_hyphen_values = true,
        required_unless_present = "parameters"
    )]
    pub(crate) area: Option<String>,
    /// Far limit of raster tile levels, a scale denominator; 0 for all the way out.
    #[arg(long, value_name = "N")]
    pub(crate) min_scale: Option<f64>,
    /// Near limit of tile levels, a scale denominator; 0 for the most detailed.
    #[arg(long, value_name = "N")]
    pub(crate) max_scale: Option<f64>,
    /// Leave all basemap layers out.
    #[arg(long)]
    pub(crate) no_basemap: bool,
    /// Whether layers are downloaded tile by tile and page by page where their services do not export them: never, for layers that cannot be
    /// exported, or for all layers that can be had so [default: never].
    #[arg(long, value_name = "WHEN")]
    pub(crate) direct: Option<Direct>,
    /// Layer, by its id or title, whose service draws on demand (dynamic map and image services, WMS) and that is drawn tile by tile, in the
    /// scheme of the basemap, down to --max-scale; may be given several times, or be all.
    #[arg(long, value_name = "LAYER|all")]
    pub(crate) draw_tiles: Vec<String>,
    /// Host whose owner allows you to download directly though its terms are known to forbid it; may be given several times.
    #[arg(long, value_name = "HOST")]
    pub(crate) allow_direct_from: Vec<String>,
    /// Stop at the first layer that fails.
    #[arg(long)]
    pub(crate) stop_on_error: bool,
    /// GenerateOfflineMapParameters as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) parameters: Option<PathBuf>,
    /// GenerateOfflineMapParameterOverrides as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) overrides: Option<PathBuf>,
    /// Vector tile service and its twin with reduced fonts, for esriVectorTilesDownloadOption; may be given several times.
    #[arg(long, value_name = "URL=URL")]
    pub(crate) reduced_fonts: Vec<String>,
    /// Host of basemap tiles and the host that exports them, in place of the portal's and Esri's; may be given several times.
    #[arg(long, value_name = "HOST=HOST")]
    pub(crate) export_host: Vec<String>,
}

/// What is done with a job that runs, new or resumed.
#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// Zip the package to this file as well.
    #[arg(long, value_name = "FILE", help_heading = help::PACKAGE)]
    pub(crate) mmpk: Option<PathBuf>,
    /// Make a folder of the package as well that opens in QGIS, QField and MapLibre, as `offmap convert --to open` does.
    #[arg(long, value_name = "DIR", help_heading = help::PACKAGE)]
    pub(crate) open: Option<PathBuf>,
    /// Keep the work beside the destination when the job fails or is cancelled, for `offmap resume`.
    #[arg(short, long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) keep: Option<bool>,
    /// Longest time of the whole job in seconds; what was downloaded is kept.
    #[arg(long, value_name = "SECS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) time_limit: Option<u64>,
    /// How progress is shown [default: auto].
    #[arg(long, value_name = "HOW")]
    pub(crate) progress: Option<ProgressStyle>,
}

impl RunArguments {
    /// How progress is shown.
    pub(crate) fn style(&self) -> ProgressStyle {
        self.progress.unwrap_or(ProgressStyle::Auto)
    }
}

/// `offmap take`.
#[derive(Debug, Args)]
pub(crate) struct Take {
    #[command(flatten, next_help_heading = help::MAP)]
    pub(crate) map: MapArguments,
    /// Directory of the package; absent or empty without --overwrite.
    #[arg(short, long, value_name = "DIR", help_heading = help::PACKAGE)]
    pub(crate) out: PathBuf,
    /// Replace the package at --out, the archive at --mmpk and the folder at --open: each stays until the new one is verified and in its
    /// place. What was not made by offmap, or was changed since it was made, is refused.
    #[arg(long, help_heading = help::PACKAGE)]
    pub(crate) overwrite: bool,
    #[command(flatten, next_help_heading = help::RUN)]
    pub(crate) run: RunArguments,
    #[command(flatten)]
    pub(crate) access: AccessArguments,
}

/// `offmap resume`.
#[derive(Debug, Args)]
pub(crate) struct Resume {
    /// Directory of the package.
    #[arg(value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Fetch only the layers that failed of a package that was written without them.
    #[arg(long)]
    pub(crate) failed_only: bool,
    /// The map again, as a file or url, or - for stdin: for the customParameters and keys of its layers, which offmap writes down
    /// nowhere. A map of a portal item is read again from there without this.
    #[arg(short = 'm', long, value_name = "FILE|URL|-")]
    pub(crate) web_map: Option<String>,
    #[command(flatten, next_help_heading = help::RUN)]
    pub(crate) run: RunArguments,
    #[command(flatten)]
    pub(crate) access: AccessArguments,
}

/// `offmap clean`.
#[derive(Debug, Args)]
pub(crate) struct Clean {
    /// Files or directories that were to be written, or directories that such ones lie in.
    #[arg(value_name = "DIR", required = true)]
    pub(crate) places: Vec<PathBuf>,
    /// Only list.
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Answer as JSON.
    #[arg(short, long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) access: AccessArguments,
}

/// `offmap plan`.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// Print the parameters of every task as overrides to edit, instead of the plan.
    #[arg(long, conflicts_with = "json")]
    pub(crate) overrides_template: bool,
    #[command(flatten)]
    pub(crate) ask: Ask,
}

/// `offmap check`.
#[derive(Debug, Args)]
pub(crate) struct Ask {
    /// Answer as JSON.
    #[arg(short, long)]
    pub(crate) json: bool,
    #[command(flatten, next_help_heading = help::MAP)]
    pub(crate) map: MapArguments,
    #[command(flatten)]
    pub(crate) access: AccessArguments,
}

/// `offmap verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    #[command(flatten)]
    pub(crate) which: PackageArguments,
    /// Open every container, too: rows, tiles, styles.
    #[arg(short, long)]
    pub(crate) deep: bool,
}

/// `offmap verify` and `offmap show`.
#[derive(Debug, Args)]
pub(crate) struct PackageArguments {
    /// Directory or .mmpk file.
    #[arg(value_name = "DIR|FILE.mmpk")]
    pub(crate) package: PathBuf,
    /// Answer as JSON.
    #[arg(short, long)]
    pub(crate) json: bool,
}
