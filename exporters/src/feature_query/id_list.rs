//! The object ids of all rows that are wanted of a layer: the truth that its pages are held to.
//!
//! 1. A list has to be as long as the service counts for the same filter: a server may cut lists as it cuts pages.
//! 2. More than 100,000 ids are asked for in ranges, halved until each has fewer: no answer is large, whatever the layer is.
//! 3. A list that is cut is continued behind its last id. Where that does not help, the layer fails, and both numbers are named.
//!
//! Source: feature service reference §5.1.

use super::id_file::IdWriter;
use super::id_source::IdSource;
use offmap_model::{Failure, FailureKind};

/// How many ids one answer may have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Where a layer can be asked in ranges.
    pub(super) at_once: u64,
    /// Where it cannot.
    pub(super) whatever: u64,
}

/// An answer of more ids is more than a description may be ([`AnswerKind`](offmap_arcgis::AnswerKind)).
pub(super) const LIMITS: Limits = Limits { at_once: 100_000, whatever: 190_000 };
/// Object ids are whole numbers that JSON's numbers hold exactly.
const WIDEST: i64 = 1 << 53;
/// How often a list is compared with its count while others edit.
const TRIES: u32 = 4;

/// Lists the ids into a file.
pub(super) async fn list(query: &impl IdSource, limits: Limits, to: &mut IdWriter) -> Result<(), Failure> {
    let all = query.count(None).await?;
    if all <= limits.at_once {
        return to.add(complete(query, None, all).await?).await;
    }
    let Some((low, high)) = query.bounds().await? else {
        if all > limits.whatever {
            let message = format!(
                "the service counts {all} rows of \"{}\" and can list them neither in an order nor by statistics, expected at most \
                 {} of such a layer; take a smaller area",
                query.title(),
                limits.whatever
            );
            return Err(query.failure(FailureKind::LimitExceeded, message));
        }
        return to.add(complete(query, None, all).await?).await;
    };
    // The lowest range is the last one: ids are written in ascending order.
    let mut ranges = vec![bounded(query, (low, high), all).await?];
    while let Some((from, upto, count)) = ranges.pop() {
        if count <= limits.at_once || from >= upto {
            to.add(complete(query, Some(&query.range(from, upto)), count).await?).await?;
            continue;
        }
        // No overflow, whatever the ids are.
        let middle = i64::try_from((i128::from(from) + i128::from(upto)).div_euclid(2)).unwrap_or(from);
        let lower = query.count(Some(&query.range(from, middle))).await?;
        ranges.push((middle.saturating_add(1), upto, count.saturating_sub(lower)));
        ranges.push((from, middle, lower));
    }
    Ok(())
}

/// The range that holds all ids, with their count. What a service says of its lowest and highest id is held to that.
async fn bounded(query: &impl IdSource, (low, high): (i64, i64), all: u64) -> Result<(i64, i64, u64), Failure> {
    let counted = query.count(Some(&query.range(low, high))).await?;
    if counted >= all {
        return Ok((low, high, counted));
    }
    let counted = query.count(Some(&query.range(-WIDEST, WIDEST))).await?;
    let all = query.count(None).await?;
    if counted >= all {
        return Ok((-WIDEST, WIDEST, counted));
    }
    let message = format!(
        "the service counts {all} rows of \"{}\", and {counted} of them with object ids from {} to {WIDEST}: the others cannot be asked for",
        query.title(),
        -WIDEST
    );
    Err(query.failure(FailureKind::Incomplete, message))
}

/// The ids of the rows that are wanted and meet a further clause, as many as the service counts there.
pub(super) async fn complete(query: &impl IdSource, range: Option<&str>, counted: u64) -> Result<Vec<i64>, Failure> {
    let mut count = counted;
    let mut ids = Vec::new();
    for _ in 0..TRIES {
        ids = query.ids(range).await?;
        while (ids.len() as u64) < count && continues(query, range, &mut ids).await? {}
        if ids.len() as u64 == count {
            return Ok(ids);
        }
        // Others may have edited between the two questions.
        count = query.count(range).await?;
        if ids.len() as u64 == count {
            return Ok(ids);
        }
    }
    let listed = ids.len() as u64;
    if listed > count {
        // Rows that have an id are there, whatever the count says.
        return Ok(ids);
    }
    let message = format!(
        "the service counts {count} rows of \"{}\" and lists {listed} object ids for the same filter: what it does not list cannot be \
         asked for; take a smaller area, or ask the owner of the service why its lists are cut",
        query.title()
    );
    Err(query.failure(FailureKind::Incomplete, message))
}

/// Goes on with a list that was cut, behind its last id; answers whether anything came of it.
async fn continues(query: &impl IdSource, range: Option<&str>, ids: &mut Vec<i64>) -> Result<bool, Failure> {
    let Some(last) = ids.last().copied().filter(|last| *last < i64::MAX) else { return Ok(false) };
    let behind = query.range(last + 1, i64::MAX);
    let clause = range.map_or_else(|| behind.clone(), |range| format!("({range}) AND {behind}"));
    let more = query.ids(Some(&clause)).await?;
    let before = ids.len();
    ids.extend(more.into_iter().filter(|id| *id > last));
    Ok(ids.len() > before)
}

#[cfg(test)]
mod tests {
    use super::super::id_file;
    use super::*;
    use async_trait::async_trait;
    use offmap_model::{FailureOwner, FailureStage};
    use std::sync::Mutex;

    /// Answers from a list of ids.
    #[derive(Default)]
    struct Script {
        ids: Vec<i64>,
        /// What it says of its bounds.
        bounds: Option<(i64, i64)>,
        /// Ids of one answer in truth.
        cut: Option<usize>,
        /// Rows that it counts and does not list.
        hidden: u64,
        /// Ids that are deleted when so many questions were asked.
        deleted: Option<(usize, i64)>,
        /// How many ids each answer had, and how many counts there were.
        asked: Mutex<(Vec<usize>, usize)>,
    }

