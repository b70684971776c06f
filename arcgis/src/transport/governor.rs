//! One governor per host: how many requests at a time, and when the next one may go.
//!
//! | what the host answers | what follows |
//! | --- | --- |
//! | 429, 503 with `Retry-After`, "try again" | nobody asks the host before the time is over; half as many at a time |
//! | ArcGIS request units at 80 % of the limit | a pause between requests |
//! | answers in a row | one more at a time, up to the limit of the options |
//!
//! A download may take hours, and polls, renewals and roll-backs of other jobs go to the same host: downloads leave one of the
//! requests at a time to small ones, and a small request goes in any case while no other one is under way. In return a download
//! that waits is not put off for ever by small requests: they leave one place to it where none runs. Within each kind, first come,
//! first served. Single tiles have places of their own beside both, as many as the host's answers show that it bears (`tile_window`), so
//! that they take nobody's place; what a host asks for when it is busy holds for all. Where it has a pace, tiles go one by one, each at its
//! time: who waits for it holds neither a place nor a time, so one that gives up costs the others nothing.
//!
//! How a tile went is told once it was read and judged ([`Permit::done`]): an error that is answered with 200 is none of the good answers.
//!
//! Source: feature service reference §6.3; additive increase and multiplicative decrease as in TCP (RFC 5681).

use super::request_units::used_share;
use super::tile_window::{TileWindow, Went};
use dashmap::DashMap;
use offmap_model::{Clock, Failure, FailureKind, FailureOwner, FailureStage};
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::oneshot;
use tokio::sync::{Mutex as AsyncMutex, MutexGuard as AsyncMutexGuard};

/// Good answers in a row after which one more request at a time is allowed.
const GOOD_ANSWERS: u32 = 16;
/// Share of an organisation's request units from which requests slow down.
const MUCH_USED: f64 = 0.8;
/// The pause between requests then.
const SLOW: Duration = Duration::from_secs(1);
/// A shorter wait is not logged.
const LOGGED_FROM: i64 = 900;
/// Two failures to reach a host are the same trouble if no more time lies between, in milliseconds.
const SAME_TROUBLE: i64 = 120_000;

/// The governors of all hosts.
#[derive(Debug)]
pub(crate) struct Governor {
    hosts: DashMap<String, Arc<Host>>,
    most: usize,
    most_tiles: usize,
}

/// What a request is to its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    /// An answer that comes at once.
    Small,
    /// A download, which lasts.
    Bulk,
    /// A tile, which makes no work: many go at a time.
    Tile,
}

#[derive(Debug)]
struct Host {
    name: String,
    state: Mutex<State>,
    /// Of the tile that goes next where the host has a pace; the others wait for it, first come, first served.
    next_tile: AsyncMutex<()>,
}

/// The requests of one kind.
#[derive(Debug, Default)]
struct Line {
    running: usize,
    waiting: VecDeque<oneshot::Sender<Permit>>,
}

#[derive(Debug)]
struct State {
    /// Requests at a time beside tiles, and the most of the options.
    allowed: usize,
    most: usize,
    small: Line,
    bulk: Line,
    tiles: Line,
    window: TileWindow,
    good: u32,
    /// Nobody asks before, in milliseconds since 1970 UTC.
    open_at: i64,
    /// The time that was logged already.
    is_reported: i64,
    /// Whether it answered at all, whatever it was.
    heard: bool,
    /// The first and the last time since then that it could not be reached.
    unreached: Option<(i64, i64)>,
}

impl State {
    fn line(&mut self, weight: Weight) -> &mut Line {
        match weight {
            Weight::Small => &mut self.small,
            Weight::Bulk => &mut self.bulk,
            Weight::Tile => &mut self.tiles,
        }
    }

    /// Whether one more of a kind may go.
    fn may(&self, weight: Weight) -> bool {
        let (small, bulk) = (self.small.running, self.bulk.running);
        match weight {
            Weight::Small => {
                let kept_for_bulk = usize::from(bulk == 0 && !self.bulk.waiting.is_empty());
                small == 0 || small + bulk + kept_for_bulk < self.allowed
            }
            Weight::Bulk => bulk < (self.allowed - 1).max(1) && small + bulk < self.allowed.max(2),
            Weight::Tile => self.tiles.running < self.window.allowed(),
        }
    }

