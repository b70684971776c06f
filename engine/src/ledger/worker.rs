//! What works on a ledger's file: one thread at a time, which commits at once whatever waits.
//!
//! No thread belongs to a ledger: whoever has something to do while nobody works on the file does it on a thread for work that blocks,
//! with all that others ask for meanwhile. So many jobs share a few threads, and a slow disk delays its own job only.

use super::batch::{Answer, Command, Opened, commit};
use super::file::{Deadline, FileKind, LEDGER, open};
use offmap_disk::run_blocking;
use offmap_model::Failure;
use rusqlite::Connection;
use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

pub(crate) use super::batch::Work;

#[derive(Default)]
struct State {
    /// What nobody works on yet: few, since whoever asks waits for the answer, and a task adds one thing at most to what is done next.
    waiting: Vec<Command>,
    /// The file, while nobody works on it.
    idle: Option<Opened>,
    /// Whether a thread is on its way to what waits.
    is_called: bool,
    /// Why nothing can be asked any more.
    ended: Option<&'static str>,
    /// Whether the file is closed.
    is_closed: bool,
    /// Who waits until it is.
    closers: Vec<oneshot::Sender<()>>,
}

struct Shared {
    kind: &'static FileKind,
    state: Mutex<State>,
    runtime: Handle,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let mut state = self.lock();
        let (idle, waiting, kind) = (state.idle.take(), std::mem::take(&mut state.waiting), self.kind);
        // Closing a file writes to the disk.
        if let Some(opened) = idle {
            self.runtime.spawn_blocking(move || match waiting.is_empty() {
                true => drop(opened),
                false => commit(kind, &opened, waiting),
            });
        }
    }
}

/// A handle to the file; it is closed when the last one is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Worker {
    shared: Arc<Shared>,
}

pub(crate) fn broken(error: impl std::fmt::Display) -> Failure {
    LEDGER.broken(error)
}

/// The file in the hands of who works on it. Who does not come to an end with it leaves it broken, and nobody waits for ever.
struct Serving {
    shared: Arc<Shared>,
    opened: Option<Opened>,
}

