//! Serves: reads a call, logs it, plays faults, and sends what the routes answer.

mod answered;
mod faults;
mod handlers;
mod play;
mod respond;

pub(crate) use handlers::{handle, handle_storage};
