//! How many requests for tiles go to a host at a time, and how many a second: found out from its answers.
//!
//! A tile is small, and most servers have it ready, so far more of them may be under way than of requests that make work. Nobody says how
//! many:
//!
//! | what the host answers | what follows |
//! | --- | --- |
//! | good answers to as many requests as go at a time (a round) | twice as many at a time up to the first sign of trouble, then a few more each round |
//! | the same, where fewer were under way than may be | nothing: more are not needed |
//! | a round that brought hardly more a second than one of fewer at a time, and whose answers took twice as long as the quickest | as few as before: more of them only wait, here or there |
//! | a round whose quickest answer took a quarter longer than the quickest one so far, and [`QUEUE`] more | fewer, in that proportion: they wait in its queue |
//! | a round of which more than a tenth failed (5xx, no answer) | half as many |
//! | 429, `Retry-After`, "try again" | half as many; from the second time on so many a second as it answered in the second before, with what was under way, less [`BELOW`] |
//!
//! A host that limits requests a second is asked evenly, below its limit: whoever asks as fast as it answers is refused for a whole second
//! or more each time. The first refusal says nothing of the limit, as others may have used it up. After [`HOLD`] without a refusal the pace
//! grows again, faster each second, and after a refusal at the same pace it is held twice as long. Where so few answers came that the limit
//! is hardly known it is held for [`SHORT_HOLD`]. Refusals of requests that were under way together are one.
//!
//! Source: additive increase, multiplicative decrease and slow start as in TCP (RFC 5681 §3.1); the shortest time as the measure of a
//! queue as in TCP Vegas (Brakmo and Peterson 1995).

use std::collections::VecDeque;
use std::time::Duration;

/// Requests at a time at the start.
const START: usize = 16;
/// The least that answers that get slower lead to; refusals may lead to less.
const LEAST: usize = 4;
/// Least answers of a round.
const LEAST_ROUND: usize = 8;
/// A wait in a host's queue that is no sign of trouble.
pub(super) const QUEUE: Duration = Duration::from_millis(2);
/// Of what more requests at a time should bring more answers a second, the least part that shows that they do.
const LEAST_GAIN: f64 = 0.25;
/// Rounds without growth after one that was of no use.
const RESTS: u32 = 64;
/// How long the quickest answer counts, in milliseconds: the way to a host may become longer.
const QUICKEST_FOR: i64 = 60_000;
/// Of how many milliseconds the answers are counted before a refusal.
const COUNTED: i64 = 1_000;
/// The steps in which they are counted.
const STEP: i64 = 20;
/// How much below the pace at which a host refused it is asked.
pub(super) const BELOW: f64 = 0.02;
/// How long the pace stays after a refusal, in milliseconds, at first and at most.
pub(super) const HOLD: i64 = 60_000;
const LONGEST_HOLD: i64 = 16 * HOLD;
/// The same where fewer answers than that came in the second before.
const SHORT_HOLD: i64 = 3_000;
const KNOWN_BY: u32 = 100;
/// By how much of itself it grows in the first second then, and in each later one at most.
const GROWTH: f64 = 0.02;
const MOST_GROWTH: f64 = 0.5;
/// Refusals at paces that differ by no more of it are at the same pace.
const SAME: f64 = 0.1;
/// Requests that are late by so many milliseconds are made up for: less in a second than the pace is below the limit.
const LATE: f64 = 10.0;

/// How a request for a tile went, once all of it was read and judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Went {
    /// The tile came.
    Well,
    /// What was answered says nothing of the host's queue, such as that there is no such tile.
    Otherwise,
    /// It failed in a way that may be the host's.
    Wrong,
}

/// See the module.
#[derive(Debug)]
pub(super) struct TileWindow {
    most: usize,
    allowed: usize,
    /// Whether there was no sign of trouble yet.
    doubles: bool,
    /// How many went at a time before there were more, and how many answers a second that brought.
    before: Option<(usize, f64)>,
    /// Rounds in which it does not grow.
    rests: u32,
    round: Round,
    quickest: Quickest,
    rate: Rate,
    /// A refusal before is one of the last refusal's burst, in milliseconds since 1970.
    refused_until: i64,
}

