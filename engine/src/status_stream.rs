//! Readers of a job's event log.

use crate::event_log::EventLog;
use offmap_model::StatusMessage;
use std::sync::Arc;
use tokio::sync::watch;

impl EventLog {
    /// A new reader, from the first message on.
    pub(crate) fn reader(self: &Arc<Self>) -> StatusStream {
        self.reader_after(self.base())
    }

    /// A new reader of what comes after a number.
    pub(crate) fn reader_after(self: &Arc<Self>, after: u64) -> StatusStream {
        StatusStream { event_log: Arc::clone(self), changed: self.changes(), seen: after }
    }
}

/// The events of a job, from its start, in order.
///
/// Life-cycle messages are never lost; progress is the latest at the time of reading. `seq` is the same for every reader and rises; what
/// is left out was progress that is out of date. The job's own terminal message is the last, then [`StatusStream::next`] answers
/// `None`. A slow reader delays nobody.
///
/// ```
/// # #[cfg(feature = "testing")]
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use offmap_engine::testing::{Act, PlainPackager, Script, ScriptedExporter, scripted_map};
/// use offmap_engine::{Engine, OfflineMapTask};
/// use offmap_model::{AreaOfInterest, OfflineMapSource};
///
/// let engine = Engine::builder(PlainPackager).exporter(ScriptedExporter)?.start()?;
/// let map = scripted_map([("roads", Script::of(Act::Succeed))]);
/// let task = OfflineMapTask::new(&engine, OfflineMapSource::from_web_map(map));
/// let parameters = task.default_parameters(AreaOfInterest::from_numbers("7,46,8,47")?)?;
/// let dir = tempfile::tempdir()?;
/// let job = task.generate_offline_map(parameters, Default::default(), dir.path().join("package"));
/// let mut status = job.start().status();
/// let mut last = None;
/// while let Some(message) = status.next().await {
///     println!("{:>3} {} {:?}", message.seq, message.subject.title, message.state);
///     last = Some(message);
/// }
/// assert!(last.is_some_and(|message| message.state.is_terminal()));
/// engine.shutdown().await?;
/// # Ok(()) }
/// # #[cfg(not(feature = "testing"))]
/// # fn main() {}
/// ```
#[derive(Debug)]
pub struct StatusStream {
    event_log: Arc<EventLog>,
    changed: watch::Receiver<u64>,
    /// Number of the last message that was read.
    seen: u64,
}

impl StatusStream {
    /// The next message, or `None` after the job's end.
    ///
    /// # Cancel safety
    /// No message is lost if the future is dropped.
    pub async fn next(&mut self) -> Option<StatusMessage> {
        loop {
            self.changed.mark_unchanged();
            match self.try_next() {
                Some(Some(message)) => return Some(message),
                Some(None) => return None,
                None => {}
            }
            // The event log outlives the stream, so the sender is there.
            self.changed.changed().await.ok()?;
        }
    }

    /// `Some(None)` at the end, `None` when there is nothing new yet.
    pub(crate) fn try_next(&mut self) -> Option<Option<StatusMessage>> {
        let next = self.event_log.next_after(self.seen);
        if let Some(Some(message)) = &next {
            self.seen = message.seq;
        }
        next
    }

    /// The same as a [`Stream`](futures_util::Stream), for combinators and server-sent events.
    pub fn into_stream(self) -> impl futures_util::Stream<Item = StatusMessage> + Send {
        futures_util::stream::unfold(self, |mut stream| async move {
            let message = stream.next().await?;
            Some((message, stream))
        })
    }
}
