//! Which fault strikes a request: by its path, by the number of requests in a second, or by chance.

use crate::answer::RestError;
use crate::lock::lock;
use crate::request::Call;
use crate::state::State;
use offmap_engine::testing::FaultAction;

/// The answer to a request beyond what a second allows.
pub(crate) fn too_many(state: &State) -> Option<FaultAction> {
    let allowed = state.options.requests_per_second?;
    let now = state.began.elapsed().as_secs();
    let mut second = lock(&state.second);
    if second.0 != now {
        *second = (now, 0);
    }
    second.1 += 1;
    (second.1 > allowed).then(|| FaultAction::Status(429, "Too many requests".into(), Some(1)))
}

/// A fault of an unreliable network, by the number of the request and the seed.
pub(crate) fn at_random(state: &State) -> Option<FaultAction> {
    let (percent, seed) = state.options.unreliable?;
    let number = lock(&state.log).len() as u64;
    // SplitMix64.
    let mut z = seed.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    if z % 100 >= u64::from(percent) {
        return None;
    }
    let error = |code: i64| FaultAction::Body(RestError::new(code, "Error performing query operation").json());
    Some(match (z >> 32) % 7 {
        0 => FaultAction::Reset,
        1 => FaultAction::Status(503, "Service Unavailable".into(), None),
        2 => FaultAction::Status(429, "Too many requests".into(), Some(0)),
        3 => FaultAction::Status(500, "Internal Server Error".into(), None),
        4 => FaultAction::Truncate(40),
        5 => error(500),
        _ => error(504),
    })
}

/// The fault of a request.
pub(crate) fn strike(state: &State, call: &Call) -> Option<FaultAction> {
    let has = |name: &str| call.parameters.contains_key(name);
    lock(&state.faults).iter_mut().find_map(|fault| fault.strike(&call.path, has))
}