/// The answers of a round.
#[derive(Debug, Default)]
struct Round {
    good: usize,
    failed: usize,
    quickest: Option<Duration>,
    /// How many of them tell how long they took, and how long that is of all.
    told: u32,
    took: Duration,
    /// Whether as many were under way as may be.
    was_full: bool,
}

/// The quickest answer of a minute or two.
#[derive(Debug, Default)]
struct Quickest {
    before: Option<Duration>,
    now: Option<Duration>,
    until: i64,
}

impl Quickest {
    fn add(&mut self, took: Duration, now: i64) {
        if now >= self.until {
            (self.before, self.now, self.until) = (self.now, None, now.saturating_add(QUICKEST_FOR));
        }
        self.now = Some(self.now.map_or(took, |known| known.min(took)));
    }

    fn get(&self) -> Option<Duration> {
        [self.before, self.now].into_iter().flatten().min()
    }
}

impl TileWindow {
    pub(super) fn new(most: usize) -> Self {
        let most = most.max(1);
        Self {
            most,
            allowed: START.min(most),
            doubles: true,
            before: None,
            rests: 0,
            round: Round::default(),
            quickest: Quickest::default(),
            rate: Rate::default(),
            refused_until: 0,
        }
    }

    /// Requests at a time.
    pub(super) fn allowed(&self) -> usize {
        self.allowed
    }

    /// As many are under way as may be.
    pub(super) fn is_full(&mut self) {
        self.round.was_full = true;
    }

    /// Whether so many may go a second and no more.
    pub(super) fn has_pace(&self) -> bool {
        self.rate.limit.is_some()
    }

    /// How long it is to the time of the next request.
    pub(super) fn wait(&mut self, now: i64) -> Duration {
        self.rate.wait(now)
    }

    /// Takes the time of the next request; false where it has not come yet.
    pub(super) fn take(&mut self, now: i64) -> bool {
        self.rate.take(now)
    }

    /// A request was answered, which took so long where that is known; answers whether more may go now.
    pub(super) fn went(&mut self, went: Went, took: Option<Duration>, now: i64) -> bool {
        match went {
            Went::Well => self.good(took, now),
            Went::Otherwise => self.good(None, now),
            Went::Wrong => {
                self.failed();
                false
            }
        }
    }

    /// An answer came; answers whether more may go now. A tile's comes with how long it took: that there is none is said more quickly.
    pub(super) fn good(&mut self, took: impl Into<Option<Duration>>, now: i64) -> bool {
        self.rate.answered(now);
        let round = &mut self.round;
        round.good += 1;
        if let Some(took) = took.into() {
            self.quickest.add(took, now);
            (round.told, round.took) = (round.told + 1, round.took + took);
            round.quickest = Some(round.quickest.map_or(took, |known| known.min(took)));
        }
        self.end_round()
    }

    /// A request failed in a way that may be the host's.
    pub(super) fn failed(&mut self) {
        self.round.failed += 1;
        self.end_round();
    }

    /// The host wants to be left alone; answers whether that is news.
    pub(super) fn refused(&mut self, now: i64, pause: i64) -> bool {
        if now < self.refused_until {
            return false;
        }
        let flight = self.round.quickest.or(self.quickest.get()).unwrap_or_default() * 2;
        let flight = i64::try_from(flight.as_millis()).unwrap_or(i64::MAX);
        self.refused_until = now.saturating_add(pause.max(flight));
        self.rate.refused(now, pause);
        self.halve();
        true
    }

    fn halve(&mut self) {
        self.allowed = (self.allowed / 2).max(1);
        (self.doubles, self.before) = (false, None);
        self.round = Round::default();
    }

