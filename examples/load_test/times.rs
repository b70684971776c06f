//! What is measured over time: how long jobs took, and how many waited.

use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Samples of the queue that are kept.
const SAMPLES: usize = 32;
/// How often the queue is looked at.
pub(crate) const LOOK: Duration = Duration::from_millis(5);

pub(crate) fn rounded(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

/// Percentiles of times, in milliseconds.
pub(crate) fn percentiles(times: impl Iterator<Item = Duration>) -> Value {
    let mut sorted: Vec<Duration> = times.collect();
    sorted.sort_unstable();
    let at = |share: f64| {
        let at = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len().max(1)) - 1;
        sorted.get(at).map(|d| rounded(d.as_secs_f64() * 1e3))
    };
    json!({"p50": at(0.5), "p95": at(0.95), "p99": at(0.99), "max": at(1.0)})
}

/// Jobs that wait for their turn, over time.
#[derive(Debug)]
pub(crate) struct Depth {
    began: Instant,
    last: (Instant, usize),
    max: usize,
    /// The depth times the seconds that it lasted, summed up.
    area: f64,
    samples: Vec<(Duration, usize)>,
    /// Every so many looks are kept, and how many were skipped since.
    every: usize,
    skipped: usize,
}

impl Depth {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self { began: now, last: (now, 0), max: 0, area: 0.0, samples: Vec::new(), every: 1, skipped: 0 }
    }

    /// Takes a look at the queue.
    pub(crate) fn look(&mut self, queued: usize) {
        let now = Instant::now();
        let (since, before) = std::mem::replace(&mut self.last, (now, queued));
        self.area += before as f64 * (now - since).as_secs_f64();
        self.max = self.max.max(queued);
        self.skipped += 1;
        if self.skipped < self.every {
            return;
        }
        self.skipped = 0;
        self.samples.push((now - self.began, queued));
        if self.samples.len() == 2 * SAMPLES {
            // Every second one tells the same.
            let mut number = 0;
            self.samples.retain(|_| {
                number += 1;
                number % 2 == 0
            });
            self.every *= 2;
        }
    }

    pub(crate) fn report(&self) -> Value {
        let took = (self.last.0 - self.began).as_secs_f64();
        let over_time: Vec<Value> =
            self.samples.iter().map(|(at, jobs)| json!([rounded(at.as_secs_f64() * 1e3), jobs])).collect();
        let mean = if took > 0.0 { self.area / took } else { 0.0 };
        json!({"max": self.max, "mean": rounded(mean), "atMsJobs": over_time})
    }
}
