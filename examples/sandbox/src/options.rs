//! How a sandbox behaves.

use crate::tls::ServerCertificate;
use serde_json::Value;
use std::time::Duration;

/// How the sandbox behaves.
#[derive(Debug, Clone)]
pub struct SandboxOptions {
    /// Port on loopback; 0 for any free one.
    pub port: u16,
    /// Whether it speaks https, with a certificate of its own private CA.
    pub tls: bool,
    /// Whether items and services want a token.
    pub secured: bool,
    /// Polls of a job until it is done.
    pub polls: u32,
    /// How long a token lives.
    pub token_life: Duration,
    /// How long the code is good that a person gets who signs in.
    pub code_life: Duration,
    /// How long a refresh token lives.
    pub refresh_life: Duration,
    /// How long a job runs at least.
    pub job_time: Duration,
    /// Requests of a hundred that fail in random ways, and the seed of the ways.
    pub unreliable: Option<(u32, u64)>,
    /// Requests that a second allows; more are answered with 429.
    pub requests_per_second: Option<u32>,
    /// So many tiles of the deepest level that no tile package holds, though an index promises them.
    pub lost_tiles: u64,
    /// So many attachments that no replica holds, though they are counted.
    pub lost_attachments: usize,
    /// A parameter and its value that every request for a service, a job or a result must carry, as an API key does.
    pub api_key: Option<(String, String)>,
    /// Whether replicas hold GUIDs in lower case without braces, in place of upper case in braces.
    pub bare_guids: bool,
    /// Whether services repeat the token and the API key of a request in their errors and attributions.
    pub echo: bool,
    /// Whether tiles are exported by another host only, the twin that the portal names for this one (`exportTilesMap`). It has the
    /// same name and another port.
    pub export_twin: bool,
    /// The scheme, host and port by which the server names itself in its answers, as one behind a proxy does: jobs, results and
    /// files are named there, below `/arcgis`.
    pub inner_host: Option<String>,
    /// Which certificate it has, where it speaks https.
    pub certificate: ServerCertificate,
    /// Whether it wants a certificate of its clients, where it speaks https.
    pub wants_client_certificate: bool,
    /// Whether JSON answers have a byte order mark before them, and floats for whole numbers.
    pub sloppy: bool,
    /// Tiles that every service exports at once, in place of what each has.
    pub max_export_tiles: Option<u64>,
    /// Whether no tiled service says which tiles there are (`tilemap`).
    pub no_tilemaps: bool,
    /// Fonts beside the one of its own style; each is served by its own name, and a stack of several is not known.
    pub fonts: Vec<SandboxFont>,
    /// A style in place of its own: of the vector tile services, in their packages, and of the style item, whose source is an absolute url.
    pub style: Option<Value>,
}

/// A font of the sandbox.
#[derive(Debug, Clone)]
pub struct SandboxFont {
    /// Its name.
    pub name: String,
    /// Code points that it has glyphs for; a range without any is answered with 404.
    pub code_points: std::ops::RangeInclusive<u32>,
}

impl SandboxFont {
    /// Makes a font.
    #[must_use]
    pub fn new(name: &str, code_points: std::ops::RangeInclusive<u32>) -> Self {
        Self { name: name.to_owned(), code_points }
    }
}

impl Default for SandboxOptions {
    fn default() -> Self {
        Self {
            port: 0,
            tls: false,
            secured: false,
            polls: 3,
            token_life: Duration::from_secs(3600),
            code_life: Duration::from_mins(10),
            refresh_life: Duration::from_hours(14 * 24),
            job_time: Duration::ZERO,
            unreliable: None,
            requests_per_second: None,
            lost_tiles: 0,
            lost_attachments: 0,
            api_key: None,
            bare_guids: false,
            echo: false,
            export_twin: false,
            inner_host: None,
            max_export_tiles: None,
            no_tilemaps: false,
            fonts: Vec::new(),
            style: None,
            certificate: ServerCertificate::default(),
            wants_client_certificate: false,
            sloppy: false,
        }
    }
}
