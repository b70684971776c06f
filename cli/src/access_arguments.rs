//! The options that say how portal and services are reached.

use crate::help;
use clap::Args;
use std::path::PathBuf;

/// How to reach portal and services.
#[derive(Debug, Args)]
#[command(next_help_heading = help::SIGN_IN)]
pub(crate) struct AccessArguments {
    /// Portal of the item, with or without /sharing/rest [env: OFFMAP_PORTAL] [default: that of the item's url, else ArcGIS Online].
    #[arg(short, long, value_name = "URL")]
    pub(crate) portal: Option<String>,
    /// Environment variable that holds a token.
    #[arg(long, value_name = "VAR", conflicts_with_all = ["user", "client_id"])]
    pub(crate) token_env: Option<String>,
    /// User of the portal; the password is in OFFMAP_PASSWORD.
    #[arg(short, long, value_name = "NAME", conflicts_with = "client_id")]
    pub(crate) user: Option<String>,
    /// OAuth application of the portal; the secret is in OFFMAP_CLIENT_SECRET, and without it the sign-in by `offmap login` is used.
    #[arg(long, value_name = "ID")]
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
        help_heading = help::NETWORK,
        help = "Host that may be asked: host, host:port, host:* or *.suffix; then only such hosts are, the portal's and that of \
                --web-map. May be given several times"
    )]
    pub(crate) allow_host: Vec<String>,
    /// Ask public addresses only: not this machine and no local network.
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", help_heading = help::NETWORK)]
    pub(crate) deny_private: Option<bool>,
    /// Certificate (PEM) of a private CA to trust.
    #[arg(long, value_name = "PEM", help_heading = help::NETWORK)]
    pub(crate) ca_cert: Option<PathBuf>,
    /// Longest silence of one request in seconds [default: 60].
    #[arg(long, value_name = "SECS", help_heading = help::NETWORK)]
    pub(crate) request_timeout: Option<u64>,
    /// How long a request is tried again whose fault may pass, such as a host that does not answer, in seconds; a wait for a
    /// service's job goes on until --job-timeout [default: 300].
    #[arg(long, value_name = "SECS", help_heading = help::NETWORK)]
    pub(crate) retry_time: Option<u64>,
    /// Most tries of a request whose fault may pass; without it only --retry-time counts.
    #[arg(long, value_name = "N", help_heading = help::NETWORK)]
    pub(crate) attempts: Option<usize>,
    /// Longest time of one service's export or replica job in seconds [default: 3600].
    #[arg(long, value_name = "SECS", help_heading = help::NETWORK)]
    pub(crate) job_timeout: Option<u64>,
}

impl AccessArguments {
    /// Whether a token, a user or an application is named.
    pub(crate) fn signs_in(&self) -> bool {
        self.token_env.is_some() || self.user.is_some() || self.client_id.is_some()
    }
}
