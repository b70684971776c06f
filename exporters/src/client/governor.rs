//! One governor per host: how many requests at a time, and when the next one may go.
//!
//! | what the host says | what follows |
//! | --- | --- |
//! | 429, 503 with `Retry-After`, "try again" | nobody asks the host before the time is over; half as many at a time |
//! | ArcGIS request units at 80 % of the limit | a pause between requests |
//! | answers in a row | one more at a time, up to the limit of the options |
//!
//! Source: feature service reference §6.3; additive increase and multiplicative decrease as in TCP (RFC 5681).

use dashmap::DashMap;
use offmap_engine::{Clock, ExportContext, Failure};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Good answers in a row after which one more request at a time is allowed.
const GOOD_ANSWERS: u32 = 16;
/// Share of an organisation's request units from which requests slow down.
const MUCH_USED: f64 = 0.8;
/// The pause between requests then.
const SLOW: Duration = Duration::from_secs(1);
/// A shorter wait is not worth a word.
const WORTH_A_WORD: i64 = 900;

/// The governors of all hosts.
#[derive(Debug)]
pub(super) struct Governor {
    hosts: DashMap<String, Arc<Host>>,
    most: usize,
}

#[derive(Debug)]
struct Host {
    name: String,
    permits: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Requests at a time.
    allowed: usize,
    /// Permits to take out of use when they come back.
    withhold: usize,
    good: u32,
    /// Nobody asks before, in milliseconds since 1970 UTC.
    open_at: i64,
    /// The time that was told to people already.
    told: i64,
}

impl Host {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leave to ask a host once.
#[derive(Debug)]
pub(super) struct Permit {
    host: Arc<Host>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.host.lock();
        if state.withhold > 0
            && let Some(permit) = self.permit.take()
        {
            state.withhold -= 1;
            permit.forget();
        }
    }
}

impl Governor {
    pub(super) fn new(most: usize) -> Self {
        Self { hosts: DashMap::new(), most: most.max(1) }
    }

    fn host(&self, name: String) -> Arc<Host> {
        let entry = self.hosts.entry(name.clone());
        let new = || {
            let state = State { allowed: self.most, withhold: 0, good: 0, open_at: 0, told: 0 };
            Arc::new(Host { name, permits: Arc::new(Semaphore::new(self.most)), state: Mutex::new(state) })
        };
        Arc::clone(&entry.or_insert_with(new))
    }

    /// Waits until a host may be asked.
    pub(super) async fn admit(&self, name: String, clock: &Arc<dyn Clock>) -> Result<Permit, Failure> {
        let host = self.host(name);
        loop {
            let permit = Arc::clone(&host.permits).acquire_owned().await.map_err(|e| Failure::internal(e.to_string()))?;
            let permit = Permit { host: Arc::clone(&host), permit: Some(permit) };
            let now = clock.now_ms();
            let (wait, tell) = {
                let mut state = host.lock();
                let wait = state.open_at - now;
                let tell = wait >= WORTH_A_WORD && state.told != state.open_at;
                if tell {
                    state.told = state.open_at;
                }
                (wait, tell)
            };
            if wait <= 0 {
                return Ok(permit);
            }
            // Who waits holds no permit.
            drop(permit);
            if let Some(context) = ExportContext::current().filter(|_| tell) {
                let until = SystemTime::UNIX_EPOCH + Duration::from_millis((now + wait).unsigned_abs());
                let until = httpdate::fmt_http_date(until);
                context.say(format!("{} is busy; throttled until {until}", host.name));
            }
            clock.sleep(Duration::from_millis(wait.unsigned_abs())).await;
        }
    }

    /// The host wants to be left alone for a time.
    pub(super) fn throttled(&self, name: String, pause: Duration, now: i64) {
        let host = self.host(name);
        let mut state = host.lock();
        state.good = 0;
        state.open_at = state.open_at.max(now.saturating_add(i64::try_from(pause.as_millis()).unwrap_or(i64::MAX)));
        let fewer = (state.allowed / 2).max(1);
        state.withhold += state.allowed - fewer;
        state.allowed = fewer;
    }

    /// The host answered well; its headers may say that much of the budget is used.
    pub(super) fn answered(&self, name: String, headers: &HeaderMap, now: i64) {
        let host = self.host(name);
        let mut state = host.lock();
        if used_share(headers).is_some_and(|share| share >= MUCH_USED) {
            state.open_at = state.open_at.max(now.saturating_add(i64::try_from(SLOW.as_millis()).unwrap_or(0)));
            return;
        }
        state.good += 1;
        if state.good >= GOOD_ANSWERS && state.allowed < self.most {
            state.good = 0;
            state.allowed += 1;
            if state.withhold > 0 {
                state.withhold -= 1;
            } else {
                host.permits.add_permits(1);
            }
        }
    }
}

/// `x-esri-org-request-units-per-min: usage=97;max=28800` as a share.
fn used_share(headers: &HeaderMap) -> Option<f64> {
    let text = headers.get("x-esri-org-request-units-per-min")?.to_str().ok()?;
    let number = |name: &str| {
        let part = text.split(';').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))?;
        part.trim().parse::<f64>().ok()
    };
    number("max").filter(|max| *max > 0.0).and_then(|max| Some(number("usage")? / max))
}

/// `Retry-After`, in seconds or as a date (RFC 9110 §10.2.3).
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use offmap_engine::SystemClock;
    use reqwest::header::HeaderValue;

    fn with(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(value).expect("a header"));
        headers
    }

    #[test]
    fn a_retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after(&with("retry-after", "7")), Some(Duration::from_secs(7)));
        let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(90));
        let wait = retry_after(&with("retry-after", &date)).expect("a date");
        assert!((80..=90).contains(&wait.as_secs()), "{wait:?}");
        assert_eq!(retry_after(&with("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT")), Some(Duration::ZERO));
        assert_eq!(retry_after(&with("retry-after", "soon")), None);
    }

    #[test]
    fn request_units_are_read_as_a_share() {
        let name = "x-esri-org-request-units-per-min";
        assert_eq!(used_share(&with(name, "usage=97;max=28800")), Some(97.0 / 28800.0));
        assert_eq!(used_share(&with(name, "max=100; usage=90")), Some(0.9));
        assert_eq!(used_share(&with(name, "usage=97")), None);
    }

    #[tokio::test]
    async fn a_busy_host_gets_fewer_requests_at_a_time_and_slowly_more_again() {
        let governor = Governor::new(4);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let admit = || governor.admit("h".to_owned(), &clock);
        let held: Vec<Permit> = vec![admit().await.expect("a"), admit().await.expect("b")];
        governor.throttled("h".to_owned(), Duration::ZERO, 0);
        drop(held);
        let host = governor.host("h".to_owned());
        assert_eq!(host.permits.available_permits(), 2);
        governor.throttled("h".to_owned(), Duration::ZERO, 0);
        drop(admit().await.expect("c"));
        assert_eq!(host.permits.available_permits(), 1, "never less than one");
        for _ in 0..3 * GOOD_ANSWERS {
            governor.answered("h".to_owned(), &HeaderMap::new(), 0);
        }
        assert_eq!(host.permits.available_permits(), 4);
        governor.throttled("h".to_owned(), Duration::from_millis(30), clock.now_ms());
        let before = clock.now_ms();
        drop(admit().await.expect("d"));
        assert!(clock.now_ms() - before >= 25, "nobody asks before the time is over");
    }
}
