//! Ctrl-C, and the signals by which service managers end a program.
//!
//! They are heard from the start of the program to its end by one listener: a signal between two steps is not lost. The first one ends
//! the program, unless some work asked to be told, which then ends by itself; the second one ends it in any case.

use crate::stop::Stop;
use offmap::Failure;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::watch;

/// Exit code after Ctrl-C.
pub(crate) const CANCELLED: u8 = 130;

/// How many signals came.
static HEARD: OnceLock<watch::Receiver<u32>> = OnceLock::new();
/// How many works are told of a signal.
static TOLD: AtomicUsize = AtomicUsize::new(0);

/// Says that a work is told of signals, for as long as it is kept.
struct IsTold;

impl IsTold {
    fn new() -> Self {
        TOLD.fetch_add(1, Ordering::SeqCst);
        Self
    }
}

impl Drop for IsTold {
    fn drop(&mut self) {
        TOLD.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Counts a signal, and ends the program where nobody else will.
fn count(heard: &watch::Sender<u32>) {
    heard.send_modify(|count| *count += 1);
    if *heard.borrow() > 1 || TOLD.load(Ordering::SeqCst) == 0 {
        std::process::exit(i32::from(CANCELLED));
    }
}

/// Begins to listen for Ctrl-C, SIGTERM and SIGHUP; where signals cannot be heard, they end the program as the system does.
pub(crate) fn listen() {
    let (heard, receiver) = watch::channel(0);
    let _ = HEARD.set(receiver);
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let all = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        for mut signals in all.into_iter().filter_map(|kind| signal(kind).ok()) {
            let heard = heard.clone();
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    count(&heard);
                }
            });
        }
    }
    #[cfg(windows)]
    if let Ok(mut signals) = tokio::signal::windows::ctrl_c() {
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                count(&heard);
            }
        });
    }
}

/// Waits until a signal came since the start; for ever where none can be heard.
async fn heard() {
    if let Some(mut heard) = HEARD.get().cloned()
        && heard.wait_for(|came| *came > 0).await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

/// Waits for the first Ctrl-C, SIGTERM or SIGHUP. Who asks is told from this call on, until the future is dropped.
pub(crate) fn interrupted() -> impl Future<Output = ()> + Send {
    let told = IsTold::new();
    async move {
        let _told = told;
        heard().await;
    }
}

/// The first signal cancels cleanly, the second ends the program at once.
pub(crate) fn on_ctrl_c(cancel: impl FnOnce() + Send) -> impl Future<Output = ()> + Send {
    let told = IsTold::new();
    async move {
        let _told = told;
        heard().await;
        cancel();
        std::future::pending().await
    }
}

/// Does work that leaves nothing behind, until a signal ends it.
pub(crate) async fn or_interrupted<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Stop> {
    tokio::select! {
        biased;
        () = interrupted() => Err(Failure::cancelled().into()),
        ended = work => Ok(ended?),
    }
}