    /// Counts one more of a kind as running.
    fn begin(&mut self, weight: Weight) {
        self.line(weight).running += 1;
        if weight == Weight::Tile && self.tiles.running >= self.window.allowed() {
            self.window.is_full();
        }
    }

    /// The next one that waits and may go, counted as running.
    fn next(&mut self) -> Option<(oneshot::Sender<Permit>, Weight)> {
        [Weight::Small, Weight::Bulk, Weight::Tile].into_iter().find_map(|weight| {
            // Whoever gave up waiting has no turn.
            while self.line(weight).waiting.front().is_some_and(oneshot::Sender::is_closed) {
                self.line(weight).waiting.pop_front();
            }
            if !self.may(weight) {
                return None;
            }
            let next = self.line(weight).waiting.pop_front()?;
            self.begin(weight);
            Some((next, weight))
        })
    }
}

impl Host {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go who may.
    fn hand_out(self: &Arc<Self>) {
        loop {
            let next = self.lock().next();
            let Some((waiting, weight)) = next else { return };
            // A permit that nobody waits for any more comes back when it is dropped.
            drop(waiting.send(Permit::new(self, weight)));
        }
    }

    /// Waits for a turn.
    async fn turn(self: &Arc<Self>, weight: Weight) -> Result<Permit, Failure> {
        let turn = {
            let mut state = self.lock();
            if state.line(weight).waiting.is_empty() && state.may(weight) {
                state.begin(weight);
                return Ok(Permit::new(self, weight));
            }
            let (send, turn) = oneshot::channel();
            state.line(weight).waiting.push_back(send);
            turn
        };
        // Somebody who gave up may stand before it.
        self.hand_out();
        turn.await.map_err(|_| Failure::internal("the governor of a host has gone"))
    }
}

/// The head of an answer.
pub(crate) struct Answer<'a> {
    pub(crate) status: StatusCode,
    pub(crate) headers: &'a HeaderMap,
    /// How long it took.
    pub(crate) took: Duration,
    /// When it came, in milliseconds since 1970 UTC.
    pub(crate) at: i64,
}

impl Host {
    /// It answered; its headers may show how much of the budget is used.
    fn answered(self: &Arc<Self>, weight: Weight, answer: &Answer<'_>) {
        let Answer { status, headers, at, .. } = *answer;
        let mut state = self.lock();
        (state.heard, state.unreached) = (true, None);
        // A tile that is elsewhere is not read here; how any other went is told later.
        let mut more = weight == Weight::Tile && status.is_redirection() && state.window.good(None, at);
        if !status.is_success() {
            // Nothing else is said.
        } else if used_share(headers).is_some_and(|share| share >= MUCH_USED) {
            state.open_at = state.open_at.max(at.saturating_add(i64::try_from(SLOW.as_millis()).unwrap_or(0)));
            more = false;
        } else {
            state.good += 1;
            if state.good >= GOOD_ANSWERS && state.allowed < state.most {
                (state.good, state.allowed, more) = (0, state.allowed + 1, true);
            }
        }
        drop(state);
        if more {
            self.hand_out();
        }
    }

    /// Waits for the time of the next tile, where the host has a pace; the time is not taken yet.
    async fn next_tile(&self, clock: &Arc<dyn Clock>) -> Option<AsyncMutexGuard<'_, ()>> {
        if !self.lock().window.has_pace() {
            return None;
        }
        let next = self.next_tile.lock().await;
        loop {
            let wait = self.lock().window.wait(clock.now_ms());
            if wait.is_zero() {
                return Some(next);
            }
            clock.sleep(wait).await;
        }
    }
}

/// Leave to ask a host once.
#[derive(Debug)]
pub(crate) struct Permit {
    host: Arc<Host>,
    weight: Weight,
    /// How long the head of the answer took.
    took: OnceLock<Duration>,
}

impl Permit {
    fn new(host: &Arc<Host>, weight: Weight) -> Self {
        Self { host: Arc::clone(host), weight, took: OnceLock::new() }
    }

    /// No answer came to a request.
    pub(crate) fn no_answer(&self) {
        if self.weight == Weight::Tile {
            self.host.lock().window.failed();
        }
    }

    /// How the request for a tile went, in milliseconds since 1970 UTC.
    pub(crate) fn done(&self, went: Went, at: i64) {
        let more = self.host.lock().window.went(went, self.took.get().copied(), at);
        if more {
            self.host.hand_out();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.host.lock().line(self.weight).running -= 1;
        self.host.hand_out();
    }
}

impl Governor {
    pub(crate) fn new(most: usize, most_tiles: usize) -> Self {
        Self { hosts: DashMap::new(), most: most.max(1), most_tiles }
    }

