//! The rows that a service calls related to some rows, held to its own count of them.
//!
//! The limit of an answer applies to the related rows of all rows together, and a service may cut without a word. Where it says that
//! there are more, or counts more than came, fewer rows are asked about; those of a single row are asked for page by page.
//!
//! Source: feature service reference §5.3; Query Related Records (Feature Service/Layer): `returnCountOnly`, `resultOffset`.

use super::layer_query::attribute;
use super::stated::is_refusal;
use crate::feature_service::answer::flag;
use async_trait::async_trait;
use offmap_model::{Failure, FailureKind, number};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

/// Parameters of the question.
pub(super) const COUNT_ONLY: &str = "returnCountOnly";
const OFFSET: &str = "resultOffset";
/// Pages of the related rows of one row.
const MOST_PAGES: usize = 10_000;

/// Who is asked for related rows.
#[async_trait]
pub(super) trait RelatedSource: Sync {
    /// The field of the object ids of what is related.
    fn object_id_field(&self) -> &str;

    fn failure(&self, kind: FailureKind, message: &str) -> Failure;

    /// Asks for what is related to some rows.
    async fn ask(&self, rows: &[i64], more: &[(&'static str, u64)]) -> Result<Value, Failure>;
}

/// One answer.
struct Came {
    ids: Vec<i64>,
    has_more: bool,
}

/// The object ids of what is related to some rows. `counts` is whether the service answers counts, as far as it is known.
pub(super) async fn of(source: &impl RelatedSource, rows: &[i64], counts: &AtomicBool) -> Result<BTreeSet<i64>, Failure> {
    let (mut all, mut todo) = (BTreeSet::new(), vec![rows.to_vec()]);
    while let Some(some) = todo.pop().filter(|some| !some.is_empty()) {
        let Came { mut ids, has_more } = read(source, &source.ask(&some, &[]).await?)?;
        let counted = count(source, &some, counts).await?;
        let lacks = |ids: &[i64]| counted.is_some_and(|counted| counted > ids.len() as u64);
        if has_more || lacks(&ids) {
            let [one] = some.as_slice() else {
                let (left, right) = some.split_at(some.len() / 2);
                todo.extend([left.to_vec(), right.to_vec()]);
                continue;
            };
            let is_complete = rest(source, *one, &mut ids).await?;
            if lacks(&ids) || (counted.is_none() && !is_complete) {
                let counted = counted.map_or_else(|| "more".to_owned(), |counted| counted.to_string());
                let message = format!(
                    "row {one} has {counted}, and the service gives {} of them however they are asked for; give the table a filter of its \
                     own",
                    ids.len()
                );
                return Err(source.failure(FailureKind::Incomplete, &message));
            }
        }
        all.extend(ids);
    }
    Ok(all)
}

/// Goes on behind the rows that came of a single row; answers whether the service says that those are all.
async fn rest(source: &impl RelatedSource, row: i64, ids: &mut Vec<i64>) -> Result<bool, Failure> {
    let mut known: BTreeSet<i64> = ids.iter().copied().collect();
    for _ in 0..MOST_PAGES {
        let answer = match source.ask(&[row], &[(OFFSET, ids.len() as u64)]).await {
            // One that knows no pages has said what it has.
            Err(failure) if is_refusal(&failure) => return Ok(false),
            answer => answer?,
        };
        let came = read(source, &answer)?;
        let new: Vec<i64> = came.ids.into_iter().filter(|id| known.insert(*id)).collect();
        if new.is_empty() {
            return Ok(!came.has_more);
        }
        // Whatever it says of more, only an empty page is the end.
        ids.extend(new);
    }
    Ok(false)
}

/// The service's own count of what is related to some rows; `None` where it answers none.
async fn count(source: &impl RelatedSource, rows: &[i64], counts: &AtomicBool) -> Result<Option<u64>, Failure> {
    if !counts.load(Ordering::Acquire) {
        return Ok(None);
    }
    let counted = match source.ask(rows, &[(COUNT_ONLY, 1)]).await {
        Ok(answer) => counted(&answer),
        Err(failure) if is_refusal(&failure) => None,
        Err(failure) => return Err(failure),
    };
    if counted.is_none() {
        counts.store(false, Ordering::Release);
    }
    Ok(counted)
}

/// The counts of all groups together; `None` where one has none, as where the parameter is not known.
fn counted(answer: &Value) -> Option<u64> {
    let one = |json: &Value| json.get("count").and_then(number::read::<u64>);
    match answer.get("relatedRecordGroups").and_then(Value::as_array) {
        Some(groups) => groups.iter().map(one).try_fold(0_u64, |sum, count| Some(sum.saturating_add(count?))),
        None => one(answer),
    }
}

fn read(source: &impl RelatedSource, answer: &Value) -> Result<Came, Failure> {
    let Some(groups) = answer.get("relatedRecordGroups").and_then(Value::as_array) else {
        return Err(source.failure(FailureKind::InvalidAnswer, "there is no `relatedRecordGroups`"));
    };
    let field = source.object_id_field();
    let records = groups.iter().filter_map(|group| group.get("relatedRecords")?.as_array()).flatten();
    let ids: Option<Vec<i64>> = records.map(|record| attribute(record.get("attributes")?, field)).collect();
    let ids = ids.ok_or_else(|| source.failure(FailureKind::InvalidAnswer, &format!("one has no `{field}`")))?;
    Ok(Came { ids, has_more: flag(answer, &["exceededTransferLimit"]) == Some(true) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use offmap_model::{FailureOwner, FailureStage};
    use serde_json::json;
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    /// Answers from a table.
    #[derive(Default)]
    struct Script {
        related: BTreeMap<i64, Vec<i64>>,
        /// Related rows of one answer, and whether it says that there are more.
        most: usize,
        says_more: bool,
        counts: bool,
        pages: bool,
        asked: Mutex<Vec<(usize, bool)>>,
    }

    #[async_trait]
    impl RelatedSource for Script {
        fn object_id_field(&self) -> &str {
            "FID"
        }

        fn failure(&self, kind: FailureKind, message: &str) -> Failure {
            Failure::new(FailureOwner::Source, kind, FailureStage::Run, message)
        }

        async fn ask(&self, rows: &[i64], more: &[(&'static str, u64)]) -> Result<Value, Failure> {
            let of = |name: &str| more.iter().find(|(own, _)| *own == name).map(|(_, value)| *value);
            self.asked.lock().expect("not poisoned").push((rows.len(), of(COUNT_ONLY).is_some()));
            let found = || rows.iter().filter_map(|row| Some((row, self.related.get(row)?)));
            if of(COUNT_ONLY).is_some() && self.counts {
                let groups: Vec<Value> = found().map(|(row, all)| json!({"objectId": row, "count": all.len()})).collect();
                return Ok(json!({"relatedRecordGroups": groups}));
            }
            if of(OFFSET).is_some() && !self.pages {
                return Err(self.failure(FailureKind::ServiceError, "no pages"));
            }
            let offset = usize::try_from(of(OFFSET).unwrap_or(0)).expect("fits");
            let all: Vec<(i64, i64)> = found().flat_map(|(row, all)| all.iter().map(|id| (*row, *id))).collect();
            let page = all.iter().skip(offset).take(self.most);
            let groups: Vec<Value> =
                page.map(|(row, id)| json!({"objectId": row, "relatedRecords": [{"attributes": {"fid": id}}]})).collect();
            let more = self.says_more && all.len() > offset + self.most;
            Ok(json!({"relatedRecordGroups": groups, "exceededTransferLimit": more}))
        }
    }

    fn script(most: usize, [says_more, counts, pages]: [bool; 3]) -> Script {
        let related = BTreeMap::from([(1, (1..=9).collect()), (2, vec![]), (3, vec![20, 21]), (4, vec![9, 30])]);
        Script { related, most, says_more, counts, pages, ..Script::default() }
    }

    async fn all(script: &Script) -> Result<Vec<i64>, Failure> {
        of(script, &[1, 2, 3, 4, 5], &AtomicBool::new(true)).await.map(|ids| ids.into_iter().collect())
    }

    #[tokio::test]
    async fn related_rows_are_as_many_as_the_service_counts() {
        let expected: Vec<i64> = (1..=9).chain([20, 21, 30]).collect();
        for (most, abilities) in [
            (100, [true, true, true]),
            (100, [false, false, false]),
            // Cut with a word, and without one.
            (4, [true, false, true]),
            (4, [false, true, true]),
            (9, [true, false, false]),
            (9, [false, true, false]),
        ] {
            assert_eq!(all(&script(most, abilities)).await, Ok(expected.clone()), "{most} {abilities:?}");
        }
        let without = script(100, [true, false, true]);
        all(&without).await.expect("lists");
        let asked = without.asked.lock().expect("not poisoned").clone();
        assert_eq!(asked, [(5, false), (5, true)], "a service that does not count is asked once for it");
    }

    #[tokio::test]
    async fn a_row_that_has_more_than_the_service_gives_is_named_with_both_numbers() {
        let failure = all(&script(4, [false, true, false])).await.expect_err("no pages");
        assert_eq!(failure.kind, FailureKind::Incomplete);
        assert!(failure.message.contains("row 1 has 9") && failure.message.contains("gives 4 of them"), "{failure}");
        let failure = all(&script(4, [true, false, false])).await.expect_err("no pages");
        assert!(failure.message.contains("row 1 has more"), "{failure}");
    }
}