    /// Judges a round that is over; answers whether more may go.
    fn end_round(&mut self) -> bool {
        let Round { good, failed, quickest, told, took: all, was_full } = self.round;
        if good + failed < self.allowed.max(LEAST_ROUND) {
            return false;
        }
        self.round = Round::default();
        if failed * 10 > good + failed {
            self.halve();
            return false;
        }
        // Where nothing but "no such tile" came, nothing waited.
        let (took, shortest) = (quickest.unwrap_or_default(), self.quickest.get().unwrap_or_default());
        let expected = shortest + shortest / 4 + QUEUE;
        if took > expected {
            let share = (expected.as_secs_f64() / took.as_secs_f64()).max(0.5);
            let fewer = (self.allowed as f64 * share) as usize;
            self.allowed = self.allowed.min(fewer.max(LEAST));
            (self.doubles, self.before) = (false, None);
            return false;
        }
        if !was_full {
            return false;
        }
        let mean = all.checked_div(told).unwrap_or_default();
        self.grow(mean, mean > shortest * 2 + QUEUE)
    }

    /// Lets more go, unless they only wait: as many as are under way, by the time that each takes, are as many as come a second (Little's
    /// law). Answers whether more may go now.
    fn grow(&mut self, mean: Duration, may_wait: bool) -> bool {
        let now = self.allowed;
        let rate = now as f64 / mean.as_secs_f64().max(f64::EPSILON);
        if let Some((fewer, rate_before)) = self.before.take().filter(|_| may_wait) {
            let more = now as f64 / fewer.max(1) as f64 - 1.0;
            if rate < rate_before * (1.0 + more * LEAST_GAIN) {
                (self.allowed, self.doubles, self.rests) = (fewer, false, RESTS);
                return false;
            }
        }
        if may_wait && self.rests > 0 {
            self.rests -= 1;
            return false;
        }
        let more = if self.doubles { now } else { now.isqrt() };
        self.allowed = now.saturating_add(more).min(self.most);
        self.before = (self.allowed > now).then_some((now, rate));
        self.allowed > now
    }
}

/// A refusal that says at which pace a host refuses.
#[derive(Debug)]
struct Refusal {
    /// Until when the host is left alone: what is answered before was under way.
    until: i64,
    /// Answers of the second before it, and those since.
    answered: u32,
    /// The pace before.
    limit: Option<f64>,
}

/// How many requests go a second.
#[derive(Debug, Default)]
struct Rate {
    /// Answers by the time that they came at, in steps.
    counted: VecDeque<(i64, u32)>,
    /// Whether it was refused before.
    was_refused: bool,
    /// Requests a second; any number where the host refused none.
    limit: Option<f64>,
    /// At which pace it was refused the last time.
    refused_at: Option<f64>,
    /// The last refusal, as long as what was under way then is answered.
    refusal: Option<Refusal>,
    /// When the next one goes, in milliseconds since 1970.
    next: f64,
    /// When the pace grows next, and how long a refusal keeps it.
    grows_at: i64,
    hold: i64,
    growth: f64,
}

impl Rate {
    /// In whole milliseconds, as clocks count.
    fn wait(&mut self, now: i64) -> Duration {
        let Some(limit) = &mut self.limit else { return Duration::ZERO };
        if now >= self.grows_at {
            *limit *= 1.0 + self.growth;
            self.growth = (self.growth * 2.0).min(MOST_GROWTH);
            self.grows_at = now.saturating_add(1_000);
        }
        let wait = (self.next - now as f64).ceil().max(0.0);
        Duration::from_millis(wait as u64)
    }

    fn take(&mut self, now: i64) -> bool {
        let is_due = self.wait(now).is_zero();
        if let Some(limit) = self.limit.filter(|_| is_due) {
            self.next = self.next.max(now as f64 - LATE) + 1_000.0 / limit;
        }
        is_due
    }

    fn answered(&mut self, now: i64) {
        let step = now / STEP;
        match self.counted.back_mut() {
            Some((last, count)) if *last >= step => *count += 1,
            _ => self.counted.push_back((step, 1)),
        }
        self.forget(now);
        match &mut self.refusal {
            Some(refusal) if now < refusal.until => {
                refusal.answered += 1;
                self.settle();
            }
            _ => self.refusal = None,
        }
    }