    fn host(&self, name: &str) -> Arc<Host> {
        if let Some(known) = self.hosts.get(name) {
            return Arc::clone(&known);
        }
        let entry = self.hosts.entry(name.to_owned());
        let new = || {
            let state = State {
                allowed: self.most,
                most: self.most,
                small: Line::default(),
                bulk: Line::default(),
                tiles: Line::default(),
                window: TileWindow::new(self.most_tiles),
                good: 0,
                open_at: 0,
                is_reported: 0,
                heard: false,
                unreached: None,
            };
            Arc::new(Host { name: name.to_owned(), state: Mutex::new(state), next_tile: AsyncMutex::default() })
        };
        Arc::clone(&entry.or_insert_with(new))
    }

    /// The host could not be reached; answers since when that is so for all who ask it.
    pub(crate) fn unreached(&self, name: &str, now: i64) -> i64 {
        let host = self.host(name);
        let mut state = host.lock();
        let is_recent = |last: i64| now.saturating_sub(last) <= SAME_TROUBLE;
        let first = state.unreached.filter(|(_, last)| is_recent(*last)).map_or(now, |(first, _)| first);
        state.unreached = Some((first, now));
        first
    }

    /// Whether the host has answered before.
    pub(crate) fn has_answered(&self, name: &str) -> bool {
        self.hosts.get(name).is_some_and(|host| host.lock().heard)
    }

    /// Waits until a host may be asked, at most until the deadline, in milliseconds since 1970.
    ///
    /// # Errors
    /// If the host wants to be left alone beyond the deadline, which has passed then.
    pub(crate) async fn admit(
        &self,
        name: &str,
        weight: Weight,
        clock: &Arc<dyn Clock>,
        deadline: Option<i64>,
        log: impl Fn(String),
    ) -> Result<Permit, Failure> {
        let host = self.host(name);
        loop {
            let next = if weight == Weight::Tile { host.next_tile(clock).await } else { None };
            let permit = host.turn(weight).await?;
            let now = clock.now_ms();
            let (wait, may_go, report) = {
                let mut state = host.lock();
                let wait = state.open_at - now;
                let may_go = wait <= 0 && (weight != Weight::Tile || state.window.take(now));
                let report = wait >= LOGGED_FROM && state.is_reported != state.open_at;
                if report {
                    state.is_reported = state.open_at;
                }
                (wait, may_go, report)
            };
            if may_go {
                return Ok(permit);
            }
            if wait <= 0 {
                // The host got a pace meanwhile.
                continue;
            }
            // Who waits holds no permit.
            drop((permit, next));
            if report {
                let until = SystemTime::UNIX_EPOCH + Duration::from_millis((now + wait).unsigned_abs());
                let until = httpdate::fmt_http_date(until);
                log(format!("{} is busy; throttled until {until}", host.name));
            }
            let left = deadline.map_or(wait, |deadline| wait.min(deadline.saturating_sub(now)));
            clock.sleep(Duration::from_millis(left.max(0).unsigned_abs())).await;
            if left < wait {
                let message = format!("{} asks to be left alone for longer than there is time to wait", host.name);
                let failure = Failure::new(FailureOwner::Source, FailureKind::Throttled, FailureStage::Wait, message);
                return Err(failure.retryable());
            }
        }
    }

    /// The host wants to be left alone for a time.
    pub(crate) fn throttled(&self, name: &str, pause: Duration, now: i64) {
        let host = self.host(name);
        let mut state = host.lock();
        let pause = i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
        state.good = 0;
        state.open_at = state.open_at.max(now.saturating_add(pause));
        if state.window.refused(now, pause) {
            state.allowed = (state.allowed / 2).max(1);
        }
    }

