//! One page of a layer: the rows of some listed object ids, asked for until each is there or known to be gone.
//!
//! 1. The ids are asked for as the layer is best asked: by offset in the order of the ids, by a range of ids, or by a list. Each answer
//!    has as many rows as the service takes at the moment ([`PageSize`](offmap_arcgis::PageSize)).
//! 2. What did not come, because others deleted rows and moved those behind them, because the service cut its answer without a word, or
//!    because it repeated rows, is asked for by its ids.
//! 3. What does not come then is looked for once more: an id that the service neither lists nor counts any more is gone; one that it
//!    lists or counts and does not send fails the layer.
//!
//! Rows that come twice are kept once, and rows that were not listed are left to the page that has them. `exceededTransferLimit` alone is
//! believed neither way.

use super::id_source::IdSource as _;
use super::layer_query::LayerQuery;
use super::row_reader::ReadRows;
use super::service::Paging;
use super::slots::Slots;
use offmap_arcgis::ServiceCall;
use offmap_model::{Failure, FailureKind};
use std::path::PathBuf;
use std::sync::Arc;

/// How often a page is halved because the service failed; each of these took the time that a failing service is given.
const MOST_FAILED_HALVES: u32 = 4;
/// Ids in one question for what is gone.
const ASKED_FOR: usize = 500;
/// Rows that are asked for one by one because the service lists them and does not send them.
const ASKED_ALONE: usize = 50;

/// An answer, and how many rows were asked for.
struct Answer {
    read: ReadRows,
    asked: usize,
}

/// Fetches the rows of ids, which stand at a place of the whole list, into a page. The ids are in ascending order.
pub(super) async fn fetch(query: &LayerQuery<'_>, at: u64, ids: Vec<i64>, to: PathBuf) -> Result<(), Failure> {
    let mut slots = Slots::new(ids, query.reader.fields.len(), &to);
    match all_rows(query, at, &mut slots).await {
        Ok(()) => slots.write(to).await,
        Err(failure) => {
            slots.discard().await;
            Err(failure)
        }
    }
}

async fn all_rows(query: &LayerQuery<'_>, at: u64, slots: &mut Slots) -> Result<(), Failure> {
    in_order(query, at, slots).await?;
    the_rest(query, slots).await
}

/// Asks for all ids once, as the layer is best asked.
async fn in_order(query: &LayerQuery<'_>, at: u64, slots: &mut Slots) -> Result<(), Failure> {
    let mut done = 0_usize;
    while let Some(rest) = slots.ids.get(done..).filter(|rest| !rest.is_empty()) {
        let rest = rest.to_vec();
        let place = at + done as u64;
        let call = |rows: usize| {
            let some = rest.get(..rows).unwrap_or(&rest);
            match (query.paging, some) {
                (Paging::Offset, some) => query.by_offset(place, some.len() as u64),
                (Paging::IdRange, [first, .., last]) => query.by_range(*first, *last),
                (_, some) => query.by_list(some),
            }
        };
        let Answer { read, asked } = ask(query, rest.len(), call).await?;
        let (came, has_more) = (read.rows.len(), read.has_more);
        let new = slots.put(read).await?;
        if new == asked {
            query.page.went_well(asked as u64);
        } else if has_more && came > 0 && came < asked {
            query.page.short(came as u64);
        }
        // By offset the service has gone on by what came; else what did not come is asked for later.
        done += if has_more && came > 0 { came.min(asked) } else { asked };
    }
    Ok(())
}

/// Asks for what is missing by its ids; what is missing then is gone.
async fn the_rest(query: &LayerQuery<'_>, slots: &mut Slots) -> Result<(), Failure> {
    let mut was_asked_alone = false;
    while slots.missing > 0 {
        if by_lists(query, slots).await? > 0 {
            continue;
        }
        let missing = slots.first_missing(slots.missing);
        let there = still_listed(query, &missing).await?;
        if there.is_empty() {
            return Ok(());
        }
        if was_asked_alone {
            return Err(not_sent(query, slots, &there));
        }
        // A row may be too much for the service together with others.
        let mut came = 0;
        for id in there.iter().take(ASKED_ALONE) {
            let Answer { read, .. } = ask(query, 1, |_| query.by_list(&[*id])).await?;
            came += slots.put(read).await?;
        }
        was_asked_alone = came == 0;
    }
    Ok(())
}

