//! Ctrl-C.

/// Exit code after Ctrl-C.
pub(crate) const CANCELLED: u8 = 130;

/// The first Ctrl-C cancels cleanly, the second ends the program at once.
pub(crate) async fn on_ctrl_c(cancel: impl FnOnce()) {
    if tokio::signal::ctrl_c().await.is_ok() {
        cancel();
    }
    if tokio::signal::ctrl_c().await.is_ok() {
        std::process::exit(i32::from(CANCELLED));
    }
}
