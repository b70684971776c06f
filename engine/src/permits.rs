//! How many exports run at a time: in the engine, for one tenant and on one host.

use crate::pause::Pause;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// The limits of exports that run at a time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExportLimits {
    pub(crate) total: usize,
    pub(crate) per_tenant: usize,
    pub(crate) per_host: usize,
}

/// What an export counts for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PermitKey {
    pub(crate) tenant: Arc<str>,
    pub(crate) host: Arc<str>,
}

#[derive(Debug, Default)]
struct State {
    used: usize,
    tenants: HashMap<Arc<str>, usize>,
    hosts: HashMap<Arc<str>, usize>,
    /// Who waits, in the order of asking. Every running job waits with one new export at the most, and with those that stood still.
    waiting: Vec<(PermitKey, oneshot::Sender<Permit>)>,
}

/// Hands out permits: to the tenant with the fewest, then to who asked first. One that waits for its host is passed by others.
#[derive(Debug)]
pub(crate) struct Permits {
    limits: ExportLimits,
    state: Mutex<State>,
}

/// Lets one export run until it is dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    permits: Arc<Permits>,
    key: PermitKey,
}

/// The permit of one export. It is given back while the export stands still at the gate of its job, which may have lost its turn to one
/// that needs the permit to come to its end.
#[derive(Debug)]
pub(crate) struct ExportPermit {
    permits: Arc<Permits>,
    key: PermitKey,
    lent: Mutex<Lent>,
    /// Who asks for it again: parts of one export ask one after the other.
    asks: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
enum Lent {
    Held {
        _permit: Permit,
    },
    GivenBack,
    /// The export has ended; what it left behind needs none.
    Over,
}

impl ExportPermit {
    pub(crate) fn new(permit: Permit) -> Self {
        let (permits, key) = (Arc::clone(&permit.permits), permit.key.clone());
        Self { permits, key, lent: Mutex::new(Lent::Held { _permit: permit }), asks: tokio::sync::Mutex::default() }
    }

    fn set(&self, to: Lent) {
        let mut lent = self.lent.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*lent, Lent::Over) {
            return;
        }
        let before = std::mem::replace(&mut *lent, to);
        // A permit that comes back is handed out at once.
        drop(lent);
        drop(before);
    }

    fn is_given_back(&self) -> bool {
        matches!(*self.lent.lock().unwrap_or_else(PoisonError::into_inner), Lent::GivenBack)
    }

    /// The export has ended.
    pub(crate) fn end(&self) {
        self.set(Lent::Over);
    }

    /// Waits until the gate is open and the export has a permit; it has none meanwhile. A file of the same export that is on its way is
    /// finished without one.
    ///
    /// # Cancel safety
    /// Who drops the future waits no more.
    pub(crate) async fn passed(&self, gate: &Pause) {
        loop {
            if gate.is_closed() {
                self.set(Lent::GivenBack);
                gate.passed().await;
            }
            let _asks = self.asks.lock().await;
            if self.is_given_back() {
                let permit = self.permits.acquire(self.key.clone()).await;
                self.set(Lent::Held { _permit: permit });
            }
            // It may have been closed again while this waited.
            if !gate.is_closed() {
                return;
            }
        }
    }
}

fn count(of: &HashMap<Arc<str>, usize>, name: &Arc<str>) -> usize {
    of.get(name).copied().unwrap_or(0)
}

fn less(of: &mut HashMap<Arc<str>, usize>, name: &Arc<str>) {
    if let Some(n) = of.get_mut(name) {
        *n = n.saturating_sub(1);
        if *n == 0 {
            of.remove(name);
        }
    }
}

