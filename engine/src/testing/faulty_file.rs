//! A file on a web server that can be made to fail.

use super::fault_rows::without_credentials;
use super::faults::{FaultAction, FaultEnds, FaultRow, FaultStep, FaultyService, StepKind};
use super::file_server::{Host, Request, listen};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::task::AbortHandle;

/// A file on a web server of its own on loopback, which plays every [`FaultAction`], for exporters that download what lies on a server as it
/// is. The server ends with it.
///
/// Its steps are the file while the job is planned ([`StepKind::Description`]), where the exporter asks for it then, and the file while it is
/// exported ([`StepKind::PlainFile`]). Nobody signs in unless [`FaultyFile::with_credentials`] says so.
///
/// ```no_run
/// use offmap_engine::testing::{FaultMatrix, FaultyFile, fault_rows};
/// # async fn play(task: &offmap_engine::OfflineMapTask, parameters: offmap_model::GenerateOfflineMapParameters) -> std::io::Result<()> {
///
/// let server = FaultyFile::serve("sites.csv", "name,latitude,longitude\nBern,46.95,7.45\n").await?;
/// println!("a map with a layer of {} is what the task is made of", server.url());
/// let matrix = FaultMatrix {
///     task,
///     parameters,
///     service: &server,
///     rows: &fault_rows(server.elsewhere()),
///     verify: &|_package| Ok(()),
///     longest: std::time::Duration::from_secs(30),
/// };
/// let report = matrix.run().await?;
/// assert!(report.wrong.is_empty() && report.leaked_tokens == 0, "{report:#?}");
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct FaultyFile {
    url: String,
    elsewhere: String,
    shared: Arc<Shared>,
    signs_in: bool,
    servers: [AbortHandle; 2],
}

#[derive(Debug)]
struct Shared {
    path: String,
    bytes: Arc<[u8]>,
    played: Mutex<Played>,
    leaked: AtomicUsize,
}

#[derive(Debug, Default)]
struct Played {
    /// Requests since all was well.
    requests: usize,
    /// How many of them a plan takes.
    in_a_plan: usize,
    /// What goes wrong, after so many requests, and how often; `None` for always.
    action: Option<(usize, FaultAction, Option<u32>)>,
}

impl Shared {
    fn played(&self) -> MutexGuard<'_, Played> {
        self.played.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Host for Shared {
    fn answer(&self, request: &Request) -> (Option<Arc<[u8]>>, Option<FaultAction>) {
        if request.asked_path().split('?').next() != Some(self.path.as_str()) {
            return (None, None);
        }
        let mut played = self.played();
        played.requests += 1;
        let number = played.requests;
        let action = match &mut played.action {
            Some((after, ..)) if number <= *after => None,
            Some((_, _, Some(0))) | None => None,
            Some((_, action, times)) => {
                *times = times.map(|times| times - 1);
                Some(action.clone())
            }
        };
        (Some(Arc::clone(&self.bytes)), action)
    }
}

/// The host that has nothing.
#[derive(Debug)]
struct Elsewhere(Arc<Shared>);

impl Host for Elsewhere {
    fn answer(&self, request: &Request) -> (Option<Arc<[u8]>>, Option<FaultAction>) {
        self.0.leaked.fetch_add(usize::from(request.has_token()), Ordering::Relaxed);
        (None, None)
    }
}

impl FaultyFile {
    /// Serves these bytes under a name, such as `sites.csv`.
    ///
    /// # Errors
    /// If no port of the machine can be had.
    pub async fn serve(name: &str, bytes: impl Into<Vec<u8>>) -> io::Result<Self> {
        let bytes: Vec<u8> = bytes.into();
        let shared = Arc::new(Shared {
            path: format!("/{name}"),
            bytes: Arc::from(bytes),
            played: Mutex::default(),
            leaked: AtomicUsize::new(0),
        });
        let (root, own) = listen(Arc::clone(&shared) as _).await?;
        let (other, elsewhere) = listen(Arc::new(Elsewhere(Arc::clone(&shared)))).await?;
        let (url, other) = (format!("{root}/{name}"), format!("{other}/elsewhere"));
        Ok(Self { url, elsewhere: other, shared, signs_in: false, servers: [own, elsewhere] })
    }

    /// The client has credentials for the file's host that it can renew: a token that is refused once is no failure.
    #[must_use]
    pub fn with_credentials(mut self) -> Self {
        self.signs_in = true;
        self
    }

    /// Where the file is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A url on another host that has nothing, for [`fault_rows`](super::fault_rows()). It counts what brings a token there.
    #[must_use]
    pub fn elsewhere(&self) -> &str {
        &self.elsewhere
    }
}

impl Drop for FaultyFile {
    fn drop(&mut self) {
        self.servers.iter().for_each(AbortHandle::abort);
    }
}

impl FaultyService for FaultyFile {
    fn steps(&self) -> Vec<FaultStep> {
        let name = self.shared.path.trim_start_matches('/');
        let planned = FaultStep::new(format!("{name} while it is planned"), StepKind::Description);
        let exported = FaultStep::new(format!("{name} while it is exported"), StepKind::PlainFile);
        let is_planned = self.shared.played().in_a_plan > 0;
        is_planned.then_some(planned).into_iter().chain([exported]).collect()
    }

    fn task_was_planned(&self) {
        let mut played = self.shared.played();
        played.in_a_plan = played.requests;
    }

    fn break_step(&self, step: &FaultStep, action: FaultAction, times: Option<u32>) {
        let mut played = self.shared.played();
        let after = if step.kind == StepKind::PlainFile { played.in_a_plan } else { 0 };
        (played.requests, played.action) = (0, Some((after, action, times)));
    }

    fn heal(&self) {
        let mut played = self.shared.played();
        (played.requests, played.action) = (0, None);
    }

    fn other_ends(&self, step: &FaultStep, row: &FaultRow) -> Option<FaultEnds> {
        if self.signs_in { None } else { without_credentials(step, row) }
    }

    fn leaked_tokens(&self) -> usize {
        self.shared.leaked.load(Ordering::Relaxed)
    }
}