    impl Script {
        /// The ids that meet a clause: ranges, all of which hold.
        fn meet(&self, and: Option<&str>) -> Vec<i64> {
            let asked = self.asked.lock().expect("not poisoned");
            let is_deleted =
                |id: i64| self.deleted.is_some_and(|(after, gone)| gone == id && asked.0.len() + asked.1 >= after);
            let number = |text: &str| text.trim().parse::<i64>().expect("a number");
            let ranges: Vec<(i64, i64)> = and
                .into_iter()
                .flat_map(|clause| clause.split(['[', ']']))
                .filter_map(|part| part.split_once(".."))
                .map(|(from, to)| (number(from), number(to)))
                .collect();
            let meets = |id: &&i64| ranges.iter().all(|(from, to)| (from..=to).contains(id)) && !is_deleted(**id);
            self.ids.iter().filter(meets).copied().collect()
        }
    }

    #[async_trait]
    impl IdSource for Script {
        fn title(&self) -> &str {
            "Sites"
        }

        fn failure(&self, kind: FailureKind, message: String) -> Failure {
            Failure::new(FailureOwner::Source, kind, FailureStage::Run, message)
        }

        fn range(&self, from: i64, to: i64) -> String {
            format!("[{from}..{to}]")
        }

        async fn count(&self, and: Option<&str>) -> Result<u64, Failure> {
            let found = self.meet(and).len() as u64;
            self.asked.lock().expect("not poisoned").1 += 1;
            Ok(found + self.hidden)
        }

        async fn ids(&self, and: Option<&str>) -> Result<Vec<i64>, Failure> {
            let mut ids = self.meet(and);
            ids.truncate(self.cut.unwrap_or(usize::MAX));
            self.asked.lock().expect("not poisoned").0.push(ids.len());
            Ok(ids)
        }

        async fn bounds(&self) -> Result<Option<(i64, i64)>, Failure> {
            Ok(self.bounds)
        }
    }

    const SMALL: Limits = Limits { at_once: 10, whatever: 19 };

    async fn listed(script: &Script) -> Result<Vec<i64>, Failure> {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("ids");
        let mut to = IdWriter::create(&path).await.expect("begins");
        list(script, SMALL, &mut to).await?;
        to.finish().await.expect("finishes");
        id_file::slice(&path, 0, id_file::count(&path).expect("counts"))
    }

    /// Ids with gaps, close together and far apart.
    fn scattered() -> Vec<i64> {
        let mut ids: Vec<i64> = (0..70).map(|n| n * n * 3 - 500).chain(5_000_000_000..5_000_000_030).collect();
        ids.push(-4_000_000_000);
        ids.sort_unstable();
        ids
    }

    #[tokio::test]
    async fn more_ids_than_one_answer_may_have_are_listed_range_by_range() {
        let ids = scattered();
        let bounds = ids.first().copied().zip(ids.last().copied());
        for cut in [None, Some(3)] {
            let script = Script { ids: ids.clone(), bounds, cut, ..Script::default() };
            assert_eq!(listed(&script).await, Ok(ids.clone()), "cut {cut:?}");
            let asked = script.asked.lock().expect("not poisoned");
            assert!(asked.0.iter().all(|count| *count <= 10), "no answer is large: {:?}", asked.0);
            assert!(asked.1 < 200, "halves are counted, not each id: {} counts", asked.1);
        }
    }

    #[tokio::test]
    async fn bounds_that_do_not_hold_all_rows_are_not_believed() {
        let ids = scattered();
        // One row alone, a part, rounded ones, the wrong way around.
        for bounds in [(4, 4), (-500, 900), (-4_000_000_001, 5_000_000_000), (5_000_000_029, -4_000_000_000)] {
            let script = Script { ids: ids.clone(), bounds: Some(bounds), ..Script::default() };
            assert_eq!(listed(&script).await, Ok(ids.clone()), "{bounds:?}");
        }
        let far: Vec<i64> = (0..30).chain([i64::MAX - 1]).collect();
        let failure = listed(&Script { ids: far, bounds: Some((0, 29)), ..Script::default() }).await.expect_err("named");
        assert!(failure.message.contains("counts 31 rows") && failure.message.contains("and 30 of them"), "{failure}");
    }

    #[tokio::test]
    async fn a_layer_that_tells_no_bounds_is_listed_at_once_as_far_as_an_answer_may_go() {
        let of = |count: i64| Script { ids: (1..=count).collect(), ..Script::default() };
        assert_eq!(listed(&of(19)).await.map(|ids| ids.len()), Ok(19));
        let failure = listed(&of(20)).await.expect_err("too many");
        assert_eq!(failure.kind, FailureKind::LimitExceeded);
        assert!(failure.message.contains("expected at most 19"), "{failure}");
    }

    #[tokio::test]
    async fn rows_that_are_counted_and_not_listed_are_named_and_a_deleted_one_costs_nothing() {
        let ids: Vec<i64> = (1..=35).collect();
        let script = Script { ids: ids.clone(), bounds: Some((1, 35)), hidden: 1, ..Script::default() };
        let failure = listed(&script).await.expect_err("one is hidden");
        assert_eq!(failure.kind, FailureKind::Incomplete);
        let deleted = Some((6, 30));
        let script = Script { ids, bounds: Some((1, 35)), deleted, ..Script::default() };
        let listed = listed(&script).await.expect("lists");
        assert!(listed.iter().copied().eq((1..=35).filter(|id| *id != 30)), "{listed:?}");
    }
}
