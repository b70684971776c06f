//! How long a request whose fault may pass is tried again: one rule for answers, downloads, submissions and waits.
//!
//! | what goes wrong | for how long it is tried again | setting |
//! | --- | --- | --- |
//! | the network, silence, 502 to 504, a page in place of JSON | 5 minutes | [`ClientOptions::retry_time`] |
//! | a host that has not answered once yet cannot be reached | 30 s: its name may be wrong | [`ClientOptions::first_contact_time`] |
//! | the service itself says that it failed (500) | 30 s: most of these do not pass | [`ClientOptions::service_error_time`] |
//! | any of it where a server's job is waited for | until the job's own limit | [`ClientOptions::job_timeout`] |
//! | 429, `Retry-After`, "try again after" | as long as the host asks; this time does not count above | none |
//!
//! - The time counts from the first fault in a row. A download that brings something begins anew. A host that cannot be reached has
//!   this time once, not for each request: a map with a hundred layers of a dead host does not wait a hundred times.
//! - A request is tried [`LEAST_TRIES`] times whatever the time, and [`ClientOptions::attempts`] times at most; a wait has no such limit.
//! - A host that answers 30 times in a row that it is busy counts as out of order from then on.
//! - A wait ends with its limit, also within a pause that the host asked for. Dropping the request, as a cancel does, ends any pause.

use super::governor::Governor;
use crate::metrics;
use crate::options::ClientOptions;
use crate::refused::Refused;
use crate::urls::host_of;
use backon::BackoffBuilder as _;
use offmap_model::{Clock, Failure, FailureKind, FailureOwner, TaskControl};
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// Tries of a request, the first one counted in, before its time can be over.
const LEAST_TRIES: u32 = 4;
/// Answers in a row that the host is busy, whose pauses do not count.
const MOST_BUSY_ANSWERS: u32 = 30;
/// The pause before a request that the host refused for being busy, where it asked for no time and the other pauses are used up.
const LONG_PAUSE: Duration = Duration::from_secs(20);
/// The shortest where it asked for none.
const LEAST_BUSY_PAUSE: Duration = Duration::from_millis(500);
/// Trouble that lasts longer is logged for people.
const LOGGED_FROM: Duration = Duration::from_secs(5);

/// The pauses between two tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pauses {
    /// 25 ms, doubled up to 20 s: a tile makes no work, and most faults of one are its connection's.
    Light,
    /// Half a second, doubled up to 20 s.
    Short,
    /// 5 s, doubled up to a minute: each further try is a job for the service.
    Long,
}

impl Pauses {
    fn iter(self) -> impl Iterator<Item = Duration> + Send + use<> {
        let (least, most) = match self {
            Self::Light => (Duration::from_millis(25), LONG_PAUSE),
            Self::Short => (LEAST_BUSY_PAUSE, LONG_PAUSE),
            Self::Long => (Duration::from_secs(5), Duration::from_secs(60)),
        };
        let pauses = backon::ExponentialBuilder::default().with_min_delay(least).with_max_delay(most);
        pauses.with_jitter().without_max_times().build()
    }
}

/// What a decision on a retry goes by.
pub(crate) struct RetryContext<'a> {
    pub(super) options: &'a ClientOptions,
    pub(super) governor: &'a Governor,
    pub(super) clock: Arc<dyn Clock>,
    /// The task in whose event log trouble that lasts is reported.
    pub(super) control: Option<&'a dyn TaskControl>,
}

/// The tries of one request.
pub(crate) struct Retries {
    kind: Pauses,
    /// Made when the first try failed: most do not.
    pauses: Option<Box<dyn Iterator<Item = Duration> + Send>>,
    /// Tries that failed in a row.
    failed: u32,
    busy_answers: u32,
    /// When the first of them had failed, in milliseconds since 1970.
    since: Option<i64>,
    /// Pauses among them that the host asked for.
    asked_for: Duration,
    /// When a wait ends, in milliseconds since 1970.
    deadline: Option<i64>,
    is_reported: bool,
}

fn between(from: i64, to: i64) -> Duration {
    Duration::from_millis(u64::try_from(to.saturating_sub(from)).unwrap_or(0))
}

