//! The thread that owns a ledger's file: whatever waits is committed at once.

use super::file::{Deadline, FileKind, LEDGER, LONGEST_READ, open_kind};
use offmap_model::Failure;
use rusqlite::Connection;
use std::path::Path;
use tokio::sync::{mpsc, oneshot};

/// Messages that may wait for the ledger's thread.
const QUEUE: usize = 256;

/// What is to be done with the file.
pub(crate) type Work = Box<dyn FnOnce(&Connection) -> rusqlite::Result<()> + Send>;

struct Command {
    work: Work,
    /// Whether it only reads: then its time is limited.
    reads: bool,
    done: oneshot::Sender<Result<(), Failure>>,
}

/// A handle to the thread; it ends when the last one is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Worker {
    sender: mpsc::Sender<Command>,
    kind: &'static FileKind,
}

pub(super) fn broken(error: impl std::fmt::Display) -> Failure {
    LEDGER.broken(error)
}

/// Takes whatever waits, commits it at once, then answers everybody.
fn serve(kind: &FileKind, connection: &Connection, deadline: &Deadline, mut receiver: mpsc::Receiver<Command>) {
    while let Some(first) = receiver.blocking_recv() {
        let mut batch = vec![first];
        while let Ok(next) = receiver.try_recv() {
            batch.push(next);
        }
        let mut answers = Vec::with_capacity(batch.len());
        let mut begun = connection.execute_batch("BEGIN").map_err(|e| kind.judged(&e));
        for command in batch {
            if command.reads {
                deadline.set(LONGEST_READ);
            }
            let result = begun.clone().and_then(|()| (command.work)(connection).map_err(|e| kind.judged(&e)));
            deadline.clear();
            answers.push((command.done, result));
        }
        if begun.is_ok() {
            begun = connection.execute_batch("COMMIT").map_err(|e| {
                // A commit that failed leaves its transaction open.
                let _ = connection.execute_batch("ROLLBACK");
                kind.judged(&e)
            });
        }
        for (done, result) in answers {
            // Nobody waits any more if the job was dropped.
            let _ = done.send(begun.clone().and(result));
        }
    }
}

impl Worker {
    /// Opens or makes the file of a ledger and starts its thread.
    pub(super) async fn start(path: &Path) -> Result<Self, Failure> {
        let (opened, is_open) = oneshot::channel();
        let path = path.to_owned();
        let open = move || open_kind(&LEDGER, &path);
        let worker = Self::spawn(
            &LEDGER,
            open,
            |_| Ok(()),
            move |result| {
                let _ = opened.send(result);
            },
        )?;
        is_open.await.map_err(broken)??;
        Ok(worker)
    }

    /// Opens a file, reads what its owner needs first, and starts its thread. Blocks until it is read.
    pub(crate) fn start_blocking<T: Send + 'static>(
        kind: &'static FileKind,
        open: impl FnOnce() -> Result<(Connection, Deadline), Failure> + Send + 'static,
        first: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<(Self, T), Failure> {
        let (opened, is_open) = std::sync::mpsc::channel();
        let worker = Self::spawn(kind, open, first, move |result| {
            let _ = opened.send(result);
        })?;
        let first = is_open.recv().map_err(|e| kind.broken(e))??;
        Ok((worker, first))
    }

    fn spawn<T: 'static>(
        kind: &'static FileKind,
        open: impl FnOnce() -> Result<(Connection, Deadline), Failure> + Send + 'static,
        first: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        report: impl FnOnce(Result<T, Failure>) + Send + 'static,
    ) -> Result<Self, Failure> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let run = move || {
            let read = open().and_then(|(connection, deadline)| {
                let value = first(&connection).map_err(|e| kind.judged(&e))?;
                Ok((connection, deadline, value))
            });
            match read {
                Ok((connection, deadline, value)) => {
                    report(Ok(value));
                    serve(kind, &connection, &deadline, receiver);
                }
                Err(failure) => report(Err(failure)),
            }
        };
        std::thread::Builder::new().name("offmap-ledger".to_owned()).spawn(run).map_err(|e| kind.broken(e))?;
        Ok(Self { sender, kind })
    }

    async fn begin(&self, work: Work, reads: bool) -> Result<impl Future<Output = Result<(), Failure>> + use<>, Failure> {
        let (done, is_done) = oneshot::channel();
        let (sent, kind) = (self.sender.send(Command { work, reads, done }).await, self.kind);
        sent.map_err(|_| kind.broken("its thread has ended"))?;
        Ok(async move { is_done.await.map_err(|e| kind.broken(e))? })
    }

    async fn send(&self, work: Work, reads: bool) -> Result<(), Failure> {
        self.begin(work, reads).await?.await
    }

    /// Sends something that writes: what is sent later is done later. The answer comes when it is written.
    pub(crate) async fn begin_run(&self, work: Work) -> Result<impl Future<Output = Result<(), Failure>> + use<>, Failure> {
        self.begin(work, false).await
    }

    /// Runs something that writes.
    pub(crate) async fn run(&self, work: Work) -> Result<(), Failure> {
        self.send(work, false).await
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
        is_answered.await.map_err(|e| self.kind.broken(e))
    }
}
