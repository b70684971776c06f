//! What the sandbox knows: data, services, jobs, tokens, faults, and every request that it was asked.

use crate::colleague::Colleague;
use crate::data::Data;
use crate::fault::Fault;
use crate::feature::FeatureService;
use crate::jobs::{Job, JobKind, Poll};
use crate::lock::lock;
use crate::options::SandboxOptions;
use crate::request::{Call, LoggedRequest};
use crate::services;
use crate::sign_ins::SignIns;
use offmap_engine::testing::JobFault;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Polls of a job that are answered at once, and how long a later one waits for its result.
const EARLY_POLLS: u32 = 20;
const LATE_POLL: Duration = Duration::from_millis(100);

pub(crate) struct Token {
    pub(crate) until: Instant,
    pub(crate) referer: Option<String>,
    /// The one federated server that it is for; `None` for the portal's own.
    pub(crate) server: Option<String>,
    /// Whether it is of the user with whom not everything is shared.
    pub(crate) is_visitor: bool,
}

pub(crate) struct State {
    pub(crate) options: SandboxOptions,
    pub(crate) data: Arc<Data>,
    pub(crate) services: Vec<Arc<FeatureService>>,
    pub(crate) jobs: Mutex<HashMap<String, Job>>,
    /// Notified when the result of a job is there.
    built: Condvar,
    pub(crate) tokens: Mutex<HashMap<String, Token>>,
    pub(crate) sign_ins: Mutex<SignIns>,
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

pub(crate) fn now_ms() -> i64 {
    offmap_model::system_now_ms()
}

impl State {
    pub(crate) fn new(options: SandboxOptions) -> std::io::Result<Self> {
        let data = Data::shared();
        let services = services::all(&data).into_iter().map(Arc::new).collect();
        Ok(Self {
            options,
            data,
            services,
            jobs: Mutex::default(),
            built: Condvar::new(),
            tokens: Mutex::default(),
            sign_ins: Mutex::default(),
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
        self.mint_for(false, referer, server)
    }

    /// The same for either user.
    pub(crate) fn mint_for(&self, is_visitor: bool, referer: Option<String>, server: Option<String>) -> (String, i64) {
        let token = uuid::Uuid::new_v4().simple().to_string();
        let life = self.options.token_life;
        lock(&self.tokens).insert(token.clone(), Token { until: Instant::now() + life, referer, server, is_visitor });
        (token, now_ms() + i64::try_from(life.as_millis()).unwrap_or(i64::MAX))
    }

    /// Lets the colleagues edit before a request is answered.
    pub(crate) fn let_colleagues_edit(&self, path: &str) {
        let path = path.to_ascii_lowercase();
        for colleague in lock(&self.colleagues).iter_mut() {
            let Some((deleted, added)) = colleague.due(&path) else { continue };
            if let Some(service) = self.service(&colleague.service) {
                service.edit(colleague.layer, &deleted, &added);
            }
        }
    }

    /// A feature service by its name, in any letter case.
    pub(crate) fn service(&self, name: &str) -> Option<&Arc<FeatureService>> {
        self.services.iter().find(|s| s.name.eq_ignore_ascii_case(name))
    }

    /// Starts a job whose result is built off the async threads.
    pub(crate) fn start(
        self: &Arc<Self>,
        id: String,
        kind: JobKind,
        fault: Option<JobFault>,
        build: impl FnOnce(&Self) -> Result<PathBuf, String> + Send + 'static,
    ) {
        let job = Job { kind, polls: 0, result: None, fault, cancelled: false, submitted: now_ms() };
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

    /// Polls a job: counts the poll, and finds whether the job is still running, failed, or done with its file.
    pub(crate) fn poll<T>(&self, id: &str, answer: impl FnOnce(&Job, Poll) -> T) -> Option<T> {
        let mut jobs = lock(&self.jobs);
        jobs.get_mut(id)?.polls += 1;
        // A client of virtual time asks without a pause: a later poll waits for the work a little, so that the client's time does
        // not run out while tiles are drawn.
        let is_at_work = |jobs: &mut HashMap<String, Job>| {
            let job = jobs.get(id);
            job.is_some_and(|j| j.polls > EARLY_POLLS && j.result.is_none() && j.fault.is_none() && !j.cancelled)
        };
        let waited = self.built.wait_timeout_while(jobs, LATE_POLL, is_at_work);
        let mut jobs = waited.unwrap_or_else(PoisonError::into_inner).0;
        let job = jobs.get_mut(id)?;
        let poll = match (&job.fault, &job.result) {
            _ if job.cancelled => Poll::Cancelled,
            (Some(JobFault::Stuck), _) => Poll::Running,
            _ if job.polls < self.options.polls => Poll::Running,
            _ if now_ms() - job.submitted < i64::try_from(self.options.job_time.as_millis()).unwrap_or(0) => Poll::Running,
            (Some(JobFault::Failed(message)), _) => Poll::Failed(message.clone()),
            (Some(JobFault::CompletedWithErrors), _) => Poll::WithErrors,
            (None, Some(Ok(path))) => Poll::Done(path.clone()),
            (None, Some(Err(message))) => Poll::Failed(message.clone()),
            (None, None) => Poll::Running,
        };
        Some(answer(job, poll))
    }
}