    /// The host of a request that had its turn, or none, answered.
    pub(crate) fn answered(&self, name: &str, permit: Option<&Permit>, answer: &Answer<'_>) {
        match permit.filter(|permit| permit.host.name == name) {
            Some(permit) => {
                permit.took.get_or_init(|| answer.took);
                permit.host.answered(permit.weight, answer);
            }
            None => self.host(name).answered(Weight::Small, answer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offmap_model::SystemClock;

    fn answer(governor: &Governor, permit: Option<&Permit>, status: u16, took: Duration, at: i64) {
        let (status, headers) = (StatusCode::from_u16(status).expect("a status"), HeaderMap::new());
        governor.answered("h", permit, &Answer { status, headers: &headers, took, at });
    }

    /// How many requests of a kind may go now.
    fn free(host: &Arc<Host>, weight: Weight) -> usize {
        let mut held = Vec::new();
        while host.lock().may(weight) {
            host.lock().begin(weight);
            held.push(Permit::new(host, weight));
        }
        held.len()
    }

    #[tokio::test]
    async fn a_busy_host_gets_fewer_requests_at_a_time_and_slowly_more_again() {
        let governor = Governor::new(4, 16);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let admit = || governor.admit("h", Weight::Small, &clock, None, |_| {});
        let held: Vec<Permit> = vec![admit().await.expect("a"), admit().await.expect("b")];
        governor.throttled("h", Duration::ZERO, 0);
        let host = governor.host("h");
        assert_eq!(free(&host, Weight::Small), 0, "two are under way");
        drop(held);
        assert_eq!(free(&host, Weight::Small), 2);
        governor.throttled("h", Duration::ZERO, 0);
        governor.throttled("h", Duration::ZERO, 0);
        assert_eq!(free(&host, Weight::Small), 1, "never less than one");
        for _ in 0..3 * GOOD_ANSWERS {
            answer(&governor, None, 200, Duration::ZERO, 0);
        }
        assert_eq!(free(&host, Weight::Small), 4);
        governor.throttled("h", Duration::from_millis(30), clock.now_ms());
        let before = clock.now_ms();
        drop(admit().await.expect("d"));
        assert!(clock.now_ms() - before >= 25, "nobody asks before the time is over");
    }

    #[tokio::test]
    async fn downloads_leave_a_place_to_small_requests_and_get_one_of_their_own() {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        for (most, downloads) in [(1, 1), (2, 1), (4, 3)] {
            let governor = Governor::new(most, 16);
            let admit = |weight| governor.admit("h", weight, &clock, None, |_| {});
            let host = governor.host("h");
            assert_eq!(free(&host, Weight::Bulk), downloads, "{most}");
            let mut held = Vec::new();
            for _ in 0..downloads {
                held.push(admit(Weight::Bulk).await.expect("a download"));
            }
            assert_eq!((free(&host, Weight::Bulk), free(&host, Weight::Small)), (0, 1), "{most}");
            // Also after the host asked for less.
            governor.throttled("h", Duration::ZERO, 0);
            assert_eq!((free(&host, Weight::Bulk), free(&host, Weight::Small)), (0, 1), "{most}");
        }
        // Small requests that never end do not put a download off for ever.
        let governor = Governor::new(2, 16);
        let admit = |weight| governor.admit("h", weight, &clock, None, |_| {});
        let (first, second) = (admit(Weight::Small).await.expect("a"), admit(Weight::Small).await.expect("b"));
        let mut download = Box::pin(admit(Weight::Bulk));
        let mut third = Box::pin(admit(Weight::Small));
        assert!(polled(&mut download).is_none() && polled(&mut third).is_none());
        drop(first);
        let download = polled(&mut download).expect("it has its turn").expect("a permit");
        assert!(polled(&mut third).is_none());
        drop(second);
        let third = polled(&mut third).expect("it has its turn").expect("a permit");
        drop((download, third));
        // Whoever gives up waiting blocks nobody.
        let (first, second) = (admit(Weight::Small).await.expect("a"), admit(Weight::Small).await.expect("b"));
        let mut gives_up = Box::pin(admit(Weight::Small));
        assert!(polled(&mut gives_up).is_none());
        drop(gives_up);
        drop((first, second));
        assert_eq!(free(&governor.host("h"), Weight::Small), 2);
    }

    #[tokio::test]
    async fn tiles_take_nobody_s_place_and_go_as_the_host_bears_it() {
        let governor = Governor::new(4, 64);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let admit = |weight| governor.admit("h", weight, &clock, None, |_| {});
        let host = governor.host("h");
        let mut tiles = Vec::new();
        while let Some(permit) = polled(&mut Box::pin(admit(Weight::Tile))) {
            tiles.push(permit.expect("a permit"));
        }
        assert!((2..64).contains(&tiles.len()), "few at first");
        assert_eq!((free(&host, Weight::Small), free(&host, Weight::Bulk)), (4, 3));
        let mut waiting: Vec<_> = (0..64).map(|_| Box::pin(admit(Weight::Tile))).collect();
        assert!(waiting.iter_mut().all(|tile| polled(tile).is_none()));
        // Good answers let more go.
        for _ in 0..40 {
            for permit in std::mem::take(&mut tiles) {
                answer(&governor, Some(&permit), 200, Duration::from_millis(20), 0);
                permit.done(Went::Well, 0);
            }
            waiting.extend((waiting.len()..64).map(|_| Box::pin(admit(Weight::Tile))));
            waiting.retain_mut(|tile| match polled(tile) {
                Some(permit) => {
                    tiles.push(permit.expect("a permit"));
                    false
                }
                None => true,
            });
        }
        assert_eq!(host.lock().window.allowed(), 64);
        governor.throttled("h", Duration::ZERO, 0);
        assert_eq!(host.lock().window.allowed(), 32);
        assert_eq!(free(&host, Weight::Small), 2, "what a busy host asks for holds for all");
    }

    const BEGAN: i64 = 10_000;

    /// A clock that goes by the runtime's time, which a test stops.
    #[derive(Debug)]
    struct Stopped(tokio::time::Instant);

    #[async_trait::async_trait]
    impl Clock for Stopped {
        fn now_ms(&self) -> i64 {
            BEGAN + i64::try_from(self.0.elapsed().as_millis()).expect("a short time")
        }

        async fn sleep(&self, time: Duration) {
            tokio::time::sleep(time).await;
        }
    }

    /// A host that was refused twice after ten answers in a second, so that it has a pace of some ten a second.
    fn paced(governor: &Governor) -> Arc<Host> {
        let host = governor.host("h");
        governor.throttled("h", Duration::ZERO, BEGAN - 1_000);
        (0..10).for_each(|_| _ = host.lock().window.good(None, BEGAN - 1));
        governor.throttled("h", Duration::ZERO, BEGAN);
        assert!(host.lock().window.has_pace());
        host
    }

    #[tokio::test(start_paused = true)]
    async fn tiles_that_wait_for_their_time_hold_no_place_and_those_that_give_up_cost_no_time() {
        let governor = Governor::new(4, 16);
        let clock: Arc<dyn Clock> = Arc::new(Stopped(tokio::time::Instant::now()));
        let host = paced(&governor);
        let admit = || governor.admit("h", Weight::Tile, &clock, None, |_| {});
        let first = admit().await.expect("a permit");
        let mut cancelled: Vec<_> = (0..100).map(|_| Box::pin(admit())).collect();
        assert!(cancelled.iter_mut().all(|tile| polled(tile).is_none()), "its time has not come");
        assert_eq!(host.lock().tiles.running, 1, "only the one that goes has a place");
        let mut other = Box::pin(admit());
        assert!(polled(&mut other).is_none());
        drop((first, cancelled));
        let before = clock.now_ms();
        drop(other.await.expect("a permit"));
        let waited = clock.now_ms() - before;
        assert!(waited <= 150, "it waited {waited} ms for those that gave up");
        // The pace holds.
        let before = clock.now_ms();
        for _ in 0..20 {
            drop(admit().await.expect("a permit"));
        }
        let took = clock.now_ms() - before;
        assert!((1_900..2_300).contains(&took), "{took} ms");
    }

    #[tokio::test]
    async fn an_error_within_a_good_answer_is_no_good_answer_of_the_window() {
        let governor = Governor::new(4, 64);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let host = governor.host("h");
        let before = host.lock().window.allowed();
        for _ in 0..10 {
            let (mut round, at_a_time) = (Vec::new(), host.lock().window.allowed());
            for _ in 0..at_a_time {
                round.push(governor.admit("h", Weight::Tile, &clock, None, |_| {}).await.expect("a permit"));
            }
            for permit in round {
                answer(&governor, Some(&permit), 200, Duration::from_millis(5), 0);
                permit.done(Went::Wrong, 0);
            }
        }
        let after = host.lock().window.allowed();
        assert!(after < before, "{before} at a time became {after}");
    }

    /// Polls once.
    fn polled<T>(future: &mut std::pin::Pin<Box<impl Future<Output = T>>>) -> Option<T> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(done) => Some(done),
            std::task::Poll::Pending => None,
        }
    }
}
