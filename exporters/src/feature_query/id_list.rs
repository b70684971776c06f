//! The object ids of all rows that are wanted of a layer: the truth that its pages are held to.
//!
//! 1. A list has to be as long as the service counts for the same filter: a server may cut lists as it cuts pages.
//! 2. More than 100,000 ids are asked for in ranges, halved until each has fewer: no answer is large, whatever the layer is.
//! 3. A list that is cut is continued behind its last id. Where that does not help, the layer fails, and both numbers are named.
//!
//! Source: feature service reference §5.1.

use super::id_file::IdWriter;
use super::layer_query::LayerQuery;
use offmap_model::{Failure, FailureKind};

/// Ids of one answer.
const MOST_AT_ONCE: u64 = 100_000;
/// Ids of one answer where a layer cannot be asked in ranges.
const MOST_WHATEVER: u64 = 190_000;
/// Object ids are whole numbers that JSON's numbers hold exactly.
const WIDEST: i64 = 1 << 53;
/// How often a list is compared with its count while others edit.
const TRIES: u32 = 4;

/// Lists the ids into a file.
pub(super) async fn list(query: &LayerQuery<'_>, to: &mut IdWriter) -> Result<(), Failure> {
    let all = query.count(None).await?;
    if all <= MOST_AT_ONCE {
        return to.add(complete(query, None, all).await?).await;
    }
    let Some((low, high)) = query.bounds().await? else {
        if all > MOST_WHATEVER {
            let message = format!(
                "the service counts {all} rows of \"{}\" and can list them neither in an order nor by statistics, expected at most \
                 {MOST_WHATEVER} of such a layer; take a smaller area",
                query.title
            );
            return Err(query.failure(FailureKind::LimitExceeded, message));
        }
        return to.add(complete(query, None, all).await?).await;
    };
    // The lowest range is the last one: ids are written in ascending order.
    let mut ranges = vec![bounded(query, (low, high), all).await?];
    while let Some((from, upto, count)) = ranges.pop() {
        if count <= MOST_AT_ONCE || from >= upto {
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
async fn bounded(query: &LayerQuery<'_>, (low, high): (i64, i64), all: u64) -> Result<(i64, i64, u64), Failure> {
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
        query.title, -WIDEST
    );
    Err(query.failure(FailureKind::Incomplete, message))
}

/// The ids of the rows that are wanted and meet a further clause, as many as the service counts there.
pub(super) async fn complete(query: &LayerQuery<'_>, range: Option<&str>, counted: u64) -> Result<Vec<i64>, Failure> {
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
        query.title
    );
    Err(query.failure(FailureKind::Incomplete, message))
}

/// Goes on with a list that was cut, behind its last id; answers whether anything came of it.
async fn continues(query: &LayerQuery<'_>, range: Option<&str>, ids: &mut Vec<i64>) -> Result<bool, Failure> {
    let Some(last) = ids.last().copied().filter(|last| *last < i64::MAX) else { return Ok(false) };
    let behind = query.range(last + 1, i64::MAX);
    let clause = range.map_or_else(|| behind.clone(), |range| format!("({range}) AND {behind}"));
    let more = query.ids(Some(&clause)).await?;
    let before = ids.len();
    ids.extend(more.into_iter().filter(|id| *id > last));
    Ok(ids.len() > before)
}