impl Permits {
    pub(crate) fn new(limits: ExportLimits) -> Arc<Self> {
        Arc::new(Self { limits, state: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Permits that were handed out and are not back.
    pub(crate) fn used(&self) -> usize {
        self.lock().used
    }

    /// Waits for a permit.
    ///
    /// # Cancel safety
    /// Who drops the future waits no more; a permit that was on its way is free again.
    pub(crate) async fn acquire(self: &Arc<Self>, key: PermitKey) -> Permit {
        let (sender, permit) = oneshot::channel();
        self.lock().waiting.push((key.clone(), sender));
        self.hand_out();
        match permit.await {
            Ok(permit) => permit,
            // The sender is dropped with its permit inside only.
            Err(_) => std::future::pending().await,
        }
    }

    fn hand_out(self: &Arc<Self>) {
        loop {
            let (sender, permit) = {
                let mut state = self.lock();
                state.waiting.retain(|(_, sender)| !sender.is_closed());
                let Some(next) = self.next(&state) else { return };
                let (key, sender) = state.waiting.remove(next);
                state.used += 1;
                *state.tenants.entry(Arc::clone(&key.tenant)).or_default() += 1;
                *state.hosts.entry(Arc::clone(&key.host)).or_default() += 1;
                (sender, Permit { permits: Arc::clone(self), key })
            };
            // One that nobody waits for any more comes back and is handed out again.
            drop(sender.send(permit));
        }
    }

    fn next(&self, state: &State) -> Option<usize> {
        if state.used >= self.limits.total {
            return None;
        }
        let fits = |key: &PermitKey| {
            count(&state.tenants, &key.tenant) < self.limits.per_tenant
                && count(&state.hosts, &key.host) < self.limits.per_host
        };
        let waiting = state.waiting.iter().enumerate().filter(|(_, (key, _))| fits(key));
        waiting.min_by_key(|(i, (key, _))| (count(&state.tenants, &key.tenant), *i)).map(|(i, _)| i)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        {
            let mut state = self.permits.lock();
            state.used = state.used.saturating_sub(1);
            less(&mut state.tenants, &self.key.tenant);
            less(&mut state.hosts, &self.key.host);
        }
        self.permits.hand_out();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;

    fn key(tenant: &str, host: &str) -> PermitKey {
        PermitKey { tenant: tenant.into(), host: host.into() }
    }

    #[tokio::test]
    async fn permits_keep_to_each_limit_and_go_to_the_tenant_with_the_fewest() {
        let permits = Permits::new(ExportLimits { total: 3, per_tenant: 2, per_host: 2 });
        let first = permits.acquire(key("a", "x")).await;
        let second = permits.acquire(key("a", "y")).await;
        let mut third = Box::pin(permits.acquire(key("a", "z")));
        assert!(third.as_mut().now_or_never().is_none(), "a tenant has two");
        let other = permits.acquire(key("b", "x")).await;
        let mut on_busy_host = Box::pin(permits.acquire(key("c", "x")));
        assert!(on_busy_host.as_mut().now_or_never().is_none());
        drop(second);
        assert!(third.as_mut().now_or_never().is_some(), "the host of the other one is busy");
        drop(third);
        drop(other);
        assert!(on_busy_host.as_mut().now_or_never().is_some());
        drop((first, on_busy_host));
        let state = permits.lock();
        assert!(state.used == 0 && state.tenants.is_empty() && state.hosts.is_empty() && state.waiting.is_empty());
    }

    #[tokio::test]
    async fn an_export_that_stands_still_gives_its_permit_back_and_asks_again() {
        let permits = Permits::new(ExportLimits { total: 1, per_tenant: 1, per_host: 1 });
        let (gate, lent) = (Pause::default(), ExportPermit::new(permits.acquire(key("a", "x")).await));
        assert!(lent.passed(&gate).now_or_never().is_some() && permits.used() == 1);
        gate.set(true);
        let (mut one, mut two) = (Box::pin(lent.passed(&gate)), Box::pin(lent.passed(&gate)));
        assert!(one.as_mut().now_or_never().is_none() && two.as_mut().now_or_never().is_none());
        let other = permits.acquire(key("b", "x")).now_or_never().expect("it is free");
        gate.set(false);
        assert!(one.as_mut().now_or_never().is_none() && two.as_mut().now_or_never().is_none());
        drop(other);
        assert!(one.as_mut().now_or_never().is_some() && two.as_mut().now_or_never().is_some());
        assert_eq!(permits.used(), 1);
        lent.end();
        gate.set(true);
        assert!(lent.passed(&gate).now_or_never().is_none());
        gate.set(false);
        assert!(lent.passed(&gate).now_or_never().is_some());
        assert_eq!(permits.used(), 0, "what an export left behind takes none");
    }

    #[tokio::test]
    async fn a_permit_that_nobody_waits_for_any_more_goes_to_the_next() {
        let permits = Permits::new(ExportLimits { total: 1, per_tenant: 1, per_host: 1 });
        let held = permits.acquire(key("a", "x")).await;
        let mut dropped = Box::pin(permits.acquire(key("b", "y")));
        assert!(dropped.as_mut().now_or_never().is_none());
        let mut next = Box::pin(permits.acquire(key("c", "z")));
        assert!(next.as_mut().now_or_never().is_none());
        drop(dropped);
        drop(held);
        assert!(next.as_mut().now_or_never().is_some());
    }
}