/// Does whatever waits, until nothing does; nothing where somebody else works on the file. Blocks.
fn serve(shared: &Arc<Shared>) {
    let Some(opened) = shared.lock().idle.take() else { return };
    let mut serving = Serving { shared: Arc::clone(shared), opened: Some(opened) };
    loop {
        let mut state = shared.lock();
        if state.waiting.is_empty() {
            if state.closers.is_empty() {
                state.idle = serving.opened.take();
            }
            // Else it is closed where `serving` ends.
            return;
        }
        let batch = std::mem::take(&mut state.waiting);
        drop(state);
        if let Some(opened) = &serving.opened {
            commit(shared.kind, opened, batch);
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let Some(opened) = self.opened.take() else { return };
        // First: who waits for the end may open the file again.
        drop(opened);
        let mut state = self.shared.lock();
        state.ended.get_or_insert("what worked on it has ended");
        state.is_closed = true;
        state.waiting.clear();
        state.closers.clear();
    }
}

impl Worker {
    /// Opens or makes the file of a ledger. The lock is held until it is closed.
    pub(crate) async fn start(path: &Path, lock: Option<Arc<File>>) -> Result<Self, Failure> {
        let path = path.to_owned();
        let (connection, deadline) = run_blocking(move || open(&path)).await?;
        Ok(Self::with(&LEDGER, Opened { connection, deadline, _lock: lock }, Handle::current()))
    }

    /// For a file that is open; what is to be done with it is done on this runtime.
    pub(crate) fn of(kind: &'static FileKind, connection: Connection, deadline: Deadline, runtime: Handle) -> Self {
        Self::with(kind, Opened { connection, deadline, _lock: None }, runtime)
    }

    fn with(kind: &'static FileKind, opened: Opened, runtime: Handle) -> Self {
        let state = State { idle: Some(opened), ..State::default() };
        Self { shared: Arc::new(Shared { kind, state: Mutex::new(state), runtime }) }
    }

    /// Adds a command to what waits.
    fn add(&self, work: Work, reads: bool) -> Result<(MutexGuard<'_, State>, oneshot::Receiver<Answer>), Failure> {
        let (done, is_done) = oneshot::channel();
        let mut state = self.shared.lock();
        if let Some(why) = state.ended {
            return Err(self.shared.kind.broken(why));
        }
        state.waiting.push(Command { work, reads, done });
        Ok((state, is_done))
    }

    /// Adds a command and calls somebody to it.
    fn begin(&self, work: Work, reads: bool) -> Result<oneshot::Receiver<Answer>, Failure> {
        let (state, is_done) = self.add(work, reads)?;
        self.call(state);
        Ok(is_done)
    }

    /// Calls somebody to what waits, unless somebody works on the file or is on the way to it.
    fn call(&self, mut state: MutexGuard<'_, State>) {
        let is_asked = state.idle.is_some() && !std::mem::replace(&mut state.is_called, true);
        drop(state);
        if is_asked {
            let shared = Arc::clone(&self.shared);
            self.shared.runtime.spawn_blocking(move || {
                shared.lock().is_called = false;
                serve(&shared);
            });
        }
    }

    /// Closes the file when what was asked before is done. Nothing can be asked after that, by no handle; when this answers, the file
    /// may be opened again.
    pub(crate) async fn close_file(&self) {
        let (done, is_closed) = oneshot::channel();
        {
            let mut state = self.shared.lock();
            state.ended.get_or_insert("it is closed");
            if state.is_closed {
                return;
            }
            state.closers.push(done);
            self.call(state);
        }
        // The sender is dropped when the file is closed.
        let _ = is_closed.await;
    }

    /// Adds something that writes to what is done next, in the same transaction as that; at the latest before the file is closed. For
    /// what may be lost with the process, and cannot fail where what follows does not.
    pub(crate) fn add_to_next(&self, work: Work) -> Result<(), Failure> {
        self.add(work, false).map(drop)
    }

    async fn send(&self, work: Work, reads: bool) -> Result<(), Failure> {
        self.begin(work, reads)?.await.map_err(|e| self.shared.kind.broken(e))?
    }

    /// Sends something that writes: what is sent later is done later. The answer comes when it is written.
    pub(crate) fn begin_run(&self, work: Work) -> Result<impl Future<Output = Result<(), Failure>> + use<>, Failure> {
        let (is_done, kind) = (self.begin(work, false)?, self.shared.kind);
        Ok(async move { is_done.await.map_err(|e| kind.broken(e))? })
    }

    /// Runs something that writes.
    pub(crate) async fn run(&self, work: Work) -> Result<(), Failure> {
        self.send(work, false).await
    }

    fn send_here(&self, work: Work, reads: bool) -> Result<(), Failure> {
        let (state, is_done) = self.add(work, reads)?;
        drop(state);
        serve(&self.shared);
        is_done.blocking_recv().map_err(|e| self.shared.kind.broken(e))?
    }

    /// Runs something that writes, and answers what came of it.
    pub(crate) async fn ask<T: Send + 'static>(&self, work: impl Query<T>) -> Result<T, Failure> {
        let (work, is_answered) = answering(work);
        self.send(work, false).await?;
        is_answered.await.map_err(|e| self.shared.kind.broken(e))
    }

    /// The same on this thread, unless another one works on the file. Blocks.
    pub(crate) fn ask_here<T: Send + 'static>(&self, work: impl Query<T>) -> Result<T, Failure> {
        let (work, mut is_answered) = answering(work);
        self.send_here(work, false)?;
        is_answered.try_recv().map_err(|e| self.shared.kind.broken(e))
    }

    /// Runs something that only reads, in limited time.
    pub(crate) async fn read<T: Send + 'static>(&self, query: impl Query<T>) -> Result<T, Failure> {
        let (work, is_answered) = answering(query);
        self.send(work, true).await?;
        is_answered.await.map_err(|e| self.shared.kind.broken(e))
    }

    /// The same on this thread, unless another one works on the file. Blocks.
    pub(crate) fn read_here<T: Send + 'static>(&self, query: impl Query<T>) -> Result<T, Failure> {
        let (work, mut is_answered) = answering(query);
        self.send_here(work, true)?;
        is_answered.try_recv().map_err(|e| self.shared.kind.broken(e))
    }
}

/// What is asked of a file.
pub(crate) trait Query<T>: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static {}

impl<T, F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static> Query<T> for F {}