impl Retries {
    pub(crate) fn new(kind: Pauses) -> Self {
        Self {
            kind,
            pauses: None,
            failed: 0,
            busy_answers: 0,
            since: None,
            asked_for: Duration::ZERO,
            deadline: None,
            is_reported: false,
        }
    }

    /// Tries until then, in milliseconds since 1970, whatever the fault is.
    pub(crate) fn until(self, deadline: Option<i64>) -> Self {
        Self { deadline, ..self }
    }

    fn pause(&mut self) -> Option<Duration> {
        let kind = self.kind;
        self.pauses.get_or_insert_with(|| Box::new(kind.iter())).next()
    }

    /// Something came: what failed before does not count any more.
    pub(crate) fn restart(&mut self) {
        let kind = if self.kind == Pauses::Light { Pauses::Light } else { Pauses::Short };
        *self = Self::new(kind).until(self.deadline);
    }

    /// Counts a failed try; answers how long to wait for the next one, or `None` if it was tried long enough.
    pub(crate) fn after(&mut self, context: &RetryContext<'_>, url: &Url, refused: &Refused) -> Option<Duration> {
        let busy = refused.code == Some(429) || refused.retry_after.is_some();
        let own = || self.pause().map(|pause| if busy { pause.max(LEAST_BUSY_PAUSE) } else { pause });
        let pause = refused.retry_after.or_else(own).unwrap_or(LONG_PAUSE);
        if busy {
            // Everybody leaves the host alone as long.
            context.governor.throttled(&host_of(url), pause, context.clock.now_ms());
            metrics::throttled(url, pause);
        }
        self.decide(context, url, &refused.failure, pause, busy)
    }

    /// The same for a failure of a request that has ended, such as a submission.
    pub(crate) fn after_failure(&mut self, context: &RetryContext<'_>, url: &Url, failure: &Failure) -> Option<Duration> {
        let pause = self.pause().unwrap_or(LONG_PAUSE);
        self.decide(context, url, failure, pause, false)
    }

    fn decide(
        &mut self,
        context: &RetryContext<'_>,
        url: &Url,
        failure: &Failure,
        pause: Duration,
        busy: bool,
    ) -> Option<Duration> {
        let options = context.options;
        let now = context.clock.now_ms();
        let since = *self.since.get_or_insert(now);
        self.failed = self.failed.saturating_add(1);
        if !failure.retryable {
            return None;
        }
        if let Some(deadline) = self.deadline {
            self.report(context, failure, between(since, now), between(now, deadline));
            return (now < deadline).then(|| pause.min(between(now, deadline)));
        }
        if busy && self.busy_answers < MOST_BUSY_ANSWERS {
            self.busy_answers += 1;
            self.asked_for += pause;
            // A host that asks for time gets it.
            self.failed -= 1;
            return Some(pause);
        }
        let budget = budget_of(options, failure, context.governor.has_answered(&host_of(url)));
        let mut lasted = between(since, now).saturating_sub(self.asked_for);
        let mut least = LEAST_TRIES;
        if failure.owner == FailureOwner::Network {
            let unreached = context.governor.unreached(&host_of(url), now);
            lasted = lasted.max(between(unreached, now));
            if between(unreached, since) >= budget {
                // Others have spent its time before this one began.
                least = 1;
            }
        }
        let over = lasted >= budget && self.failed >= least;
        if over || self.failed as usize >= options.attempts {
            return None;
        }
        let left = budget.saturating_sub(lasted);
        self.report(context, failure, lasted, left);
        // The last try is at the end of the time, not a pause after it.
        Some(if busy || left.is_zero() { pause } else { pause.min(left) })
    }

    /// Says once that a fault lasts, where an export is running.
    fn report(&mut self, context: &RetryContext<'_>, failure: &Failure, lasted: Duration, left: Duration) {
        tracing::debug!(%failure, ?lasted, failed = self.failed, "trying again");
        if self.is_reported || lasted < LOGGED_FROM {
            return;
        }
        self.is_reported = true;
        if let Some(control) = context.control {
            control.log(format!("{failure}; it is tried again for up to {}", in_words(left)));
        }
    }

