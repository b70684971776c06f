//! Ctrl-C, and the signals by which service managers end a program.

use crate::stop::Stop;
use offmap::Failure;

/// Exit code after Ctrl-C.
pub(crate) const CANCELLED: u8 = 130;

/// Waits for Ctrl-C, SIGTERM or SIGHUP; for ever where signals cannot be heard.
pub(crate) async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let (Ok(mut terminate), Ok(mut hang_up)) = (signal(SignalKind::terminate()), signal(SignalKind::hangup())) else {
            return std::future::pending().await;
        };
        tokio::select! {
            heard = tokio::signal::ctrl_c() => if heard.is_err() { std::future::pending::<()>().await },
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
    }
    #[cfg(not(unix))]
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// The first signal cancels cleanly, the second ends the program at once.
pub(crate) async fn on_ctrl_c(cancel: impl FnOnce()) {
    interrupted().await;
    cancel();
    interrupted().await;
    std::process::exit(i32::from(CANCELLED));
}

/// Does work that leaves nothing behind, until a signal ends it.
pub(crate) async fn or_interrupted<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Stop> {
    tokio::select! {
        ended = work => Ok(ended?),
        () = interrupted() => Err(Failure::cancelled().into()),
    }
}