/// Work, and what it answers when it was done.
fn answering<T: Send + 'static>(work: impl Query<T>) -> (Work, oneshot::Receiver<T>) {
    let (answer, is_answered) = oneshot::channel();
    let work: Work = Box::new(move |c| {
        // Nobody waits any more if the job was dropped.
        let _ = answer.send(work(c)?);
        Ok(())
    });
    (work, is_answered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_that_panics_leaves_nobody_waiting() {
        let dir = tempfile::tempdir().expect("a directory");
        let worker = Worker::start(&dir.path().join("ledger.sqlite"), None).await.expect("opens");
        worker.run(Box::new(|_| Ok(()))).await.expect("works");
        let failure = worker.run(Box::new(|_| panic!("a bug"))).await.expect_err("no answer");
        assert!(failure.message.contains("ledger"), "{failure}");
        assert!(worker.run(Box::new(|_| Ok(()))).await.is_err(), "what may be half done is not gone on with");
    }

    #[tokio::test]
    async fn what_waits_is_done_in_order_by_whoever_works() {
        let dir = tempfile::tempdir().expect("a directory");
        let worker = Worker::start(&dir.path().join("ledger.sqlite"), None).await.expect("opens");
        let put = |n: i64| -> Work {
            Box::new(move |c| c.execute("INSERT OR REPLACE INTO job(key, value) VALUES('n', ?1)", [n.to_string()]).map(drop))
        };
        let here = worker.clone();
        futures_util::future::try_join_all((0..200).map(|n| worker.run(put(n)))).await.expect("writes");
        tokio::task::spawn_blocking(move || here.ask_here(put(200))).await.expect("runs").expect("writes");
        let n: String = worker.read(|c| c.query_row("SELECT value FROM job", [], |r| r.get(0))).await.expect("reads");
        assert_eq!(n, "200");
    }

    #[tokio::test]
    async fn what_is_added_to_what_comes_next_is_written_with_it_and_at_the_latest_when_the_file_is_closed() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ledger.sqlite");
        let put = |key: &'static str| -> Work {
            Box::new(move |c| c.execute("INSERT INTO job(key, value) VALUES(?1, '')", [key]).map(drop))
        };
        let keys = |c: &Connection| c.query_row("SELECT group_concat(key) FROM job", [], |r| r.get::<_, Option<String>>(0));
        let worker = Worker::start(&path, None).await.expect("opens");
        worker.add_to_next(put("a")).expect("is open");
        let done = worker.ask(keys).await.expect("reads");
        assert_eq!(done.as_deref(), Some("a"), "it is done before what comes next");
        worker.add_to_next(put("b")).expect("is open");
        worker.close_file().await;
        assert!(worker.add_to_next(put("c")).is_err());
        let worker = Worker::start(&path, None).await.expect("opens");
        worker.add_to_next(put("d")).expect("is open");
        // Its last handle: the file is closed on another thread.
        drop(worker);
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
        let worker = loop {
            match Worker::start(&path, None).await {
                Ok(worker) => break worker,
                Err(failure) => assert!(tokio::time::Instant::now() < deadline, "{failure}"),
            }
        };
        assert_eq!(worker.read(keys).await.expect("reads").as_deref(), Some("a,b,d"));
    }

    #[tokio::test]
    async fn a_file_is_closed_when_closing_answers() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ledger.sqlite");
        for n in 0..50_u32 {
            let worker = Worker::start(&path, None).await.expect("it was closed before");
            let before: i64 =
                worker.read(|c| c.query_row("SELECT count(*) FROM job", [], |r| r.get(0))).await.expect("reads");
            assert_eq!(before, i64::from(n), "what was asked before the close is done");
            let put: Work = Box::new(move |c| c.execute("INSERT INTO job VALUES(?1, '')", [n.to_string()]).map(drop));
            let written = worker.begin_run(put).expect("is open");
            let other = worker.clone();
            let ((), (), written) = tokio::join!(worker.close_file(), other.close_file(), written);
            written.expect("it is written");
            let failure = other.run(Box::new(|_| Ok(()))).await.expect_err("it is closed for all");
            assert!(failure.message.contains("it is closed"), "{failure}");
            assert!(!path.with_extension("sqlite-wal").exists(), "nothing lies beside a file that is closed");
            worker.close_file().await;
        }
    }

    #[tokio::test]
    async fn a_file_that_a_panic_took_is_closed_as_well() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ledger.sqlite");
        let worker = Worker::start(&path, None).await.expect("opens");
        let (failed, ()) = tokio::join!(worker.run(Box::new(|_| panic!("a bug"))), worker.close_file());
        assert!(failed.is_err());
        Worker::start(&path, None).await.expect("it is closed");
    }
}
