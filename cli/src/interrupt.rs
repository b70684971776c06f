//! Ctrl-C, and the signals by which service managers end a program.
//!
//! They are heard from the start of the program to its end by one listener: a signal between two steps is not lost.

use crate::stop::Stop;
use offmap::Failure;
use std::sync::OnceLock;
use tokio::sync::watch;

/// Exit code after Ctrl-C.
pub(crate) const CANCELLED: u8 = 130;

/// How many signals came.
static HEARD: OnceLock<watch::Receiver<u32>> = OnceLock::new();

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
                    heard.send_modify(|count| *count += 1);
                }
            });
        }
    }
    #[cfg(not(unix))]
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            heard.send_modify(|count| *count += 1);
        }
    });
}

/// Waits until so many signals came since the start; for ever where none can be heard.
async fn heard(count: u32) {
    if let Some(mut heard) = HEARD.get().cloned()
        && heard.wait_for(|came| *came >= count).await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

/// Waits for the first Ctrl-C, SIGTERM or SIGHUP.
pub(crate) async fn interrupted() {
    heard(1).await;
}

/// The first signal cancels cleanly, the second ends the program at once.
pub(crate) async fn on_ctrl_c(cancel: impl FnOnce()) {
    heard(1).await;
    cancel();
    heard(2).await;
    std::process::exit(i32::from(CANCELLED));
}

/// Does work that leaves nothing behind, until a signal ends it.
pub(crate) async fn or_interrupted<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Stop> {
    tokio::select! {
        ended = work => Ok(ended?),
        () = interrupted() => Err(Failure::cancelled().into()),
    }
}
