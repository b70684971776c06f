//! What the sandbox knows: data, services, jobs, tokens, faults, and every request that it was asked.

use crate::colleague::Colleague;
use crate::data::Data;
use crate::fault::Fault;
use crate::feature::{self, FeatureService};
use crate::request::Call;
use crate::tls::ServerCertificate;
use offmap_engine::testing::JobFault;
use serde_json::Value;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Looks at a job that are answered at once, and how long a later one waits for its result.
const EARLY_LOOKS: u32 = 20;
const LATE_LOOK: Duration = Duration::from_millis(100);

/// How the sandbox behaves.
#[derive(Debug, Clone)]
pub struct SandboxOptions {
    /// Port on loopback; 0 for any free one.
    pub port: u16,
    /// Whether it speaks https, with a certificate of its own private CA.
    pub tls: bool,
    /// Whether items and services want a token.
    pub secured: bool,
    /// Looks at a job until it is done.
    pub looks: u32,
    /// How long a token lives.
    pub token_life: Duration,
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
    /// Fonts beside the one of its own style; each is served by its own name, and a stack of several is not known.
    pub fonts: Vec<SandboxFont>,
    /// A style in place of its own: of the vector tile services, in their packages, and of the style item, whose source is a whole url.
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
            looks: 3,
            token_life: Duration::from_secs(3600),
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
            fonts: Vec::new(),
            style: None,
            certificate: ServerCertificate::default(),
            wants_client_certificate: false,
            sloppy: false,
        }
    }
}

/// A request that the sandbox was asked.
#[derive(Debug, Clone)]
pub struct LoggedRequest {
    /// `GET` or `POST`.
    pub method: String,
    /// Host and port that were asked.
    pub host: String,
    /// Path.
    pub path: String,
    /// Parameters of query and form, names in lower case.
    pub parameters: std::collections::BTreeMap<String, String>,
    /// Whether a token came with it, as parameter or header.
    pub has_token: bool,
    /// `Range`, where one came with it.
    pub range: Option<String>,
    /// When, since the start of the sandbox.
    pub at: Duration,
}

pub(crate) enum JobKind {
    Replica { name: String, id: Option<String> },
    Tiles { name: String, online: bool },
}

pub(crate) struct Job {
    pub(crate) kind: JobKind,
    pub(crate) looks: u32,
    pub(crate) result: Option<Result<PathBuf, String>>,
    pub(crate) fault: Option<JobFault>,
    pub(crate) cancelled: bool,
    pub(crate) submitted: i64,
}

pub(crate) struct Token {
    pub(crate) until: Instant,
    pub(crate) referer: Option<String>,
    /// The one federated server that it is for; `None` for the portal's own.
    pub(crate) server: Option<String>,
}

pub(crate) struct State {
    pub(crate) options: SandboxOptions,
    pub(crate) data: Arc<Data>,
    pub(crate) services: Vec<FeatureService>,
    pub(crate) jobs: Mutex<HashMap<String, Job>>,
    /// Told when the result of a job is there.
    built: Condvar,
    pub(crate) tokens: Mutex<HashMap<String, Token>>,
    pub(crate) log: Mutex<Vec<LoggedRequest>>,
    pub(crate) faults: Mutex<Vec<Fault>>,
    pub(crate) colleagues: Mutex<Vec<Colleague>>,
    /// Service → replica id → name.
    pub(crate) replicas: Mutex<HashMap<&'static str, Vec<(String, String)>>>,
    pub(crate) files: tempfile::TempDir,
    /// `http://127.0.0.1:port` of the services and of the storage.
    pub(crate) base: OnceLock<(String, String)>,
    /// The same of the export twin.
    pub(crate) twin: OnceLock<String>,
    pub(crate) began: Instant,
    /// The last second and how many requests it saw.
    pub(crate) second: Mutex<(u64, u32)>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn now_ms() -> i64 {
    offmap_model::system_now_ms()
}

impl State {
    pub(crate) fn new(options: SandboxOptions) -> std::io::Result<Self> {
        let data = Arc::new(Data::load());
        let services = feature::services(&data).map_err(std::io::Error::other)?;
        Ok(Self {
            options,
            data,
            services,
            jobs: Mutex::default(),
            built: Condvar::new(),
            tokens: Mutex::default(),
            log: Mutex::default(),
            faults: Mutex::default(),
            colleagues: Mutex::default(),
            replicas: Mutex::default(),
            files: tempfile::tempdir()?,
            base: OnceLock::new(),
            twin: OnceLock::new(),
            began: Instant::now(),
            second: Mutex::default(),
        })
    }