    /// Goes below the pace at which the host refused.
    fn settle(&mut self) {
        let Some(Refusal { answered, limit, .. }) = self.refusal else { return };
        let measured = f64::from(answered) * 1_000.0 / COUNTED as f64;
        let pace = limit.map_or(measured, |limit| limit.min(measured)).max(1.0);
        self.refused_at = Some(pace);
        self.limit = Some(pace * (1.0 - BELOW));
    }

    fn forget(&mut self, now: i64) {
        while self.counted.front().is_some_and(|(step, _)| *step <= (now - COUNTED) / STEP) {
            self.counted.pop_front();
        }
    }

    /// The host refused, and wants to be left alone so long.
    fn refused(&mut self, now: i64, pause: i64) {
        self.forget(now);
        let count: u32 = self.counted.iter().map(|(_, count)| count).sum();
        self.next = now.saturating_add(pause) as f64;
        if !std::mem::replace(&mut self.was_refused, true) {
            return;
        }
        if count == 0 {
            // Where nothing was answered, nothing is known of a pace: it was down, or others used it up.
            return;
        }
        let before = self.refused_at;
        self.refusal = Some(Refusal { until: now.saturating_add(pause), answered: count, limit: self.limit });
        self.settle();
        let is_same = before.zip(self.refused_at).is_some_and(|(before, pace)| (before / pace - 1.0).abs() < SAME);
        self.hold = match (count < KNOWN_BY, is_same) {
            (_, true) => (self.hold * 2).min(LONGEST_HOLD),
            (true, false) => SHORT_HOLD,
            (false, false) => HOLD,
        };
        self.growth = GROWTH;
        self.grows_at = now.saturating_add(self.hold);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Answers to as many requests as may be under way, all so quick.
    fn round(window: &mut TileWindow, took: Duration, now: i64) {
        window.is_full();
        for _ in 0..window.allowed().max(LEAST_ROUND) {
            window.good(took, now);
        }
    }

    fn allowed_after(window: &mut TileWindow, rounds: usize, took: Duration) -> Vec<usize> {
        (0..rounds)
            .map(|_| {
                round(window, took, 0);
                window.allowed()
            })
            .collect()
    }

    #[test]
    fn a_host_that_was_down_is_asked_as_before_and_quick_answers_of_no_tile_say_nothing_of_its_queue() {
        let mut window = TileWindow::new(256);
        for n in 0..10 {
            assert!(window.refused(n * 10_000, 5_000), "nothing was answered meanwhile");
        }
        assert!(!window.has_pace() && window.take(200_000));
        let mut window = TileWindow::new(256);
        for n in 0..20 {
            window.is_full();
            for _ in 0..window.allowed().max(LEAST_ROUND) {
                window.good(None, n);
                window.good(60 * MS, n);
            }
        }
        assert_eq!(window.allowed(), 256);
    }

    #[test]
    fn it_grows_to_what_is_allowed_as_long_as_answers_come_as_quickly() {
        let mut window = TileWindow::new(100);
        assert_eq!(window.allowed(), START);
        assert_eq!(allowed_after(&mut window, 5, 50 * MS), [32, 64, 100, 100, 100]);
        assert_eq!(TileWindow::new(2).allowed(), 2);
        let mut unused = TileWindow::new(100);
        for _ in 0..100 {
            assert!(!unused.good(50 * MS, 0));
        }
        assert_eq!(unused.allowed(), START, "fewer are under way than may be");
    }

    #[test]
    fn more_at_a_time_stay_only_where_they_bring_more_a_second() {
        // Half of the answers are quick, and all others wait for one core that needs a millisecond for each.
        let mut window = TileWindow::new(256);
        let mut largest = 0;
        for _ in 0..2_000 {
            window.is_full();
            let at_a_time = window.allowed();
            for n in 0..at_a_time.max(LEAST_ROUND) {
                let wait = u32::try_from(at_a_time).expect("few") * MS;
                window.good(if n % 2 == 0 { MS } else { wait * 2 }, 0);
            }
            largest = largest.max(window.allowed());
        }
        assert!(largest <= 64, "{largest} at a time");
        // As uneven, but nobody waits for another.
        let mut window = TileWindow::new(256);
        for _ in 0..20 {
            window.is_full();
            for n in 0..window.allowed().max(LEAST_ROUND) {
                window.good(if n % 2 == 0 { 5 * MS } else { 100 * MS }, 0);
            }
        }
        assert_eq!(window.allowed(), 256);
    }

    #[test]
    fn answers_that_get_slower_mean_fewer_and_never_too_few() {
        let mut window = TileWindow::new(256);
        allowed_after(&mut window, 5, 50 * MS);
        assert_eq!(allowed_after(&mut window, 1, 64 * MS), [256], "a quarter more is still well");
        assert_eq!(allowed_after(&mut window, 1, 100 * MS), [165]);
        assert_eq!(allowed_after(&mut window, 9, 5_000 * MS).last(), Some(&LEAST));
        let grown = allowed_after(&mut window, 3, 50 * MS);
        assert_eq!(grown, [6, 8, 10], "a few more each round after trouble");
        // A way that is longer from now on is no queue.
        for minute in 1..4 {
            round(&mut window, 300 * MS, minute * QUICKEST_FOR);
        }
        let before = window.allowed();
        round(&mut window, 300 * MS, 4 * QUICKEST_FOR);
        assert!(window.allowed() > before);
    }

    #[test]
    fn refusals_of_one_burst_halve_it_once_and_few_faults_do_not() {
        let mut window = TileWindow::new(256);
        allowed_after(&mut window, 5, 50 * MS);
        assert!(window.refused(1_000, 1_000));
        for late in [1_000, 1_020, 1_999] {
            assert!(!window.refused(late, 1_000), "{late}");
        }
        assert_eq!(window.allowed(), 128);
        assert!(window.refused(2_001, 1_000));
        assert_eq!(window.allowed(), 64);
        (0..20).for_each(|n| assert!(window.refused(10_000 * n + 10_000, 0)));
        assert_eq!(window.allowed(), 1);
        for (failing, expected) in [(3, 256), (30, 128)] {
            let mut window = TileWindow::new(256);
            allowed_after(&mut window, 5, 50 * MS);
            (0..failing * 256 / 100).for_each(|_| window.failed());
            round(&mut window, 50 * MS, 0);
            assert_eq!(window.allowed(), expected, "{failing} of a hundred fail");
        }
    }

    /// A host that limits requests, as seen from one side of it: whether a request at that time is answered.
    type Host = Box<dyn FnMut(i64) -> bool>;

    /// So many in each second of the clock.
    fn by_the_second(most: u32, begins: i64) -> Host {
        let mut seen = (0, 0);
        Box::new(move |now| {
            let second = (now + begins) / 1_000;
            seen = if seen.0 == second { (second, seen.1 + 1) } else { (second, 1) };
            seen.1 <= most
        })
    }

    /// A bucket of so many, filled evenly.
    fn by_a_bucket(a_second: f64, most: f64) -> Host {
        let (mut left, mut last) = (most, 0);
        Box::new(move |now| {
            left = (left + (now - last) as f64 * a_second / 1_000.0).min(most);
            last = now;
            let is_there = left >= 1.0;
            left -= if is_there { 1.0 } else { 0.0 };
            is_there
        })
    }

    /// Asks a host that needs 20 ms for an answer and refuses for a second; answers how many were answered and how many refused.
    fn asked(host: &mut Host, seconds: i64) -> (usize, usize) {
        let mut window = TileWindow::new(256);
        let mut running: VecDeque<(i64, bool)> = VecDeque::new();
        let (mut open_at, mut good, mut refused) = (0, 0, 0);
        for now in 0..seconds * 1_000 {
            while let Some((_, is_good)) = running.pop_front_if(|(due, _)| *due <= now) {
                if is_good {
                    good += 1;
                    window.good(20 * MS, now);
                } else {
                    refused += 1;
                    open_at = open_at.max(now + 1_000);
                    window.refused(now, 1_000);
                }
            }
            if now < open_at {
                continue;
            }
            while running.len() < window.allowed() && window.take(now) {
                running.push_back((now + 20, host(now)));
            }
            if running.len() >= window.allowed() {
                window.is_full();
            }
        }
        (good, refused)
    }

    #[test]
    fn a_host_with_a_limit_a_second_is_asked_close_below_it() {
        let hosts: [(&str, Host, f64); 4] = [
            ("of each second", by_the_second(500, 0), 500.0),
            ("of seconds that began before", by_the_second(500, 700), 500.0),
            ("of a bucket", by_a_bucket(500.0, 500.0), 500.0),
            ("that others used up at first", by_the_second(500, 0), 500.0),
        ];
        for (name, mut host, limit) in hosts {
            if name.contains("others") {
                (0..480).for_each(|_| _ = host(0));
            }
            let (good, refused) = asked(&mut host, 44);
            let share = good as f64 / (44.0 * limit);
            assert!(share > 0.95, "{name}: {share} of the limit, {refused} refused");
            assert!(refused * 50 < good, "{name}: {refused} refused, {good} answered");
        }
        // The limit is found from below where a host bears few at once.
        let (good, refused) = asked(&mut by_a_bucket(500.0, 20.0), 300);
        assert!(good > 100_000 && refused * 50 < good, "{good} answered, {refused} refused");
        let (good, refused) = asked(&mut by_the_second(u32::MAX, 0), 5);
        assert!(refused == 0 && good > 50_000, "without a limit: {good}");
    }

    #[test]
    fn what_was_under_way_when_a_host_refused_counts_for_its_limit() {
        let mut pace = Rate { was_refused: true, ..Rate::default() };
        let is_below = |pace: &Rate, limit: f64| pace.limit.is_some_and(|own| (own - limit * (1.0 - BELOW)).abs() < 1e-6);
        (0..480).for_each(|now| pace.answered(now));
        pace.refused(500, 1_000);
        assert!(is_below(&pace, 480.0), "{:?}", pace.limit);
        (500..520).for_each(|now| pace.answered(now));
        assert!(is_below(&pace, 500.0), "{:?}", pace.limit);
        (1_500..1_900).for_each(|now| pace.answered(now));
        assert!(is_below(&pace, 500.0), "these were asked after it: {:?}", pace.limit);
        let limit = pace.limit.expect("one");
        (2_000..2_900).for_each(|now| pace.answered(now));
        pace.refused(2_900, 1_000);
        pace.answered(2_901);
        assert!(is_below(&pace, limit), "never more than it was asked before: {:?}", pace.limit);
    }

    #[test]
    fn the_pace_grows_again_where_the_host_refuses_no_more() {
        let mut pace = Rate::default();
        for now in 0..1_000 {
            pace.take(now);
            pace.answered(now);
        }
        pace.refused(1_000, 1_000);
        assert_eq!(pace.limit, None, "others may have used it up");
        pace.refused(1_000, 1_000);
        let limit = pace.limit.expect("one");
        assert!((900.0..1_000.0).contains(&limit), "{limit}");
        let began = 2_000;
        (began..HOLD + 1_000).step_by(100).for_each(|now| _ = pace.take(now));
        assert_eq!(pace.limit, Some(limit));
        (HOLD + 1_000..2 * HOLD).step_by(100).for_each(|now| _ = pace.take(now));
        assert!(pace.limit.is_some_and(|grown| grown > 5.0 * limit), "{:?}", pace.limit);
        for (n, hold) in [(0, 2 * HOLD), (1, 4 * HOLD), (2, 8 * HOLD)] {
            let now = 10 * HOLD + n * 60_000;
            (0..1_000).for_each(|ms| pace.answered(now + ms));
            pace.limit = Some(1_000.0);
            pace.refused(now + 1_000, 0);
            assert_eq!(pace.hold, hold, "it waits longer before it tries again");
        }
    }
}
