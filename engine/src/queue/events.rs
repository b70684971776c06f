//! The messages of a job, from any number on: out of the store, then as they come.

use super::orchestrator::Orchestrator;
use crate::status_stream::StatusStream;
use offmap_model::{Failure, StatusMessage, SubjectKind};
use std::collections::VecDeque;
use std::sync::Arc;

/// Whether a message is the last one of its job.
fn is_end(message: &StatusMessage) -> bool {
    message.subject.kind == SubjectKind::Job && message.state.is_terminal()
}

/// The messages of a job after a number, in order, to its end: also over restarts of the engine, and over pauses and retries of the job.
///
/// Numbers are the same for every reader and after a restart. Life-cycle messages are kept and never missed; progress is shown while it
/// is news, and is not replayed. Nobody waits for a slow reader.
#[derive(Debug)]
pub struct JobEvents {
    orchestrator: Arc<Orchestrator>,
    id: String,
    /// Its number in the store.
    job: i64,
    after: u64,
    stored: VecDeque<StatusMessage>,
    live: Option<StatusStream>,
}

impl JobEvents {
    pub(crate) fn new(orchestrator: Arc<Orchestrator>, id: String, job: i64, after: u64) -> Self {
        Self { orchestrator, id, job, after, stored: VecDeque::new(), live: None }
    }

    /// The next message; `None` after the end of the job.
    ///
    /// # Errors
    /// If the store cannot be read.
    ///
    /// # Cancel safety
    /// No message is lost if the future is dropped.
    pub async fn next(&mut self) -> Result<Option<StatusMessage>, Failure> {
        loop {
            if let Some(message) = self.stored.pop_front() {
                self.after = message.seq;
                return Ok(Some(message));
            }
            if let Some(live) = &mut self.live {
                // The end is told when it is written: until then the job may live on, in the next engine.
                if let Some(message) = live.next().await.filter(|m| !is_end(m)) {
                    self.after = message.seq;
                    return Ok(Some(message));
                }
                self.live = None;
            }
            let living = self.orchestrator.log_of_living(&self.id);
            self.stored = match self.orchestrator.store.events(self.job, self.after).await {
                Ok(stored) => stored.into(),
                // The store is closed; the next engine says the rest.
                Err(_) if self.orchestrator.is_closed() => return Ok(None),
                Err(failure) => return Err(failure),
            };
            if !self.stored.is_empty() {
                continue;
            }
            match living {
                // The store had all that came before it ended.
                None => return Ok(None),
                Some((Some(log), _)) if !log.is_closed() => {
                    self.live = Some(log.reader_after(self.after.max(log.base())));
                }
                // The next engine goes on with it.
                Some(_) if self.orchestrator.is_over(&self.id) => return Ok(None),
                // An error says that it is in the table no more.
                Some((_, mut news)) => drop(news.changed().await),
            }
        }
    }

    /// The same as a [`Stream`](futures_util::Stream), for combinators and server-sent events. It ends with a failure of the store.
    pub fn into_stream(self) -> impl futures_util::Stream<Item = Result<StatusMessage, Failure>> + Send {
        futures_util::stream::unfold(Some(self), |stream| async move {
            let mut stream = stream?;
            match stream.next().await {
                Ok(message) => Some((Ok(message?), Some(stream))),
                Err(failure) => Some((Err(failure), None)),
            }
        })
    }
}