    pub(crate) fn base(&self) -> &str {
        self.base.get().map_or("", |b| b.0.as_str())
    }

    pub(crate) fn storage(&self) -> &str {
        self.base.get().map_or("", |b| b.1.as_str())
    }

    pub(crate) fn twin(&self) -> Option<&str> {
        self.twin.get().map(String::as_str)
    }

    /// Whether the host that a call was made to exports tiles.
    pub(crate) fn exports(&self, call: &Call) -> bool {
        self.twin().is_none_or(|twin| twin.split("://").nth(1) == Some(call.host.as_str()))
    }

    /// `http://host:port` as answers to a call name it.
    pub(crate) fn named(&self, call: &Call) -> &str {
        let twin = self.twin().filter(|_| self.exports(call));
        self.options.inner_host.as_deref().or(twin).unwrap_or(self.base())
    }

    /// Host and port of the server that is federated with the portal: the same services under another name.
    pub(crate) fn federated(&self) -> String {
        self.base().split("://").nth(1).unwrap_or_default().replace("localhost", "127.0.0.1")
    }

    /// Mints a token of the portal, or for one of its servers.
    pub(crate) fn mint(&self, referer: Option<String>, server: Option<String>) -> (String, i64) {
        let token = uuid::Uuid::new_v4().simple().to_string();
        let life = self.options.token_life;
        lock(&self.tokens).insert(token.clone(), Token { until: Instant::now() + life, referer, server });
        (token, now_ms() + i64::try_from(life.as_millis()).unwrap_or(i64::MAX))
    }

    /// Starts a job whose result is built off the async threads.
    pub(crate) fn start(
        self: &Arc<Self>,
        id: String,
        kind: JobKind,
        fault: Option<JobFault>,
        build: impl FnOnce(&Self) -> Result<PathBuf, String> + Send + 'static,
    ) {
        let job = Job { kind, looks: 0, result: None, fault, cancelled: false, submitted: now_ms() };
        lock(&self.jobs).insert(id.clone(), job);
        let state = Arc::clone(self);
        tokio::task::spawn_blocking(move || {
            let result = build(&state);
            if let Some(job) = lock(&state.jobs).get_mut(&id) {
                job.result = Some(result);
            }
            state.built.notify_all();
        });
    }

    /// Looks at a job: counts the look and says whether it is still running, failed, or done with its file.
    pub(crate) fn look<T>(&self, id: &str, answer: impl FnOnce(&Job, Look) -> T) -> Option<T> {
        let mut jobs = lock(&self.jobs);
        jobs.get_mut(id)?.looks += 1;
        // A client of virtual time asks without a pause: a later look waits for the work a little, so that the client's time does
        // not run out while tiles are drawn.
        let is_at_work = |jobs: &mut HashMap<String, Job>| {
            let job = jobs.get(id);
            job.is_some_and(|j| j.looks > EARLY_LOOKS && j.result.is_none() && j.fault.is_none() && !j.cancelled)
        };
        let waited = self.built.wait_timeout_while(jobs, LATE_LOOK, is_at_work);
        let mut jobs = waited.unwrap_or_else(PoisonError::into_inner).0;
        let job = jobs.get_mut(id)?;
        let look = match (&job.fault, &job.result) {
            _ if job.cancelled => Look::Cancelled,
            (Some(JobFault::Stuck), _) => Look::Running,
            _ if job.looks < self.options.looks => Look::Running,
            _ if now_ms() - job.submitted < i64::try_from(self.options.job_time.as_millis()).unwrap_or(0) => Look::Running,
            (Some(JobFault::Failed(words)), _) => Look::Failed(words.clone()),
            (Some(JobFault::CompletedWithErrors), _) => Look::WithErrors,
            (None, Some(Ok(path))) => Look::Done(path.clone()),
            (None, Some(Err(words))) => Look::Failed(words.clone()),
            (None, None) => Look::Running,
        };
        Some(answer(job, look))
    }
}

pub(crate) enum Look {
    Running,
    Done(PathBuf),
    Failed(String),
    WithErrors,
    Cancelled,
}

/// An ArcGIS answer: JSON, or bytes with their media type.
pub(crate) enum Answer {
    Json(Value),
    Bytes(&'static str, Vec<u8>),
    File(PathBuf),
    NotFound,
}
