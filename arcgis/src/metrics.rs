//! What the wire counts, by the `metrics` facade: a host program that installs a recorder has it, others pay next to nothing.
//!
//! | name | kind | labels | what |
//! | --- | --- | --- | --- |
//! | [`REQUESTS`] | counter | `host`, `status` | requests that were sent, each step of a redirect and each repeat by itself |
//! | [`REQUEST_SECONDS`] | histogram | `host` | seconds from a request's start to the head of its answer |
//! | [`RETRIES`] | counter | `host` | requests that are sent once more after a pause |
//! | [`THROTTLED`] | counter | `host` | answers by which a host asked to be left alone |
//! | [`THROTTLED_SECONDS`] | histogram | `host` | seconds that it asked for |
//! | [`RECEIVED_BYTES`] | counter | `host` | bytes of bodies that came |
//!
//! - `host` is the host of the url without port, for the first [`MOST_HOSTS`] hosts of the process; `other` for all more.
//! - `status` is `2xx` to `5xx`, or `none` where no answer came.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};
use std::time::Duration;
use url::Url;

/// Requests that were sent.
pub const REQUESTS: &str = "offmap_requests_total";
/// Seconds to the head of an answer.
pub const REQUEST_SECONDS: &str = "offmap_request_duration_seconds";
/// Requests that are sent once more after a pause.
pub const RETRIES: &str = "offmap_request_retries_total";
/// Answers by which a host asked to be left alone.
pub const THROTTLED: &str = "offmap_throttled_total";
/// Seconds that a host asked for.
pub const THROTTLED_SECONDS: &str = "offmap_throttled_seconds";
/// Bytes of bodies that came.
pub const RECEIVED_BYTES: &str = "offmap_received_bytes_total";

/// Hosts that have a label of their own.
pub const MOST_HOSTS: usize = 100;
/// The label of all more.
const OTHER: &str = "other";

/// The labels of hosts.
#[derive(Debug, Default)]
struct Hosts(RwLock<HashSet<Arc<str>>>);

static HOSTS: LazyLock<Hosts> = LazyLock::new(Hosts::default);
static OTHERS: LazyLock<Arc<str>> = LazyLock::new(|| Arc::from(OTHER));

impl Hosts {
    /// The label of a host: its name while there is room.
    fn label(&self, host: &str) -> Arc<str> {
        if let Some(known) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(host) {
            return Arc::clone(known);
        }
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(host) {
            return Arc::clone(known);
        }
        if known.len() >= MOST_HOSTS {
            return Arc::clone(&OTHERS);
        }
        let label: Arc<str> = Arc::from(host);
        known.insert(Arc::clone(&label));
        label
    }
}

fn label(url: &Url) -> Arc<str> {
    HOSTS.label(url.host_str().unwrap_or(OTHER))
}

/// A request was sent, and was answered with a status or not at all.
pub(crate) fn requested(url: &Url, status: Option<u16>, took: Duration) {
    let host = label(url);
    let status = match status.map(|status| status / 100) {
        Some(2) => "2xx",
        Some(3) => "3xx",
        Some(4) => "4xx",
        Some(5) => "5xx",
        Some(_) => "1xx",
        None => "none",
    };
    metrics::counter!(REQUESTS, "host" => Arc::clone(&host), "status" => status).increment(1);
    metrics::histogram!(REQUEST_SECONDS, "host" => host).record(took.as_secs_f64());
}

/// A request is sent once more.
pub(crate) fn retried(url: &Url) {
    metrics::counter!(RETRIES, "host" => label(url)).increment(1);
}

/// A host asked to be left alone.
pub(crate) fn throttled(url: &Url, pause: Duration) {
    let host = label(url);
    metrics::counter!(THROTTLED, "host" => Arc::clone(&host)).increment(1);
    metrics::histogram!(THROTTLED_SECONDS, "host" => host).record(pause.as_secs_f64());
}

/// Bytes of a body came.
pub(crate) fn received(url: &Url, bytes: usize) {
    metrics::counter!(RECEIVED_BYTES, "host" => label(url)).increment(bytes as u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_hundred_hosts_have_a_label_of_their_own() {
        let hosts = Hosts::default();
        for i in 0..MOST_HOSTS {
            assert_eq!(&*hosts.label(&format!("h{i}")), format!("h{i}"));
        }
        assert_eq!(&*hosts.label("late"), OTHER);
        assert_eq!(&*hosts.label("h7"), "h7", "those that are known stay");
    }
}
