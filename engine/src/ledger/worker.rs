//! What works on a ledger's file: one thread at a time, which commits at once whatever waits.
//!
//! No thread belongs to a ledger: whoever has something to do while nobody works on the file does it on a thread for work that blocks,
//! with all that others ask for meanwhile. So many jobs share a few threads, and a slow disk delays its own job only.

use super::file::{Deadline, FileKind, LEDGER, LONGEST_READ, open};
use offmap_disk::run_blocking;
use offmap_model::Failure;
use rusqlite::Connection;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

type Answer = Result<(), Failure>;

/// What is to be done with the file.
pub(crate) type Work = Box<dyn FnOnce(&Connection) -> rusqlite::Result<()> + Send>;

struct Command {
    work: Work,
    /// Whether it only reads: then its time is limited.
    reads: bool,
    done: oneshot::Sender<Answer>,
}

/// An opened file.
struct Opened {
    connection: Connection,
    deadline: Deadline,
}

#[derive(Default)]
struct State {
    /// What nobody works on yet: few, since whoever asks waits for the answer.
    waiting: Vec<Command>,
    /// The file, while nobody works on it.
    idle: Option<Opened>,
    /// Whether a thread is on its way to what waits.
    is_called: bool,
    /// Whether the file was lost by a panic.
    is_broken: bool,
    /// Whether nobody may ask any more,
    is_closed: bool,
    /// and who is told when the file is closed.
    closing: Option<oneshot::Sender<()>>,
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
        // Closing a file writes to the disk.
        if let Some(opened) = self.lock().idle.take() {
            self.runtime.spawn_blocking(move || drop(opened));
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
            match state.closing.take() {
                None => state.idle = serving.opened.take(),
                Some(closed) => {
                    drop(state);
                    drop(serving.opened.take());
                    // Nobody waits for it any more.
                    let _ = closed.send(());
                }
            }
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
        if self.opened.is_some() {
            let mut state = self.shared.lock();
            state.is_broken = true;
            state.waiting.clear();
            state.closing = None;
        }
    }
}

/// Does a batch in one transaction, then answers everybody.
fn commit(kind: &FileKind, opened: &Opened, batch: Vec<Command>) {
    let Opened { connection, deadline } = opened;
    let mut answers = Vec::with_capacity(batch.len());
    let run = |sql| connection.prepare_cached(sql).and_then(|mut statement| statement.execute([])).map(drop);
    let mut begun = run("BEGIN").map_err(|e| kind.judged(&e));
    for command in batch {
        if command.reads {
            deadline.set(LONGEST_READ);
        }
        let result = begun.clone().and_then(|()| (command.work)(connection).map_err(|e| kind.judged(&e)));
        deadline.clear();
        answers.push((command.done, result));
    }
    if begun.is_ok() {
        begun = run("COMMIT").map_err(|e| {
            // A commit that failed leaves its transaction open.
            let _ = run("ROLLBACK");
            kind.judged(&e)
        });
    }
    for (done, result) in answers {
        // Nobody waits any more if the job was dropped.
        let _ = done.send(begun.clone().and(result));
    }
}

impl Worker {
    /// Opens or makes the file of a ledger.
    pub(crate) async fn start(path: &Path) -> Result<Self, Failure> {
        let path = path.to_owned();
        let (connection, deadline) = run_blocking(move || open(&path)).await?;
        Ok(Self::of(&LEDGER, connection, deadline, Handle::current()))
    }

    /// For a file that is open; what is to be done with it is done on this runtime.
    pub(crate) fn of(kind: &'static FileKind, connection: Connection, deadline: Deadline, runtime: Handle) -> Self {
        let state = State { idle: Some(Opened { connection, deadline }), ..State::default() };
        Self { shared: Arc::new(Shared { kind, state: Mutex::new(state), runtime }) }
    }

    /// Adds a command to what waits.
    fn add(&self, work: Work, reads: bool) -> Result<(MutexGuard<'_, State>, oneshot::Receiver<Answer>), Failure> {
        let (done, is_done) = oneshot::channel();
        let mut state = self.shared.lock();
        if state.is_broken {
            return Err(self.shared.kind.broken("what worked on it has ended"));
        }
        if state.is_closed {
            return Err(self.shared.kind.broken("it is closed, since its engine has ended"));
        }
        state.waiting.push(Command { work, reads, done });
        Ok((state, is_done))
    }

    /// Adds a command and calls somebody to it.
    fn begin(&self, work: Work, reads: bool) -> Result<oneshot::Receiver<Answer>, Failure> {
        let (is_asked, is_done) = {
            let (mut state, is_done) = self.add(work, reads)?;
            let is_asked = state.idle.is_some() && !std::mem::replace(&mut state.is_called, true);
            (is_asked, is_done)
        };
        if is_asked {
            let shared = Arc::clone(&self.shared);
            self.shared.runtime.spawn_blocking(move || {
                shared.lock().is_called = false;
                serve(&shared);
            });
        }
        Ok(is_done)
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

    /// Runs something that writes, on this thread unless another one works on the file. Blocks.
    pub(crate) fn run_here(&self, work: Work) -> Result<(), Failure> {
        let (state, is_done) = self.add(work, false)?;
        drop(state);
        serve(&self.shared);
        is_done.blocking_recv().map_err(|e| self.shared.kind.broken(e))?
    }

    /// Does what waits and closes the file. Who asks for something later is refused.
    pub(crate) async fn close_file(&self) {
        let (closing, closed) = oneshot::channel();
        {
            let mut state = self.shared.lock();
            if state.is_broken || std::mem::replace(&mut state.is_closed, true) {
                return;
            }
            state.closing = Some(closing);
        }
        let shared = Arc::clone(&self.shared);
        // Where somebody works on the file, that one closes it.
        drop(self.shared.runtime.spawn_blocking(move || serve(&shared)));
        let _ = closed.await;
    }

    /// Runs something that only reads, in limited time.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let (answer, is_answered) = oneshot::channel();
        let work: Work = Box::new(move |connection| {
            let _ = answer.send(query(connection)?);
            Ok(())
        });
        self.send(work, true).await?;
        is_answered.await.map_err(|e| self.shared.kind.broken(e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_that_panics_leaves_nobody_waiting() {
        let dir = tempfile::tempdir().expect("a directory");
        let worker = Worker::start(&dir.path().join("ledger.sqlite")).await.expect("opens");
        worker.run(Box::new(|_| Ok(()))).await.expect("works");
        let failure = worker.run(Box::new(|_| panic!("a bug"))).await.expect_err("no answer");
        assert!(failure.message.contains("ledger"), "{failure}");
        assert!(worker.run(Box::new(|_| Ok(()))).await.is_err(), "what may be half done is not gone on with");
    }

    #[tokio::test]
    async fn what_waits_is_done_in_order_by_whoever_works() {
        let dir = tempfile::tempdir().expect("a directory");
        let worker = Worker::start(&dir.path().join("ledger.sqlite")).await.expect("opens");
        let put = |n: i64| -> Work {
            Box::new(move |c| c.execute("INSERT OR REPLACE INTO job(key, value) VALUES('n', ?1)", [n.to_string()]).map(drop))
        };
        let here = worker.clone();
        futures_util::future::try_join_all((0..200).map(|n| worker.run(put(n)))).await.expect("writes");
        tokio::task::spawn_blocking(move || here.run_here(put(200))).await.expect("runs").expect("writes");
        let n: String = worker.read(|c| c.query_row("SELECT value FROM job", [], |r| r.get(0))).await.expect("reads");
        assert_eq!(n, "200");
    }
}
