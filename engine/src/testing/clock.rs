//! A clock for tests.

use async_trait::async_trait;
use offmap_model::Clock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// A clock whose waits take no time: each moves the hands on and lets other tasks run.
#[derive(Debug)]
pub struct VirtualClock {
    now: AtomicI64,
}

impl Default for VirtualClock {
    fn default() -> Self {
        Self { now: AtomicI64::new(1_700_000_000_000) }
    }
}

#[async_trait]
impl Clock for VirtualClock {
    fn now_ms(&self) -> i64 {
        self.now.load(Ordering::Acquire)
    }

    async fn sleep(&self, duration: Duration) {
        self.now.fetch_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX), Ordering::AcqRel);
        tokio::task::yield_now().await;
    }
}