    /// The failure with how often and how long it was tried.
    pub(crate) fn explain(&self, context: &RetryContext<'_>, mut failure: Failure) -> Failure {
        let now = context.clock.now_ms();
        let since = self.since.unwrap_or(now);
        let tries = self.failed.saturating_add(self.busy_answers).max(1);
        if tries > 1 && failure.retryable {
            let lasted = in_words(between(since, now));
            failure.message = format!("{}; it was tried {tries} times within {lasted}", failure.message);
        }
        failure.since = since;
        failure.with_attempts(tries)
    }
}

/// How long a fault may last.
fn budget_of(options: &ClientOptions, failure: &Failure, host_has_answered: bool) -> Duration {
    match failure.kind {
        FailureKind::ServiceError => options.service_error_time.min(options.retry_time),
        FailureKind::Unavailable if !host_has_answered => options.first_contact_time.min(options.retry_time),
        _ => options.retry_time,
    }
}

/// A time for people.
fn in_words(time: Duration) -> String {
    let seconds = time.as_millis().div_ceil(1000);
    match seconds {
        0..=1 => "a second".to_owned(),
        2..=119 => format!("{seconds} seconds"),
        120..=7199 => format!("{} minutes", (seconds + 30) / 60),
        _ => format!("{} hours", (seconds + 1800) / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::super::governor::Answer;
    use super::*;
    use crate::urls::parse_http;
    use offmap_model::FailureStage;
    use reqwest::StatusCode;
    use reqwest::header::HeaderMap;
    use std::sync::atomic::{AtomicI64, Ordering};

    /// A clock whose time passes by sleeping only.
    #[derive(Debug)]
    struct VirtualClock(AtomicI64);

    #[async_trait::async_trait]
    impl Clock for VirtualClock {
        fn now_ms(&self) -> i64 {
            self.0.load(Ordering::SeqCst)
        }

        async fn sleep(&self, time: Duration) {
            self.0.fetch_add(millis(time), Ordering::SeqCst);
        }
    }

    /// A client as far as retries know it.
    struct Scene {
        options: ClientOptions,
        governor: Governor,
        clock: Arc<dyn Clock>,
    }

    fn millis(time: Duration) -> i64 {
        i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
    }

    impl Scene {
        fn new(options: ClientOptions) -> Self {
            let clock = Arc::new(VirtualClock(AtomicI64::new(1_700_000_000_000)));
            Self { options, governor: Governor::new(4, 16), clock }
        }

        fn context(&self) -> RetryContext<'_> {
            RetryContext { options: &self.options, governor: &self.governor, clock: Arc::clone(&self.clock), control: None }
        }

        fn deadline(&self, time: Duration) -> i64 {
            self.clock.now_ms() + millis(time)
        }
    }

    /// The host answers.
    fn heard_of(scene: &Scene) {
        let headers = HeaderMap::new();
        let answer = Answer { status: StatusCode::BAD_REQUEST, headers: &headers, took: Duration::ZERO, at: 0 };
        scene.governor.answered("h", None, &answer);
    }

    fn failure(kind: FailureKind) -> Failure {
        Failure::new(FailureOwner::Source, kind, FailureStage::Run, "it failed").retryable()
    }

    /// Tries until it is given up; the seconds that passed, and the failure.
    async fn given_up(scene: &Scene, mut retries: Retries, kind: FailureKind) -> (i64, Failure) {
        let url = parse_http("https://h/x").expect("a url");
        let began = scene.clock.now_ms();
        while let Some(pause) = retries.after(&scene.context(), &url, &failure(kind).into()) {
            scene.clock.sleep(pause).await;
        }
        ((scene.clock.now_ms() - began) / 1000, retries.explain(&scene.context(), failure(kind)))
    }

    #[tokio::test]
    async fn each_kind_of_trouble_has_its_time() {
        let heard = || {
            let scene = Scene::new(ClientOptions::default());
            heard_of(&scene);
            scene
        };
        let short = || Retries::new(Pauses::Short);
        let (seconds, ended) = given_up(&heard(), short(), FailureKind::Unavailable).await;
        assert!((300..=301).contains(&seconds) && ended.attempts >= 12, "{seconds} s: {ended:?}");
        assert!(ended.message.contains("times within 5 minutes"), "{ended}");
        assert_eq!(ended.since, 1_700_000_000_000, "since the first fault");
        let (seconds, _) = given_up(&heard(), short(), FailureKind::ServiceError).await;
        assert!((30..=31).contains(&seconds), "{seconds} s");
        let (seconds, _) = given_up(&Scene::new(ClientOptions::default()), short(), FailureKind::Unavailable).await;
        assert!((30..=31).contains(&seconds), "{seconds} s for a host that never answered");
        let (seconds, ended) = given_up(&heard(), Retries::new(Pauses::Long), FailureKind::Unavailable).await;
        assert!((300..=301).contains(&seconds) && ended.attempts <= 10, "{seconds} s: {ended:?}");
        let waiting = Scene::new(ClientOptions { attempts: 1, ..ClientOptions::default() });
        let until = waiting.deadline(Duration::from_hours(1));
        let (seconds, _) = given_up(&waiting, short().until(Some(until)), FailureKind::ServiceError).await;
        assert_eq!(seconds, 3600, "a wait ends with its limit");
    }

    #[tokio::test]
    async fn a_host_that_cannot_be_reached_has_its_time_once() {
        let scene = Scene::new(ClientOptions::default());
        heard_of(&scene);
        let unreached = || Failure { owner: FailureOwner::Network, ..failure(FailureKind::Unavailable) };
        let url = parse_http("https://h/x").expect("a url");
        let mut times = Vec::new();
        for _ in 0..3 {
            let (began, mut retries) = (scene.clock.now_ms(), Retries::new(Pauses::Short));
            while let Some(pause) = retries.after(&scene.context(), &url, &unreached().into()) {
                scene.clock.sleep(pause).await;
            }
            times.push((scene.clock.now_ms() - began) / 1000);
        }
        assert!(times[0] >= 300 && times[1] < 10 && times[2] < 10, "{times:?}");
    }

    #[tokio::test]
    async fn the_least_and_the_most_tries_hold_whatever_the_time() {
        for (options, tries) in [
            (ClientOptions { retry_time: Duration::ZERO, ..ClientOptions::default() }, LEAST_TRIES),
            (ClientOptions { attempts: 2, ..ClientOptions::default() }, 2),
            (ClientOptions { attempts: 1, ..ClientOptions::default() }, 1),
        ] {
            let (_, ended) = given_up(&Scene::new(options), Retries::new(Pauses::Short), FailureKind::Unavailable).await;
            assert_eq!(ended.attempts, tries);
        }
        let mut retries = Retries::new(Pauses::Short);
        let url = parse_http("https://h/x").expect("a url");
        let lasting = Failure::new(FailureOwner::Source, FailureKind::NotFound, FailureStage::Run, "gone");
        assert_eq!(retries.after(&Scene::new(ClientOptions::default()).context(), &url, &lasting.into()), None);
    }

    #[tokio::test]
    async fn time_that_a_host_asks_for_does_not_count() {
        let scene = Scene::new(ClientOptions::default());
        let url = parse_http("https://h/x").expect("a url");
        let mut retries = Retries::new(Pauses::Short);
        let busy = || Refused {
            retry_after: Some(Duration::from_hours(2)),
            code: Some(429),
            ..Refused::from(failure(FailureKind::Throttled))
        };
        for _ in 0..MOST_BUSY_ANSWERS {
            let pause = retries.after(&scene.context(), &url, &busy()).expect("it is tried again");
            assert_eq!(pause, Duration::from_hours(2));
            scene.clock.sleep(pause).await;
        }
        assert!(
            retries.after(&scene.context(), &url, &failure(FailureKind::Unavailable).into()).is_some(),
            "its time begins now"
        );
        let until = scene.deadline(Duration::from_mins(5));
        let pause = Retries::new(Pauses::Short).until(Some(until)).after(&scene.context(), &url, &busy());
        assert_eq!(pause, Some(Duration::from_mins(5)), "not beyond the limit of a wait");
    }

    #[test]
    fn times_are_for_people() {
        let shown = [0, 1, 90, 300, 7200].map(|s| in_words(Duration::from_secs(s)));
        assert_eq!(shown, ["a second", "a second", "90 seconds", "5 minutes", "2 hours"]);
    }
}