/// Asks once for each id that is missing; answers how many rows came of it.
async fn by_lists(query: &LayerQuery<'_>, slots: &mut Slots) -> Result<usize, Failure> {
    let missing = slots.first_missing(slots.missing);
    let (mut at, mut came_of_all) = (0, 0);
    while let Some(rest) = missing.get(at..).filter(|rest| !rest.is_empty()) {
        let call = |rows: usize| query.by_list(rest.get(..rows).unwrap_or(rest));
        let Answer { read, asked } = ask(query, rest.len(), call).await?;
        let came = slots.put(read).await?;
        // Where less came, some are gone, or the service cuts its answers without a word.
        at += if came > 0 { came } else { asked };
        came_of_all += came;
    }
    Ok(came_of_all)
}

/// Which of some ids the service still lists, for the same filter.
async fn still_listed(query: &LayerQuery<'_>, ids: &[i64]) -> Result<Vec<i64>, Failure> {
    let mut there = Vec::new();
    for some in ids.chunks(ASKED_FOR) {
        let clause = query.among(some);
        let mut listed = query.ids(Some(&clause)).await?;
        listed.retain(|id| some.binary_search(id).is_ok());
        // A list may be cut as a page is: rows are gone where the count says so, too.
        match query.count(Some(&clause)).await? > listed.len() as u64 {
            true => there.extend_from_slice(some),
            false => there.extend(listed),
        }
    }
    Ok(there)
}

fn not_sent(query: &LayerQuery<'_>, slots: &Slots, there: &[i64]) -> Failure {
    let came = slots.ids.len() - slots.missing;
    let first: Vec<String> = there.iter().take(5).map(ToString::to_string).collect();
    let message = format!(
        "of {} rows of \"{}\" that the service lists it sends {came} and not {} others, however they are asked for (the first: {})",
        slots.ids.len(),
        query.title,
        there.len(),
        first.join(", ")
    );
    query.failure(FailureKind::Incomplete, message)
}

/// Asks for at most so many rows. A page that the service cannot give is asked for again with half as many rows.
async fn ask(query: &LayerQuery<'_>, most: usize, call: impl Fn(usize) -> ServiceCall) -> Result<Answer, Failure> {
    let mut failed = 0;
    loop {
        let asked = usize::try_from(query.page.rows()).unwrap_or(usize::MAX).min(most).max(1);
        let once = |as_pbf: bool, moment: Option<i64>| {
            let (call, reader) = (query.at(moment, call(asked)), Arc::clone(&query.reader));
            async move { query.client.feature_set(&call, as_pbf, reader).await? }
        };
        let read = match once(query.stated.speaks_pbf(), query.stated.moment()).await {
            Ok(read) => Ok(read),
            Err(failure) => query.stated.without(failure, once).await,
        };
        let failure = match read {
            Ok(read) => return Ok(Answer { read, asked }),
            Err(failure) => failure,
        };
        let may_be_too_much = match failure.kind {
            // Read at once, and too large or wrong.
            FailureKind::InvalidAnswer if !failure.retryable => true,
            FailureKind::InvalidAnswer | FailureKind::ServiceError | FailureKind::TimedOut | FailureKind::Unavailable => {
                failed += 1;
                failed <= MOST_FAILED_HALVES
            }
            _ => false,
        };
        if failure.is_cancelled() || !may_be_too_much || !query.page.shrink(asked as u64) {
            return Err(failure);
        }
        tracing::debug!(%failure, asked, "a page is asked for in halves");
    }
}
