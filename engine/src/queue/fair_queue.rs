//! Whose job is next. Tenants take turns: the one with the fewest running jobs is first and, where that is the same, the one that was
//! served longest ago. Within a tenant more priority is earlier, then the order of submission.
//!
//! So a job that is first in its tenant waits for one start of every other tenant at the most, however many jobs those have, and
//! nobody gets before others by a high priority.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// The place of a job within its tenant.
type Place = (Reverse<i32>, i64);

#[derive(Debug, Default)]
struct Tenant {
    running: usize,
    /// When it was served last.
    turn: u64,
    waiting: BTreeMap<Place, Arc<str>>,
}

/// Jobs that wait for their turn.
#[derive(Debug, Default)]
pub(crate) struct FairQueue {
    tenants: HashMap<Arc<str>, Tenant>,
    /// The tenants with waiting jobs, the next one first.
    order: BTreeSet<(usize, u64, Arc<str>)>,
    turn: u64,
    len: usize,
}

impl FairQueue {
    /// Jobs that wait.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Changes a tenant and its place in the order.
    fn change<T>(&mut self, name: &Arc<str>, change: impl FnOnce(&mut Tenant) -> T) -> T {
        // Who comes back comes behind those that wait already.
        let turn = self.turn;
        let tenant = self.tenants.entry(Arc::clone(name)).or_insert_with(|| Tenant { turn, ..Tenant::default() });
        self.order.remove(&(tenant.running, tenant.turn, Arc::clone(name)));
        let changed = change(tenant);
        match tenant {
            Tenant { waiting, running: 0, .. } if waiting.is_empty() => drop(self.tenants.remove(name)),
            Tenant { waiting, .. } if waiting.is_empty() => {}
            Tenant { running, turn, .. } => drop(self.order.insert((*running, *turn, Arc::clone(name)))),
        }
        changed
    }

    /// Adds a job.
    pub(crate) fn push(&mut self, tenant: &Arc<str>, priority: i32, seq: i64, id: Arc<str>) {
        let before = self.change(tenant, |t| t.waiting.insert((Reverse(priority), seq), id));
        self.len += usize::from(before.is_none());
    }

    /// Takes a job out; answers whether it was there.
    pub(crate) fn remove(&mut self, tenant: &Arc<str>, priority: i32, seq: i64) -> bool {
        let was_there = self.change(tenant, |t| t.waiting.remove(&(Reverse(priority), seq)).is_some());
        self.len -= usize::from(was_there);
        was_there
    }

    /// The next job, which counts as running from now on; none where every tenant has as many running as it may.
    pub(crate) fn next(&mut self, per_tenant: usize) -> Option<Arc<str>> {
        // The order begins with the fewest running: if the first one may not, none may.
        let (_, _, name) = self.order.first().filter(|(running, ..)| *running < per_tenant)?.clone();
        self.turn += 1;
        let turn = self.turn;
        let next = self.change(&name, |t| {
            let (_, id) = t.waiting.pop_first()?;
            t.running += 1;
            t.turn = turn;
            Some(id)
        });
        self.len -= usize::from(next.is_some());
        next
    }

    /// One running job of a tenant fewer.
    pub(crate) fn ended(&mut self, tenant: &Arc<str>) {
        self.change(tenant, |t| t.running = t.running.saturating_sub(1));
    }

    /// How many jobs of its tenant are before one that waits.
    pub(crate) fn before(&self, tenant: &Arc<str>, priority: i32, seq: i64) -> Option<u64> {
        let place = (Reverse(priority), seq);
        let tenant = self.tenants.get(tenant).filter(|t| t.waiting.contains_key(&place))?;
        Some(tenant.waiting.range(..place).count() as u64)
    }

    /// The same for some jobs of a tenant, in one pass.
    pub(crate) fn places(&self, tenant: &Arc<str>, is_wanted: impl Fn(&str) -> bool) -> Vec<(Arc<str>, u64)> {
        let waiting = self.tenants.get(tenant).into_iter().flat_map(|t| t.waiting.values()).zip(0..);
        waiting.filter(|(id, _)| is_wanted(id)).map(|(id, before)| (Arc::clone(id), before)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(jobs: &[(&str, i32)]) -> FairQueue {
        let mut queue = FairQueue::default();
        for (i, (tenant, priority)) in jobs.iter().enumerate() {
            queue.push(&Arc::from(*tenant), *priority, i as i64, format!("{tenant}{i}").into());
        }
        queue
    }

    #[test]
    fn a_tenant_with_a_thousand_jobs_lets_one_with_one_job_go_next() {
        let mut jobs = vec![("many", 100); 1000];
        jobs.push(("one", 0));
        let mut queue = queue(&jobs);
        let started: Vec<_> = (0..2).filter_map(|_| queue.next(usize::MAX)).collect();
        assert_eq!(started.iter().map(|s| &**s).collect::<Vec<_>>(), ["many0", "one1000"]);
        assert_eq!(queue.len(), 999);
    }

    #[test]
    fn priority_is_within_the_tenant_and_then_comes_the_order() {
        let mut queue = queue(&[("a", 0), ("a", 5), ("a", 5), ("b", -3), ("a", 9)]);
        assert_eq!(queue.before(&Arc::from("a"), 5, 2), Some(2));
        assert_eq!(queue.before(&Arc::from("a"), 5, 7), None, "it does not wait");
        let places = queue.places(&Arc::from("a"), |id| id != "a1");
        assert_eq!(places.iter().map(|(id, n)| (&**id, *n)).collect::<Vec<_>>(), [("a4", 0), ("a2", 2), ("a0", 3)]);
        let mut started = Vec::new();
        while let Some(id) = queue.next(usize::MAX) {
            let tenant: Arc<str> = id[..1].into();
            started.push(id);
            queue.ended(&tenant);
        }
        assert_eq!(started.iter().map(|s| &**s).collect::<Vec<_>>(), ["a4", "b3", "a1", "a2", "a0"]);
        assert!(queue.tenants.is_empty() && queue.order.is_empty(), "{queue:?}");
    }

    #[test]
    fn a_tenant_has_no_more_running_than_it_may_and_a_job_that_left_is_not_started() {
        let mut queue = queue(&[("a", 0), ("a", 0), ("a", 0), ("b", 0)]);
        assert!(queue.remove(&Arc::from("a"), 0, 1) && !queue.remove(&Arc::from("a"), 0, 1));
        let started: Vec<_> = std::iter::from_fn(|| queue.next(1)).collect();
        assert_eq!(started.iter().map(|s| &**s).collect::<Vec<_>>(), ["a0", "b3"]);
        queue.ended(&Arc::from("a"));
        assert_eq!(queue.next(1).as_deref(), Some("a2"));
    }
}
