//! The options of `offmap login`, `logout` and `whoami`.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Where a sign-in is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Keep {
    /// In the system's keyring; where there is none, in the file.
    Auto,
    /// In the system's keyring.
    Keyring,
    /// In a file beside the settings that only you may read (mode 0600).
    File,
}

/// `offmap login`.
#[derive(Debug, Args)]
pub(crate) struct Login {
    /// Portal to sign in to, with or without /sharing/rest; by https [env: OFFMAP_PORTAL] [default: ArcGIS Online].
    #[arg(short, long, value_name = "URL")]
    pub(crate) portal: Option<String>,
    /// Client id of an application of the portal. Its redirect uris have to allow http://127.0.0.1, or with --no-browser
    /// urn:ietf:wg:oauth:2.0:oob. Needed where the settings file has none.
    #[arg(long, value_name = "ID")]
    pub(crate) client_id: Option<String>,
    /// Open no browser here: the portal shows a code, which is pasted at the prompt.
    #[arg(long)]
    pub(crate) no_browser: bool,
    /// Port of 127.0.0.1 that the portal leads the browser back to, where the application is registered with one; 0 for any free one.
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "no_browser")]
    pub(crate) redirect_port: u16,
    /// Where the sign-in is kept.
    #[arg(long, value_name = "WHERE", default_value = "auto")]
    pub(crate) store: Keep,
    /// Certificate (PEM) of a private CA to trust.
    #[arg(long, value_name = "PEM")]
    pub(crate) ca_cert: Option<PathBuf>,
}

/// `offmap logout`.
#[derive(Debug, Args)]
pub(crate) struct Logout {
    /// Portal whose sign-in ends; needed where there are several [env: OFFMAP_PORTAL] [default: that of the only sign-in].
    #[arg(short, long, value_name = "URL")]
    pub(crate) portal: Option<String>,
    /// Certificate (PEM) of a private CA to trust.
    #[arg(long, value_name = "PEM")]
    pub(crate) ca_cert: Option<PathBuf>,
}

/// `offmap whoami`.
#[derive(Debug, Args)]
pub(crate) struct Whoami {
    /// Only the sign-in at this portal [env: OFFMAP_PORTAL] [default: all sign-ins].
    #[arg(short, long, value_name = "URL")]
    pub(crate) portal: Option<String>,
    /// Answer as JSON.
    #[arg(short, long)]
    pub(crate) json: bool,
    /// Certificate (PEM) of a private CA to trust.
    #[arg(long, value_name = "PEM")]
    pub(crate) ca_cert: Option<PathBuf>,
}
