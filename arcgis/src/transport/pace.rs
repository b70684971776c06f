//! How fast an answer has to come. These are time-outs of sockets, so they go by the machine's time.

use crate::options::ClientOptions;
use std::time::Duration;
use tokio::time::Instant;

/// Bytes a second that an answer or small file brings on the whole, once two request time-outs have passed.
const LEAST_PACE: f64 = 4096.0;

/// How long an answer or small file of so many bytes may take.
pub(super) fn time_for(request_timeout: Duration, bytes: usize) -> Duration {
    request_timeout.saturating_mul(2).saturating_add(Duration::from_secs_f64(bytes as f64 / LEAST_PACE))
}

/// How fast an answer comes.
pub(crate) struct Pace {
    since: Instant,
    bytes: u64,
    stretch: Duration,
    least: u64,
}

impl Pace {
    /// The pace that an answer has to keep from now on.
    pub(crate) fn new(options: &ClientOptions) -> Self {
        let (stretch, least) = (options.request_timeout, options.least_of_a_timeout());
        Self { since: Instant::now(), bytes: 0, stretch, least }
    }

    /// Counts what came; false once a whole time-out brought too little.
    pub(crate) fn keeps(&mut self, came: usize) -> bool {
        self.bytes += came as u64;
        if self.since.elapsed() < self.stretch {
            return true;
        }
        let enough = self.bytes >= self.least;
        (self.since, self.bytes) = (Instant::now(), 0);
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_transfer_of_eighty_bytes_a_second_ends_soon_and_an_honest_slow_answer_does_not() {
        let timeout = Duration::from_secs(60);
        let ends = |pace: f64| {
            (1..10_000).map(f64::from).find(|t| Duration::from_secs_f64(*t) > time_for(timeout, (t * pace) as usize))
        };
        assert!(ends(80.0).is_some_and(|seconds| seconds < 130.0), "{:?}", ends(80.0));
        assert_eq!(ends(5_000.0), None);
        assert!(time_for(Duration::MAX, 0) == Duration::MAX);
    }
}
