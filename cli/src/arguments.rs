//! The command line. It is a contract: other programs call it.

use crate::login_arguments::{Login, Logout, Whoami};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Takes ArcGIS web maps offline.
#[derive(Debug, Parser)]
#[command(name = "offmap", version, about, max_term_width = 120)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Take a web map offline: one map and one area in, a mobile map package out.
    Take(Box<Take>),
    /// Say what can go offline and why not.
    Check(Box<Ask>),
    /// Say what would be done: tasks, layers, levels, tiles, features, bytes.
    Plan(Box<Plan>),
    /// Resume a job that did not finish, or complete a package where layers are missing.
    Resume(Box<Resume>),
    /// List what unfinished jobs left beside their destinations, roll back what they began on services, and remove it.
    Clean(Box<Clean>),
    /// Prove a package by its manifest.
    Verify(VerifyArguments),
    /// Show what is in a package, and what is missing and why.
    Show(PackageArguments),
    /// Sign in to a portal with the browser; the other commands use that from then on.
    Login(Login),
    /// End a sign-in, here and at the portal.
    Logout(Logout),
    /// Say who is signed in where, and until when.
    Whoami(Whoami),
}

/// Which map, which area, and how to reach it.
#[derive(Debug, Args)]
pub(crate) struct MapArguments {
    /// Web map as a file or url.
    #[arg(long, value_name = "FILE|URL", required_unless_present = "item", conflicts_with = "item")]
    pub(crate) web_map: Option<String>,
    /// Id of the web map's item on the portal.
    #[arg(long, value_name = "ID", requires = "portal")]
    pub(crate) item: Option<String>,
    /// Four numbers and a wkid, or a file with GeoJSON or Esri JSON.
    #[arg(
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
    #[command(flatten)]
    pub(crate) access: AccessArguments,
}

/// How to reach portal and services.
#[derive(Debug, Args)]
pub(crate) struct AccessArguments {
    /// Portal of the item, with or without /sharing/rest.
    #[arg(long, value_name = "URL")]
    pub(crate) portal: Option<String>,
    /// Environment variable that holds a token.
    #[arg(long, value_name = "VAR", conflicts_with_all = ["user", "client_id"])]
    pub(crate) token_env: Option<String>,
    /// User of the portal; the password is in OFFMAP_PASSWORD.
    #[arg(long, value_name = "NAME", requires = "portal", conflicts_with = "client_id")]
    pub(crate) user: Option<String>,
    /// OAuth application of the portal; the secret is in OFFMAP_CLIENT_SECRET.
    #[arg(long, value_name = "ID", requires = "portal")]
    pub(crate) client_id: Option<String>,
    /// Referer that tokens are bound to.
    #[arg(long, value_name = "URL")]
    pub(crate) referer: Option<String>,
    /// Host that may see the token beside the portal's: HOST for the default ports 80 and 443, else HOST:PORT; may be given several
    /// times.
    #[arg(long, value_name = "HOST")]
    pub(crate) trust_host: Vec<String>,
    /// A host with a token of its own (HOST or HOST:PORT as for --trust-host), and the environment variable that holds it; may be
    /// given several times.
    #[arg(long, value_name = "HOST=VAR")]
    pub(crate) token_for: Vec<String>,
    /// Host that may be asked; then only such hosts are, the portal's and that of --web-map. May be given several times.
    #[arg(
        long,
        value_name = "HOST",
        help = "Host that may be asked: host, host:port, host:* or *.suffix; then only such hosts are, the portal's and that of \
                --web-map. May be given several times"
    )]
    pub(crate) allow_host: Vec<String>,
    /// Ask public addresses only: not this machine and no local network.
    #[arg(long)]
    pub(crate) deny_private: bool,
    /// Certificate (PEM) of a private CA to trust.
    #[arg(long, value_name = "PEM")]
    pub(crate) ca_cert: Option<PathBuf>,
    /// Longest silence of one request in seconds.
    #[arg(long, value_name = "SECS", default_value_t = 60)]
    pub(crate) request_timeout: u64,
    /// How long a request is tried again whose fault may pass, such as a host that does not answer, in seconds; a wait for a
    /// service's job goes on until --job-timeout.
    #[arg(long, value_name = "SECS", default_value_t = 300)]
    pub(crate) retry_time: u64,
    /// Most tries of a request whose fault may pass; without it only --retry-time counts.
    #[arg(long, value_name = "N")]
    pub(crate) attempts: Option<usize>,
    /// Longest time of one service's export or replica job in seconds.
    #[arg(long, value_name = "SECS", default_value_t = 3600)]
    pub(crate) job_timeout: u64,
}

/// What is done with a job that runs, new or resumed.
#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// Zip the package to this file as well; it must not exist.
    #[arg(long, value_name = "FILE")]
    pub(crate) mmpk: Option<PathBuf>,
    /// Keep the work beside the destination when the job fails or is cancelled, for `offmap resume`.
    #[arg(long)]
    pub(crate) keep: bool,
    /// Longest time of the whole job in seconds; what was downloaded is kept.
    #[arg(long, value_name = "SECS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) time_limit: Option<u64>,
    /// How progress is shown.
    #[arg(long, value_name = "HOW", default_value = "auto")]
    pub(crate) progress: ProgressStyle,
}

/// `offmap take`.
#[derive(Debug, Args)]
pub(crate) struct Take {
    #[command(flatten)]
    pub(crate) map: MapArguments,
    /// Directory of the package; absent or empty.
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) run: RunArguments,
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
    /// The map again, as a file or url: for the customParameters and keys of its layers, which offmap writes down nowhere.
    /// A map of a portal item is read again from there without this.
    #[arg(long, value_name = "FILE|URL")]
    pub(crate) web_map: Option<String>,
    #[command(flatten)]
    pub(crate) run: RunArguments,
    #[command(flatten)]
    pub(crate) access: AccessArguments,
}

/// `offmap clean`.
#[derive(Debug, Args)]
pub(crate) struct Clean {
    /// Directories that packages were to be written to, or directories that such directories lie in.
    #[arg(value_name = "DIR", required = true)]
    pub(crate) places: Vec<PathBuf>,
    /// Only list.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Answer as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) access: AccessArguments,
}

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressStyle {
    /// Bars on a terminal, lines elsewhere.
    Auto,
    /// A bar for each layer, on stderr.
    Bar,
    /// Lines on stderr.
    Plain,
    /// One JSON object a line on stdout.
    Json,
    /// Nothing.
    Off,
}

/// `offmap plan`.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    #[command(flatten)]
    pub(crate) ask: Ask,
    /// Print the parameters of every task as overrides to edit, instead of the plan.
    #[arg(long, conflicts_with = "json")]
    pub(crate) overrides_template: bool,
}

/// `offmap check`.
#[derive(Debug, Args)]
pub(crate) struct Ask {
    #[command(flatten)]
    pub(crate) map: MapArguments,
    /// Answer as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `offmap verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    #[command(flatten)]
    pub(crate) which: PackageArguments,
    /// Open every container, too: rows, tiles, styles.
    #[arg(long)]
    pub(crate) deep: bool,
}

/// `offmap verify` and `offmap show`.
#[derive(Debug, Args)]
pub(crate) struct PackageArguments {
    /// Directory or .mmpk file.
    #[arg(value_name = "DIR|FILE.mmpk")]
    pub(crate) package: PathBuf,
    /// Answer as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
