//! The thread that owns a ledger's file: whatever waits is committed at once.

use super::file::{self, Deadline, LONGEST_READ, judged};
use offmap_model::Failure;
use rusqlite::Connection;
use std::path::Path;
use tokio::sync::{mpsc, oneshot};

/// Messages that may wait for the ledger's thread.
const QUEUE: usize = 256;

/// What is to be done with the file.
pub(super) type Work = Box<dyn FnOnce(&Connection) -> rusqlite::Result<()> + Send>;

struct Command {
    work: Work,
    /// Whether it only reads: then its time is limited.
    reads: bool,
    done: oneshot::Sender<Result<(), Failure>>,
}

/// A handle to the thread; it ends when the last one is dropped.
#[derive(Debug, Clone)]
pub(super) struct Worker {
    sender: mpsc::Sender<Command>,
}

pub(super) fn broken(error: impl std::fmt::Display) -> Failure {
    Failure::internal(format!("the job's ledger cannot be used: {error}"))
}

/// Takes whatever waits, commits it at once, then answers everybody.
fn serve(connection: &Connection, deadline: &Deadline, mut receiver: mpsc::Receiver<Command>) {
    while let Some(first) = receiver.blocking_recv() {
        let mut batch = vec![first];
        while let Ok(next) = receiver.try_recv() {
            batch.push(next);
        }
        let mut answers = Vec::with_capacity(batch.len());
        let mut begun = connection.execute_batch("BEGIN").map_err(|e| judged(&e));
        for command in batch {
            if command.reads {
                deadline.set(LONGEST_READ);
            }
            let result = begun.clone().and_then(|()| (command.work)(connection).map_err(|e| judged(&e)));
            deadline.clear();
            answers.push((command.done, result));
        }
        if begun.is_ok() {
            begun = connection.execute_batch("COMMIT").map_err(|e| {
                // A commit that failed leaves its transaction open.
                let _ = connection.execute_batch("ROLLBACK");
                judged(&e)
            });
        }
        for (done, result) in answers {
            // Nobody waits any more if the job was dropped.
            let _ = done.send(begun.clone().and(result));
        }
    }
}

impl Worker {
    /// Opens or makes the file and starts its thread.
    pub(super) async fn start(path: &Path) -> Result<Self, Failure> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let (opened, is_open) = oneshot::channel();
        let path = path.to_owned();
        std::thread::Builder::new()
            .name("offmap-ledger".to_owned())
            .spawn(move || match file::open(&path) {
                Ok((connection, deadline)) => {
                    let _ = opened.send(Ok(()));
                    serve(&connection, &deadline, receiver);
                }
                Err(failure) => {
                    let _ = opened.send(Err(failure));
                }
            })
            .map_err(broken)?;
        is_open.await.map_err(broken)??;
        Ok(Self { sender })
    }

    async fn send(&self, work: Work, reads: bool) -> Result<(), Failure> {
        let (done, is_done) = oneshot::channel();
        self.sender.send(Command { work, reads, done }).await.map_err(|_| broken("its thread has ended"))?;
        is_done.await.map_err(broken)?
    }

    /// Runs something that writes.
    pub(super) async fn run(&self, work: Work) -> Result<(), Failure> {
        self.send(work, false).await
    }

    /// Runs something that only reads, in limited time.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let (answer, is_answered) = oneshot::channel();
        let work: Work = Box::new(move |connection| {
            let _ = answer.send(query(connection)?);
            Ok(())
        });
        self.send(work, true).await?;
        is_answered.await.map_err(broken)
    }
}
