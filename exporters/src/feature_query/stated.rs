//! What a layer states that it can, and may refuse in practice: PBF, and questions about a moment. Each is given up once for the layer,
//! where the same question is answered without it.

use offmap_model::{Failure, FailureKind, FailureOwner};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// No moment.
const NOW: i64 = i64::MIN;

/// See the module.
#[derive(Debug)]
pub(super) struct Stated {
    speaks_pbf: AtomicBool,
    /// In milliseconds since 1970.
    moment: AtomicI64,
    /// Whether it was asked in every other way, and failed as well.
    is_tried: AtomicBool,
}

impl Stated {
    pub(super) fn new(speaks_pbf: bool) -> Self {
        let (speaks_pbf, is_tried) = (AtomicBool::new(speaks_pbf), AtomicBool::new(false));
        Self { speaks_pbf, moment: AtomicI64::new(NOW), is_tried }
    }

    /// Whether rows are asked for as PBF.
    pub(super) fn speaks_pbf(&self) -> bool {
        self.speaks_pbf.load(Ordering::Acquire)
    }

    /// The moment that the layer is asked about; `None` for now.
    pub(super) fn moment(&self) -> Option<i64> {
        Some(self.moment.load(Ordering::Acquire)).filter(|moment| *moment != NOW)
    }

    pub(super) fn ask_at(&self, moment: Option<i64>) {
        self.moment.store(moment.unwrap_or(NOW), Ordering::Release);
    }

    /// Asks without what the layer states and may not be able to do, each way once: as JSON, about now, as both. What is answered without
    /// something gives that up from then on. `ask` is given whether to ask as PBF, and the moment.
    pub(super) async fn without<T, F: Future<Output = Result<T, Failure>>>(
        &self,
        failure: Failure,
        ask: impl Fn(bool, Option<i64>) -> F,
    ) -> Result<T, Failure> {
        let stated = (self.speaks_pbf(), self.moment());
        if !is_refusal(&failure) || self.is_tried.load(Ordering::Acquire) {
            return Err(failure);
        }
        let mut ways = vec![(false, stated.1), (stated.0, None), (false, None)];
        ways.retain(|way| *way != stated);
        ways.dedup();
        for (as_pbf, moment) in ways {
            match ask(as_pbf, moment).await {
                Ok(answer) => {
                    tracing::info!(%failure, as_pbf, moment, "what the layer states is given up");
                    self.speaks_pbf.fetch_and(as_pbf, Ordering::AcqRel);
                    if moment.is_none() {
                        self.ask_at(None);
                    }
                    return Ok(answer);
                }
                Err(other) if other.is_cancelled() => return Err(other),
                Err(_) => {}
            }
        }
        self.is_tried.store(true, Ordering::Release);
        Err(failure)
    }
}

/// Whether the service refused a question, or what it answered cannot be read.
pub(super) fn is_refusal(failure: &Failure) -> bool {
    let is_word = matches!(failure.kind, FailureKind::ServiceError | FailureKind::InvalidAnswer | FailureKind::NotSupported);
    failure.owner == FailureOwner::Source && is_word && !failure.is_cancelled()
}

#[cfg(test)]
mod tests {
    use super::*;
    use offmap_model::FailureStage;
    use std::sync::Mutex;

    fn failed(kind: FailureKind) -> Failure {
        Failure::new(FailureOwner::Source, kind, FailureStage::Run, "no")
    }

    #[tokio::test]
    async fn what_is_refused_is_given_up_once_where_the_question_is_answered_without_it() {
        let stated = Stated::new(true);
        stated.ask_at(Some(7));
        let asked = Mutex::new(Vec::new());
        let ask = |answers: fn(bool, Option<i64>) -> bool| {
            let asked = &asked;
            move |pbf: bool, moment: Option<i64>| {
                asked.lock().expect("not poisoned").push((pbf, moment));
                let answer = if answers(pbf, moment) { Ok(()) } else { Err(failed(FailureKind::ServiceError)) };
                async move { answer }
            }
        };
        // What fails in another way is no matter of abilities.
        let late = failed(FailureKind::TimedOut);
        assert_eq!(stated.without(late.clone(), ask(|_, _| true)).await, Err(late));
        assert!(asked.lock().expect("not poisoned").is_empty());
        // Only the moment is refused.
        let refused = failed(FailureKind::ServiceError);
        assert_eq!(stated.without(refused.clone(), ask(|_, moment| moment.is_none())).await, Ok(()));
        assert_eq!(*asked.lock().expect("not poisoned"), [(false, Some(7)), (true, None)]);
        assert_eq!((stated.speaks_pbf(), stated.moment()), (true, None));
        // Both are refused.
        let both = Stated::new(true);
        both.ask_at(Some(7));
        assert_eq!(both.without(refused.clone(), ask(|pbf, moment| !pbf && moment.is_none())).await, Ok(()));
        assert_eq!((both.speaks_pbf(), both.moment()), (false, None));
        // What fails in every way is tried in them once, and nothing is given up.
        let failing = Stated::new(true);
        failing.ask_at(Some(7));
        let before = asked.lock().expect("not poisoned").len();
        for _ in 0..2 {
            assert_eq!(failing.without(refused.clone(), ask(|_, _| false)).await, Err(refused.clone()));
            assert_eq!((failing.speaks_pbf(), failing.moment()), (true, Some(7)));
            assert_eq!(asked.lock().expect("not poisoned").len(), before + 3);
        }
        // There is no other way.
        let plain = Stated::new(false);
        assert_eq!(plain.without(refused.clone(), ask(|_, _| true)).await, Err(refused.clone()));
        assert_eq!(asked.lock().expect("not poisoned").len(), before + 3);
        let stated = Stated::new(true);
        let unreadable = failed(FailureKind::InvalidAnswer);
        assert_eq!(stated.without(unreadable, ask(|pbf, _| !pbf)).await, Ok(()));
        assert!(!stated.speaks_pbf());
    }
}
