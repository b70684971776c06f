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
    /// Whether it was asked without the one and without the other, and failed as well.
    needs_pbf: AtomicBool,
    needs_moment: AtomicBool,
}

impl Stated {
    pub(super) fn new(speaks_pbf: bool) -> Self {
        let (needs_pbf, needs_moment) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { speaks_pbf: AtomicBool::new(speaks_pbf), moment: AtomicI64::new(NOW), needs_pbf, needs_moment }
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

    /// Asks without what the layer states and may not be able to do, each once: as JSON, then about now. What is answered is given up
    /// from then on. `ask` is given whether to ask as PBF, and the moment.
    pub(super) async fn without<T, F: Future<Output = Result<T, Failure>>>(
        &self,
        failure: Failure,
        ask: impl Fn(bool, Option<i64>) -> F,
    ) -> Result<T, Failure> {
        if !is_refusal(&failure) {
            return Err(failure);
        }
        if self.speaks_pbf() && !self.needs_pbf.load(Ordering::Acquire) {
            match ask(false, self.moment()).await {
                Ok(answer) => {
                    tracing::info!(%failure, "the layer states PBF and is asked as JSON");
                    self.speaks_pbf.store(false, Ordering::Release);
                    return Ok(answer);
                }
                Err(other) if other.is_cancelled() => return Err(other),
                Err(_) => self.needs_pbf.store(true, Ordering::Release),
            }
        }
        if self.moment().is_some() && !self.needs_moment.load(Ordering::Acquire) {
            match ask(self.speaks_pbf(), None).await {
                Ok(answer) => {
                    tracing::info!(%failure, "the layer states moments and is asked about now");
                    self.ask_at(None);
                    return Ok(answer);
                }
                Err(other) if other.is_cancelled() => return Err(other),
                Err(_) => self.needs_moment.store(true, Ordering::Release),
            }
        }
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
        // Each is tried once.
        assert_eq!(stated.without(refused.clone(), ask(|_, _| true)).await, Err(refused.clone()));
        assert_eq!(asked.lock().expect("not poisoned").len(), 2);
        let stated = Stated::new(true);
        let unreadable = failed(FailureKind::InvalidAnswer);
        assert_eq!(stated.without(unreadable, ask(|pbf, _| !pbf)).await, Ok(()));
        assert!(!stated.speaks_pbf());
    }
}
