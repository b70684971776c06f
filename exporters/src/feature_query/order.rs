//! The order in which tables are asked for their rows: one that hangs on others comes behind them.

use std::collections::{BTreeSet, HashMap};

/// `all` in this order, else as they are: each has an id, and hangs on some ids. In a circle, any of them is the first.
pub(super) fn origins_first<T>(all: Vec<T>, id: impl Fn(&T) -> u32, hangs_on: impl Fn(&T) -> Vec<u32>) -> Vec<T> {
    let places: HashMap<u32, usize> = all.iter().enumerate().map(|(place, one)| (id(one), place)).collect();
    let mut dependents: Vec<Vec<usize>> = vec![Vec::new(); all.len()];
    let mut unmet = vec![0_usize; all.len()];
    for (place, one) in all.iter().enumerate() {
        let origins: BTreeSet<usize> = hangs_on(one).iter().filter_map(|id| places.get(id).copied()).collect();
        for origin in origins.into_iter().filter(|origin| *origin != place) {
            dependents[origin].push(place);
            unmet[place] += 1;
        }
    }
    let mut left: BTreeSet<usize> = (0..all.len()).collect();
    let mut free: BTreeSet<usize> = left.iter().copied().filter(|place| unmet[*place] == 0).collect();
    let mut order = Vec::with_capacity(all.len());
    while let Some(next) = free.pop_first().or_else(|| left.first().copied()) {
        left.remove(&next);
        order.push(next);
        for dependent in dependents[next].iter().filter(|dependent| left.contains(dependent)) {
            unmet[*dependent] -= 1;
            if unmet[*dependent] == 0 {
                free.insert(*dependent);
            }
        }
    }
    let mut all: Vec<Option<T>> = all.into_iter().map(Some).collect();
    order.into_iter().filter_map(|place| all[place].take()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(all: &[(u32, &[u32])]) -> Vec<u32> {
        let ordered = origins_first(all.to_vec(), |(id, _)| *id, |(_, on)| on.to_vec());
        ordered.into_iter().map(|(id, _)| id).collect()
    }

    #[test]
    fn who_hangs_on_others_comes_behind_them_and_all_else_stays() {
        assert_eq!(ordered(&[(1, &[]), (3, &[2]), (2, &[1]), (4, &[])]), [1, 2, 3, 4]);
        assert_eq!(ordered(&[(3, &[2]), (2, &[1])]), [2, 3], "1 is not among them");
        assert_eq!(ordered(&[(3, &[1, 2, 1]), (1, &[1]), (2, &[1])]), [1, 2, 3], "one may hang on itself");
        assert_eq!(ordered(&[(7, &[6]), (5, &[6]), (6, &[5])]), [7, 5, 6], "a circle, and one that hangs on it");
        assert!(ordered(&[]).is_empty());
    }

    #[test]
    fn a_long_chain_in_reverse_takes_no_longer_than_another() {
        let all: Vec<u32> = (0..100_000).rev().collect();
        let ordered = origins_first(all, |id| *id, |id| id.checked_sub(1).into_iter().collect());
        assert!(ordered.is_sorted(), "the origin of all comes first");
    }
}
